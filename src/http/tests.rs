//! The server's answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt;
use tokio::{runtime::Handle, sync::oneshot};
use tower::ServiceExt;

use super::{Published, bind, probes, serve};
use crate::{core::report::Report, metrics};

/// A handle whose clock stands still until it is moved.
fn published() -> (Published, Arc<AtomicU64>) {
    let seconds = Arc::new(AtomicU64::new(100));
    let clock = seconds.clone();
    (Published::new(move || Duration::from_secs(clock.load(Ordering::Relaxed))), seconds)
}

fn report(synced: bool) -> Arc<Report> {
    let taken = "2026-03-01T12:00:00Z".parse().unwrap();
    Arc::new(Report { complete: synced, synced, leader: true, ..Report::empty(taken) })
}

fn routes(published: Published, address: &str) -> Router {
    probes(published, metrics::Metrics::detached(), Handle::current(), address.parse().unwrap())
}

async fn get(published: &Published, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = routes(published.clone(), "0.0.0.0:8080").oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn health_fails_when_the_engine_hangs() {
    let (published, seconds) = published();
    assert_eq!(get(&published, "/healthz").await, (200, "ok\n".to_owned()));
    seconds.store(130, Ordering::Relaxed);
    assert_eq!(get(&published, "/healthz").await.0, 200);
    seconds.store(131, Ordering::Relaxed);
    assert_eq!(get(&published, "/healthz").await, (503, "the engine has not ticked for 31 s\n".to_owned()));
    published.tick();
    assert_eq!(get(&published, "/healthz").await.0, 200);
}

#[tokio::test]
async fn ready_means_synced_and_ticking() {
    let (published, seconds) = published();
    assert_eq!(get(&published, "/readyz").await, (503, "the watches are not synced yet\n".to_owned()));
    published.publish(report(false));
    assert_eq!(get(&published, "/readyz").await.0, 503);
    published.publish(report(true));
    assert_eq!(get(&published, "/readyz").await.0, 200);
    seconds.store(200, Ordering::Relaxed);
    assert_eq!(get(&published, "/readyz").await.0, 503);
}

#[tokio::test(start_paused = true)]
async fn ready_means_that_no_watch_has_been_without_a_connection_for_long() {
    let (published, _) = published();
    let watches = metrics::Watches::default();
    published.watching(watches.clone());
    published.publish(report(true));
    let (mut pods, mut nodes) = (watches.health("pods"), watches.health("nodes"));
    pods.set(true);
    // Refused for good: that is told, but another replica would fare no better.
    nodes.refused();
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(get(&published, "/readyz").await.0, 200);
    assert!(published.report().unwrap().unavailable.is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    let why = "nothing is heard of pods since 30 s: the watch has no connection";
    assert_eq!(get(&published, "/readyz").await, (503, format!("{why}\n")));
    assert_eq!(published.report().unwrap().unavailable, [why]);
    assert_eq!(get(&published, "/healthz").await.0, 200);
    pods.set(false);
    assert_eq!(get(&published, "/readyz").await.0, 200);
    assert!(published.report().unwrap().unavailable.is_empty());
}

#[tokio::test]
async fn a_scrape_holds_the_gauges_of_the_published_report() {
    let (published, _) = published();
    assert!(!get(&published, "/metrics").await.1.contains("sidecar_drift_leader"));
    published.publish(report(true));
    let (status, text) = get(&published, "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("sidecar_drift_leader 1\n"), "{text}");
}

#[tokio::test]
async fn it_listens_and_stops_when_asked() {
    let (published, _) = published();
    let listener = bind("listen", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let taken = listener.local_addr().unwrap();
    let refused = bind("listen", taken).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("cannot listen at {taken}: choose another address with `--listen`, or `--listen off`")
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let server = serve(listener, routes(published, "127.0.0.1:8080"), async {
        _ = stopped.await;
    });
    stop.send(()).unwrap();
    server.await;
}

#[tokio::test]
async fn on_loopback_metrics_answer_only_to_names_of_loopback() {
    let (published, _) = published();
    published.publish(report(true));
    let ask = async |address: &str, host: &str, path: &str| {
        let request = Request::get(path).header("host", host).body(Body::empty()).unwrap();
        routes(published.clone(), address).oneshot(request).await.unwrap().status().as_u16()
    };
    for path in ["/metrics", "/readyz", "/healthz", "/nothing"] {
        assert_eq!(ask("127.0.0.1:8080", "evil.example:8080", path).await, 421, "{path}");
        let known = if path == "/nothing" { 404 } else { 200 };
        assert_eq!(ask("127.0.0.1:8080", "localhost:8080", path).await, known, "{path}");
        // The kubelet and Prometheus ask by the Pod's address or a Service's name.
        assert_eq!(ask("0.0.0.0:8080", "evil.example:8080", path).await, known, "{path}");
    }
}
