//! What the server is and can do, asked once at the start.

use std::time::Duration;

use futures::{AsyncBufReadExt, TryStreamExt};
use http::{Request, StatusCode};
use serde_json::Value;

use super::{Call, Cluster, call::NoAnswer, error::Error};
use crate::cluster::paths;

/// What the API server is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its version: `v1.37.2`.
    pub version: String,
    /// The version in which MutatingAdmissionPolicies are served (`v1`, `v1beta1`); `None`: not at all.
    pub policies: Option<&'static str>,
    /// It sends the list within the watch.
    pub streaming_lists: bool,
}

/// The versions of the policies that we can read, best first. `v1alpha1` has other field meanings and is not among them.
const POLICY_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// The server ends the watch that asks for streaming lists after 5 s. Something between us that passes on the head of an
/// answer and holds back its body must not keep us.
const STREAM_TIMEOUT: Duration = Duration::from_secs(10);

impl Cluster {
    /// Whether there is a namespace of this name; `None`: that cannot be found out.
    pub async fn has_namespace(&self, name: &str) -> Option<bool> {
        let answer = self.call(Call::get(paths::namespace(name))).await.ok()?;
        match answer.status {
            StatusCode::OK => Some(true),
            StatusCode::NOT_FOUND => Some(false),
            _ => None,
        }
    }

    /// Ask the server who it is and what it can do. The first request of a process: here it turns out whether the
    /// connection works at all.
    ///
    /// `namespace`: where we may surely read Pods; `None`: everywhere.
    pub async fn probe(&self, namespace: Option<&str>) -> Result<Server, Error> {
        let version = self.version().await?;
        let mut policies = None;
        for candidate in POLICY_VERSIONS {
            if self.serves("admissionregistration.k8s.io", candidate, "mutatingadmissionpolicies").await? {
                policies = Some(candidate);
                break;
            }
        }
        let streaming_lists = self.has_streaming_lists(namespace).await;
        Ok(Server { version, policies, streaming_lists })
    }

    async fn version(&self) -> Result<String, Error> {
        let answer = self.ask("/version").await?;
        if !answer.status.is_success() {
            return Err(Error::of_answer(self.url(), "read its version", &answer));
        }
        let version = answer.json().ok().and_then(|json| json.get("gitVersion")?.as_str().map(str::to_owned));
        version.ok_or_else(|| Error::NotKubernetes { url: self.url().to_owned() })
    }

    async fn serves(&self, group: &str, version: &str, plural: &str) -> Result<bool, Error> {
        let answer = self.ask(&format!("/apis/{group}/{version}")).await?;
        match answer.status {
            StatusCode::OK => {
                let list = answer.json().map_err(|error| Error::of_body(self.url(), error))?;
                let resources = list.get("resources").and_then(Value::as_array);
                let resources = resources.ok_or_else(|| Error::NotKubernetes { url: self.url().to_owned() })?;
                Ok(resources.iter().any(|resource| resource.get("name").and_then(Value::as_str) == Some(plural)))
            }
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(Error::of_answer(self.url(), "list the kinds it serves", &answer)),
        }
    }

    async fn ask(&self, path: &str) -> Result<super::Answer, Error> {
        self.call(Call::get(path)).await.map_err(|error| Error::of_no_answer(self.url(), error))
    }

    /// Whether a watch begins with the list. Asked with a selector that no Pod meets: it costs nothing. A server without
    /// the feature refuses the parameter (422), or, before it knew it, never sends the mark at the list's end. Any
    /// failure means no: pages work everywhere.
    async fn has_streaming_lists(&self, namespace: Option<&str>) -> bool {
        let scope = namespace.map(|namespace| format!("/namespaces/{}", paths::segment(namespace))).unwrap_or_default();
        let path = format!(
            "/api/v1{scope}/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
             &allowWatchBookmarks=true&fieldSelector=metadata.name%3D.none&timeoutSeconds=5"
        );
        match tokio::time::timeout(STREAM_TIMEOUT, self.first_line(&path)).await {
            Ok(Ok(line)) => line.is_some_and(|line| line.contains("k8s.io/initial-events-end")),
            Ok(Err(error)) => {
                tracing::debug!(reason = error.sentence(), "no streaming lists, using pages");
                false
            }
            Err(_) => {
                tracing::debug!("the streaming list never began, using pages");
                false
            }
        }
    }

    async fn first_line(&self, path: &str) -> Result<Option<String>, NoAnswer> {
        let request = Request::get(path).body(Vec::new()).map_err(|error| NoAnswer::Failed(Box::new(error)))?;
        let stream = self.client.request_stream(request).await?;
        stream.lines().try_next().await.map_err(|error| NoAnswer::Failed(Box::new(error)))
    }
}
