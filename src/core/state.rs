//! What outlives the process in the ConfigMap `sidecar-drift-state`. Everything else is recomputed from the cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{model::WorkloadKey, shape::Name, words::Outcome};

/// The content of the state ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// The ConfigMap's resourceVersion that this was read at: a write holds only for it. Not part of the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<Name>,
    /// Set: a person paused all rollouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Stop>,
    /// Set: the breaker is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Stop>,
    /// Outcomes of the last rollouts, newest last, at most ten: what the breaker looks at.
    #[serde(default)]
    pub recent: Vec<Outcome>,
    /// The first rollouts for each change, by the change's title.
    #[serde(default)]
    pub canaries: BTreeMap<String, Canary>,
}

/// Why and since when something is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// For people.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// The first rollouts for one change, which prove it before the others follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Which workloads went first.
    pub workloads: Vec<WorkloadKey>,
    /// When the first of them was started: old records are dropped.
    pub started: Timestamp,
    /// When the last of them converged; the soak counts from here.
    pub converged: Option<Timestamp>,
}

impl StateRecord {
    /// Writes down that this workload goes first for a change, if fewer than `wanted` do so far. Records of changes that
    /// began more than 30 days ago are dropped: nobody waits for them.
    pub fn enlist_canary(&mut self, change: &str, workload: &WorkloadKey, wanted: usize, now: Timestamp) {
        self.canaries.retain(|_, c| now.duration_since(c.started).as_hours() < 30 * 24);
        let canary = self.canaries.entry(change.to_owned()).or_insert_with(|| Canary {
            workloads: Vec::new(),
            started: now,
            converged: None,
        });
        if canary.workloads.len() < wanted && !canary.workloads.contains(workload) {
            canary.workloads.push(workload.clone());
            canary.converged = None;
        }
    }
}
