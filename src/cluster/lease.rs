//! The Lease that says who leads: carries out what [`core::lease`](crate::core::model::lease) asks for.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    client::{Answer, Call, Cluster, FIELD_MANAGER},
    paths,
};
use crate::core::model::lease::{Lease, LeaseSpec, Reply, Request};

/// Where the holder answers those who read; the Lease has no field for it.
const API: &str = "sidecar-drift/api";

/// One Lease, whether or not it exists. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LeaseStore {
    cluster: Cluster,
    namespace: Arc<str>,
    name: Arc<str>,
}

impl LeaseStore {
    /// The one of this name in this namespace.
    pub fn new(cluster: Cluster, namespace: &str, name: &str) -> Self {
        Self { cluster, namespace: Arc::from(namespace), name: Arc::from(name) }
    }

    /// Carry out one request, once: whether it is repeated is not decided here.
    pub async fn ask(&self, request: &Request) -> Reply {
        let path = paths::lease(&self.namespace, &self.name);
        let call = match request {
            Request::Read => Call::get(path),
            Request::Create(spec) => {
                let mut metadata = json!({ "name": &*self.name, "namespace": &*self.namespace });
                if !spec.api.is_empty() {
                    metadata["annotations"] = json!({ API: &*spec.api });
                }
                let body = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": fields(spec),
                });
                Call::create_lease(&self.namespace, &body)
            }
            // Only what it says: its labels, and all annotations but one, are others'.
            Request::Replace { version, spec } => {
                let metadata = json!({ "resourceVersion": &**version, "annotations": { API: text(&spec.api) } });
                let body = json!({ "metadata": metadata, "spec": fields(spec) });
                Call::merge_patch(format!("{path}?fieldManager={FIELD_MANAGER}"), &body)
            }
        };
        match self.cluster.call(call).await {
            Ok(answer) => reply(&answer),
            Err(error) => Reply::Failed { message: error.sentence() },
        }
    }
}

fn reply(answer: &Answer) -> Reply {
    match answer.status.as_u16() {
        200 | 201 => {
            let read = answer.json().and_then(|json| lease(&json).ok_or_else(|| answer.unreadable(&"it is no Lease")));
            read.map_or_else(|error| Reply::Failed { message: error.to_string() }, Reply::Is)
        }
        404 => Reply::Missing,
        409 => Reply::Conflict,
        _ => Reply::Failed { message: answer.message() },
    }
}

/// A field without a value is left out of a merge by `null`.
fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn fields(spec: &LeaseSpec) -> Value {
    json!({
        "holderIdentity": &*spec.holder,
        "leaseDurationSeconds": spec.duration.as_secs(),
        "acquireTime": text(&spec.acquired),
        "renewTime": text(&spec.renewed),
        "leaseTransitions": spec.transitions,
    })
}

/// `None`: it is no Lease. What it does not say is empty; what it says in another way than a Lease does is not: nobody leads, for
/// one, it would then say.
fn lease(object: &Value) -> Option<Lease> {
    let version = object.pointer("/metadata/resourceVersion")?.as_str()?.into();
    let api = object.pointer("/metadata/annotations").and_then(|all| all.get(API)).and_then(Value::as_str);
    let spec = object.get("spec").filter(|spec| !spec.is_null());
    if spec.is_some_and(|spec| !spec.is_object()) {
        return None;
    }
    let field = |name| spec.and_then(|spec| spec.get(name)).filter(|field| !field.is_null());
    let text = |name| field(name).map_or(Some(""), Value::as_str);
    let number = |name| field(name).map_or(Some(0), |n| u64::try_from(n.as_i64()?.max(0)).ok());
    let spec = LeaseSpec {
        holder: text("holderIdentity")?.into(),
        duration: Duration::from_secs(number("leaseDurationSeconds")?),
        acquired: text("acquireTime")?.into(),
        renewed: text("renewTime")?.into(),
        transitions: u32::try_from(number("leaseTransitions")?).unwrap_or_default(),
        api: api.unwrap_or_default().into(),
    };
    Some(Lease { version, spec })
}
