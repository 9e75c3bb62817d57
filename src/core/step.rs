//! The one function that everything goes through: an input and the time in, effects out.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use super::{
    budget::TokenBucket,
    guard::Guard,
    index::{BACKING_KINDS, Change, Index},
    io::{Effect, Input, Notice, WatchEvent, WatchSource},
    model::{ConfigKind, ObjectKey, WorkloadKey},
    pace::Pace,
    policy::{Mode, Policy},
    queue::RenderQueue,
    report::{GenerationReport, RolloutReport},
    rollout::Rollout,
    scope::{self, Generations, Scope, Vector},
    shape::Name,
    state::StateRecord,
    status,
    time::Now,
    truth::Truth,
    unseen::Unseen,
    work::Work,
};

/// Lists that grow with time are cut to this many entries.
pub(super) const KEPT: usize = 100;

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
    pub(super) work: BTreeMap<WorkloadKey, Work>,
    pub(super) queue: RenderQueue,
    /// The render budget.
    pub(super) renders: TokenBucket,
    /// The rollout budget; `None`: no limit.
    pub(super) starts: Option<TokenBucket>,
    pub(super) rollouts: BTreeMap<WorkloadKey, Rollout>,
    pub(super) finished: VecDeque<RolloutReport>,
    /// Whom a ticket was given to.
    pub(super) tickets: HashMap<u64, WorkloadKey>,
    pub(super) last_ticket: u64,
    /// Under what a rendering was asked for, and the shortest time-out of its webhooks.
    pub(super) asked: HashMap<u64, (Vector, Duration)>,
    /// How fast each injector may be asked.
    pub(super) pace: Pace,
    /// Renderings wait for others to come back.
    pub(super) crowded: bool,
    /// Renderings asked for since the start.
    pub(super) rendered: u64,
    /// The state ConfigMap as we want it; `None`: missing or unreadable.
    pub(super) record: Option<StateRecord>,
    /// The state ConfigMap as it is.
    pub(super) written: Option<StateRecord>,
    /// A write of it is under way.
    pub(super) writing: bool,
    pub(super) leader: bool,
    pub(super) stopping: bool,
    /// Whether the API server holds us to dry runs.
    pub(super) guard: Guard,
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
    /// When the plan is to be made anew even if nothing happens.
    pub(super) next_plan: Option<Duration>,
    /// Workloads to look at again then.
    pub(super) looks: BTreeSet<(Duration, WorkloadKey)>,
    /// Namespaces that back injectors.
    pub(super) backends: BTreeSet<Name>,
    /// Which revisions answer for each injector.
    pub(super) serving: BTreeMap<Scope, BTreeSet<(ObjectKey, Name)>>,
    /// Names of containers that admission was seen to inject.
    pub(super) injected: BTreeSet<Name>,
    /// What reality said about renderings.
    pub(super) truth: Truth,
    /// Moves that nobody announces.
    pub(super) unseen: Unseen,
    pub(super) moves: VecDeque<GenerationReport>,
    wake: Option<Duration>,
    pub(super) effects: Vec<Effect>,
}

impl Core {
    /// A core that waits for these watches.
    pub fn new(policy: Policy, sources: impl IntoIterator<Item = WatchSource>, seed: u64, now: Now) -> Self {
        let per_second = |per_hour: u32| f64::from(per_hour) / 3600.0;
        let burst = u32::try_from(policy.parallel_rollouts).unwrap_or(u32::MAX).max(1);
        Self {
            renders: TokenBucket::full(policy.renders_per_second, policy.render_burst.max(1), now.elapsed),
            starts: policy.max_rollouts_per_hour.map(|n| TokenBucket::empty(per_second(n), burst, now.elapsed)),
            policy,
            seed,
            index: Index::expecting(sources),
            generations: Generations::default(),
            work: BTreeMap::new(),
            queue: RenderQueue::default(),
            rollouts: BTreeMap::new(),
            finished: VecDeque::new(),
            tickets: HashMap::new(),
            last_ticket: 0,
            asked: HashMap::new(),
            pace: Pace::default(),
            crowded: false,
            rendered: 0,
            record: None,
            written: None,
            writing: false,
            leader: false,
            stopping: false,
            guard: Guard::default(),
            started: false,
            first_sweep: None,
            dirty: BTreeSet::new(),
            candidates: BTreeSet::new(),
            replan: false,
            next_plan: None,
            looks: BTreeSet::new(),
            backends: BTreeSet::new(),
            serving: BTreeMap::new(),
            injected: BTreeSet::new(),
            truth: Truth::default(),
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
            Input::Leadership(leader) => {
                self.leader = leader;
                self.replan = true;
                self.adopt(now);
            }
            Input::State(record) => self.state_read(record),
            Input::Guard(refused) => self.guard_answered(refused, now),
            Input::Timer => {}
            Input::Shutdown => {
                self.stopping = true;
                self.drop_unpatched();
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
        self.dispatch(now);
        self.write_state();
        self.set_alarm(now);
        std::mem::take(&mut self.effects)
    }

    /// Whether every watch has been synced once.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Whether nothing of ours is under way any more that a shutdown should wait for.
    pub fn idle(&self) -> bool {
        !self.rollouts.values().any(Rollout::mid_patch) && !self.writing
    }

    pub(super) fn tell(&mut self, notice: Notice) {
        self.effects.push(Effect::Tell(notice));
    }

    pub(super) fn ticket(&mut self, key: &WorkloadKey) -> u64 {
        self.last_ticket += 1;
        self.tickets.insert(self.last_ticket, key.clone());
        self.last_ticket
    }

    fn watched(&mut self, source: &WatchSource, event: WatchEvent, now: Now) {
        if let WatchEvent::Unavailable { message, .. } = &event
            && !self.index.unavailable().any(|(s, _)| s == source)
        {
            self.tell(Notice::WatchUnavailable { source: source.clone(), message: message.clone() });
        }
        let relisted = matches!(event, WatchEvent::ResetDone | WatchEvent::Unavailable { .. });
        // What a first list brings is how things are, not a move.
        let known = self.index.source_synced(source);
        for change in self.index.apply(source, event) {
            if known {
                self.advance(&change, now);
            }
            if let Change::Backing { namespace } = &change {
                self.see_who_serves(namespace, now);
            }
            self.mark(&change);
        }
        if relisted {
            self.update_backends();
            if !known {
                self.dirty.extend(self.index.workloads().map(|(key, _)| key.clone()));
            }
        }
    }

    /// Moves the scopes that a change moves.
    fn advance(&mut self, change: &Change, now: Now) {
        let by = match change {
            Change::Config { old, new } => new.as_ref().or(old.as_ref()).map(|config| config.kind),
            _ => None,
        };
        for (scope, cause) in Generations::moves(change, &self.index) {
            self.move_scope(&scope, cause, by, now);
        }
    }

    /// Other Pods that answer for an injector are a move, even where no template changed: a second Deployment took over.
    fn see_who_serves(&mut self, namespace: &Name, now: Now) {
        let serving = |i| Some((scope::scope_of(i), scope::serving(i, &self.index).filter(|s| !s.is_empty())?));
        let all: Vec<_> = scope::backed_from(namespace, &self.index).filter_map(serving).collect();
        for (scope, serving) in all {
            let before = self.serving.insert(scope.clone(), serving.clone());
            if before.is_some_and(|before| before != serving) {
                self.move_scope(&scope, format!("other Pods answer for it, in namespace {namespace}"), None, now);
            }
        }
    }

    /// Moves one scope on; those that depend on it look again.
    pub(super) fn move_scope(&mut self, scope: &Scope, cause: String, by: Option<ConfigKind>, now: Now) {
        self.generations.advance(scope, cause.clone(), now);
        self.unseen.moved(scope, by, now.elapsed);
        let on_it = |work: &Work| work.set.as_ref().is_some_and(|set| set.vector.contains_key(scope));
        let touched: Vec<_> = self
            .index
            .workloads()
            .filter(|(key, w)| {
                self.work.get(*key).is_some_and(on_it) || self.generations.vector(w, &self.index).contains_key(scope)
            })
            .map(|(key, _)| key.clone())
            .collect();
        self.moves.push_front(GenerationReport {
            scope: scope.to_string(),
            generation: self.generations.version(scope),
            cause: cause.clone(),
            at: now.wall,
        });
        self.moves.truncate(KEPT);
        self.tell(Notice::GenerationMoved { scope: scope.to_string(), cause, workloads: touched.len() });
        self.dirty.extend(touched);
    }

    /// Marks the workloads whose verdict may change by a change.
    fn mark(&mut self, change: &Change) {
        match change {
            Change::Pod { old, new } => {
                let owners = [old, new].into_iter().flatten().filter_map(|pod| self.index.workload_of(pod)).cloned();
                self.dirty.extend(owners);
            }
            Change::Workload { old, key } => {
                self.dirty.insert(key.clone());
                let new = self.index.workload(key);
                let was = old.as_deref().map(status::exchanging);
                if self.backends.contains(&key.namespace) && was != new.map(status::exchanging) {
                    self.mark_backed_from(&key.namespace);
                }
            }
            Change::ReplicaSet { owner } => {
                let owner = owner.as_ref().and_then(|uid| self.index.workload_with_uid(uid)).cloned();
                self.dirty.extend(owner);
            }
            Change::Namespace { name, .. } => {
                self.dirty.extend(self.index.workloads_in(name).map(|w| w.key.clone()));
            }
            Change::Injector { .. } => {
                self.update_backends();
                self.dirty.extend(self.index.workloads().map(|(key, _)| key.clone()));
            }
            // The plan looks at Nodes; that is all that the others do beside moving scopes.
            Change::Node { .. } => self.replan = true,
            Change::Backing { namespace } => self.mark_backed_from(namespace),
            Change::Config { .. } => {}
        }
    }

    /// What backs an injector from this namespace began or ended a rollout, or changed its endpoints: those who wait for
    /// it look again.
    fn mark_backed_from(&mut self, namespace: &Name) {
        let scopes: BTreeSet<Scope> = scope::backed_from(namespace, &self.index).map(scope::scope_of).collect();
        if scopes.is_empty() {
            return;
        }
        let concerned = self
            .index
            .workloads()
            .filter(|(_, w)| scope::injectors_of(w, &self.index).any(|i| scopes.contains(&scope::scope_of(i))));
        self.dirty.extend(concerned.map(|(key, _)| key.clone()));
    }

    /// Asks for watches in the namespaces that back injectors.
    fn update_backends(&mut self) {
        let services = self.index.injectors().flat_map(scope::services_of);
        let namespaces: BTreeSet<_> = services.map(|service| service.namespace.clone()).collect();
        if namespaces == self.backends {
            return;
        }
        self.index.retain_backends(&namespaces);
        self.index.expect(
            namespaces.iter().flat_map(|namespace| {
                BACKING_KINDS.map(|kind| WatchSource { kind, namespace: Some(namespace.clone()) })
            }),
        );
        self.backends = namespaces;
        self.effects.push(Effect::WatchBackends(self.backends.clone()));
    }

    fn start_if_synced(&mut self, now: Now) {
        if self.started || !self.index.synced() {
            return;
        }
        self.started = true;
        self.first_sweep = Some(now.elapsed + SWEEP_PATIENCE);
        self.replan = true;
        self.dirty.extend(self.index.workloads().map(|(key, _)| key.clone()));
        self.adopt(now);
    }

    fn look_due(&mut self, now: Now) {
        while self.looks.first().is_some_and(|(at, _)| *at <= now.elapsed) {
            let Some((_, key)) = self.looks.pop_first() else { return };
            self.dirty.insert(key);
        }
    }

    // State ConfigMap ------------------------------------------------------------------------------------------------

    /// Takes in the state ConfigMap as it is now, keeping what we have changed and not written yet.
    fn state_read(&mut self, read: Option<StateRecord>) {
        self.writing = false;
        self.replan = true;
        let base = self.written.take();
        self.written.clone_from(&read);
        let Some(read) = read else {
            self.record = None;
            return;
        };
        let Some(mine) = self.record.take() else {
            self.record = Some(read);
            return;
        };
        let base = base.unwrap_or_default();
        let mut canaries = read.canaries.clone();
        canaries.extend(mine.canaries.into_iter().filter(|(change, c)| base.canaries.get(change) != Some(c)));
        self.record = Some(StateRecord {
            resource_version: read.resource_version,
            paused: if mine.paused == base.paused { read.paused } else { mine.paused },
            breaker: if mine.breaker == base.breaker { read.breaker } else { mine.breaker },
            recent: if mine.recent == base.recent { read.recent } else { mine.recent },
            canaries,
        });
    }

    /// The record holds something that the ConfigMap does not, yet.
    pub(super) fn unwritten(&self) -> bool {
        let content = |r: &StateRecord| StateRecord { resource_version: None, ..r.clone() };
        self.written.is_some() && self.record.as_ref().map(content) != self.written.as_ref().map(content)
    }

    fn write_state(&mut self) {
        if self.writing || !self.leader || self.policy.mode < Mode::Enforce || !self.unwritten() {
            return;
        }
        if let Some(record) = &self.record {
            self.writing = true;
            self.effects.push(Effect::WriteState(record.clone()));
        }
    }

    /// Changes the record. A person at a terminal works without the ConfigMap: then it lives as long as the process.
    pub(super) fn note(&mut self, change: impl FnOnce(&mut StateRecord)) {
        if self.record.is_some() || self.policy.one_shot {
            change(self.record.get_or_insert_default());
        }
    }

    // Time -----------------------------------------------------------------------------------------------------------

    fn set_alarm(&mut self, now: Now) {
        let render = if self.leader && self.started && !self.crowded && !self.stopping {
            self.queue.next_due(now.elapsed).map(|due| match self.renders.ready(now.elapsed) {
                Ok(()) => due,
                Err(token) => due.max(token),
            })
        } else {
            None
        };
        let late = self.rollouts.values().filter_map(|r| r.deadline(&self.policy));
        let next =
            [render, self.looks.first().map(|(at, _)| *at), self.unseen.next(), self.next_plan, self.next_probe()];
        let wake = next.into_iter().flatten().chain(late).min();
        if let Some(at) = wake
            && wake != self.wake
        {
            self.effects.push(Effect::WakeAt(at));
        }
        self.wake = wake.filter(|at| *at > now.elapsed);
    }
}
