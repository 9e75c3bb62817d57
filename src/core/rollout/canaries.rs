//! Canaries: the first rollouts after a move, which prove what it brings before the others follow.
//!
//! One is wanted for each scope that moved, however many workloads it makes differ and in however many ways. A canary
//! that did not prove anything is dropped, whatever became of it, and the next candidate goes instead; it is the breaker
//! that stops this when it goes wrong again. Only where it came too soon after the move to prove anything, the next one
//! waits until it can.

use jiff::Timestamp;

use super::{context::Context, kept, rollout_state::Phase, rollouts::Rollouts};
use crate::core::{
    injection::{Scope, View},
    inventory::{current_revision, on_delete, pods_in},
    io::{Canary, Stop},
    model::{
        WorkloadKey,
        rollout_status::{self, Progress},
        words::{Difference, Verdict},
    },
    verdict::{Case, PodGroup},
};

/// A stamp is cut to whole seconds, so it may seem to be older than the record of its canary.
const STAMP_PRECISION: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

impl Rollouts {
    /// This workload goes first in these scopes, where nobody does yet and somebody has to.
    pub(super) fn register_canary(&mut self, key: &WorkloadKey, scopes: &[Scope], context: Context<'_>) {
        let (wanted, now) = (context.view.policy.canary, context.view.now.wall);
        for scope in scopes.iter().filter(|_| wanted > 0) {
            let name = scope.to_string();
            let known = self.record().and_then(|record| record.canaries.get(&name));
            let (new, joins) = (known.is_none(), known.is_none_or(|canary| !canary.workloads.contains(key)));
            if new {
                self.own_canaries.insert(scope.clone());
            }
            let covers = joins && self.own_canaries.contains(scope);
            self.change_record(context.view.policy, |record| {
                record.register_canary(&name, key, wanted, now);
                if let Some(canary) = record.canaries.get_mut(&name).filter(|_| covers) {
                    cover(canary, scope, context);
                }
            });
        }
    }

    /// What was proven, or is being proven, is not what is rendered in this scope now.
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
        for (name, canary) in &mut canaries {
            let Ok(scope) = name.parse() else { continue };
            let uncovered =
                waiting(&scope, context).filter(|(key, target)| !canary.covers.contains(key, target)).count();
            if self.own_canaries.contains(&scope) {
                let converged = canary.converged;
                self.reconcile_canary(canary, context);
                // Each is a write: not one for each workload that a sweep comes upon, and none that its patch waits for.
                let many = uncovered >= canary.covers.len() || canary.converged != converged || all_known(context);
                if uncovered > 0 && many && !canary.workloads.iter().any(|key| self.is_unpatched(key)) {
                    cover(canary, &scope, context);
                }
            } else if canary.failed.is_some() || uncovered == 0 {
                self.reconcile_canary(canary, context);
            } else if canary.converged.is_some() || !self.is_under_way(canary, context) {
                // Whoever led before chose it for something else, or nobody knows for what.
                canary.workloads.clear();
            }
        }
        canaries.retain(|scope, c| !c.workloads.is_empty() && !self.is_retried(scope, c, context));
        // A move that nobody waits for any more is history: should another one come, it has to prove itself.
        let idle = |scope: &str| scope.parse().map_or(true, |scope| !self.is_waited_for(&scope, context));
        if canaries.keys().any(|scope| idle(scope)) && all_known(context) {
            canaries.retain(|scope, _| !idle(scope));
        }
        self.own_canaries.retain(|scope| canaries.contains_key(&scope.to_string()));
        if self.record().is_some_and(|record| record.canaries != canaries) {
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
            Some(_) if canary.workloads.iter().any(|key| differs(key, context)) => canary.workloads.clear(),
            // What matched is gone before it had soaked.
            Some(at) if now.since(at) < soak && !canary.workloads.iter().all(|key| has_new_pods(key, context.view)) => {
                canary.workloads.clear();
            }
            // A soak that is not quiet begins again, when all is well again: that is one change, however long it takes.
            Some(at) if now.since(at) < soak && canary.workloads.iter().any(|key| is_sick(key, at, context.view)) => {
                canary.converged = None;
            }
            Some(_) => {}
        }
    }

    /// Its rollout is planned.
    fn is_unpatched(&self, key: &WorkloadKey) -> bool {
        self.running.get(key).is_some_and(|r| matches!(r.phase, Phase::Confirming | Phase::Confirmed))
    }

    /// One of them is being rolled, or it is too early for the next one: others wait as long.
    fn is_under_way(&self, canary: &Canary, context: Context<'_>) -> bool {
        let View { index, now, .. } = context.view;
        let rolls = |key: &WorkloadKey| {
            let workload = index.workload(key);
            self.running.contains_key(key) || workload.is_some_and(rollout_status::rollout_in_progress)
        };
        canary.too_early(now.wall) || canary.workloads.iter().any(rolls)
    }

    /// It is being rolled, or was, and what came of it is not known yet.
    fn may_prove(&self, key: &WorkloadKey, started: Timestamp, context: Context<'_>) -> bool {
        if self.running.contains_key(key) {
            return true;
        }
        let Some(workload) = context.view.index.workload(key) else { return false };
        // One that was scaled to zero has no Pod that could.
        if workload.counts.desired == 0 {
            return false;
        }
        let attempts = self.history(workload, context.view);
        let since = started.checked_sub(STAMP_PRECISION).unwrap_or(started);
        let stamped = attempts.iter().any(|tried| self.made(key, tried.stamp.timestamp) >= since);
        let failed = matches!(rollout_status::progress(workload), Progress::Failed(_));
        stamped && !differs(key, context) && !failed
    }

    /// What a finished rollout calls converged: nothing differs any more from what is rendered now, and all its Pods are there,
    /// one at least.
    fn proves(&self, key: &WorkloadKey, context: Context<'_>) -> bool {
        let workload = context.view.index.workload(key).filter(|_| !self.running.contains_key(key));
        let (Some(workload), Some(judged)) = (workload, context.verdicts.judged(key)) else { return false };
        let as_it_should_be = match judged.verdict {
            Verdict::InSync | Verdict::NotInjected => true,
            // What somebody patched by hand since says nothing against the rollout.
            _ => judged.differs() && !differs(key, context),
        };
        as_it_should_be
            && has_new_pods(key, context.view)
            && context.verdicts.case(key).and_then(Case::rendered_under) == Some(&context.view.versions_of(workload))
            && rollout_status::progress(workload) == Progress::Done
    }

    /// Some workload that depends on the scope differs, or is being rolled.
    fn is_waited_for(&self, scope: &Scope, context: Context<'_>) -> bool {
        context.verdicts.candidates().iter().chain(self.running.keys()).any(|key| {
            let versions = context.verdicts.case(key).and_then(Case::rendered_under);
            versions.is_some_and(|versions| versions.contains_key(scope))
        })
    }
}

/// What those that wait in a scope would get now.
fn waiting<'a>(scope: &'a Scope, context: Context<'a>) -> impl Iterator<Item = (&'a WorkloadKey, &'a str)> {
    context.verdicts.candidates().iter().filter_map(move |key| {
        let case = context.verdicts.case(key)?;
        let target = &*case.judged().target;
        let waits = !target.is_empty() && case.rendered_under().is_some_and(|versions| versions.contains_key(scope));
        waits.then_some((key, target))
    })
}

/// A canary goes for those that wait now, too: nothing has moved since it was chosen.
fn cover(canary: &mut Canary, scope: &Scope, context: Context<'_>) {
    canary.covers.add(waiting(scope, context));
}

/// What a canary is known to prove now. After a move nothing is known until it was asked again: if it is rendered as before, what
/// it proved still holds.
pub(super) fn known_proof(canary: &Canary, context: Context<'_>) -> Canary {
    let View { index, injection, .. } = context.view;
    let is_asked = |key: &WorkloadKey| {
        let under = context.verdicts.case(key).and_then(Case::rendered_under);
        let now = index.workload(key).map(|workload| injection.versions_of(workload, index));
        now.is_none_or(|now| under.is_none_or(|under| *under == now))
    };
    let converged = canary.converged.filter(|_| canary.workloads.iter().all(is_asked));
    Canary { converged, ..canary.clone() }
}

/// It differs, and not only because somebody patched a Pod by hand, nor only in Pods that its partition keeps.
fn differs(key: &WorkloadKey, context: Context<'_>) -> bool {
    let (workload, judged) = (context.view.index.workload(key), context.verdicts.judged(key));
    let Some((workload, judged)) = workload.zip(judged).filter(|(_, judged)| judged.differs()) else { return false };
    let by_hand = |group: &PodGroup| group.differences.iter().all(|d| d.difference == Difference::MutatedLive);
    let replaced = kept::replaced(workload, judged, context.view.index);
    judged.groups.is_empty() || replaced.into_iter().any(|group| !by_hand(group))
}

/// Some Pod of the newest revision is there.
fn has_new_pods(key: &WorkloadKey, view: View<'_>) -> bool {
    let Some(w) = view.index.workload(key) else { return false };
    let Some((_, classes)) = current_revision(w, view.index) else { return false };
    pods_in(&classes).iter().any(|pod| !pod.state.terminating)
}

/// Something is wrong with its Pods since then. Those that an autoscaler adds are not ready at once, and that is no trouble.
fn is_sick(key: &WorkloadKey, since: Timestamp, view: View<'_>) -> bool {
    let Some(w) = view.index.workload(key) else { return false };
    let pods = on_delete::alive(w, view.index);
    let mut pods = pods.iter().filter(|pod| !pod.state.terminating);
    let young = pods.clone().filter(|pod| !pod.state.ready && pod.created >= since).count();
    let to_come = w.counts.desired.saturating_sub(w.counts.current) as usize;
    let there = w.counts.ready as usize + young + to_come;
    w.deadline_exceeded || there < w.counts.desired as usize || pods.any(|pod| pod.state.crashing)
}

/// Every workload has a verdict.
fn all_known(context: Context<'_>) -> bool {
    let known = |key| context.verdicts.judged(key).is_some_and(|judged| judged.verdict != Verdict::Undetermined);
    context.view.index.workloads().filter(|(key, _)| context.view.covers(key)).all(|(key, _)| known(key))
}
