//! The event loop: takes inputs, calls the core, and starts its effects.

use std::{collections::HashSet, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use jiff::SignedDuration;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    Progress, RunResult, StopSignal, Stopped, Told,
    leadership::{self, Leadership, LeaseRelease},
    recording::Recorder,
    signals::Signals,
    workers::Workers,
};
use crate::{
    clock::{self, ServerClock},
    cluster::{
        client::{Cluster, Connection, Server, connect},
        convert::KeptKeys,
        lease::LeaseStore,
        state::StateStore,
        watch::{Scope, Watches},
    },
    config::{Config, LeaderElection, LeaseId, StopWhen, WatchSet},
    core::{
        config::{Mode, Policy},
        io::{Effect, Input, Notice, WatchEvent, WatchSource},
        model::{Name, lease::Election, time::Now, words::UndeterminedReason},
        render::{REST, SLOW_INJECTOR_BUDGET},
        report::Report,
        step::Core,
    },
    http::Published,
    metrics,
    notify::Notifier,
    outbound::Prometheus,
};

/// Capacity of the input queue. When it is full the watches block, which costs no memory. Each input is an object that
/// shares nothing with others yet; a Pod takes some 10 KB.
const INPUTS: usize = 64;
/// The engine ticks at least this often, so that liveness probes can tell that it runs.
const TICK: Duration = Duration::from_secs(1);
/// The engine publishes a report at most this often.
const PUBLISH: Duration = Duration::from_millis(250);
/// A shutdown waits this long for patches in flight; Kubernetes kills the process after 30 s. Nearly all are answered within
/// a second. One that is not may have been written; the next leader finds that out from the stamp.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);
/// A one-shot command that makes no progress for this long, beside configured pauses, shows the result so far.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<RunResult> {
    let mut signals = Signals::listen()?;
    let (cluster, server) = match connected(&config, stop, &mut signals, progress).await? {
        Ok(connected) => connected,
        Err(by) => return Ok(stopped_before_start(config.policy, by)),
    };
    let namespaces = match &config.watch {
        WatchSet::Cluster => None,
        WatchSet::Namespaces(namespaces) => Some(namespaces.clone()),
    };
    let (sender, inputs) = mpsc::channel(INPUTS);
    let keys = KeptKeys::of(&config.policy);
    let own = config.state_namespace_or(cluster.namespace()).to_owned();
    let store = StateStore::new(cluster.clone(), &own);
    let me = leadership::identity(config.election.as_ref().and_then(|election| election.identity.as_deref()))?;
    let published = Published::new(clock::elapsed);
    published.watching(cluster.watches().clone());
    let (leading, release, keeper) = stand_for_election(&config, &cluster, &own, &me, &published);
    let mut workers =
        Workers::new(cluster.clone(), own, keys.clone(), store.clone(), leading.clone(), &me, sender.clone());
    workers.render_as(config.render_as.clone());
    let prometheus = config.alerts.as_ref().map(|alerts| Prometheus::new(alerts, &config.outbound));
    workers.set_prometheus(prometheus.transpose()?);
    if let Some(keeper) = keeper {
        workers.spawn_for_life(keeper);
    }
    super::listen::start(&config, &published, &mut workers).await?;
    let notifier = super::listen::notify(&config, &mut workers)?;
    let scope = Scope {
        namespaces,
        kinds: config.policy.kinds.clone(),
        fields: config.policy.fields,
        triggers: config.policy.triggers.clone(),
        keys,
    };
    let clock = cluster.clock().clone();
    let streaming = server.streaming_lists;
    let watches = Watches::start(cluster, server, scope, sender.clone());
    let now = clock.now();
    let seed = now.wall.as_nanosecond().unsigned_abs();
    let seed = u64::try_from(seed % u128::from(u64::MAX)).unwrap_or_default();
    let core = Core::new(config.policy.clone(), watches.sources(), seed, now);
    let begin = |wanted| Recorder::begin(wanted, &config.policy, watches.sources(), seed, now);
    let recorder = config.recording.as_ref().map(begin).transpose()?;
    let mut first = Vec::new();
    if config.plans_a_rollout || (config.policy.mode == Mode::Enforce && stop != StopWhen::Never) {
        // A rollout by hand starts at once, so the state must be known first; and its plan is made with what is known then.
        match store.read().await {
            Ok(state) => first.push(Input::State(state)),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the state is not known"),
        }
    }
    if config.policy.mode == Mode::Enforce {
        workers.spawn_for_life(store.watch(streaming, sender));
    }
    let (new_configs, changes) = mpsc::channel(1);
    let stall_timeout = stall_timeout(&config.policy);
    let seen_by_a_person = config.policy.one_shot && stop == StopWhen::RolledOut;
    workers.spawn_for_life(super::reload::watch(config, new_configs));
    let report = Arc::new(core.report(now));
    let listed = HashSet::new();
    let mut engine = Engine {
        core,
        recorder,
        watches,
        workers,
        published,
        clock,
        clock_is_off: false,
        notifier,
        first_scan_notified: false,
        leading,
        term: None,
        stop,
        report,
        wake: None,
        listed,
        last_progress: now,
        began: now.elapsed,
        stall_timeout,
        stopping: None,
        person_watches: seen_by_a_person,
        changes,
    };
    for input in first {
        let notices = engine.step(input, now);
        engine.notify(&notices, progress);
    }
    let ended = engine.run(inputs, signals, progress).await;
    if let Some(release) = release
        && ended.is_ok()
    {
        release.now().await;
    }
    ended
}

type KeepLease = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts leader election, if it is enabled.
fn stand_for_election(
    config: &Config,
    cluster: &Cluster,
    own: &str,
    me: &Name,
    published: &Published,
) -> (Leadership, Option<LeaseRelease>, Option<KeepLease>) {
    let Some(LeaderElection { times, identity: _ }) = &config.election else {
        return (Leadership::always(), None, None);
    };
    let LeaseId { name, namespace } = &config.lease;
    let namespace = namespace.as_deref().unwrap_or(own);
    tracing::info!(lease = format!("{namespace}/{name}"), identity = &**me, "standing for election");
    let store = LeaseStore::new(cluster.clone(), namespace, name);
    let reached = config.api_advertise.map(|address| Name::from(address.to_string())).unwrap_or_default();
    let election = Election::new(me.clone(), *times).reached_at(reached);
    let (leading, release, keeper) =
        leadership::keep_lease(election, *times, store, published.clone(), cluster.clock().clone());
    (leading, Some(release), Some(Box::pin(keeper)))
}

/// Connects, says where it leads, and finds out what is there; or the signal that came before.
async fn connected(
    config: &Config,
    stop: StopWhen,
    signals: &mut Signals,
    progress: &mut Progress<'_>,
) -> anyhow::Result<Result<(Cluster, Server), StopSignal>> {
    let connection = Connection::from(&config.connection);
    let connecting = async move { Ok(connect(&connection).await?) };
    let cluster = match signals.unless_stopped(connecting).await? {
        Ok(cluster) => cluster,
        Err(by) => return Ok(Err(by)),
    };
    progress(Told::Connected(&cluster.place()));
    let probed = signals.unless_stopped(probe(cluster.clone(), config.clone(), stop)).await?;
    Ok(probed.map(|server| (cluster, server)))
}

/// Probes what the server supports, and checks that the configured namespaces exist.
async fn probe(cluster: Cluster, config: Config, stop: StopWhen) -> anyhow::Result<Server> {
    let mut somewhere = None;
    if let WatchSet::Namespaces(namespaces) = &config.watch {
        somewhere = namespaces.first().map(|n| &**n);
    }
    let server = cluster.probe(somewhere).await?;
    tracing::info!(server = cluster.url(), version = server.version, streaming = server.streaming_lists, "connected");
    if let WatchSet::Namespaces(namespaces) = &config.watch {
        for namespace in namespaces {
            if cluster.has_namespace(namespace).await != Some(false) {
                continue;
            }
            // A daemon may start before its namespaces exist.
            anyhow::ensure!(stop == StopWhen::Never, "there is no namespace `{namespace}`: check `--namespace`");
            tracing::warn!(%namespace, "there is no such namespace, yet");
        }
    }
    if let Some(namespace) = &config.policy.what_if.namespace {
        let exists = cluster.has_namespace(namespace).await != Some(false);
        anyhow::ensure!(exists, "there is no namespace `{namespace}`: check `--what-if-namespace`");
    }
    Ok(server)
}

/// The result of a run that a signal ended before it began.
fn stopped_before_start(policy: Policy, by: StopSignal) -> RunResult {
    tracing::info!("stopped before the API server answered");
    let now = clock::now();
    let report = Arc::new(Core::new(policy, [], 0, now).report(now));
    RunResult { report, stopped: Some(Stopped { by, at_once: false }) }
}

/// How long a one-shot command waits without progress. Configured pauses do not count.
fn stall_timeout(policy: &Policy) -> Duration {
    let between_renders = Duration::try_from_secs_f64(1.0 / policy.renders_per_second).unwrap_or_default();
    STALL_TIMEOUT + policy.settle + policy.render_spacing + between_renders
}

/// From here on a clock that differs from the API server's is worth a line in the log.
const CLOCK_IS_OFF: Duration = Duration::from_secs(2);

struct Engine {
    core: Core,
    recorder: Option<Recorder>,
    watches: Watches,
    workers: Workers,
    published: Published,
    /// What the core takes for the time.
    clock: ServerClock,
    /// Our own differs from it by much, and that was logged.
    clock_is_off: bool,
    /// Sends notifications, if a webhook is configured.
    notifier: Option<Notifier>,
    /// The notifier has summed up what differed already when this replica began to lead.
    first_scan_notified: bool,
    leading: Leadership,
    /// The term that the core knows of; `None`: this replica does not lead.
    term: Option<u64>,
    stop: StopWhen,
    /// The newest report.
    report: Arc<Report>,
    /// When the core wants to be woken.
    wake: Option<Duration>,
    /// The watches whose first list is complete or unavailable.
    listed: HashSet<WatchSource>,
    /// When the report last made progress.
    last_progress: Now,
    /// When this process began to look.
    began: Duration,
    /// See [`stall_timeout`].
    stall_timeout: Duration,
    /// When the first signal came, and the last signal.
    stopping: Option<(Duration, StopSignal)>,
    /// A person watches the rollouts.
    person_watches: bool,
    /// New configurations.
    changes: mpsc::Receiver<Config>,
}

impl Engine {
    async fn run(
        &mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut signals: Signals,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<RunResult> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unpublished = true;
        let mut last = Duration::ZERO;
        loop {
            let until = self.until_wake(unpublished, last);
            let input = tokio::select! {
                biased;
                by = signals.received() => {
                    if self.stopping.replace((clock::elapsed(), by)).is_some() {
                        self.publish(self.clock.now());
                        return Ok(self.result(true));
                    }
                    Some(Input::Shutdown)
                }
                error = self.watches.failed() => return Err(error).context("a watch failed"),
                error = self.workers.failed() => return Err(error).context("a worker failed"),
                Some(config) = self.changes.recv() => Some(Input::Policy(Box::new(config.policy))),
                input = inputs.recv() => input,
                () = self.leading.changed() => None,
                () = sleep(until) => None,
                _ = ticks.tick() => None,
            };
            self.published.tick();
            let now = self.clock.now();
            if self.check_leadership(now, progress) {
                unpublished = true;
            }
            let due = self.wake.is_some_and(|at| at <= now.elapsed);
            if let Some(input) = input.or(due.then_some(Input::Timer)) {
                if due {
                    self.wake = None;
                }
                self.note_listing(&input, now);
                let notices = self.step(input, now);
                unpublished = true;
                self.notify(&notices, progress);
            }
            // A one-shot command that is done does not wait for the publishing interval.
            let over = unpublished && self.stop == StopWhen::Complete && self.core.started();
            let over = over && self.core.awaits_no_rendering() && inputs.is_empty();
            if over || now.elapsed.saturating_sub(last) >= PUBLISH && (unpublished || inputs.is_empty()) {
                last = now.elapsed;
                unpublished = false;
                self.publish(now);
                progress(Told::Moved(&self.report, &[]));
                if self.done(now) {
                    return Ok(self.result(false));
                }
            }
        }
    }

    fn result(&self, at_once: bool) -> RunResult {
        let stopped = self.stopping.map(|(_, by)| Stopped { by, at_once });
        RunResult { report: self.report.clone(), stopped }
    }

    fn until_wake(&self, unpublished: bool, last: Duration) -> Duration {
        let now = clock::elapsed();
        let publish = unpublished.then(|| last + PUBLISH);
        let next = [self.wake, publish].into_iter().flatten().min();
        next.map_or(TICK, |at| at.saturating_sub(now))
    }

    /// Counts a first list that still comes in as progress, however long it takes.
    fn note_listing(&mut self, input: &Input, now: Now) {
        if let Input::Watch { source, event } = input
            && !self.listed.contains(source)
        {
            self.last_progress = now;
            if matches!(event, WatchEvent::ResetDone | WatchEvent::Unavailable { .. }) {
                self.listed.insert(source.clone());
            }
        }
    }

    /// Informs the core when this replica starts or stops leading, and returns whether it did. Runs before each step, so
    /// that a process that was suspended starts nothing that another replica now owns.
    fn check_leadership(&mut self, now: Now, progress: &mut Progress<'_>) -> bool {
        let term = self.leading.term(now.elapsed);
        let known = std::mem::replace(&mut self.term, term);
        if known == term {
            return false;
        }
        if known.is_some() {
            tracing::warn!("another replica may lead from now on");
            let notices = self.step(Input::Leadership(false), now);
            self.notify(&notices, progress);
        }
        if term.is_some() {
            tracing::info!("leading");
            self.first_scan_notified = false;
            let notices = self.step(Input::Leadership(true), now);
            self.notify(&notices, progress);
        }
        true
    }

    fn notify(&self, notices: &[Notice], progress: &mut Progress<'_>) {
        if !notices.is_empty() {
            notices.iter().for_each(metrics::notice);
            if let Some(notifier) = &self.notifier {
                for notice in notices {
                    notifier.notice(notice, !self.first_scan_notified);
                }
            }
            progress(Told::Moved(&self.report, notices));
        }
    }

    /// Runs one step of the core and starts its effects.
    fn step(&mut self, input: Input, now: Now) -> Vec<Notice> {
        let mut notices = Vec::new();
        let heard = self.recorder.is_some().then(|| input.clone());
        let effects = self.core.step(input, now);
        if let (Some(recorder), Some(input)) = (&mut self.recorder, heard) {
            let recorded = recorder.record(input, now, &effects, &self.core);
            self.end_recording_if(recorded);
        }
        for effect in effects {
            match effect {
                Effect::Render(request) => self.workers.render(request),
                Effect::Patch(request) => self.workers.patch(request, self.term),
                Effect::Evict(request) => self.workers.evict(request, self.term),
                Effect::WatchTriggers(triggers) => self.watches.set_triggers(triggers),
                Effect::WatchBackends(namespaces) => self.watches.set_backends(&namespaces),
                Effect::WriteState(record) => self.workers.write_state(*record, self.term),
                Effect::ProbeGuard => self.workers.probe_guard(),
                Effect::AskAlerts(request) => self.workers.ask_alerts(request),
                Effect::WriteEvent(event) => self.workers.write_event(event, now.wall, self.term),
                Effect::Notify(notice) => notices.push(notice),
                Effect::WakeAt(at) => self.wake = Some(at),
            }
        }
        notices
    }

    /// Ends a recording that cannot be written any more; the daemon goes on.
    fn end_recording_if(&mut self, recorded: anyhow::Result<()>) {
        if let Err(error) = recorded {
            tracing::warn!(reason = format!("{error:#}"), "the recording ends here; what it has can be replayed");
            self.recorder = None;
        }
    }

    /// Says it once when our clock is so wrong that it matters, and once when it is right again.
    fn warn_of_the_clock(&mut self, ahead: Option<SignedDuration>) {
        let off = ahead.is_some_and(|ahead| ahead.unsigned_abs() >= CLOCK_IS_OFF);
        if off != std::mem::replace(&mut self.clock_is_off, off) {
            let seconds = ahead.unwrap_or_default().as_secs();
            if off {
                tracing::warn!(
                    ahead_seconds = seconds,
                    "the clock of this machine differs from the API server's; it is corrected"
                );
            } else {
                tracing::info!("the clock of this machine agrees with the API server's again");
            }
        }
    }

    fn publish(&mut self, now: Now) {
        let flushed = self.recorder.as_mut().map_or(Ok(()), Recorder::flush);
        self.end_recording_if(flushed);
        let mut report = self.core.report(now);
        report.clock_ahead = self.clock.skew(clock::now());
        self.warn_of_the_clock(report.clock_ahead);
        report.led_by = self.published.leader().map(|leader| leader.name);
        let report = Arc::new(report);
        if report.progress != self.report.progress || report.renders != self.report.renders || self.core.rolling() {
            self.last_progress = now;
        }
        if let Some(notifier) =
            self.notifier.as_ref().filter(|_| report.leader && report.complete && !self.first_scan_notified)
        {
            notifier.first_scan(&report);
            self.first_scan_notified = true;
        }
        self.published.publish(report.clone());
        self.report = report;
    }

    /// Whether a one-shot command waits no longer for verdicts that are not there.
    fn gives_up(&self, now: Now) -> bool {
        let idle = now.elapsed.saturating_sub(self.last_progress.elapsed);
        // An injector that answers slowly is left alone for a while, which is no standstill.
        let patience = self.stall_timeout + if self.rests() { REST } else { Duration::ZERO };
        let spent = self.rests() && now.elapsed.saturating_sub(self.began) >= SLOW_INJECTOR_BUDGET;
        idle >= patience || spent
    }

    /// Some workload was not asked at all, because its injector is left alone for now.
    fn rests(&self) -> bool {
        self.report.workloads.iter().any(|w| w.reason == Some(UndeterminedReason::Throttled) && w.renders == 0)
    }

    fn done(&self, now: Now) -> bool {
        if let Some((since, _)) = self.stopping {
            // A person waits for the end of a rollout; for the daemon, the next leader follows it.
            let idle = self.core.idle() && !(self.person_watches && self.core.rolling());
            let patience = now.elapsed.saturating_sub(since) < SHUTDOWN_TIMEOUT || self.person_watches;
            if !idle && !patience {
                tracing::warn!("a write was not answered in time; whether it was carried out shows at the next start");
            }
            return idle || !patience;
        }
        let complete = self.report.complete || self.gives_up(now);
        match self.stop {
            StopWhen::Never => false,
            StopWhen::Complete => complete,
            StopWhen::RolledOut => complete && self.core.exhausted(),
        }
    }
}
