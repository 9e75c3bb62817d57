//! Taking over the rollouts that an earlier process or another leader of ours left under way.

use std::time::Duration;

use super::{
    context::{Context, Emitter, RolloutEvent},
    rollout_state::{Phase, Rollout},
    rollouts::Rollouts,
};
use crate::core::{
    config::Mode,
    injection::View,
    inventory::on_delete,
    io::Outbox,
    model::{
        Stamp, Strategy, WorkloadKey,
        rollout_status::{self, Progress},
        words::Outcome,
    },
};

/// A rollout that an earlier process of ours started longer ago than this is none of ours any more.
const ADOPTABLE: Duration = Duration::from_hours(1);

/// Evictions take longer, one after the other, and nobody goes on with them but us.
const ADOPTABLE_EVICTIONS: Duration = Duration::from_hours(24);

impl Rollouts {
    /// Takes over all of them.
    pub(super) fn adopt_all(&mut self, context: Context<'_>, out: &mut Outbox) -> Vec<RolloutEvent> {
        let mut emit = Emitter::new(out);
        for (key, _) in context.view.index.workloads() {
            self.adopt(key, context, &mut emit);
        }
        emit.into_events()
    }

    /// Takes over a workload's rollout if it is one of ours that nobody follows.
    pub(super) fn adopt(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) {
        self.note_finished(key, context);
        let View { policy, index, lifecycle, now, .. } = context.view;
        let follows = lifecycle.started && lifecycle.leader && !lifecycle.stopping && policy.mode >= Mode::Enforce;
        if !follows || self.running.contains_key(key) {
            return;
        }
        let Some(w) = context.view.covered(key).filter(|w| !w.terminating) else { return };
        let evicted = w.strategy == Strategy::OnDelete;
        if evicted && !policy.evict_on_delete {
            return;
        }
        if policy.one_shot && !evicted {
            // Its Pods come by themselves, and whoever began it counts it.
            return;
        }
        let adoptable = if evicted { ADOPTABLE_EVICTIONS } else { ADOPTABLE };
        let ours = |s: &&Stamp| s.fingerprint.is_some() && now.since(self.made(key, s.timestamp)) < adoptable;
        let Some(stamp) = w.template.stamp.as_ref().filter(ours) else { return };
        // What was followed to its end once is the owner's business from then on.
        let ended = self.ledger.get(key).is_some_and(|entry| entry.ended_stamp.as_ref() == Some(stamp));
        if ended || !on_delete::is_waiting(w, index) {
            return;
        }
        let mut rollout = Rollout::new(w.uid.clone(), stamp.reason.clone(), now);
        rollout.phase = Phase::Rolling;
        rollout.template = w.template.hash.clone();
        rollout.stamps = vec![stamp.clone()];
        rollout.generation = w.generation;
        rollout.versions = context.view.versions_of(w);
        (rollout.adopted, rollout.unread) = (true, true);
        self.running.insert(key.clone(), rollout);
        if self.is_over(key, policy.one_shot) {
            self.running.remove(key);
            return;
        }
        self.concerned.insert(key.clone());
        emit.confirm(key, now.elapsed);
        emit.invalidate_report(key);
    }

    /// A rollout of ours that is finished stays so, whoever followed it: when its owner rolls the workload later our stamp is
    /// still on the template.
    fn note_finished(&mut self, key: &WorkloadKey, context: Context<'_>) {
        let index = context.view.index;
        if self.running.contains_key(key) || context.verdicts.case(key).is_none() {
            return;
        }
        let Some(w) = index.workload(key).filter(|w| w.template.stamp.is_some()) else { return };
        let done = rollout_status::progress(w) == Progress::Done && !on_delete::is_waiting(w, index);
        let Some(stamp) = w.template.stamp.as_ref().filter(|_| done) else { return };
        if self.ledger.get(key).is_none_or(|entry| entry.ended_stamp.as_ref() != Some(stamp)) {
            self.ledger.entry(key).ended_stamp = Some(stamp.clone());
        }
    }

    /// Its owner changed the template after our rollout, and left our stamp on it: a revision that has the stamp is of
    /// another template.
    pub(super) fn is_its_owners(&self, key: &WorkloadKey) -> bool {
        let Some(rollout) = self.running.get(key) else { return false };
        let stamp = rollout.stamps.last();
        self.known_attempts(key).iter().any(|tried| Some(&tried.stamp) == stamp && tried.template != rollout.template)
    }

    /// What it was taken over as ended before, as the state ConfigMap has it, which may be read only now. Where it says more,
    /// that is noted: who began it, and that it was late. `by_hand`: so are we.
    pub(super) fn is_over(&mut self, key: &WorkloadKey, by_hand: bool) -> bool {
        let known = self.running.get(key).map(|rollout| (rollout.uid.clone(), rollout.stamps.last().cloned()));
        let Some((uid, Some(stamp))) = known else { return false };
        let Some(record) = self.state.wanted() else { return false };
        let Some(tried) = record.attempts.find(&uid, stamp.timestamp).cloned() else { return false };
        if tried.outcome.is_some_and(|outcome| outcome != Outcome::TimedOut) {
            self.ledger.entry(key).ended_stamp = Some(stamp);
            return true;
        }
        if let Some(rollout) = self.running.get_mut(key) {
            rollout.timed_out |= tried.outcome.is_some();
            rollout.foreign = tried.by_hand != by_hand;
        }
        false
    }

    /// It was taken over by mistake: what becomes of it is its owner's business, and nobody was told of it.
    pub(super) fn stop_tracking(&mut self, key: &WorkloadKey, emit: &mut Emitter<'_>) {
        let Some(mut rollout) = self.running.remove(key) else { return };
        self.ledger.entry(key).ended_stamp = rollout.stamps.pop();
        emit.recheck(key);
        self.schedule.request();
        emit.invalidate_report(key);
    }
}
