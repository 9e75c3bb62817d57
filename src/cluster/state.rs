//! The ConfigMap that outlives the process: pause, breaker, canaries.
//!
//! It is written under an optimistic lock only. Whoever loses gets what the winner wrote.

use std::{future::Future, sync::Arc, time::Duration};

use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify, mpsc};

use super::{
    client::{Answer, Call, Cluster, Error, FIELD_MANAGER, NoAnswer},
    paths,
    watch::{self, FullObject, Target, WatchUpdate},
};
use crate::core::{
    io::{Input, StateRecord, WatchKind},
    model::{ConfigKind, Name, resource_version::resource_version},
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
/// What is refused when it cannot be written.
const WRITE: &str = "write the ConfigMap sidecar-drift-state";

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
    /// What our last write made of it, so that the next one need not read it: if somebody wrote since, the version tells.
    last_written: Arc<Mutex<Option<Value>>>,
    /// After a write nobody knows what it holds: whoever watches lists it again.
    unread: Arc<Notify>,
}

impl StateStore {
    /// The one in this namespace.
    pub fn new(cluster: Cluster, namespace: &str) -> Self {
        Self {
            cluster,
            namespace: Arc::from(namespace),
            last_notified: Arc::default(),
            last_written: Arc::default(),
            unread: Arc::default(),
        }
    }

    /// Send [`Input::State`] now and whenever the ConfigMap changes, until nobody listens any more.
    ///
    /// `streaming`: [`Server::streaming_lists`](super::client::Server::streaming_lists).
    pub fn watch(&self, streaming: bool, inputs: mpsc::Sender<Input>) -> impl Future<Output = ()> + Send + use<> {
        let (cluster, last_notified, unread) = (self.cluster.clone(), self.last_notified.clone(), self.unread.clone());
        let target = Target {
            row: watch::row(WatchKind::Configs(ConfigKind::ConfigMap), ""),
            namespace: Some(self.namespace.to_string()),
            name: Some(CONFIG_MAP.to_owned()),
            streaming,
            many: false,
            counted_as: WatchKind::Configs(ConfigKind::ConfigMap).plural(),
        };
        async move {
            // One that lost its connection begins anew, with a list; so does one that would have no news after a write that
            // could not be read back, and would leave it unread for good.
            while !inputs.is_closed() {
                let followed = Self::follow(&cluster, target.clone(), &inputs, &last_notified);
                tokio::select! { () = followed => {}, () = unread.notified() => {} }
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
                // Recorded once it is told: who is stopped meanwhile begins anew, and tells it then.
                let told = inputs.send(Input::State(state)).await.is_ok();
                *last_notified = seen;
                told
            }
        })
        .await;
    }

    /// Read it. `None`: there is none, or what it holds makes no sense.
    pub async fn read(&self) -> Result<Option<StateRecord>, Error> {
        Ok(self.find().await?.as_ref().and_then(record))
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
        if written.is_none() {
            self.unread.notify_one();
        }
        // Nobody listens any more only when the process ends.
        _ = inputs.send(Input::State(written)).await;
    }

    /// Write it. The answer is what the ConfigMap holds afterwards: the record itself, or what somebody else wrote
    /// meanwhile; `None` if that cannot be found out.
    pub async fn write(&self, state: &StateRecord) -> Option<StateRecord> {
        match self.replace(state).await {
            Ok(found) => {
                let written = found.as_ref().and_then(record);
                *self.last_written.lock().await = found;
                return written;
            }
            Err(error) => tracing::warn!(%error, "state may not have been written"),
        }
        self.read_or_none().await
    }

    /// Writes it if the ConfigMap still is what was read. The answer is the ConfigMap afterwards, whoever wrote it.
    async fn replace(&self, state: &StateRecord) -> Result<Option<Value>, Error> {
        let last = self.last_written.lock().await.take();
        let still = |found: &Value| record(found).is_some_and(|last| last.resource_version == state.resource_version);
        let found = match last.filter(still) {
            Some(found) => Some(found),
            None => self.find().await?,
        };
        let Some(found) = found else { return Ok(None) };
        // A record without a version was not read from the ConfigMap, so it must not replace what is there; and what is
        // there now may be a person's word.
        let Some(base) = record(&found)
            .filter(|base| base.resource_version.is_some() && base.resource_version == state.resource_version)
        else {
            return Ok(Some(found));
        };
        let answer = self.try_write(&found, &base, state).await.map_err(|error| self.no_answer(error))?;
        if answer.status.is_success() { self.config_map(&answer).map(Some) } else { Err(self.refused(WRITE, &answer)) }
    }

    /// Change what it holds. Reads again when somebody else was faster. What cannot be read is begun anew only if this word
    /// may do so, and is the answer then.
    pub async fn edit(&self, begins: Begins, edit: impl Fn(&mut StateRecord)) -> Result<Option<Unread>, EditError> {
        let mut attempts = 1;
        loop {
            let found = self.find().await?;
            let read = found.as_ref().map_or(Err(Unread::Missing), parsed);
            let unread = read.as_ref().err().cloned();
            if let Some(unread) = unread.clone().filter(|unread| !begins.covers(unread)) {
                return Err(EditError::Unread { namespace: self.namespace.to_string(), unread });
            }
            let base = read.unwrap_or_default();
            let mut state = base.clone();
            edit(&mut state);
            let answer = match &found {
                Some(found) => self.try_write(found, &base, &state).await,
                None => self.cluster.call(self.creation(&state)).await,
            };
            let answer = answer.map_err(|error| self.no_answer(error))?;
            match answer.status.as_u16() {
                409 if attempts < EDIT_ATTEMPTS => attempts += 1,
                200 | 201 => return Ok(unread),
                _ => return Err(self.refused(WRITE, &answer).into()),
            }
        }
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

    /// Writes the state over the ConfigMap that was found, and says `base`.
    async fn try_write(&self, found: &Value, base: &StateRecord, state: &StateRecord) -> Result<Answer, NoAnswer> {
        let version = found.pointer("/metadata/resourceVersion");
        // What made no sense is begun anew: left there, it would make none again.
        let kept = if parsed(found).is_ok() { content(found).unwrap_or_default() } else { Value::Null };
        let text = merged(kept, &json(base), json(state)).to_string();
        let fields = json!({ "metadata": { "resourceVersion": version }, "data": { KEY: text } });
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

    /// The ConfigMap as it is now; `None`: there is none.
    async fn find(&self) -> Result<Option<Value>, Error> {
        let answer = self.cluster.call(Call::get(self.path())).await.map_err(|error| self.no_answer(error))?;
        match answer.status.as_u16() {
            200 => self.config_map(&answer).map(Some),
            404 => Ok(None),
            _ => Err(self.refused(READ, &answer)),
        }
    }

    fn creation(&self, state: &StateRecord) -> Call {
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": CONFIG_MAP, "namespace": &*self.namespace },
            "data": { KEY: json(state).to_string() },
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

/// What a person's word may begin anew: all that was on record before is lost with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// Nothing: the word means nothing without the rest.
    Nothing,
    /// A ConfigMap that is missing, because the word stops everything.
    Missing,
    /// One that cannot be read, too.
    Anything,
}

impl Begins {
    fn covers(self, unread: &Unread) -> bool {
        match unread {
            Unread::Missing => self != Self::Nothing,
            Unread::Senseless(_) => self == Self::Anything,
        }
    }
}

/// Why what is on record cannot be known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// There is no ConfigMap.
    #[error("it is missing")]
    Missing,
    /// It makes no sense to this version, for this reason.
    #[error("{0}")]
    Senseless(String),
}

/// Why a person's word was not written.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It would have taken the place of what cannot be read.
    #[error(
        "nothing was written, and all rollouts stay paused, because the ConfigMap {CONFIG_MAP} in namespace {namespace} \
         cannot be read ({unread}): correct it, use the version that wrote it, or begin anew by `sidecar-drift resume`"
    )]
    Unread {
        /// Where it is.
        namespace: String,
        /// Why not.
        unread: Unread,
    },
    /// The API server did not do it.
    #[error(transparent)]
    Cluster(#[from] Error),
}

/// What a ConfigMap says.
fn record(config_map: &Value) -> Option<StateRecord> {
    let parsed = parsed(config_map);
    if let Err(error) = &parsed {
        tracing::warn!(%error, "the ConfigMap {CONFIG_MAP} makes no sense; all rollouts are paused");
    }
    parsed.ok()
}

/// What a ConfigMap says, or why not. One that holds nothing yet (the chart's) says that nothing is stopped.
fn parsed(config_map: &Value) -> Result<StateRecord, Unread> {
    let senseless = |why: serde_json::Error| Unread::Senseless(why.to_string());
    let content = content(config_map).map_err(senseless)?;
    let holds_nothing = content.as_object().is_none_or(serde_json::Map::is_empty);
    let record = StateRecord::deserialize(content).map_err(senseless)?;
    let named = |at| config_map.pointer(at).and_then(Value::as_str).map(Name::from);
    let incarnation = named("/metadata/uid").filter(|_| !holds_nothing);
    Ok(StateRecord { resource_version: named("/metadata/resourceVersion"), incarnation, ..record })
}

/// The content of a ConfigMap, with what another version put into it. Empty where it holds nothing yet.
fn content(config_map: &Value) -> Result<Value, serde_json::Error> {
    let data = config_map.get("data").filter(|data| !data.is_null());
    let empty = Value::from("{}");
    // What is there and is no text says nothing, least of all that nothing is stopped; nor does a list.
    let said = data.map_or(Some(&empty), |data| data.as_object().map(|data| data.get(KEY).unwrap_or(&empty)));
    let fields: serde_json::Map<_, _> = serde_json::from_str(said.and_then(Value::as_str).unwrap_or_default())?;
    Ok(fields.into())
}

/// `found`, with what changed from `base` to `state`: what this version does not know stays as it is.
fn merged(found: Value, base: &Value, state: Value) -> Value {
    match (found, base, state) {
        (Value::Object(mut found), Value::Object(base), Value::Object(state)) => {
            found.retain(|key, _| state.contains_key(key) || !base.contains_key(key));
            for (key, value) in state {
                let base = base.get(&key).unwrap_or(&Value::Null);
                let value = merged(found.remove(&key).unwrap_or_default(), base, value);
                found.insert(key, value);
            }
            found.into()
        }
        (Value::Array(found), Value::Array(base), Value::Array(state)) if found.len() == base.len() => {
            let same = |value: Value| {
                let at = base.iter().position(|before| *before == value);
                at.and_then(|at| found.get(at).cloned()).unwrap_or(value)
            };
            state.into_iter().map(same).collect()
        }
        (_, _, state) => state,
    }
}

/// A resourceVersion as a number: they grow. One that is no number is always taken for news.
fn version(state: Option<&StateRecord>) -> Option<u64> {
    state?.resource_version.as_deref().and_then(resource_version)
}

fn json(state: &StateRecord) -> Value {
    // The version is the object's, which says it itself.
    serde_json::to_value(StateRecord { resource_version: None, ..state.clone() }).unwrap_or_default()
}
