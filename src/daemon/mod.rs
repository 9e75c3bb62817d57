//! Wires the core to the cluster: one task that owns all state, and the workers that carry out its effects.

pub mod clock;
mod engine;
mod events;
mod leading;
mod listen;
pub mod recording;
mod reload;
mod signals;
mod status;
mod workers;

use std::sync::Arc;

use anyhow::Context as _;
use http::Uri;

pub use self::status::{DaemonStatus, Leader, status};
use crate::{
    cluster::{
        client::{Cluster, Connection, connect},
        say,
        state::StateStore,
    },
    config::{Config, StopWhen},
    core::{
        io::{Notice, Retry, StateRecord, Stop, WorkloadRef},
        model::{Name, WorkloadKey, owner::Kind},
        report::Report,
    },
    outbound,
};

/// Is called whenever there is something to tell: with the newest report, and what happened since the last call.
pub type Progress<'a> = dyn FnMut(&Report, &[Notice]) + Send + 'a;

/// How a run came to its end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What was known at the end.
    pub report: Arc<Report>,
    /// The signal that ended it before its time, if one did.
    pub stopped: Option<Stopped>,
}

/// A run that a signal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// How we were asked.
    pub by: Asked,
    /// We were asked twice, and left what was under way.
    pub at_once: bool,
}

/// How we can be asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// By SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// By SIGTERM: Kubernetes, or a service manager.
    Terminate,
}

/// Connects, works until `stop` says so, and returns the last report.
pub fn run(config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<Ended> {
    let runtime = runtime()?;
    let ended = runtime.block_on(engine::run(config, stop, progress));
    // A name that is being looked up, or a login plugin that waits for somebody, must not keep us.
    runtime.shutdown_background();
    ended
}

/// Writes into the state ConfigMap that all rollouts are paused, and why.
pub fn pause(config: &Config, reason: &str) -> anyhow::Result<()> {
    let stop = Stop { reason: reason.to_owned(), at: clock::now().wall };
    edit_state(config, |state| state.paused = Some(stop.clone()))
}

/// What a daemon serves at this address.
pub fn fetch(url: &Uri) -> anyhow::Result<String> {
    let body = runtime()?.block_on(outbound::get(url))?;
    String::from_utf8(body.into()).context("the answer is no text")
}

/// Lifts the pause and closes the breaker; creates the state ConfigMap if it is missing.
pub fn resume(config: &Config) -> anyhow::Result<()> {
    edit_state(config, |state| {
        state.paused = None;
        state.breaker = None;
        // What opened the breaker is settled with it, and so is what a canary could not prove.
        state.recent.clear();
        state.canaries.retain(|_, canary| canary.converged.is_some());
    })
}

/// A workload as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whom {
    /// Its kind.
    pub kind: Kind,
    /// `None`: in that of the kubeconfig's context.
    pub namespace: Option<Name>,
    /// Its name.
    pub name: Name,
}

/// Looks for a workload.
pub fn find(config: &Config, whom: &Whom) -> anyhow::Result<WorkloadRef> {
    runtime()?.block_on(async {
        let cluster = connected(config).await?;
        let namespace = whom.namespace.clone().unwrap_or_else(|| cluster.namespace().into());
        let key = WorkloadKey { namespace, kind: whom.kind, name: whom.name.clone() };
        let uid = say::uid(&cluster, &key).await?;
        let uid = uid.with_context(|| format!("there is no {key}; name its namespace with `--namespace`"))?;
        Ok(WorkloadRef { key, uid })
    })
}

/// Writes into the state ConfigMap that rollouts of this workload until now do not count any more.
pub fn retry(config: &Config, workload: &WorkloadRef) -> anyhow::Result<()> {
    let word = Retry { workload: workload.key.clone(), at: clock::now().wall };
    edit_state(config, |state| {
        state.locks.remove(&workload.uid);
        state.retries.insert(workload.uid.clone(), word.clone());
    })
}

/// Writes onto the workload that its drift is accepted until then, and why.
pub fn accept(config: &Config, workload: &WorkloadRef, until: &str, reason: &str) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let cluster = connected(config).await?;
        Ok(say::accept(&cluster, workload, until, reason).await?)
    })
}

fn edit_state(config: &Config, edit: impl Fn(&mut StateRecord)) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let cluster = connected(config).await?;
        StateStore::new(cluster.clone(), &state_namespace(config, &cluster)).edit(edit).await?;
        Ok(())
    })
}

async fn connected(config: &Config) -> anyhow::Result<Cluster> {
    let options = Connection {
        kubeconfig: config.connection.kubeconfig.clone(),
        context: config.connection.context.clone(),
        as_user: config.connection.as_user.clone(),
        request_timeout: Some(config.connection.request_timeout),
    };
    Ok(connect(&options).await?)
}

fn state_namespace(config: &Config, cluster: &Cluster) -> String {
    config.state_namespace.as_deref().unwrap_or_else(|| cluster.namespace()).to_owned()
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // One task decides, on a thread of its own, and the others wait for answers nearly all the time: one worker is plenty, and
    // each more costs an arena of the allocator.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
