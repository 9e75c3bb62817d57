//! An API server without a cluster behind it: it writes watches of as many Pods as one likes, and answers dry runs at once.
//!
//! Everything in it is made from a number when it is asked for, so a million Pods cost it nothing. It serves what
//! sidecar-drift asks for and counts it; anything else is "not found".

mod list;
mod objects;
mod text;
mod watch;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use testbed::{HttpServer, ServedBody};
use tokio::sync::broadcast;

use crate::fleet::{self, Fleet};
use objects::{Collection, Objects};

/// The version of everything that is there from the start.
const FIRST_VERSION: u64 = 1000;

/// Events that a watch may lag behind.
const EVENTS: usize = 100_000;

/// The stub. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Stub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    objects: Objects,
    /// What happens while watches are open: in which collection, and the event's line.
    events: broadcast::Sender<(&'static str, Bytes)>,
    moving: Mutex<Moving>,
}

/// What changes.
#[derive(Debug)]
struct Moving {
    /// The version of the newest event.
    version: u64,
    /// The version of the sidecar that is injected.
    sidecar: Value,
    /// Requests, by what they ask for.
    requests: BTreeMap<String, u64>,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// So many at most, from there on.
    List {
        of: &'static Collection,
        from: usize,
        limit: Option<usize>,
    },
    Watch {
        of: &'static Collection,
        initial: bool,
        seconds: u64,
    },
    ReplicaSet(usize),
    DryRun,
    Fixed(Value),
    Nothing,
}

impl Stub {
    pub(crate) fn new(fleet: Fleet) -> Self {
        let moving = Moving { version: FIRST_VERSION, sidecar: fleet::sidecar("v1"), requests: BTreeMap::new() };
        let events = broadcast::Sender::new(EVENTS);
        Self(Arc::new(Inner { objects: Objects::new(fleet), events, moving: Mutex::new(moving) }))
    }

    /// Serves it on a loopback port, and writes a kubeconfig that leads there.
    pub(crate) fn serve(&self, kubeconfig: &Path) -> Result<HttpServer> {
        let stub = self.clone();
        let server = HttpServer::plain(move |request| {
            let stub = stub.clone();
            async move {
                let (parts, body) = request.into_parts();
                // What breaks while it is sent is nothing that we have to answer.
                let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                stub.answer(&parts.method, &parts.uri, &body)
            }
        })?;
        let url = format!("http://{}", server.address());
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stub", "cluster": {"server": url}}],
            "users": [{"name": "stub", "user": {}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}],
            "current-context": "stub",
        });
        fs::write(kubeconfig, config.to_string())?;
        Ok(server)
    }

    /// Answers one request.
    pub(crate) fn answer(&self, method: &Method, uri: &Uri, body: &Bytes) -> Response<ServedBody> {
        let asked = self.0.objects.asked(method, uri);
        self.count(&asked);
        match asked {
            Asked::List { of, from, limit } => self.list(of, from, limit),
            Asked::Watch { of, initial, seconds } => self.watch(of, initial, seconds),
            Asked::ReplicaSet(number) => json_answer(StatusCode::OK, &self.0.objects.replica_set(number)),
            Asked::DryRun => self.render(body),
            Asked::Fixed(document) => json_answer(StatusCode::OK, &document),
            Asked::Nothing => {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404});
                json_answer(StatusCode::NOT_FOUND, &status)
            }
        }
    }

    /// How many requests there were: `list pods`, `watch pods`, `dry-run`, ...
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        self.moving().requests.clone()
    }

    /// Forgets what was asked so far.
    pub(crate) fn forget_requests(&self) {
        self.moving().requests.clear();
    }

    /// This version of the sidecar is injected from now on. No watch hears of it.
    pub(crate) fn inject(&self, version: &str) {
        self.moving().sidecar = fleet::sidecar(version);
    }

    /// All watches hear that this Pod is gone.
    pub(crate) fn delete_pod(&self, deployment: usize, replica: usize) {
        let pod = |version| self.0.objects.pod_line("DELETED", deployment, replica, version);
        self.tell("pods", pod);
    }

    /// All watches hear that this Pod was written; nothing of it that matters is another than before.
    pub(crate) fn touch_pod(&self, deployment: usize, replica: usize) {
        let pod = |version| self.0.objects.pod_line("MODIFIED", deployment, replica, version);
        self.tell("pods", pod);
    }

    fn tell(&self, plural: &'static str, line: impl FnOnce(u64) -> Vec<u8>) {
        let mut moving = self.moving();
        moving.version += 1;
        // Nobody listens while no watch is open.
        _ = self.0.events.send((plural, line(moving.version).into()));
    }

    fn version(&self) -> u64 {
        self.moving().version
    }

    fn moving(&self) -> std::sync::MutexGuard<'_, Moving> {
        self.0.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, asked: &Asked) {
        let name = match asked {
            Asked::List { of, .. } => format!("list {}", of.plural),
            Asked::Watch { of, .. } => format!("watch {}", of.plural),
            Asked::ReplicaSet(_) => "get replicasets".to_owned(),
            Asked::DryRun => "dry-run".to_owned(),
            Asked::Fixed(_) => "other".to_owned(),
            Asked::Nothing => "not found".to_owned(),
        };
        *self.moving().requests.entry(name).or_default() += 1;
    }

    /// What admission would make of it.
    fn render(&self, body: &Bytes) -> Response<ServedBody> {
        let Ok(mut pod) = serde_json::from_slice::<Value>(body) else {
            return json_answer(StatusCode::BAD_REQUEST, &json!({"kind": "Status", "code": 400}));
        };
        if let Some(containers) = pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut) {
            containers.push(self.moving().sidecar.clone());
        }
        pod["metadata"]["uid"] = json!(fleet::uid(9, 0, 0));
        json_answer(StatusCode::CREATED, &pod)
    }
}

fn json_answer(status: StatusCode, document: &Value) -> Response<ServedBody> {
    let body = Full::new(Bytes::from(document.to_string())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
