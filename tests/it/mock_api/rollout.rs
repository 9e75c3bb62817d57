//! The stamp.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sidecar_drift::{
    cluster::{convert::StampKeys, last_read::LastRead, render::Renderer, rollout::patch},
    core::{
        io::{PatchOutcome, PatchRequest, RenderRequest, WorkloadRef},
        model::{Stamp, WorkloadKey, owner::Kind},
    },
};

use super::api::{Api, Exchange, failure, pair};

const READ: &str = "GET /apis/apps/v1/namespaces/shop/deployments/web";
const TRIAL: &str = "PATCH /apis/apps/v1/namespaces/shop/deployments/web?dryRun=All&fieldManager=sidecar-drift";
const REAL: &str = "PATCH /apis/apps/v1/namespaces/shop/deployments/web?fieldManager=sidecar-drift";

fn request() -> PatchRequest {
    PatchRequest {
        ticket: 3,
        workload: WorkloadRef {
            key: WorkloadKey { namespace: "shop".into(), kind: Kind::DEPLOYMENT, name: "web".into() },
            uid: "owner-uid".into(),
        },
        resource_version: "41".into(),
        has_annotations: false,
        stamp: Stamp {
            timestamp: "2026-05-01T10:00:00Z".parse().expect("a time"),
            reason: "proxy 1.2 → 1.3".to_owned(),
            fingerprint: Some("v1:abc".to_owned()),
        },
    }
}

fn workload() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "owner-uid", "resourceVersion": "41", "generation": 4,
            "managedFields": [{ "manager": "helm" }],
        },
        "spec": { "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [] } } },
    })
}

/// What an API server makes of a patch, as far as it is concerned.
fn patched(exchange: &Exchange) -> Value {
    let mut object = workload();
    let operations: json_patch::Patch = serde_json::from_value(exchange.body.clone()).expect("a JSON Patch");
    json_patch::patch(&mut object, &operations).expect("a patch that fits");
    object["metadata"]["generation"] = json!(5);
    object["metadata"]["resourceVersion"] = json!("42");
    object["metadata"]["managedFields"] = json!([{ "manager": "helm" }, { "manager": "sidecar-drift" }]);
    object
}

async fn outcome_with(may_write: impl Fn() -> bool + Send + Sync, server: impl AsyncFnOnce(&mut Api)) -> PatchOutcome {
    let (cluster, mut api) = pair();
    let (request, keys) = (request(), StampKeys::new("sidecarRollout"));
    let server = async {
        server(&mut api).await;
        api.expect_silence().await;
    };
    let unread = LastRead::default();
    let (reply, ()) = tokio::join!(patch(&cluster, &keys, &unread, &request, &may_write), server);
    assert_eq!(reply.ticket, 3);
    reply.outcome
}

async fn outcome(server: impl AsyncFnOnce(&mut Api)) -> PatchOutcome {
    outcome_with(|| true, server).await
}

/// Play the server up to the real patch.
async fn up_to_the_real_patch(api: &mut Api) -> Exchange {
    api.expect(READ).await.reply(200, &workload());
    let trial = api.expect(TRIAL).await;
    let reply = patched(&trial);
    trial.reply(200, &reply);
    api.expect(REAL).await
}

#[tokio::test]
async fn the_stamp_is_tried_as_a_dry_run_and_then_written() {
    let outcome = outcome(async |api| {
        api.expect(READ).await.reply(200, &workload());
        let trial = api.expect(TRIAL).await;
        assert_eq!(trial.headers["content-type"], "application/json-patch+json");
        let annotation = |word| format!("/spec/template/metadata/annotations/sidecarRollout.rollout.{word}");
        let expected = json!([
            { "op": "test", "path": "/metadata/uid", "value": "owner-uid" },
            { "op": "replace", "path": "/metadata/resourceVersion", "value": "41" },
            { "op": "add", "path": "/spec/template/metadata/annotations", "value": {} },
            { "op": "add", "path": annotation("timestamp"), "value": "2026-05-01T10:00:00Z" },
            { "op": "add", "path": annotation("reason"), "value": "proxy 1.2 → 1.3" },
            { "op": "add", "path": annotation("fingerprint"), "value": "v1:abc" },
        ]);
        assert_eq!(trial.body, expected);
        let reply = patched(&trial);
        trial.reply(200, &reply);
        let real = api.expect(REAL).await;
        assert_eq!(real.body, expected);
        let reply = patched(&real);
        real.reply(200, &reply);
    });
    assert_eq!(outcome.await, PatchOutcome::Patched { generation: 5 });
}

#[tokio::test]
async fn existing_annotations_stay_and_a_slash_in_the_prefix_is_escaped() {
    let (cluster, mut api) = pair();
    let (request, keys) = (request(), StampKeys::new("example.com/sidecar"));
    let server = async {
        let mut object = workload();
        object["spec"]["template"]["metadata"]["annotations"] = json!({ "theirs": "kept" });
        api.expect(READ).await.reply(200, &object);
        let trial = api.expect(TRIAL).await;
        let paths: Vec<&str> =
            trial.body.as_array().expect("a list").iter().filter_map(|op| op["path"].as_str()).collect();
        assert_eq!(paths[2], "/spec/template/metadata/annotations/example.com~1sidecar.rollout.timestamp");
        trial.fail(409, "Conflict", "the object has been modified");
    };
    let unread = LastRead::default();
    let (reply, ()) = tokio::join!(patch(&cluster, &keys, &unread, &request, &|| true), server);
    assert_eq!(reply.outcome, PatchOutcome::Conflict);
}

#[tokio::test]
async fn a_dry_run_that_changes_more_than_the_stamp_ends_it() {
    let outcome = outcome(async |api| {
        api.expect(READ).await.reply(200, &workload());
        let trial = api.expect(TRIAL).await;
        let mut reply = patched(&trial);
        reply["spec"]["template"]["spec"]["nodeName"] = json!("n1");
        reply["metadata"]["labels"] = json!({ "touched": "yes" });
        trial.reply(200, &reply);
    });
    let PatchOutcome::Denied { message } = outcome.await else { panic!("not denied") };
    assert_eq!(
        message,
        "admission would change more of the workload than the stamp: /metadata/labels, /spec/template/spec/nodeName"
    );
}

#[tokio::test]
async fn a_dry_run_that_drops_the_stamp_ends_it() {
    let outcome = outcome(async |api| {
        api.expect(READ).await.reply(200, &workload());
        api.expect(TRIAL).await.reply(200, &workload());
    });
    assert!(matches!(outcome.await, PatchOutcome::Denied { .. }));
}

#[tokio::test]
async fn the_daemon_set_generation_that_the_api_server_keeps_is_not_a_change() {
    let outcome = outcome(async |api| {
        let generation = |n: &str| json!({ "deprecated.daemonset.template.generation": n });
        let mut object = workload();
        object["metadata"]["annotations"] = generation("1");
        api.expect(READ).await.reply(200, &object);
        let trial = api.expect(TRIAL).await;
        let mut reply = patched(&trial);
        reply["metadata"]["annotations"] = generation("2");
        trial.reply(200, &reply);
        api.expect(REAL).await.reply(200, &reply);
    });
    assert_eq!(outcome.await, PatchOutcome::Patched { generation: 5 });
}

#[tokio::test]
async fn nothing_is_sent_without_the_lease() {
    let outcome = outcome_with(|| false, async |api| api.expect(READ).await.reply(200, &workload())).await;
    assert_eq!(outcome, PatchOutcome::NotLeader);
}

#[tokio::test]
async fn a_lease_that_is_lost_during_the_dry_run_stops_the_real_patch() {
    let asked = AtomicUsize::new(0);
    let outcome = outcome_with(
        || asked.fetch_add(1, Ordering::Relaxed) == 0,
        async |api| {
            api.expect(READ).await.reply(200, &workload());
            let trial = api.expect(TRIAL).await;
            let reply = patched(&trial);
            trial.reply(200, &reply);
        },
    );
    assert_eq!(outcome.await, PatchOutcome::NotLeader);
}

#[tokio::test]
async fn a_workload_that_moved_meanwhile_is_a_conflict_and_a_new_one_is_another() {
    let moved = outcome(async |api| {
        let mut object = workload();
        object["metadata"]["resourceVersion"] = json!("40");
        api.expect(READ).await.reply(200, &object);
    });
    assert_eq!(moved.await, PatchOutcome::Conflict);
    let replaced = outcome(async |api| {
        let mut object = workload();
        object["metadata"]["uid"] = json!("another");
        api.expect(READ).await.reply(200, &object);
    });
    assert_eq!(replaced.await, PatchOutcome::Gone);
    let gone = outcome(async |api| api.expect(READ).await.fail(404, "NotFound", "not found"));
    assert_eq!(gone.await, PatchOutcome::Gone);
}

#[tokio::test]
async fn refusals_of_the_real_patch_are_told_apart() {
    let conflict = outcome(async |api| up_to_the_real_patch(api).await.fail(409, "Conflict", "modified"));
    assert_eq!(conflict.await, PatchOutcome::Conflict);
    let test_failed = "the server rejected our request due to an error in our request";
    let failed_test = outcome(async |api| up_to_the_real_patch(api).await.fail(422, "Invalid", test_failed));
    assert_eq!(failed_test.await, PatchOutcome::Conflict);
    let denied = outcome(async |api| {
        let mut status = failure(422, "Invalid", "denied by policy");
        status["details"] = json!({ "causes": [{ "message": "no" }] });
        up_to_the_real_patch(api).await.reply(422, &status);
    });
    assert!(matches!(denied.await, PatchOutcome::Denied { .. }));
    let throttled = outcome(async |api| up_to_the_real_patch(api).await.throttle(2));
    assert!(matches!(throttled.await, PatchOutcome::Failed { retry_after: Some(_), .. }));
}

#[tokio::test]
async fn only_a_lost_answer_to_the_real_patch_leaves_it_open() {
    let trial_lost = outcome(async |api| {
        api.expect(READ).await.reply(200, &workload());
        api.expect(TRIAL).await.break_off();
    });
    assert!(matches!(trial_lost.await, PatchOutcome::Failed { .. }));
    let trial_failed = outcome(async |api| {
        api.expect(READ).await.reply(200, &workload());
        api.expect(TRIAL).await.fail(500, "InternalError", "etcdserver: request timed out");
    });
    assert!(matches!(trial_failed.await, PatchOutcome::Failed { .. }));
    let real_lost = outcome(async |api| up_to_the_real_patch(api).await.break_off());
    assert!(matches!(real_lost.await, PatchOutcome::Unknown { .. }));
    let real_failed = outcome(async |api| {
        up_to_the_real_patch(api).await.fail(504, "Timeout", "request did not complete within the allowed duration");
    });
    assert!(matches!(real_failed.await, PatchOutcome::Unknown { .. }));
}

/// What was read right before is not read again: the patch holds for that version alone (B10).
#[tokio::test]
async fn a_workload_that_was_read_for_the_confirmation_is_not_read_again() {
    let (renderer, mut api, last_read) = confirming();
    let confirm = RenderRequest { confirm: true, ..super::render::request(Kind::DEPLOYMENT, "web", "web-5d") };
    let mut read = workload();
    read["spec"]["selector"] = json!({ "matchLabels": { "app": "web" } });
    let confirmed = async |api: &mut Api| {
        api.expect(READ).await.reply(200, &read);
        let all = "GET /apis/apps/v1/namespaces/shop/replicasets?&labelSelector=app%3Dweb";
        api.expect(all).await.reply(200, &json!({ "items": [super::render::replica_set()] }));
        super::render::deny_blocking(api).await;
        api.expect(super::render::CREATE).await.reply(201, &super::render::rendered());
    };
    let (reply, ()) = tokio::join!(renderer.render(&confirm), confirmed(&mut api));
    assert!(reply.confirmation.is_some(), "{reply:?}");

    let (cluster, mut api) = pair();
    let (keys, may_write) = (StampKeys::new("sidecarRollout"), || true);
    let first = async {
        let trial = api.expect(TRIAL).await;
        let mut reply = patched(&trial);
        reply["spec"]["selector"] = read["spec"]["selector"].clone();
        trial.reply(200, &reply);
        api.expect(REAL).await.reply(200, &reply);
    };
    let request = request();
    let (reply, ()) = tokio::join!(patch(&cluster, &keys, &last_read, &request, &may_write), first);
    assert_eq!(reply.outcome, PatchOutcome::Patched { generation: 5 });
    // It is used up: who patches once more reads once more.
    let second = async { api.expect(READ).await.fail(404, "NotFound", "it is gone") };
    let (reply, ()) = tokio::join!(patch(&cluster, &keys, &last_read, &request, &may_write), second);
    assert_eq!(reply.outcome, PatchOutcome::Gone);
}

/// The twin: a decision that was made on another version, or on another workload of that name, is not helped by it.
#[tokio::test]
async fn what_was_read_at_another_version_is_read_again() {
    for (uid, version) in [("owner-uid", "42"), ("another-uid", "41")] {
        let (renderer, mut api, last_read) = confirming();
        let confirm = RenderRequest { confirm: true, ..super::render::request(Kind::DEPLOYMENT, "web", "web-5d") };
        let server = async {
            api.expect(READ).await.reply(200, &workload());
            let all = "GET /apis/apps/v1/namespaces/shop/replicasets?&labelSelector=";
            api.expect(all).await.reply(200, &json!({ "items": [super::render::replica_set()] }));
            super::render::deny_blocking(&mut api).await;
            api.expect(super::render::CREATE).await.reply(201, &super::render::rendered());
        };
        tokio::join!(renderer.render(&confirm), server);
        let (cluster, mut api) = pair();
        let (keys, may_write) = (StampKeys::new("sidecarRollout"), || true);
        let mut request = PatchRequest { resource_version: version.into(), ..request() };
        request.workload.uid = uid.into();
        let server = async { api.expect(READ).await.fail(404, "NotFound", "it is gone") };
        let (reply, ()) = tokio::join!(patch(&cluster, &keys, &last_read, &request, &may_write), server);
        assert_eq!(reply.outcome, PatchOutcome::Gone, "{uid} {version}");
    }
}

/// A renderer that leaves what it reads for patches.
fn confirming() -> (Renderer, Api, LastRead) {
    let (renderer, api) = super::render::renderer();
    let last_read = LastRead::default();
    (renderer.leaving(last_read.clone()), api, last_read)
}
