//! What the DaemonSet controller adds: tolerations and two labels.

use serde_json::{Value, json};

use super::body::{Body, BodyError, BodyRequest, REVISION_LABEL, insert, set_label};

/// Taints that every daemon's Pod tolerates, as (key, effect).
const TOLERATIONS: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// The one more for Pods in the host's network.
const HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";

/// Completes the Pod, which is always possible.
#[expect(clippy::unnecessary_wraps, reason = "completes as the others do")]
pub(super) fn complete(pod: &mut Body<'_>, spec: &mut Value, request: &BodyRequest<'_, '_>) -> Result<(), BodyError> {
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for &(key, effect) in TOLERATIONS.iter().chain(host_network.then_some(&HOST_NETWORK)) {
        tolerate(spec, key, effect);
    }
    if let Some(node) = request.node {
        require_node(spec, node);
    }
    let generation = request.workload.and_then(|w| w.pointer("/metadata/annotations")).and_then(|annotations| {
        // Not a number: the controller leaves the label out.
        annotations.get(GENERATION_ANNOTATION)?.as_str()?.parse::<i64>().ok()
    });
    if let Some(generation) = generation {
        set_label(pod, "pod-template-generation", &generation.to_string());
    }
    let prefix = format!("{}-", request.owner.name);
    let hash = request.revision.strip_prefix(&prefix).unwrap_or(request.revision);
    if !hash.is_empty() {
        set_label(pod, REVISION_LABEL, hash);
    }
    Ok(())
}

/// Requires the Node, in the place of all that the template requires of it: the controller has looked at that already.
fn require_node(spec: &mut Value, node: &str) {
    let field = json!({ "key": "metadata.name", "operator": "In", "values": [node] });
    let required = json!({ "nodeSelectorTerms": [{ "matchFields": [field] }] });
    let mut at = spec;
    for member in ["affinity", "nodeAffinity"] {
        if at.get(member).is_none_or(|value| !value.is_object()) {
            insert(at, member, json!({}));
        }
        let Some(below) = at.get_mut(member) else { return };
        at = below;
    }
    insert(at, "requiredDuringSchedulingIgnoredDuringExecution", required);
}

/// Adds a toleration, or puts it in the place of the template's own for the same taint.
fn tolerate(spec: &mut Value, key: &str, effect: &str) {
    let toleration = json!({ "key": key, "operator": "Exists", "effect": effect });
    let Some(spec) = spec.as_object_mut() else { return };
    let list = spec.entry("tolerations").or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else { return };
    let text = |t: &Value, field: &str| t.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let matches = |t: &Value| {
        (text(t, "key"), text(t, "effect")) == (key.to_owned(), effect.to_owned())
            && text(t, "operator") == "Exists"
            && text(t, "value").is_empty()
    };
    match list.iter_mut().find(|t| matches(t)) {
        Some(own) => *own = toleration,
        None => list.push(toleration),
    }
}
