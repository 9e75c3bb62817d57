//! What surrounds the core, on paper: a cluster that answers every effect, and a clock that jumps.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use sidecar_drift::core::{
    config::Policy,
    io::{
        Confirmation, Effect, Input, PatchOutcome, PatchReply, PatchRequest, RenderOutcome, RenderReply, RenderRequest,
        StateRecord, WatchEvent, WatchSource,
    },
    model::{Object, WorkloadKey, time::Now},
    step::Core,
};

use crate::fleet::{self, Deployment, applied, deleted};

/// A dry run is answered after this long.
const ANSWER: Duration = Duration::from_millis(50);

/// When the process began, by the wall clock.
const BEGINNING: i64 = 1_800_000_000;

/// The core and its cluster.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) core: Core,
    pub(crate) now: Duration,
    wake: Option<Duration>,
    /// Dry runs that are not answered yet, and when they are.
    renders: VecDeque<(Duration, RenderRequest)>,
    pub(crate) cluster: BTreeMap<WorkloadKey, Deployment>,
    /// The version of the sidecar that is injected now.
    pub(crate) proxy: u32,
    /// The processor time of the last step, and of the longest with what it was for.
    pub(crate) last: Duration,
    pub(crate) longest: (Duration, String),
    pub(crate) steps: usize,
    pub(crate) answered: usize,
    pub(crate) patched: usize,
}

impl Engine {
    /// A core that leads and has heard of the injector and of these Deployments, and nothing else.
    pub(crate) fn start(policy: Policy, namespaces: &[&str], fleet: Vec<Deployment>) -> Self {
        let sources = fleet::sources(&policy);
        let mut engine = Self {
            core: Core::new(policy, sources.clone(), 1, now_at(Duration::ZERO)),
            now: Duration::ZERO,
            wake: None,
            renders: VecDeque::new(),
            cluster: BTreeMap::new(),
            proxy: 1,
            last: Duration::ZERO,
            longest: (Duration::ZERO, String::new()),
            steps: 0,
            answered: 0,
            patched: 0,
        };
        engine.step(Input::Leadership(true));
        engine.step(Input::State(Some(StateRecord::default())));
        for source in &sources {
            engine.watch((source.clone(), WatchEvent::ResetStarted));
        }
        engine.apply(fleet::injector(1));
        for namespace in namespaces {
            engine.apply(fleet::namespace(namespace, 1));
        }
        for deployment in fleet {
            engine.create(deployment);
        }
        for source in sources {
            engine.watch((source, WatchEvent::ResetDone));
        }
        engine
    }

    pub(crate) fn create(&mut self, deployment: Deployment) {
        deployment.comes().for_each(|event| self.watch(event));
        self.cluster.insert(deployment.workload.key.clone(), deployment);
    }

    pub(crate) fn delete(&mut self, key: &WorkloadKey) {
        let Some(deployment) = self.cluster.remove(key) else { return };
        self.watch(deleted(&deployment.object()));
        deployment.revision_goes().for_each(|event| self.watch(event));
    }

    /// Somebody changes a template: its Pods are exchanged at once.
    pub(crate) fn roll(&mut self, key: &WorkloadKey, change: impl FnOnce(&mut Deployment)) {
        let Some(deployment) = self.cluster.get_mut(key) else { return };
        let old = deployment.clone();
        change(deployment);
        let new = deployment.clone();
        new.comes().chain(old.revision_goes()).for_each(|event| self.watch(event));
    }

    pub(crate) fn apply(&mut self, object: Object) {
        self.watch(applied(object));
    }

    /// An object that nothing else belongs to goes.
    pub(crate) fn watch_gone(&mut self, object: &Object) {
        self.watch(deleted(object));
    }

    fn watch(&mut self, (source, event): (WatchSource, WatchEvent)) {
        self.step(Input::Watch { source, event });
    }

    /// Lets time pass: timers go off and dry runs are answered.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let answer = self.renders.front().map(|(at, _)| *at);
            let next = answer.into_iter().chain(self.wake).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if answer == Some(next)
                && let Some((_, request)) = self.renders.pop_front()
            {
                self.answer(&request);
            } else {
                self.wake = None;
                self.step(Input::Timer);
            }
        }
        self.now = end;
    }

    fn answer(&mut self, request: &RenderRequest) {
        self.answered += 1;
        let deployment = self.cluster.get(&request.workload.key);
        let outcome = deployment.map_or(RenderOutcome::Gone, |deployment| {
            RenderOutcome::Rendered(Deployment::rendering(&deployment.workload.key.name, self.proxy))
        });
        let confirmation = deployment.filter(|_| request.confirm).map(|deployment| {
            let (workload, templates) = (deployment.workload.clone(), BTreeMap::new());
            Box::new(Confirmation { workload, history: Vec::new(), templates })
        });
        let reply = RenderReply { ticket: request.ticket, took: ANSWER, outcome, confirmation };
        self.step(Input::Rendered(Box::new(reply)));
    }

    fn patch(&mut self, request: PatchRequest) {
        let (ticket, key) = (request.ticket, request.workload.key);
        let outcome = match self.cluster.get(&key) {
            Some(deployment) => PatchOutcome::Patched { generation: deployment.workload.generation + 1 },
            None => PatchOutcome::Gone,
        };
        self.patched += 1;
        self.step(Input::Patched(PatchReply { ticket, outcome }));
        let (proxy, now) = (self.proxy, now_at(self.now).wall);
        self.roll(&key, |deployment| deployment.roll(Some(request.stamp), proxy, now));
    }

    /// One step of the core, and what it asks for.
    fn step(&mut self, input: Input) {
        let what = what(&input);
        let began = processor_time();
        let effects = self.core.step(input, now_at(self.now));
        self.last = processor_time().saturating_sub(began);
        self.steps += 1;
        if self.last > self.longest.0 {
            self.longest = (self.last, format!("{what} after {} s", self.now.as_secs()));
        }
        for effect in effects {
            match effect {
                Effect::Render(request) => self.renders.push_back((self.now + ANSWER, request)),
                Effect::Patch(request) => self.patch(request),
                Effect::WriteState(record) => self.step(Input::State(Some(*record))),
                Effect::ProbeGuard => self.step(Input::Guard(true)),
                Effect::WakeAt(at) => self.wake = Some(at),
                // Nobody is told, nothing backs the injector, and no Pods are evicted.
                _ => {}
            }
        }
    }
}

/// An input in short.
fn what(input: &Input) -> &'static str {
    match input {
        Input::Watch { event: WatchEvent::Apply(Object::Injector(_)), .. } => "a move of the injector",
        Input::Watch { event: WatchEvent::Apply(Object::Namespace(_)), .. } => "a move of the Namespace",
        Input::Watch { event: WatchEvent::Apply(Object::Pod(_)) | WatchEvent::Delete(_), .. } => "a Pod's event",
        Input::Watch { .. } => "another event",
        Input::Rendered(_) => "an answer to a dry run",
        Input::Timer => "a timer",
        _ => "another input",
    }
}

pub(crate) fn now_at(elapsed: Duration) -> Now {
    let beginning = Timestamp::from_second(BEGINNING).unwrap_or_default();
    let passed = SignedDuration::try_from(elapsed).unwrap_or_default();
    Now { elapsed, wall: beginning.saturating_add(passed).unwrap_or(beginning) }
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
