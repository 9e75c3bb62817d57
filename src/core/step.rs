//! The one function that everything goes through: an input and the time in, effects out.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use crate::core::injection::GenerationReport;
use crate::core::injection::backends::{self, Serving};
use crate::core::{
    compare::Targets,
    config::{Mode, Policy, Triggers},
    injection::{
        scope::{self, Generations, Scope},
        unannounced_changes::Unseen,
    },
    inventory::{Change, Index},
    io::{Effect, Input, Notice, WatchEvent, WatchSource},
    model::{Name, WorkloadKey, rollout_status, time::Now},
    render::{
        budget::TokenBucket,
        queue::RenderQueue,
        render_throttle::{Asked, Pace},
    },
    report::publish::Shown,
    rollout::{Rollout, alerts::Alerts, guard::Guard, report::RolloutReport, state_store::Record},
    verdict::{admission_evidence::Truth, case::Work, removal_probe::Called},
};

/// Lists that grow with time are cut to this many entries.
pub(super) const KEPT: usize = 100;

/// A wish whose time is past is looked at again after this long: whatever holds it up, asking without end is no help.
const BREATH: Duration = Duration::from_millis(50);

/// The first sweep over a large cluster takes long, under the render budget; what was found to drift by then does not
/// wait for the rest.
const SWEEP_PATIENCE: Duration = Duration::from_mins(5);

/// The whole state of the detector. One task owns it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the process and its surroundings")]
pub struct Core {
    pub(super) policy: Policy,
    /// Spreads the periodic looks; any number.
    pub(super) seed: u64,
    pub(super) index: Index,
    pub(super) generations: Generations,
    /// Boxed, because half of a tree's places are empty.
    pub(super) work: BTreeMap<WorkloadKey, Box<Work>>,
    pub(super) queue: RenderQueue,
    /// Workloads in the queue whose templates were named to be read together with another's.
    pub(super) read_ahead: BTreeSet<WorkloadKey>,
    /// The render budget.
    pub(super) renders: TokenBucket,
    /// The rollout budget; `None`: no limit.
    pub(super) starts: Option<TokenBucket>,
    pub(super) rollouts: BTreeMap<WorkloadKey, Rollout>,
    pub(super) finished: VecDeque<RolloutReport>,
    /// Renderings whose answer is outstanding: for whom.
    pub(super) tickets: HashMap<u64, WorkloadKey>,
    pub(super) last_ticket: u64,
    /// Patches and evictions whose answer is outstanding, also those of rollouts that were dropped meanwhile.
    pub(super) writes: BTreeMap<u64, WorkloadKey>,
    /// The renderings that are outstanding.
    pub(super) asked: HashMap<u64, Asked>,
    /// How fast each injector may be asked.
    pub(super) pace: Pace,
    /// Renderings wait for others to come back.
    pub(super) crowded: bool,
    /// Renderings asked for since the start.
    pub(super) rendered: u64,
    /// The state ConfigMap.
    pub(super) record: Record,
    pub(super) leader: bool,
    pub(super) stopping: bool,
    /// Whether the API server holds us to dry runs.
    pub(super) guard: Guard,
    /// Which alerts fire.
    pub(super) alerts: Alerts,
    /// Every watch was synced once: from here on verdicts are made.
    pub(super) started: bool,
    /// Until then no rollout is begun unless every workload has its first verdict; `None`: it is over.
    pub(super) first_sweep: Option<Duration>,
    /// Workloads to look at in this step.
    pub(super) dirty: BTreeSet<WorkloadKey>,
    /// Workloads that differ.
    pub(super) candidates: BTreeSet<WorkloadKey>,
    /// The plan is to be made anew.
    pub(super) replan: bool,
    /// When it was made last.
    pub(super) planned: Option<Duration>,
    /// When the plan is to be made anew even if nothing happens.
    pub(super) next_plan: Option<Duration>,
    /// A workload that has no first verdict, yet.
    pub(super) sweep_waits_for: Option<WorkloadKey>,
    /// What readers see of each workload.
    pub(super) shown: Shown,
    /// Workloads to look at again then.
    pub(super) looks: BTreeSet<(Duration, WorkloadKey)>,
    /// Namespaces that back injectors.
    pub(super) backends: BTreeSet<Name>,
    /// Which revisions answer for each injector, and the version of its scope when they were seen first.
    pub(super) serving: BTreeMap<Scope, (Serving, u64)>,
    /// Names of containers that admission was seen to inject.
    pub(super) injected: BTreeSet<Name>,
    /// What reality said about renderings.
    pub(super) truth: Truth,
    /// Which target fingerprint goes with which sidecars.
    pub(super) targets: Targets,
    /// Who was asked to tell whether a sidecar is still given.
    pub(super) called: Called,
    /// Moves that nobody announces.
    pub(super) unseen: Unseen,
    pub(super) moves: VecDeque<GenerationReport>,
    wake: Option<Duration>,
    pub(super) effects: Vec<Effect>,
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
            renders: TokenBucket::full(policy.renders_per_second, policy.render_burst.max(1), now.elapsed),
            starts: new_starts(&policy, now),
            policy,
            seed,
            index,
            generations: Generations::default(),
            work: BTreeMap::new(),
            queue: RenderQueue::default(),
            read_ahead: BTreeSet::new(),
            rollouts: BTreeMap::new(),
            finished: VecDeque::new(),
            tickets: HashMap::new(),
            last_ticket: 0,
            writes: BTreeMap::new(),
            asked: HashMap::new(),
            pace: Pace::default(),
            crowded: false,
            rendered: 0,
            record: Record::default(),
            leader: false,
            stopping: false,
            guard: Guard::default(),
            alerts: Alerts::default(),
            started: false,
            first_sweep: None,
            dirty: BTreeSet::new(),
            candidates: BTreeSet::new(),
            replan: false,
            planned: None,
            next_plan: None,
            sweep_waits_for: None,
            shown: Shown::default(),
            looks: BTreeSet::new(),
            backends: BTreeSet::new(),
            serving: BTreeMap::new(),
            injected: BTreeSet::new(),
            truth: Truth::default(),
            targets: Targets::default(),
            called: Called::default(),
            unseen: Unseen::default(),
            moves: VecDeque::new(),
            wake: None,
            effects: Vec::new(),
        }
    }

    /// Takes one input in and returns what is to be done. Effects are to be carried out in their order.
    #[must_use = "effects that nobody carries out leave the core waiting for their replies"]
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::Watch { source, event } => self.watched(&source, event, now),
            Input::Rendered(reply) => self.rendered(*reply, now),
            Input::Patched(reply) => self.patched(reply, now),
            Input::Evicted(reply) => self.evicted(reply, now),
            Input::Leadership(leader) => self.lead(leader, now),
            Input::State(record) => self.state_read(record, now),
            Input::Guard(refused) => self.guard_answered(refused, now),
            Input::Alerts(reply) => self.alerts_answered(reply, now),
            Input::Policy(policy) => self.obey(*policy, now),
            Input::Timer => {}
            Input::Shutdown => {
                self.stopping = true;
                self.drop_unpatched();
                self.tell(Notice::Stopping { rollouts: self.rollouts.len() });
            }
        }
        self.start_if_synced(now);
        self.look_due(now);
        self.follow_up(now);
        self.assess_dirty(now);
        self.advance_rollouts(now);
        // A rollout that ended may have changed what is known of its workload.
        self.assess_dirty(now);
        self.plan(now);
        self.probe_guard(now);
        self.ask_for_alerts(now);
        self.dispatch(now);
        self.write_state(now);
        self.set_alarm(now);
        self.refresh();
        std::mem::take(&mut self.effects)
    }

    /// Whether every watch has been synced once.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Whether no rendering is asked for that was not answered.
    pub fn awaits_no_rendering(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Whether nothing of ours is under way any more that a shutdown should wait for.
    pub fn idle(&self) -> bool {
        self.writes.is_empty() && !self.record.writing()
    }

    pub(super) fn tell(&mut self, notice: Notice) {
        self.write_event_of(&notice);
        self.effects.push(Effect::Tell(notice));
    }

    /// A number that no request has had yet.
    pub(super) fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    fn watched(&mut self, source: &WatchSource, event: WatchEvent, now: Now) {
        let was_unavailable = self.index.unavailable().any(|(s, _)| s == source);
        if let WatchEvent::Unavailable { message, .. } = &event
            && !was_unavailable
        {
            self.tell(Notice::WatchUnavailable { source: source.clone(), message: message.clone() });
        }
        let unavailable = matches!(event, WatchEvent::Unavailable { .. });
        let relisted = matches!(event, WatchEvent::ResetDone) || unavailable;
        // What a first list brings is how things are, not a move.
        let known = self.index.source_synced(source);
        for change in self.index.apply(source, event) {
            if known {
                self.advance(&change, now);
            }
            if let Change::Endpoints { namespace } = &change {
                self.see_who_serves(namespace, now);
            }
            self.mark(&change, now);
        }
        if relisted {
            self.update_backends();
            // What nobody could see any more, or can see again, is judged anew.
            if !known || was_unavailable != unavailable {
                self.dirty.extend(self.index.workloads().map(|(key, _)| key.clone()));
                self.replan = true;
            }
        }
    }

    /// Marks the workloads whose verdict may change by a change.
    pub(super) fn mark(&mut self, change: &Change, now: Now) {
        match change {
            Change::Pod { old, new } => {
                let owners = [old, new].into_iter().flatten().filter_map(|pod| self.index.workload_of(pod)).cloned();
                self.dirty.extend(owners);
                let namespace = old.as_ref().or(new.as_ref()).map(|pod| pod.key.namespace.clone());
                if let Some(namespace) = namespace.filter(|namespace| self.backends.contains(namespace)) {
                    let turned = self.note_exchanges(&namespace, now).1;
                    self.replan |= !turned.is_empty();
                    self.mark_concerned(&turned);
                }
            }
            Change::Workload { old, key } => {
                self.dirty.insert(key.clone());
                self.touch(key);
                // Its owner's say may be another, or others may wait for it.
                self.replan |= self.candidates.contains(key) || self.is_canary(key);
                let new = self.index.workload(key);
                let was = old.as_deref().map(rollout_status::exchanging);
                let turned = was != new.map(rollout_status::exchanging);
                let health = old.as_deref().map(rollout_status::healthy) != new.map(rollout_status::healthy);
                self.replan |= health && self.backends.contains(&key.namespace);
                let another = old.as_deref().zip(new).is_some_and(|(old, new)| old.uid != new.uid);
                if self.backends.contains(&key.namespace) && turned {
                    self.mark_backed_from(&key.namespace, now);
                }
                if another {
                    // A new workload under an old name: nothing that is known is about it.
                    self.forget(key);
                }
            }
            Change::ReplicaSet { owner } => {
                let owner = owner.as_ref().and_then(|uid| self.index.workload_with_uid(uid)).cloned();
                self.dirty.extend(owner);
            }
            Change::Namespace { name, .. } => {
                self.dirty.extend(self.index.workloads_in(name).map(|w| w.key.clone()));
                self.replan = true;
                if self.index.namespace(name).is_none() {
                    self.generations.forget_namespace(name);
                }
            }
            Change::Injector { .. } => {
                self.update_backends();
                self.dirty.extend(self.index.workloads().map(|(key, _)| key.clone()));
            }
            // The plan looks at these; moving scopes is all that others do.
            Change::Node { .. } | Change::DisruptionBudget => self.replan = true,
            Change::Endpoints { namespace } => self.mark_backed_from(namespace, now),
            Change::Service { old, new } => {
                let namespace = old.as_ref().or(new.as_ref()).map(|s| s.key.namespace.clone());
                if let Some(namespace) = namespace {
                    self.mark_backed_from(&namespace, now);
                }
            }
            Change::Config { .. } | Change::Trigger { .. } => {}
        }
    }

    /// What backs an injector from this namespace began or ended a rollout, or changed its endpoints: those who wait for
    /// it look again.
    fn mark_backed_from(&mut self, namespace: &Name, now: Now) {
        let scopes = self.note_exchanges(namespace, now).0;
        self.replan = true;
        self.mark_concerned(&scopes);
    }

    /// The scopes that are backed from this namespace, and those of them whose exchange began or ended just now.
    fn note_exchanges(&mut self, namespace: &Name, now: Now) -> (BTreeSet<Scope>, BTreeSet<Scope>) {
        let (mut scopes, mut turned) = (BTreeSet::new(), BTreeSet::new());
        for injector in backends::backed_from(namespace, &self.index) {
            let scope = scope::scope_of(injector);
            if self.generations.exchanges(&scope, backends::exchanging(injector, &self.index).is_some(), now) {
                turned.insert(scope.clone());
            }
            scopes.insert(scope);
        }
        (scopes, turned)
    }

    /// Marks the workloads that these scopes concern.
    fn mark_concerned(&mut self, scopes: &BTreeSet<Scope>) {
        if scopes.is_empty() {
            return;
        }
        let concerned = self
            .index
            .workloads()
            .filter(|(_, w)| scope::injectors_of(w, &self.index).any(|i| scopes.contains(&scope::scope_of(i))));
        self.dirty.extend(concerned.map(|(key, _)| key.clone()));
    }

    /// Asks for watches in the namespaces that back injectors, and of the params that policies read.
    fn update_backends(&mut self) {
        if self.index.expect_params(crate::core::inventory::params::params(&self.index).into_keys().collect::<Vec<_>>())
        {
            self.effects.push(Effect::WatchTriggers(self.index.triggers().all().to_vec()));
        }
        let services = self.index.injectors().flat_map(backends::services_of);
        let namespaces: BTreeSet<_> = services.map(|service| service.namespace.clone()).collect();
        if namespaces == self.backends {
            return;
        }
        self.index.set_backends(&namespaces);
        self.backends = namespaces;
        self.effects.push(Effect::WatchBackends(self.backends.clone()));
    }

    /// We lead from now on, or no longer.
    fn lead(&mut self, leader: bool, now: Now) {
        if self.leader && !leader {
            // Another replica carries on, also with what is under way; only its word counts now.
            for key in std::mem::take(&mut self.rollouts).keys() {
                self.touch(key);
            }
            self.record.drop_changes();
        }
        if leader && !self.leader {
            // What this hour's budget was spent on before is not known here.
            self.starts = new_starts(&self.policy, now);
            // A follower asks nothing, so the first sweep begins now.
            self.first_sweep = self.started.then(|| now.elapsed + SWEEP_PATIENCE);
        }
        self.leader = leader;
        self.replan = true;
        self.adopt(now);
    }

    fn start_if_synced(&mut self, now: Now) {
        if self.started || !self.index.synced() {
            return;
        }
        self.started = true;
        self.first_sweep = Some(now.elapsed + SWEEP_PATIENCE);
        self.heed_what_just_changed(now);
        self.replan = true;
        self.dirty.extend(self.index.workloads().map(|(key, _)| key.clone()));
        self.adopt(now);
    }

    fn look_due(&mut self, now: Now) {
        while self.looks.first().is_some_and(|(at, _)| *at <= now.elapsed) {
            let Some((at, key)) = self.looks.pop_first() else { return };
            if let Some(work) = self.work.get_mut(&key) {
                work.look.take_if(|look| *look == at);
            }
            self.dirty.insert(key);
        }
    }

    // Time -----------------------------------------------------------------------------------------------------------

    fn set_alarm(&mut self, now: Now) {
        let render = if self.renders_now() && !self.crowded {
            self.queue
                .next_due(now.elapsed)
                .map(|due| match self.renders.ready(now.elapsed) {
                    Ok(()) => due,
                    Err(token) => due.max(token),
                })
                .map(|due| self.pace.resumes(now.elapsed).map_or(due, |until| due.max(until)))
        } else {
            None
        };
        let late = self.rollouts.values().filter_map(|r| r.deadline(&self.policy));
        let plans = self.started && !self.stopping;
        let replan = self.replan_at().map(|at| at.max(now.elapsed));
        let unfinished = (!self.dirty.is_empty()).then_some(now.elapsed).into_iter().chain(replan).min();
        let unfinished = unfinished.filter(|_| plans);
        let plan = self.next_plan.filter(|_| plans);
        let look = self.looks.first().map(|(at, _)| *at);
        // What this step left undone is not done by asking for it again at once.
        let ahead = |at: Duration| if at > now.elapsed { at } else { now.elapsed + BREATH };
        let due = render.into_iter().chain(late).map(ahead).min();
        let next =
            [due, look, self.unseen.next(), plan, self.next_probe(), self.next_alerts(), self.next_write(), unfinished];
        let wake = next.into_iter().flatten().min();
        // An alarm whose time has come has gone off; for the same moment it must be set again.
        let set = self.wake.filter(|at| *at > now.elapsed);
        if let Some(at) = wake
            && wake != set
        {
            self.effects.push(Effect::WakeAt(at));
        }
        self.wake = wake.filter(|at| *at > now.elapsed);
    }
}

/// The hourly budget; it holds nothing at first, so that neither a crash nor a new leader fills it.
pub(super) fn new_starts(policy: &Policy, now: Now) -> Option<TokenBucket> {
    let burst = u32::try_from(policy.parallel_rollouts).unwrap_or(u32::MAX).max(1);
    policy.max_rollouts_per_hour.map(|n| TokenBucket::empty(f64::from(n) / 3600.0, burst, now.elapsed))
}

#[cfg(test)]
mod tests;
