//! The Lease that says who leads: each request, and how each answer is taken.

use std::time::Duration;

use serde_json::{Value, json};
use sidecar_drift::{
    cluster::lease::LeaseStore,
    core::model::lease::{Lease, LeaseSpec, Reply, Request},
};

use super::api::{Api, Exchange, pair};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/ops/leases";

fn store() -> (LeaseStore, Api) {
    let (cluster, api) = pair();
    (LeaseStore::new(cluster, "ops", "sidecar-drift"), api)
}

fn spec() -> LeaseSpec {
    LeaseSpec {
        holder: "drift-0_1a2b3c4d".into(),
        duration: Duration::from_secs(15),
        acquired: "2026-05-01T10:00:00.000000Z".into(),
        renewed: "2026-05-01T10:00:02.000000Z".into(),
        transitions: 3,
        ..LeaseSpec::default()
    }
}

fn fields() -> Value {
    json!({
        "holderIdentity": "drift-0_1a2b3c4d",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-05-01T10:00:00.000000Z",
        "renewTime": "2026-05-01T10:00:02.000000Z",
        "leaseTransitions": 3,
    })
}

fn object(version: &str, spec: &Value) -> Value {
    json!({
        "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
        "metadata": { "name": "sidecar-drift", "namespace": "ops", "resourceVersion": version },
        "spec": spec,
    })
}

fn lease(version: &str, spec: LeaseSpec) -> Reply {
    Reply::Is(Lease { version: version.into(), spec })
}

async fn ask(request: Request, line: &str, answer: impl FnOnce(Exchange)) -> Reply {
    let (store, mut api) = store();
    let server = async { answer(api.expect(line).await) };
    tokio::join!(store.ask(&request), server).0
}

async fn read(answer: impl FnOnce(Exchange)) -> Reply {
    ask(Request::Read, &format!("GET {LEASES}/sidecar-drift"), answer).await
}

#[tokio::test(start_paused = true)]
async fn it_is_read_with_all_that_it_says() {
    assert_eq!(read(|exchange| exchange.reply(200, &object("7", &fields()))).await, lease("7", spec()));
}

#[tokio::test(start_paused = true)]
async fn one_that_says_little_is_a_lease_all_the_same() {
    let empty = lease("7", LeaseSpec::default());
    assert_eq!(read(|exchange| exchange.reply(200, &object("7", &json!({})))).await, empty);
    let odd = json!({ "holderIdentity": null, "leaseDurationSeconds": -1, "strategy": "OldestEmulationVersion" });
    assert_eq!(read(|exchange| exchange.reply(200, &object("7", &odd))).await, empty);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_lease_is_no_answer() {
    let reply = read(|exchange| exchange.reply_text(200, "<html>please log in</html>")).await;
    assert!(matches!(reply, Reply::Failed { .. }), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn a_creation_sends_the_whole_object() {
    let line = format!("POST {LEASES}?fieldManager=sidecar-drift");
    let reply = ask(Request::Create(spec()), &line, |exchange| {
        let metadata = json!({ "name": "sidecar-drift", "namespace": "ops" });
        let body =
            json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": fields() });
        assert_eq!(exchange.body, body);
        exchange.reply(201, &object("1", &fields()));
    });
    assert_eq!(reply.await, lease("1", spec()));
}

#[tokio::test(start_paused = true)]
async fn a_write_holds_only_for_the_version_that_was_read_and_touches_nothing_else() {
    let request = Request::Replace { version: "7".into(), spec: spec() };
    let line = format!("PATCH {LEASES}/sidecar-drift?fieldManager=sidecar-drift");
    let reply = ask(request, &line, |exchange| {
        assert_eq!(exchange.headers["content-type"], "application/merge-patch+json");
        assert_eq!(exchange.body, body("7", &Value::Null));
        exchange.reply(200, &object("8", &fields()));
    });
    assert_eq!(reply.await, lease("8", spec()));
}

/// A write, where the holder answers readers there.
fn body(version: &str, api: &Value) -> Value {
    let metadata = json!({ "resourceVersion": version, "annotations": { "sidecar-drift/api": api } });
    json!({ "metadata": metadata, "spec": fields() })
}

#[tokio::test(start_paused = true)]
async fn where_its_holder_answers_readers_stands_in_an_annotation() {
    let reached = LeaseSpec { api: "10.1.2.3:8081".into(), ..spec() };
    let request = Request::Replace { version: "7".into(), spec: reached.clone() };
    let line = format!("PATCH {LEASES}/sidecar-drift?fieldManager=sidecar-drift");
    let reply = ask(request, &line, |exchange| {
        assert_eq!(exchange.body, body("7", &json!("10.1.2.3:8081")));
        let mut object = object("8", &fields());
        object["metadata"]["annotations"] = json!({ "sidecar-drift/api": "10.1.2.3:8081", "of/others": "x" });
        exchange.reply(200, &object);
    });
    assert_eq!(reply.await, lease("8", reached));
}

#[tokio::test(start_paused = true)]
async fn giving_it_back_leaves_no_holder() {
    let given_back = LeaseSpec { holder: "".into(), duration: Duration::from_secs(1), acquired: "".into(), ..spec() };
    let request = Request::Replace { version: "7".into(), spec: given_back };
    let line = format!("PATCH {LEASES}/sidecar-drift?fieldManager=sidecar-drift");
    let reply = ask(request, &line, |exchange| {
        let spec = &exchange.body["spec"];
        assert_eq!((&spec["holderIdentity"], &spec["leaseDurationSeconds"]), (&json!(""), &json!(1)));
        // An empty text is no time, so it is taken out.
        assert_eq!(spec["acquireTime"], Value::Null);
        exchange.reply(200, &object("8", &json!({ "holderIdentity": "", "leaseDurationSeconds": 1 })));
    });
    assert_eq!(reply.await, lease("8", LeaseSpec { duration: Duration::from_secs(1), ..LeaseSpec::default() }));
}

#[tokio::test(start_paused = true)]
async fn who_was_not_fast_enough_is_told() {
    let request = Request::Replace { version: "7".into(), spec: spec() };
    let line = format!("PATCH {LEASES}/sidecar-drift?fieldManager=sidecar-drift");
    let reply = ask(request, &line, |exchange| exchange.fail(409, "Conflict", "the object has been modified")).await;
    assert_eq!(reply, Reply::Conflict);
    let create = format!("POST {LEASES}?fieldManager=sidecar-drift");
    let exists = |exchange: Exchange| exchange.fail(409, "AlreadyExists", "leases \"sidecar-drift\" already exists");
    assert_eq!(ask(Request::Create(spec()), &create, exists).await, Reply::Conflict);
    assert_eq!(read(|exchange| exchange.fail(404, "NotFound", "no such lease")).await, Reply::Missing);
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_why_and_is_not_repeated_here() {
    for (answer, words) in [
        (
            Box::new(|exchange: Exchange| exchange.fail(403, "Forbidden", "leases is forbidden")) as Box<dyn FnOnce(_)>,
            "forbidden",
        ),
        (Box::new(|exchange: Exchange| exchange.throttle(3)), "too many requests"),
        (Box::new(Exchange::break_off), "connection"),
    ] {
        let Reply::Failed { message } = read(answer).await else { panic!("no failure: {words}") };
        assert!(message.contains(words), "{message}");
    }
}
