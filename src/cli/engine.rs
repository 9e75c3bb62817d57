//! The interface between the commands and the engine, so that tests of commands can use a fake.

use std::collections::BTreeSet;

use anyhow::Context as _;
use http::Uri;
use jiff::Timestamp;

use crate::{
    clock,
    config::{Config, StopWhen},
    core::io::{Notice, WatchKind, WatchSource, WorkloadRef},
    daemon,
    operator::Installation,
    outbound::{Client, Limits},
};

pub use crate::{
    daemon::{Place, Progress, RunResult, StopSignal, Stopped, Told},
    operator::{DaemonStatus, LeaseHolder, NamedWorkload},
};

/// What commands need of the engine and of a running installation.
pub trait Engine {
    /// Connects, works until `stop` says so, and returns the last report.
    fn run(&self, config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<RunResult>;

    /// Writes into the state ConfigMap that all rollouts are paused, and why.
    fn pause(&self, config: &Config, reason: &str) -> anyhow::Result<()>;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Looks for a workload by its kind and name, in this namespace or in that of the kubeconfig's context.
    fn find(&self, config: &Config, named: &NamedWorkload) -> anyhow::Result<WorkloadRef>;

    /// Writes into the state ConfigMap that rollouts of this workload until now do not count any more.
    fn retry(&self, config: &Config, workload: &WorkloadRef) -> anyhow::Result<()>;

    /// Writes onto the workload that its drift is accepted until then, and why.
    fn accept(&self, config: &Config, workload: &WorkloadRef, until: &str, reason: &str) -> anyhow::Result<()>;

    /// What the daemon left in the cluster, who leads, and what that one's API says: at `api`, if an address is given.
    fn status(&self, config: &Config, api: Option<&Uri>) -> anyhow::Result<DaemonStatus>;

    /// What is served at this address.
    fn fetch(&self, url: &Uri) -> anyhow::Result<String>;

    /// Lifts the pause and closes the breaker. A state ConfigMap that is missing or cannot be read is begun anew; then the
    /// answer says why.
    fn resume(&self, config: &Config) -> anyhow::Result<Option<String>>;

    /// Closes the breaker in one namespace. What stops that one all the same, as a sentence.
    fn resume_in(&self, config: &Config, namespace: &str) -> anyhow::Result<Option<String>>;
}

/// The real engine.
#[derive(Clone, Copy, Debug)]
pub struct Daemon;

impl Engine for Daemon {
    fn run(&self, config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<RunResult> {
        daemon::run(config, stop, progress)
    }

    fn pause(&self, config: &Config, reason: &str) -> anyhow::Result<()> {
        block_on(async { Installation::connect(config).await?.pause(reason).await })
    }

    fn now(&self) -> Timestamp {
        clock::now().wall
    }

    fn find(&self, config: &Config, named: &NamedWorkload) -> anyhow::Result<WorkloadRef> {
        block_on(async { Installation::connect(config).await?.find(named).await })
    }

    fn retry(&self, config: &Config, workload: &WorkloadRef) -> anyhow::Result<()> {
        block_on(async { Installation::connect(config).await?.retry(workload).await })
    }

    fn accept(&self, config: &Config, workload: &WorkloadRef, until: &str, reason: &str) -> anyhow::Result<()> {
        block_on(async { Installation::connect(config).await?.accept(workload, until, reason).await })
    }

    fn status(&self, config: &Config, api: Option<&Uri>) -> anyhow::Result<DaemonStatus> {
        block_on(async { Installation::connect(config).await?.status(api).await })
    }

    fn fetch(&self, url: &Uri) -> anyhow::Result<String> {
        let client = Client::plain(Limits::EXTERNAL);
        let body = block_on(async { Ok(client.get(url).await?) })?;
        String::from_utf8(body.into()).context("the answer is no text")
    }

    fn resume(&self, config: &Config) -> anyhow::Result<Option<String>> {
        block_on(async { Installation::connect(config).await?.resume().await })
    }

    fn resume_in(&self, config: &Config, namespace: &str) -> anyhow::Result<Option<String>> {
        block_on(async { Installation::connect(config).await?.resume_in(namespace).await })
    }
}

/// Runs a future to its end.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    daemon::runtime()?.block_on(work)
}

/// Runs the engine, and fails if it finds no workload because RBAC lets us see none.
pub(super) fn run_expecting_workloads(
    engine: &dyn Engine,
    config: Config,
    stop: StopWhen,
    progress: &mut Progress<'_>,
) -> anyhow::Result<RunResult> {
    let mut unseen = BTreeSet::new();
    let ended = engine.run(config, stop, &mut |told| {
        if let Told::Moved(_, notices) = told {
            unseen.extend(notices.iter().filter_map(unseen_workloads).cloned());
        }
        progress(told);
    })?;
    if ended.report.workloads.is_empty() && !unseen.is_empty() {
        let kinds: BTreeSet<_> = unseen.iter().filter_map(|source| plural(source.kind)).collect();
        let places: BTreeSet<_> = unseen.iter().filter_map(|source| source.namespace.as_deref()).collect();
        let place = match Vec::from_iter(places).join(", ") {
            all if all.is_empty() => "all namespaces".to_owned(),
            some => format!("namespace {some}"),
        };
        let kinds = Vec::from_iter(kinds).join(", ");
        anyhow::bail!("no workload can be seen: grant us by RBAC to list and watch {kinds} in {place}");
    }
    Ok(ended)
}

/// The watch that a notice reports as unavailable, if verdicts need it.
fn unseen_workloads(notice: &Notice) -> Option<&WatchSource> {
    match notice {
        Notice::WatchUnavailable { source, .. } if plural(source.kind).is_some() => Some(source),
        _ => None,
    }
}

/// The plural of a kind that verdicts need, as RBAC spells it.
fn plural(kind: WatchKind) -> Option<&'static str> {
    match kind {
        WatchKind::Pods => Some("pods"),
        WatchKind::Workloads(kind) => Some(kind.row().plural),
        WatchKind::ReplicaSets => Some("replicasets"),
        _ => None,
    }
}
