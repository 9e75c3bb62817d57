//! What a follower is asked is answered by the leader, where that can be reached: only the leader knows verdicts.

use std::{net::SocketAddr, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, Method, StatusCode, Uri, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time;

use super::{Published, api::problem};

/// An answer that takes longer is none: a page of the largest list takes a fraction of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// No answer is longer: a thousand workloads with all their differences are some megabytes. A few are in memory at a time.
const LONGEST: usize = 16 << 20;

/// Says that a request was passed on already, so that two replicas that take each other for the leader do not play ball.
const PASSED_ON: HeaderName = HeaderName::from_static("x-sidecar-drift-passed-on");

/// Names the leader in what a follower answers.
const LEADER: HeaderName = HeaderName::from_static("x-sidecar-drift-leader");

/// What of a question matters to the answer, and what of the answer matters to whoever asked.
const ASKED: [HeaderName; 2] = [header::ACCEPT, header::IF_NONE_MATCH];
const ANSWERED: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::ETAG,
    header::ALLOW,
    HeaderName::from_static("x-report-taken"),
];

/// There was no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It took too long.
    #[error("it takes longer than {} s", PATIENCE.as_secs())]
    Late,
    /// Nobody listens there, or the network does not let us.
    #[error("no connection")]
    Unreachable,
    /// The connection broke, or something else than HTTP was spoken.
    #[error("the connection was lost")]
    Lost,
}

/// Asks by GET, over HTTP without TLS.
pub async fn fetch(request: http::Request<Full<Bytes>>) -> Result<http::Response<Bytes>, NoAnswer> {
    // A new one for each question: there are few, and the leader may be another at the next.
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(PATIENCE / 2));
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let answered = async {
        let answer = client.request(request).await;
        let answer = answer.map_err(|error| if error.is_connect() { NoAnswer::Unreachable } else { NoAnswer::Lost })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(|_| NoAnswer::Lost)?.to_bytes();
        Ok(http::Response::from_parts(head, body))
    };
    time::timeout(PATIENCE, answered).await.unwrap_or(Err(NoAnswer::Late))
}

/// Lets the leader answer, if we follow one that can be reached; `open`: we are reached by others, too. A listener on
/// loopback is for whoever forwards the port of this very replica.
pub(super) async fn to_the_leader(
    State((open, published)): State<(bool, Published)>,
    request: Request,
    next: Next,
) -> Response {
    let follows = published.report().is_some_and(|report| !report.leader);
    let Some(leader) = published.leader().filter(|_| follows) else { return next.run(request).await };
    let passed = request.headers().contains_key(&PASSED_ON);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut answer = match leader.api.filter(|_| open && reads && !passed) {
        None => next.run(request).await,
        // Of a request whose body nobody may look at twice, what is to be asked is taken first.
        Some(address) => match pass_on(question(&request, address)).await {
            Ok(answer) => answer,
            Err(why) if request.uri().path().starts_with("/api/") => {
                let text = format!(
                    "this replica follows {}, which does not answer: {why}; ask again in a moment",
                    leader.name
                );
                problem(StatusCode::SERVICE_UNAVAILABLE, text)
            }
            // The page says that this replica does not lead, and what it knows all the same.
            Err(_) => next.run(request).await,
        },
    };
    if let Ok(name) = leader.name.parse() {
        answer.headers_mut().insert(LEADER, name);
    }
    answer
}

/// What is asked of the leader; `None`: this cannot be an address.
fn question(request: &Request, leader: SocketAddr) -> Option<http::Request<Full<Bytes>>> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = format!("http://{leader}{path}").parse().ok()?;
    let mut question = http::Request::new(Full::default());
    *question.method_mut() = request.method().clone();
    *question.uri_mut() = uri;
    question.headers_mut().insert(PASSED_ON, header::HeaderValue::from_static("1"));
    for name in &ASKED {
        if let Some(value) = request.headers().get(name) {
            question.headers_mut().insert(name, value.clone());
        }
    }
    Some(question)
}

async fn pass_on(question: Option<http::Request<Full<Bytes>>>) -> Result<Response, NoAnswer> {
    let (head, body) = fetch(question.ok_or(NoAnswer::Lost)?).await?.into_parts();
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = head.status;
    for name in &ANSWERED {
        if let Some(value) = head.headers.get(name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}
