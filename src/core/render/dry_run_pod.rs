//! The Pod that a controller would create for a template (rules R1-R3): the body of a dry-run request.
//!
//! It is built as the controllers of Kubernetes 1.36 build theirs, from the template of the Pod's *immediate* controller
//! and never from a live Pod: injectors leave a Pod alone that carries their sidecar already.
//! What the owner wrote into the template stays, all of it, and nothing is added that the controller would not add.

mod body;
mod daemon_set;
mod stateful_set;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

pub use self::body::{Body, BodyError, BodyRequest, NAME_ATTEMPTS, OwnerIdentity, Template};
use self::body::{insert, labels, parsed, set_label};
use crate::core::{
    config::WhatIf,
    model::owner::{Kind, RevisionKind},
};

/// What a controller adds to a Pod beside what all add: it changes the `spec`, too.
type Complete = fn(&mut Body<'_>, &mut Value, &BodyRequest<'_, '_>) -> Result<(), BodyError>;

/// Builds the Pod.
///
/// Left out is all that only a stored Pod has: status, uid, the volume of the ServiceAccount token, ephemeral containers.
pub fn pod_body<'t>(request: &BodyRequest<'_, 't>) -> Result<Body<'t>, BodyError> {
    let BodyRequest { kind, owner, template, .. } = *request;
    let no_spec = || BodyError::NoSpec { kind: owner.kind.clone(), name: owner.name.clone() };
    let spec = template.spec().ok_or_else(no_spec)?;
    let mut pod = Body { metadata: metadata(request), spec: Cow::Borrowed(spec), pod_name: None, claims: None };
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
        set_label(&mut pod, body::REVISION_LABEL, request.revision);
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
#[cfg(test)]
mod tests;
