//! One request and its answer, whole: status, body and `Retry-After`, which kube's typed calls drop.

use std::{error::Error as StdError, fmt, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use kube::client::Body;
use serde_json::{Value, json};

use super::{Cluster, FIELD_MANAGER, layer::TimedOut, plugin::PluginFailed};
use crate::{
    cluster::{convert::Needed, paths},
    core::{io::api_response, model::quoted::quoted},
};

/// A request that is about to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    method: Method,
    path: String,
    body: Option<(&'static str, Bytes)>,
    /// Sent in the name of this user.
    as_user: Option<String>,
}

impl Call {
    /// Read what is at this path (and query).
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, as_user: None }
    }

    /// Read what a Pod serves, by way of the API server; `None`: no Pod can be called so.
    pub fn through_pod(namespace: &str, pod: &str, port: u16, path: &str) -> Option<Self> {
        paths::is_name(pod).then(|| Self::get(paths::through_pod(namespace, pod, port, path)))
    }

    /// In the name of another user, which takes the right to impersonate.
    #[must_use]
    pub fn impersonating(mut self, user: String) -> Self {
        self.as_user = Some(user);
        self
    }

    /// Create a Pod, which is JSON text, as a dry run: admission answers, nothing is stored.
    pub fn dry_run_pod(namespace: &str, pod: String) -> Self {
        Self::create(paths::create_pod(namespace), pod)
    }

    /// Evict a Pod of this uid: its PodDisruptionBudgets are asked. There is no function that deletes one.
    pub fn eviction(namespace: &str, pod: &str, uid: &str) -> Self {
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": pod, "namespace": namespace },
            "deleteOptions": { "preconditions": { "uid": uid } },
        });
        Self::post(paths::evict_pod(namespace, pod), &eviction)
    }

    /// Ask what we may do.
    pub fn access_review(review: &Value) -> Self {
        Self::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(), review)
    }

    /// Create a ConfigMap.
    pub fn create_config_map(namespace: &str, config_map: &Value) -> Self {
        Self::post(format!("{}?fieldManager={FIELD_MANAGER}", paths::config_maps(namespace)), config_map)
    }

    /// Create an Event.
    pub fn create_event(namespace: &str, event: &Value) -> Self {
        Self::post(format!("{}?fieldManager={FIELD_MANAGER}", paths::events(namespace)), event)
    }

    /// Create a Lease.
    pub fn create_lease(namespace: &str, lease: &Value) -> Self {
        Self::post(format!("{}?fieldManager={FIELD_MANAGER}", paths::leases(namespace)), lease)
    }

    /// Not public: what we can create is what has a function above.
    fn post(path: String, body: &Value) -> Self {
        Self::create(path, body.to_string())
    }

    fn create(path: String, body: String) -> Self {
        Self { method: Method::POST, path, body: Some(("application/json", body.into())), as_user: None }
    }

    /// A JSON Patch (RFC 6902).
    pub fn json_patch(path: impl Into<String>, operations: &Value) -> Self {
        Self {
            method: Method::PATCH,
            path: path.into(),
            body: Some(("application/json-patch+json", operations.to_string().into())),
            as_user: None,
        }
    }

    /// A JSON merge patch (RFC 7386).
    pub fn merge_patch(path: impl Into<String>, fields: &Value) -> Self {
        Self {
            method: Method::PATCH,
            path: path.into(),
            body: Some(("application/merge-patch+json", fields.to_string().into())),
            as_user: None,
        }
    }
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header `Retry-After`, if it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// The body, whole.
    pub body: Bytes,
    /// What was asked: `GET /version`.
    pub what: String,
}

/// A body is not what it has to be. Nothing is ever taken for it in its place.
#[derive(Debug, thiserror::Error)]
#[error("the API server's answer to `{what}` cannot be read: {why}")]
pub struct Unreadable {
    what: String,
    why: String,
}

/// Of what is no JSON so much is repeated.
const REPEATED: usize = 1024;

impl Answer {
    /// The body as JSON. What is nested very deep in it is kept as text.
    pub fn json(&self) -> Result<Value, Unreadable> {
        self.part(Needed::All)
    }

    /// As [`Answer::json`], but of the body only what is needed.
    pub(in crate::cluster) fn part(&self, needed: Needed) -> Result<Value, Unreadable> {
        needed.read(&self.body).map_err(|error| self.unreadable(&error))
    }

    /// The body is not what was asked for.
    pub(in crate::cluster) fn unreadable(&self, why: &dyn fmt::Display) -> Unreadable {
        Unreadable { what: self.what.clone(), why: why.to_string() }
    }

    /// What the server says of it: JSON, and of a failure that is none, such as a proxy's, its beginning as one string. What
    /// should be an object and is none is null, which is judged as no whole object.
    pub(in crate::cluster) fn said(&self) -> Value {
        self.said_of(Needed::All)
    }

    /// As [`Answer::said`], but of an object only what is needed.
    pub(in crate::cluster) fn said_of(&self, needed: Needed) -> Value {
        self.part(needed).unwrap_or_else(|_| {
            if self.status.is_success() {
                return Value::Null;
            }
            String::from_utf8_lossy(self.body.get(..REPEATED).unwrap_or(&self.body)).into()
        })
    }

    /// As the core judges it. `json` is what [`Answer::said`] gave.
    pub(in crate::cluster) fn as_core<'a>(&self, json: &'a Value) -> api_response::Answer<'a> {
        api_response::Answer { code: self.status.as_u16(), body: json, retry_after: self.retry_after }
    }

    /// Whether the server's words have these in them, however long they are.
    pub(in crate::cluster) fn says(&self, words: &str) -> bool {
        let json = self.said();
        json.as_str().or_else(|| json.get("message")?.as_str()).is_some_and(|text| text.contains(words))
    }

    /// In the server's words, what is wrong: the `message` of a Status, or the first line of a text, else the HTTP status.
    pub fn message(&self) -> String {
        let json = self.said();
        let text = json.as_str().or_else(|| json.get("message")?.as_str()).unwrap_or_default();
        match text.trim().lines().next() {
            Some(line) if json.is_string() => quoted(line).into_owned(),
            Some(_) => quoted(text).into_owned(),
            None => self.status.to_string(),
        }
    }
}

/// There is no answer. Whether the request was carried out is not known.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It took too long.
    #[error("the API server did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection could not be made, or broke.
    #[error("the connection to the API server failed")]
    Failed(#[source] Box<dyn StdError + Send + Sync>),
}

impl NoAnswer {
    /// The whole chain of causes in one line, for messages that have no room for a chain.
    pub fn sentence(&self) -> String {
        chain(self)
    }
}

/// An error and its causes in one line, what is said twice only once.
pub(in crate::cluster) fn chain(error: &(dyn StdError + 'static)) -> String {
    if let Some(failed) = PluginFailed::find(error) {
        return failed.to_string();
    }
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.ends_with(&text) {
            sentence.push_str(": ");
            sentence.push_str(&text);
        }
        cause = error.source();
    }
    sentence
}

impl From<kube::Error> for NoAnswer {
    fn from(error: kube::Error) -> Self {
        if let Some(failed) = PluginFailed::find(&error) {
            return Self::Failed(Box::new(failed));
        }
        match error {
            kube::Error::Service(inner) => match inner.downcast::<TimedOut>() {
                Ok(timed_out) => Self::TimedOut(timed_out.0),
                Err(inner) => Self::Failed(inner),
            },
            other => Self::Failed(Box::new(other)),
        }
    }
}

impl Cluster {
    /// Send one request. Any HTTP status is an answer; only a request without an answer is an error.
    pub async fn call(&self, call: Call) -> Result<Answer, NoAnswer> {
        let Call { method, path, body, as_user } = call;
        let what = format!("{method} {}", path.split('?').next().unwrap_or_default());
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, "application/json");
        if let Some(user) = as_user {
            request = request.header("Impersonate-User", user);
        }
        let bytes = match body {
            Some((content_type, body)) => {
                request = request.header(header::CONTENT_TYPE, content_type);
                body
            }
            None => Bytes::new(),
        };
        let request = request.body(Body::from(bytes)).map_err(|error| NoAnswer::Failed(Box::new(error)))?;
        let (head, body) = self.client.send(request).await?.into_parts();
        let retry_after = head
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.trim().parse().ok())
            .map(Duration::from_secs);
        let body = body.collect_bytes().await?;
        Ok(Answer { status: head.status, retry_after, body, what })
    }
}
