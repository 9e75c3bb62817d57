//! The versions of scopes: how often each moved, why, and since when it can be relied upon.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    concerned::scopes_of,
    scope::{Scope, VersionVector},
};
use crate::core::{
    inventory::Index,
    model::{WorkloadSnapshot, time::Now},
};

/// One scope's present version.
#[derive(Clone, Debug)]
pub struct ScopeVersion {
    /// Starts at 1 when we start.
    pub version: u64,
    /// What moved it, by whom, when: `ConfigMap istio-system/istio-sidecar-injector, manager helm, 14:02`.
    pub cause: String,
    /// When we noticed.
    pub at: Now,
}

/// All scopes that have moved since the start. One that has not is at version 1.
#[derive(Debug, Default)]
pub(super) struct ScopeVersions {
    moved: BTreeMap<Scope, ScopeVersion>,
    /// Scopes whose backends are mixed (`None`), or when that ended; also when we started, for those that changed right
    /// before.
    mixed: BTreeMap<Scope, Option<Duration>>,
}

impl ScopeVersions {
    /// Moves a scope on.
    pub(super) fn advance(&mut self, scope: &Scope, cause: String, now: Now) {
        let version = self.version(scope) + 1;
        self.moved.insert(scope.clone(), ScopeVersion { version, cause, at: now });
    }

    /// The backends of a scope are mixed, or are not. Returns whether that is news.
    pub(super) fn set_mixed(&mut self, scope: &Scope, mixed: bool, now: Now) -> bool {
        if mixed {
            return self.mixed.insert(scope.clone(), None) != Some(None);
        }
        let Some(ended @ None) = self.mixed.get_mut(scope) else { return false };
        *ended = Some(now.elapsed);
        true
    }

    /// Something changed in a scope right before we started: no move of ours, but it may not be in force yet.
    pub(super) fn changed_before_start(&mut self, scope: &Scope, now: Now) {
        self.mixed.entry(scope.clone()).or_insert(Some(now.elapsed));
    }

    /// See [`InjectionTracker::unsettled_since`](super::InjectionTracker::unsettled_since).
    pub(super) fn unsettled_since(&self, versions: &VersionVector) -> Option<Duration> {
        let moved = versions.keys().filter_map(|scope| self.moved.get(scope)).map(|moved| moved.at.elapsed);
        let mixed = versions.keys().filter_map(|scope| self.mixed.get(scope).copied().flatten());
        moved.chain(mixed).max()
    }

    /// A scope's version.
    pub(super) fn version(&self, scope: &Scope) -> u64 {
        self.moved.get(scope).map_or(1, |moved| moved.version)
    }

    /// What moved a scope last; `None`: it has not moved.
    pub(super) fn last_move(&self, scope: &Scope) -> Option<&ScopeVersion> {
        self.moved.get(scope)
    }

    /// See [`InjectionTracker::cause`](super::InjectionTracker::cause).
    pub(super) fn cause(&self, old: &VersionVector, new: &VersionVector) -> Option<&ScopeVersion> {
        let differs = |scope: &&Scope| old.get(*scope) != new.get(*scope);
        let scopes = old.keys().chain(new.keys()).filter(differs);
        scopes.filter_map(|scope| self.moved.get(scope)).max_by_key(|moved| moved.at.elapsed)
    }

    /// What a rendering of this workload depends on now.
    pub(super) fn of(&self, workload: &WorkloadSnapshot, index: &Index) -> VersionVector {
        scopes_of(workload, index).map(|scope| (scope.clone(), self.version(&scope))).collect()
    }

    /// The scopes of which something is remembered.
    pub(super) fn known(&self) -> impl Iterator<Item = &Scope> {
        self.moved.keys().chain(self.mixed.keys())
    }

    /// Nothing depends on this scope any more, and what it stood for is gone.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.moved.remove(scope);
        self.mixed.remove(scope);
    }
}

/// One copy of each vector that renderings are kept under: most workloads of a namespace have the same.
#[derive(Debug, Default)]
pub struct VectorPool {
    vectors: HashSet<Arc<VersionVector>>,
    /// With so many of them, those that nobody has any more are dropped.
    most: usize,
}

/// Fewer vectors than this are not worth a look at who has them.
const FEW_VECTORS: usize = 256;

impl VectorPool {
    /// The one copy of a vector, for whoever keeps it.
    pub fn share(&mut self, vector: &VersionVector) -> Arc<VersionVector> {
        if let Some(known) = self.vectors.get(vector) {
            return known.clone();
        }
        if self.vectors.len() >= self.most {
            self.vectors.retain(|vector| Arc::strong_count(vector) > 1);
            self.most = (2 * self.vectors.len()).max(FEW_VECTORS);
        }
        let new = Arc::new(vector.clone());
        self.vectors.insert(new.clone());
        new
    }

    /// Whether somebody has a vector with this scope.
    pub fn has_scope(&self, scope: &Scope) -> bool {
        self.vectors.iter().any(|vector| Arc::strong_count(vector) > 1 && vector.contains_key(scope))
    }
}
