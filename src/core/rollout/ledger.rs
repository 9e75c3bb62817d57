//! What was done to each workload, and what holds it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::core::model::{Attempt, Stamp, WorkloadKey, words::Gate};

/// One workload's entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// Stamps found in its history when a rollout was confirmed, and those that we wrote.
    pub(super) history: Vec<Attempt>,
    /// When stamps were seen first that lay in the future then.
    pub(super) noted: BTreeMap<Timestamp, Timestamp>,
    /// Since when one of its running Pods is known to be patched by hand.
    pub(super) patched_since: Option<Timestamp>,
    /// Rollouts up to this one changed nothing: they came too soon after a move.
    pub(super) ineffective_until: Option<Timestamp>,
    /// What holds it, and since when.
    pub(super) gate: Option<(Gate, Timestamp)>,
    /// What would hold it in enforce mode.
    pub(super) gate_in_enforce: Option<Gate>,
    /// What cannot be seen, where that holds it.
    pub(super) unseen: Option<String>,
    /// The drift that its owner was told of last.
    pub(super) told: Option<String>,
    /// The bad annotation that people were told of last.
    pub(super) bad_annotation: Option<String>,
    /// Rollouts in a row that were given up before anything was written.
    pub(super) abandoned_attempts: u32,
    /// A rollout of it ended in this process.
    pub(super) ended: bool,
    /// The stamp of the last one that was followed to its end, or seen to be finished.
    pub(super) ended_stamp: Option<Stamp>,
    /// Not to be rolled again before: a lost race, a failed patch.
    pub(super) backoff_until: Duration,
}

impl Entry {
    /// A stamp was found, or written.
    pub(super) fn remember(&mut self, attempt: Attempt) {
        if !self.history.contains(&attempt) {
            self.history.push(attempt);
        }
    }
}

/// Entries of those workloads of which there is something to remember: few of many.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<WorkloadKey, Box<Entry>>);

impl Ledger {
    /// A workload's entry, if it has one.
    pub(super) fn get(&self, key: &WorkloadKey) -> Option<&Entry> {
        self.0.get(key).map(|entry| &**entry)
    }

    /// A workload's entry, for writing.
    pub(super) fn entry(&mut self, key: &WorkloadKey) -> &mut Entry {
        self.0.entry(key.clone()).or_default()
    }

    /// Nothing holds this workload; perhaps because it is as rendered, and not only because that is not known.
    pub(super) fn clear_gate(&mut self, key: &WorkloadKey, as_rendered: bool) {
        if let Some(entry) = self.0.get_mut(key) {
            (entry.gate, entry.gate_in_enforce, entry.unseen) = (None, None, None);
            entry.told = entry.told.take().filter(|_| !as_rendered);
            if **entry == Entry::default() {
                self.0.remove(key);
            }
        }
    }

    /// The workload is gone, or not looked at any more.
    pub(super) fn forget(&mut self, key: &WorkloadKey) {
        self.0.remove(key);
    }

    /// How many workloads have an entry.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
