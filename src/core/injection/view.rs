//! What every part above may look at.

use std::collections::BTreeSet;

use super::{
    backends::{backends_mixed, healthy},
    scope::{Scope, VersionVector, scope_of},
    tracker::InjectionTracker,
};
use crate::core::{
    config::{Mode, OwnerAnnotations, Policy, owner_annotations},
    inventory::Index,
    model::{InjectorSnapshot, Name, WorkloadKey, WorkloadSnapshot, time::Now},
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

    /// The injectors whose backends are mixed, or not ready.
    pub fn unhealthy_injectors(&self) -> BTreeSet<Scope> {
        let sick =
            |i: &&InjectorSnapshot| backends_mixed(i, self.index).is_some() || healthy(i, self.index) == Some(false);
        self.index.injectors().filter(sick).map(scope_of).collect()
    }
}
