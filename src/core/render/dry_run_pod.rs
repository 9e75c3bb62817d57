//! The Pod that a controller would create for a template (rules R1-R3): the body of a dry-run request.
//!
//! It is built as the controllers of Kubernetes 1.36 build theirs, from the template of the Pod's *immediate* controller
//! and never from a live Pod: injectors leave a Pod alone that carries their sidecar already.
//! What the owner wrote into the template stays, all of it, and nothing is added that the controller would not add.

mod daemon_set;
mod stateful_set;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::core::{
    config::WhatIf,
    model::owner::{Kind, RevisionKind},
};

/// How many ordinals to try for a StatefulSet's Pod (rule R3): each is taken only if a Pod was created in between.
pub const NAME_ATTEMPTS: u32 = 5;

/// The object that a controller names as owner of its Pods: a ReplicaSet, a StatefulSet, a DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerIdentity {
    /// `apps/v1`
    pub api_version: String,
    /// `ReplicaSet`
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid. Some injectors write it into the sidecar, so it must be the real one.
    pub uid: String,
}

/// A Pod template.
///
/// Its `spec` is kept as text: it is the greater part, most controllers hand it on as it is, and a Pod of it is to be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    metadata: Value,
    spec: Option<Box<str>>,
}

impl Template {
    /// A template that was read.
    pub fn of(template: &Value) -> Self {
        let member = |name| template.get(name).unwrap_or(&Value::Null);
        Self { metadata: member("metadata").clone(), spec: object(member("spec").to_string()) }
    }

    /// The same of its members' JSON.
    pub fn of_texts(metadata: &str, spec: String) -> Self {
        Self { metadata: serde_json::from_str(metadata).unwrap_or_default(), spec: object(spec) }
    }

    /// Its `spec` as JSON, if that is an object.
    pub fn spec(&self) -> Option<&str> {
        self.spec.as_deref()
    }

    /// The template as a value.
    pub fn json(&self) -> Value {
        json!({ "metadata": self.metadata, "spec": self.spec().and_then(parsed) })
    }
}

/// The text, if it is that of an object.
fn object(text: String) -> Option<Box<str>> {
    text.starts_with('{').then(|| text.into())
}

/// What that text says, if it can be understood.
fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// What a Pod is built from; of the template (`'t`) parts are used as they are.
#[derive(Clone, Copy, Debug)]
pub struct BodyRequest<'a, 't> {
    /// The workload's kind; for a Deployment the owner is its ReplicaSet.
    pub kind: Kind,
    /// The Pod's immediate controller.
    pub owner: &'a OwnerIdentity,
    /// The whole workload: needed of a StatefulSet (`spec.serviceName`, `spec.volumeClaimTemplates`, `spec.ordinals`,
    /// `spec.replicas`) and of a DaemonSet (its template generation); not read of a Deployment.
    pub workload: Option<&'a Value>,
    /// The template: `spec.template` of the ReplicaSet, `data.spec.template` of the ControllerRevision.
    pub template: &'t Template,
    /// The ControllerRevision's name, or of a DaemonSet also its hash alone. Not read of a Deployment: a ReplicaSet's
    /// template carries its hash.
    pub revision: &'a str,
    /// StatefulSet: the lowest and highest ordinal that exist.
    pub ordinals: Option<(u32, u32)>,
    /// StatefulSet: how many names were found taken (409) before, at most [`NAME_ATTEMPTS`].
    pub attempt: u32,
    /// Whether to say `blockOwnerDeletion`, as controllers do. With the admission plugin
    /// `OwnerReferencesPermissionEnforcement` that takes the right to update the owner's finalizers (rule R2).
    pub block_owner_deletion: bool,
    /// What the Pod is supposed to have beside what its controller gives it.
    pub what_if: &'a WhatIf,
}

/// A Pod to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct Body<'a> {
    metadata: Value,
    /// JSON: the template's own, unless its controller changes it.
    spec: Cow<'a, str>,
    /// Its name, for a StatefulSet; the others are named after admission.
    pub pod_name: Option<String>,
}

impl Body<'_> {
    /// The Pod.
    pub fn json(&self) -> Value {
        parsed(&self.text()).unwrap_or_default()
    }

    /// The Pod as JSON text.
    pub fn text(&self) -> String {
        format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{},"spec":{}}}"#, self.metadata, self.spec)
    }
}

/// Why no Pod can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The template has no `spec`.
    #[error("the Pod template of {kind} {name} has no spec")]
    NoSpec {
        /// The owner's kind.
        kind: String,
        /// The owner's name.
        name: String,
    },
    /// Controllers refuse to create Pods without labels.
    #[error("the Pod template of {kind} {name} has no labels")]
    NoLabels {
        /// The owner's kind.
        kind: String,
        /// The owner's name.
        name: String,
    },
    /// A StatefulSet's Pods cannot be built from the template alone.
    #[error("the StatefulSet {name} itself was not given")]
    NoWorkload {
        /// The owner's name.
        name: String,
    },
    /// Every name above the existing ones is too long, although the existing ones are not.
    #[error("no ordinal of StatefulSet {name} is free whose Pod's name fits into 63 characters")]
    NoFreeName {
        /// The owner's name.
        name: String,
    },
}

/// What a controller adds to a Pod beside what all add: it changes the `spec`, too.
type Complete = fn(&mut Body<'_>, &mut Value, &BodyRequest<'_, '_>) -> Result<(), BodyError>;

/// Builds the Pod.
///
/// Left out are the per-node affinity that the DaemonSet controller adds (there is no node to name: a rendering stands
/// for the Pods of all nodes, and no injector is known that reads it), and, of course, all that only a stored Pod has:
/// status, uid, the volume of the ServiceAccount token, ephemeral containers.
pub fn pod_body<'t>(request: &BodyRequest<'_, 't>) -> Result<Body<'t>, BodyError> {
    let BodyRequest { kind, owner, template, .. } = *request;
    let no_spec = || BodyError::NoSpec { kind: owner.kind.clone(), name: owner.name.clone() };
    let spec = template.spec().ok_or_else(no_spec)?;
    let mut pod = Body { metadata: metadata(request), spec: Cow::Borrowed(spec), pod_name: None };
    let complete: Option<Complete> = match kind {
        kind if kind.row().ordinals => Some(stateful_set::complete),
        Kind::DAEMON_SET => Some(daemon_set::complete),
        _ => None,
    };
    if let Some(complete) = complete {
        let mut changed = parsed(spec).ok_or_else(no_spec)?;
        complete(&mut pod, &mut changed, request)?;
        pod.spec = changed.to_string().into();
    } else if kind.row().revisions == RevisionKind::ControllerRevision {
        set_label(&mut pod, REVISION_LABEL, request.revision);
    }
    suppose(&mut pod, request.what_if);
    if labels(&mut pod).is_none_or(|labels| labels.is_empty()) {
        return Err(BodyError::NoLabels { kind: owner.kind.clone(), name: owner.name.clone() });
    }
    Ok(pod)
}

/// Gives the Pod what nobody gave it.
fn suppose(pod: &mut Body<'_>, what_if: &WhatIf) {
    let metadata = &mut pod.metadata;
    for (field, supposed) in [("labels", &what_if.labels), ("annotations", &what_if.annotations)] {
        if supposed.is_empty() {
            continue;
        }
        if metadata.get(field).is_none_or(|v| !v.is_object()) {
            insert(metadata, field, json!({}));
        }
        let Some(present) = metadata.get_mut(field) else { continue };
        for (key, value) in supposed {
            insert(present, key, json!(**value));
        }
    }
}

/// What all controllers give their Pods: labels, annotations and finalizers of the template, a name to be generated,
/// and the owner.
fn metadata(request: &BodyRequest<'_, '_>) -> Value {
    let BodyRequest { owner, template, block_owner_deletion, .. } = *request;
    let mut metadata = Map::new();
    for (field, is_empty) in [
        ("labels", (|v| v.as_object().is_none_or(Map::is_empty)) as fn(&Value) -> bool),
        ("annotations", |v| v.as_object().is_none_or(Map::is_empty)),
        ("finalizers", |v| v.as_array().is_none_or(Vec::is_empty)),
    ] {
        if let Some(value) = template.metadata.get(field).filter(|v| !is_empty(v)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    metadata.insert("generateName".to_owned(), json!(generate_name(&owner.name)));
    let mut reference = json!({
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": true,
    });
    if block_owner_deletion {
        insert(&mut reference, "blockOwnerDeletion", json!(true));
    }
    metadata.insert("ownerReferences".to_owned(), json!([reference]));
    Value::Object(metadata)
}

/// `<owner>-`; where that would be no valid name the controllers leave the dash out.
fn generate_name(owner: &str) -> String {
    const LONGEST_NAME: usize = 253;
    if owner.len() < LONGEST_NAME { format!("{owner}-") } else { owner.to_owned() }
}

/// The Pod's labels, made if there are none; `None` if something else stands there.
fn labels<'p>(pod: &'p mut Body<'_>) -> Option<&'p mut Map<String, Value>> {
    let metadata = pod.metadata.as_object_mut()?;
    metadata.entry("labels").or_insert_with(|| json!({})).as_object_mut()
}

fn set_label(pod: &mut Body<'_>, label: &str, value: &str) {
    if let Some(labels) = labels(pod) {
        labels.insert(label.to_owned(), json!(value));
    }
}

/// Sets a member of an object.
fn insert(object: &mut Value, member: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(member.to_owned(), value);
    }
}

/// The label that names the revision of a StatefulSet's or DaemonSet's Pod.
const REVISION_LABEL: &str = "controller-revision-hash";

#[cfg(test)]
mod tests;
