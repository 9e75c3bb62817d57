//! Listening and serving, and what the cluster itself asks.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, runtime::Handle, sync::Semaphore, time};

use super::{
    Published, host,
    strangers::{LIMITS, LONG_ANSWERS, Strangers, few_at_a_time},
};
use crate::metrics::Metrics;

/// An engine that has not ticked for this long hangs. It ticks at least every second, and no step takes a second.
const ENGINE_HANGS: Duration = Duration::from_secs(30);

/// How long requests in flight may take when we are asked to stop; none of ours takes a second.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// The address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}: choose another address with `--{setting}`, or `--{setting} off`")]
pub struct BindError {
    setting: &'static str,
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// Listens at `address`, which the setting of this name says; port 0 takes a free one.
pub async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { setting, address, source })
}

/// Serves until `stop` resolves, then lets requests in flight finish. Whoever can reach the listener has a share of it and no
/// more: see [`Strangers`].
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()> + Send + 'static) {
    let mut strangers = Strangers::new(LIMITS);
    tokio::select! {
        never = strangers.take_in(&listener, &router) => match never {},
        () = stop => {}
    }
    drop(listener);
    // A client that never finishes its request cannot keep us.
    _ = time::timeout(LAST_REQUESTS, strangers.end()).await;
}

/// What the cluster itself asks of a listener at `address`: `/healthz`, `/readyz` and `/metrics`. The text of a scrape takes a
/// while with many workloads, and is made by `readers`.
pub fn probes(published: Published, metrics: Metrics, readers: Handle, address: SocketAddr) -> Router {
    let scrapes = Router::new().route("/metrics", get(scrape)).with_state((published.clone(), metrics, readers));
    let scrapes = scrapes.layer(from_fn_with_state(Arc::new(Semaphore::new(LONG_ANSWERS)), few_at_a_time));
    let health = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    host::checked(health.with_state(published).merge(scrapes), address)
}

async fn healthz(State(published): State<Published>) -> Response {
    match hanging(&published) {
        Some(problem) => unavailable(problem),
        None => "ok\n".into_response(),
    }
}

async fn readyz(State(published): State<Published>) -> Response {
    if let Some(problem) = hanging(&published) {
        return unavailable(problem);
    }
    let stale = published.stale();
    if !stale.is_empty() {
        return unavailable(stale.join("\n"));
    }
    match published.report() {
        Some(report) if report.synced => "ok\n".into_response(),
        _ => unavailable("the watches are not synced yet".to_owned()),
    }
}

async fn scrape(State((published, metrics, readers)): State<(Published, Metrics, Handle)>) -> Response {
    match readers.spawn(async move { metrics.render(published.report().as_deref()) }).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(_) => unavailable("the process is ending".to_owned()),
    }
}

fn hanging(published: &Published) -> Option<String> {
    let still = published.since_tick();
    (still > ENGINE_HANGS).then(|| format!("the engine has not ticked for {} s", still.as_secs()))
}

fn unavailable(why: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response()
}
