//! Watch streams: everything that the core hears about the cluster.
//!
//! One task for each [`WatchSource`]. A stream that breaks is taken up again where it ended; if that is no longer
//! possible it begins anew with a list, which the core sees as one reset.

mod discover;
mod follow;
mod object;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
};

use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinError, JoinSet},
};

use super::{
    client::{Cluster, Server},
    convert::KeptKeys,
};
use crate::core::{
    config::Trigger,
    inventory::BACKING_KINDS,
    io::{Input, WatchEvent, WatchKind, WatchSource},
    model::{ConfigKind, InjectorKind, Name, owner::Kind, shape::FieldSet},
};
use crate::metrics;
use discover::{DiscoveryError, discover};
use follow::UNAVAILABLE_RETRY;
pub(super) use follow::{Target, WatchUpdate, follow};
use object::{AllFields, Content, DefaultFields, Hashed, Metadata, Pod, WithResources};
pub(super) use object::{FullObject, row};

/// What is watched.
#[derive(Clone, Debug)]
pub struct Scope {
    /// These namespaces; `None`: the whole cluster.
    pub namespaces: Option<BTreeSet<Name>>,
    /// These kinds of workloads.
    pub kinds: BTreeSet<Kind>,
    /// Which fields of a container are compared.
    pub fields: FieldSet,
    /// What a person named, by its number.
    pub triggers: Vec<Trigger>,
    /// What is kept of workloads.
    pub keys: KeptKeys,
}

/// All watches. Dropping it ends them.
#[derive(Debug)]
pub struct Watches {
    cluster: Cluster,
    server: Server,
    scope: Arc<Scope>,
    inputs: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    backends: BTreeMap<Name, Vec<AbortHandle>>,
    /// Those that are watched, by their number.
    triggers: Vec<Trigger>,
}

impl Watches {
    /// Start watching. Everything that is seen is sent to `inputs`, in order for each source.
    ///
    /// Must be called inside a tokio runtime.
    pub fn start(cluster: Cluster, server: Server, scope: Scope, inputs: mpsc::Sender<Input>) -> Self {
        let named = scope.triggers.clone();
        let mut watches = Self {
            cluster,
            server,
            scope: Arc::new(scope),
            inputs,
            tasks: JoinSet::new(),
            backends: BTreeMap::new(),
            triggers: Vec::new(),
        };
        for source in watches.sources().into_iter().filter(|source| !matches!(source.kind, WatchKind::Trigger(_))) {
            watches.spawn(source);
        }
        watches.set_triggers(named);
        watches
    }

    /// The sources that are watched from the start; the core knows by them when everything is synced.
    pub fn sources(&self) -> Vec<WatchSource> {
        let mut everywhere = vec![
            WatchKind::Namespaces,
            WatchKind::Nodes,
            WatchKind::Injectors(InjectorKind::MutatingWebhookConfiguration),
        ];
        if self.server.policies.is_some() {
            everywhere.push(WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicy));
            everywhere.push(WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicyBinding));
        }
        let accounts = WatchKind::Configs(ConfigKind::ServiceAccount);
        let limits = WatchKind::Configs(ConfigKind::LimitRange);
        let mut scoped = vec![WatchKind::Pods, accounts, limits, WatchKind::DisruptionBudgets];
        scoped.extend(self.scope.kinds.iter().map(|&kind| WatchKind::Workloads(kind)));
        if self.scope.kinds.iter().any(|kind| kind.has_replica_sets()) {
            scoped.push(WatchKind::ReplicaSets);
        }
        let namespaces: Vec<Option<Name>> = match &self.scope.namespaces {
            Some(namespaces) => namespaces.iter().cloned().map(Some).collect(),
            None => vec![None],
        };
        everywhere.extend((0_u16..).zip(&self.scope.triggers).map(|(number, _)| WatchKind::Trigger(number)));
        let everywhere = everywhere.into_iter().map(|kind| WatchSource { kind, namespace: None });
        let scoped = scoped.into_iter().flat_map(|kind| {
            namespaces.iter().map(move |namespace| WatchSource { kind, namespace: namespace.clone() })
        });
        everywhere.chain(scoped).collect()
    }

    /// Watch what backs the injectors in exactly these namespaces: [`BACKING_KINDS`], and their Deployments
    /// where those are not watched already.
    pub fn set_backends(&mut self, namespaces: &BTreeSet<Name>) {
        self.backends.retain(|namespace, tasks| {
            let keep = namespaces.contains(namespace);
            if !keep {
                tasks.iter().for_each(AbortHandle::abort);
            }
            keep
        });
        for namespace in namespaces {
            if self.backends.contains_key(namespace) {
                continue;
            }
            let mut kinds = BACKING_KINDS.to_vec();
            if !self.has_deployments_of(namespace) {
                kinds.push(WatchKind::Workloads(Kind::DEPLOYMENT));
            }
            let sources = kinds.into_iter().map(|kind| WatchSource { kind, namespace: Some(namespace.clone()) });
            let tasks = sources.map(|source| self.spawn(source)).collect();
            self.backends.insert(namespace.clone(), tasks);
        }
    }

    /// Watch these triggers, too; the first ones are those that are watched already.
    pub fn set_triggers(&mut self, triggers: Vec<Trigger>) {
        for (number, trigger) in (0_u16..).zip(&triggers).skip(self.triggers.len()) {
            let watch = self.watch(WatchSource { kind: WatchKind::Trigger(number), namespace: None });
            self.tasks.spawn(watch.run_trigger(trigger.clone()));
        }
        self.triggers = triggers;
    }

    /// Wait until a watch ends in a way it must not: by a panic. Never returns otherwise.
    pub async fn failed(&mut self) -> JoinError {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) if error.is_panic() => return error,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn has_deployments_of(&self, namespace: &Name) -> bool {
        self.scope.kinds.contains(&Kind::DEPLOYMENT)
            && self.scope.namespaces.as_ref().is_none_or(|namespaces| namespaces.contains(namespace))
    }

    fn watch(&self, source: WatchSource) -> Watch {
        Watch {
            cluster: self.cluster.clone(),
            target: Target {
                row: row(source.kind, self.server.policies.unwrap_or("v1")),
                namespace: source.namespace.as_deref().map(str::to_owned),
                name: None,
                streaming: self.server.streaming_lists,
                many: source.kind == WatchKind::Pods,
                counted_as: source.kind.plural(),
            },
            source,
            scope: self.scope.clone(),
            inputs: self.inputs.clone(),
        }
    }

    fn spawn(&mut self, source: WatchSource) -> AbortHandle {
        let watch = self.watch(source);
        match watch.source.kind {
            WatchKind::Pods => match self.scope.fields {
                FieldSet::Default => self.tasks.spawn(watch.run::<Pod<DefaultFields>>()),
                FieldSet::Resources => self.tasks.spawn(watch.run::<Pod<WithResources>>()),
                FieldSet::All => self.tasks.spawn(watch.run::<Pod<AllFields>>()),
            },
            WatchKind::ReplicaSets => self.tasks.spawn(watch.run::<Metadata>()),
            _ => self.tasks.spawn(watch.run::<FullObject>()),
        }
    }
}

/// One stream on its way to the core.
struct Watch {
    cluster: Cluster,
    target: Target,
    source: WatchSource,
    scope: Arc<Scope>,
    inputs: mpsc::Sender<Input>,
}

impl Watch {
    /// A kind that the cluster does not serve now it may serve later: its CRD comes with something else.
    async fn run_trigger(mut self, trigger: Trigger) {
        loop {
            match discover(&self.cluster, &trigger).await {
                Ok(row) => {
                    let namespace = Some(trigger.namespace.to_string()).filter(|ns| row.namespaced && !ns.is_empty());
                    let name = Some(trigger.name.to_string()).filter(|name| !name.is_empty());
                    self.target = Target { row, namespace, name, ..self.target };
                    return self.run::<Hashed>().await;
                }
                Err(unknown) => {
                    let message = match unknown {
                        DiscoveryError::NotServed => format!("{trigger}: the cluster serves no such kind"),
                        DiscoveryError::NoAnswer(why) => format!("{trigger}: cannot find out what kind that is: {why}"),
                    };
                    let event = WatchEvent::Unavailable { forbidden: false, message };
                    if self.inputs.send(Input::Watch { source: self.source.clone(), event }).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(UNAVAILABLE_RETRY).await;
                }
            }
        }
    }

    async fn run<C: Content>(self) {
        let Self { cluster, target, source, scope, inputs } = self;
        let kind = target.row.kind.clone();
        let mut listed = false;
        let following = follow::<C, _>(&cluster, target, |update| {
            if matches!(update, WatchUpdate::ResetStarted) && std::mem::replace(&mut listed, true) {
                metrics::watch_restarted(source.kind);
            }
            let event = event(&kind, source.kind, update, &scope.keys);
            let (inputs, source) = (&inputs, &source);
            async move {
                let Some(event) = event else { return true };
                inputs.send(Input::Watch { source: source.clone(), event }).await.is_ok()
            }
        });
        pin!(following).await;
    }
}

/// What the core hears of a piece of news; nothing, if the object has no name.
fn event<C: Content>(name: &str, kind: WatchKind, update: WatchUpdate<C>, keys: &KeptKeys) -> Option<WatchEvent> {
    match update {
        WatchUpdate::ResetStarted => Some(WatchEvent::ResetStarted),
        WatchUpdate::ResetDone => Some(WatchEvent::ResetDone),
        WatchUpdate::Delete(key) => Some(WatchEvent::Delete(key)),
        WatchUpdate::Interrupted => Some(WatchEvent::Interrupted),
        WatchUpdate::Resumed => Some(WatchEvent::Resumed),
        WatchUpdate::Unavailable { forbidden, message } => {
            // The core tells people.
            tracing::debug!(kind = name, forbidden, reason = message, "cannot watch");
            Some(WatchEvent::Unavailable { forbidden, message })
        }
        WatchUpdate::Apply(None) => {
            skipped(kind, name, "", "it has no name");
            None
        }
        WatchUpdate::Apply(Some((key, content))) => {
            let converted = content.convert(kind, keys);
            if !converted.faults.is_empty() {
                skipped(kind, name, &format!("{}/{}", key.namespace, key.name), &converted.faults.join(" "));
            }
            match converted.object {
                // It may have been none before somebody took it over.
                None if matches!(kind, WatchKind::Workloads(_)) => Some(WatchEvent::Delete(key)),
                object => object.map(WatchEvent::Apply),
            }
        }
    }
}

fn skipped(kind: WatchKind, name: &str, object: &str, faults: &str) {
    metrics::object_skipped(kind);
    tracing::warn!(kind = name, object, faults, "object with fields that make no sense; they are left out");
}
