//! What outlives the process in the ConfigMap `sidecar-drift-state`. Everything else is recomputed from the cluster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attempts::Attempts;
use crate::core::model::{Name, WorkloadKey, words::Outcome};

/// The content of the state ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// The ConfigMap's resourceVersion that this was read at: a write holds only for it. Not part of the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<Name>,
    /// The ConfigMap's uid; `None`: it holds nothing yet. Not part of the content: one that was deleted and made anew, or emptied, says
    /// nothing of what was on record before.
    #[serde(skip)]
    pub incarnation: Option<Name>,
    /// When a person said `resume` last: what a ConfigMap that is new does not say then is not to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Timestamp>,
    /// Set: a person paused all rollouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Stop>,
    /// Set: the breaker is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Stop>,
    /// Outcomes of the last rollouts, newest last, at most ten: what the breaker looks at.
    #[serde(default)]
    pub recent: Vec<Outcome>,
    /// The first rollouts after a move, by the scope that moved, in the words of `core::injection::Scope`.
    #[serde(default)]
    pub canaries: BTreeMap<String, Canary>,
    /// Workloads that still differed after our own rollout, by their uid (rule C11).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locks: BTreeMap<Name, Lock>,
    /// Workloads that a person wants to be tried again, by their uid.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retries: BTreeMap<Name, Retry>,
    /// Rollouts of the last hour, by workload, and when each was begun: the hourly limit counts them also where the workload
    /// went, and its stamp with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub starts: BTreeMap<String, Starts>,
    /// Attempts of the last day, and what became of them.
    #[serde(default, skip_serializing_if = "Attempts::is_empty")]
    pub attempts: Attempts,
}

/// When rollouts of a workload were begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    /// Which workload.
    pub workload: WorkloadKey,
    /// The stamps that were written.
    pub at: BTreeSet<Timestamp>,
}

/// The lock on a workload that still differed after our rollout: it holds as long as the template is the same, but for
/// our stamp, and nothing differs but these fields. A nonce gives a new fingerprint each time, so that is no key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Which workload.
    pub workload: WorkloadKey,
    /// The hash of its template without our stamp.
    pub template: Name,
    /// The fields that differed, as `container/pointer`.
    pub fields: BTreeSet<String>,
    /// Since when.
    pub at: Timestamp,
}

/// A person's word that a workload may be tried again, whatever came of rollouts before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Which workload.
    pub workload: WorkloadKey,
    /// Rollouts before this do not count any more, except for the daily cap.
    pub at: Timestamp,
}

/// Why and since when something is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// For people.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// The first rollouts after a scope moved, which prove what it brings before the others follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Which workloads went first.
    pub workloads: Vec<WorkloadKey>,
    /// When the first of them was started: old records are dropped.
    pub started: Timestamp,
    /// When the last of them converged; the soak counts from here.
    pub converged: Option<Timestamp>,
    /// One of them failed: nobody follows before a person looked, or the scope moved again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Stop>,
    /// One came so soon after the move that it proved nothing either way; before this time the next would not, either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_early_until: Option<Timestamp>,
}

impl Canary {
    /// One that nobody has gone for yet.
    pub fn new(now: Timestamp) -> Self {
        Self { workloads: Vec::new(), started: now, converged: None, failed: None, too_early_until: None }
    }

    /// Whether a rollout now would come too soon after the move to prove anything.
    pub fn too_early(&self, now: Timestamp) -> bool {
        self.too_early_until.is_some_and(|until| now < until)
    }

    /// This workload goes first, if fewer than `wanted` do so far.
    pub fn register(&mut self, workload: &WorkloadKey, wanted: usize) {
        if self.workloads.len() < wanted && !self.workloads.contains(workload) {
            self.workloads.push(workload.clone());
            self.converged = None;
        }
    }
}

impl StateRecord {
    /// The lock on the workload with this uid, if it has one that still counts.
    pub fn lock(&self, uid: &Name) -> Option<&Lock> {
        let lock = self.locks.get(uid)?;
        let retried = self.retries.get(uid).is_some_and(|retry| retry.at >= lock.at);
        (!retried).then_some(lock)
    }

    /// Writes down when rollouts of this workload were begun. Those that are an hour away, by our clock, are dropped:
    /// no limit counts them.
    pub fn register_starts(&mut self, workload: &WorkloadKey, at: BTreeSet<Timestamp>, now: Timestamp) {
        if !at.is_empty() {
            let new = || Starts { workload: workload.clone(), at: BTreeSet::new() };
            self.starts.entry(workload.to_string()).or_insert_with(new).at.extend(at);
        }
        self.starts.retain(|_, starts| {
            starts.at.retain(|at| now.duration_since(*at).as_hours().abs() < 1);
            !starts.at.is_empty()
        });
    }

    /// Writes down that this workload goes first in a scope, if fewer than `wanted` do so far. Records that were begun more
    /// than 30 days ago are dropped: nobody waits for them.
    pub fn register_canary(&mut self, scope: &str, workload: &WorkloadKey, wanted: usize, now: Timestamp) {
        self.canaries.retain(|_, c| now.duration_since(c.started).as_hours() < 30 * 24);
        self.canaries.entry(scope.to_owned()).or_insert_with(|| Canary::new(now)).register(workload, wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{owner::Kind, test_objects};

    #[test]
    fn starts_are_on_record_for_an_hour_by_our_clock() {
        let key = |name| test_objects::key(Kind::DEPLOYMENT, "shop", name);
        let at = |minute: i64| Timestamp::from_second(1_000_000 + 60 * minute).unwrap();
        let mut record = StateRecord::default();
        record.register_starts(&key("a"), [at(0), at(30)].into(), at(31));
        record.register_starts(&key("b"), BTreeSet::new(), at(59));
        record.register_starts(&key("c"), [at(200)].into(), at(59));
        assert_eq!(record.starts.values().map(|starts| starts.at.len()).collect::<Vec<_>>(), [2]);
        record.register_starts(&key("b"), [at(60)].into(), at(60));
        let left: Vec<_> = record.starts.values().map(|starts| (&starts.workload, &starts.at)).collect();
        assert_eq!(left, [(&key("a"), &[at(30)].into()), (&key("b"), &[at(60)].into())]);
    }
}
