// OpenKruise's controllers of CloneSets and Advanced StatefulSets, without the rest of its manager: that will not start
// without its admission webhooks, which would see the Pods of every test.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	appsv1alpha1 "github.com/openkruise/kruise/apis/apps/v1alpha1"
	appsv1beta1 "github.com/openkruise/kruise/apis/apps/v1beta1"
	kruiseclient "github.com/openkruise/kruise/pkg/client"
	"github.com/openkruise/kruise/pkg/controller/cloneset"
	"github.com/openkruise/kruise/pkg/controller/statefulset"
	"github.com/openkruise/kruise/pkg/features"
	utilclient "github.com/openkruise/kruise/pkg/util/client"
	"github.com/openkruise/kruise/pkg/util/fieldindex"
)

func main() {
	// --kubeconfig is a flag of controller-runtime.
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.UserAgent = "kruise-manager"
	// Tests of one process share it.
	config.QPS, config.Burst = 100, 200
	ctrl.SetLogger(klog.Background())
	features.SetDefaultFeatureGates()
	if err := kruiseclient.NewRegistry(config); err != nil {
		return err
	}

	// Its controllers look into this one, too.
	scheme := clientgoscheme.Scheme
	adders := runtime.NewSchemeBuilder(appsv1alpha1.AddToScheme, appsv1beta1.AddToScheme)
	if err := adders.AddToScheme(scheme); err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:   scheme,
		Metrics:  metricsserver.Options{BindAddress: "0"},
		NewCache: utilclient.NewCache,
	})
	if err != nil {
		return err
	}

	// Of its indexes those that these two look into; the others look for kinds that are not there, and wait for them.
	for _, owned := range []client.Object{&corev1.Pod{}, &corev1.PersistentVolumeClaim{}} {
		err := manager.GetFieldIndexer().IndexField(ctx, owned, fieldindex.IndexNameForOwnerRefUID, owners)
		if err != nil {
			return err
		}
	}
	if err := cloneset.Add(manager); err != nil {
		return err
	}
	if err := statefulset.Add(manager); err != nil {
		return err
	}
	return manager.Start(ctx)
}

func owners(object client.Object) []string {
	var uids []string
	for _, owner := range object.GetOwnerReferences() {
		uids = append(uids, string(owner.UID))
	}
	return uids
}
