//! Wires the core to the cluster: one task that owns all state, and the workers that carry out its effects.

pub mod clock;
mod engine;
mod events;
mod leading;
mod signals;
mod workers;

use std::sync::Arc;

use anyhow::Context as _;

use crate::{
    cluster::{
        client::{Cluster, Connection, connect},
        state::StateStore,
    },
    config::{Config, StopWhen},
    core::{io::Notice, report::Report, state::StateRecord, state::Stop},
};

/// Is called whenever there is something to tell: with the newest report, and what happened since the last call.
pub type Progress<'a> = dyn FnMut(&Report, &[Notice]) + Send + 'a;

/// Connects, works until `stop` says so, and returns the last report.
pub fn run(config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<Arc<Report>> {
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
        as_user: None,
        request_timeout: Some(config.connection.request_timeout),
    };
    Ok(connect(&options).await?)
}

fn state_namespace(config: &Config, cluster: &Cluster) -> String {
    config.state_namespace.as_deref().unwrap_or_else(|| cluster.namespace()).to_owned()
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // Two workers are plenty: one task decides, the others wait for answers.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
