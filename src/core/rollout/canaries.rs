//! Canaries: the first rollouts after a move, which prove what it brings before the others follow.
//!
//! One is wanted for each scope that moved, however many workloads it makes differ and in however many ways. A canary
//! that did not prove anything is dropped, whatever became of it, and the next candidate goes instead; it is the breaker
//! that stops this when it goes wrong again. Only where it came too soon after the move to prove anything, the next one
//! waits until it can.

use jiff::Timestamp;

use crate::core::{
    injection::scope::Scope,
    io::Canary,
    model::{
        WorkloadKey,
        rollout_status::{self, Progress},
        time::Now,
        words::{Difference, Verdict},
    },
    step::Core,
};

/// A stamp is cut to whole seconds, so it may seem to be older than the record of its canary.
const STAMP_PRECISION: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

impl Core {
    /// This workload goes first in these scopes, where nobody does yet and somebody has to.
    pub(in crate::core) fn enlist(&mut self, key: &WorkloadKey, scopes: &[Scope], now: Now) {
        let wanted = self.policy.canary;
        if wanted == 0 {
            return;
        }
        self.note(|record| {
            for scope in scopes {
                record.enlist_canary(&scope.to_string(), key, wanted, now.wall);
            }
        });
    }

    /// What was proven, or is being proven, is not what this scope brings now.
    pub(in crate::core) fn unprove(&mut self, scope: &Scope) {
        if self.leader && self.record.get().is_some_and(|r| !r.canaries.is_empty()) {
            self.note(|record| drop(record.canaries.remove(&scope.to_string())));
        }
    }

    /// Its rollout came too soon after a move to prove anything: nobody follows before that time.
    pub(in crate::core) fn too_early(&mut self, key: &WorkloadKey, until: Timestamp) {
        self.note(|record| {
            for canary in record.canaries.values_mut().filter(|canary| canary.workloads.contains(key)) {
                canary.too_early_until = canary.too_early_until.max(Some(until));
            }
        });
    }

    /// Its rollout ended, and proved nothing.
    pub(in crate::core) fn dismiss(&mut self, key: &WorkloadKey, now: Now) {
        self.note(|record| {
            for canary in record.canaries.values_mut().filter(|canary| !canary.too_early(now.wall)) {
                canary.workloads.retain(|w| w != key);
            }
            record.canaries.retain(|_, canary| !canary.workloads.is_empty());
        });
    }

    /// Others wait for it, or were let go by it.
    pub(in crate::core) fn is_canary(&self, key: &WorkloadKey) -> bool {
        self.record.get().is_some_and(|r| r.canaries.values().any(|c| c.workloads.contains(key)))
    }

    /// Looks at the canaries: those that proved themselves, and those that never will.
    pub(in crate::core) fn tend_canaries(&mut self, now: Now) {
        let Some(record) = self.record.get().filter(|r| self.leader && !r.canaries.is_empty()) else { return };
        let mut canaries = record.canaries.clone();
        for canary in canaries.values_mut() {
            self.tend(canary, now);
        }
        canaries.retain(|_, c| !c.workloads.is_empty());
        // A move that nobody waits for any more is history: should another one come, it has to prove itself.
        let idle = |scope: &str| scope.parse().map_or(true, |scope| !self.waited_for(&scope));
        if canaries.keys().any(|scope| idle(scope)) && self.all_known() {
            canaries.retain(|scope, _| !idle(scope));
        }
        if canaries != record.canaries {
            self.note(|record| record.canaries = canaries);
        }
    }

    fn tend(&self, canary: &mut Canary, now: Now) {
        match canary.converged {
            None if canary.too_early(now.wall) => {}
            None => {
                canary.workloads.retain(|key| self.may_prove(key, canary.started));
                if !canary.workloads.is_empty() && canary.workloads.iter().all(|key| self.proves(key)) {
                    canary.converged = Some(now.wall);
                }
            }
            // It differs again, so that what it proved is not what a rollout would bring now.
            Some(_) if canary.workloads.iter().any(|key| self.differs(key)) => canary.workloads.clear(),
            // A soak that is not quiet begins again.
            Some(at) if now.since(at) < self.policy.soak && canary.workloads.iter().any(|key| self.ails(key)) => {
                canary.converged = Some(now.wall);
            }
            Some(_) => {}
        }
    }

    /// It is being rolled, or was, and what came of it is not known yet.
    fn may_prove(&self, key: &WorkloadKey, started: Timestamp) -> bool {
        if self.rollouts.contains_key(key) {
            return true;
        }
        let Some(workload) = self.index.workload(key) else { return false };
        let stamped = self.history(workload).iter().any(|tried| tried.stamp.timestamp >= started - STAMP_PRECISION);
        stamped && !self.differs(key) && !matches!(rollout_status::progress(workload), Progress::Failed(_))
    }

    /// What a finished rollout calls converged: nothing differs any more, and all its Pods are there.
    fn proves(&self, key: &WorkloadKey) -> bool {
        let Some(workload) = self.index.workload(key).filter(|_| !self.rollouts.contains_key(key)) else {
            return false;
        };
        let as_it_should_be = match self.work.get(key).map(|w| w.judged.verdict) {
            Some(Verdict::InSync | Verdict::NotInjected) => true,
            Some(Verdict::NoPods) => workload.counts.desired == 0,
            // What somebody patched by hand since says nothing against the rollout.
            Some(_) => self.work.get(key).is_some_and(|w| w.judged.differs()) && !self.differs(key),
            None => false,
        };
        as_it_should_be && rollout_status::progress(workload) == Progress::Done
    }

    /// It differs, and not only because somebody patched a Pod by hand.
    fn differs(&self, key: &WorkloadKey) -> bool {
        self.work.get(key).is_some_and(|w| {
            let by_hand = |d: &Difference| *d == Difference::MutatedLive;
            w.judged.differs() && (w.judged.differences.is_empty() || !w.judged.differences.iter().all(by_hand))
        })
    }

    fn ails(&self, key: &WorkloadKey) -> bool {
        self.index.workload(key).is_some_and(|w| !rollout_status::healthy(w))
    }

    /// Some workload that depends on the scope differs, or is being rolled.
    fn waited_for(&self, scope: &Scope) -> bool {
        self.candidates.iter().chain(self.rollouts.keys()).any(|key| {
            let set = self.work.get(key).and_then(|w| w.set.as_ref());
            set.is_some_and(|set| set.vector.contains_key(scope))
        })
    }

    /// Every workload has a verdict.
    fn all_known(&self) -> bool {
        let known = |key| self.work.get(key).is_some_and(|w| w.judged.verdict != Verdict::Undetermined);
        self.index.workloads().filter(|(key, _)| self.covered(key)).all(|(key, _)| known(key))
    }
}
