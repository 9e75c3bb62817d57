//! All rollouts, what was done, and what holds the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    alerts::AlertGate,
    context::{Context, Emitter, RolloutEvent},
    guard::Guard,
    holds::{record_drift, record_hold},
    ledger::{Entry, Ledger},
    plan_schedule::PlanSchedule,
    report::{AlertsReport, RolloutReport},
    rollout_state::{Phase, Rollout, Soaking},
    starts::RecentStarts,
    state_store::StateStore,
};
use crate::core::{
    config::{Mode, Policy},
    injection::{Scope, ScopeChanges, View},
    inventory::{Change, Changes},
    io::{AlertsReply, AlertsRequest, Effect, Notice, Outbox, StateRecord},
    model::{Attempt, WorkloadKey, time::Now, words::Gate},
    render::Need,
    verdict::{Judged, Judgement, Standing},
};

/// Rollouts under way, the ledger of what was done, the budget, the state ConfigMap, the guard and the alerts.
#[derive(Debug, Default)]
pub struct Rollouts {
    pub(super) running: BTreeMap<WorkloadKey, Rollout>,
    /// Rollouts that converged a short time ago: their outcome is taken back if their Pods do not stay well.
    pub(super) soaking: BTreeMap<WorkloadKey, Soaking>,
    pub(super) ledger: Ledger,
    /// Patches and evictions whose answer is outstanding, also those of rollouts that were dropped meanwhile.
    pub(super) pending_writes: BTreeMap<u64, WorkloadKey>,
    /// Rollouts of the last hour.
    pub(super) starts: RecentStarts,
    pub(super) state: StateStore,
    pub(super) guard: Guard,
    pub(super) alerts: AlertGate,
    pub(super) schedule: PlanSchedule,
    /// Since when we lead.
    led: Duration,
    /// The scopes whose canaries were chosen by us since then.
    pub(super) own_canaries: BTreeSet<Scope>,
    /// Rollouts to look at in this step, because something happened to their workload.
    pub(super) concerned: BTreeSet<WorkloadKey>,
}

impl Rollouts {
    /// Another configuration holds from here on. What was started in the last hour counts under it, too.
    pub fn reload(&mut self, old: &Policy, new: &Policy) {
        if old.blocking_alerts != new.blocking_alerts {
            self.alerts.forget();
        }
        self.schedule.request();
    }

    /// Every watch was synced once.
    pub fn on_start(&mut self, context: Context<'_>, out: &mut Outbox) -> Vec<RolloutEvent> {
        self.schedule.begin_first_sweep(context.view.now.elapsed);
        self.schedule.request();
        self.adopt_all(context, out)
    }

    /// Whether we lead; `led`: whether we did before.
    pub fn on_leadership_change(&mut self, led: bool, context: Context<'_>, out: &mut Outbox) -> Vec<RolloutEvent> {
        let View { now, lifecycle, .. } = context.view;
        if led && !lifecycle.leader {
            // Another replica carries on, also with what is under way; only its word counts now.
            for key in std::mem::take(&mut self.running).keys() {
                out.invalidate_report(key);
            }
            self.soaking.clear();
            self.starts.forget_plans();
            self.state.drop_changes();
            self.own_canaries.clear();
        }
        if lifecycle.leader && !led {
            self.led = now.elapsed;
            // A follower asks nothing, so the first sweep begins now.
            if lifecycle.started {
                self.schedule.begin_first_sweep(now.elapsed);
            } else {
                self.schedule.cancel_first_sweep();
            }
        }
        self.schedule.request();
        self.adopt_all(context, out)
    }

    /// At a shutdown: what was not patched yet is not begun. Returns how many go on.
    pub fn stop(&mut self, out: &mut Outbox) -> usize {
        let unpatched = |r: &Rollout| matches!(r.phase, Phase::Confirming | Phase::Confirmed);
        let dropped: Vec<_> = self.running.iter().filter(|(_, r)| unpatched(r)).map(|(key, _)| key.clone()).collect();
        for key in dropped {
            self.running.remove(&key);
            out.invalidate_report(&key);
        }
        self.running.len()
    }

    /// Follows what changed: the plan may be another, and canaries may have lost their proof.
    pub fn follow(&mut self, changes: &Changes, scopes: &ScopeChanges, context: Context<'_>) {
        for change in &changes.list {
            match change {
                // Its owner's word may be another, or others may wait for it.
                Change::Workload { key, .. } if context.verdicts.candidates().contains(key) || self.is_canary(key) => {
                    self.schedule.request();
                }
                Change::Namespace { .. } | Change::Node { .. } | Change::DisruptionBudget => self.schedule.request(),
                _ => {}
            }
        }
        if changes.visibility {
            self.schedule.request();
        }
        if scopes.backends_changed {
            self.schedule.request();
        }
    }

    /// A rendering is another one than at the time `since`. What canaries proved holds until then: an object that was written beside
    /// an injector proves nothing. Where another replica led in between, what that one saw counts, and not what we did before.
    pub fn follow_renderings(&mut self, rendered: &[Scope], since: Duration, view: View<'_>) {
        let seen = since >= self.led;
        for scope in rendered.iter().filter(|_| seen) {
            self.invalidate_canary(scope, view);
        }
    }

    /// Takes verdicts in: what is no candidate is held by nothing, and what is gone is forgotten once its rollout is over.
    pub fn take_judgements(
        &mut self,
        judgements: &[Judgement],
        context: Context<'_>,
        out: &mut Outbox,
    ) -> Vec<RolloutEvent> {
        let mut emit = Emitter::new(out);
        for Judgement { key, standing, replan, .. } in judgements {
            self.note_traces(key, context.view);
            // Others may wait for a canary to be asked again.
            // The first sweep ends with the last verdict, also if that is no candidate.
            if *replan || self.is_canary(key) || self.schedule.waits_for(key) {
                self.schedule.request();
            }
            if self.running.contains_key(key) || self.soaking.contains_key(key) {
                self.concerned.insert(key.clone());
            }
            match standing {
                Standing::Candidate => self.adopt(key, context, &mut emit),
                Standing::Settled => {
                    let judged = context.verdicts.judged(key);
                    self.ledger.clear_gate(key, judged.is_none_or(Judged::is_as_rendered));
                    self.adopt(key, context, &mut emit);
                }
                Standing::Left => self.leave(key),
            }
        }
        emit.into_events()
    }

    /// A workload left: nothing that is remembered of it means anything. A rollout of it is ended when it is looked at next.
    pub fn leave(&mut self, key: &WorkloadKey) {
        self.soaking.remove(key);
        if self.running.contains_key(key) {
            self.concerned.insert(key.clone());
        } else {
            self.ledger.forget(key);
        }
    }

    /// Takes the answer to a probe of the guard in.
    pub fn take_guard(&mut self, refused: bool, context: Context<'_>, out: &mut Outbox) -> Vec<RolloutEvent> {
        let mut emit = Emitter::new(out);
        self.schedule.request();
        if self.guard.take(refused) {
            emit.notify(Notice::Guard { in_force: refused });
        }
        if !refused && Guard::is_needed(context.view.policy) {
            // What only waits for its patch does not get it.
            let waiting = self.running.iter().filter(|(_, r)| r.phase == Phase::Confirmed);
            for key in waiting.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                self.abandon(&key, Some(Gate::GuardMissing), context, &mut emit);
            }
        }
        emit.into_events()
    }

    /// Takes Prometheus' answer in.
    pub fn take_alerts(&mut self, reply: AlertsReply, view: View<'_>) {
        if self.alerts.take(reply, view.policy, view.now.elapsed) {
            self.schedule.request();
        }
    }

    /// Asks what is to be asked now: the guard, and Prometheus.
    pub fn ask(&mut self, view: View<'_>, out: &mut Outbox) {
        let View { policy, now, .. } = view;
        if self.next_probe(view).is_some_and(|due| due <= now.elapsed) {
            self.guard.probing(now.elapsed);
            out.push(Effect::ProbeGuard);
        }
        if self.next_question(view).is_some_and(|due| due <= now.elapsed) {
            let ticket = out.ticket();
            self.alerts.asking(ticket, now.elapsed);
            out.push(Effect::AskAlerts(AlertsRequest { ticket, matchers: policy.blocking_alerts.clone() }));
        }
        let report = self.alerts_report(view);
        if let Some(AlertsReport { blocking, message }) = self.alerts.take_news(report) {
            out.notify(Notice::Alerts { blocking, message });
        }
    }

    /// Writes the state ConfigMap if it is time.
    pub fn persist(&mut self, view: View<'_>, out: &mut Outbox) {
        if view.lifecycle.leader
            && view.policy.mode == Mode::Enforce
            && let Some(record) = self.state.take_write(view.now.elapsed)
        {
            out.push(Effect::WriteState(Box::new(record)));
        }
    }

    /// Changes what is to be on record.
    pub(super) fn change_record(&mut self, policy: &Policy, change: impl FnOnce(&mut StateRecord)) {
        self.state.change(policy.one_shot, change);
    }

    /// A gate holds a workload, and one would hold it in enforce mode.
    pub(super) fn set_gate(
        &mut self,
        key: &WorkloadKey,
        gate: Gate,
        in_enforce: Option<Gate>,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        if context.verdicts.case(key).is_none() {
            return;
        }
        let blind = gate == Gate::Unseen || in_enforce == Some(Gate::Unseen);
        let view = context.view;
        let unseen = view.index.workload(key).filter(|_| blind).and_then(|workload| view.unseen(workload));
        let entry = self.ledger.entry(key);
        if let Some(judged) = context.verdicts.judged(key) {
            record_drift(key, gate, judged, entry, emit.outbox());
        }
        let same = entry.gate.is_some_and(|(held_by, _)| held_by == gate);
        if same && entry.gate_in_enforce == in_enforce && entry.unseen == unseen {
            return;
        }
        (entry.gate_in_enforce, entry.unseen) = (in_enforce, unseen);
        if !same {
            entry.gate = Some((gate, context.view.now.wall));
            record_hold(key, gate, emit.outbox());
        }
        emit.invalidate_report(key);
    }

    // What others may know -------------------------------------------------------------------------------------------

    /// What the state ConfigMap says; `None`: missing or unreadable.
    pub fn record(&self) -> Option<&StateRecord> {
        self.state.get()
    }

    /// What is to be on record, also while it cannot be read: it lends the locks.
    pub fn locks(&self) -> Option<&StateRecord> {
        self.state.wanted()
    }

    /// What the rollout of this workload needs of a rendering.
    pub fn need(&self, key: &WorkloadKey) -> Need {
        let need = |r: &Rollout| Need { rollout: true, confirmation: r.confirming(), history: r.unread };
        self.running.get(key).map(need).unwrap_or_default()
    }

    /// Rollouts are under way.
    pub fn is_rolling(&self) -> bool {
        !self.running.is_empty()
    }

    /// Nothing of ours is outstanding: no patch, no eviction, no write of the state.
    pub fn is_idle(&self) -> bool {
        self.pending_writes.is_empty() && !self.state.writing()
    }

    /// What holds this workload and since when, and what would hold it in enforce mode.
    pub fn gate(&self, key: &WorkloadKey) -> (Option<(Gate, jiff::Timestamp)>, Option<Gate>) {
        let entry = self.ledger.get(key);
        // One that is being rolled is held by nothing, unless we roll it step by step and something holds the next one.
        let applies = |gate: Gate| self.running.get(key).is_none_or(|r| r.held() == Some(gate));
        let gate = entry.and_then(|entry| entry.gate).filter(|(gate, _)| applies(*gate));
        (gate, entry.and_then(|entry| entry.gate_in_enforce))
    }

    /// What cannot be seen, if that holds this workload, or would in enforce mode.
    pub fn unseen(&self, key: &WorkloadKey) -> Option<&str> {
        let (gate, in_enforce) = self.gate(key);
        let (gate, _) = gate?;
        let holds = [Some(gate), in_enforce].contains(&Some(Gate::Unseen));
        self.ledger.get(key)?.unseen.as_deref().filter(|_| holds)
    }

    /// Rollouts that were found in the history of this workload, or made.
    pub(super) fn known_attempts(&self, key: &WorkloadKey) -> &[Attempt] {
        self.ledger.get(key).map_or(&[], |entry: &Entry| &entry.history)
    }

    /// The rollouts under way, as readers see them.
    pub fn reports(&self, now: Now) -> impl Iterator<Item = RolloutReport> {
        self.running.iter().map(move |(key, rollout)| rollout.report(key, None, now))
    }

    /// Where the rollout of this workload stands, in words.
    pub fn progress_of(&self, key: &WorkloadKey) -> Option<&str> {
        self.running.get(key).map(|rollout| &*rollout.message)
    }

    /// Rollouts that the hourly limit still allows now; `None`: no limit.
    pub fn rollouts_left(&self, policy: &Policy, now: Now) -> Option<u32> {
        self.starts.left(policy, now)
    }

    /// Whether the guard is in force; `None`: nobody asks, as a follower does not, or in report mode nobody answered yet.
    pub fn guard_report(&self, view: View<'_>) -> Option<bool> {
        let asked = Guard::is_needed(view.policy) || (Guard::is_asked_for(view.policy) && self.guard.answered());
        (asked && view.lifecycle.leader).then(|| self.guard.is_in_force(view.policy, view.now.elapsed))
    }

    /// Whether alerts hold all rollouts; `None`: nobody wants that. A follower does not ask.
    pub fn alerts_report(&self, view: View<'_>) -> Option<AlertsReport> {
        if !view.lifecycle.leader {
            return None;
        }
        self.alerts.report(view.policy, view.now.elapsed)
    }

    fn next_probe(&self, view: View<'_>) -> Option<Duration> {
        let asks = view.lifecycle.leader && !view.lifecycle.stopping;
        self.guard.next_probe(view.policy).filter(|_| asks)
    }

    fn next_question(&self, view: View<'_>) -> Option<Duration> {
        let asks = view.lifecycle.leader && !view.lifecycle.stopping;
        self.alerts.next_question(view.policy).filter(|_| asks)
    }

    /// When something is to be done about a rollout though nothing happens.
    pub fn next_deadline(&self, policy: &Policy) -> Option<Duration> {
        let running = self.running.values().filter_map(|rollout| rollout.deadline(policy));
        running.chain(self.soaking.values().map(Soaking::deadline)).min()
    }

    /// When something is to be asked, written or planned though nothing happens.
    pub fn next_wake(&self, context: Context<'_>) -> Option<Duration> {
        let view = context.view;
        let now = view.now.elapsed;
        let plans = view.lifecycle.started && !view.lifecycle.stopping;
        let writes = view.lifecycle.leader && view.policy.mode == Mode::Enforce;
        let requested = self.schedule.requested_for(context.verdicts.candidates().len()).map(|at| at.max(now));
        let unjudged = context.verdicts.has_affected().then_some(now).filter(|_| view.lifecycle.started);
        let plan = [self.schedule.next(), requested].into_iter().flatten().min().filter(|_| plans);
        // The plan waits for what is not judged yet.
        let plan = plan.filter(|_| unjudged.is_none());
        let write = self.state.next_write().filter(|_| writes);
        [plan, unjudged, write, self.next_probe(view), self.next_question(view)].into_iter().flatten().min()
    }

    /// Entries of every map: what must not grow with what is gone.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 5] {
        [self.soaking.len(), self.running.len(), self.ledger.len(), self.pending_writes.len(), self.concerned.len()]
    }
}
