//! One history: the agenda, and what happens at each time.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use sidecar_drift::{
    config::Recording,
    core::{
        config::{Mode, Policy},
        io::{Effect, Input, StateRecord},
        model::{ObjectKey, WorkloadKey, time::Now},
    },
};

pub(super) use super::agenda::{Call, Event};
use super::{
    cluster::Cluster,
    controllers::Round,
    coverage::Reached,
    evictions::Budget,
    injection::Injector,
    inspect::Inspection,
    process::{Place, Process},
    random::Random,
    scenario::{EVICTED_IN_TURN, QUIET, Scenario, TROUBLED},
    tamper::Tamper,
    truth::{Truth, state_is_written},
};
use crate::scripts::show;

/// A rollout takes no longer than this, if all is well.
const ENDING: Duration = Duration::from_mins(5);

/// The API server's clock at the beginning.
const BEGINNING: i64 = 1_772_445_600;

/// The state ConfigMap.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) record: Option<StateRecord>,
    pub(super) version: u64,
}

/// Who holds the lease, and when it was renewed last.
#[derive(Debug, Default)]
pub(super) struct Lease {
    pub(super) holder: Option<(usize, u64)>,
    pub(super) renewed: Duration,
}

/// How the API server treats requests.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "troubles, each by itself")]
pub(super) struct Troubles {
    pub(super) slow: bool,
    pub(super) down: bool,
    pub(super) patches_fail: bool,
    pub(super) patches_denied: bool,
    /// Somebody else is always a moment quicker.
    pub(super) patches_conflict: bool,
    pub(super) replies_lost: bool,
    pub(super) no_guard: bool,
    pub(super) alert_fires: bool,
    pub(super) prometheus_down: bool,
    pub(super) state_unwritable: bool,
    /// Some requests are to be sent again in a day.
    pub(super) throttles: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) tamper: Tamper,
    pub(super) random: Random,
    pub(super) at: Duration,
    pub(super) agenda: BTreeMap<(Duration, u64), Event>,
    /// Workloads whose controller has an appointment.
    pub(super) appointed: BTreeSet<WorkloadKey>,
    pub(super) last_number: u64,
    pub(super) cluster: Cluster,
    pub(super) injector: Injector,
    pub(super) stored: Stored,
    pub(super) lease: Lease,
    pub(super) troubles: Troubles,
    pub(super) processes: Vec<Option<Process>>,
    pub(super) clocks: Vec<SignedDuration>,
    pub(super) incarnations: u64,
    /// Templates that a tool puts back whenever they change, until then.
    pub(super) fought: BTreeMap<WorkloadKey, Duration>,
    /// The PodDisruptionBudgets.
    pub(super) budgets: BTreeMap<ObjectKey, Budget>,
    /// What the configuration is now.
    pub(super) policy: Policy,
    /// Workloads that never rest until the end, and when something befell the others last.
    pub(super) restless: BTreeMap<WorkloadKey, Option<Duration>>,
    pub(super) inspection: Inspection,
    /// What of the weather came once already.
    pub(super) weather_began: BTreeSet<usize>,
    pub(super) truth: Truth,
    pub(super) reached: Reached,
    pub(super) steps: u64,
    /// When a dry run was asked for last.
    pub(super) asked: Duration,
    /// What happened, line by line, if somebody wants to read it.
    pub(super) transcript: Option<Vec<String>>,
    /// Where processes write down what they hear, and whether they keep values as they are.
    pub(super) record_in: Option<(PathBuf, bool)>,
}

/// The time as a process reads it.
pub(super) fn now(at: Duration, boot: Duration, wall: SignedDuration) -> Now {
    Now { elapsed: at + boot, wall: true_wall(at) + wall }
}

/// The API server's clock.
pub(super) fn true_wall(at: Duration) -> Timestamp {
    Timestamp::from_second(BEGINNING).unwrap_or_default() + at
}

/// What time of a history it is by a process's own calendar.
pub(super) fn at_of_history(now: Now) -> Duration {
    now.since(true_wall(Duration::ZERO))
}

impl World {
    pub(super) fn new(scenario: Scenario, tamper: Tamper, written_down: bool) -> Self {
        let mut world = Self {
            random: Random::new(scenario.seed, 2),
            tamper,
            at: Duration::from_secs(1),
            agenda: BTreeMap::new(),
            appointed: BTreeSet::new(),
            last_number: 0,
            cluster: Cluster::default(),
            injector: Injector { version: 1, ..Injector::default() },
            stored: Stored { record: Some(StateRecord::default()), version: 1 },
            lease: Lease::default(),
            troubles: Troubles::default(),
            processes: (0..scenario.replicas).map(|_| None).collect(),
            clocks: (0..scenario.replicas).map(|place| scenario.skew(place)).collect(),
            incarnations: 0,
            fought: BTreeMap::new(),
            budgets: BTreeMap::new(),
            policy: scenario.policy.clone(),
            restless: BTreeMap::new(),
            weather_began: BTreeSet::new(),
            inspection: Inspection::default(),
            truth: Truth::new(&scenario),
            reached: Reached::default(),
            steps: 0,
            asked: Duration::ZERO,
            transcript: written_down.then(Vec::new),
            record_in: None,
            scenario,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.weather_is_set();
        self.found();
        for (key, replicas, strategy) in self.scenario.fleet.clone() {
            self.cluster.create(&key, replicas, strategy, self.scenario.operator_of(&key));
            while self.reconcile(&key) {
                self.at += Duration::from_secs(1);
            }
        }
        self.found_budgets();
        self.weather_is_found();
        self.cluster.objects.news.clear();
        if self.scenario.drifted_before {
            self.injector.version += 1;
        }
        let begin = self.at + Duration::from_secs(30);
        for place in 0..self.scenario.replicas {
            self.schedule(begin + Duration::from_secs(place as u64), Event::Starts(place));
        }
        for (index, (at, ..)) in self.scenario.faults.clone().into_iter().enumerate() {
            self.schedule(begin + at, Event::Begins(index));
        }
        self.schedule(begin, Event::Inspects);
        for index in 0..self.scenario.weather.len() {
            self.schedule(begin, Event::Weather(index));
        }
        self.schedule(begin + Duration::from_secs(TROUBLED), Event::Heals);
        if self.scenario.last_move {
            self.schedule(begin + Duration::from_secs(TROUBLED + 120), Event::LastMove);
        }
    }

    pub(super) fn schedule(&mut self, at: Duration, event: Event) {
        self.last_number += 1;
        self.agenda.insert((at, self.last_number), event);
    }

    pub(super) fn write_down(&mut self, line: impl FnOnce() -> String) {
        if let Some(transcript) = &mut self.transcript {
            transcript.push(format!("{:>9.3}s {}", self.at.as_secs_f64(), line()));
        }
    }

    /// Plays it to its end.
    pub(super) fn play(&mut self) -> Result<()> {
        // To a process whose clock is behind, each new Pod is from the future for so long, and evictions wait for one after
        // the other.
        let behind = self.scenario.jumps() * EVICTED_IN_TURN;
        let end = self.at + Duration::from_secs(30 + TROUBLED + QUIET) + behind;
        while let Some(((at, _), event)) = self.agenda.pop_first() {
            // What was begun in the last moments is given its time.
            if at > end.max(self.truth.last_write().min(end + ENDING * 4) + ENDING) {
                break;
            }
            self.at = self.at.max(at);
            self.happen(event)?;
            self.spread_news();
        }
        self.all_is_settled()
    }

    fn happen(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Begins(index) => self.fault_begins(index)?,
            Event::Ends(index) => self.fault_ends(index),
            Event::Fights(key, until) => self.fight(&key, until),
            Event::TakesEffect(version) => {
                self.injector.version = self.injector.version.max(version);
                self.truth.moved(None, self.at);
                self.moved_silently();
            }
            Event::Controller(key) => {
                self.appointed.remove(&key);
                if self.reconcile(&key) {
                    self.appoint(&key);
                }
            }
            Event::Starts(place) => self.start(place)?,
            Event::Process(place, incarnation, call) => {
                let there = self.processes.get(place).and_then(Option::as_ref).map(|p| p.incarnation);
                match call {
                    _ if there == Some(incarnation) => self.call(place, call)?,
                    // What was on its way when its sender died may arrive all the same.
                    Call::Patches(request) if self.random.percent(50) => drop(self.arrive(place, &request)?),
                    Call::Evicts(request) if self.random.percent(50) => {
                        drop(self.eviction_arrives(place, &request)?);
                    }
                    _ => {}
                }
            }
            Event::Weather(index) => self.weather(index)?,
            Event::Inspects => self.inspect()?,
            Event::Heals => self.heal(),
            Event::LastMove => self.last_move(),
        }
        Ok(())
    }

    // Controllers ----------------------------------------------------------------------------------------------------

    /// A workload's controller looks at it soon.
    pub(super) fn appoint(&mut self, key: &WorkloadKey) {
        if self.appointed.insert(key.clone()) {
            let at = self.at + self.random.millis(300, 3000);
            self.schedule(at, Event::Controller(key.clone()));
        }
    }

    fn reconcile(&mut self, key: &WorkloadKey) -> bool {
        let mut round = Round {
            cluster: &mut self.cluster,
            injector: &mut self.injector,
            random: &mut self.random,
            second: self.at.as_secs(),
            wall: true_wall(self.at),
        };
        let more = round.reconcile(key);
        self.truth.look(&self.cluster, key);
        self.truth.note_proof(&self.cluster, &self.injector, key, self.at);
        self.tend_budgets(key);
        more
    }

    // Processes ------------------------------------------------------------------------------------------------------

    pub(super) fn start(&mut self, place: usize) -> Result<()> {
        self.spread_news();
        self.incarnations += 1;
        let boot = Duration::from_secs(100_000 * (place as u64 + 1));
        let begun = Place {
            incarnation: self.incarnations,
            at: self.at,
            boot,
            wall: self.clocks[place],
            seed: self.scenario.seed.wrapping_add(self.incarnations),
            restarted: self.incarnations > self.scenario.replicas as u64,
        };
        self.write_down(|| format!("process {place} starts"));
        let recording = self.record_in.as_ref().map(|(directory, plain)| Recording {
            path: directory.join(format!("{}.jsonl", self.incarnations)),
            limit: u64::MAX,
            plain: *plain,
        });
        let process = Process::new(&self.policy, self.tamper, begun, recording.as_ref())?;
        let sources: Vec<_> = process.feeds.keys().cloned().collect();
        self.processes[place] = Some(process);
        self.hear(place, Input::Leadership(false))?;
        for source in sources {
            self.open_watch(place, source)?;
        }
        if self.scenario.policy.mode == Mode::Enforce {
            self.later(place, (100, 900), Call::HearsOfState);
        }
        self.later(place, (0, 500), Call::Elects);
        Ok(())
    }

    pub(super) fn process(&mut self, place: usize) -> Option<&mut Process> {
        self.processes.get_mut(place)?.as_mut()
    }

    /// Something happens to this process after a while, if it is still there then.
    pub(super) fn later(&mut self, place: usize, (from, to): (u64, u64), call: Call) {
        let slow = if self.troubles.slow { 8 } else { 1 };
        let at = self.at + self.random.millis(from, to) * slow;
        self.later_at(place, at, call);
    }

    pub(super) fn later_at(&mut self, place: usize, at: Duration, call: Call) {
        if let Some(incarnation) = self.processes.get(place).and_then(|p| Some(p.as_ref()?.incarnation)) {
            self.schedule(at, Event::Process(place, incarnation, call));
        }
    }

    /// An input for the core; one that is suspended hears it later.
    pub(super) fn hear(&mut self, place: usize, input: Input) -> Result<()> {
        let at = self.at;
        let Some(process) = self.process(place) else { return Ok(()) };
        if process.suspended.is_some_and(|until| at < until) {
            process.waiting.push_back(input);
            return Ok(());
        }
        self.step(place, input)
    }

    fn step(&mut self, place: usize, input: Input) -> Result<()> {
        let at = self.at;
        // The engine asks the clock right before each step; a process that was suspended is another's follower by now.
        let ended = self.process(place).is_some_and(|p| p.leads && !p.may_write(at));
        if ended && !self.tamper.ignores_lease() {
            self.process(place).into_iter().for_each(|p| p.leads = false);
            self.step(place, Input::Leadership(false))?;
        }
        self.steps += 1;
        if self.transcript.is_some() {
            let line = super::history::input(&input);
            self.write_down(|| format!("{place} <- {line}"));
        }
        let tamper = self.tamper;
        let Some(process) = self.processes[place].as_mut() else { return Ok(()) };
        let now = now(at, process.boot, process.wall);
        process.rules.hear(&input, now);
        let quiet = matches!(input, Input::Timer);
        let input = tamper.input(input);
        let twins = process.twin.as_mut().map(|twin| twin.step(input.clone(), now));
        let heard = process.recorder.is_some().then(|| input.clone());
        let effects = process.core.step(input, now);
        if let (Some(recorder), Some(input)) = (&mut process.recorder, heard) {
            recorder.record(input, now, &effects, &process.core)?;
        }
        ensure!(twins.is_none_or(|twins| twins == effects), "the same inputs have other effects");
        let told = effects.iter().any(|effect| !matches!(effect, Effect::WakeAt(_)));
        let effects = self.tamper.effects(effects, &self.cluster, self.last_number);
        for effect in &effects {
            if let Some(line) = show::effect(effect) {
                self.write_down(|| format!("{place} {line}"));
            }
        }
        let Some(process) = self.processes[place].as_mut() else { return Ok(()) };
        // A timer that brought nothing on shows nothing new, nearly always.
        if told || !quiet || self.steps.is_multiple_of(16) {
            let report = self.tamper.report(process.core.report(now));
            self.reached.read(&report);
            process.rules.check(&self.policy, &effects, &report, now).with_context(|| format!("process {place}"))?;
        }
        self.truth.hear(place, &effects, &self.cluster, at)?;
        self.converged_pods_stay(place, &effects)?;
        for effect in effects {
            self.carry_out(place, effect)?;
        }
        self.bed_down(place);
        Ok(())
    }

    fn carry_out(&mut self, place: usize, effect: Effect) -> Result<()> {
        match effect {
            Effect::Render(request) => {
                let sent = self.at;
                self.asked = sent;
                self.later(place, (20, 400), Call::Renders(Box::new(request), sent));
            }
            Effect::Patch(request) => self.later(place, (5, 60), Call::Reads(Box::new(request))),
            Effect::Evict(request) => self.later(place, (5, 60), Call::SendsEviction(Box::new(request))),
            Effect::WatchBackends(namespaces) => self.watch_backends(place, namespaces),
            Effect::WriteState(record) => {
                if let Some(process) = self.process(place) {
                    process.writing_state = true;
                }
                state_is_written(&record, self.stored.record.as_ref())?;
                self.later(place, (10, 300), Call::WritesState(record));
            }
            Effect::WakeAt(elapsed) => {
                let boot = self.process(place).map_or(Duration::ZERO, |p| p.boot);
                let lateness = self.random.between(Duration::ZERO, self.lateness());
                let at = elapsed.saturating_sub(boot).max(self.at) + lateness;
                if let Some(process) = self.process(place) {
                    process.wake = Some(elapsed);
                }
                self.later_at(place, at, Call::Wakes(elapsed));
            }
            Effect::ProbeGuard => self.later(place, (10, 200), Call::Probes),
            Effect::AskAlerts(request) => self.later(place, (10, 200), Call::AsksAlerts(request.ticket)),
            Effect::WatchTriggers(_) | Effect::WriteEvent(_) | Effect::Notify(_) => {}
        }
        Ok(())
    }

    /// In quiet times timers may come much later: there is nothing that they could miss.
    fn lateness(&self) -> Duration {
        // But an answer of Prometheus is old soon.
        let late = self.at.as_secs() > TROUBLED + 600
            && self.scenario.policy.blocking_alerts.is_empty()
            && self.scenario.weather.is_empty();
        if late { Duration::from_secs(40) } else { self.scenario.lateness }
    }

    /// One that was asked to stop and has nothing left to do is gone.
    fn bed_down(&mut self, place: usize) {
        let done = |process: &Process| process.stopping && process.core.idle();
        if self.processes[place].as_ref().is_some_and(done) {
            self.stop(place);
            // The lease is given back.
            if self.lease.holder.is_some_and(|(holder, _)| holder == place) {
                self.lease.holder = None;
            }
            let at = self.at + self.random.seconds(1, 20);
            self.schedule(at, Event::Starts(place));
        }
    }

    pub(super) fn stop(&mut self, place: usize) {
        self.processes[place] = None;
        self.write_down(|| format!("process {place} is gone"));
    }
}
