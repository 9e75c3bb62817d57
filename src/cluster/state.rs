//! The ConfigMap that outlives the process: pause, breaker, canaries.
//!
//! It is written under an optimistic lock only. Whoever loses gets what the winner wrote.

use std::{future::Future, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use super::{
    client::{Answer, Call, Cluster, Error, FIELD_MANAGER, NoAnswer, chain},
    paths,
    watch::{self, FullObject, Target, WatchUpdate},
};
use crate::core::{
    io::{Input, StateRecord, WatchKind},
    model::{ConfigKind, Name},
};

/// The ConfigMap's name.
pub const CONFIG_MAP: &str = "sidecar-drift-state";

/// When to read again what could not be read after a write.
const READ_AGAIN: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10)];

/// So often a person's change is tried when others write, too. The daemon writes at most once a rollout.
const EDIT_ATTEMPTS: u32 = 5;

/// What is refused when it cannot be read.
const READ: &str = "read the ConfigMap sidecar-drift-state";

/// The key in the ConfigMap's data.
const KEY: &str = "state.json";

/// The state ConfigMap of one namespace. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StateStore {
    cluster: Cluster,
    namespace: Arc<str>,
    /// The version that the core has heard of last. Locked from a request to the telling of its answer, so that what the
    /// watch sees of our own write comes after the answer, and is dropped.
    last_notified: Arc<Mutex<Option<u64>>>,
}

impl StateStore {
    /// The one in this namespace.
    pub fn new(cluster: Cluster, namespace: &str) -> Self {
        Self { cluster, namespace: Arc::from(namespace), last_notified: Arc::default() }
    }

    /// Send [`Input::State`] now and whenever the ConfigMap changes, until nobody listens any more.
    ///
    /// `streaming`: [`Server::streaming_lists`](super::client::Server::streaming_lists).
    pub fn watch(&self, streaming: bool, inputs: mpsc::Sender<Input>) -> impl Future<Output = ()> + Send + use<> {
        let (cluster, last_notified) = (self.cluster.clone(), self.last_notified.clone());
        let target = Target {
            row: watch::row(WatchKind::Configs(ConfigKind::ConfigMap), ""),
            namespace: Some(self.namespace.to_string()),
            name: Some(CONFIG_MAP.to_owned()),
            streaming,
            many: false,
            counted_as: WatchKind::Configs(ConfigKind::ConfigMap).plural(),
        };
        async move {
            // One that lost its connection begins anew, with a list.
            while !inputs.is_closed() {
                Self::follow(&cluster, target.clone(), &inputs, &last_notified).await;
            }
        }
    }

    /// Follows it until nobody listens any more, or its watch has a connection again.
    async fn follow(
        cluster: &Cluster,
        target: Target,
        inputs: &mpsc::Sender<Input>,
        last_notified: &Arc<Mutex<Option<u64>>>,
    ) {
        let mut found = false;
        watch::follow::<FullObject, _>(cluster, target, |update| {
            let resumed = matches!(update, WatchUpdate::Resumed);
            let state = match update {
                WatchUpdate::ResetStarted => {
                    found = false;
                    None
                }
                WatchUpdate::Apply(Some((_, whole))) => {
                    found = true;
                    Some(whole.object().and_then(record))
                }
                WatchUpdate::ResetDone if found => None,
                WatchUpdate::Apply(None) | WatchUpdate::Resumed => None,
                // While it has no connection a pause would not be heard of.
                WatchUpdate::ResetDone | WatchUpdate::Delete(_) | WatchUpdate::Interrupted => Some(None),
                WatchUpdate::Unavailable { message, .. } => {
                    tracing::warn!(reason = message, "cannot watch the state ConfigMap; all rollouts are paused");
                    Some(None)
                }
            };
            let (inputs, last_notified) = (inputs.clone(), last_notified.clone());
            async move {
                if resumed {
                    return false;
                }
                let Some(state) = state else { return !inputs.is_closed() };
                let mut last_notified = last_notified.lock().await;
                let seen = version(state.as_ref());
                // Taken for news, an old state would undo what was heard since: a pause, say.
                if seen.is_some() && seen <= *last_notified {
                    return !inputs.is_closed();
                }
                *last_notified = seen;
                inputs.send(Input::State(state)).await.is_ok()
            }
        })
        .await;
    }

    /// Read it. `None`: there is none, or what it holds makes no sense.
    pub async fn read(&self) -> Result<Option<StateRecord>, Error> {
        let answer = self.get().await?;
        match answer.status.as_u16() {
            200 => Ok(record(&self.config_map(&answer)?)),
            404 => Ok(None),
            _ => Err(self.refused(READ, &answer)),
        }
    }

    /// Carry out [`Effect::WriteState`](crate::core::io::Effect::WriteState) and send what came of it as
    /// [`Input::State`]. Whoever watches hears of each version once, in the order of the versions.
    ///
    /// `may_write` is asked right before: it says whether we lead at this very moment. If not, it is only read.
    pub async fn write_and_notify(
        &self,
        state: &StateRecord,
        may_write: &(dyn Fn() -> bool + Send + Sync),
        inputs: &mpsc::Sender<Input>,
    ) {
        let mut last_notified = self.last_notified.lock().await;
        let written = if may_write() { self.write(state).await } else { self.read_or_none().await };
        *last_notified = version(written.as_ref());
        // Nobody listens any more only when the process ends.
        _ = inputs.send(Input::State(written)).await;
    }

    /// Write it. The answer is what the ConfigMap holds afterwards: the record itself, or what somebody else wrote
    /// meanwhile; `None` if that cannot be found out.
    pub async fn write(&self, state: &StateRecord) -> Option<StateRecord> {
        // A record without a version was not read from the ConfigMap, so it must not replace what is there.
        let Some(version) = &state.resource_version else { return self.read_or_none().await };
        match self.try_write(state, version).await {
            Ok(answer) if answer.status.is_success() => match self.config_map(&answer) {
                Ok(config_map) => return record(&config_map),
                Err(error) => tracing::warn!(error = chain(&error), "state may not have been written"),
            },
            Ok(answer) => tracing::warn!(status = %answer.status, reason = answer.message(), "state not written"),
            Err(error) => tracing::warn!(error = error.sentence(), "state may not have been written"),
        }
        self.read_or_none().await
    }

    /// Change what it holds, whatever that is: a missing one is created, and one that makes no sense is begun anew. Reads
    /// again when somebody else was faster.
    pub async fn edit(&self, edit: impl Fn(&mut StateRecord)) -> Result<(), Error> {
        const WRITE: &str = "write the ConfigMap sidecar-drift-state";
        let mut attempts = 1;
        loop {
            let answer = self.get().await?;
            let found = match answer.status.as_u16() {
                200 => Some(self.config_map(&answer)?),
                404 => None,
                _ => return Err(self.refused(READ, &answer)),
            };
            let mut state = found.as_ref().and_then(record).unwrap_or_default();
            edit(&mut state);
            let answer = if let Some(found) = found {
                let version = found.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
                self.try_write(&state, version).await
            } else {
                self.cluster.call(self.creation(&state)).await
            };
            let answer = answer.map_err(|error| self.no_answer(error))?;
            match answer.status.as_u16() {
                409 if attempts < EDIT_ATTEMPTS => attempts += 1,
                200 | 201 => return Ok(()),
                _ => return Err(self.refused(WRITE, &answer)),
            }
        }
    }

    /// Create the ConfigMap; for `sidecar-drift resume` where no chart did.
    pub async fn create(&self, state: &StateRecord) -> Result<Option<StateRecord>, Error> {
        let answer = self.cluster.call(self.creation(state)).await.map_err(|error| self.no_answer(error))?;
        if answer.status.is_success() {
            return Ok(record(&self.config_map(&answer)?));
        }
        Err(self.refused("create the ConfigMap sidecar-drift-state", &answer))
    }

    /// Reads it, again and again for a while: an API server that is restarted must not pause us for good.
    async fn read_or_none(&self) -> Option<StateRecord> {
        for delay in READ_AGAIN {
            match self.read().await {
                Ok(state) => return state,
                Err(error) => tracing::warn!(%error, "state cannot be read, trying again"),
            }
            tokio::time::sleep(delay).await;
        }
        self.read().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "state cannot be read; all rollouts are paused");
            None
        })
    }

    async fn try_write(&self, state: &StateRecord, version: &str) -> Result<Answer, NoAnswer> {
        let fields = json!({ "metadata": { "resourceVersion": version }, "data": { KEY: text(state) } });
        self.cluster.call(Call::merge_patch(format!("{}?fieldManager={FIELD_MANAGER}", self.path()), &fields)).await
    }

    /// What an answer must hold that is a success. An object without a version is none that the API server sent.
    fn config_map(&self, answer: &Answer) -> Result<Value, Error> {
        let found = answer.json().and_then(|json| {
            let version = json.pointer("/metadata/resourceVersion").and_then(Value::as_str);
            let is_one = version.is_some_and(|version| !version.is_empty());
            if is_one { Ok(json) } else { Err(answer.unreadable(&"it is no ConfigMap")) }
        });
        found.map_err(|error| Error::of_body(self.cluster.url(), error))
    }

    async fn get(&self) -> Result<Answer, Error> {
        self.cluster.call(Call::get(self.path())).await.map_err(|error| self.no_answer(error))
    }

    fn creation(&self, state: &StateRecord) -> Call {
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": CONFIG_MAP, "namespace": &*self.namespace },
            "data": { KEY: text(state) },
        });
        Call::create_config_map(&self.namespace, &body)
    }

    fn path(&self) -> String {
        paths::config_map(&self.namespace, CONFIG_MAP)
    }

    fn no_answer(&self, error: NoAnswer) -> Error {
        Error::of_no_answer(self.cluster.url(), error)
    }

    fn refused(&self, what: &'static str, answer: &Answer) -> Error {
        Error::of_answer(self.cluster.url(), what, answer)
    }
}

/// What a ConfigMap says. One that holds nothing yet (the chart's) says that nothing is stopped.
fn record(config_map: &Value) -> Option<StateRecord> {
    let version = config_map.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(Name::from);
    // What is there and is no text says nothing, least of all that nothing is stopped.
    let empty = Value::from("{}");
    let data = config_map.get("data").filter(|data| !data.is_null());
    let said = data.map_or(Some(&empty), |data| data.as_object().map(|data| data.get(KEY).unwrap_or(&empty)));
    match serde_json::from_str(said.and_then(Value::as_str).unwrap_or_default()) {
        Ok(record) => Some(StateRecord { resource_version: version, ..record }),
        Err(error) => {
            tracing::warn!(%error, "the ConfigMap {CONFIG_MAP} makes no sense; all rollouts are paused");
            None
        }
    }
}

/// A resourceVersion as a number: they grow. One that is no number is always taken for news.
fn version(state: Option<&StateRecord>) -> Option<u64> {
    state?.resource_version.as_deref()?.parse().ok()
}

fn text(state: &StateRecord) -> String {
    // The version is the object's, which says it itself.
    serde_json::to_string(&StateRecord { resource_version: None, ..state.clone() }).unwrap_or_default()
}
