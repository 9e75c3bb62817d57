//! Witnesses that an injector still gives its sidecar to others (rule R7).
//!
//! In a cluster in sync nobody is rendered for hours, so nobody would tell by chance.

use std::{collections::BTreeMap, time::Duration};

use crate::core::{
    model::{Name, WorkloadKey, time::Now},
    render::queue::Priority,
    step::Core,
    verdict::{admission_evidence, case::Work, judge::UNCERTAIN_RETRY},
};

/// When one was called last, for each sidecar.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Called(BTreeMap<Name, Duration>);

impl Called {
    /// One is enough for all workloads that lack the sidecar.
    fn is_due(&mut self, sidecar: &Name, now: Duration) -> bool {
        let due = self.0.get(sidecar).is_none_or(|at| now >= *at + UNCERTAIN_RETRY);
        if due {
            self.0.insert(sidecar.clone(), now);
        }
        due
    }
}

impl Core {
    /// This workload is not given its sidecar any more: has one that was given it, under one of the same injectors, asked
    /// for again.
    pub(in crate::core) fn call_a_witness(&mut self, key: &WorkloadKey, sidecar: &Name, now: Now) {
        let Some(vector) = self.work.get(key).and_then(|work| work.set.as_ref()).map(|set| &set.vector) else { return };
        if !self.called.is_due(sidecar, now.elapsed) {
            return;
        }
        let would_tell = |work: &Work| {
            let shares =
                work.set.as_ref().is_some_and(|set| admission_evidence::share_an_injector(vector, &set.vector));
            shares && work.request.is_none() && work.judged.reason.is_none() && work.judged.sidecars.contains(sidecar)
        };
        let witness = self.work.iter().find(|(other, work)| *other != key && would_tell(work));
        if let Some(witness) = witness.map(|(other, _)| other.clone()) {
            self.queue.schedule(&witness, now.elapsed, Priority::Moved, now.elapsed);
        }
    }
}
