//! The body of a dry-run request, and what it is made of.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::core::{config::WhatIf, model::owner::Kind};

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
    pub(super) metadata: Value,
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
pub(super) fn parsed(text: &str) -> Option<Value> {
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
    /// StatefulSet: an ordinal that the Pod must not have.
    pub other_than: Option<u32>,
    /// StatefulSet: the Pod of the lowest ordinal that exists is wanted, though its name is taken: to hear whether admission
    /// would let it be.
    pub existing: bool,
    /// DaemonSet: the Node that the Pod is for. `None`: none is known, and the Pod is for none.
    pub node: Option<&'a str>,
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
    pub(super) metadata: Value,
    /// JSON: the template's own, unless its controller changes it.
    pub(super) spec: Cow<'a, str>,
    /// Its name, for a StatefulSet; the others are named after admission.
    pub pod_name: Option<String>,
    /// The ordinal of the Pod whose claims it has, for a StatefulSet.
    pub claims: Option<u32>,
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

pub(super) fn labels<'p>(pod: &'p mut Body<'_>) -> Option<&'p mut Map<String, Value>> {
    let metadata = pod.metadata.as_object_mut()?;
    metadata.entry("labels").or_insert_with(|| json!({})).as_object_mut()
}

pub(super) fn set_label(pod: &mut Body<'_>, label: &str, value: &str) {
    if let Some(labels) = labels(pod) {
        labels.insert(label.to_owned(), json!(value));
    }
}

/// Sets a member of an object.
pub(super) fn insert(object: &mut Value, member: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(member.to_owned(), value);
    }
}

/// The label that names the revision of a StatefulSet's or DaemonSet's Pod.
pub(super) const REVISION_LABEL: &str = "controller-revision-hash";
