//! Our stamp on a Pod template.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::metadata;
use crate::core::{
    config::Policy,
    model::{Name, Stamp},
};

/// What is kept of a workload beside what is always kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKeys {
    /// Which annotations of a Pod template are our stamp.
    pub stamp: StampKeys,
    /// Labels of workloads that filters ask for.
    pub labels: BTreeSet<Name>,
    /// Annotations of workloads and of their Pod templates that filters ask for.
    pub annotations: BTreeSet<Name>,
}

impl KeptKeys {
    /// What this configuration asks for.
    pub fn of(policy: &Policy) -> Self {
        let stamp = StampKeys::new(&policy.annotation_prefix);
        Self { stamp, labels: policy.filter.labels(), annotations: policy.filter.annotations() }
    }
}

/// The end of the key under which a stamp has its time.
pub(super) const STAMPED: &str = ".rollout.timestamp";

/// The annotation keys of our stamp: `<prefix>.rollout.timestamp`, `.reason`, `.fingerprint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StampKeys {
    /// When the rollout was started, RFC 3339 in UTC.
    pub timestamp: Name,
    /// Why, for people.
    pub reason: Name,
    /// What the rollout was for.
    pub fingerprint: Name,
}

impl StampKeys {
    /// The keys for this prefix (`Policy::annotation_prefix`).
    pub fn new(prefix: &str) -> Self {
        let key = |word| Name::from(format!("{prefix}.rollout.{word}"));
        Self { timestamp: key("timestamp"), reason: key("reason"), fingerprint: key("fingerprint") }
    }

    /// The stamp on a Pod template, if it carries one. Without a readable time there is none: nothing could be counted
    /// from it.
    pub fn read(&self, template: &Value) -> Option<Stamp> {
        let annotations = template.pointer("/metadata/annotations")?;
        let text = |key: &str| annotations.get(key).and_then(Value::as_str);
        Some(Stamp {
            timestamp: text(&self.timestamp)?.parse::<Timestamp>().ok()?,
            reason: text(&self.reason).unwrap_or_default().to_owned(),
            fingerprint: text(&self.fingerprint).map(str::to_owned),
        })
    }

    /// The annotations of a stamp, key and text, as they are written.
    pub fn annotations(&self, stamp: &Stamp) -> Vec<(Name, String)> {
        let mut annotations =
            vec![(self.timestamp.clone(), stamp.timestamp.to_string()), (self.reason.clone(), stamp.reason.clone())];
        if let Some(fingerprint) = &stamp.fingerprint {
            annotations.push((self.fingerprint.clone(), fingerprint.clone()));
        }
        annotations
    }

    /// sha-256 (hex) of a template without our stamp: it stays what it is when we roll, and moves when its owner does.
    ///
    /// Nothing that is empty counts: a stamp may leave empty annotations behind, and a revision that its controller wrote from
    /// types of its own has `resources: {}` and `creationTimestamp: null` where the template has nothing, or the other way
    /// round.
    pub fn hash_without_stamp(&self, template: &Value) -> Name {
        let mut template = template.clone();
        if let Some(meta) = template.get_mut("metadata").and_then(Value::as_object_mut) {
            if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
                for key in [&self.timestamp, &self.reason, &self.fingerprint] {
                    annotations.remove(&**key);
                }
            }
            meta.remove("creationTimestamp");
        }
        drop_empty(&mut template);
        metadata::hash(&template)
    }
}

/// Takes the members away that are empty, or are so once theirs are away. What a list has stays: its place counts.
fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(drop_empty);
            members.retain(|_, member| !is_empty(member));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
