//! What outlives the process in the ConfigMap `sidecar-drift-state`. Everything else is recomputed from the cluster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{attempts::Attempts, covered::Covered};
use crate::core::model::{
    Name, WorkloadKey,
    words::{Outcome, Word as _},
};

/// So many outcomes are `recent`.
pub const RECENT_OUTCOMES: usize = 10;

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
    /// Set: the breaker is open for the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Stop>,
    /// The namespaces in which it is open.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub breakers: BTreeMap<Name, Stop>,
    /// Outcomes of the last rollouts, newest last, at most ten: the end of `outcomes`, for people and for versions that do not know
    /// those.
    #[serde(default)]
    pub recent: Vec<Outcome>,
    /// Outcomes and where they were, newest last: what the breaker looks at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<OutcomeIn>,
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

/// An outcome of a rollout, and where that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct OutcomeIn {
    /// How it ended.
    pub outcome: Outcome,
    /// The workload's namespace; `None`: a version wrote it that did not say.
    pub namespace: Option<Name>,
}

/// `failed shop`
impl From<OutcomeIn> for String {
    fn from(OutcomeIn { outcome, namespace }: OutcomeIn) -> Self {
        namespace.map_or_else(|| outcome.to_string(), |namespace| format!("{outcome} {namespace}"))
    }
}

impl TryFrom<String> for OutcomeIn {
    type Error = String;

    /// What a later version calls otherwise is not guessed: then nothing is rolled out.
    fn try_from(text: String) -> Result<Self, String> {
        let (word, namespace) = text.split_once(' ').map_or((&*text, None), |(word, ns)| (word, Some(Name::from(ns))));
        let known = Outcome::ALL.iter().find(|outcome| outcome.as_str() == word);
        let outcome = *known.ok_or_else(|| format!("{text:?} is no outcome"))?;
        Ok(Self { outcome, namespace })
    }
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
    /// What it proves, it proves for these: whoever leads next asks what the others would get then.
    #[serde(default, skip_serializing_if = "Covered::is_empty")]
    pub covers: Covered,
}

impl Canary {
    /// One that nobody has gone for yet.
    pub fn new(now: Timestamp) -> Self {
        let covers = Covered::default();
        Self { workloads: Vec::new(), started: now, converged: None, failed: None, too_early_until: None, covers }
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

    /// Why nothing is rolled out in this namespace any more, if the breaker is open for it or for all.
    pub fn breaker_over(&self, namespace: &Name) -> Option<&Stop> {
        self.breaker.as_ref().or_else(|| self.breakers.get(namespace))
    }

    /// A person's word that rollouts may go on: what opened the breaker is settled with it, and so is what a canary could not prove.
    pub fn resume(&mut self, now: Timestamp) {
        self.resumed = Some(now);
        (self.paused, self.breaker) = (None, None);
        self.breakers.clear();
        self.recent.clear();
        self.outcomes.clear();
        self.canaries.retain(|_, canary| canary.converged.is_some());
    }

    /// The same for what this namespace alone did and is for it alone: a pause, and what is stopped for all, stay.
    pub fn resume_in(&mut self, namespace: &Name) {
        self.breakers.remove(namespace);
        self.outcomes.retain(|ended| ended.namespace.as_ref() != Some(namespace));
        self.set_recent();
        let scope = format!("namespace {namespace}");
        self.canaries.retain(|of, canary| *of != scope || canary.converged.is_some());
    }

    /// `recent` is the end of `outcomes`.
    pub fn set_recent(&mut self) {
        let older = self.outcomes.len().saturating_sub(RECENT_OUTCOMES);
        self.recent = self.outcomes.iter().skip(older).map(|ended| ended.outcome).collect();
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
