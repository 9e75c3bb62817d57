//! Canaries: the first rollouts after a move, which prove what it brings before the others follow.
//!
//! One is wanted for each scope that moved, however many workloads it makes differ and in however many ways. A canary
//! that did not prove anything is dropped, whatever became of it, and the next candidate goes instead; it is the breaker
//! that stops this when it goes wrong again. Only where it came too soon after the move to prove anything, the next one
//! waits until it can.

use jiff::Timestamp;

use super::{context::Context, rollouts::Rollouts};
use crate::core::{
    injection::{Scope, View},
    io::{Canary, Stop},
    model::{
        WorkloadKey,
        rollout_status::{self, Progress},
        words::{Difference, Verdict},
    },
    verdict::{Case, Judged, Verdicts},
};

/// A stamp is cut to whole seconds, so it may seem to be older than the record of its canary.
const STAMP_PRECISION: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

impl Rollouts {
    /// This workload goes first in these scopes, where nobody does yet and somebody has to.
    pub(super) fn register_canary(&mut self, key: &WorkloadKey, scopes: &[Scope], view: View<'_>) {
        let (wanted, now) = (view.policy.canary, view.now.wall);
        if wanted == 0 {
            return;
        }
        self.change_record(view.policy, |record| {
            for scope in scopes {
                record.register_canary(&scope.to_string(), key, wanted, now);
            }
        });
    }

    /// What was proven, or is being proven, is not what this scope brings now.
    pub(super) fn invalidate_canary(&mut self, scope: &Scope, view: View<'_>) {
        if view.lifecycle.leader && self.record().is_some_and(|r| !r.canaries.is_empty()) {
            self.change_record(view.policy, |record| drop(record.canaries.remove(&scope.to_string())));
        }
    }

    /// Its rollout came too soon after a move to prove anything: nobody follows before that time.
    pub(super) fn defer_canary(&mut self, key: &WorkloadKey, until: Timestamp, view: View<'_>) {
        self.change_record(view.policy, |record| {
            for canary in record.canaries.values_mut().filter(|canary| canary.workloads.contains(key)) {
                canary.too_early_until = canary.too_early_until.max(Some(until));
            }
        });
    }

    /// Its rollout ended, and proved nothing.
    pub(super) fn remove_canary(&mut self, key: &WorkloadKey, view: View<'_>) {
        let now = view.now.wall;
        self.change_record(view.policy, |record| {
            for canary in record.canaries.values_mut().filter(|canary| !canary.too_early(now)) {
                canary.workloads.retain(|w| w != key);
            }
            record.canaries.retain(|_, canary| !canary.workloads.is_empty());
        });
    }

    /// Its rollout failed: for as long as nobody looked no other workload gets what it got.
    pub(super) fn close_causes(&mut self, key: &WorkloadKey, why: &str, view: View<'_>) {
        let (now, soak) = (view.now, view.policy.soak);
        let reason = format!("{key} went first and failed: {why}");
        self.change_record(view.policy, |record| {
            let proven = |c: &Canary| c.converged.is_some_and(|at| now.since(at) >= soak);
            let unproven = record.canaries.values_mut().filter(|c| c.workloads.contains(key) && !proven(c));
            for canary in unproven.filter(|c| c.failed.is_none()) {
                canary.converged = None;
                canary.failed = Some(Stop { reason: reason.clone(), at: now.wall });
            }
        });
    }

    /// A person looked at a canary that failed, and wants a workload that depends on it to be tried again.
    fn is_retried(&self, scope: &str, canary: &Canary, context: Context<'_>) -> bool {
        let (Some(failed), Some(record)) = (&canary.failed, self.record()) else { return false };
        let scope: Option<Scope> = scope.parse().ok();
        record.retries.values().filter(|retry| retry.at >= failed.at).any(|retry| {
            let versions = context.verdicts.case(&retry.workload).and_then(Case::rendered_under);
            let depends = versions.zip(scope.as_ref()).is_some_and(|(versions, scope)| versions.contains_key(scope));
            depends || canary.workloads.contains(&retry.workload)
        })
    }

    /// Others wait for it, or were let go by it.
    pub(super) fn is_canary(&self, key: &WorkloadKey) -> bool {
        self.record().is_some_and(|r| r.canaries.values().any(|c| c.workloads.contains(key)))
    }

    /// Looks at the canaries: those that proved themselves, and those that never will.
    pub(super) fn reconcile_canaries(&mut self, context: Context<'_>) {
        let leader = context.view.lifecycle.leader;
        let Some(record) = self.record().filter(|r| leader && !r.canaries.is_empty()) else { return };
        let mut canaries = record.canaries.clone();
        for canary in canaries.values_mut() {
            self.reconcile_canary(canary, context);
        }
        canaries.retain(|scope, c| !c.workloads.is_empty() && !self.is_retried(scope, c, context));
        // A move that nobody waits for any more is history: should another one come, it has to prove itself.
        let idle = |scope: &str| scope.parse().map_or(true, |scope| !self.is_waited_for(&scope, context));
        if canaries.keys().any(|scope| idle(scope)) && all_known(context) {
            canaries.retain(|scope, _| !idle(scope));
        }
        if canaries != record.canaries {
            self.change_record(context.view.policy, |record| record.canaries = canaries);
        }
    }

    fn reconcile_canary(&self, canary: &mut Canary, context: Context<'_>) {
        let (now, soak) = (context.view.now, context.view.policy.soak);
        if canary.failed.is_some() {
            return;
        }
        match canary.converged {
            None if canary.too_early(now.wall) => {}
            None => {
                canary.workloads.retain(|key| self.may_prove(key, canary.started, context));
                if !canary.workloads.is_empty() && canary.workloads.iter().all(|key| self.proves(key, context)) {
                    canary.converged = Some(now.wall);
                }
            }
            // Whoever's clock is wrong: what it proved it proved by now.
            Some(at) if at > now.wall => canary.converged = Some(now.wall),
            // It differs again, so that what it proved is not what a rollout would bring now.
            Some(_) if canary.workloads.iter().any(|key| differs(key, context.verdicts)) => canary.workloads.clear(),
            // A soak that is not quiet begins again, when all is well again: that is one change, however long it takes.
            Some(at) if now.since(at) < soak && canary.workloads.iter().any(|key| is_unhealthy(key, context.view)) => {
                canary.converged = None;
            }
            Some(_) => {}
        }
    }

    /// It is being rolled, or was, and what came of it is not known yet.
    fn may_prove(&self, key: &WorkloadKey, started: Timestamp, context: Context<'_>) -> bool {
        if self.running.contains_key(key) {
            return true;
        }
        let Some(workload) = context.view.index.workload(key) else { return false };
        let attempts = self.history(workload, context.view);
        let since = started.checked_sub(STAMP_PRECISION).unwrap_or(started);
        let stamped = attempts.iter().any(|tried| self.made(key, tried.stamp.timestamp) >= since);
        let failed = matches!(rollout_status::progress(workload), Progress::Failed(_));
        stamped && !differs(key, context.verdicts) && !failed
    }

    /// What a finished rollout calls converged: nothing differs any more, and all its Pods are there.
    fn proves(&self, key: &WorkloadKey, context: Context<'_>) -> bool {
        let workload = context.view.index.workload(key).filter(|_| !self.running.contains_key(key));
        let (Some(workload), Some(judged)) = (workload, context.verdicts.judged(key)) else { return false };
        let as_it_should_be = match judged.verdict {
            Verdict::InSync | Verdict::NotInjected => true,
            Verdict::NoPods => workload.counts.desired == 0,
            // What somebody patched by hand since says nothing against the rollout.
            _ => judged.differs() && !differs(key, context.verdicts),
        };
        as_it_should_be && rollout_status::progress(workload) == Progress::Done
    }

    /// Some workload that depends on the scope differs, or is being rolled.
    fn is_waited_for(&self, scope: &Scope, context: Context<'_>) -> bool {
        context.verdicts.candidates().iter().chain(self.running.keys()).any(|key| {
            let versions = context.verdicts.case(key).and_then(Case::rendered_under);
            versions.is_some_and(|versions| versions.contains_key(scope))
        })
    }
}

/// It differs, and not only because somebody patched a Pod by hand.
fn differs(key: &WorkloadKey, verdicts: &Verdicts) -> bool {
    let by_hand = |d: &Difference| *d == Difference::MutatedLive;
    let otherwise = |judged: &Judged| judged.differences.is_empty() || !judged.differences.iter().all(by_hand);
    verdicts.judged(key).is_some_and(|judged| judged.differs() && otherwise(judged))
}

fn is_unhealthy(key: &WorkloadKey, view: View<'_>) -> bool {
    view.index.workload(key).is_some_and(|w| !rollout_status::healthy(w))
}

/// Every workload has a verdict.
fn all_known(context: Context<'_>) -> bool {
    let known = |key| context.verdicts.judged(key).is_some_and(|judged| judged.verdict != Verdict::Undetermined);
    context.view.index.workloads().filter(|(key, _)| context.view.covers(key)).all(|(key, _)| known(key))
}
