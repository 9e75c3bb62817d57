//! Beginning a rollout, and confirming right before each patch that it is still wanted.

use std::{collections::BTreeSet, time::Duration};

use super::{
    context::{Context, Emitter, RolloutEvent},
    gate::{self, Candidate, Situation},
    rollout_state::{EVICT_AGAIN, Eviction, FRESH, LONGEST_QUIET, Phase, QUIET, Rollout, Soaking},
    rollouts::Rollouts,
};
use crate::core::{
    injection::{Scope, View},
    io::{Confirmation, Notice, Outbox},
    model::{WorkloadKey, words::Gate},
    verdict::Case,
};

/// A workload whose history could not be read is read again after this long.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// The answer to a rendering, as far as rollouts care.
#[derive(Clone, Debug)]
pub struct ConfirmationAnswer {
    /// Whose.
    pub key: WorkloadKey,
    /// It was asked for by a rollout.
    pub confirm: bool,
    /// It answers what is the question now.
    pub holds: bool,
    /// The workload was read with it.
    pub read: bool,
}

impl Rollouts {
    pub(super) fn begin(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) {
        let now = context.view.now;
        let (Some(workload), Some(judged)) = (context.view.index.workload(key), context.verdicts.judged(key)) else {
            return;
        };
        let rollout = Rollout::new(workload.uid.clone(), judged.change.clone(), now);
        if self.starts.left(context.view.policy, now) == Some(0) {
            return self.set_gate(key, Gate::RateLimit, Some(Gate::RateLimit), context, emit);
        }
        self.starts.plan(key, now);
        let entry = self.ledger.entry(key);
        (entry.gate, entry.gate_in_enforce, entry.unseen, entry.told) = (None, None, None, None);
        let scopes = self.candidate(key, &BTreeSet::new(), context).map(|candidate| candidate.proves());
        self.register_canary(key, &scopes.unwrap_or_default(), context);
        self.running.insert(key.clone(), rollout);
        emit.invalidate_report(key);
        self.guard.want_probe(now.elapsed);
        emit.confirm(key, now.elapsed);
    }

    /// Takes in what was read of a workload and its history.
    pub fn take_history(&mut self, key: &WorkloadKey, confirmation: &Confirmation) {
        // A retained revision may have been cleaned up since: what was seen once stays known.
        let entry = self.ledger.entry(key);
        for attempt in &confirmation.history {
            entry.remember(attempt.clone());
        }
        if let Some(rollout) = self.running.get_mut(key) {
            rollout.unread = false;
        }
    }

    /// Takes in that an answer came which a rollout may wait for.
    pub fn take_answer(
        &mut self,
        answer: &ConfirmationAnswer,
        context: Context<'_>,
        out: &mut Outbox,
    ) -> Vec<RolloutEvent> {
        let ConfirmationAnswer { key, confirm, holds, read } = answer;
        let now = context.view.now;
        let mut emit = Emitter::new(out);
        if *confirm {
            self.confirmed(key, *holds, *read, context, &mut emit);
        } else if self.running.get(key).is_some_and(Rollout::confirming) {
            // The confirmation found this request under way.
            emit.confirm(key, now.elapsed);
        }
        if self.running.get(key).is_some_and(|rollout| rollout.unread) {
            emit.confirm(key, now.elapsed + READ_AGAIN);
        }
        emit.into_events()
    }

    /// The rendering right before a patch came back, and was judged: is everything still as planned? `holds`: it answers what
    /// is the question now; `read`: the workload was read with it.
    fn confirmed(&mut self, key: &WorkloadKey, holds: bool, read: bool, context: Context<'_>, emit: &mut Emitter<'_>) {
        let now = context.view.now;
        if self.running.get(key).is_some_and(|r| r.phase == Phase::Rolling) {
            return self.eviction_confirmed(key, holds, read, context);
        }
        let Some(rollout) = self.running.get(key).filter(|r| r.phase == Phase::Confirming) else { return };
        let unsure = rollout.unsure;
        if self.detect_applied_patch(key, context) {
            return;
        }
        if unsure && !read {
            // As long as nobody can tell whether it was written its slot is taken.
            return self.confirm_again(key, now.elapsed + Duration::from_secs(5), context, emit);
        }
        if !holds || !read {
            return self.abandon(key, None, context, emit);
        }
        if let Err(gate) = self.still_planned(key, context) {
            return self.abandon(key, gate, context, emit);
        }
        let view = context.view;
        let versions = view.index.workload(key).map(|w| view.versions_of(w)).unwrap_or_default();
        let sidecars = context.verdicts.judged(key).map(|judged| judged.sidecars.clone()).unwrap_or_default();
        if let Some(rollout) = self.running.get_mut(key) {
            rollout.phase = Phase::Confirmed;
            rollout.unsure = false;
            rollout.confirmed = now.elapsed;
            rollout.versions = versions;
            rollout.sidecars = sidecars;
            self.concerned.insert(key.clone());
        }
    }

    /// Whether the plan would choose it again, and for which scopes it would go first; else what holds it, if that is a gate.
    fn still_planned(&self, key: &WorkloadKey, context: Context<'_>) -> Result<Vec<Scope>, Option<Gate>> {
        let (Some(rollout), Some(workload)) = (self.running.get(key), context.view.index.workload(key)) else {
            return Err(None);
        };
        if !context.verdicts.candidates().contains(key) || workload.uid != rollout.uid {
            return Err(None);
        }
        let unhealthy = context.view.unhealthy_injectors();
        let Some(candidate) = self.candidate(key, &unhealthy, context) else { return Err(None) };
        if candidate.change != rollout.change {
            // Something else than was planned: it is planned anew.
            return Err(None);
        }
        let candidate = Candidate { in_rollout: false, ..candidate };
        // The start itself was paid for when it was planned.
        let situation = Situation { starts_left: None, ..self.situation(context, Some(key)) };
        gate::held(&candidate, &situation).gate.map_or_else(|| Ok(candidate.proves()), |gate| Err(Some(gate)))
    }

    /// Gives a rollout up of which nothing was written.
    pub(super) fn abandon(
        &mut self,
        key: &WorkloadKey,
        gate: Option<Gate>,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        if self.running.get(key).is_some_and(|r| r.phase == Phase::Rolling) {
            // Something was: only its next step came to nothing.
            return self.eviction_confirmed(key, false, false, context);
        }
        let Some(rollout) = self.running.remove(key) else { return };
        self.schedule.request();
        emit.recheck(key);
        self.refund_and_back_off(key, &rollout, context);
        if let Some(gate) = gate {
            self.set_gate(key, gate, Some(gate), context, emit);
            emit.notify(Notice::RolloutHeld { workload: key.clone(), gate });
        }
        self.forget_if_left(key, context);
    }

    /// Nothing was restarted, so the hour has one start more again, and others go first for a while.
    pub(super) fn refund_and_back_off(&mut self, key: &WorkloadKey, rollout: &Rollout, context: Context<'_>) {
        // What was seen on the workload was written, whatever became of the answer, and of it since.
        let written = self.known_attempts(key).iter().any(|attempt| rollout.stamps.contains(&attempt.stamp));
        if !written {
            self.starts.give_back(key);
        }
        let entry = self.ledger.entry(key);
        let rest = QUIET.saturating_mul(1 << entry.abandoned_attempts.min(10)).min(LONGEST_QUIET);
        entry.backoff_until = context.view.now.elapsed + rest;
        entry.abandoned_attempts = entry.abandoned_attempts.saturating_add(1);
    }

    /// These workloads have nothing that could be rendered: the rollouts that wait for it do not begin.
    pub fn take_nothing_to_render(
        &mut self,
        keys: &[WorkloadKey],
        context: Context<'_>,
        out: &mut Outbox,
    ) -> Vec<RolloutEvent> {
        let mut emit = Emitter::new(out);
        for key in keys {
            self.abandon(key, None, context, &mut emit);
        }
        emit.into_events()
    }

    /// Moves on the rollouts that something happened to, or whose time has come.
    pub fn advance(&mut self, context: Context<'_>, out: &mut Outbox) -> Vec<RolloutEvent> {
        let mut emit = Emitter::new(out);
        if !context.view.lifecycle.started {
            return emit.into_events();
        }
        for key in self.take_concerned(context) {
            if context.verdicts.is_affected(&key) {
                // What is known of it may be something else than it was.
                self.concerned.insert(key);
                continue;
            }
            self.watch_soaking(&key, context, &mut emit);
            match self.running.get(&key).map(|r| r.phase) {
                Some(Phase::Confirming) => self.watch_confirming(&key, context, &mut emit),
                Some(Phase::Confirmed) => self.watch_confirmed(&key, context, &mut emit),
                Some(Phase::Rolling) => self.watch_rolling(&key, context, &mut emit),
                Some(Phase::Patching) | None => {}
            }
        }
        emit.into_events()
    }

    /// The rollouts that something happened to; all, if it may concern all.
    fn take_concerned(&mut self, context: Context<'_>) -> Vec<WorkloadKey> {
        let concerned = std::mem::take(&mut self.concerned);
        let View { policy, now, .. } = context.view;
        let all = self.schedule.is_requested();
        let due = |rollout: &Rollout| rollout.deadline(policy).is_some_and(|at| at <= now.elapsed);
        let running = self.running.iter().filter(|(key, rollout)| all || concerned.contains(*key) || due(rollout));
        let due = |soaking: &Soaking| soaking.deadline() <= now.elapsed;
        let soaking = self.soaking.iter().filter(|(key, soaking)| concerned.contains(*key) || due(soaking));
        let mut keys: Vec<_> = running.map(|(key, _)| key).chain(soaking.map(|(key, _)| key)).cloned().collect();
        // One that takes its slot back does so before another is patched.
        keys.sort_by_key(|key| self.running.get(key).is_some_and(|rollout| rollout.phase != Phase::Rolling));
        keys
    }

    /// Its rendering is asked for, or will be; else it would wait for ever.
    fn watch_confirming(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) {
        if self.detect_applied_patch(key, context) {
            return;
        }
        let uid = self.running.get(key).map(|r| &r.uid);
        let there = context.view.covered(key).is_some_and(|w| Some(&w.uid) == uid);
        if !there || !context.renders.awaits(key) {
            self.abandon(key, None, context, emit);
        }
    }

    fn watch_confirmed(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) {
        let Some(rollout) = self.running.get(key) else { return };
        let View { policy, index, now, .. } = context.view;
        let moved = index.workload(key).is_none_or(|w| context.view.versions_of(w) != rollout.versions);
        let stale = now.elapsed >= rollout.confirmed + FRESH;
        let guarded = self.guard.lets(rollout.planned(), policy, now.elapsed);
        let scopes = match self.still_planned(key, context) {
            Err(gate) => return self.abandon(key, gate, context, emit),
            Ok(_) if moved => return self.abandon(key, None, context, emit),
            Ok(scopes) => scopes,
        };
        // What was proven when it was planned may have lost its proof since.
        self.register_canary(key, &scopes, context);
        // The canary is on record before it flies, so that no crash can make a second one.
        if stale {
            self.abandon(key, None, context, emit);
        } else if guarded && self.state.canaries_are_written() {
            self.patch(key, context, emit);
        }
    }

    /// The rendering that was asked for before the next eviction came back.
    pub(super) fn eviction_confirmed(&mut self, key: &WorkloadKey, holds: bool, read: bool, context: Context<'_>) {
        // What was rendered before may still be shown, and is not what was asked for.
        let rendered = context.verdicts.case(key).is_some_and(Case::has_not_failed);
        let now = context.view.now;
        let Some(rollout) = self.running.get_mut(key).filter(|r| r.eviction == Eviction::Confirming) else { return };
        self.concerned.insert(key.clone());
        if holds && read && rendered {
            rollout.eviction = Eviction::Confirmed;
            rollout.confirmed = now.elapsed;
        } else {
            rollout.step_aside("it could not be confirmed that the others still differ", EVICT_AGAIN, now);
        }
    }
}
