//! Watch streams: everything that the core hears about the cluster.
//!
//! One task for each [`WatchSource`]. A stream that breaks is taken up again where it ended; if that is no longer
//! possible it begins anew with a list, which the core sees as one reset.

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
    convert::StampKeys,
};
use crate::core::{
    index::BACKING_KINDS,
    io::{Input, WatchEvent, WatchKind, WatchSource},
    model::{ConfigKind, InjectorKind},
    owner::Kind,
    shape::Name,
};
use crate::metrics;
pub(super) use follow::{News, Target, follow};
use object::{Content, Metadata, Pod, Row};
pub(super) use object::{Whole, row};

/// What is watched.
#[derive(Clone, Debug)]
pub struct Scope {
    /// These namespaces; `None`: the whole cluster.
    pub namespaces: Option<BTreeSet<Name>>,
    /// These kinds of workloads.
    pub kinds: BTreeSet<Kind>,
    /// Which annotations of a Pod template are our stamp.
    pub stamp: StampKeys,
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
}

impl Watches {
    /// Start watching. Everything that is seen is sent to `inputs`, in order for each source.
    ///
    /// Must be called inside a tokio runtime.
    pub fn start(cluster: Cluster, server: Server, scope: Scope, inputs: mpsc::Sender<Input>) -> Self {
        let mut watches =
            Self { cluster, server, scope: Arc::new(scope), inputs, tasks: JoinSet::new(), backends: BTreeMap::new() };
        for source in watches.sources() {
            watches.spawn(source);
        }
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
        if self.scope.kinds.contains(&Kind::DEPLOYMENT) {
            scoped.push(WatchKind::ReplicaSets);
        }
        let namespaces: Vec<Option<Name>> = match &self.scope.namespaces {
            Some(namespaces) => namespaces.iter().cloned().map(Some).collect(),
            None => vec![None],
        };
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

    fn spawn(&mut self, source: WatchSource) -> AbortHandle {
        let watch = Watch {
            cluster: self.cluster.clone(),
            target: Target {
                row: row(source.kind, self.server.policies.unwrap_or("v1")),
                namespace: source.namespace.as_deref().map(str::to_owned),
                name: None,
                streaming: self.server.streaming_lists,
            },
            source,
            scope: self.scope.clone(),
            inputs: self.inputs.clone(),
        };
        match watch.source.kind {
            WatchKind::Pods => self.tasks.spawn(watch.run::<Pod>()),
            WatchKind::ReplicaSets => self.tasks.spawn(watch.run::<Metadata>()),
            _ => self.tasks.spawn(watch.run::<Whole>()),
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
    async fn run<C: Content>(self) {
        let Self { cluster, target, source, scope, inputs } = self;
        let row = target.row;
        let mut listed = false;
        let following = follow::<C, _>(&cluster, target, |news| {
            if matches!(news, News::ResetStarted) && std::mem::replace(&mut listed, true) {
                metrics::watch_restarted(row.plural);
            }
            let event = event(row, source.kind, news, &scope.stamp);
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
fn event<C: Content>(row: Row, kind: WatchKind, news: News<C>, stamp: &StampKeys) -> Option<WatchEvent> {
    match news {
        News::ResetStarted => Some(WatchEvent::ResetStarted),
        News::ResetDone => Some(WatchEvent::ResetDone),
        News::Delete(key) => Some(WatchEvent::Delete(key)),
        News::Unavailable { forbidden, message } => {
            // The core tells people.
            tracing::debug!(kind = row.kind, forbidden, reason = message, "cannot watch");
            Some(WatchEvent::Unavailable { forbidden, message })
        }
        News::Apply(None) => {
            skipped(row, "", "it has no name");
            None
        }
        News::Apply(Some((key, content))) => {
            let converted = content.convert(kind, stamp);
            if !converted.faults.is_empty() {
                skipped(row, &format!("{}/{}", key.namespace, key.name), &converted.faults.join(" "));
            }
            converted.object.map(WatchEvent::Apply)
        }
    }
}

fn skipped(row: Row, object: &str, faults: &str) {
    metrics::object_skipped(row.plural);
    tracing::warn!(kind = row.kind, object, faults, "object with fields that make no sense; they are left out");
}
