//! Planning: gathers what the gates look at, and carries the plan out.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    canaries::known_proof,
    context::{Context, Emitter, RolloutEvent},
    gate::{self, Candidate, Situation},
    kept,
    plan::{self, Plan},
    rollout_state::Rollout,
    rollouts::Rollouts,
};
use crate::core::{
    config::Mode,
    injection::{Scope, VersionVector, View, backends::backends_mixed, injectors_of},
    inventory::on_delete,
    io::{Notice, Outbox},
    model::{
        Attempt, Name, ObjectKey, Stamp, WorkloadKey, WorkloadSnapshot,
        owner::Kind,
        words::{Gate, Outcome},
    },
    verdict::{Case, Judged, Verdicts},
};

/// A person at a terminal does not wait for a workload whose rollout could not be started this often.
const ENOUGH: u32 = 3;

/// Of a workload that was never rendered.
static NO_SCOPES: VersionVector = VersionVector::new();

impl Rollouts {
    pub(super) fn candidate<'a>(
        &self,
        key: &WorkloadKey,
        unhealthy: &BTreeSet<Scope>,
        context: Context<'a>,
    ) -> Option<Candidate<'a>> {
        let View { policy, index, .. } = context.view;
        let workload = index.workload(key)?;
        let case = context.verdicts.case(key)?;
        let judged = case.judged();
        let entry = self.ledger.get(key);
        let pod = |name: &Name| index.pod(&ObjectKey { namespace: key.namespace.clone(), name: name.clone() });
        let filter = &policy.filter;
        let old_enough = filter.started_before.is_none()
            || if judged.groups.is_empty() {
                index.pods_of(workload).iter().any(|pod| filter.is_old_enough(pod.created))
            } else {
                let differing = judged.groups.iter().flat_map(|group| &group.pods);
                differing.filter_map(pod).any(|pod| filter.is_old_enough(pod.created))
            };
        let scopes = case.rendered_under().unwrap_or(&NO_SCOPES);
        let retry = self.record().and_then(|r| r.retries.get(&workload.uid)).map(|retry| retry.at);
        let patched = entry.and_then(|entry| entry.patched_since);
        // Nothing is listed that could be down, and a person at a terminal has seen what would be taken away; or has said so.
        let lets_go = || {
            let since = context.verdicts.lacks_since(key);
            policy.one_shot && injectors_of(workload, index).next().is_none()
                || since.zip(retry).is_some_and(|(since, at)| at >= since)
        };
        Some(Candidate {
            workload,
            verdict: judged.verdict,
            differences: &judged.differences,
            first_seen: case.first_seen(),
            collateral: judged.collateral,
            chosen: old_enough && context.view.covers(key),
            quota_full: judged.quota_full,
            change: &judged.change,
            target: &judged.target,
            scopes,
            causes: case.causes(),
            says: context.view.owner_annotations(workload),
            history: self.with_recorded(self.history(workload, context.view), workload, &judged.target),
            noted: entry.map(|entry| entry.noted.clone()).unwrap_or_default(),
            patched_live: patched.is_some_and(|since| retry.is_none_or(|at| at < since)),
            loss_unproven: judged.unproven_loss.is_some() && !lets_go(),
            retried: retry.max(entry.and_then(|entry| entry.ineffective_until)),
            unseen: context.view.unseen(workload),
            backs_injector: index.backs_injectors(&key.namespace),
            injector_unhealthy: scopes.keys().any(|scope| unhealthy.contains(scope)),
            budgets: index.budgets_of(workload).collect(),
            next_is_down: false,
            stranded: workload.key.kind == Kind::DAEMON_SET
                && (on_delete::alive(workload, index).len() > workload.counts.desired as usize
                    || index.runs_on_unready_node(workload)),
            pending: on_delete::is_pending(workload, index, case.templates()),
            kept: kept::only_kept_differ(workload, judged, index),
            in_rollout: self.under_way().any(|k| k == key),
            backoff_until: entry.map(|entry| entry.backoff_until).unwrap_or_default(),
            // A person who rolls once sees each workload rolled at most once, however that ended.
            had_its_turn: policy.one_shot && entry.is_some_and(|entry| entry.ended),
        })
    }

    /// Every rollout that is known of a workload.
    pub fn history(&self, workload: &WorkloadSnapshot, view: View<'_>) -> Vec<Attempt> {
        let mut history = self.known_attempts(&workload.key).to_vec();
        if let Some(stamp) = workload.template.stamp.clone() {
            let live = Attempt { stamp, template: workload.template.hash.clone() };
            if !history.contains(&live) {
                history.push(live);
            }
        }
        if workload.key.kind.has_template_only() {
            // Pods keep the stamp of the template that they were made from, whatever became of that one.
            let classes = view.index.pod_classes_of(workload);
            let times: BTreeSet<_> = classes.filter_map(|class| class.made.stamped).collect();
            let unknown = times.into_iter().filter(|at| history.iter().all(|tried| tried.stamp.timestamp != *at));
            let attempt = |timestamp| Attempt {
                stamp: Stamp { timestamp, reason: String::new(), fingerprint: None },
                template: Name::from(""),
            };
            let from_pods: Vec<_> = unknown.map(attempt).collect();
            history.extend(from_pods);
        }
        history
    }

    /// And what the state ConfigMap says of it, where the cluster has forgotten.
    fn with_recorded(&self, mut history: Vec<Attempt>, workload: &WorkloadSnapshot, target: &str) -> Vec<Attempt> {
        let recorded = self.record().map_or(&[][..], |record| record.attempts.of(&workload.uid));
        for tried in recorded {
            // One whose patch was refused restarted nothing.
            let refused = matches!(tried.outcome, Some(Outcome::Denied | Outcome::Conflict));
            let known = history.iter().any(|known| known.stamp.timestamp == tried.at);
            let open = self.running.contains_key(&workload.key) && tried.outcome.is_none();
            if !refused && !known && !open {
                let fingerprint = tried.was_for(target).then(|| target.to_owned());
                let stamp = Stamp { timestamp: tried.at, reason: String::new(), fingerprint };
                history.push(Attempt { stamp, template: Name::from("") });
            }
        }
        history
    }

    /// Workloads that are being rolled, or whose patch may be written any moment though its rollout was dropped.
    fn under_way(&self) -> impl Iterator<Item = &WorkloadKey> {
        let orphans = self.pending_writes.values().filter(|key| !self.running.contains_key(*key));
        self.running.keys().chain(orphans)
    }

    pub(super) fn situation<'a>(&'a self, context: Context<'a>, without: Option<&WorkloadKey>) -> Situation<'a> {
        let view = context.view;
        let View { policy, now, lifecycle, .. } = view;
        let holds_slot = |key: &WorkloadKey| self.running.get(key).is_none_or(Rollout::holds_slot);
        let running = || self.under_way().filter(|key| Some(*key) != without && holds_slot(key));
        let mut running_in = BTreeMap::new();
        for key in running() {
            *running_in.entry(key.namespace.clone()).or_default() += 1;
        }
        let record = self.record();
        let canaries = record.iter().flat_map(|r| &r.canaries);
        Situation {
            policy,
            now,
            leader: lifecycle.leader,
            guarded: self.guard.is_in_force(policy, now.elapsed),
            alarm: self.alerts.alarm(policy, now.elapsed),
            record,
            canaries: canaries.filter_map(|(scope, c)| Some((scope.parse().ok()?, known_proof(c, context)))).collect(),
            running: running().count(),
            running_in,
            reserved: self.reserved(view, without),
            unready_nodes: view.index.unready_nodes(),
            first_sweep: self.schedule.first_sweep(),
            starts_left: self.starts.left(policy, now),
            next_start: self.starts.next(policy, now),
        }
    }

    /// How many Pods the rollouts under way may take down, by the budgets that they share with others. What is down already the
    /// budgets count, too: it is counted twice, because a budget may tell of a Pod that is ready before its workload does, and
    /// between two Pods of a rollout there is no room for another one.
    fn reserved(&self, view: View<'_>, without: Option<&WorkloadKey>) -> BTreeMap<ObjectKey, u32> {
        let mut reserved = BTreeMap::new();
        let holds_slot = |key: &WorkloadKey| self.running.get(key).is_none_or(Rollout::holds_slot);
        for key in self.under_way().filter(|key| Some(*key) != without && holds_slot(key)) {
            let waits = self.running.get(key).is_some_and(|rollout| rollout.held().is_some());
            let Some(workload) = view.index.workload(key).filter(|_| !waits) else { continue };
            let taken = gate::takes_down(workload, view.policy);
            for budget in view.index.budgets_of(workload).filter(|_| taken > 0) {
                *reserved.entry(budget.key.clone()).or_default() += taken;
            }
        }
        reserved
    }

    /// Makes the plan if something changed that it depends on, and begins what it says.
    pub fn plan(&mut self, context: Context<'_>, out: &mut Outbox) -> Vec<RolloutEvent> {
        let View { lifecycle, now, .. } = context.view;
        let mut emit = Emitter::new(out);
        let due = self.schedule.is_due(context.verdicts.candidates().len(), now.elapsed);
        // What is not judged yet may be something else than it was.
        if !lifecycle.started || lifecycle.stopping || !due || context.verdicts.has_affected() {
            return emit.into_events();
        }
        self.schedule.making(now.elapsed);
        self.end_first_sweep(context);
        self.reconcile_canaries(context);
        self.prune_locks(context);
        let unhealthy = context.view.unhealthy_injectors();
        let candidates = context.verdicts.candidates().iter();
        let candidates: Vec<_> = candidates.filter_map(|key| self.candidate(key, &unhealthy, context)).collect();
        let bad = |c: &Candidate<'_>| {
            let key = c.workload.key.clone();
            c.says.bad.clone().into_iter().map(move |message| (key.clone(), message))
        };
        let said: Vec<_> = candidates.iter().flat_map(bad).collect();
        let made = plan::plan(candidates, self.situation(context, None));
        self.carry_out(made, context, &mut emit);
        for (workload, message) in said {
            // Not by a follower, or it would be known when it leads, and nobody would have read it.
            let last = self.ledger.get(&workload).and_then(|entry| entry.bad_annotation.as_ref());
            if lifecycle.leader && last != Some(&message) {
                self.ledger.entry(&workload).bad_annotation = Some(message.clone());
                emit.notify(Notice::BadAnnotation { workload, message });
            }
        }
        emit.into_events()
    }

    fn carry_out(&mut self, made: Plan, context: Context<'_>, emit: &mut Emitter<'_>) {
        let View { policy, now, .. } = context.view;
        let now_and_then = !made.held.is_empty() && policy.mode == Mode::Enforce;
        self.schedule.set_next(made.next, now_and_then, now.elapsed);
        for (key, held) in made.held {
            // One that we roll step by step may be held in between.
            let between = self.running.get(&key).and_then(Rollout::held);
            if let Some(gate) = between.or(held.gate) {
                self.set_gate(&key, gate, between.or(held.in_enforce), context, emit);
            }
        }
        for key in made.start {
            self.begin(&key, context, emit);
        }
    }

    /// Whether every workload has had its first verdict, or has had time enough. The first to be judged would go first
    /// otherwise, instead of the one with the least risk. Those whose injector's backends are mixed may take long, and are
    /// not waited for.
    fn end_first_sweep(&mut self, context: Context<'_>) {
        if self.schedule.first_sweep().is_none() {
            return;
        }
        let View { index, now, .. } = context.view;
        let last = self.schedule.take_waited_for();
        let waits = |key: &WorkloadKey, workload: &WorkloadSnapshot| {
            context.view.covers(key)
                && context.verdicts.judged(key).is_none_or(Judged::is_transient)
                && !injectors_of(workload, index).any(|i| backends_mixed(i, index).is_some())
        };
        // Whoever was waited for last is most likely still waited for.
        let last = last.filter(|key| index.workload(key).is_some_and(|w| waits(key, w)));
        let first = || index.workloads().find(|(key, w)| waits(key, w)).map(|(key, _)| key.clone());
        self.schedule.wait_for(last.or_else(first), now.elapsed);
    }

    /// No rollout is under way, and waiting alone would start none, or has failed to often enough.
    pub fn is_exhausted(&self, verdicts: &Verdicts) -> bool {
        let soaking = |key: &WorkloadKey| {
            let scopes = verdicts.case(key).and_then(Case::rendered_under);
            let canaries = self.record().into_iter().flat_map(|r| &r.canaries);
            let here = |scope: &str| scope.parse().is_ok_and(|s| scopes.is_some_and(|all| all.contains_key(&s)));
            canaries.filter(|(scope, _)| here(scope)).all(|(_, canary)| canary.converged.is_some())
        };
        let waits = |key: &WorkloadKey| {
            let entry = self.ledger.get(key);
            match entry.and_then(|entry| entry.gate) {
                None | Some((Gate::RateLimit | Gate::FirstSweep, _)) => true,
                Some((Gate::GuardMissing, _)) => !self.guard.answered(),
                Some((Gate::BackingOff, _)) => entry.is_some_and(|entry| entry.abandoned_attempts < ENOUGH),
                Some((Gate::Canary, _)) => soaking(key),
                Some(_) => false,
            }
        };
        self.running.is_empty() && !self.schedule.is_requested() && !verdicts.candidates().iter().any(waits)
    }
}
