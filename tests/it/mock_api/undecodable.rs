//! What the API server sends and cannot be decoded: nothing is invisible for that, and nothing else stands in its place.

use proptest::prelude::*;
use serde_json::{Value, json};
use sidecar_drift::{
    cluster::{accept, convert::StampKeys, last_read::LastRead, lease::LeaseStore, rollout::patch, state::StateStore},
    core::{
        io::{Input, PatchOutcome, PatchRequest, RenderOutcome, RenderRequest, WatchEvent, WatchKind, WorkloadRef},
        model::{
            Object, Stamp, WorkloadKey,
            lease::{Reply, Request},
            owner::Kind,
            words::UndeterminedReason,
        },
    },
};

use super::{
    api::{Exchange, failure, pair},
    render::{CREATE, deny_blocking, renderer, replica_set, request},
    watch::{Session, leave_open, listed, path, pod, scope, start},
};

const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";

/// JSON that `serde_json` does not decode: no number and no string can be this.
const STRANGE: [&str; 3] = [r#""\ud800""#, "1e999", r#"[{"type":1e999}]"#];

fn nested(depth: usize) -> String {
    r#"{"f:a":"#.repeat(depth) + "1" + &"}".repeat(depth)
}

/// A Deployment or a Pod, with this at the end of its `metadata`, and with that at the end of it.
fn object(name: &str, managed: &str, more: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop","uid":"{name}-uid","resourceVersion":"5","managedFields":[{{"manager":"m","fieldsV1":{managed}}}]}},"spec":{{"replicas":1,"template":{{"metadata":{{"labels":{{"app":"web"}}}},"spec":{{"containers":[]}}}},"containers":[{{"name":"app","image":"app:1"}}]}}{more}}}"#
    )
}

fn list(items: &[String]) -> String {
    format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":[{}]}}"#, items.join(","))
}

fn added(object: &str) -> String {
    format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n")
}

/// A session, and the first request about Deployments; other kinds are left open.
async fn of_deployments(streaming: bool) -> (Session, Exchange) {
    let mut session = start(streaming, None, scope(None, &[Kind::DEPLOYMENT]));
    loop {
        let exchange = session.api.next().await;
        if path(&exchange) == DEPLOYMENTS {
            return (session, exchange);
        }
        leave_open(exchange);
    }
}

/// The objects that come until a list is over.
async fn reset(session: &mut Session) -> Vec<Object> {
    let mut objects = Vec::new();
    loop {
        let event = tokio::time::timeout(std::time::Duration::from_secs(5), session.inputs.recv()).await;
        match event.expect("an event in time").expect("an event") {
            Input::Watch { event: WatchEvent::Apply(object), .. } => objects.push(object),
            Input::Watch {
                event: WatchEvent::ResetStarted | WatchEvent::Interrupted | WatchEvent::Resumed, ..
            } => {}
            Input::Watch { event: WatchEvent::ResetDone, source } => {
                assert!(matches!(source.kind, WatchKind::Pods | WatchKind::Workloads(_)));
                return objects;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn names(objects: &[Object]) -> Vec<String> {
    objects.iter().map(|object| object.key().name.to_string()).collect()
}

#[tokio::test]
async fn a_deployment_that_is_nested_deep_is_there_as_any_other() {
    for depth in [127, 300, 1_000_000] {
        let (deep, plain) = (object("deep", &nested(depth), ""), object("plain", "{}", ""));
        let (mut session, exchange) = of_deployments(false).await;
        exchange.reply_text(200, &list(&[deep.clone(), plain.clone()]));
        let paged = reset(&mut session).await;
        let (mut session, exchange) = of_deployments(true).await;
        let events = exchange.stream();
        events.send_text(&(added(&deep) + &added(&plain)));
        events.list_ends("7");
        let streamed = reset(&mut session).await;
        assert_eq!(paged, streamed);
        assert_eq!(names(&paged), ["deep", "plain"]);
        // But for its name it is as the other.
        let [Object::Workload(deep), Object::Workload(plain)] = &*paged else { panic!("{paged:?}") };
        assert_eq!(
            (&deep.template, &deep.counts, &deep.changed_by),
            (&plain.template, &plain.counts, &plain.changed_by)
        );
    }
}

#[tokio::test]
async fn a_pod_that_is_nested_deep_blinds_nobody() {
    let managed = format!(r#"{{"f:spec":{{"f:containers":{{"k:{{}}":{{"f:image":{}}}}}}}}}"#, nested(300));
    let (deep, plain) = (object("deep", &managed, ""), object("plain", "{}", ""));
    for streaming in [false, true] {
        let mut session = start(streaming, None, scope(None, &[]));
        session.list_of_pods().await.reply_text(200, &list(&[deep.clone(), plain.clone()]));
        let pods = reset(&mut session).await;
        assert_eq!(names(&pods), ["deep", "plain"]);
        assert!(pods.iter().all(|pod| matches!(pod, Object::Pod(pod) if !pod.state.undecodable)));
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_there_and_said_to_be_so() {
    for strange in STRANGE {
        let broken = object("broken", "{}", &format!(r#","status":{{"conditions":{strange}}}"#));
        let plain = object("plain", "{}", "");
        for streaming in [false, true] {
            let mut session = start(streaming, None, scope(None, &[]));
            session.list_of_pods().await.reply_text(200, &list(&[broken.clone(), plain.clone()]));
            let pods = reset(&mut session).await;
            let [Object::Pod(broken), Object::Pod(plain)] = &*pods else { panic!("{pods:?}") };
            assert_eq!((&*broken.key.name, &*broken.uid, broken.state.undecodable), ("broken", "broken-uid", true));
            assert!(!plain.state.undecodable);
        }
        // Of a workload nothing is believed but that it is there: one without a template is never judged.
        let (mut session, exchange) = of_deployments(true).await;
        let events = exchange.stream();
        events.send_text(&(added(&broken) + &added(&plain)));
        events.list_ends("7");
        let workloads = reset(&mut session).await;
        let [Object::Workload(broken), Object::Workload(plain)] = &*workloads else { panic!("{workloads:?}") };
        assert_eq!((&*broken.key.name, &*broken.uid), ("broken", "broken-uid"));
        assert!(broken.template.labels.is_empty() && !plain.template.labels.is_empty());
    }
}

/// To kube, each of these is a Status in which everything is left empty.
#[tokio::test(start_paused = true)]
async fn a_line_that_is_json_and_no_event_is_a_new_reset() {
    for line in ["{}", r#"{"type":"NEWS","object":{}}"#, r#"{"type":"ERROR","object":{}}"#, r#"{"code":"x"}"#] {
        let (mut session, events) = listed().await;
        events.send_text(&format!("{line}\n"));
        let exchange = session.next_of_pods().await;
        assert!(exchange.line.contains("sendInitialEvents=true"), "{line}: {}", exchange.line);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_the_one_that_its_code_says_whatever_its_body_is() {
    for body in ["{}", "[]", "<html>", "", r#"{"kind":"Status","code":200}"#] {
        let (mut session, events) = listed().await;
        session.api = session.api.patient(std::time::Duration::from_secs(100));
        drop(events);
        session.next_of_pods().await.reply_text(410, body);
        let exchange = session.next_of_pods().await;
        assert!(exchange.line.contains("sendInitialEvents=true"), "{body}: {}", exchange.line);
    }
    for body in ["{}", "<html>"] {
        let mut session = start(false, None, scope(None, &[]));
        session.list_of_pods().await.reply_text(403, body);
        assert!(matches!(session.next().await, WatchEvent::Unavailable { forbidden: true, .. }), "{body}");
    }
}

/// What an answer with the status of a success can be that is none.
const NO_ANSWERS: [&str; 7] = ["", "<html>", "{", "{}", "[]", "null", r#"{"kind":"Status","code":200}"#];

#[tokio::test]
async fn a_list_of_revisions_that_cannot_be_read_is_no_empty_history() {
    let workload = json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "owner-uid", "resourceVersion": "99" },
        "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": { "metadata": { "labels": { "app": "web" } } } },
    });
    let mut without_template = replica_set();
    without_template["spec"] = json!({});
    let of_one = json!({ "kind": "ReplicaSetList", "items": [without_template] }).to_string();
    let no_lists = [r#"{"kind":"Pod"}"#, r#"{"items":{}}"#, r#"{"items":null}"#, &of_one];
    for body in NO_ANSWERS.into_iter().chain(no_lists) {
        let (renderer, mut api) = renderer();
        let request = RenderRequest { confirm: true, ..request(Kind::DEPLOYMENT, "web", "web-5d") };
        let server = async {
            api.next().await.reply(200, &workload);
            let revisions = api.next().await;
            assert!(revisions.line.contains("replicasets?"), "{}", revisions.line);
            revisions.reply_text(200, body);
        };
        let (reply, ()) = tokio::join!(renderer.render(&request), server);
        let RenderOutcome::Undetermined { reason: UndeterminedReason::ApiError, message, .. } = reply.outcome else {
            panic!("{body}: {:?}", reply.outcome)
        };
        assert!(message.contains("cannot be read") || message == "revision web-5d has no template", "{message}");
        assert_eq!(reply.confirmation, None);
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_no_rendering_and_not_that_something_is_gone() {
    for body in NO_ANSWERS {
        let (renderer, mut api) = renderer();
        let server = async {
            api.next().await.reply(200, &replica_set());
            deny_blocking(&mut api).await;
            api.expect(CREATE).await.reply_text(201, body);
        };
        let request = request(Kind::DEPLOYMENT, "web", "web-5d");
        let outcome = tokio::join!(renderer.render(&request), server).0.outcome;
        assert!(
            matches!(outcome, RenderOutcome::Undetermined { reason: UndeterminedReason::ApiError, .. }),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_workload_that_cannot_be_read_is_not_patched_and_not_gone() {
    let key = WorkloadKey { namespace: "shop".into(), kind: Kind::DEPLOYMENT, name: "web".into() };
    for body in NO_ANSWERS {
        let (cluster, mut api) = pair();
        let stamp = Stamp { timestamp: jiff::Timestamp::UNIX_EPOCH, reason: String::new(), fingerprint: None };
        let request = PatchRequest {
            ticket: 1,
            workload: WorkloadRef { key: key.clone(), uid: "owner-uid".into() },
            resource_version: "41".into(),
            has_annotations: false,
            stamp,
        };
        let keys = StampKeys::new("sidecarRollout");
        let server = async { api.next().await.reply_text(200, body) };
        let unread = LastRead::default();
        let outcome = tokio::join!(patch(&cluster, &keys, &unread, &request, &|| true), server).0.outcome;
        assert!(matches!(outcome, PatchOutcome::Failed { .. }), "{body}: {outcome:?}");

        let server = async { api.next().await.reply_text(200, body) };
        let uid = tokio::join!(accept::workload_uid(&cluster, &key), server).0;
        assert!(uid.is_err(), "{body}: {uid:?}");
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_read_does_not_say_that_nothing_is_stopped() {
    let bad = [r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":7}}"#, r#"{"kind":"Status"}"#];
    for body in NO_ANSWERS.into_iter().chain(bad) {
        let (cluster, mut api) = pair();
        let store = StateStore::new(cluster, "ops");
        let server = async { api.next().await.reply_text(200, body) };
        let state = tokio::join!(store.read(), server).0;
        assert!(state.is_err(), "{body}: {state:?}");
    }
    for data in
        [json!("x"), json!([]), json!({ "state.json": 7 }), json!({ "state.json": null }), json!({ "state.json": "" })]
    {
        let (cluster, mut api) = pair();
        let store = StateStore::new(cluster, "ops");
        let body = json!({ "metadata": { "resourceVersion": "7" }, "data": data });
        let server = async { api.next().await.reply(200, &body) };
        let state = tokio::join!(store.read(), server).0;
        assert!(matches!(state, Ok(None)), "{data}: {state:?}");
    }
}

#[tokio::test]
async fn a_lease_that_cannot_be_read_does_not_say_that_nobody_leads() {
    let bad = |spec: Value| json!({ "metadata": { "resourceVersion": "7" }, "spec": spec }).to_string();
    let wrong = [bad(json!("x")), bad(json!({ "holderIdentity": 7 })), bad(json!({ "leaseDurationSeconds": "15" }))];
    for body in NO_ANSWERS.into_iter().chain(wrong.iter().map(String::as_str)) {
        let (cluster, mut api) = pair();
        let store = LeaseStore::new(cluster, "ops", "sidecar-drift");
        let server = async { api.next().await.reply_text(200, body) };
        let reply = tokio::join!(store.ask(&Request::Read), server).0;
        assert!(matches!(reply, Reply::Failed { .. }), "{body}: {reply:?}");
    }
}

#[tokio::test]
async fn a_group_that_cannot_be_read_does_not_say_that_there_are_no_policies() {
    for body in NO_ANSWERS {
        let (cluster, mut api) = pair();
        let server = async {
            api.expect("GET /version").await.reply(200, &json!({ "gitVersion": "v1.37.2" }));
            api.next().await.reply_text(200, body);
        };
        let probed = tokio::join!(cluster.probe(None), server).0;
        assert!(probed.is_err(), "{body}: {probed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes in a list or in a watch: no panic, and the Pods beside them are seen.
    #[test]
    fn whatever_comes_nobody_panics_and_what_has_a_name_is_seen(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let text = String::from_utf8_lossy(&bytes).replace(['\n', '\r'], " ");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (mut session, events) = listed().await;
            session.api = session.api.patient(std::time::Duration::from_secs(100));
            events.send("ADDED", &pod("before", "8"));
            events.send_text(&format!("{text}\n"));
            events.send("ADDED", &pod("behind", "9"));
            assert_eq!(session.next_name().await, "before");
            // Either the line could be passed over, or all are listed anew.
            tokio::select! {
                event = session.inputs.recv() => match event {
                    Some(Input::Watch { event: WatchEvent::Apply(object), .. }) => assert_eq!(&*object.key().name, "behind"),
                    other => panic!("{other:?}"),
                },
                exchange = session.api.next() => {
                    assert!(exchange.line.contains("sendInitialEvents=true"), "{}", exchange.line);
                }
            }
            let mut session = start(false, None, scope(None, &[]));
            session.api = session.api.patient(std::time::Duration::from_secs(100));
            session.list_of_pods().await.reply_text(200, &text);
            session.next_of_pods().await.reply(500, &failure(500, "InternalError", &text));
            session.next_of_pods().await.reply_text(200, &list(&[pod("a", "1").to_string()]));
            assert_eq!(names(&reset(&mut session).await), ["a"]);
        });
    }
}
