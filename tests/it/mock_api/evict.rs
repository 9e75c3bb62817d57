//! The eviction of one Pod, and the restart of a Rollout.

use std::time::Duration;

use serde_json::{Value, json};
use sidecar_drift::{
    cluster::{convert::StampKeys, evict::evict, last_read::LastRead, rollout::patch},
    core::{
        io::{EvictOutcome, EvictRequest, PatchOutcome, PatchRequest, WorkloadRef},
        model::{Stamp, WorkloadKey, owner::Kind},
    },
};

use super::api::{Exchange, pair};

const EVICTION: &str = "POST /api/v1/namespaces/shop/pods/db-1/eviction?fieldManager=sidecar-drift";

fn of(kind: Kind, name: &str) -> WorkloadRef {
    let key = WorkloadKey { namespace: "shop".into(), kind, name: name.into() };
    WorkloadRef { key, uid: "owner-uid".into() }
}

/// What comes of an eviction that is answered so.
async fn outcome_of(answer: impl FnOnce(Exchange)) -> EvictOutcome {
    let (cluster, mut api) = pair();
    let workload = of(Kind::STATEFUL_SET, "db");
    let request = EvictRequest { ticket: 7, workload, pod: "db-1".into(), uid: "pod-uid".into() };
    let server = async {
        let exchange = api.expect(EVICTION).await;
        let expected = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": "db-1", "namespace": "shop" },
            "deleteOptions": { "preconditions": { "uid": "pod-uid" } },
        });
        assert_eq!(exchange.body, expected, "pinned to the uid, and as gently as the Pod wants");
        answer(exchange);
    };
    let (reply, ()) = tokio::join!(evict(&cluster, &request, &|| true), server);
    assert_eq!(reply.ticket, 7);
    reply.outcome
}

#[tokio::test]
async fn an_eviction_is_pinned_to_the_uid_and_each_answer_is_told_apart() {
    let success = json!({ "kind": "Status", "status": "Success" });
    assert_eq!(outcome_of(|exchange| exchange.reply(201, &success)).await, EvictOutcome::Evicted);

    let budget = json!({
        "kind": "Status", "status": "Failure", "code": 429, "reason": "TooManyRequests",
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "details": { "causes": [{ "reason": "DisruptionBudget", "message": "needs 2" }], "retryAfterSeconds": 10 },
    });
    let retry_after = Some(Duration::from_secs(10));
    assert_eq!(outcome_of(|exchange| exchange.reply(429, &budget)).await, EvictOutcome::NoHeadroom { retry_after });
    // The API server itself is busy, which says nothing of the budget.
    assert!(matches!(outcome_of(|exchange| exchange.throttle(3)).await, EvictOutcome::Failed { .. }));

    let gone = |code, reason: &'static str| move |exchange: Exchange| exchange.fail(code, reason, "not that one");
    assert_eq!(outcome_of(gone(404, "NotFound")).await, EvictOutcome::Gone);
    assert_eq!(outcome_of(gone(409, "Conflict")).await, EvictOutcome::Gone);

    let guard = "ValidatingAdmissionPolicy 'x' with binding 'x' denied request: no";
    let denied = outcome_of(|exchange| exchange.fail(403, "Forbidden", guard)).await;
    assert_eq!(denied, EvictOutcome::Denied { message: guard.to_owned() });
    let right = "pods \"db-1\" is forbidden: User \"sd\" cannot create resource \"pods/eviction\" in API group \"\"";
    let forbidden = outcome_of(|exchange| exchange.fail(403, "Forbidden", right)).await;
    assert!(matches!(forbidden, EvictOutcome::Failed { message, .. } if message.contains("grant that by RBAC")));
    let two = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    let twice = outcome_of(|exchange| exchange.fail(500, "InternalError", two)).await;
    assert_eq!(twice, EvictOutcome::Denied { message: two.to_owned() });

    assert!(matches!(outcome_of(Exchange::break_off).await, EvictOutcome::Unknown { .. }));
    let broken = outcome_of(|exchange| exchange.fail(500, "InternalError", "etcd is away")).await;
    assert!(matches!(broken, EvictOutcome::Unknown { .. }), "it may have been carried out");
}

#[tokio::test]
async fn who_does_not_lead_evicts_nothing() {
    let (cluster, mut api) = pair();
    let workload = of(Kind::STATEFUL_SET, "db");
    let request = EvictRequest { ticket: 7, workload, pod: "db-1".into(), uid: "pod-uid".into() };
    assert_eq!(evict(&cluster, &request, &|| false).await.outcome, EvictOutcome::NotLeader);
    api.expect_silence().await;
}

#[tokio::test]
async fn an_argo_rollout_is_restarted_by_its_own_field_and_not_stamped() {
    const PATH: &str = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web";
    let stored = json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "owner-uid", "resourceVersion": "41", "generation": 4 },
        "spec": { "replicas": 2, "template": { "metadata": { "labels": { "app": "web" } } } },
    });
    let request = PatchRequest {
        ticket: 3,
        workload: of(Kind::ROLLOUT, "web"),
        resource_version: "41".into(),
        has_annotations: false,
        stamp: Stamp {
            timestamp: "2026-05-01T10:00:00Z".parse().expect("a time"),
            reason: String::new(),
            fingerprint: None,
        },
    };
    let (cluster, mut api) = pair();
    let patched = |exchange: &Exchange| -> Value {
        let expected = json!([
            { "op": "test", "path": "/metadata/uid", "value": "owner-uid" },
            { "op": "replace", "path": "/metadata/resourceVersion", "value": "41" },
            { "op": "add", "path": "/spec/restartAt", "value": "2026-05-01T10:00:00Z" },
        ]);
        assert_eq!(exchange.body, expected);
        let mut object = stored.clone();
        object["spec"]["restartAt"] = json!("2026-05-01T10:00:00Z");
        object["metadata"]["generation"] = json!(5);
        object
    };
    let server = async {
        api.expect(&format!("GET {PATH}")).await.reply(200, &stored);
        for query in ["?dryRun=All&fieldManager=sidecar-drift", "?fieldManager=sidecar-drift"] {
            let exchange = api.expect(&format!("PATCH {PATH}{query}")).await;
            let answer = patched(&exchange);
            exchange.reply(200, &answer);
        }
    };
    let keys = StampKeys::new("sidecarRollout");
    let unread = LastRead::default();
    let (reply, ()) = tokio::join!(patch(&cluster, &keys, &unread, &request, &|| true), server);
    assert_eq!(reply.outcome, PatchOutcome::Patched { generation: 5 });
}
