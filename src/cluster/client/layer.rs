//! What every request passes: a time-out by its verb, our name, and the counter.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{DATE, USER_AGENT},
};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Collected, Either};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

use crate::{
    clock::{self, ServerClock},
    metrics,
};

/// A read that takes longer than this is lost, unless a person said otherwise: the next attempt has better chances than a
/// longer wait.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The API server gives up on a write, or a dry run, after 34 s. One second more, so that we hear its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(35);

/// A watch ends by itself after some 290 s. Only its beginning is limited: the server answers once its own cache is
/// filled, and has a limit of 30 s for that.
const WATCH_START_TIMEOUT: Duration = Duration::from_secs(35);

/// Put into a request whose answer is to be passed on as it comes, as that of a watch is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streamed;

/// No answer within the request's time-out.
#[derive(Debug)]
pub(super) struct TimedOut(pub(super) Duration);

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {} s", self.0.as_secs())
    }
}

impl StdError for TimedOut {}

/// The last line of defence of the promise that we create no Pod: such a request is not sent, whoever built it.
#[derive(Debug)]
pub(super) struct NotADryRun;

impl fmt::Display for NotADryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused to create a Pod for real: this is a bug, please report it")
    }
}

impl StdError for NotADryRun {}

/// Whether a request would create a Pod for real.
pub(super) fn creates_pod(method: &Method, uri: &Uri) -> bool {
    *method == Method::POST && uri.path().ends_with("/pods") && !has_parameter(uri, &["dryRun=All"])
}

/// The API's verb of a request, as RBAC and the audit log spell it.
pub(super) fn verb(method: &Method, uri: &Uri) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ if has_parameter(uri, &["watch=true", "watch=1"]) => "watch",
        _ if is_collection(uri.path()) => "list",
        _ => "get",
    }
}

/// What a request with this verb is for, by what it asks: one of [`metrics::PURPOSES`].
pub(super) fn purpose(verb: &str, uri: &Uri) -> &'static str {
    let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let resource = match segments.as_slice() {
        ["api", _, "namespaces", _, rest @ ..]
        | ["apis", _, _, "namespaces", _, rest @ ..]
        | ["api", _, rest @ ..]
        | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    match (verb, resource) {
        ("watch", _) => "watch",
        (_, ["leases", ..]) => "lease",
        ("create" | "patch", ["events", ..]) => "event",
        ("create" | "patch", ["configmaps", ..]) | ("get", ["configmaps", _]) => "state",
        ("create", ["pods"]) => "dry_run",
        ("get" | "list", ["replicasets" | "controllerrevisions", ..]) if !unbounded_list(uri) => "template",
        ("create", ["pods", _, "eviction"]) | ("patch", [_, _]) => "rollout",
        // A single object of a namespace: the workload that is about to be rolled out, or made into a Pod.
        ("get", [_, _]) => "template",
        ("list", [_]) => "watch",
        _ => "other",
    }
}

/// Whether a list is that of a watch, and not of what a selector selects.
fn unbounded_list(uri: &Uri) -> bool {
    is_collection(uri.path()) && !uri.query().is_some_and(|query| query.contains("labelSelector="))
}

fn has_parameter(uri: &Uri, one_of: &[&str]) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| one_of.contains(&pair)))
}

/// Whether a path names all objects of a kind: `/api/v1/pods`, `/apis/apps/v1/namespaces/shop/deployments`.
fn is_collection(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => matches!(rest, [_] | ["namespaces", _, _]),
        _ => false,
    }
}

#[derive(Clone, Debug)]
pub(super) struct MeteredLayer {
    /// For `get` and `list`.
    pub(super) read_timeout: Duration,
    /// Learns from every answer.
    pub(super) clock: ServerClock,
}

impl<S> Layer<S> for MeteredLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Metered { inner, read_timeout: self.read_timeout, clock: self.clock.clone() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Metered<S> {
    inner: S,
    read_timeout: Duration,
    clock: ServerClock,
}

/// The body of a watch, and of a list that asks for it, is passed on as it comes; every other body is read whole here, so that the time-out covers it.
type Answered<B> = Response<Either<B, Collected<Bytes>>>;

impl<S, B> Service<Request<Body>> for Metered<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answered<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if creates_pod(request.method(), request.uri()) {
            return Box::pin(std::future::ready(Err(NotADryRun.into())));
        }
        let verb = verb(request.method(), request.uri());
        let purpose = purpose(verb, request.uri());
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(super::USER_AGENT));
        let as_it_comes = verb == "watch" || request.extensions().get::<Streamed>().is_some();
        let limit = match verb {
            _ if as_it_comes => WATCH_START_TIMEOUT,
            "get" | "list" => self.read_timeout,
            _ => WRITE_TIMEOUT,
        };
        let (clock, sent) = (self.clock.clone(), clock::elapsed());
        let response = self.inner.call(request);
        Box::pin(async move {
            let answer = tokio::time::timeout(limit, async {
                let (parts, body) = response.await.map_err(Into::into)?.into_parts();
                if let Some(date) = parts.headers.get(DATE).and_then(|date| date.to_str().ok()) {
                    clock.observe(date, sent, clock::elapsed());
                }
                let streams = as_it_comes && parts.status.is_success();
                let body =
                    if streams { Either::Left(body) } else { Either::Right(body.collect().await.map_err(Into::into)?) };
                Ok(Response::from_parts(parts, body))
            })
            .await
            .unwrap_or_else(|_| Err(BoxError::from(TimedOut(limit))));
            match &answer {
                Ok(response) => metrics::api_request(verb, purpose, response.status().as_str()),
                Err(error) if error.is::<TimedOut>() => metrics::api_request(verb, purpose, "timeout"),
                Err(_) => metrics::api_request(verb, purpose, "error"),
            }
            answer
        })
    }
}
