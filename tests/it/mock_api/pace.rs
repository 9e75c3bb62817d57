//! How often a watch asks, and when it takes its connection for lost.

use std::time::Duration;

use serde_json::json;
use sidecar_drift::core::io::{Input, WatchEvent, WatchKind};
use tokio::time::Instant;

use super::{
    api::{Events, Exchange, failure},
    watch::{Session, leave_open, listed, path, pod, scope, start},
};

/// A session of which the Pods' watch is open, and that waits for the next request for long.
async fn watching() -> (Session, Events) {
    let (mut session, events) = listed().await;
    session.api = session.api.patient(Duration::from_secs(400));
    (session, events)
}

/// The next request, and how long it did not come.
async fn after(session: &mut Session) -> (Duration, Exchange) {
    let began = Instant::now();
    let exchange = session.next_of_pods().await;
    (began.elapsed(), exchange)
}

fn bookmark(events: &Events, version: u32) {
    let metadata = json!({ "resourceVersion": version.to_string() });
    events.send("BOOKMARK", &json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata }));
}

/// That of many requests the first comes at once, and the others later and later, as far as twice a minute.
fn is_backing_off(pauses: &[Duration]) {
    assert_eq!(pauses[0], Duration::ZERO);
    assert!(pauses[1] >= Duration::from_millis(800), "{pauses:?}");
    assert!(pauses[4..].iter().all(|pause| *pause >= Duration::from_secs(5)), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_mins(1)), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_is_asked_for_later_and_later() {
    let (mut session, events) = watching().await;
    drop(events);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let (pause, exchange) = after(&mut session).await;
        assert!(
            exchange.line.contains("watch=true") && exchange.line.contains("resourceVersion=2"),
            "{}",
            exchange.line
        );
        drop(exchange.stream());
        pauses.push(pause);
    }
    is_backing_off(&pauses);
}

#[tokio::test(start_paused = true)]
async fn so_is_one_that_ends_after_an_event() {
    let (mut session, events) = watching().await;
    drop(events);
    let mut pauses = Vec::new();
    for version in 3..13 {
        let (pause, exchange) = after(&mut session).await;
        exchange.stream().send("MODIFIED", &pod("a", &version.to_string()));
        assert_eq!(session.next_name().await, "a");
        pauses.push(pause);
    }
    is_backing_off(&pauses);
}

#[tokio::test(start_paused = true)]
async fn so_is_one_that_ends_after_its_list() {
    let (mut session, events) = watching().await;
    drop(events);
    session.next_of_pods().await.fail(410, "Expired", "too old resource version");
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let (pause, exchange) = after(&mut session).await;
        assert!(exchange.line.contains("sendInitialEvents=true"), "{}", exchange.line);
        let events = exchange.stream();
        events.list_ends("3");
        events.send("ERROR", &failure(410, "Expired", "too old resource version"));
        assert_eq!(session.next().await, WatchEvent::ResetStarted);
        assert_eq!(session.next().await, WatchEvent::ResetDone);
        pauses.push(pause);
    }
    // Two were before these.
    assert!(pauses[4..].iter().all(|pause| *pause >= Duration::from_secs(5)), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn so_are_lists_in_pages_whose_watch_is_always_too_old() {
    let mut session = start(false, None, scope(None, &[]));
    session.api = session.api.patient(Duration::from_secs(400));
    let mut next = session.list_of_pods().await;
    let mut pauses = Vec::new();
    for _ in 0..10 {
        assert!(next.line.contains("limit=500"), "{}", next.line);
        next.reply(200, &json!({ "metadata": { "resourceVersion": "7" }, "items": [] }));
        session.next_of_pods().await.fail(410, "Expired", "too old resource version");
        assert_eq!(session.next().await, WatchEvent::ResetStarted);
        assert_eq!(session.next().await, WatchEvent::ResetDone);
        let (pause, exchange) = after(&mut session).await;
        next = exchange;
        pauses.push(pause);
    }
    is_backing_off(&pauses);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_lived_for_long_is_asked_for_at_once_each_time() {
    let (mut session, mut events) = watching().await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_mins(1)).await;
        drop(events);
        let (pause, exchange) = after(&mut session).await;
        assert_eq!(pause, Duration::ZERO);
        events = exchange.stream();
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_sign_of_life_is_taken_up_again() {
    let (mut session, events) = watching().await;
    for second in 0..3 {
        tokio::time::sleep(Duration::from_secs(80)).await;
        bookmark(&events, 10 + second);
    }
    assert!(session.nothing_of_pods_came());
    let (silence, exchange) = after(&mut session).await;
    assert_eq!(silence.as_secs(), 90);
    // Where it was.
    assert!(exchange.line.contains("resourceVersion=12"), "{}", exchange.line);
    assert!(exchange.line.contains("allowWatchBookmarks=true"), "{}", exchange.line);
    drop(events);
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_down_while_it_flaps_and_while_it_is_silent() {
    let (mut session, mut events) = watching().await;
    let pods_are_down = |session: &Session| session.cluster.watches().down_for(Duration::ZERO).contains_key("pods");
    assert!(!pods_are_down(&session));
    for round in 0..5 {
        drop(events);
        let exchange = session.next_of_pods().await;
        assert_eq!(pods_are_down(&session), round > 0);
        events = exchange.stream();
        events.send("MODIFIED", &pod("a", "3"));
        assert_eq!(session.next_name().await, "a");
        assert_eq!(pods_are_down(&session), round > 0, "an event makes no connection that lasts");
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(!pods_are_down(&session));

    // It shows signs of life, and then no more: one that is answered is not heard from for that.
    bookmark(&events, 10);
    let silent = session.next_of_pods().await.stream();
    drop(events);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(pods_are_down(&session));
    assert_eq!(session.next_of_all().await, WatchEvent::Interrupted);
    bookmark(&silent, 11);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!pods_are_down(&session));
    assert_eq!(session.next_of_all().await, WatchEvent::Resumed);
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_not_relied_upon_when_it_has_had_no_connection_for_a_minute() {
    let (mut session, events) = watching().await;
    drop(events);
    let began = Instant::now();
    let mut answers = 0;
    // It is asked for all the while, and refused.
    let told = loop {
        tokio::select! {
            biased;
            event = session.inputs.recv() => break event.unwrap(),
            exchange = session.api.next() => {
                if path(&exchange) == "/api/v1/pods" {
                    answers += 1;
                    exchange.fail(500, "InternalError", "no leader");
                } else {
                    leave_open(exchange);
                }
            }
        }
    };
    let Input::Watch { source, event: WatchEvent::Interrupted } = told else { panic!("{told:?}") };
    assert_eq!((source.kind, began.elapsed().as_secs()), (WatchKind::Pods, 60));
    assert!(answers > 2);
    let back = session.next_of_pods().await.stream();
    bookmark(&back, 10);
    assert_eq!(session.next_of_all().await, WatchEvent::Resumed);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_loss_is_nobodys_business() {
    let (mut session, mut events) = watching().await;
    for _ in 0..3 {
        drop(events);
        events = session.next_of_pods().await.stream();
    }
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert!(session.nothing_of_pods_came());
}
