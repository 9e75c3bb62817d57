//! The one function that everything goes through: an input and the time in, effects out.

use std::time::Duration;

use super::{
    config::{Mode, Policy, Triggers},
    injection::{InjectionTracker, KeptRenderings, Lifecycle, ScopeChanges, View},
    inventory::{Changes, Index, revisions},
    io::{Effect, Input, Notice, Outbox, RenderOutcome, WatchSource},
    model::{Name, WorkloadKey, time::Now},
    render::{Answered, Asked, Priority, Renders, Wish},
    report::{Report, Reports, Sources},
    rollout::{ConfirmationAnswer, Context, RolloutEvent, Rollouts},
    verdict::{Judgement, Standing, Verdicts},
};

/// A wish whose time is past is looked at again after this long: whatever holds it up, asking without end is no help.
const BREATH: Duration = Duration::from_millis(50);

/// What every part may look at: it borrows only what no part changes while it looks.
macro_rules! view {
    ($core:expr, $now:expr) => {
        View {
            policy: &$core.policy,
            index: &$core.index,
            injection: &$core.injection,
            lifecycle: $core.lifecycle,
            now: $now,
        }
    };
}

/// The whole state of the detector. One task owns it.
#[derive(Debug)]
pub struct Core {
    policy: Policy,
    lifecycle: Lifecycle,
    index: Index,
    injection: InjectionTracker,
    renders: Renders,
    verdicts: Verdicts,
    rollouts: Rollouts,
    reports: Reports,
    outbox: Outbox,
    /// When the core is to be woken, as it asked for last.
    wake: Option<Duration>,
}

/// What one input brought, taken apart.
#[derive(Debug, Default)]
struct Arrived {
    changes: Changes,
    answered: Option<Answered>,
}

impl Core {
    /// A core that waits for these watches.
    pub fn new(mut policy: Policy, sources: impl IntoIterator<Item = WatchSource>, seed: u64, now: Now) -> Self {
        let mut index = Index::expecting(sources);
        index.set_triggers(Triggers::named(policy.triggers.clone()));
        if !policy.what_if.is_nothing() {
            // Nothing is as the renderings suppose, so nothing may be done about what they find.
            policy.mode = Mode::Report;
            index.suppose(policy.what_if.clone());
        }
        Self {
            lifecycle: Lifecycle::default(),
            index,
            injection: InjectionTracker::default(),
            renders: Renders::new(&policy, now),
            verdicts: Verdicts::new(seed),
            rollouts: Rollouts::default(),
            reports: Reports::default(),
            outbox: Outbox::default(),
            wake: None,
            policy,
        }
    }

    /// Takes one input in and returns what is to be done. Effects are to be carried out in their order.
    #[must_use = "effects that nobody carries out leave the core waiting for their replies"]
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Effect> {
        let arrived = self.receive(input, now);
        let mut scopes = self.injection.follow(&arrived.changes, &self.index, &self.verdicts, now, &mut self.outbox);
        self.mark_affected(&arrived.changes, &mut scopes, now);
        self.start_if_synced(now);
        let answer = arrived.answered.and_then(|answered| self.take_answer(answered, now));
        self.verdicts.mark_due(self.policy.resync, now);
        self.ask_samples(now);
        self.judge(now);
        if let Some(answer) = answer {
            self.follow_up(now, |rollouts, context, out| rollouts.take_answer(&answer, context, out));
        }
        self.follow_up(now, Rollouts::advance);
        // A rollout that ended may have changed what is known of its workload.
        self.judge(now);
        self.follow_up(now, Rollouts::plan);
        self.rollouts.ask(view!(self, now), &mut self.outbox);
        self.send_renderings(now);
        self.rollouts.persist(view!(self, now), &mut self.outbox);
        self.set_alarm(now);
        self.refresh_reports(now);
        self.take_effects()
    }

    // What came in ---------------------------------------------------------------------------------------------------

    /// Gives an input to the part that it is for.
    fn receive(&mut self, input: Input, now: Now) -> Arrived {
        let mut arrived = Arrived::default();
        match input {
            Input::Watch { source, event } => arrived.changes = self.index.take(&source, event, &mut self.outbox),
            Input::Rendered(reply) => {
                arrived.answered = self.renders.take(*reply, &self.policy, now, &mut self.outbox);
                if let Some(answered) = &arrived.answered
                    && let Some(read) = &answered.confirmation
                {
                    self.rollouts.take_history(&answered.key, read);
                    arrived.changes.list.extend(self.index.take_read(read.workload.clone()));
                }
            }
            Input::Patched(reply) => {
                self.follow_up(now, |rollouts, context, out| rollouts.take_patched(reply, context, out));
            }
            Input::Evicted(reply) => {
                self.follow_up(now, |rollouts, context, out| rollouts.take_evicted(reply, context, out));
            }
            Input::Leadership(leader) => {
                let led = std::mem::replace(&mut self.lifecycle.leader, leader);
                self.follow_up(now, |rollouts, context, out| rollouts.on_leadership_change(led, context, out));
            }
            Input::State(read) => {
                self.follow_up(now, |rollouts, context, _| rollouts.take_state(read, context.view));
            }
            Input::Guard(refused) => {
                self.follow_up(now, |rollouts, context, out| rollouts.take_guard(refused, context, out));
            }
            Input::Alerts(reply) => {
                let view = view!(self, now);
                self.rollouts.take_alerts(reply, view);
            }
            Input::Policy(policy) => self.reload(*policy, now),
            Input::Timer => {}
            Input::Shutdown => {
                self.lifecycle.stopping = true;
                let rollouts = self.rollouts.stop(&mut self.outbox);
                self.outbox.notify(Notice::Stopping { rollouts });
            }
        }
        arrived
    }

    /// From here on the configuration is another.
    fn reload(&mut self, policy: Policy, now: Now) {
        self.renders.reload(&policy, now);
        self.rollouts.reload(&self.policy, &policy);
        self.policy = policy;
        self.verdicts.mark_all(&self.index);
    }

    fn start_if_synced(&mut self, now: Now) {
        if self.lifecycle.started || !self.index.synced() {
            return;
        }
        self.lifecycle.started = true;
        self.injection.seed_recent_changes(&self.index, self.policy.settle, now);
        self.verdicts.mark_all(&self.index);
        self.follow_up(now, Rollouts::on_start);
    }

    fn mark_affected(&mut self, changes: &Changes, scopes: &mut ScopeChanges, now: Now) {
        let replaced = self.verdicts.mark_affected(changes, scopes, &self.index, &mut self.outbox);
        for key in replaced {
            self.leave(&key);
        }
        for scope in &scopes.gone {
            self.renders.forget_scope(scope);
        }
        let view = view!(self, now);
        let context = Context { view, verdicts: &self.verdicts, renders: &self.renders };
        self.rollouts.follow(changes, scopes, context);
    }

    /// Nothing that is remembered of a workload means anything any more. The verdict on it was the first to go.
    fn leave(&mut self, key: &WorkloadKey) {
        self.renders.forget(key);
        self.rollouts.leave(key);
    }

    // Renderings and verdicts ----------------------------------------------------------------------------------------

    /// Takes an answer in; returns what a rollout may wait for.
    fn take_answer(&mut self, mut answered: Answered, now: Now) -> Option<ConfirmationAnswer> {
        self.verdicts.case(&answered.key)?;
        let holds = self.still_holds(&answered.key, &answered.asked);
        let answer = ConfirmationAnswer {
            key: answered.key.clone(),
            confirm: answered.asked.confirm,
            holds,
            read: answered.confirmation.is_some(),
        };
        if let RenderOutcome::Rendered(rendering) = &mut answered.outcome {
            self.index.share(rendering);
        }
        let view = view!(self, now);
        if let Some(compared) = self.verdicts.take(answered, holds, view) {
            let kept = (&self.index, &self.verdicts as &dyn KeptRenderings);
            let mut scopes = self.injection.compared(&compared, kept, now, &mut self.outbox);
            self.verdicts.follow_scopes(&mut scopes);
            self.rollouts.follow_renderings(&scopes.rendered, compared.since, view!(self, now));
        }
        Some(answer)
    }

    /// Whether what was asked is still the question: same revision, nothing moved since (rule R9).
    fn still_holds(&self, key: &WorkloadKey, asked: &Asked) -> bool {
        let Some(workload) = self.index.workload(key) else { return false };
        revisions(workload, &self.index).iter().any(|revision| revision.name == asked.revision)
            && self.injection.versions_of(workload, &self.index) == asked.versions
    }

    /// Asks for the samples that would show a change which takes effect late.
    fn ask_samples(&mut self, now: Now) {
        for (scope, most) in self.injection.take_due_samples(now) {
            for key in self.verdicts.samples(&scope, most, view!(self, now), &self.renders) {
                self.renders.wish(&key, Wish::Render(now.elapsed, Priority::Moved), None, now);
            }
        }
    }

    /// Judges what is affected, and hands the verdicts on.
    fn judge(&mut self, now: Now) {
        let view = view!(self, now);
        let judgements = self.verdicts.judge(view, &self.renders, self.rollouts.locks(), &mut self.outbox);
        for Judgement { key, standing, wish, revision, .. } in &judgements {
            if *standing == Standing::Left {
                self.renders.forget(key);
                continue;
            }
            self.renders.wish(key, *wish, revision.as_ref(), now);
        }
        for key in self.verdicts.take_asked_again(self.policy.resync, now.elapsed) {
            self.renders.wish(&key, Wish::Render(now.elapsed, Priority::Moved), None, now);
        }
        self.follow_up(now, |rollouts, context, out| rollouts.take_judgements(&judgements, context, out));
    }

    fn send_renderings(&mut self, now: Now) {
        if !self.renders_now() {
            return;
        }
        let view = view!(self, now);
        let (rollouts, verdicts) = (&self.rollouts, &self.verdicts);
        let last = |key: &WorkloadKey, revision: &Name| verdicts.rendered_for(key, revision);
        let unsent = self.renders.send(view, &|key| rollouts.need(key), &last, &mut self.outbox);
        self.verdicts.throttled(&unsent.throttled, view, &mut self.outbox);
        self.follow_up(now, |rollouts, context, out| {
            rollouts.take_nothing_to_render(&unsent.nothing_to_render, context, out)
        });
    }

    /// Whether renderings are asked for. Whoever stops a rollout that a person watches still sees whether the new Pods are
    /// as they should be; what the daemon leaves, the next replica looks at.
    fn renders_now(&self) -> bool {
        let Lifecycle { leader, started, stopping } = self.lifecycle;
        leader && started && (!stopping || (self.policy.one_shot && self.rollouts.is_rolling()))
    }

    // Rollouts -------------------------------------------------------------------------------------------------------

    /// Lets the rollouts take something in, and tells the other parts what came of it.
    fn follow_up(&mut self, now: Now, take: impl FnOnce(&mut Rollouts, Context<'_>, &mut Outbox) -> Vec<RolloutEvent>) {
        let view = view!(self, now);
        let context = Context { view, verdicts: &self.verdicts, renders: &self.renders };
        for event in take(&mut self.rollouts, context, &mut self.outbox) {
            match event {
                RolloutEvent::Ended(report) => self.reports.rollout_ended(report),
                RolloutEvent::Recheck(key) => self.verdicts.mark([key]),
                RolloutEvent::Confirm(key, at) => self.renders.confirm(&key, at, now),
                RolloutEvent::Contradicted(contradiction) => self.verdicts.learn(&contradiction, now),
            }
        }
    }

    // The end of a step ----------------------------------------------------------------------------------------------

    fn set_alarm(&mut self, now: Now) {
        let render = if self.renders_now() { self.renders.next_send(now) } else { None };
        let view = view!(self, now);
        let context = Context { view, verdicts: &self.verdicts, renders: &self.renders };
        let late = self.rollouts.next_deadline(&self.policy);
        // What this step left undone is not done by asking for it again at once.
        let ahead = |at: Duration| if at > now.elapsed { at } else { now.elapsed + BREATH };
        let due = render.into_iter().chain(late).map(ahead).min();
        let next = [due, self.verdicts.next_recheck(), self.injection.next_sample(), self.rollouts.next_wake(context)];
        let wake = next.into_iter().flatten().min();
        // An alarm whose time has come has gone off; for the same moment it must be set again.
        let set = self.wake.filter(|at| *at > now.elapsed);
        if let Some(at) = wake
            && wake != set
        {
            self.outbox.push(Effect::WakeAt(at));
        }
        self.wake = wake.filter(|at| *at > now.elapsed);
    }

    fn refresh_reports(&mut self, now: Now) {
        let (view, verdicts) = (view!(self, now), &self.verdicts);
        let sources = Sources { view, verdicts, renders: &self.renders, rollouts: &self.rollouts };
        self.reports.refresh(sources, &mut self.outbox);
    }

    fn take_effects(&mut self) -> Vec<Effect> {
        // Events are written if they are wanted. A follower knows too little to write any.
        let writes = self.policy.events && self.lifecycle.leader;
        let index = &self.index;
        self.outbox.take_effects(|key| index.workload(key).filter(|_| writes).map(|w| w.uid.clone()))
    }

    // What is known --------------------------------------------------------------------------------------------------

    /// Everything that is known now.
    pub fn report(&self, now: Now) -> Report {
        self.reports.report(self.sources(now))
    }

    fn sources(&self, now: Now) -> Sources<'_> {
        let Self { verdicts, renders, rollouts, .. } = self;
        let view = view!(self, now);
        Sources { view, verdicts, renders, rollouts }
    }

    /// Whether every watch has been synced once.
    pub fn started(&self) -> bool {
        self.lifecycle.started
    }

    /// Whether no rendering is asked for that was not answered.
    pub fn awaits_no_rendering(&self) -> bool {
        self.renders.is_idle()
    }

    /// Whether nothing of ours is under way any more that a shutdown should wait for.
    pub fn idle(&self) -> bool {
        self.rollouts.is_idle()
    }

    /// Rollouts are under way.
    pub fn rolling(&self) -> bool {
        self.rollouts.is_rolling()
    }

    /// No rollout is under way, and waiting alone would start none, or has failed to often enough.
    pub fn exhausted(&self) -> bool {
        self.rollouts.is_exhausted(&self.verdicts)
    }

    /// The fingerprint of what a rollout of this workload would bring; empty where that is not known.
    pub fn target(&self, key: &WorkloadKey) -> Option<&str> {
        self.verdicts.judged(key).map(|judged| &*judged.target)
    }
}

#[cfg(test)]
mod tests;
