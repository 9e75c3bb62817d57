mod injectors;
mod owners;
mod stamp;
mod standing;
mod unreadable;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{KeptKeys, StampKeys, convert};
use crate::core::{
    config::Policy,
    io::WatchKind,
    model::{
        ConfigKind, Counts, InjectorKind, InjectorSnapshot, Name, NamespaceSnapshot, Object, ObjectKey, PodSnapshot,
        Selector, Strategy, WorkloadSnapshot, owner::Kind,
    },
};

fn kept() -> KeptKeys {
    KeptKeys::of(&Policy::default())
}

fn keys() -> StampKeys {
    StampKeys::new("sidecarRollout")
}

fn object(kind: WatchKind, value: &Value) -> Object {
    let converted = convert(kind, value, &kept());
    assert_eq!(converted.faults, Vec::<String>::new());
    converted.object.expect("an object with a name")
}

fn pod(value: &Value) -> PodSnapshot {
    let Object::Pod(pod) = object(WatchKind::Pods, value) else { panic!("no Pod") };
    pod
}

fn workload(kind: Kind, value: &Value) -> WorkloadSnapshot {
    let Object::Workload(workload) = object(WatchKind::Workloads(kind), value) else { panic!("no workload") };
    *workload
}

fn injector(kind: InjectorKind, value: &Value) -> InjectorSnapshot {
    let Object::Injector(injector) = object(WatchKind::Injectors(kind), value) else { panic!("no injector") };
    injector
}

/// Merge these fields into a minimal object called `shop/web`.
fn with(fields: &Value) -> Value {
    let mut value = json!({ "metadata": { "name": "web", "namespace": "shop" } });
    json_patch::merge(&mut value, fields);
    value
}

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<Name, Name> {
    pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect()
}

// === Pods ===

#[test]
fn a_pod_keeps_what_verdicts_need() {
    let pod = pod(&json!({
        "metadata": {
            "name": "web-5d-x", "namespace": "shop", "uid": "u1", "creationTimestamp": "2026-05-01T10:00:00Z",
            "labels": { "pod-template-hash": "5d", "app": "web" },
            "ownerReferences": [
                { "apiVersion": "v1", "kind": "Other", "name": "o", "uid": "u0" },
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d", "uid": "u2", "controller": true },
            ],
        },
        "spec": {
            "serviceAccountName": "web",
            "containers": [{ "name": "app", "image": "app:1" }],
            "initContainers": [{ "name": "proxy", "image": "proxy:1", "restartPolicy": "Always" }],
        },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
    }));
    assert_eq!((pod.key, &*pod.uid, &*pod.revision), (key("shop", "web-5d-x"), "u1", "5d"));
    assert_eq!(pod.owner.as_ref().map(|owner| &*owner.name), Some("web-5d"));
    assert_eq!(&*pod.service_account, "web");
    assert_eq!(pod.created.to_string(), "2026-05-01T10:00:00Z");
    assert!(
        pod.state.ready && !pod.state.terminating && !pod.state.finished && !pod.state.mirror && !pod.state.crashing
    );
    assert_eq!(&*pod.shape.container("proxy").expect("there").image, "proxy:1");
    assert_eq!(pod.patched_images, Vec::<Name>::new());
}

#[test]
fn a_pod_of_a_daemon_set_names_revision_and_generation() {
    let labels = json!({ "controller-revision-hash": "7c", "pod-template-generation": "3" });
    let pod = pod(&with(&json!({ "metadata": { "labels": labels } })));
    assert_eq!((&*pod.revision, pod.template_generation, &*pod.service_account), ("7c", 3, "default"));
}

#[test]
fn a_pod_of_a_daemon_set_names_the_node_that_it_is_for() {
    let of = |kind: &str, spec: Value| {
        let owner = json!({ "apiVersion": "apps/v1", "kind": kind, "name": "agent", "uid": "u", "controller": true });
        pod(&with(&json!({ "metadata": { "ownerReferences": [owner] }, "spec": spec }))).node
    };
    let field = json!({ "key": "metadata.name", "operator": "In", "values": ["node-1"] });
    let required = json!({ "nodeSelectorTerms": [{ "matchFields": [field] }] });
    let affinity = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } });
    assert_eq!(of("DaemonSet", json!({ "affinity": affinity })).as_deref(), Some("node-1"), "it is not bound yet");
    assert_eq!(of("DaemonSet", json!({ "nodeName": "node-2" })).as_deref(), Some("node-2"));
    assert_eq!(of("DaemonSet", json!({ "nodeName": "" })), None);
    assert_eq!(of("ReplicaSet", json!({ "nodeName": "node-2", "affinity": affinity })), None);
}

#[test]
fn the_revision_of_a_pod_is_in_the_label_that_its_own_controller_writes() {
    let revision = |kind: &str, labels: Value| {
        let owner = json!({ "apiVersion": "v1", "kind": kind, "name": "web", "uid": "u", "controller": true });
        pod(&with(&json!({ "metadata": { "labels": labels, "ownerReferences": [owner] } }))).revision
    };
    let both = json!({ "pod-template-hash": "5d", "controller-revision-hash": "web-5d" });
    assert_eq!(&*revision("ReplicaSet", both.clone()), "5d");
    assert_eq!(&*revision("CloneSet", both.clone()), "web-5d");
    assert_eq!(&*revision("StatefulSet", both), "web-5d", "the first label came with the template");
    let short = json!({ "pod-template-hash": "5d", "controller-revision-hash": "5d" });
    assert_eq!(&*revision("CloneSet", short), "web-5d");
    assert_eq!(&*revision("DaemonSet", json!({ "controller-revision-hash": "5d" })), "5d");
    assert_eq!(&*revision("CloneSet", json!({})), "");
}

/// The entry of a controller that created a Pod.
fn creation() -> Value {
    json!({
        "manager": "kube-controller-manager", "operation": "Update", "time": "2026-05-01T10:00:00Z",
        "fieldsV1": {
            "f:metadata": { "f:generateName": {}, "f:ownerReferences": { ".": {} } },
            "f:spec": { "f:containers": { "k:{\"name\":\"app\"}": { ".": {}, "f:image": {}, "f:name": {} } } },
        },
    })
}

fn image_of(list: &str, container: &str) -> Value {
    let member = format!("k:{{\"name\":\"{container}\"}}");
    json!({ "f:spec": { list: { member: { "f:image": {} } } } })
}

fn patched(managed_fields: &[Value]) -> Vec<String> {
    let pod = pod(&with(&json!({ "metadata": { "managedFields": managed_fields } })));
    pod.patched_images.iter().map(ToString::to_string).collect()
}

#[test]
fn an_image_that_somebody_else_set_on_the_live_pod_is_seen() {
    let patch = json!({
        "manager": "kubectl-set", "time": "2026-05-01T09:00:00Z", "fieldsV1": image_of("f:containers", "proxy"),
    });
    let native = json!({ "manager": "kubectl-edit", "fieldsV1": image_of("f:initContainers", "agent") });
    assert_eq!(patched(&[patch.clone(), creation(), native]), ["agent", "proxy"]);
    assert_eq!(patched(&[creation()]), Vec::<String>::new());
    assert_eq!(patched(&[]), Vec::<String>::new());
    let status = json!({ "manager": "kubelet", "subresource": "status", "fieldsV1": { "f:status": {} } });
    let binding = json!({ "manager": "x", "subresource": "binding", "fieldsV1": image_of("f:containers", "proxy") });
    assert_eq!(patched(&[status, binding, creation()]), Vec::<String>::new());
}

#[test]
fn a_pod_that_a_person_created_and_a_controller_adopted_was_not_patched() {
    let created = json!({
        "manager": "kubectl-create", "time": "2026-05-01T10:00:00Z", "fieldsV1": image_of("f:containers", "app"),
    });
    let adopted = json!({
        "manager": "kube-controller-manager", "time": "2026-05-01T11:00:00Z",
        "fieldsV1": { "f:metadata": { "f:ownerReferences": {} } },
    });
    assert_eq!(patched(&[adopted, created]), Vec::<String>::new());
}

// === Workloads ===

#[test]
fn a_deployment_is_read() {
    let deployment = workload(
        Kind::DEPLOYMENT,
        &json!({
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "41", "generation": 4,
                "annotations": {
                    "deployment.kubernetes.io/revision": "3", "sidecar-drift/mode": "report", "other": "x",
                },
                "managedFields": [
                    { "manager": "helm", "time": "2026-05-01T10:00:00Z" },
                    { "manager": "kubectl-edit", "time": "2026-05-02T10:00:00Z" },
                    { "manager": "kube-controller-manager", "subresource": "status", "time": "2026-05-03T10:00:00Z" },
                ],
            },
            "spec": {
                "replicas": 3, "paused": true,
                "template": {
                    "metadata": {
                        "labels": { "app": "web" },
                        "annotations": {
                            "sidecarRollout.rollout.timestamp": "2026-05-01T10:00:00Z",
                            "sidecarRollout.rollout.reason": "proxy 1.2",
                            "sidecarRollout.rollout.fingerprint": "v1:abc",
                        },
                    },
                    "spec": { "serviceAccountName": "web" },
                },
            },
            "status": {
                "observedGeneration": 3, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 2,
                "conditions": [{ "type": "Progressing", "reason": "ProgressDeadlineExceeded" }],
            },
        }),
    );
    assert_eq!(deployment.key.to_string(), "Deployment/shop/web");
    assert_eq!((&*deployment.uid, &*deployment.resource_version), ("u1", "41"));
    assert_eq!((deployment.generation, deployment.observed_generation, deployment.revision), (4, 3, 3));
    assert_eq!(deployment.counts, Counts { desired: 3, current: 4, updated: 1, ready: 3, available: 2 });
    assert!(deployment.paused && deployment.deadline_exceeded && !deployment.terminating);
    assert_eq!(deployment.says, map(&[("mode", "report")]));
    assert_eq!(deployment.changed_by.map(|by| by.manager).as_deref(), Some("kubectl-edit"));
    assert_eq!(deployment.template.labels, map(&[("app", "web")]));
    assert!(deployment.template.has_annotations);
    assert_eq!(&*deployment.template.service_account, "web");
    let stamp = deployment.template.stamp.expect("a stamp");
    assert_eq!((stamp.reason.as_str(), stamp.fingerprint.as_deref()), ("proxy 1.2", Some("v1:abc")));
}

#[test]
fn sets_are_read() {
    let set = workload(
        Kind::STATEFUL_SET,
        &with(&json!({
            "status": { "currentRevision": "web-1", "updateRevision": "web-2", "replicas": 2 },
        })),
    );
    assert_eq!((&*set.current_revision, &*set.update_revision), ("web-1", "web-2"));
    assert_eq!(set.counts.desired, 1, "the default");
    let daemons = workload(
        Kind::DAEMON_SET,
        &with(&json!({
            "metadata": { "annotations": { "deprecated.daemonset.template.generation": "5" } },
            "status": {
                "desiredNumberScheduled": 5, "currentNumberScheduled": 4, "updatedNumberScheduled": 3,
                "numberReady": 2, "numberAvailable": 1,
            },
        })),
    );
    assert_eq!(daemons.template_generation, 5);
    assert_eq!(daemons.counts, Counts { desired: 5, current: 4, updated: 3, ready: 2, available: 1 });
}

fn rolling(max_unavailable: u32, max_surge: u32) -> Strategy {
    Strategy::RollingUpdate { max_unavailable, max_surge, partition: 0 }
}

#[test]
fn the_numbers_of_a_deployment_are_rounded_as_its_controller_does() {
    let strategy = |replicas: u32, fields: Value| {
        let spec = json!({ "replicas": replicas, "strategy": { "type": "RollingUpdate", "rollingUpdate": fields } });
        workload(Kind::DEPLOYMENT, &with(&json!({ "spec": spec }))).strategy
    };
    assert_eq!(strategy(10, json!({})), rolling(2, 3), "25 % down, 25 % up");
    assert_eq!(strategy(1, json!({})), rolling(0, 1));
    assert_eq!(strategy(3, json!({ "maxUnavailable": "25%", "maxSurge": 0 })), rolling(1, 0), "never both zero");
    assert_eq!(strategy(10, json!({ "maxUnavailable": 2, "maxSurge": "15%" })), rolling(2, 2));
    assert_eq!(strategy(2, json!({ "maxUnavailable": "100%", "maxSurge": 0 })), rolling(2, 0));
    assert_eq!(strategy(2, json!({ "maxUnavailable": 9, "maxSurge": 0 })), rolling(2, 0), "at most all");
    let recreate = with(&json!({ "spec": { "strategy": { "type": "Recreate" } } }));
    assert_eq!(workload(Kind::DEPLOYMENT, &recreate).strategy, Strategy::Recreate);
}

#[test]
fn the_numbers_of_sets_are_rounded_as_their_controllers_do() {
    let strategy = |kind, fields: Value| {
        let spec = json!({ "replicas": 10, "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": fields } });
        workload(kind, &with(&json!({ "spec": spec, "status": { "desiredNumberScheduled": 10 } }))).strategy
    };
    assert_eq!(strategy(Kind::DAEMON_SET, json!({})), rolling(1, 0));
    assert_eq!(strategy(Kind::DAEMON_SET, json!({ "maxUnavailable": "25%" })), rolling(3, 0), "rounded up");
    assert_eq!(strategy(Kind::DAEMON_SET, json!({ "maxUnavailable": 0, "maxSurge": "5%" })), rolling(0, 1));
    assert_eq!(strategy(Kind::DAEMON_SET, json!({ "maxUnavailable": 0, "maxSurge": 0 })), rolling(1, 0));
    assert_eq!(strategy(Kind::STATEFUL_SET, json!({ "maxUnavailable": "25%" })), rolling(2, 0), "rounded down");
    assert_eq!(strategy(Kind::STATEFUL_SET, json!({ "maxUnavailable": "5%" })), rolling(1, 0), "at least one");
    let partitioned = Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition: 3 };
    assert_eq!(strategy(Kind::STATEFUL_SET, json!({ "partition": 3 })), partitioned);
    for kind in [Kind::STATEFUL_SET, Kind::DAEMON_SET] {
        let on_delete = with(&json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } }));
        assert_eq!(workload(kind, &on_delete).strategy, Strategy::OnDelete);
    }
}

// === The rest ===

#[test]
fn a_namespace_moves_with_its_labels_and_annotations_but_not_with_what_it_says_to_us() {
    let namespace = |labels: Value, annotations: Value| -> NamespaceSnapshot {
        let value = json!({ "metadata": { "name": "shop", "labels": labels, "annotations": annotations } });
        let Object::Namespace(namespace) = object(WatchKind::Namespaces, &value) else { panic!("no Namespace") };
        namespace
    };
    let before = namespace(json!({ "mesh": "on" }), json!({ "mesh/rev": "1" }));
    let said = namespace(json!({ "mesh": "on" }), json!({ "mesh/rev": "1", "sidecar-drift/mode": "ignore" }));
    assert_eq!(said.says, map(&[("mode", "ignore")]));
    assert_eq!(said.hash, before.hash);
    assert_ne!(namespace(json!({ "mesh": "on" }), json!({ "mesh/rev": "2" })).hash, before.hash);
    assert_ne!(namespace(json!({ "mesh": "off" }), json!({ "mesh/rev": "1" })).hash, before.hash);
}

fn config(kind: ConfigKind, value: &Value) -> Name {
    let Object::Config(config) = object(WatchKind::Configs(kind), &with(value)) else { panic!("no {}", kind.as_str()) };
    config.hash
}

#[test]
fn a_config_map_is_its_hash_and_a_leaders_record_never_moves() {
    let config_map = |value| config(ConfigKind::ConfigMap, &value);
    let before = config_map(json!({ "data": { "values": "a" } }));
    assert_ne!(config_map(json!({ "data": { "values": "b" } })), before);
    assert_ne!(config_map(json!({ "binaryData": { "values": "a" } })), before);
    assert_eq!(config_map(json!({ "metadata": { "resourceVersion": "9" }, "data": { "values": "a" } })), before);
    let record = |at: &str| {
        let leader = json!({ "control-plane.alpha.kubernetes.io/leader": at });
        config_map(json!({ "metadata": { "annotations": leader }, "data": { "at": at } }))
    };
    assert_eq!(record("14:01"), record("14:02"));
}

#[test]
fn a_service_account_moves_with_its_annotations_and_a_limit_range_with_its_spec() {
    let account = |role: &str| {
        config(
            ConfigKind::ServiceAccount,
            &json!({ "metadata": { "annotations": { "role": role } }, "secrets": [role] }),
        )
    };
    assert_ne!(account("a"), account("b"));
    let secrets = |name: &str| config(ConfigKind::ServiceAccount, &json!({ "secrets": [{ "name": name }] }));
    assert_eq!(secrets("token-a"), secrets("token-b"));
    let limits =
        |cpu: &str| config(ConfigKind::LimitRange, &json!({ "spec": { "limits": [{ "default": { "cpu": cpu } }] } }));
    assert_ne!(limits("1"), limits("2"));
}

#[test]
fn ready_endpoints_are_read_with_their_pods() {
    let pod = |name: &str| json!({ "kind": "Pod", "name": name });
    let slice = with(&json!({
        "metadata": { "labels": { "kubernetes.io/service-name": "injector" } },
        "endpoints": [
            { "conditions": { "ready": true }, "targetRef": pod("b") },
            { "conditions": { "ready": false }, "targetRef": pod("c") },
            { "targetRef": pod("a") },
            { "addresses": ["10.0.0.1"] },
        ],
    }));
    let Object::Endpoints(read) = object(WatchKind::EndpointSlices, &slice) else { panic!("no EndpointSlice") };
    let names: Vec<_> = read.ready.iter().map(|name| &**name).collect();
    assert_eq!((&*read.service, names, read.others), ("injector", vec!["a", "b"], 1));
}

#[test]
fn a_disruption_budget_is_its_selector_and_what_it_allows_now() {
    let budget = |status: Value| {
        let value = with(&json!({ "spec": { "selector": { "matchLabels": { "app": "db" } } }, "status": status }));
        let Object::DisruptionBudget(budget) = object(WatchKind::DisruptionBudgets, &value) else {
            panic!("no budget")
        };
        budget
    };
    let read = budget(json!({ "disruptionsAllowed": 2 }));
    let selects = |app: &str| read.selector.as_ref().is_some_and(|selector| selector.matches(&map(&[("app", app)])));
    assert!(selects("db") && !selects("web"));
    assert_eq!((read.allowed, budget(json!({})).allowed), (2, 0));
    let healthy =
        |current, desired| budget(json!({ "currentHealthy": current, "desiredHealthy": desired })).frees_unhealthy;
    assert_eq!([healthy(2, 2), healthy(1, 2), healthy(0, 0)], [true, false, false]);
}

#[test]
fn a_disruption_budget_with_a_null_selector_selects_nothing_and_with_an_empty_one_everything() {
    let budget = |value: Value| {
        let Object::DisruptionBudget(budget) = object(WatchKind::DisruptionBudgets, &with(&value)) else {
            panic!("no budget")
        };
        budget
    };
    for spec in [json!({}), json!({ "selector": null })] {
        assert_eq!(budget(json!({ "spec": spec })).selector, None);
    }
    assert_eq!(budget(json!({ "spec": { "selector": {} } })).selector, Some(Selector::default()));
    assert!(budget(json!({ "spec": { "unhealthyPodEvictionPolicy": "AlwaysAllow" } })).frees_unhealthy);
    assert!(!budget(json!({ "spec": { "unhealthyPodEvictionPolicy": "IfHealthyBudget" } })).frees_unhealthy);
}

#[test]
fn a_disruption_budget_whose_controller_has_not_seen_it_leaves_no_room() {
    let allowed = |generation: u32, observed: u32| {
        let status = json!({ "disruptionsAllowed": 3, "observedGeneration": observed });
        let value =
            json!({ "metadata": { "name": "db", "namespace": "shop", "generation": generation }, "status": status });
        let Object::DisruptionBudget(budget) = object(WatchKind::DisruptionBudgets, &value) else {
            panic!("no budget")
        };
        budget.allowed
    };
    assert_eq!([allowed(2, 2), allowed(2, 1)], [3, 0]);
}

#[test]
fn a_node_is_its_readiness_and_the_version_of_its_kubelet() {
    let node = |ready: &str, version: &str| {
        let conditions = json!([{ "type": "MemoryPressure", "status": "True" }, { "type": "Ready", "status": ready }]);
        let status = json!({ "conditions": conditions, "nodeInfo": { "kubeletVersion": version } });
        let Object::Node(node) = object(WatchKind::Nodes, &with(&json!({ "status": status }))) else {
            panic!("no Node")
        };
        (node.ready, node.kubelet)
    };
    assert_eq!(node("True", "v1.37.2"), (true, Some((1, 37))));
    assert_eq!(node("Unknown", "v1.33.0-gke.100"), (false, Some((1, 33))));
    assert_eq!(node("False", "one"), (false, None));
}

#[test]
fn replica_sets_and_services_are_read() {
    let meta = json!({
        "annotations": { "deployment.kubernetes.io/revision": "12" }, "labels": { "pod-template-hash": "5d" },
    });
    let Object::ReplicaSet(set) = object(WatchKind::ReplicaSets, &with(&json!({ "metadata": meta }))) else {
        panic!("no ReplicaSet")
    };
    assert_eq!((set.revision, &*set.hash), (12, "5d"));
    let spec = json!({ "spec": { "selector": { "app": "injector" } } });
    let Object::Service(service) = object(WatchKind::Services, &with(&spec)) else { panic!("no Service") };
    assert_eq!(service.selector, map(&[("app", "injector")]));
}

/// Every field that is read, with the wrong type in it.
#[test]
fn nothing_that_an_object_holds_can_fail_it() {
    let kinds = [
        WatchKind::Pods,
        WatchKind::Workloads(Kind::DEPLOYMENT),
        WatchKind::Workloads(Kind::STATEFUL_SET),
        WatchKind::Workloads(Kind::DAEMON_SET),
        WatchKind::ReplicaSets,
        WatchKind::Namespaces,
        WatchKind::Injectors(InjectorKind::MutatingWebhookConfiguration),
        WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicy),
        WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicyBinding),
        WatchKind::Configs(ConfigKind::ConfigMap),
        WatchKind::Configs(ConfigKind::ServiceAccount),
        WatchKind::Configs(ConfigKind::LimitRange),
        WatchKind::Services,
        WatchKind::EndpointSlices,
        WatchKind::DisruptionBudgets,
        WatchKind::Nodes,
    ];
    let wrong = [json!(7), json!("x"), json!(true), json!([[]]), json!([1]), json!({ "x": { "x": 1 } })];
    for kind in kinds {
        for value in &wrong {
            assert_eq!(convert(kind, value, &kept()).object, None, "no name");
            for fields in ["labels", "annotations", "ownerReferences", "managedFields", "creationTimestamp"] {
                let object = with(&json!({ "metadata": { fields: value } }));
                assert!(convert(kind, &object, &kept()).object.is_some(), "{kind:?} {fields} {value}");
            }
            let object = with(&json!({ "spec": value, "status": value, "webhooks": value, "data": value }));
            assert!(convert(kind, &object, &kept()).object.is_some(), "{kind:?} {value}");
        }
    }
}

#[test]
fn what_has_the_wrong_type_is_named() {
    let bad =
        with(&json!({ "spec": { "replicas": "three", "strategy": { "rollingUpdate": { "maxSurge": "lots" } } } }));
    let converted = convert(WatchKind::Workloads(Kind::DEPLOYMENT), &bad, &kept());
    assert!(converted.object.is_some());
    assert_eq!(converted.faults, ["/spec/replicas", "/spec/strategy/rollingUpdate/maxSurge"]);
}
