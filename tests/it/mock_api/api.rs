//! The API server that a test plays.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};
use sidecar_drift::cluster::client::Cluster;
use tokio::sync::mpsc;
use tower_test::mock::{self, Handle, SendResponse};

/// What a test waits for a request.
const PATIENCE: Duration = Duration::from_secs(1);

type Reply = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// The server's side. Requests must be taken in the order in which they come.
pub(crate) struct Api {
    handle: Pin<Box<Handle<Request<Body>, Reply>>>,
    patience: Duration,
}

/// One request, not answered yet.
pub(crate) struct Exchange {
    /// `GET /api/v1/pods?limit=500`
    pub(crate) line: String,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body; null if there is none.
    pub(crate) body: Value,
    reply: SendResponse<Reply>,
}

/// A connection, and the server behind it.
pub(crate) fn pair() -> (Cluster, Api) {
    let (service, handle) = mock::pair();
    let cluster = Cluster::from_service(service, "https://cluster.example:6443", "ops");
    (cluster, Api { handle: Box::pin(handle), patience: PATIENCE })
}

impl Api {
    /// Wait longer than a second, for tests in which time is made to pass.
    pub(crate) fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The next request, whatever it is. No request may ever create a Pod for real.
    pub(crate) async fn next(&mut self) -> Exchange {
        let next = tokio::time::timeout(self.patience, self.handle.next_request()).await;
        let (request, reply) = next.expect("no request came in time").expect("the client is gone");
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().expect("a path").to_string();
        if head.method == Method::POST && head.uri.path().ends_with("/pods") {
            let query = head.uri.query().unwrap_or_default();
            assert!(query.split('&').any(|pair| pair == "dryRun=All"), "a Pod is created for real: {target}");
        }
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
        Exchange { line: format!("{} {target}", head.method), headers: head.headers, body, reply }
    }

    /// The next request, which must be this one: `GET /version`.
    #[track_caller]
    pub(crate) fn expect<'a>(&'a mut self, line: &'a str) -> impl Future<Output = Exchange> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let exchange = self.next().await;
            assert_eq!(exchange.line, line, "expected at {caller}");
            exchange
        }
    }

    /// No request comes.
    pub(crate) async fn expect_silence(&mut self) {
        let next = tokio::time::timeout(Duration::from_millis(50), self.handle.next_request()).await;
        if let Ok(Some((request, _))) = next {
            panic!("unexpected {} {}", request.method(), request.uri());
        }
    }
}

impl Exchange {
    /// Answer with this status and JSON.
    pub(crate) fn reply(self, code: u16, body: &Value) {
        self.reply_text(code, &body.to_string());
    }

    /// Answer with this status and text.
    pub(crate) fn reply_text(self, code: u16, text: &str) {
        let response = Response::builder().status(code).body(whole(text));
        self.reply.send_response(response.expect("a response"));
    }

    /// Answer with a failure in the API server's form.
    pub(crate) fn fail(self, code: u16, reason: &str, message: &str) {
        self.reply(code, &failure(code, reason, message));
    }

    /// Answer 429 with `Retry-After`.
    pub(crate) fn throttle(self, seconds: u64) {
        let body = failure(429, "TooManyRequests", "too many requests, please try again later");
        let response = Response::builder().status(429).header("Retry-After", seconds).body(whole(&body.to_string()));
        self.reply.send_response(response.expect("a response"));
    }

    /// The connection breaks.
    pub(crate) fn break_off(self) {
        self.reply.send_error(std::io::Error::other("connection reset by peer"));
    }

    /// Answer a watch: what is sent to the channel are its events, and its end is the watch's.
    pub(crate) fn stream(self) -> Events {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Bytes>();
        let frames = futures::stream::poll_fn(move |context| {
            receiver.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(http_body::Frame::data(bytes))))
        });
        self.reply.send_response(Response::new(UnsyncBoxBody::new(StreamBody::new(frames))));
        Events(sender)
    }
}

/// The sending end of a watch.
pub(crate) struct Events(mpsc::UnboundedSender<Bytes>);

impl Events {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`, `ERROR`
    pub(crate) fn send(&self, of_type: &str, object: &Value) {
        self.send_text(&format!("{}\n", json!({ "type": of_type, "object": object })));
    }

    /// Anything at all.
    pub(crate) fn send_text(&self, text: &str) {
        self.0.send(text.to_owned().into()).expect("the watch is open");
    }

    /// The mark at the end of a list that was sent within the watch.
    pub(crate) fn list_ends(&self, version: &str) {
        let metadata = json!({ "resourceVersion": version, "annotations": { "k8s.io/initial-events-end": "true" } });
        self.send("BOOKMARK", &json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata }));
    }
}

/// A `metav1.Status`.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message })
}

fn whole(text: &str) -> UnsyncBoxBody<Bytes, std::io::Error> {
    http_body_util::Full::from(text.to_owned()).map_err(|never| match never {}).boxed_unsync()
}
