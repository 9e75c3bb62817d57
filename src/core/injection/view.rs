//! What every part above may look at.

use std::collections::BTreeSet;

use super::{
    backends::{backends_mixed, healthy},
    concerned::injectors_of,
    scope::{Scope, VersionVector, scope_of},
    tracker::InjectionTracker,
};
use crate::core::{
    config::{Mode, OwnerAnnotations, Policy, owner_annotations},
    inventory::Index,
    io::{WatchKind, WatchSource},
    model::{ConfigKind, InjectorSnapshot, Name, WorkloadKey, WorkloadSnapshot, owner::Kind, time::Now},
};

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// It leads.
    pub leader: bool,
    /// Every watch was synced once: from here on verdicts are made.
    pub started: bool,
    /// It was asked to stop.
    pub stopping: bool,
}

/// The configuration, the cluster, the scope versions, the lifecycle and the time: for looking, never for changing.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The configuration.
    pub policy: &'a Policy,
    /// The cluster.
    pub index: &'a Index,
    /// The scope versions.
    pub injection: &'a InjectionTracker,
    /// Where the process is in its life.
    pub lifecycle: Lifecycle,
    /// The time.
    pub now: Now,
}

impl View<'_> {
    /// Whether this workload is looked at at all. What backs an injector is watched wherever it is, but not its Pods.
    pub fn covers(&self, key: &WorkloadKey) -> bool {
        let Self { policy, index, .. } = self;
        index.watches_pods_of(&key.namespace)
            && policy.kinds.contains(&key.kind)
            && self.covers_namespace(&key.namespace)
            && index.workload(key).is_none_or(|w| policy.filter.takes(w) && !self.ignored(w))
            && policy.only.as_ref().is_none_or(|(kind, name)| *kind == key.kind && *name == key.name)
    }

    /// Whether its owner wants it to be left alone. A person who asks for this one is answered all the same.
    fn ignored(&self, workload: &WorkloadSnapshot) -> bool {
        let namespace = self.index.namespace(&workload.key.namespace).map(|ns| &ns.says);
        self.policy.only.is_none() && owner_annotations::ignored(&workload.says, namespace)
    }

    /// Whether the filters take this namespace.
    pub fn covers_namespace(&self, namespace: &Name) -> bool {
        let labels = self.index.namespace(namespace).map(|ns| &ns.labels);
        self.policy.filter.takes_namespace(namespace, labels)
    }

    /// The workload, if it is there and looked at.
    pub fn covered(&self, key: &WorkloadKey) -> Option<&WorkloadSnapshot> {
        self.index.workload(key).filter(|_| self.covers(key))
    }

    /// What a rendering of this workload depends on now.
    pub fn versions_of(&self, workload: &WorkloadSnapshot) -> VersionVector {
        self.injection.versions_of(workload, self.index)
    }

    /// What the annotations of a workload and of its Namespace say together. What nobody can read may say anything.
    pub fn owner_annotations(&self, workload: &WorkloadSnapshot) -> OwnerAnnotations {
        let namespace = self.index.namespace(&workload.key.namespace).filter(|_| self.index.reads_namespaces());
        let said = owner_annotations::read(&workload.says, namespace.map(|ns| &ns.says));
        let unread = if namespace.is_none() { Mode::Report } else { Mode::Enforce };
        OwnerAnnotations { mode: said.mode.min(unread), ..said }
    }

    /// What cannot be seen now of what decides whether this workload may be rolled: its own namespace, the cluster, and
    /// what backs its injectors. `None`: everything can.
    pub fn unseen(&self, workload: &WorkloadSnapshot) -> Option<String> {
        let mut unseen = self.index.unseen().peekable();
        _ = unseen.peek()?;
        let backing: BTreeSet<_> =
            injectors_of(workload, self.index).flat_map(|i| i.services().map(|service| &service.namespace)).collect();
        let (own, kind) = (&workload.key.namespace, workload.key.kind);
        let concerns = |source: &WatchSource| {
            let here = source.namespace.as_ref().is_none_or(|namespace| namespace == own);
            let behind = source.namespace.as_ref().is_some_and(|namespace| backing.contains(namespace));
            match source.kind {
                WatchKind::Workloads(of) => {
                    here && of == kind
                        || (behind || source.namespace.is_none() && !backing.is_empty()) && of == Kind::DEPLOYMENT
                }
                WatchKind::ReplicaSets => here && kind.has_replica_sets(),
                WatchKind::Configs(ConfigKind::ConfigMap) | WatchKind::Services | WatchKind::EndpointSlices => behind,
                // The params of a policy decide nothing by themselves, and each rollout renders once more before it begins.
                WatchKind::Trigger(number) => self.index.triggers().is_named(number),
                _ => here,
            }
        };
        unseen.find(|(source, _)| concerns(source)).map(|(_, why)| why)
    }

    /// The injectors whose backends are mixed, or not ready.
    pub fn unhealthy_injectors(&self) -> BTreeSet<Scope> {
        let sick =
            |i: &&InjectorSnapshot| backends_mixed(i, self.index).is_some() || healthy(i, self.index) == Some(false);
        self.index.injectors().filter(sick).map(scope_of).collect()
    }
}
