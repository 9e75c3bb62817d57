//! Carries out effects. Each worker sends exactly one reply.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    events::{self, Events},
    leadership::Leadership,
};
use crate::{
    clock,
    cluster::{
        client::Cluster,
        convert::KeptKeys,
        events::EventWriter,
        evict,
        guard::{self, Probe},
        last_read::LastRead,
        render::Renderer,
        rollout,
        state::StateStore,
    },
    config::Caller,
    core::io::{
        AlertsAnswer, AlertsReply, AlertsRequest, Event, EvictRequest, Input, PatchRequest, RenderRequest, StateRecord,
    },
    metrics,
    outbound::Prometheus,
};

/// Runs renderings, patches and state writes beside the engine.
#[derive(Debug)]
pub(super) struct Workers {
    cluster: Cluster,
    /// The namespace of this installation.
    own_namespace: String,
    keys: KeptKeys,
    renderer: Arc<Renderer>,
    /// From the confirmation of a rollout to its patch.
    last_read: LastRead,
    store: StateStore,
    /// Checked right before each write.
    leading: Leadership,
    inputs: mpsc::Sender<Input>,
    events: Events,
    /// Where alerts are read from.
    prometheus: Option<Prometheus>,
    tasks: JoinSet<()>,
}

impl Workers {
    pub(super) fn new(
        cluster: Cluster,
        own_namespace: String,
        keys: KeptKeys,
        store: StateStore,
        leading: Leadership,
        instance: &str,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let last_read = LastRead::default();
        let renderer = Arc::new(Renderer::new(cluster.clone(), keys.clone()).leaving(last_read.clone()));
        let (events, writing) = events::start(EventWriter::new(cluster.clone(), instance), leading.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(writing);
        Self {
            cluster,
            own_namespace,
            keys,
            renderer,
            last_read,
            store,
            leading,
            inputs,
            events,
            prometheus: None,
            tasks,
        }
    }

    /// Sends dry runs as another user from now on.
    pub(super) fn render_as(&mut self, caller: Caller) {
        let renderer = Renderer::new(self.cluster.clone(), self.keys.clone()).leaving(self.last_read.clone());
        self.renderer = Arc::new(renderer.calling_as(caller));
    }

    pub(super) fn render(&mut self, request: RenderRequest) {
        let (renderer, inputs) = (self.renderer.clone(), self.inputs.clone());
        self.tasks.spawn(async move {
            let began = clock::elapsed();
            let mut reply = renderer.render(&request).await;
            reply.took = clock::elapsed().saturating_sub(began);
            metrics::rendered(&reply.outcome, reply.took);
            // The receiver is gone only when the process ends.
            _ = inputs.send(Input::Rendered(Box::new(reply))).await;
        });
    }

    /// `term`: in which the core decided it. A decision of an earlier term is not written.
    pub(super) fn patch(&mut self, request: PatchRequest, term: Option<u64>) {
        let (cluster, stamp, inputs) = (self.cluster.clone(), self.keys.stamp.clone(), self.inputs.clone());
        let (last_read, may_write) = (self.last_read.clone(), self.may_write(term));
        self.tasks.spawn(async move {
            let reply = rollout::patch(&cluster, &stamp, &last_read, &request, &may_write).await;
            _ = inputs.send(Input::Patched(reply)).await;
        });
    }

    /// `term`: as for a patch.
    pub(super) fn evict(&mut self, request: EvictRequest, term: Option<u64>) {
        let (cluster, inputs) = (self.cluster.clone(), self.inputs.clone());
        let may_write = self.may_write(term);
        self.tasks.spawn(async move {
            let reply = evict::evict(&cluster, &request, &may_write).await;
            _ = inputs.send(Input::Evicted(reply)).await;
        });
    }

    /// `term`: as for a patch.
    pub(super) fn write_state(&mut self, record: StateRecord, term: Option<u64>) {
        let (store, inputs) = (self.store.clone(), self.inputs.clone());
        let may_write = self.may_write(term);
        self.tasks.spawn(async move {
            store.write_and_notify(&record, &may_write, &inputs).await;
        });
    }

    fn may_write(&self, term: Option<u64>) -> impl Fn() -> bool + Send + Sync + use<> {
        let leading = self.leading.clone();
        move || leading.holds_in(term)
    }

    pub(super) fn probe_guard(&mut self) {
        let (cluster, own_namespace, inputs) = (self.cluster.clone(), self.own_namespace.clone(), self.inputs.clone());
        self.tasks.spawn(async move {
            let refused = match guard::probe(&cluster, &own_namespace).await {
                Probe::Refused => true,
                Probe::Admitted => false,
                Probe::Unknown(reason) => {
                    tracing::warn!(reason, "whether the guard is in force is not known");
                    false
                }
            };
            _ = inputs.send(Input::Guard(refused)).await;
        });
    }

    /// Reads alerts from this Prometheus from now on.
    pub(super) fn set_prometheus(&mut self, prometheus: Option<Prometheus>) {
        self.prometheus = prometheus;
    }

    pub(super) fn ask_alerts(&mut self, request: AlertsRequest) {
        let (prometheus, inputs) = (self.prometheus.clone(), self.inputs.clone());
        self.tasks.spawn(async move {
            let AlertsRequest { ticket, matchers } = request;
            let answer = match prometheus {
                Some(prometheus) => prometheus.ask(&matchers).await,
                None => AlertsAnswer::Unknown { message: "there is nobody to ask".to_owned() },
            };
            _ = inputs.send(Input::Alerts(AlertsReply { ticket, answer })).await;
        });
    }

    /// `term`: as for a patch.
    pub(super) fn write_event(&mut self, event: Event, at: Timestamp, term: Option<u64>) {
        self.events.write(event, at, term);
    }

    /// Runs a task for the life of the process; a panic in it ends the process.
    pub(super) fn spawn_for_life(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits until a worker panics; otherwise never returns.
    pub(super) async fn failed(&mut self) -> tokio::task::JoinError {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) if error.is_panic() => return error,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}
