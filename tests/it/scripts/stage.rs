//! Plays a script: feeds the core, wakes it when it asked to be woken, and writes down what it does.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use sidecar_drift::core::{
    config::{Mode, Policy},
    io::{
        AlertsAnswer, AlertsReply, Effect, EvictOutcome, EvictReply, EvictRequest, Input, PatchOutcome, PatchReply,
        PatchRequest, RenderOutcome, RenderReply, RenderRequest, StateRecord, WatchKind, WatchSource,
    },
    model::{Name, WorkloadKey, time::Now},
    report::Report,
    step::Core,
};

use super::{
    cluster::{Cluster, database},
    pods::Container,
    rules::Rules,
    show,
};
use crate::objects;

/// Nothing needs to be woken more often in a minute.
const MOST_WAKES: u32 = 500;

/// The wall clock at 0s.
pub(super) const BEGINNING: &str = "2026-03-02T10:00:00Z";

/// Who answers the core's requests.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one line of a script")]
pub(super) struct Hands {
    /// Renderings are answered at once, with what is injected.
    pub(super) renders: bool,
    /// Patches are accepted at once.
    pub(super) patches: bool,
    /// Evictions are carried out at once.
    pub(super) evictions: bool,
    /// Controllers finish a rollout after this long; `None`: the script says when.
    pub(super) rolls: Option<Duration>,
    /// How long a rendering takes.
    pub(super) took: Duration,
    /// What renderings that are answered at once come to instead: those of one workload, or all.
    pub(super) fails: BTreeMap<Option<WorkloadKey>, RenderOutcome>,
    /// What half of them are given instead, by chance.
    pub(super) wavers: Vec<Container>,
    /// Probes of the guard are refused, as they must be; `None`: they are not answered.
    pub(super) guard: Option<bool>,
    /// What Prometheus says; `None`: nothing.
    pub(super) alerts: Option<AlertsAnswer>,
    /// The state ConfigMap is not written.
    pub(super) holds_state: bool,
    /// What was to be written meanwhile.
    pub(super) held_state: Option<StateRecord>,
    /// The state ConfigMap may be read, but not written.
    pub(super) refuses_state: bool,
}

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) policy: Policy,
    pub(super) cluster: Cluster,
    pub(super) hands: Hands,
    /// What admission injects: for one workload, or (`None`) for all others.
    pub(super) injected: BTreeMap<Option<WorkloadKey>, Vec<Container>>,
    /// The state ConfigMap, version by version.
    pub(super) states: Vec<Option<StateRecord>>,
    /// Watches deliver.
    pub(super) watching: bool,
    pub(super) renders: Vec<RenderRequest>,
    /// When which workload was rendered.
    pub(super) rendered: Vec<(Duration, WorkloadKey)>,
    pub(super) patches: Vec<PatchRequest>,
    pub(super) evictions: Vec<EvictRequest>,
    /// A patch that will be written although its answer is lost.
    pub(super) late: Option<PatchRequest>,
    /// The question for alerts that is open.
    asked: Option<u64>,
    core: Option<Core>,
    rules: Rules,
    elapsed: Duration,
    wake: Option<Duration>,
    /// Nothing is shown, and no rule is checked: that takes longer than all else.
    pub(super) blind: bool,
    /// Timers come so much later than they were asked for.
    pub(super) lateness: Duration,
    inbox: VecDeque<Input>,
    agenda: BTreeMap<(Duration, u64), WorkloadKey>,
    backends: BTreeSet<Name>,
    /// How many triggers are watched.
    triggers: usize,
    shown: BTreeMap<String, String>,
    /// What the core showed after its last step.
    report: Option<Report>,
    pub(super) out: Vec<String>,
    /// Every word that was shown.
    pub(super) reached: BTreeSet<(&'static str, &'static str)>,
}

impl Stage {
    pub(super) fn new() -> Self {
        // Scripts may name it.
        _ = database();
        Self {
            policy: Policy { without_guard: true, min_ready: Duration::ZERO, ..Policy::default() },
            cluster: Cluster::default(),
            hands: Hands::default(),
            injected: BTreeMap::new(),
            states: vec![Some(StateRecord { resource_version: Some("1".into()), ..StateRecord::default() })],
            watching: true,
            renders: Vec::new(),
            rendered: Vec::new(),
            patches: Vec::new(),
            evictions: Vec::new(),
            late: None,
            asked: None,
            core: None,
            rules: Rules::default(),
            elapsed: Duration::ZERO,
            wake: None,
            blind: false,
            lateness: Duration::ZERO,
            inbox: VecDeque::new(),
            agenda: BTreeMap::new(),
            backends: BTreeSet::new(),
            triggers: 0,
            shown: BTreeMap::new(),
            report: None,
            out: Vec::new(),
            reached: BTreeSet::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        let beginning: Timestamp = BEGINNING.parse().unwrap_or_default();
        Now { elapsed: self.elapsed, wall: beginning + self.elapsed }
    }

    // The process ----------------------------------------------------------------------------------------------------

    /// A process begins: it takes the lead or not, and lists everything.
    pub(super) fn start(&mut self, leader: bool) {
        self.triggers = self.policy.triggers.len();
        self.core = Some(Core::new(self.policy.clone(), objects::sources(&self.policy), 1, self.now()));
        self.rules = Rules::default();
        self.cluster.objects.news.clear();
        self.inbox.push_back(Input::Leadership(leader));
        if self.policy.mode == Mode::Enforce && !self.hands.holds_state {
            self.inbox.push_back(Input::State(self.state()));
        }
        for source in objects::sources(&self.policy) {
            self.list(&source);
        }
    }

    /// The process is gone, with all that was under way.
    pub(super) fn crash(&mut self) {
        self.core = None;
        self.wake = None;
        self.inbox.clear();
        self.renders.clear();
        self.patches.clear();
        self.evictions.clear();
        self.backends.clear();
        self.shown.clear();
    }

    pub(super) fn core(&self) -> Result<&Core> {
        self.core.as_ref().context("no process runs; `start` one")
    }

    pub(super) fn send(&mut self, input: Input) {
        self.inbox.push_back(input);
    }

    /// A watch brings a whole list.
    pub(super) fn list(&mut self, source: &WatchSource) {
        let events = self.cluster.objects.list(source);
        self.inbox.extend(events.into_iter().map(|event| Input::Watch { source: source.clone(), event }));
    }

    /// Every watch lists anew; what was said meanwhile is lost.
    pub(super) fn relist(&mut self) -> Result<()> {
        self.cluster.objects.news.clear();
        for source in objects::sources(&self.policy) {
            self.list(&source);
        }
        self.watching = true;
        self.core().map(drop)
    }

    // Time -----------------------------------------------------------------------------------------------------------

    /// Lets time pass, waking the core whenever it asked for it.
    pub(super) fn pass_until(&mut self, at: Duration) -> Result<()> {
        ensure!(at >= self.elapsed, "time goes on; {}s have passed", self.elapsed.as_secs_f64());
        let mut awake = (self.elapsed, 0);
        let minute = Duration::from_mins(1);
        loop {
            let agenda = self.agenda.keys().next().map(|(at, _)| *at);
            let wake = self.wake.map(|at| at + self.lateness);
            let next = [wake, agenda].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= at) else { break };
            self.elapsed = self.elapsed.max(next);
            awake = if self.elapsed < awake.0 + minute { (awake.0, awake.1 + 1) } else { (self.elapsed, 0) };
            ensure!(
                awake.1 < MOST_WAKES,
                "the core asks to be woken again and again at {}s",
                self.elapsed.as_secs_f64()
            );
            let told = self.out.len();
            if agenda == Some(next) {
                if let Some((_, key)) = self.agenda.pop_first() {
                    self.finish_rollout(&key)?;
                }
            } else {
                self.wake = None;
                self.inbox.push_back(Input::Timer);
            }
            self.settle()?;
            if self.out.len() > told {
                self.out.insert(told, format!("@{}s", self.elapsed.as_secs_f64()));
            }
        }
        self.elapsed = at;
        Ok(())
    }

    /// Lets the core take in all that is there, and shows whose verdict is another now.
    pub(super) fn settle(&mut self) -> Result<()> {
        loop {
            self.deliver();
            let Some(input) = self.inbox.pop_front() else { break };
            self.step(&input)?;
        }
        self.show_verdicts();
        Ok(())
    }

    /// Watches say what is new.
    fn deliver(&mut self) {
        if self.core.is_none() || !self.watching {
            return;
        }
        let heard = |source: &WatchSource| source.namespace.as_ref().is_none_or(|ns| self.backends.contains(ns));
        for (source, event) in std::mem::take(&mut self.cluster.objects.news) {
            if heard(&source) {
                self.inbox.push_back(Input::Watch { source, event });
            }
        }
    }

    fn step(&mut self, input: &Input) -> Result<()> {
        let now = self.now();
        let core = self.core.as_mut().context("no process runs; `start` one")?;
        let effects = core.step(input.clone(), now);
        if !self.blind {
            let report = core.report(now);
            self.reached.extend(super::words::reached(&report));
            for effect in &effects {
                self.out.extend(show::effect(effect));
            }
            self.rules.check(&self.policy, input, &effects, &report, now)?;
            self.report = Some(report);
        }
        for effect in effects {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    fn show_verdicts(&mut self) {
        let Some(report) = self.report.take_if(|report| report.synced) else { return };
        let mut lines = BTreeMap::new();
        for w in &report.workloads {
            lines.insert(format!("{}/{}/{}", w.kind, w.namespace, w.name), show::verdict(w, &report));
        }
        for (name, line) in &lines {
            if self.shown.get(name) != Some(line) {
                self.out.push(line.clone());
            }
        }
        self.out
            .extend(self.shown.keys().filter(|name| !lines.contains_key(*name)).map(|name| format!("= {name} gone")));
        self.shown = lines;
    }

    // Requests -------------------------------------------------------------------------------------------------------

    fn carry_out(&mut self, effect: Effect) -> Result<()> {
        match effect {
            Effect::Render(request) => {
                self.rendered.push((self.elapsed, request.workload.key.clone()));
                self.renders.push(request);
                if self.hands.renders {
                    let key = self.renders.last().map(|r| r.workload.key.clone()).context("just asked")?;
                    self.render(&key, None, true)?;
                }
            }
            Effect::Patch(request) => {
                let key = request.workload.key.clone();
                self.patches.push(request);
                if self.hands.patches {
                    self.accept_patch(&key)?;
                }
            }
            Effect::Evict(request) => {
                self.cluster.is_whole_but_for(&request)?;
                let key = request.workload.key.clone();
                self.evictions.push(request);
                if self.hands.evictions {
                    self.answer_eviction(&key, EvictOutcome::Evicted, true)?;
                }
            }
            Effect::WatchTriggers(triggers) => {
                for (number, _) in (0..).zip(triggers).skip(self.triggers) {
                    self.list(&WatchSource { kind: WatchKind::Trigger(number), namespace: None });
                    self.triggers += 1;
                }
            }
            Effect::WatchBackends(namespaces) => {
                for namespace in namespaces.difference(&self.backends.clone()) {
                    for source in objects::backing(namespace) {
                        self.list(&source);
                    }
                }
                self.backends = namespaces;
            }
            Effect::WriteState(record) if self.hands.holds_state => self.hands.held_state = Some(*record),
            Effect::WriteState(record) => self.write_state(*record),
            Effect::WakeAt(at) => self.wake = Some(at),
            Effect::ProbeGuard => self.inbox.extend(self.hands.guard.map(Input::Guard)),
            Effect::AskAlerts(request) => {
                self.asked = Some(request.ticket);
                self.answer_alerts();
            }
            Effect::Notify(_) | Effect::WriteEvent(_) => {}
        }
        Ok(())
    }

    /// Prometheus answers, if it was asked and has something to say.
    pub(super) fn answer_alerts(&mut self) {
        if let Some(answer) = self.hands.alerts.clone()
            && let Some(ticket) = self.asked.take()
        {
            self.inbox.push_back(Input::Alerts(AlertsReply { ticket, answer }));
        }
    }

    pub(super) fn state(&self) -> Option<StateRecord> {
        self.states.last().cloned().flatten()
    }

    /// Somebody writes the state ConfigMap.
    pub(super) fn put_state(&mut self, state: Option<StateRecord>) {
        let version = Name::from(self.states.len().saturating_add(1).to_string());
        self.states.push(state.map(|s| StateRecord { resource_version: Some(version), ..s }));
    }

    fn write_state(&mut self, record: StateRecord) {
        let found = self.state().and_then(|s| s.resource_version);
        if !self.hands.refuses_state && found.is_some() && found == record.resource_version {
            self.put_state(Some(record));
        }
        self.inbox.push_back(Input::State(self.state()));
    }

    /// What admission injects into a workload's Pods now.
    pub(super) fn injected_into(&self, key: &WorkloadKey) -> Vec<Container> {
        let own = self.injected.get(&Some(key.clone()));
        own.or_else(|| self.injected.get(&None)).cloned().unwrap_or_default()
    }

    /// Answers the oldest request for a rendering of this workload; `None`: with what is injected now.
    pub(super) fn render(&mut self, key: &WorkloadKey, outcome: Option<RenderOutcome>, read: bool) -> Result<()> {
        let at = self.renders.iter().position(|r| r.workload.key == *key);
        let request = self.renders.remove(at.with_context(|| format!("no rendering of {key} was asked for"))?);
        let injected = if self.wavers_now() { self.hands.wavers.clone() } else { self.injected_into(key) };
        let fails = |of: Option<WorkloadKey>| self.hands.fails.get(&of).cloned();
        let outcome = outcome.or_else(|| fails(Some(key.clone()))).or_else(|| fails(None));
        let outcome =
            outcome.unwrap_or_else(|| RenderOutcome::Rendered(self.cluster.rendering(key, &injected, &request)));
        let confirmation = if request.confirm && read { self.cluster.confirmation(key) } else { None };
        let reply = RenderReply { ticket: request.ticket, took: self.hands.took, outcome, confirmation };
        self.inbox.push_back(Input::Rendered(Box::new(reply)));
        Ok(())
    }

    /// Whether a rendering is given the other thing; by chance, but the same each time the script is played.
    fn wavers_now(&self) -> bool {
        let mut hasher = DefaultHasher::new();
        self.rendered.len().hash(&mut hasher);
        !self.hands.wavers.is_empty() && hasher.finish().is_multiple_of(2)
    }

    /// Whether every request was answered.
    pub(super) fn idle(&self) -> bool {
        self.rules.idle()
    }

    /// Takes the oldest request to patch this workload.
    pub(super) fn take_patch(&mut self, key: &WorkloadKey) -> Result<PatchRequest> {
        let at = self.patches.iter().position(|p| p.workload.key == *key);
        Ok(self.patches.remove(at.with_context(|| format!("no patch of {key} was asked for"))?))
    }

    pub(super) fn accept_patch(&mut self, key: &WorkloadKey) -> Result<()> {
        let request = self.take_patch(key)?;
        let current = self.cluster.workload(key).map(|w| w.resource_version.clone());
        let outcome = if current.as_ref() == Some(&request.resource_version) {
            PatchOutcome::Patched { generation: self.write_stamp(key, &request)? }
        } else {
            PatchOutcome::Conflict
        };
        self.inbox.push_back(Input::Patched(PatchReply { ticket: request.ticket, outcome }));
        Ok(())
    }

    /// Answers the oldest eviction for a workload; `done`: the Pod goes.
    pub(super) fn answer_eviction(&mut self, key: &WorkloadKey, outcome: EvictOutcome, done: bool) -> Result<()> {
        let at = self.evictions.iter().position(|e| e.workload.key == *key);
        let request = self.evictions.remove(at.with_context(|| format!("no eviction for {key} was asked for"))?);
        if done {
            self.schedule_rollout(key);
            self.cluster.evict(&request)?;
        }
        self.inbox.push_back(Input::Evicted(EvictReply { ticket: request.ticket, outcome }));
        Ok(())
    }

    /// Nobody hears whether a patch was written: it was, or will be.
    pub(super) fn lose_answer(&mut self, key: &WorkloadKey, late: bool, message: String) -> Result<()> {
        let request = self.take_patch(key)?;
        let ticket = request.ticket;
        if late {
            self.late = Some(request);
        } else {
            self.write_stamp(key, &request)?;
        }
        self.send(Input::Patched(PatchReply { ticket, outcome: PatchOutcome::Unknown { message } }));
        Ok(())
    }

    /// A patch is written, and the watches tell of it before its answer comes.
    pub(super) fn write_unanswered(&mut self, key: &WorkloadKey) -> Result<()> {
        let request = self.patches.iter().find(|p| p.workload.key == *key).cloned();
        let request = request.with_context(|| format!("no patch of {key} was asked for"))?;
        self.write_stamp(key, &request).map(drop)
    }

    /// What the API server answers to it.
    pub(super) fn answer_of_written(&self, key: &WorkloadKey) -> Result<PatchOutcome> {
        let written = self.cluster.workload(key).with_context(|| format!("{key} is gone"))?;
        Ok(PatchOutcome::Patched { generation: written.generation })
    }

    /// The stamp is written, whether or not anybody hears of it.
    pub(super) fn write_stamp(&mut self, key: &WorkloadKey, request: &PatchRequest) -> Result<i64> {
        self.schedule_rollout(key);
        self.cluster.stamp(key, request.stamp.clone())
    }

    pub(super) fn schedule_rollout(&mut self, key: &WorkloadKey) {
        if let Some(after) = self.hands.rolls {
            let number = self.cluster.next_version();
            self.agenda.insert((self.elapsed + after, number), key.clone());
        }
    }

    fn finish_rollout(&mut self, key: &WorkloadKey) -> Result<()> {
        let (injected, born) = (self.injected_into(key), self.now().wall);
        self.cluster.finish_rollout(key, &injected, born)
    }
}
