//! The first list of a kind of which there are thousands.
//!
//! A watch may begin with all objects (`sendInitialEvents`), and then each costs the API server half as much again as in a
//! list: it writes an event's JSON twice. So such a watch is asked for in two parts, the list and a watch from there on, and
//! looks like one to whoever asked. See decision 0019 for what was measured.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use kube::{client::Body, core::Status};
use serde_json::{Value, json};
use tower::{BoxError, Service};

use super::{
    items::{Items, listed},
    layer::Streamed,
};

/// A longer list is left to the watch: the API server gives up on a list after a minute, on a watch it does not.
const MAX_ITEMS: usize = 20_000;

/// The head of a list comes at once. Something between us that holds it back must not keep us.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Of what says why it failed in another form so much is repeated.
const LONGEST_MESSAGE: usize = 1024;

/// Asks as a kube client does, for watches that begin with a list in two parts.
#[derive(Clone)]
pub(super) struct FirstList {
    client: kube::Client,
    /// A list was too long, or broke: watches are passed on as they are.
    given_up: Arc<AtomicBool>,
}

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// The two parts of a watch that begins with a list.
#[derive(Debug, PartialEq, Eq)]
struct SplitWatch {
    list: String,
    /// Without the version that it begins at.
    watch: String,
}

impl FirstList {
    pub(super) fn new(client: kube::Client) -> Self {
        Self { client, given_up: Arc::default() }
    }

    async fn send(self, request: Request<Body>) -> Result<Answer, kube::Error> {
        let parts = split(request.method(), request.uri()).filter(|_| !self.given_up.load(Ordering::Relaxed));
        let Some(SplitWatch { list, watch }) = parts else { return self.forward(request).await };
        let mut asked = get(&list, request.headers())?;
        asked.extensions_mut().insert(Streamed);
        let response = self.client.send(asked).await?;
        match response.status() {
            StatusCode::OK => {}
            // A watch is another right.
            StatusCode::FORBIDDEN => return self.forward(request).await,
            _ => return Ok(unchanged(response)),
        }
        let mut listing = Listing { body: response.into_body(), items: Items::default(), lines: Vec::new() };
        let short = tokio::time::timeout(HEAD_TIMEOUT, listing.read_head()).await;
        if !matches!(short, Ok(Ok(true))) {
            self.given_up.store(true, Ordering::Relaxed);
            tracing::debug!(list, "no such list, or a long one: it comes within the watch");
            return self.forward(request).await;
        }
        let next = get(&watch, request.headers())?;
        let state = (self, Stage::Listing(Box::new(listing), next));
        let lines = stream::try_unfold(state, |(this, stage)| async move {
            let next = this.next(stage).await;
            Ok::<_, BoxError>(next?.map(|(lines, stage)| (Frame::data(lines), (this, stage))))
        });
        Ok(Response::new(UnsyncBoxBody::new(StreamBody::new(lines))))
    }

    async fn forward(&self, request: Request<Body>) -> Result<Answer, kube::Error> {
        self.client.send(request).await.map(unchanged)
    }

    /// What comes next of the two parts.
    async fn next(&self, stage: Stage) -> Result<Option<(Bytes, Stage)>, BoxError> {
        match stage {
            Stage::Listing(mut listing, mut watch) => match listing.next().await {
                Ok(Some(lines)) => Ok(Some((lines, Stage::Listing(listing, watch)))),
                Ok(None) => {
                    let version = self.give_up_on_error(listing.items.end())?.version;
                    let from_there = format!("{}&resourceVersion={version}", watch.uri());
                    *watch.uri_mut() = from_there.parse()?;
                    Ok(Some((listed(&version).into(), Stage::Listed(watch))))
                }
                Err(error) => self.give_up_on_error(Err(error)),
            },
            Stage::Listed(watch) => {
                let response = self.client.send(watch).await?;
                let (head, mut body) = response.into_parts();
                if head.status != StatusCode::OK {
                    let refusal = body.collect().await?.to_bytes();
                    return Ok(Some((refused(head.status, &refusal).into(), Stage::Over)));
                }
                Ok(frame(&mut body).await?.map(|lines| (lines, Stage::Watching(body))))
            }
            Stage::Watching(mut body) => Ok(frame(&mut body).await?.map(|lines| (lines, Stage::Watching(body)))),
            Stage::Over => Ok(None),
        }
    }

    /// A list that broke off may do so each time.
    fn give_up_on_error<T, E: Into<BoxError>>(&self, result: Result<T, E>) -> Result<T, BoxError> {
        result.map_err(|error| {
            self.given_up.store(true, Ordering::Relaxed);
            error.into()
        })
    }
}

/// How far the answer has come.
enum Stage {
    /// The list, and what is to be asked behind it.
    Listing(Box<Listing>, Request<Body>),
    /// The list is over.
    Listed(Request<Body>),
    Watching(Body),
    Over,
}

struct Listing {
    body: Body,
    items: Items,
    /// Lines that are not passed on yet.
    lines: Vec<u8>,
}

impl Listing {
    /// Reads as far as the first item: whether it is a list that holds all objects.
    async fn read_head(&mut self) -> Result<bool, BoxError> {
        while !self.items.begun() {
            let Some(piece) = frame(&mut self.body).await? else { return Ok(false) };
            self.items.take(&piece, &mut self.lines)?;
        }
        Ok(self.items.about().is_some_and(|about| !about.version.is_empty() && !about.more))
    }

    /// The next lines.
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        while self.lines.is_empty() {
            let Some(piece) = frame(&mut self.body).await? else { return Ok(None) };
            self.items.take(&piece, &mut self.lines)?;
        }
        Ok(Some(std::mem::take(&mut self.lines).into()))
    }
}

/// The next piece of a body; `None` at its end.
async fn frame(body: &mut Body) -> Result<Option<Bytes>, BoxError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// The event that tells of a watch that could not begin.
fn refused(status: StatusCode, answer: &[u8]) -> String {
    format!("{}\n", json!({"type": "ERROR", "object": failure(status, answer)}))
}

/// A failure as the Status that says it. To kube any JSON is one, with what it does not say left empty, and so the code of a
/// failure could be 0: what is no Status of this code is made one.
pub(super) fn failure(status: StatusCode, answer: &[u8]) -> Value {
    let plain = || {
        let message = String::from_utf8_lossy(answer.get(..LONGEST_MESSAGE).unwrap_or(answer));
        json!({"kind": "Status", "status": "Failure", "code": status.as_u16(), "message": message, "reason": ""})
    };
    let said: Option<Status> = serde_json::from_slice(answer).ok();
    let said = said.filter(|said| said.code == status.as_u16()).and_then(|said| serde_json::to_value(said).ok());
    said.unwrap_or_else(plain)
}

fn get(target: &str, headers: &HeaderMap) -> Result<Request<Body>, kube::Error> {
    let mut request = Request::get(target).body(Body::empty()).map_err(kube::Error::HttpError)?;
    request.headers_mut().clone_from(headers);
    Ok(request)
}

/// An answer as it is.
fn unchanged(response: Response<Body>) -> Answer {
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// `None`: it is no watch that begins with a list.
fn split(method: &Method, uri: &Uri) -> Option<SplitWatch> {
    /// What makes a watch of a list.
    const OF_THE_WATCH: [&str; 6] = [
        "watch",
        "timeoutSeconds",
        "allowWatchBookmarks",
        "sendInitialEvents",
        "resourceVersionMatch",
        "resourceVersion",
    ];
    /// What makes it begin with a list.
    const OF_THE_LIST: [&str; 3] = ["sendInitialEvents", "resourceVersionMatch", "resourceVersion"];
    let query = uri.query().filter(|_| *method == Method::GET)?;
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    if !(pairs.contains(&"watch=true") && pairs.contains(&"sendInitialEvents=true")) {
        return None;
    }
    let without = |names: &[&str], first: &str| {
        let kept = pairs.iter().filter(|pair| !names.contains(&pair.split('=').next().unwrap_or_default()));
        kept.fold(format!("{}?{first}", uri.path()), |target, pair| target + "&" + pair)
    };
    let list = without(&OF_THE_WATCH, &format!("limit={MAX_ITEMS}"));
    let watch = without(&[OF_THE_LIST.as_slice(), &["watch"]].concat(), "watch=true");
    Some(SplitWatch { list, watch })
}

impl Service<Request<Body>> for FirstList {
    type Response = Answer;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_begins_with_a_list_has_two_parts() {
        let uri = "/api/v1/namespaces/a/pods?&watch=true&timeoutSeconds=290&allowWatchBookmarks=true&fieldSelector=x%3Dy\
                   &sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0";
        let expected = SplitWatch {
            list: "/api/v1/namespaces/a/pods?limit=20000&fieldSelector=x%3Dy".to_owned(),
            watch:
                "/api/v1/namespaces/a/pods?watch=true&timeoutSeconds=290&allowWatchBookmarks=true&fieldSelector=x%3Dy"
                    .to_owned(),
        };
        assert_eq!(split(&Method::GET, &uri.parse().unwrap()), Some(expected));
    }

    #[test]
    fn every_other_request_is_passed_on() {
        let other = [
            (Method::GET, "/api/v1/pods"),
            (Method::GET, "/api/v1/pods?limit=500"),
            (Method::GET, "/api/v1/pods?watch=true&resourceVersion=7"),
            (Method::POST, "/api/v1/pods?watch=true&sendInitialEvents=true"),
        ];
        for (method, uri) in other {
            assert_eq!(split(&method, &uri.parse().unwrap()), None, "{uri}");
        }
    }

    #[test]
    fn why_the_watch_could_not_begin_is_told_in_its_form() {
        let gone = br#"{"kind":"Status","code":410,"message":"too old","reason":"Expired","status":"Failure"}"#;
        for (answer, code, message) in [
            (&gone[..], 410, "too old"),
            (b"<html>", 502, "<html>"),
            (b"{}", 410, "{}"),
            (&gone[..], 500, std::str::from_utf8(gone).unwrap()),
        ] {
            let line = refused(StatusCode::from_u16(code).unwrap(), answer);
            let event = serde_json::from_str(&line).unwrap();
            let kube::core::WatchEvent::<Value>::Error(status) = event else { panic!("no error") };
            assert_eq!((status.code, status.message.as_str()), (code, message));
        }
    }
}
