//! Kinds that not every cluster has.

use super::*;

fn rollout(more: &Value) -> WorkloadSnapshot {
    let mut value = json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "u", "generation": 7 },
        "spec": {
            "replicas": 10,
            "strategy": { "canary": {} },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [] } },
        },
        "status": {
            "observedGeneration": "7", "stableRS": "5d", "currentPodHash": "5d",
            "replicas": 10, "updatedReplicas": 10, "readyReplicas": 10, "availableReplicas": 9,
        },
    });
    json_patch::merge(&mut value, more);
    workload(Kind::ROLLOUT, &value)
}

#[test]
fn an_argo_rollout_counts_its_generations_in_text_and_names_its_stable_revision() {
    let w = rollout(&json!({}));
    assert_eq!((w.generation, w.observed_generation), (7, 7));
    assert_eq!((&*w.current_revision, &*w.update_revision), ("5d", "5d"));
    assert_eq!((w.counts.desired, w.counts.available), (10, 9));
    assert!(!w.paused && !w.deadline_exceeded && w.template.stamp.is_none() && w.restarted.is_none());
}

#[test]
fn an_argo_rollout_that_is_paused_or_aborted_says_so() {
    assert!(rollout(&json!({ "spec": { "paused": true } })).paused);
    let at_a_step = json!({ "status": { "pauseConditions": [{ "reason": "CanaryPauseStep" }] } });
    assert!(rollout(&at_a_step).paused);
    assert!(rollout(&json!({ "status": { "abort": true } })).deadline_exceeded);
}

#[test]
fn the_restart_of_an_argo_rollout_is_its_stamp() {
    let asked =
        json!({ "spec": { "restartAt": "2026-03-02T10:00:00Z" }, "status": { "restartedAt": "2026-03-01T10:00:00Z" } });
    let w = rollout(&asked);
    let stamp = w.template.stamp.expect("a stamp");
    assert_eq!((stamp.timestamp.to_string().as_str(), stamp.fingerprint), ("2026-03-02T10:00:00Z", None));
    assert_eq!(w.restarted.expect("a time").to_string(), "2026-03-01T10:00:00Z");
    assert_eq!(w.template.hash, rollout(&json!({})).template.hash, "which is no change of the template");
}

#[test]
fn an_argo_rollout_restarts_as_many_pods_at_once_as_may_be_missing() {
    let strategy = |spec: Value| rollout(&json!({ "spec": spec })).strategy;
    assert_eq!(strategy(json!({})), rolling(2, 0), "25 % by default");
    assert_eq!(strategy(json!({ "strategy": { "canary": { "maxUnavailable": 0 } } })), rolling(1, 0), "at least one");
    assert_eq!(strategy(json!({ "strategy": { "canary": null, "blueGreen": {} } })), rolling(1, 0));
}

#[test]
fn a_clone_set_has_its_own_defaults_and_what_it_updates_in_place_is_not_replaced() {
    let clone_set = |strategy: Value| {
        let spec = json!({ "replicas": 10, "updateStrategy": strategy });
        workload(
            Kind::CLONE_SET,
            &with(&json!({ "spec": spec, "status": { "currentRevision": "a", "updateRevision": "b" } })),
        )
    };
    assert_eq!(clone_set(json!({})).strategy, rolling(2, 0));
    let by_hand =
        json!({ "type": "ReCreate", "maxUnavailable": 3, "maxSurge": "15%", "partition": "25%", "paused": true });
    let w = clone_set(by_hand);
    assert_eq!(w.strategy, Strategy::RollingUpdate { max_unavailable: 3, max_surge: 2, partition: 3 });
    assert!(w.paused && !clone_set(json!({})).paused);
    assert_eq!((&*w.current_revision, &*w.update_revision), ("a", "b"));
    for policy in ["InPlaceIfPossible", "InPlaceOnly"] {
        assert_eq!(clone_set(json!({ "type": policy })).strategy, Strategy::OnDelete, "{policy}");
    }
}

#[test]
fn a_clone_set_rounds_its_percentages_as_its_controller_does() {
    let strategy = |replicas: u32, strategy: Value| {
        let spec = json!({ "replicas": replicas, "updateStrategy": strategy });
        workload(Kind::CLONE_SET, &with(&json!({ "spec": spec }))).strategy
    };
    assert_eq!(strategy(7, json!({})), rolling(2, 0), "20 % of 7, rounded up");
    assert_eq!(strategy(7, json!({ "maxSurge": 1 })), rolling(1, 1), "and down where Pods are added first");
    let keeps = |replicas: u32, partition: Value| match strategy(replicas, json!({ "partition": partition })) {
        Strategy::RollingUpdate { partition, .. } => partition,
        other => panic!("{other:?}"),
    };
    assert_eq!((keeps(10, json!("1%")), keeps(10, json!("0%"))), (1, 0));
    assert_eq!((keeps(3, json!("95%")), keeps(3, json!("100%"))), (2, 3), "one goes, unless all are to stay");
    assert_eq!((keeps(1, json!("50%")), keeps(3, json!(5))), (1, 3));
}

#[test]
fn an_advanced_stateful_set_is_one_of_openkruise_and_not_one_of_kubernetes() {
    let strategy = |rolling: Value| {
        let spec = json!({ "replicas": 4, "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": rolling } });
        workload(Kind::ADVANCED_STATEFUL_SET, &with(&json!({ "spec": spec })))
    };
    assert_eq!(strategy(json!({})).strategy, rolling(1, 0));
    assert!(strategy(json!({ "paused": true })).paused);
    assert_eq!(strategy(json!({ "podUpdatePolicy": "InPlaceIfPossible" })).strategy, Strategy::OnDelete);
    assert_eq!(Kind::from_owner("apps.kruise.io/v1beta1", "StatefulSet"), Some(Kind::ADVANCED_STATEFUL_SET));
    assert_eq!(Kind::from_owner("apps/v1", "StatefulSet"), Some(Kind::STATEFUL_SET));
}

#[test]
fn the_replica_set_of_an_argo_rollout_is_known_by_its_own_label() {
    let value = json!({ "metadata": { "name": "web-5d", "namespace": "shop", "labels": { "rollouts-pod-template-hash": "5d" } } });
    let Object::ReplicaSet(set) = object(WatchKind::ReplicaSets, &value) else { panic!("no ReplicaSet") };
    assert_eq!(&*set.hash, "5d");
}
