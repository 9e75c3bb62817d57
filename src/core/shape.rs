//! A Pod reduced to what verdicts need: its containers, each with a canonical projection and a fingerprint.

mod env;
mod lenient;
mod token_volumes;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::token_volumes::TokenVolumes;
use super::{fingerprint::Fingerprint, words::Placement};

/// A shared string. The index keeps one copy of each.
pub type Name = Arc<str>;

/// The containers of one Pod or Pod template, `initContainers` first, each list in its own order.
///
/// Ten thousand replicas of one template share one `PodShape`: nothing in it depends on the single Pod
/// (names of token volumes are canonical, rule C4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodShape {
    /// The containers.
    pub containers: Vec<ContainerShape>,
}

/// One container of a [`PodShape`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerShape {
    /// The container's name, unique within its Pod.
    pub name: Name,
    /// In which list it stands, and how.
    pub placement: Placement,
    /// The image as written, empty if absent.
    pub image: Name,
    /// The compared fields in canonical form (rules C3-C6): an object with some of the keys `image`, `command`,
    /// `args`, `env`, `envFrom`. Placement is not in it.
    pub projection: Arc<Value>,
    /// The fingerprint of `projection`.
    pub fingerprint: Fingerprint,
    /// What beside the projection counts as collateral in an app container (rule C14): `securityContext`, or null.
    pub collateral: Arc<Value>,
}

impl PodShape {
    /// The container of that name, whichever list it stands in (rule C2).
    pub fn container(&self, name: &str) -> Option<&ContainerShape> {
        self.containers.iter().find(|c| &*c.name == name)
    }

    /// The shape of a Pod as the API server returns it.
    ///
    /// Never fails: a field that is absent or of an unexpected type counts as its JSON text or as nothing.
    pub fn from_pod(pod: &Value) -> Self {
        let spec = pod.get("spec").unwrap_or(&Value::Null);
        let volumes = TokenVolumes::of(spec.get("volumes"));
        let init = lenient::list(spec.get("initContainers")).iter().map(|c| (c, init_placement(c)));
        let ordinary = lenient::list(spec.get("containers")).iter().map(|c| (c, Placement::Ordinary));
        Self { containers: init.chain(ordinary).map(|(c, p)| ContainerShape::of(c, p, &volumes)).collect() }
    }

    /// The shape of a Pod template: a workload's or ReplicaSet's `spec.template`, a ControllerRevision's
    /// `data.spec.template`. See [`PodShape::from_pod`].
    pub fn from_template(template: &Value) -> Self {
        Self::from_pod(template)
    }
}

impl ContainerShape {
    fn of(container: &Value, placement: Placement, volumes: &TokenVolumes) -> Self {
        let projection = projection(container, volumes);
        let text = |field| container.get(field).map(lenient::text).unwrap_or_default();
        Self {
            name: text("name").into(),
            placement,
            image: text("image").into(),
            fingerprint: Fingerprint::of(&projection),
            projection: Arc::new(projection),
            collateral: Arc::new(security_context(container.get("securityContext"))),
        }
    }
}

fn init_placement(container: &Value) -> Placement {
    match container.get("restartPolicy").and_then(Value::as_str) {
        Some("Always") => Placement::Native,
        _ => Placement::Init,
    }
}

/// The compared fields (rule C6) in canonical form (C3-C5). An empty field and an absent one are the same.
fn projection(container: &Value, volumes: &TokenVolumes) -> Value {
    let mut out = Map::new();
    for (field, value) in container.as_object().into_iter().flatten() {
        let canonical = match field.as_str() {
            "image" => Value::String(lenient::text(value)),
            "command" | "args" => words(value, volumes),
            "env" => env::env(value, volumes),
            "envFrom" => env::env_from(value, volumes),
            _ => continue,
        };
        if !is_empty(&canonical) {
            out.insert(field.clone(), canonical);
        }
    }
    Value::Object(out)
}

/// `command` and `args`: ordered, because it is the order in which the process reads them.
fn words(value: &Value, volumes: &TokenVolumes) -> Value {
    match value {
        Value::Array(words) => words.iter().map(|w| Value::String(volumes.canonical(&lenient::text(w)))).collect(),
        other => Value::String(volumes.canonical(&lenient::text(other))),
    }
}

/// A container's securityContext; capabilities are sets.
fn security_context(value: Option<&Value>) -> Value {
    let mut context = lenient::without_nulls(value.unwrap_or(&Value::Null));
    for set in ["add", "drop"] {
        let list = context.get_mut("capabilities").and_then(|c| c.get_mut(set)).and_then(Value::as_array_mut);
        if let Some(list) = list {
            list.sort_by_cached_key(Value::to_string);
        }
    }
    if is_empty(&context) { Value::Null } else { context }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;
