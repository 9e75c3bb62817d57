//! What a person does to an installation that runs: pause, resume, retry, accept, and ask how it stands.
//!
//! Each command leaves its word in the cluster, in the state ConfigMap or on the workload, with the person's own rights. The
//! daemon reads it there: nothing here talks to the engine.

mod status;

use anyhow::Context as _;

pub use self::status::{DaemonStatus, LeaseHolder};
use crate::{
    cluster::{
        accept,
        client::{Cluster, Connection, connect},
        state::{Begins, StateStore, Unread},
    },
    config::{Config, LeaseId},
    core::{
        io::{Retry, StateRecord, Stop, WorkloadRef},
        model::{Name, WorkloadKey, owner::Kind},
    },
};

/// A workload as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedWorkload {
    /// Its kind.
    pub kind: Kind,
    /// `None`: in that of the kubeconfig's context.
    pub namespace: Option<Name>,
    /// Its name.
    pub name: Name,
}

/// An installation of the daemon, reached by way of the cluster that it runs in.
#[derive(Clone, Debug)]
pub struct Installation {
    cluster: Cluster,
    /// Where its state ConfigMap is.
    namespace: String,
    state: StateStore,
    lease: LeaseId,
}

impl Installation {
    /// Connects to the cluster of this configuration.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        let cluster = connect(&Connection::from(&config.connection)).await?;
        let namespace = config.state_namespace_or(cluster.namespace()).to_owned();
        let state = StateStore::new(cluster.clone(), &namespace);
        Ok(Self { cluster, namespace, state, lease: config.lease.clone() })
    }

    /// The time as the API server has it, once it has answered.
    fn now(&self) -> jiff::Timestamp {
        self.cluster.clock().now().wall
    }

    /// Writes into the state ConfigMap that all rollouts are paused, and why.
    pub async fn pause(&self, reason: &str) -> anyhow::Result<()> {
        let stop = |state: &mut StateRecord| state.paused = Some(Stop { reason: reason.to_owned(), at: self.now() });
        self.state.edit(Begins::Missing, stop).await?;
        Ok(())
    }

    /// Lifts the pause and closes the breaker. A state ConfigMap that is missing or cannot be read is begun anew; then the
    /// answer says why.
    pub async fn resume(&self) -> anyhow::Result<Option<String>> {
        let edit = self.state.edit(Begins::Anything, |state| {
            state.resumed = Some(self.now());
            state.paused = None;
            state.breaker = None;
            // What opened the breaker is settled with it, and so is what a canary could not prove.
            state.recent.clear();
            state.canaries.retain(|_, canary| canary.converged.is_some());
        });
        Ok(edit.await?.as_ref().map(Unread::to_string))
    }

    /// Looks for a workload.
    pub async fn find(&self, named: &NamedWorkload) -> anyhow::Result<WorkloadRef> {
        let namespace = named.namespace.clone().unwrap_or_else(|| self.cluster.namespace().into());
        let key = WorkloadKey { namespace, kind: named.kind, name: named.name.clone() };
        let uid = accept::workload_uid(&self.cluster, &key).await?;
        let uid = uid.with_context(|| format!("there is no {key}; name its namespace with `--namespace`"))?;
        Ok(WorkloadRef { key, uid })
    }

    /// Writes into the state ConfigMap that rollouts of this workload until now do not count any more.
    pub async fn retry(&self, workload: &WorkloadRef) -> anyhow::Result<()> {
        let edit = self.state.edit(Begins::Nothing, |state| {
            state.locks.remove(&workload.uid);
            let word = Retry { workload: workload.key.clone(), at: self.now() };
            state.retries.insert(workload.uid.clone(), word);
        });
        edit.await?;
        Ok(())
    }

    /// Writes onto the workload that its drift is accepted until then, and why.
    pub async fn accept(&self, workload: &WorkloadRef, until: &str, reason: &str) -> anyhow::Result<()> {
        Ok(accept::accept_drift(&self.cluster, workload, until, reason).await?)
    }
}
