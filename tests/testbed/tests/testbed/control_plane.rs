//! The control plane runs workloads, and says who asked for what.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use testbed::workload::{bare_pod, daemon_set, deployment, job, stateful_set};
use testbed::{Filter, Testbed, skip};

#[tokio::test]
async fn every_kind_of_workload_becomes_ready() -> Result<()> {
    let testbed = Testbed::shared().await?;
    testbed
        .with_namespace("every-kind", async |ns| {
            ns.deploy(deployment("web", 3)).await?;
            ns.deploy(stateful_set("db", 2)).await?;
            ns.deploy(daemon_set("agent")).await?;
            ns.deploy(job("once")).await?;
            ns.deploy(bare_pod("lonely")).await?;

            assert_eq!(ns.pods_of("Deployment", "web").await?.len(), 3);
            assert_eq!(ns.pods_of("StatefulSet", "db").await?.len(), 2);
            assert_eq!(ns.pods_of("DaemonSet", "agent").await?.len(), 3);
            assert_eq!(ns.pods_of("Job", "once").await?.len(), 1);
            assert_eq!(ns.revisions_of("Deployment", "web").await?.len(), 1);
            assert_eq!(ns.revisions_of("StatefulSet", "db").await?.len(), 1);
            assert_eq!(ns.revisions_of("DaemonSet", "agent").await?.len(), 1);
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_pod_is_late_or_never_ready_if_it_says_so() -> Result<()> {
    let testbed = Testbed::shared().await?;
    testbed
        .with_namespace("readiness", async |ns| {
            ns.create(bare_pod("never").pod_annotation("testbed.sidecar-drift/ready", "never")).await?;
            ns.create(bare_pod("tomorrow").pod_annotation("testbed.sidecar-drift/ready-after", "24h")).await?;
            ns.deploy(bare_pod("soon").pod_annotation("testbed.sidecar-drift/ready-after", "1s")).await?;
            for name in ["never", "tomorrow"] {
                let pod = ns.api::<Pod>().get(name).await?;
                assert_eq!(pod.status.and_then(|status| status.phase).as_deref(), Some("Pending"), "{name}");
            }
            Ok(())
        })
        .await
}

#[tokio::test]
async fn the_audit_log_tells_a_service_account_from_the_rest() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let Some(audit) = testbed.audit() else { return skip("no audit log to read") };
    testbed
        .with_namespace("audit", async |ns| {
            let marker = audit.marker()?;
            let kubeconfig = ns.service_account("reader").await?;
            let pods: Api<Pod> = Api::namespaced(testbed::client(&kubeconfig).await?, ns.name());
            let refused = pods.list(&ListParams::default()).await;
            assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));

            let entries = audit.entries(&Filter::default().since(marker).service_account(ns.name(), "reader")).await?;
            let [entry] = entries.as_slice() else { anyhow::bail!("not one request: {entries:?}") };
            assert_eq!((entry.verb.as_str(), entry.resource.as_str()), ("list", "pods"));
            assert_eq!((entry.namespace.as_str(), entry.code), (ns.name(), Some(403)));

            // What the administrator does is the administrator's.
            let _ = ns.dry_run(bare_pod("probe")).await?;
            let entries =
                audit.entries(&Filter::default().since(marker).namespace(ns.name()).user("testbed-admin")).await?;
            let dry_run = entries.iter().find(|entry| entry.resource == "pods").context("no Pod was asked for")?;
            assert!(dry_run.is_dry_run() && !dry_run.writes());
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_namespace_goes_with_its_test_even_if_it_panics() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let (tell, name) = std::sync::mpsc::channel();
    let panics = std::panic::AssertUnwindSafe(testbed.with_namespace("panics", async |ns| -> Result<()> {
        tell.send(ns.name().to_owned())?;
        panic!("on purpose")
    }));
    assert!(futures::FutureExt::catch_unwind(panics).await.is_err());

    let name = name.recv()?;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(testbed.client().await?);
    testbed::eventually("the namespace is gone", std::time::Duration::from_secs(30), async || {
        Ok(namespaces.get_opt(&name).await?.is_none().then_some(()))
    })
    .await?;
    assert!(name.starts_with("panics-"), "{name}");
    Ok(())
}
