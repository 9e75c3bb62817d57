//! Events: each request, and how each answer is taken.

use jiff::Timestamp;
use serde_json::{Value, json};
use sidecar_drift::{
    cluster::events::EventWriter,
    core::{
        io::{Event, EventReason, WorkloadRef},
        model::{WorkloadKey, owner::Kind},
    },
};

use super::api::{Api, pair};

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";
const CREATE: &str = "POST /apis/events.k8s.io/v1/namespaces/shop/events?fieldManager=sidecar-drift";

fn writer() -> (EventWriter, Api) {
    let (cluster, api) = pair();
    (EventWriter::new(cluster, "drift-0_1a2b3c4d"), api)
}

fn at() -> Timestamp {
    "2026-05-01T10:00:00Z".parse().expect("a time")
}

fn drift(note: &str) -> Event {
    let key = WorkloadKey { namespace: "shop".into(), kind: Kind::DEPLOYMENT, name: "cart".into() };
    let workload = WorkloadRef { key, uid: "u-1".into() };
    Event { workload, reason: EventReason::DriftDetected, note: note.to_owned() }
}

/// Answers a creation, and returns the Event's name.
async fn created(api: &mut Api) -> String {
    let exchange = api.expect(CREATE).await;
    let name = exchange.body["metadata"]["name"].as_str().expect("a name").to_owned();
    let body = exchange.body.clone();
    exchange.reply(201, &body);
    name
}

/// Answers a series, and returns its count.
async fn counted(api: &mut Api, name: &str) -> u64 {
    let exchange = api.expect(&format!("PATCH {EVENTS}/{name}?fieldManager=sidecar-drift")).await;
    assert_eq!(exchange.headers["content-type"], "application/merge-patch+json");
    assert_eq!(exchange.body["series"]["lastObservedTime"], "2026-05-01T10:00:00.000000Z");
    let count = exchange.body["series"]["count"].as_u64().expect("a count");
    exchange.reply(200, &json!({}));
    count
}

#[tokio::test(start_paused = true)]
async fn an_event_is_about_its_workload_and_has_all_that_the_api_demands() {
    let (mut writer, mut api) = writer();
    let event = drift("drifted: proxy image 1 → 2");
    let server = async {
        let exchange = api.expect(CREATE).await;
        let mut body = exchange.body.clone();
        let name = body["metadata"]["name"].take();
        assert!(name.as_str().is_some_and(|name| name.starts_with("cart.") && name.len() == 21), "{name}");
        let expected = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "namespace": "shop", "name": Value::Null },
            "eventTime": "2026-05-01T10:00:00.000000Z",
            "type": "Normal",
            "reason": "DriftDetected",
            "action": "Compare",
            "note": "drifted: proxy image 1 → 2",
            "regarding":
                { "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "cart", "uid": "u-1" },
            "reportingController": "sidecar-drift",
            "reportingInstance": "drift-0_1a2b3c4d",
        });
        assert_eq!(body, expected);
        exchange.reply(201, &expected);
    };
    assert_eq!(tokio::join!(writer.write(&event, at()), server).0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_event_names_the_kind_as_the_api_does() {
    let (mut writer, mut api) = writer();
    let mut event = drift("drifted");
    event.workload.key.kind = Kind::ADVANCED_STATEFUL_SET;
    let server = async {
        let exchange = api.expect(CREATE).await;
        let regarding = &exchange.body["regarding"];
        assert_eq!(
            (&regarding["apiVersion"], &regarding["kind"]),
            (&json!("apps.kruise.io/v1beta1"), &json!("StatefulSet"))
        );
        exchange.reply(201, &json!({}));
    };
    assert_eq!(tokio::join!(writer.write(&event, at()), server).0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_again_is_counted_and_another_thing_is_another_event() {
    let (mut writer, mut api) = writer();
    let (event, another) = (drift("drifted: a"), drift("drifted: b"));
    let server = async {
        let name = created(&mut api).await;
        assert_eq!(counted(&mut api, &name).await, 2);
        assert_eq!(counted(&mut api, &name).await, 3);
        assert_ne!(created(&mut api).await, name);
    };
    let client = async {
        for event in [&event, &event, &event, &another] {
            assert_eq!(writer.write(event, at()).await, Ok(()));
        }
    };
    tokio::join!(client, server);
    api.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_of_the_process_before_us_is_counted_on() {
    let (mut writer, mut api) = writer();
    let event = drift("drifted: a");
    let server = async {
        let exchange = api.expect(CREATE).await;
        let name = exchange.body["metadata"]["name"].as_str().expect("a name").to_owned();
        exchange.fail(409, "AlreadyExists", "it is there");
        assert_eq!(counted(&mut api, &name).await, 2);
    };
    assert_eq!(tokio::join!(writer.write(&event, at()), server).0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_has_expired_is_begun_anew() {
    let (mut writer, mut api) = writer();
    let event = drift("drifted: a");
    let server = async {
        let name = created(&mut api).await;
        let exchange = api.expect(&format!("PATCH {EVENTS}/{name}?fieldManager=sidecar-drift")).await;
        exchange.fail(404, "NotFound", "it is over");
        created(&mut api).await;
        assert_eq!(counted(&mut api, &name).await, 2);
    };
    let client = async {
        for _ in 0..3 {
            assert_eq!(writer.write(&event, at()).await, Ok(()));
        }
    };
    tokio::join!(client, server);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_said_and_not_tried_again() {
    let (mut writer, mut api) = writer();
    let event = drift("drifted: a");
    let server = async { api.expect(CREATE).await.fail(403, "Forbidden", "events is forbidden") };
    assert_eq!(tokio::join!(writer.write(&event, at()), server).0, Err("events is forbidden".to_owned()));
    api.expect_silence().await;
}
