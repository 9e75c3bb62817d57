//! A kind that a person described: what is asked of the API server for it.

use serde_json::{Value, json};
use sidecar_drift::{
    cluster::{
        convert::{KeptKeys, StampKeys, convert},
        last_read::LastRead,
        render::Renderer,
        rollout::patch,
    },
    core::{
        config::{Policy, WhatIf},
        io::{PatchOutcome, PatchRequest, RenderOutcome, RenderReply, RenderRequest, WatchKind, WorkloadRef},
        model::{
            Counts, Name, Object, Stamp, WorkloadKey, WorkloadSnapshot,
            owner::{Described, Kind, StatusPaths},
            shape::FieldSet,
            words::UndeterminedReason,
        },
    },
};

use super::api::{Api, pair};

const READ: &str = "GET /apis/db.example.com/v1/namespaces/shop/stores/main";
const CREATE: &str = "POST /api/v1/namespaces/shop/pods?dryRun=All&fieldManager=sidecar-drift";
const REVIEW: &str = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const SAMPLE: &str = "GET /api/v1/namespaces/shop/pods?&fieldSelector=metadata.name%3Dmain-x";

/// Its template is where only its description finds it, and so are its numbers.
pub(super) fn store() -> Kind {
    let path = |name: &str| format!("status.pods.{name}");
    let described = Described {
        template: "spec.server.pod".to_owned(),
        labels: [("db.example.com/store".to_owned(), "{name}".to_owned())].into(),
        paused: vec!["spec.suspend".to_owned()],
        status: StatusPaths {
            observed_generation: "status.seen".to_owned(),
            desired: "spec.server.count".to_owned(),
            replicas: path("all"),
            updated: path("new"),
            ready: path("ready"),
            available: path("available"),
            revision: path("revision"),
            restarted: None,
        },
        ..Described::new("db.example.com", "v1", "Store")
    };
    Kind::describe(&described).expect("room for it")
}

fn object() -> Value {
    json!({
        "apiVersion": "db.example.com/v1", "kind": "Store",
        "metadata": {
            "name": "main", "namespace": "shop", "uid": "owner-uid", "resourceVersion": "41", "generation": 4,
        },
        "spec": { "suspend": true, "server": { "count": 3, "pod": {
            "metadata": { "labels": { "app": "main" } },
            "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
        } } },
        "status": { "seen": 3, "pods": { "all": 4, "new": 2, "ready": 1 } },
    })
}

fn snapshot(object: &Value) -> WorkloadSnapshot {
    match convert(WatchKind::Workloads(store()), object, &KeptKeys::of(&Policy::default())).object {
        Some(Object::Workload(workload)) => *workload,
        other => panic!("{other:?}"),
    }
}

fn reference() -> WorkloadRef {
    WorkloadRef {
        key: WorkloadKey { namespace: "shop".into(), kind: store(), name: "main".into() },
        uid: "owner-uid".into(),
    }
}

#[test]
fn its_fields_are_read_where_its_description_has_them() {
    let w = snapshot(&object());
    assert_eq!((w.generation, w.observed_generation, w.paused), (4, 3, true));
    // What says nothing of availability means readiness.
    assert_eq!(w.counts, Counts { desired: 3, current: 4, updated: 2, ready: 1, available: 1 });
    let labels: Vec<_> = w.template.labels.iter().map(|(key, text)| format!("{key}={text}")).collect();
    assert_eq!(labels, ["app=main", "db.example.com/store=main"]);

    let bare = snapshot(&json!({ "metadata": { "name": "bare" }, "status": { "pods": { "all": 2 } } }));
    assert_eq!(bare.counts, Counts { desired: 2, current: 2, ..Counts::default() });
    assert!(!bare.paused);
}

fn request(sample: Option<Name>) -> RenderRequest {
    RenderRequest {
        ticket: 7,
        workload: reference(),
        revision: snapshot(&object()).template.identity(),
        ordinals: None,
        other_than: None,
        node: None,
        sample,
        confirm: false,
        together: Vec::new(),
        fields: FieldSet::Default,
        what_if: WhatIf::default(),
    }
}

async fn rendered(sample: Value, injected: &str) -> (RenderReply, Value) {
    let (cluster, mut api) = pair();
    let renderer = Renderer::new(cluster, KeptKeys::of(&Policy::default()));
    let request = request(Some("main-x".into()));
    let server = async {
        api.expect(READ).await.reply(200, &object());
        let review = api.expect(REVIEW).await;
        assert_eq!(review.body["spec"]["resourceAttributes"]["group"], "db.example.com");
        review.reply(201, &json!({ "status": { "allowed": false } }));
        let create = api.expect(CREATE).await;
        let mut pod = create.body.clone();
        pod["metadata"]["labels"][injected] = json!("x");
        pod["spec"]["containers"].as_array_mut().expect("a list").push(json!({ "name": "proxy", "image": "proxy:2" }));
        let asked = create.body.clone();
        create.reply(201, &pod);
        api.expect(SAMPLE).await.reply(200, &json!({ "items": [sample] }));
        asked
    };
    tokio::join!(renderer.render(&request), server)
}

#[tokio::test]
async fn it_is_rendered_from_its_own_template_with_the_labels_that_its_controller_adds() {
    let labels = json!({ "app": "main", "db.example.com/store": "main", "injected": "y", "pod-template-hash": "1" });
    let (reply, asked) = rendered(json!({ "metadata": { "labels": labels } }), "injected").await;
    assert_eq!(asked["metadata"]["labels"], json!({ "app": "main", "db.example.com/store": "main" }));
    assert_eq!(asked["metadata"]["generateName"], "main-");
    let owner = json!({
        "apiVersion": "db.example.com/v1", "kind": "Store", "name": "main", "uid": "owner-uid", "controller": true,
    });
    assert_eq!(asked["metadata"]["ownerReferences"], json!([owner]));
    let RenderOutcome::Rendered(rendering) = reply.outcome else { panic!("{:?}", reply.outcome) };
    assert!(rendering.rendered.container("proxy").is_some());
}

/// The twin: an injector may go by a label of which nobody told us, and its Pod would be another one.
#[tokio::test]
async fn it_is_not_judged_when_its_pods_have_a_label_that_nobody_explains() {
    let labels = json!({ "app": "main", "db.example.com/store": "main", "db.example.com/role": "leader" });
    let (reply, _) = rendered(json!({ "metadata": { "labels": labels } }), "injected").await;
    let RenderOutcome::Undetermined { reason, message, .. } = reply.outcome else { panic!("{:?}", reply.outcome) };
    assert_eq!(reason, UndeterminedReason::UnsupportedOwner);
    assert_eq!(
        message,
        "Pod main-x has the label db.example.com/role, which neither its template nor admission gave it; if the controller \
         of Store does, name it in `labels` of its description under `owners`"
    );
}

#[tokio::test]
async fn a_template_that_moved_meanwhile_is_not_rendered() {
    let (cluster, mut api) = pair();
    let renderer = Renderer::new(cluster, KeptKeys::of(&Policy::default()));
    let request = request(None);
    let server = async {
        let mut moved = object();
        moved["spec"]["server"]["pod"]["spec"]["containers"][0]["image"] = json!("app:2");
        api.expect(READ).await.reply(200, &moved);
        api.expect_silence().await;
    };
    assert_eq!(tokio::join!(renderer.render(&request), server).0.outcome, RenderOutcome::Gone);
}

async fn patched(kind: Kind, api: impl AsyncFnOnce(&mut Api)) -> PatchOutcome {
    let (cluster, mut server) = pair();
    let mut workload = reference();
    workload.key.kind = kind;
    let request = PatchRequest {
        ticket: 3,
        workload,
        resource_version: "41".into(),
        has_annotations: false,
        stamp: Stamp {
            timestamp: "2026-05-01T10:00:00Z".parse().expect("a time"),
            reason: "why".to_owned(),
            fingerprint: None,
        },
    };
    let keys = StampKeys::new("sidecarRollout");
    let unread = LastRead::default();
    tokio::join!(patch(&cluster, &keys, &unread, &request, &|| true), api(&mut server)).0.outcome
}

#[tokio::test]
async fn the_stamp_goes_where_its_template_is() {
    let outcome = patched(store(), async |api| {
        api.expect(READ).await.reply(200, &object());
        for query in ["?dryRun=All&", "?"] {
            let path = READ.replace("GET", "PATCH");
            let exchange = api.expect(&format!("{path}{query}fieldManager=sidecar-drift")).await;
            let annotation = |word| format!("/spec/server/pod/metadata/annotations/sidecarRollout.rollout.{word}");
            let expected = json!([
                { "op": "test", "path": "/metadata/uid", "value": "owner-uid" },
                { "op": "replace", "path": "/metadata/resourceVersion", "value": "41" },
                { "op": "add", "path": "/spec/server/pod/metadata/annotations", "value": {} },
                { "op": "add", "path": annotation("timestamp"), "value": "2026-05-01T10:00:00Z" },
                { "op": "add", "path": annotation("reason"), "value": "why" },
            ]);
            assert_eq!(exchange.body, expected);
            let mut reply = object();
            json_patch::patch(&mut reply, &serde_json::from_value::<json_patch::Patch>(expected).expect("a patch"))
                .expect("it fits");
            reply["metadata"]["generation"] = json!(5);
            exchange.reply(200, &reply);
        }
    });
    assert_eq!(outcome.await, PatchOutcome::Patched { generation: 5 });
}

#[tokio::test]
async fn a_field_that_restarts_it_gets_the_time_and_the_template_no_stamp() {
    let described = store().described().expect("described");
    let status = StatusPaths { restarted: Some("status.restarted".to_owned()), ..described.status.clone() };
    let name = "Restarted".to_owned();
    let by_field = Described { name, restart: Some("spec.restartAt".to_owned()), status, ..described.clone() };
    let kind = Kind::describe(&by_field).expect("room for it");
    let outcome = patched(kind, async |api| {
        api.expect(READ).await.reply(200, &object());
        let path = READ.replace("GET", "PATCH");
        let trial = api.expect(&format!("{path}?dryRun=All&fieldManager=sidecar-drift")).await;
        assert_eq!(
            trial.body.as_array().and_then(|operations| operations.get(2..)),
            Some(&[json!({ "op": "add", "path": "/spec/restartAt", "value": "2026-05-01T10:00:00Z" })][..])
        );
        trial.fail(409, "Conflict", "the object has been modified");
    });
    assert_eq!(outcome.await, PatchOutcome::Conflict);

    let mut object = object();
    object["spec"]["restartAt"] = json!("2026-05-01T10:00:00Z");
    object["status"]["restarted"] = json!("2026-05-01T09:00:00Z");
    let converted = convert(WatchKind::Workloads(kind), &object, &KeptKeys::of(&Policy::default()));
    let Some(Object::Workload(w)) = converted.object else { panic!("{converted:?}") };
    assert_eq!(w.template.stamp.map(|stamp| stamp.timestamp), "2026-05-01T10:00:00Z".parse().ok());
    assert_eq!(w.restarted, "2026-05-01T09:00:00Z".parse().ok());
}
