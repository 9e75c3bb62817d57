//! The API and the web page: what a reader gets, of reports made by hand.

mod api;
mod browser;
mod fleet;
mod follow;
mod fuzz;
mod page;
mod query;
pub(crate) mod secrets;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::Value;
use sidecar_drift::{
    core::report::Report,
    document::Redaction,
    http::{self, Published, Reader},
};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// A header, empty if it is not there.
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// A handle on which nothing is published yet.
fn published() -> Published {
    Published::new(|| Duration::ZERO)
}

/// The routes of a listener on loopback that has this to tell.
pub(crate) fn reading(report: Report) -> Router {
    let published = published();
    published.publish(Arc::new(report));
    routes(published, "127.0.0.1:8081")
}

fn routes(published: Published, address: &str) -> Router {
    Reader::new(published, Redaction::with_key(&[7; 32])).router(address.parse().unwrap())
}

/// Serves what is published at an address, for as long as the runtime lives.
fn serve(published: Published, address: &str) -> (Runtime, SocketAddr) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(http::bind("api-listen", address.parse().unwrap())).unwrap();
    let address = listener.local_addr().unwrap();
    let router = Reader::new(published, Redaction::with_key(&[7; 32])).router(address);
    runtime.spawn(http::serve(listener, router, std::future::pending()));
    (runtime, address)
}

async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

pub(crate) async fn get(router: &Router, path: &str) -> Answer {
    ask(router, Request::get(path).header("host", "localhost:8081").body(Body::empty()).unwrap()).await
}
