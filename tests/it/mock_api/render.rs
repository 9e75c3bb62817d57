//! Dry-run Pod creations.

use std::time::Duration;

use serde_json::{Value, json};
use sidecar_drift::{
    cluster::{convert::KeptKeys, render::Renderer},
    config::Caller,
    core::{
        config::{Policy, WhatIf},
        io::{RenderOutcome, RenderReply, RenderRequest, WorkloadRef},
        model::{WorkloadKey, owner::Kind, shape::FieldSet, words::UndeterminedReason},
    },
};

use super::api::{Api, Exchange, pair};

pub(super) const CREATE: &str = "POST /api/v1/namespaces/shop/pods?dryRun=All&fieldManager=sidecar-drift";
const REVIEW: &str = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const SET: &str = "GET /apis/apps/v1/namespaces/shop/statefulsets/db";
const SET_REVISION: &str = "GET /apis/apps/v1/namespaces/shop/controllerrevisions/db-6f?resourceVersion=0";
/// As the API server's cache has it.
const REPLICA_SET: &str = "GET /apis/apps/v1/namespaces/shop/replicasets/web-5d?resourceVersion=0";
/// As etcd has it.
const NEWEST_REPLICA_SET: &str = "GET /apis/apps/v1/namespaces/shop/replicasets/web-5d";

pub(super) fn renderer() -> (Renderer, Api) {
    let (cluster, api) = pair();
    (Renderer::new(cluster, KeptKeys::of(&Policy::default())), api)
}

pub(super) fn request(kind: Kind, name: &str, revision: &str) -> RenderRequest {
    let key = WorkloadKey { namespace: "shop".into(), kind, name: name.into() };
    RenderRequest {
        ticket: 7,
        workload: WorkloadRef { key, uid: "owner-uid".into() },
        revision: revision.into(),
        ordinals: None,
        other_than: None,
        node: None,
        sample: None,
        confirm: false,
        together: Vec::new(),
        fields: FieldSet::Default,
        what_if: WhatIf::default(),
    }
}

fn controlled(name: &str, rest: &Value) -> Value {
    let mut object = json!({ "metadata": {
        "name": name, "namespace": "shop", "uid": format!("{name}-uid"), "resourceVersion": "41",
        "ownerReferences": [{ "controller": true, "uid": "owner-uid" }],
    } });
    json_patch::merge(&mut object, rest);
    object
}

fn template(stamp: Option<&str>) -> Value {
    let mut template = json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
    });
    if let Some(time) = stamp {
        template["metadata"]["annotations"] = json!({
            "sidecarRollout.rollout.timestamp": time, "sidecarRollout.rollout.reason": "proxy 1.2",
        });
    }
    template
}

pub(super) fn replica_set() -> Value {
    controlled("web-5d", &json!({ "spec": { "template": template(None) } }))
}

pub(super) fn rendered() -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "web-5d-x", "namespace": "shop" },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }, { "name": "proxy", "image": "proxy:2" }] },
    })
}

pub(super) async fn deny_blocking(api: &mut Api) {
    api.expect(REVIEW).await.reply(201, &json!({ "status": { "allowed": false } }));
}

/// Play the server for a Deployment up to the dry run.
pub(super) async fn up_to_the_dry_run(api: &mut Api) -> Exchange {
    api.expect(REPLICA_SET).await.reply(200, &replica_set());
    deny_blocking(api).await;
    api.expect(CREATE).await
}

/// What comes of a Deployment's rendering when the dry run is answered like this.
async fn outcome_of(answer: impl FnOnce(Exchange)) -> RenderOutcome {
    let (renderer, mut api) = renderer();
    let request = request(Kind::DEPLOYMENT, "web", "web-5d");
    let server = async { answer(up_to_the_dry_run(&mut api).await) };
    tokio::join!(renderer.render(&request), server).0.outcome
}

fn reason(outcome: &RenderOutcome) -> Option<UndeterminedReason> {
    match outcome {
        RenderOutcome::Undetermined { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_deployment_is_rendered_from_its_replica_set() {
    let (renderer, mut api) = renderer();
    let request = request(Kind::DEPLOYMENT, "web", "web-5d");
    let server = async {
        let exchange = up_to_the_dry_run(&mut api).await;
        let owner = &exchange.body["metadata"]["ownerReferences"][0];
        assert_eq!(owner["kind"], "ReplicaSet");
        assert_eq!(owner["uid"], "web-5d-uid");
        assert_eq!(owner.get("blockOwnerDeletion"), None);
        assert_eq!(exchange.body["metadata"]["generateName"], "web-5d-");
        assert_eq!(exchange.headers["user-agent"], concat!("sidecar-drift/", env!("CARGO_PKG_VERSION")));
        exchange.reply(201, &rendered());
    };
    let (reply, ()) = tokio::join!(renderer.render(&request), server);

    assert_eq!(reply.ticket, 7);
    let RenderOutcome::Rendered(rendering) = reply.outcome else { panic!("{:?}", reply.outcome) };
    assert!(rendering.template.container("proxy").is_none());
    assert_eq!(&*rendering.rendered.container("proxy").expect("injected").image, "proxy:2");
}

#[tokio::test]
async fn what_is_supposed_is_in_the_pod_and_in_the_path() {
    let (renderer, mut api) = renderer();
    let supposed = json!({
        "labels": { "app": "other", "rev": "canary" }, "annotations": { "a": "b" }, "namespace": "next",
    });
    let what_if = serde_json::from_value(supposed).expect("what is supposed");
    let request = RenderRequest { what_if, ..request(Kind::DEPLOYMENT, "web", "web-5d") };
    let server = async {
        api.expect(REPLICA_SET).await.reply(200, &replica_set());
        deny_blocking(&mut api).await;
        let exchange = api.expect(&CREATE.replace("/shop/", "/next/")).await;
        assert_eq!(exchange.body["metadata"]["labels"], json!({ "app": "other", "rev": "canary" }));
        assert_eq!(exchange.body["metadata"]["annotations"], json!({ "a": "b" }));
        assert_eq!(exchange.body["metadata"]["ownerReferences"][0]["uid"], "web-5d-uid");
        exchange.reply(201, &rendered());
    };
    let (reply, ()) = tokio::join!(renderer.render(&request), server);
    assert!(matches!(reply.outcome, RenderOutcome::Rendered(_)));
}

#[tokio::test]
async fn a_daemon_set_without_pods_is_rendered_from_its_newest_revision() {
    let (renderer, mut api) = renderer();
    let request = request(Kind::DAEMON_SET, "agent", "");
    let revision = |name: &str, number: u32| {
        controlled(name, &json!({ "revision": number, "data": { "spec": { "template": template(None) } } }))
    };
    let server = async {
        let set = json!({ "metadata": { "name": "agent", "uid": "owner-uid" }, "spec": {
            "selector": { "matchLabels": { "app": "web" } },
        } });
        api.expect("GET /apis/apps/v1/namespaces/shop/daemonsets/agent").await.reply(200, &set);
        let stranger = json!({ "metadata": { "name": "agent-z" }, "revision": 9 });
        let all =
            json!({ "items": [revision("agent-b", 2), stranger, revision("agent-c", 7), revision("agent-a", 1)] });
        api.expect("GET /apis/apps/v1/namespaces/shop/controllerrevisions?&labelSelector=app%3Dweb")
            .await
            .reply(200, &all);
        let newest = "GET /apis/apps/v1/namespaces/shop/controllerrevisions/agent-c?resourceVersion=0";
        api.expect(newest).await.reply(200, &revision("agent-c", 7));
        deny_blocking(&mut api).await;
        api.expect(CREATE).await.reply(201, &rendered());
    };
    let (reply, ()) = tokio::join!(renderer.render(&request), server);
    assert!(matches!(reply.outcome, RenderOutcome::Rendered(_)), "{:?}", reply.outcome);
}

#[tokio::test]
async fn r4_dry_runs_can_be_sent_in_the_name_of_the_controllers() {
    for (caller, kind, user) in [
        (Caller::Controllers, Kind::DEPLOYMENT, "system:serviceaccount:kube-system:replicaset-controller"),
        (Caller::User("system:kube-controller-manager".to_owned()), Kind::DEPLOYMENT, "system:kube-controller-manager"),
    ] {
        let (renderer, mut api) = renderer();
        let renderer = renderer.calling_as(caller);
        let request = request(kind, "web", "web-5d");
        let server = async {
            let exchange = api.expect(REPLICA_SET).await;
            assert!(!exchange.headers.contains_key("impersonate-user"), "only dry runs are");
            exchange.reply(200, &replica_set());
            let exchange = api.expect(CREATE).await;
            assert_eq!(exchange.headers["impersonate-user"], user);
            assert_eq!(exchange.body["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);
            let refusal = "serviceaccounts \"x\" is forbidden: User \"drift\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"kube-system\"";
            exchange.fail(403, "Forbidden", refusal);
        };
        let (reply, ()) = tokio::join!(renderer.render(&request), server);
        assert_eq!(reason(&reply.outcome), Some(UndeterminedReason::Forbidden));
    }
}

#[tokio::test]
async fn owner_deletion_is_blocked_only_while_we_have_the_right() {
    let (renderer, mut api) = renderer();
    let request = request(Kind::DEPLOYMENT, "web", "web-5d");
    let server = async {
        api.expect(REPLICA_SET).await.reply(200, &replica_set());
        api.expect(REVIEW).await.reply(201, &json!({ "status": { "allowed": true } }));
        let exchange = api.expect(CREATE).await;
        assert_eq!(exchange.body["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);
        let refusal = "pods \"web-5d-\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";
        exchange.fail(403, "Forbidden", refusal);
        let exchange = api.expect(CREATE).await;
        assert_eq!(exchange.body["metadata"]["ownerReferences"][0].get("blockOwnerDeletion"), None);
        exchange.reply(201, &rendered());
    };
    let (reply, ()) = tokio::join!(renderer.render(&request), server);
    assert!(matches!(reply.outcome, RenderOutcome::Rendered(_)));

    // Neither the right nor its loss is asked for again.
    let server = async {
        api.expect(REPLICA_SET).await.reply(200, &replica_set());
        let exchange = api.expect(CREATE).await;
        assert_eq!(exchange.body["metadata"]["ownerReferences"][0].get("blockOwnerDeletion"), None);
        exchange.reply(201, &rendered());
    };
    tokio::join!(renderer.render(&request), server);
}

async fn stateful_set_with(taken: usize) -> (RenderReply, Vec<String>) {
    let (renderer, mut api) = renderer();
    let request = RenderRequest { ordinals: Some((1, 5)), ..request(Kind::STATEFUL_SET, "db", "db-6f") };
    let mut names = Vec::new();
    let server = async {
        let spec = json!({ "serviceName": "db", "volumeClaimTemplates": [{ "metadata": { "name": "data" } }] });
        api.expect(SET).await.reply(200, &json!({ "metadata": { "name": "db", "uid": "owner-uid" }, "spec": spec }));
        let revision = json!({ "data": { "spec": { "template": template(None) } } });
        api.expect(SET_REVISION).await.reply(200, &controlled("db-6f", &revision));
        deny_blocking(&mut api).await;
        for attempt in 0..=taken.min(4) {
            let exchange = api.expect(CREATE).await;
            let claim = &exchange.body["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"];
            assert_eq!(claim, "data-db-1");
            names.push(exchange.body["metadata"]["name"].as_str().expect("a name").to_owned());
            if attempt < taken {
                exchange.fail(409, "AlreadyExists", "pods \"db\" already exists");
            } else {
                exchange.reply(201, &rendered());
            }
        }
        api.expect_silence().await;
    };
    let (reply, ()) = tokio::join!(renderer.render(&request), server);
    (reply, names)
}

#[tokio::test]
async fn a_stateful_set_takes_the_next_ordinal_when_a_name_is_taken() {
    let (reply, names) = stateful_set_with(2).await;
    assert_eq!(names, ["db-6", "db-7", "db-8"]);
    let RenderOutcome::Rendered(rendering) = reply.outcome else { panic!("{:?}", reply.outcome) };
    assert_eq!(rendering.pod_name.as_deref(), Some("db-8"));
}

#[tokio::test]
async fn a_stateful_set_gives_up_after_five_taken_names() {
    let (reply, names) = stateful_set_with(usize::MAX).await;
    assert_eq!(names.len(), 5);
    assert_eq!(reason(&reply.outcome), Some(UndeterminedReason::ApiError));
}

/// What comes of a refusal of the Pod of an ordinal that does not exist, if that is the answer for one that exists.
async fn refused_set(answer: impl FnOnce(Exchange)) -> RenderOutcome {
    let (renderer, mut api) = renderer();
    let request = RenderRequest { ordinals: Some((1, 5)), ..request(Kind::STATEFUL_SET, "db", "db-6f") };
    let server = async {
        api.expect(SET).await.reply(200, &json!({ "metadata": { "name": "db", "uid": "owner-uid" }, "spec": {} }));
        let revision = json!({ "data": { "spec": { "template": template(None) } } });
        api.expect(SET_REVISION).await.reply(200, &controlled("db-6f", &revision));
        deny_blocking(&mut api).await;
        let free = api.expect(CREATE).await;
        assert_eq!(free.body["metadata"]["name"], "db-6");
        free.fail(403, "Forbidden", "ValidatingAdmissionPolicy 'shards' denied request: no shard 6");
        let existing = api.expect(CREATE).await;
        assert_eq!(existing.body["metadata"]["name"], "db-1");
        assert_eq!(existing.body["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "1");
        answer(existing);
        api.expect_silence().await;
    };
    let (reply, ()) = tokio::join!(renderer.render(&request), server);
    reply.outcome
}

#[tokio::test]
async fn r3_what_refuses_only_ordinals_that_do_not_exist_rejects_nobody() {
    let outcome = refused_set(|exchange| exchange.fail(409, "AlreadyExists", "pods \"db-1\" already exists")).await;
    let RenderOutcome::Undetermined { reason, message, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, UndeterminedReason::DryRunSensitive);
    assert_eq!(message, "admission refuses the Pod of an ordinal that does not exist, and would let db-1 be");
}

#[tokio::test]
async fn r3_what_refuses_the_pods_that_exist_rejects_the_set_with_what_it_says_of_them() {
    let words = "ValidatingAdmissionPolicy 'shards' denied request: no shard 1";
    let outcome = refused_set(|exchange| exchange.fail(403, "Forbidden", words)).await;
    assert_eq!(outcome, RenderOutcome::Rejected { message: words.to_owned() });
    let failed = refused_set(|exchange| exchange.fail(500, "InternalError", "etcdserver: request timed out")).await;
    assert_eq!(reason(&failed), Some(UndeterminedReason::ApiError));
}

#[tokio::test]
async fn a_daemon_set_is_rendered_from_the_revision_of_its_hash() {
    for revision in ["7c", "agent-7c"] {
        let (renderer, mut api) = renderer();
        let request = RenderRequest { node: Some("node-1".into()), ..request(Kind::DAEMON_SET, "agent", revision) };
        let server = async {
            let meta = json!({ "name": "agent", "uid": "owner-uid" });
            let path = "GET /apis/apps/v1/namespaces/shop/daemonsets/agent";
            api.expect(path).await.reply(200, &json!({ "metadata": meta, "spec": {} }));
            let path = "GET /apis/apps/v1/namespaces/shop/controllerrevisions/agent-7c?resourceVersion=0";
            let data = json!({ "data": { "spec": { "template": template(None) } } });
            api.expect(path).await.reply(200, &controlled("agent-7c", &data));
            deny_blocking(&mut api).await;
            let exchange = api.expect(CREATE).await;
            assert_eq!(exchange.body["metadata"]["labels"]["controller-revision-hash"], "7c");
            assert!(exchange.body["spec"]["affinity"].to_string().contains(r#""values":["node-1"]"#));
            exchange.reply(201, &rendered());
        };
        let (reply, ()) = tokio::join!(renderer.render(&request), server);
        let RenderOutcome::Rendered(rendering) = reply.outcome else { panic!("{:?}", reply.outcome) };
        assert_eq!(rendering.node.as_deref(), Some("node-1"));
    }
}

#[tokio::test]
async fn a_throttled_dry_run_says_when_to_come_back() {
    let outcome = outcome_of(|exchange| exchange.throttle(3)).await;
    let RenderOutcome::Undetermined { reason, retry_after, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((reason, retry_after), (UndeterminedReason::Throttled, Some(Duration::from_secs(3))));
}

#[tokio::test]
async fn only_a_whole_pod_is_a_rendering() {
    let lost = outcome_of(Exchange::break_off).await;
    assert_eq!(reason(&lost), Some(UndeterminedReason::ApiError));
    let truncated = outcome_of(|exchange| exchange.reply_text(201, "{\"kind\":\"Pod\",\"spec\":{\"conta")).await;
    assert_eq!(reason(&truncated), Some(UndeterminedReason::ApiError));
    let failed = outcome_of(|exchange| exchange.fail(500, "InternalError", "etcdserver: request timed out")).await;
    assert_eq!(reason(&failed), Some(UndeterminedReason::ApiError));
    let message =
        "pods is forbidden: User \"sd\" cannot create resource \"pods\" in API group \"\" in the namespace \"shop\"";
    let forbidden = outcome_of(|exchange| exchange.fail(403, "Forbidden", message)).await;
    assert_eq!(reason(&forbidden), Some(UndeterminedReason::Forbidden));
    let denied = outcome_of(|exchange| exchange.fail(403, "Forbidden", "violates PodSecurity \"restricted\"")).await;
    assert!(matches!(denied, RenderOutcome::Rejected { .. }), "{denied:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_that_takes_too_long_is_given_up() {
    let (renderer, mut api) = renderer();
    let request = request(Kind::DEPLOYMENT, "web", "web-5d");
    let server = async { up_to_the_dry_run(&mut api).await };
    let began = tokio::time::Instant::now();
    let (reply, _held_back) = tokio::join!(renderer.render(&request), server);
    assert_eq!(began.elapsed().as_secs(), 35);
    let RenderOutcome::Undetermined { message, .. } = reply.outcome else { panic!("{:?}", reply.outcome) };
    assert_eq!(message, "the API server did not answer within 35 s");
}

#[tokio::test]
async fn what_is_not_there_any_more_is_gone() {
    let (renderer, mut api) = renderer();
    let deployment = request(Kind::DEPLOYMENT, "web", "web-5d");
    let server = async {
        for path in [REPLICA_SET, NEWEST_REPLICA_SET] {
            api.expect(path).await.fail(404, "NotFound", "replicasets \"web-5d\" not found");
        }
    };
    assert_eq!(tokio::join!(renderer.render(&deployment), server).0.outcome, RenderOutcome::Gone);

    // Another one of the same name is not the one that was asked for.
    let set = request(Kind::STATEFUL_SET, "db", "db-6f");
    let server = async { api.expect(SET).await.reply(200, &json!({ "metadata": { "name": "db", "uid": "new" } })) };
    assert_eq!(tokio::join!(renderer.render(&set), server).0.outcome, RenderOutcome::Gone);

    let other =
        RenderRequest { workload: WorkloadRef { uid: "new".into(), ..deployment.workload.clone() }, ..deployment };
    let server = async {
        for path in [REPLICA_SET, NEWEST_REPLICA_SET] {
            api.expect(path).await.reply(200, &replica_set());
        }
    };
    assert_eq!(tokio::join!(renderer.render(&other), server).0.outcome, RenderOutcome::Gone);
}

#[tokio::test]
async fn a_template_that_the_api_servers_cache_has_not_is_read_from_etcd() {
    let mut strangers = replica_set();
    strangers["metadata"]["ownerReferences"][0]["uid"] = json!("one of this name that was there before");
    for cached in [None, Some(strangers)] {
        let (renderer, mut api) = renderer();
        let request = request(Kind::DEPLOYMENT, "web", "web-5d");
        let server = async {
            let exchange = api.expect(REPLICA_SET).await;
            match &cached {
                Some(object) => exchange.reply(200, object),
                None => exchange.fail(404, "NotFound", "replicasets \"web-5d\" not found"),
            }
            api.expect(NEWEST_REPLICA_SET).await.reply(200, &replica_set());
            deny_blocking(&mut api).await;
            api.expect(CREATE).await.reply(201, &rendered());
        };
        let (reply, ()) = tokio::join!(renderer.render(&request), server);
        assert!(matches!(reply.outcome, RenderOutcome::Rendered(_)), "{:?}", reply.outcome);
    }
}

#[tokio::test]
async fn a_confirmation_reads_the_workload_before_it_is_rendered_and_all_stamps() {
    let (renderer, mut api) = renderer();
    let request = RenderRequest { confirm: true, ..request(Kind::DEPLOYMENT, "web", "web-5d") };
    let server = async {
        let selector = json!({
            "matchLabels": { "app": "web" },
            "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["a", "b"] },
                { "key": "old", "operator": "DoesNotExist" },
            ],
        });
        let deployment = json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "owner-uid", "resourceVersion": "99" },
            "spec": { "selector": selector, "template": template(Some("2026-05-02T10:00:00Z")) },
        });
        api.expect("GET /apis/apps/v1/namespaces/shop/deployments/web").await.reply(200, &deployment);
        // No cache has a say right before a rollout, and the template is among what is read for the stamps.
        let list =
            "GET /apis/apps/v1/namespaces/shop/replicasets?&labelSelector=app%3Dweb%2Ctier+in+%28a%2Cb%29%2C%21old";
        let with = |name, stamp| controlled(name, &json!({ "spec": { "template": template(stamp) } }));
        let mut foreign = with("other-1", Some("2026-05-03T10:00:00Z"));
        foreign["metadata"]["ownerReferences"][0]["uid"] = json!("somebody else");
        let items = [
            with("web-5d", Some("2026-05-02T10:00:00Z")),
            with("web-4c", Some("2026-05-01T10:00:00Z")),
            with("web-3b", None),
            foreign,
        ];
        api.expect(list).await.reply(200, &json!({ "items": items }));
        deny_blocking(&mut api).await;
        api.expect(CREATE).await.reply(201, &rendered());
    };
    let (reply, ()) = tokio::join!(renderer.render(&request), server);

    let confirmation = reply.confirmation.expect("a confirmation");
    assert_eq!(&*confirmation.workload.resource_version, "99");
    let times: Vec<String> = confirmation.history.iter().map(|attempt| attempt.stamp.timestamp.to_string()).collect();
    assert_eq!(times, ["2026-05-01T10:00:00Z", "2026-05-02T10:00:00Z"]);
    assert!(matches!(reply.outcome, RenderOutcome::Rendered(_)));
}

#[tokio::test]
async fn a_workload_that_cannot_be_confirmed_is_not_rendered() {
    let (renderer, mut api) = renderer();
    let request = RenderRequest { confirm: true, ..request(Kind::DEPLOYMENT, "web", "web-5d") };
    let server = async {
        let path = "GET /apis/apps/v1/namespaces/shop/deployments/web";
        api.expect(path).await.fail(403, "Forbidden", "deployments.apps \"web\" is forbidden");
        api.expect_silence().await;
    };
    let (reply, ()) = tokio::join!(renderer.render(&request), server);
    assert_eq!(reason(&reply.outcome), Some(UndeterminedReason::Forbidden));
    assert_eq!(reply.confirmation, None);
}
