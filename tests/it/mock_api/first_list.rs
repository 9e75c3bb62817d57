//! The first list of the Pods, where the server could send it within the watch.

use serde_json::{Value, json};
use sidecar_drift::core::io::WatchEvent;

use super::{
    api::{Events, Exchange, failure},
    watch::{Session, pod, scope, start},
};

const LIST: &str = "GET /api/v1/pods?limit=20000";

/// A session whose Pods are asked for, in a list.
async fn asked() -> (Session, Exchange) {
    let mut session = start(true, None, scope(None, &[]));
    let exchange = session.list_of_pods().await;
    assert_eq!(exchange.line, LIST);
    (session, exchange)
}

/// In the API server's order.
fn list(version: &str, items: &[Value]) -> String {
    let (metadata, items) = (json!({ "resourceVersion": version }), json!(items));
    format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{metadata},"items":{items}}}"#)
}

/// One whose Pods were listed as `a` at version 7, and the watch that followed.
async fn listed() -> (Session, Exchange) {
    let (mut session, exchange) = asked().await;
    exchange.reply_text(200, &list("7", &[pod("a", "5")]));
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next_name().await, "a");
    assert_eq!(session.next().await, WatchEvent::ResetDone);
    let watch = session.api.next().await;
    let expected = "GET /api/v1/pods?watch=true&timeoutSeconds=290&allowWatchBookmarks=true&resourceVersion=7";
    assert_eq!(watch.line, expected);
    (session, watch)
}

async fn begins_with_all(session: &mut Session) -> Events {
    let exchange = session.api.next().await;
    assert!(exchange.line.contains("sendInitialEvents=true"), "{}", exchange.line);
    exchange.stream()
}

#[tokio::test]
async fn pods_are_listed_and_watched_from_there_on() {
    let (mut session, watch) = listed().await;
    let events = watch.stream();
    events.send("ADDED", &pod("b", "8"));
    assert_eq!(session.next_name().await, "b");
    drop(events);
    let again = session.api.next().await;
    assert!(again.line.contains("resourceVersion=8") && !again.line.contains("sendInitialEvents"), "{}", again.line);
}

#[tokio::test]
async fn a_pod_is_heard_of_while_the_list_is_still_coming_in() {
    let (mut session, exchange) = asked().await;
    let text = list("7", &[pod("a", "5"), pod("b", "6")]);
    let middle = text.find("\"b\"").expect("the second Pod");
    let body = exchange.stream();
    body.send_text(&text[..middle]);
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next_name().await, "a");
    assert!(session.inputs.try_recv().is_err());
    body.send_text(&text[middle..]);
    drop(body);
    assert_eq!(session.next_name().await, "b");
    assert_eq!(session.next().await, WatchEvent::ResetDone);
}

#[tokio::test]
async fn a_list_that_breaks_off_begins_anew_within_the_watch() {
    let (mut session, exchange) = asked().await;
    let text = list("7", &[pod("a", "5"), pod("b", "6")]);
    let body = exchange.stream();
    body.send_text(&text[..text.len() - 10]);
    drop(body);
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next_name().await, "a");
    let events = begins_with_all(&mut session).await;
    events.send("ADDED", &pod("c", "8"));
    events.list_ends("8");
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next_name().await, "c");
    assert_eq!(session.next().await, WatchEvent::ResetDone);
}

#[tokio::test]
async fn what_is_no_list_or_too_long_a_one_is_left_to_the_watch_for_good() {
    let more = json!({ "metadata": { "resourceVersion": "7", "continue": "x" }, "items": [pod("a", "5")] }).to_string();
    for text in [more.as_str(), "<html>", "{}", ""] {
        let (mut session, exchange) = asked().await;
        exchange.reply_text(200, text);
        drop(begins_with_all(&mut session).await);
        // Nor is it tried again.
        drop(begins_with_all(&mut session).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_beginning_is_held_back_is_left_to_the_watch() {
    let (mut session, exchange) = asked().await;
    let held = exchange.stream();
    session.api = session.api.patient(std::time::Duration::from_mins(1));
    begins_with_all(&mut session).await.list_ends("8");
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next().await, WatchEvent::ResetDone);
    drop(held);
}

#[tokio::test]
async fn who_may_watch_but_not_list_has_the_list_within_the_watch() {
    let (mut session, exchange) = asked().await;
    exchange.fail(403, "Forbidden", "no list");
    begins_with_all(&mut session).await.list_ends("8");
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next().await, WatchEvent::ResetDone);
}

#[tokio::test]
async fn who_may_do_neither_is_told_so() {
    let (mut session, exchange) = asked().await;
    exchange.fail(403, "Forbidden", "no list");
    session.api.next().await.fail(403, "Forbidden", "no watch");
    let WatchEvent::Unavailable { forbidden: true, message } = session.next().await else { panic!("available") };
    assert_eq!(message, "may not watch pods: grant list and watch on pods (no watch)");
}

#[tokio::test]
async fn a_list_that_fails_is_a_watch_that_fails() {
    let (mut session, exchange) = asked().await;
    exchange.throttle(1);
    assert_eq!(session.api.next().await.line, LIST);
}

#[tokio::test]
async fn a_list_that_is_too_old_for_its_watch_is_asked_for_anew() {
    let (mut session, watch) = listed().await;
    watch.reply(410, &failure(410, "Expired", "too old resource version"));
    let again = session.api.next().await;
    assert_eq!(again.line, LIST);
    again.reply_text(200, &list("9", &[]));
    assert_eq!(session.next().await, WatchEvent::ResetStarted);
    assert_eq!(session.next().await, WatchEvent::ResetDone);
}

#[tokio::test]
async fn a_watch_that_does_not_come_is_asked_for_again_and_nothing_is_listed_anew() {
    let (mut session, watch) = listed().await;
    watch.break_off();
    let again = session.api.next().await;
    assert!(again.line.contains("resourceVersion=7") && again.line.contains("watch=true"), "{}", again.line);
    again.stream().send("ADDED", &pod("b", "8"));
    assert_eq!(session.next_name().await, "b");
}
