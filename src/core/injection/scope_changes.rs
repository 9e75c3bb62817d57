//! What moves, and who depends on it.

use super::GenerationReport;
use crate::core::injection::backends;
use crate::core::{
    injection::scope::{self, Generations, Scope},
    inventory::Change,
    io::Notice,
    model::{ConfigKind, Name, WorkloadKey, WorkloadSnapshot, time::Now},
    step::{Core, KEPT},
    verdict::case::Work,
};

impl Core {
    /// Moves the scopes that a change moves.
    pub(in crate::core) fn advance(&mut self, change: &Change, now: Now) {
        let late = match change {
            Change::Config { old, new } => {
                new.as_ref().or(old.as_ref()).is_some_and(|config| config.kind == ConfigKind::ConfigMap)
            }
            // A Secret is most often mounted, too.
            Change::Trigger { .. } => true,
            _ => false,
        };
        for (scope, cause) in Generations::moves(change, &self.index) {
            self.move_scope(&scope, cause, late, now);
        }
    }

    /// Other Pods that answer for an injector are a move, even where no template changed: a second Deployment took over.
    pub(in crate::core) fn see_who_serves(&mut self, namespace: &Name, now: Now) {
        let serving = |i| Some((scope::scope_of(i), backends::serving(i, &self.index).filter(|s| !s.is_empty())?));
        let all: Vec<_> = backends::backed_from(namespace, &self.index).filter_map(serving).collect();
        for (scope, serving) in all {
            let version = self.generations.version(&scope);
            let before = self.serving.insert(scope.clone(), (serving.clone(), version));
            if let Some((_, known)) = before.filter(|(before, _)| *before != serving) {
                // Most likely this is what the last move led to.
                let last = self.generations.moved().find(|(s, _)| **s == scope).filter(|_| version > known);
                let unannounced = || format!("other Pods answer for it, in namespace {namespace}");
                let cause = last.map_or_else(unannounced, |(_, generation)| generation.cause.clone());
                self.move_scope(&scope, cause, false, now);
            }
        }
    }

    /// Moves one scope on; those that depend on it look again. `late`: what moved it may take effect only later.
    pub(in crate::core) fn move_scope(&mut self, scope: &Scope, cause: String, late: bool, now: Now) {
        let touched = self.depending_on(scope);
        // A ServiceAccount that nobody uses is no news, and there are many of them.
        if touched.is_empty() && !matches!(scope, Scope::Injector(..)) {
            return;
        }
        self.generations.advance(scope, cause.clone(), now);
        self.unprove(scope);
        self.unseen.moved(scope, late, now.elapsed);
        self.moves.push_front(GenerationReport {
            scope: scope.to_string(),
            generation: self.generations.version(scope),
            cause: cause.clone(),
            at: now.wall,
        });
        self.moves.truncate(KEPT);
        self.tell(Notice::GenerationMoved { scope: scope.to_string(), cause, workloads: touched.len() });
        self.dirty.extend(touched);
    }

    /// The workloads whose renderings depend on a scope, or whose next ones will.
    fn depending_on(&self, scope: &Scope) -> Vec<WorkloadKey> {
        let on_it = |work: &Work| work.set.as_ref().is_some_and(|set| set.vector.contains_key(scope));
        let depends = |(key, w): &(&WorkloadKey, &WorkloadSnapshot)| {
            self.work.get(*key).is_some_and(|work| on_it(work))
                || self.generations.vector(w, &self.index).contains_key(scope)
        };
        // There are many ServiceAccounts, and each is news for its namespace alone.
        let narrow = match scope {
            Scope::Namespace(namespace) | Scope::ServiceAccount(namespace, _) => Some(namespace),
            Scope::Cluster | Scope::Injector(..) => None,
        };
        match narrow.filter(|_| self.policy.what_if.namespace.is_none()) {
            Some(namespace) => {
                let here = self.index.workloads_in(namespace).map(|w| (&w.key, w));
                here.filter(depends).map(|(key, _)| key.clone()).collect()
            }
            None => self.index.workloads().filter(depends).map(|(key, _)| key.clone()).collect(),
        }
    }
}
