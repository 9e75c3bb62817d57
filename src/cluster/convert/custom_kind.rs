//! What a workload of a described kind says where its description has it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::Field;
use crate::core::model::{
    Counts, Name, Strategy,
    owner::{Described, Kind},
};

/// How its controller exchanges Pods nobody said; the plan reckons with one at a time, and none added.
const STRATEGY: Strategy = Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition: 0 };

/// The numbers and flags that each kind has somewhere else.
pub(super) struct StatusFields {
    pub(super) observed: i64,
    pub(super) paused: bool,
    pub(super) counts: Counts,
    pub(super) strategy: Strategy,
    /// The one that its Pods are brought to.
    pub(super) revision: Name,
    pub(super) restarted: Option<Timestamp>,
}

impl StatusFields {
    pub(super) fn read(described: &'static Described, object: &Field<'_>) -> Self {
        let at = |place: &'static str| object.within(place.split('.'));
        let paths = &described.status;
        let current = at(&paths.replicas).count();
        let first = |place: &'static str, other: u32| {
            let field = at(place);
            if field.is_some() { field.count() } else { other }
        };
        // One that says nothing of availability means readiness by it, and the other way round.
        let (ready, available) = (at(&paths.ready), at(&paths.available));
        Self {
            observed: at(&paths.observed_generation).int().unwrap_or_default(),
            paused: described.paused.iter().any(|place| at(place).flag()),
            counts: Counts {
                desired: first(&paths.desired, current),
                current,
                updated: at(&paths.updated).count(),
                ready: if ready.is_some() { ready.count() } else { available.count() },
                available: if available.is_some() { available.count() } else { ready.count() },
            },
            strategy: STRATEGY,
            revision: at(&paths.revision).name(),
            restarted: paths.restarted.as_deref().and_then(|place| at(place).time()),
        }
    }
}

/// The labels that the controller of a kind gives its Pods beside those of the template.
pub(super) fn labels(kind: Kind, name: &str) -> impl Iterator<Item = (Name, Name)> {
    let labels = kind.described().into_iter().flat_map(|described| &described.labels);
    labels.map(move |(key, text)| (Name::from(key.as_str()), Name::from(text.replace("{name}", name))))
}

/// The Pod template of a workload, as its controller takes it.
pub(in crate::cluster) fn template(kind: Kind, object: &Value) -> Value {
    let found = kind.row().template.iter().try_fold(object, |object, member| object.get(member));
    let mut template = found.cloned().unwrap_or_default();
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let more: serde_json::Map<_, _> = labels(kind, name).map(|(key, text)| (key.to_string(), json!(*text))).collect();
    if !more.is_empty() {
        json_patch::merge(&mut template, &json!({ "metadata": { "labels": more } }));
    }
    template
}
