//! The loop: input in, effects out.

use std::{collections::HashSet, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    Asked, Ended, Progress, Stopped, clock, connected,
    leading::{self, GiveBack, Leading},
    recording::Recorder,
    signals::Signals,
    state_namespace,
    workers::Workers,
};
use crate::{
    cluster::{
        client::{Cluster, Server},
        convert::Keys,
        lease::LeaseStore,
        state::StateStore,
        watch::{Scope, Watches},
    },
    config::{Config, LeaderElection, LeaseId, StopWhen, WatchSet},
    core::{
        config::{Mode, Policy},
        io::{Effect, Input, Notice, WatchEvent, WatchSource},
        model::{Name, lease::Election, time::Now},
        report::Report,
        step::Core,
    },
    http::Published,
    metrics,
    notify::Notifier,
    outbound::Prometheus,
};

/// Inputs that may wait for the engine; beyond it the watches wait, which costs memory on nobody's side. Each is an object
/// that shares nothing with others yet, a Pod some 10 KB.
const INPUTS: usize = 64;
/// The engine shows signs of life this often, whatever happens.
const TICK: Duration = Duration::from_secs(1);
/// Readers get a new report at most this often.
const PUBLISH: Duration = Duration::from_millis(250);
/// A shutdown waits this long for a patch in flight: Kubernetes kills us after 30 s. Nearly all are answered within one
/// second; one that is not may have been written, and whoever comes next finds that out from the stamp.
const LAST_WORDS: Duration = Duration::from_secs(25);
/// A one-shot command that has heard nothing new for this long, beside the pauses that were asked for, shows what it has.
const STALLED: Duration = Duration::from_secs(30);

pub(super) async fn run(config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<Ended> {
    let mut signals = Signals::listen()?;
    // In a task of its own, so that we can be stopped while a server, or a login plugin, keeps us waiting.
    let mut greeting = JoinSet::new();
    greeting.spawn(greet(config.clone(), stop));
    let (cluster, server) = tokio::select! {
        biased;
        by = signals.asked() => return Ok(stopped_early(config.policy, by)),
        Some(greeted) = greeting.join_next() => greeted.context("cannot begin")??,
    };
    let namespaces = match &config.watch {
        WatchSet::Cluster => None,
        WatchSet::Namespaces(namespaces) => Some(namespaces.clone()),
    };
    let (sender, inputs) = mpsc::channel(INPUTS);
    let keys = Keys::of(&config.policy);
    let own = state_namespace(&config, &cluster);
    let store = StateStore::new(cluster.clone(), &own);
    let me = leading::identity(config.election.as_ref().and_then(|election| election.identity.as_deref()))?;
    let published = Published::new(clock::elapsed);
    published.watching(cluster.watches().clone());
    let (leading, give_back, keeper) = stand(&config, &cluster, &own, &me, &published);
    let mut workers =
        Workers::new(cluster.clone(), own, keys.clone(), store.clone(), leading.clone(), &me, sender.clone());
    workers.render_as(config.render_as.clone());
    workers.ask_alerts_of(config.alerts.as_deref().map(Prometheus::new).transpose()?);
    if let Some(keeper) = keeper {
        workers.also(keeper);
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
    let streaming = server.streaming_lists;
    let watches = Watches::start(cluster, server, scope, sender.clone());
    let now = clock::now();
    let seed = now.wall.as_nanosecond().unsigned_abs();
    let seed = u64::try_from(seed % u128::from(u64::MAX)).unwrap_or_default();
    let core = Core::new(config.policy.clone(), watches.sources(), seed, now);
    let begin = |wanted| Recorder::begin(wanted, &config.policy, watches.sources(), seed, now);
    let recorder = config.recording.as_ref().map(begin).transpose()?;
    let mut first = Vec::new();
    if config.policy.mode == Mode::Enforce {
        // A person's rollout starts at once, so what the ConfigMap says must be known before.
        if stop != StopWhen::Never {
            match store.read().await {
                Ok(state) => first.push(Input::State(state)),
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the state is not known"),
            }
        }
        workers.also(store.watch(streaming, sender));
    }
    let (obeyed, changes) = mpsc::channel(1);
    let patience = patience(&config.policy);
    let seen_by_a_person = config.policy.one_shot && stop == StopWhen::RolledOut;
    workers.also(super::reload::watch(config, obeyed));
    let report = Arc::new(core.report(now));
    let listed = HashSet::new();
    let mut engine = Engine {
        core,
        recorder,
        watches,
        workers,
        published,
        notifier,
        looked: false,
        leading,
        term: None,
        stop,
        report,
        wake: None,
        listed,
        heard: now,
        patience,
        stopping: None,
        watched: seen_by_a_person,
        changes,
    };
    for input in first {
        let notices = engine.step(input, now);
        engine.told(&notices, progress);
    }
    let ended = engine.work(inputs, signals, progress).await;
    if let Some(give_back) = give_back
        && ended.is_ok()
    {
        give_back.now().await;
    }
    ended
}

type Keeper = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Stands for election, where there is one: how to know whether we lead, how to stop, and the task that sees to it.
fn stand(
    config: &Config,
    cluster: &Cluster,
    own: &str,
    me: &Name,
    published: &Published,
) -> (Leading, Option<GiveBack>, Option<Keeper>) {
    let Some(LeaderElection { times, identity: _ }) = &config.election else {
        return (Leading::always(), None, None);
    };
    let LeaseId { name, namespace } = &config.lease;
    let namespace = namespace.as_deref().unwrap_or(own);
    tracing::info!(lease = format!("{namespace}/{name}"), identity = &**me, "standing for election");
    let store = LeaseStore::new(cluster.clone(), namespace, name);
    let reached = config.api_advertise.map(|address| Name::from(address.to_string())).unwrap_or_default();
    let election = Election::new(me.clone(), *times).reached_at(reached);
    let (leading, give_back, keeper) = leading::keep(election, *times, store, published.clone());
    (leading, Some(give_back), Some(Box::pin(keeper)))
}

/// Connects, and finds out what the server is and whether what we were told to look at exists.
async fn greet(config: Config, stop: StopWhen) -> anyhow::Result<(Cluster, Server)> {
    let cluster = connected(&config).await?;
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
            // A daemon may be there before its namespaces are.
            anyhow::ensure!(stop == StopWhen::Never, "there is no namespace `{namespace}`: check `--namespace`");
            tracing::warn!(%namespace, "there is no such namespace, yet");
        }
    }
    if let Some(namespace) = &config.policy.what_if.namespace {
        let exists = cluster.has_namespace(namespace).await != Some(false);
        anyhow::ensure!(exists, "there is no namespace `{namespace}`: check `--what-if-namespace`");
    }
    Ok((cluster, server))
}

/// Nothing was begun, so nothing is to be finished.
fn stopped_early(policy: Policy, by: Asked) -> Ended {
    tracing::info!("stopped before the API server answered");
    let now = clock::now();
    let report = Arc::new(Core::new(policy, [], 0, now).report(now));
    Ended { report, stopped: Some(Stopped { by, at_once: false }) }
}

/// How long a one-shot command waits for news: none can come while it pauses because it was told to.
fn patience(policy: &Policy) -> Duration {
    let between_renders = Duration::try_from_secs_f64(1.0 / policy.renders_per_second).unwrap_or_default();
    STALLED + policy.settle + policy.render_spacing + between_renders
}

struct Engine {
    core: Core,
    recorder: Option<Recorder>,
    watches: Watches,
    workers: Workers,
    published: Published,
    /// Tells the webhook, if there is one.
    notifier: Option<Notifier>,
    /// It has been told of what differed already when we began to lead.
    looked: bool,
    leading: Leading,
    /// The term that the core knows of; `None`: it knows that we do not lead.
    term: Option<u64>,
    stop: StopWhen,
    /// The newest report.
    report: Arc<Report>,
    /// When the core wants to be woken.
    wake: Option<Duration>,
    /// The watches that brought their first list, or cannot.
    listed: HashSet<WatchSource>,
    /// When something was heard last that moved the report on.
    heard: Now,
    /// How long a one-shot command waits for more.
    patience: Duration,
    /// Since when we are asked to stop, and how.
    stopping: Option<(Duration, Asked)>,
    /// A person watches the rollouts.
    watched: bool,
    /// New configurations.
    changes: mpsc::Receiver<Config>,
}

impl Engine {
    async fn work(
        &mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut signals: Signals,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<Ended> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unpublished = true;
        let mut last = Duration::ZERO;
        loop {
            let until = self.until_wake(unpublished, last);
            let input = tokio::select! {
                biased;
                by = signals.asked() => {
                    if self.stopping.replace((clock::elapsed(), by)).is_some() {
                        self.publish(clock::now());
                        return Ok(self.ended(true));
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
            let now = clock::now();
            if self.look_who_leads(now, progress) {
                unpublished = true;
            }
            let due = self.wake.is_some_and(|at| at <= now.elapsed);
            if let Some(input) = input.or(due.then_some(Input::Timer)) {
                if due {
                    self.wake = None;
                }
                self.hear(&input, now);
                let notices = self.step(input, now);
                unpublished = true;
                self.told(&notices, progress);
            }
            // Whoever waits for the end of a one-shot command does not wait for the next report's turn, too.
            let over = unpublished && self.stop == StopWhen::Complete && self.core.started();
            let over = over && self.core.awaits_no_rendering() && inputs.is_empty();
            if over || now.elapsed.saturating_sub(last) >= PUBLISH && (unpublished || inputs.is_empty()) {
                last = now.elapsed;
                unpublished = false;
                self.publish(now);
                progress(&self.report, &[]);
                if self.done(now) {
                    return Ok(self.ended(false));
                }
            }
        }
    }

    fn ended(&self, at_once: bool) -> Ended {
        let stopped = self.stopping.map(|(_, by)| Stopped { by, at_once });
        Ended { report: self.report.clone(), stopped }
    }

    fn until_wake(&self, unpublished: bool, last: Duration) -> Duration {
        let now = clock::elapsed();
        let publish = unpublished.then(|| last + PUBLISH);
        let next = [self.wake, publish].into_iter().flatten().min();
        next.map_or(TICK, |at| at.saturating_sub(now))
    }

    /// A list that is still coming in is news, however long it takes.
    fn hear(&mut self, input: &Input, now: Now) {
        if let Input::Watch { source, event } = input
            && !self.listed.contains(source)
        {
            self.heard = now;
            if matches!(event, WatchEvent::ResetDone | WatchEvent::Unavailable { .. }) {
                self.listed.insert(source.clone());
            }
        }
    }

    /// Tells the core when we begin or cease to lead; whether it did. Before each step, so that a process that was frozen
    /// begins nothing that is another's by now.
    fn look_who_leads(&mut self, now: Now, progress: &mut Progress<'_>) -> bool {
        let term = self.leading.term(now.elapsed);
        let known = std::mem::replace(&mut self.term, term);
        if known == term {
            return false;
        }
        if known.is_some() {
            tracing::warn!("another replica may lead from now on");
            let notices = self.step(Input::Leadership(false), now);
            self.told(&notices, progress);
        }
        if term.is_some() {
            tracing::info!("leading");
            self.looked = false;
            let notices = self.step(Input::Leadership(true), now);
            self.told(&notices, progress);
        }
        true
    }

    fn told(&self, notices: &[Notice], progress: &mut Progress<'_>) {
        if !notices.is_empty() {
            notices.iter().for_each(metrics::told);
            if let Some(notifier) = &self.notifier {
                for notice in notices {
                    notifier.told(notice, !self.looked);
                }
            }
            progress(&self.report, notices);
        }
    }

    /// One step, and its effects on their way.
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
                Effect::WriteState(record) => self.workers.write_state(record, self.term),
                Effect::ProbeGuard => self.workers.probe_guard(),
                Effect::AskAlerts(request) => self.workers.ask_alerts(request),
                Effect::WriteEvent(event) => self.workers.write_event(event, now.wall, self.term),
                Effect::Tell(notice) => notices.push(notice),
                Effect::WakeAt(at) => self.wake = Some(at),
            }
        }
        notices
    }

    /// What cannot be recorded any more is no reason to stop working.
    fn end_recording_if(&mut self, recorded: anyhow::Result<()>) {
        if let Err(error) = recorded {
            tracing::warn!(reason = format!("{error:#}"), "the recording ends here; what it has can be replayed");
            self.recorder = None;
        }
    }

    fn publish(&mut self, now: Now) {
        let flushed = self.recorder.as_mut().map_or(Ok(()), Recorder::flush);
        self.end_recording_if(flushed);
        let mut report = self.core.report(now);
        report.led_by = self.published.leader().map(|leader| leader.name);
        let report = Arc::new(report);
        if report.progress != self.report.progress || report.renders != self.report.renders || self.core.rolling() {
            self.heard = now;
        }
        if let Some(notifier) = self.notifier.as_ref().filter(|_| report.leader && report.complete && !self.looked) {
            notifier.looked(&report);
            self.looked = true;
        }
        self.published.publish(report.clone());
        self.report = report;
    }

    fn done(&self, now: Now) -> bool {
        if let Some((since, _)) = self.stopping {
            // Whoever watches a rollout wants to see it end; the daemon's next replica will.
            let idle = self.core.idle() && !(self.watched && self.core.rolling());
            let patience = now.elapsed.saturating_sub(since) < LAST_WORDS || self.watched;
            if !idle && !patience {
                tracing::warn!("a write was not answered in time; whether it was carried out shows at the next start");
            }
            return idle || !patience;
        }
        let complete = self.report.complete || now.elapsed.saturating_sub(self.heard.elapsed) >= self.patience;
        match self.stop {
            StopWhen::Never => false,
            StopWhen::Complete => complete,
            StopWhen::RolledOut => complete && self.core.exhausted(),
        }
    }
}
