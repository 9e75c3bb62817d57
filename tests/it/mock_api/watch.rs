//! Watch streams.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use sidecar_drift::{
    cluster::{
        client::{Cluster, Server},
        convert::KeptKeys,
        watch::{Scope, Watches},
    },
    core::{
        config::Policy,
        io::{Input, WatchEvent, WatchKind, WatchSource},
        model::{Object, owner::Kind, shape::FieldSet},
    },
};
use tokio::sync::mpsc;

use super::{
    api::{Api, Events, Exchange, pair},
    described::store,
};

pub(super) struct Session {
    pub(super) cluster: Cluster,
    watches: Watches,
    pub(super) api: Api,
    pub(super) inputs: mpsc::Receiver<Input>,
}

pub(super) fn scope(namespaces: Option<&[&str]>, kinds: &[Kind]) -> Scope {
    Scope {
        namespaces: namespaces.map(|names| names.iter().map(|&name| name.into()).collect()),
        kinds: kinds.iter().copied().collect(),
        fields: FieldSet::Default,
        triggers: Vec::new(),
        keys: KeptKeys::of(&Policy::default()),
    }
}

pub(super) fn start(streaming_lists: bool, policies: Option<&'static str>, scope: Scope) -> Session {
    let (cluster, api) = pair();
    let (sender, inputs) = mpsc::channel(64);
    let server = Server { version: "v1.37.2".to_owned(), policies, streaming_lists };
    Session { watches: Watches::start(cluster.clone(), server, scope, sender), cluster, api, inputs }
}

impl Session {
    /// Take one request from each source; keep the one of the Pods: for their watch, which is to begin with all of them,
    /// since a list would be too long.
    async fn pods(&mut self) -> Exchange {
        let list = self.list_of_pods().await;
        list.reply(200, &json!({ "metadata": { "resourceVersion": "1", "continue": "more" }, "items": [] }));
        self.api.next().await
    }

    /// Take one request from each source; keep the one of the Pods: for a list of them.
    pub(super) async fn list_of_pods(&mut self) -> Exchange {
        let mut pods = None;
        for _ in 0..self.watches.sources().len() {
            let exchange = self.api.next().await;
            if path(&exchange) == "/api/v1/pods" {
                pods = Some(exchange);
            } else {
                leave_open(exchange);
            }
        }
        pods.expect("a watch of the Pods")
    }

    /// The next request about Pods; the others' watches, which we leave open, are taken up again after a while of silence.
    pub(super) async fn next_of_pods(&mut self) -> Exchange {
        loop {
            let exchange = self.api.next().await;
            if path(&exchange) == "/api/v1/pods" {
                return exchange;
            }
            leave_open(exchange);
        }
    }

    pub(super) async fn next(&mut self) -> WatchEvent {
        loop {
            let event = self.next_of_all().await;
            if !is_of_its_connection(&event) {
                return event;
            }
        }
    }

    /// What comes next of the Pods, their connection included.
    pub(super) async fn next_of_all(&mut self) -> WatchEvent {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(200), self.inputs.recv()).await;
            match next.expect("an event in time").expect("an event") {
                Input::Watch { source: WatchSource { kind: WatchKind::Pods, namespace: None }, event } => return event,
                Input::Watch { event, .. } if is_of_its_connection(&event) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Nothing has come of the Pods.
    pub(super) fn nothing_of_pods_came(&mut self) -> bool {
        let of_pods = |input: &Input| matches!(input, Input::Watch { source, .. } if source.kind == WatchKind::Pods);
        !std::iter::from_fn(|| self.inputs.try_recv().ok()).any(|input| of_pods(&input))
    }

    pub(super) async fn next_name(&mut self) -> String {
        match self.next().await {
            WatchEvent::Apply(object) => object.key().name.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

fn is_of_its_connection(event: &WatchEvent) -> bool {
    matches!(event, WatchEvent::Interrupted | WatchEvent::Resumed)
}

/// An open watch without events keeps its source quiet, and so does a list without an end.
pub(super) fn leave_open(exchange: Exchange) {
    let listed = exchange.line.contains("?limit=");
    let events = exchange.stream();
    if listed {
        events.send_text(r#"{"metadata":{"resourceVersion":"1"},"items":["#);
    }
    std::mem::forget(events);
}

pub(super) fn path(exchange: &Exchange) -> &str {
    exchange.line.trim_start_matches("GET ").split('?').next().unwrap_or_default()
}

pub(super) fn pod(name: &str, version: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": { "name": name, "namespace": "shop", "resourceVersion": version },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
    })
}

/// A session whose Pods were listed as `a` within the watch.
pub(super) async fn listed() -> (Session, Events) {
    let mut session = start(true, None, scope(None, &[]));
    let exchange = session.pods().await;
    assert!(exchange.line.contains("sendInitialEvents=true"), "{}", exchange.line);
    let events = exchange.stream();
    events.send("ADDED", &pod("a", "1"));
    events.list_ends("2");
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next_name().await, "a");
    assert_eq!(session.next().await, WatchEvent::ResetDone);
    (session, events)
}

#[tokio::test]
async fn a_list_within_the_watch_is_one_reset_and_changes_follow() {
    let (mut session, events) = listed().await;
    events.send("MODIFIED", &pod("a", "3"));
    assert_eq!(session.next_name().await, "a");
    events.send("DELETED", &pod("a", "4"));
    let WatchEvent::Delete(key) = session.next().await else { panic!("not deleted") };
    assert_eq!((&*key.namespace, &*key.name), ("shop", "a"));
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_ended() {
    let (mut session, events) = listed().await;
    drop(events);
    let exchange = session.api.next().await;
    assert!(exchange.line.contains("resourceVersion=2") && !exchange.line.contains("sendInitialEvents"));
    exchange.stream().send("ADDED", &pod("b", "5"));
    assert_eq!(session.next_name().await, "b");
}

#[tokio::test]
async fn a_line_that_is_no_event_is_a_new_reset() {
    let (mut session, events) = listed().await;
    events.send_text("{\"type\":\"ADDED\" garbage}\n");
    let exchange = session.api.next().await;
    assert!(exchange.line.contains("sendInitialEvents=true"), "{}", exchange.line);
}

#[tokio::test]
async fn a_version_that_is_too_old_is_a_new_reset() {
    let (mut session, events) = listed().await;
    events.send("ERROR", &super::api::failure(410, "Expired", "too old resource version"));
    let events = session.api.next().await.stream();
    events.send("ADDED", &pod("b", "9"));
    events.list_ends("9");
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next_name().await, "b");
    assert_eq!(session.next().await, WatchEvent::ResetDone);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_for_its_version_begins_anew() {
    let (mut session, events) = listed().await;
    session.api = session.api.patient(Duration::from_secs(100));
    drop(events);
    session.api.next().await.fail(410, "Expired", "too old resource version");
    let exchange = session.api.next().await;
    assert!(exchange.line.contains("sendInitialEvents=true"), "{}", exchange.line);
    exchange.stream().list_ends("9");
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next().await, WatchEvent::ResetDone);
}

#[tokio::test]
async fn a_server_without_streaming_lists_is_read_in_pages() {
    let mut session = start(false, None, scope(None, &[]));
    let mut first = None;
    for _ in 0..session.watches.sources().len() {
        let exchange = session.api.next().await;
        assert!(exchange.line.contains("limit=500"), "{}", exchange.line);
        if path(&exchange) == "/api/v1/pods" {
            first = Some(exchange);
        }
    }
    let list = |items: &[Value], next: &str| {
        json!({
            "kind": "PodList", "apiVersion": "v1", "metadata": { "resourceVersion": "7", "continue": next }, "items": items,
        })
    };
    first.expect("a list of the Pods").reply(200, &list(&[pod("a", "1")], "more"));
    let second = loop {
        let exchange = session.api.next().await;
        if path(&exchange) == "/api/v1/pods" {
            break exchange;
        }
    };
    assert!(second.line.contains("continue=more"), "{}", second.line);
    second.reply(200, &list(&[pod("b", "2")], ""));
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next_name().await, "a");
    assert_eq!(session.next_name().await, "b");
    assert_eq!(session.next().await, WatchEvent::ResetDone);
}

#[tokio::test]
async fn an_older_server_beside_the_one_that_was_probed_is_read_in_pages() {
    let mut session = start(true, None, scope(None, &[]));
    session.pods().await.fail(422, "Invalid", "sendInitialEvents: Forbidden");
    let exchange = session.api.next().await;
    assert!(exchange.line.contains("limit=500"), "{}", exchange.line);
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_said_and_asked_for_again_each_minute() {
    let mut session = start(true, None, scope(None, &[]));
    session.api = session.api.patient(Duration::from_secs(100));
    let refusal = "pods is forbidden: User \"sd\" cannot watch resource \"pods\" at the cluster scope";
    session.pods().await.fail(403, "Forbidden", refusal);
    let WatchEvent::Unavailable { forbidden, message } = session.next().await else { panic!("available") };
    assert!(forbidden);
    assert_eq!(message, format!("may not watch pods: grant list and watch on pods ({refusal})"));

    let began = tokio::time::Instant::now();
    let events = session.api.next().await.stream();
    assert_eq!(began.elapsed().as_secs(), 60);
    events.list_ends("1");
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next().await, WatchEvent::ResetDone);
}

/// An API server that was just started refuses everything for a moment.
#[tokio::test(start_paused = true)]
async fn a_right_that_was_there_is_not_lost_by_one_refusal() {
    let (mut session, events) = listed().await;
    session.api = session.api.patient(Duration::from_secs(100));
    drop(events);
    for _ in 0..3 {
        session.next_of_pods().await.fail(403, "Forbidden", "not yet");
    }
    let events = session.next_of_pods().await.stream();
    events.send("ADDED", &pod("b", "3"));
    assert_eq!(session.next_name().await, "b");
    drop(events);
    for _ in 0..4 {
        session.next_of_pods().await.fail(403, "Forbidden", "no more");
    }
    assert!(matches!(session.next().await, WatchEvent::Unavailable { forbidden: true, .. }));
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_said() {
    let mut session = start(true, None, scope(None, &[]));
    session.pods().await.fail(404, "NotFound", "the server could not find the requested resource");
    let WatchEvent::Unavailable { forbidden, message } = session.next().await else { panic!("available") };
    assert!(!forbidden);
    assert_eq!(message, "the cluster does not serve pods");
}

/// The CRD of a kind that `--kinds` names may come after us, and go again.
#[tokio::test(start_paused = true)]
async fn a_kind_whose_crd_comes_and_goes_is_watched_while_it_is_there() {
    comes_and_goes(Kind::ROLLOUT, "/apis/argoproj.io/v1alpha1/rollouts").await;
}

#[tokio::test(start_paused = true)]
async fn so_is_a_kind_that_a_person_described() {
    comes_and_goes(store(), "/apis/db.example.com/v1/stores").await;
}

async fn comes_and_goes(kind: Kind, place: &str) {
    const MISSING: (u16, &str, &str) = (404, "NotFound", "the server could not find the requested resource");
    let mut session = start(true, None, scope(None, &[kind]));
    session.api = session.api.patient(Duration::from_secs(100));
    let mut first = None;
    for _ in 0..session.watches.sources().len() {
        let exchange = session.api.next().await;
        if path(&exchange) == place {
            first = Some(exchange);
        } else {
            leave_open(exchange);
        }
    }
    let mut next = async || match session.inputs.recv().await.expect("an event") {
        Input::Watch { source, event } => {
            assert_eq!(source.kind, WatchKind::Workloads(kind));
            event
        }
        other => panic!("{other:?}"),
    };
    first.expect("a watch of it").fail(MISSING.0, MISSING.1, MISSING.2);
    assert!(matches!(next().await, WatchEvent::Unavailable { forbidden: false, .. }));

    let events = session.api.next().await.stream();
    let web = json!({ "metadata": { "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1" } });
    events.send("ADDED", &web);
    events.list_ends("2");
    assert_eq!(next().await, WatchEvent::ResetStarted);
    assert!(matches!(next().await, WatchEvent::Apply(_)));
    assert_eq!(next().await, WatchEvent::ResetDone);

    drop(events);
    for _ in 0..4 {
        session.api.next().await.fail(MISSING.0, MISSING.1, MISSING.2);
    }
    assert!(matches!(next().await, WatchEvent::Unavailable { forbidden: false, .. }));
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_is_retried_at_once_and_the_next_ones_later_and_later() {
    let mut session = start(true, None, scope(None, &[]));
    session.api = session.api.patient(Duration::from_secs(100));
    session.pods().await.fail(500, "InternalError", "oops");
    let began = tokio::time::Instant::now();
    session.api.next().await.fail(500, "InternalError", "oops");
    assert_eq!(began.elapsed(), Duration::ZERO);
    let mut pauses = Vec::new();
    for _ in 0..3 {
        let began = tokio::time::Instant::now();
        session.api.next().await.fail(500, "InternalError", "oops");
        pauses.push(began.elapsed());
    }
    assert!(pauses[0] >= Duration::from_millis(800), "{pauses:?}");
    assert!(pauses[2] >= Duration::from_millis(3200), "{pauses:?}");
    // A list that never comes is not announced.
    assert!(session.inputs.try_recv().is_err());
}

#[tokio::test]
async fn an_object_without_a_name_is_skipped_and_bad_fields_are_left_out() {
    let (mut session, events) = listed().await;
    events.send("ADDED", &json!({ "metadata": { "resourceVersion": "5" } }));
    let mut bad = pod("b", "6");
    bad["metadata"]["labels"] = json!("none");
    bad["status"] = json!({ "phase": 7, "conditions": [3] });
    events.send("ADDED", &bad);
    let WatchEvent::Apply(Object::Pod(pod)) = session.next().await else { panic!("no Pod") };
    assert_eq!(&*pod.key.name, "b");
    assert!(!pod.state.ready && !pod.state.finished);
}

#[tokio::test]
async fn the_watch_set_is_what_was_asked_for() {
    let kinds = [Kind::DEPLOYMENT, Kind::DAEMON_SET];
    let mut session = start(true, Some("v1beta1"), scope(Some(&["pay", "shop"]), &kinds));
    let mut paths = BTreeSet::new();
    for _ in 0..session.watches.sources().len() {
        let exchange = session.api.next().await;
        let accept = exchange.headers.get("accept").map(|value| value.to_str().expect("text"));
        let metadata_only = accept.is_some_and(|accept| accept.contains("PartialObjectMetadata"));
        assert_eq!(metadata_only, path(&exchange).ends_with("/replicasets"), "{}", exchange.line);
        paths.insert(path(&exchange).to_owned());
        leave_open(exchange);
    }
    let expected = [
        "/api/v1/namespaces",
        "/api/v1/namespaces/pay/limitranges",
        "/api/v1/namespaces/pay/pods",
        "/api/v1/namespaces/pay/serviceaccounts",
        "/api/v1/namespaces/shop/limitranges",
        "/api/v1/namespaces/shop/pods",
        "/api/v1/namespaces/shop/serviceaccounts",
        "/api/v1/nodes",
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        "/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies",
        "/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicybindings",
        "/apis/apps/v1/namespaces/pay/daemonsets",
        "/apis/apps/v1/namespaces/pay/deployments",
        "/apis/apps/v1/namespaces/pay/replicasets",
        "/apis/apps/v1/namespaces/shop/daemonsets",
        "/apis/apps/v1/namespaces/shop/deployments",
        "/apis/apps/v1/namespaces/shop/replicasets",
        "/apis/policy/v1/namespaces/pay/poddisruptionbudgets",
        "/apis/policy/v1/namespaces/shop/poddisruptionbudgets",
    ];
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), expected);
    session.api.expect_silence().await;

    // A backend within the watch set has its Deployments watched already; one outside has not.
    let backends = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    session.watches.set_backends(&backends(&["shop", "mesh"]));
    let mut paths = BTreeSet::new();
    for _ in 0..7 {
        let exchange = session.api.next().await;
        paths.insert(path(&exchange).to_owned());
        leave_open(exchange);
    }
    let expected = [
        "/api/v1/namespaces/mesh/configmaps",
        "/api/v1/namespaces/mesh/services",
        "/api/v1/namespaces/shop/configmaps",
        "/api/v1/namespaces/shop/services",
        "/apis/apps/v1/namespaces/mesh/deployments",
        "/apis/discovery.k8s.io/v1/namespaces/mesh/endpointslices",
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
    ];
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), expected);

    // The same again asks for nothing; one less, and one more, only for the new one.
    session.watches.set_backends(&backends(&["shop", "mesh"]));
    session.api.expect_silence().await;
    session.watches.set_backends(&backends(&["mesh"]));
    session.watches.set_backends(&backends(&["mesh", "shop"]));
    let mut paths = BTreeSet::new();
    for _ in 0..3 {
        paths.insert(path(&session.api.next().await).to_owned());
    }
    let expected = [
        "/api/v1/namespaces/shop/configmaps",
        "/api/v1/namespaces/shop/services",
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
    ];
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), expected);
}
