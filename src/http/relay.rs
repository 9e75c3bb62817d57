//! A follower forwards requests to the leader, if it can reach it: only the leader knows verdicts.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, Method, StatusCode, Uri, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http_body_util::Full;

use super::{Published, api::problem};
use crate::outbound::{Client, Limits, RequestError};

/// Marks a request as forwarded, so that two replicas that take each other for the leader do not forward it in a loop.
const FORWARDED: HeaderName = HeaderName::from_static("x-sidecar-drift-passed-on");

/// Names the leader in the response of a follower.
const LEADER: HeaderName = HeaderName::from_static("x-sidecar-drift-leader");

/// The headers that are forwarded, and those that are returned.
const REQUEST_HEADERS: [HeaderName; 2] = [header::ACCEPT, header::IF_NONE_MATCH];
const RESPONSE_HEADERS: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::ETAG,
    header::ALLOW,
    HeaderName::from_static("x-report-taken"),
];

/// Forwards a request to the leader, if this replica is a follower and can reach it. `open`: the listener is not on loopback.
/// One on loopback serves whoever forwards the port of this very replica, so it answers for itself.
pub(super) async fn forward_to_leader(
    State((open, published)): State<(bool, Published)>,
    request: Request,
    next: Next,
) -> Response {
    let follows = published.report().is_some_and(|report| !report.leader);
    let Some(leader) = published.leader().filter(|_| follows) else { return next.run(request).await };
    let passed = request.headers().contains_key(&FORWARDED);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut answer = match leader.api.filter(|_| open && reads && !passed) {
        None => next.run(request).await,
        // The request is not `Sync`, so the forwarded one is built before the await.
        Some(address) => match forward(forwarded_request(&request, address)).await {
            Ok(answer) => answer,
            Err(why) if request.uri().path().starts_with("/api/") => {
                let text = format!(
                    "this replica follows {}, which does not answer: {why}; ask again in a moment",
                    leader.name
                );
                problem(StatusCode::SERVICE_UNAVAILABLE, text)
            }
            // The page says that this replica does not lead, and who does.
            Err(_) => next.run(request).await,
        },
    };
    if let Ok(name) = leader.name.parse() {
        answer.headers_mut().insert(LEADER, name);
    }
    answer
}

/// The request to the leader; `None`: its address and the path make no URI.
fn forwarded_request(request: &Request, leader: SocketAddr) -> Option<http::Request<Full<Bytes>>> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = format!("http://{leader}{path}").parse().ok()?;
    let mut question = http::Request::new(Full::default());
    *question.method_mut() = request.method().clone();
    *question.uri_mut() = uri;
    question.headers_mut().insert(FORWARDED, header::HeaderValue::from_static("1"));
    for name in &REQUEST_HEADERS {
        if let Some(value) = request.headers().get(name) {
            question.headers_mut().insert(name, value.clone());
        }
    }
    Some(question)
}

async fn forward(question: Option<http::Request<Full<Bytes>>>) -> Result<Response, RequestError> {
    let question = question.ok_or(RequestError::Request)?;
    // A new client for each request: there are few, and the leader may change.
    let (head, body) = Client::plain(Limits::REPLICA).ask(question).await?.into_parts();
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = head.status;
    for name in &RESPONSE_HEADERS {
        if let Some(value) = head.headers.get(name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}
