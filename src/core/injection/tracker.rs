//! What moved, and who is affected.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::SignedDuration;

use super::{
    backends::{self, BackendRevisions, backed_from, backends_mixed},
    concerned::{injector_scopes, is_scope_of},
    heed::{Heed, Heeds},
    scope::{Scope, VersionVector, scope_of},
    scope_changes::{changed_since, written},
    scope_report::ScopeMove,
    unannounced_changes::{LAST_FOLLOW_UP, UnannouncedChanges},
    versions::{ScopeVersion, ScopeVersions},
};
use crate::core::{
    inventory::{Change, Changes, Index},
    io::{Notice, Outbox},
    model::{ConfigKind, Name, ObjectKey, WorkloadKey, WorkloadSnapshot, rollout_status, time::Now},
};

/// So many moves are kept for readers.
const RECENT_MOVES: usize = 100;

/// The renderings that are kept, and what each depends on.
pub trait KeptRenderings {
    /// What the kept renderings of this workload depend on.
    fn rendered_under(&self, key: &WorkloadKey) -> Option<&VersionVector>;
    /// Whether some kept rendering depends on this scope.
    fn depends_on(&self, scope: &Scope) -> bool;
}

/// What changed about injection in one step.
#[derive(Debug, Default)]
pub struct ScopeChanges {
    /// The scopes that moved: what depends on them is asked again.
    pub moved: Vec<Scope>,
    /// The scopes under which a rendering turned out to be another one.
    pub rendered: Vec<Scope>,
    /// The workloads to be judged again because of that, or because what backs their injectors is whole again or not.
    pub affected: Vec<WorkloadKey>,
    /// What backs an injector changed.
    pub backends_changed: bool,
    /// Scopes that nothing depends on any more, and that are gone.
    pub gone: Vec<Scope>,
}

/// A workload was rendered once more.
#[derive(Clone, Debug)]
pub struct ComparedRendering {
    /// Whose.
    pub key: WorkloadKey,
    /// What the rendering before depended on.
    pub before: VersionVector,
    /// What this one depends on.
    pub after: VersionVector,
    /// When the one before was made.
    pub since: Duration,
    /// It is another one than before.
    pub changed: bool,
}

/// A scope that is to be moved on.
#[derive(Debug)]
struct Move {
    scope: Scope,
    /// What moved it, in words.
    cause: String,
    /// It may take effect only later.
    late: bool,
}

/// The versions of all scopes, who answers for each injector, and the changes that are still to take effect.
#[derive(Debug, Default)]
pub struct InjectionTracker {
    versions: ScopeVersions,
    /// Which revisions answer for each injector, and the version of its scope when they were seen first.
    backend_revisions: BTreeMap<Scope, (BackendRevisions, u64)>,
    unannounced: UnannouncedChanges,
    /// Which objects are believed to change renderings.
    heeds: Heeds,
    /// The newest first.
    recent: VecDeque<ScopeMove>,
    /// Scopes whose objects are gone, as long as something is remembered of them.
    going: BTreeSet<Scope>,
}

impl InjectionTracker {
    /// Follows what changed in the cluster.
    pub fn follow(
        &mut self,
        changes: &Changes,
        index: &Index,
        kept: &dyn KeptRenderings,
        now: Now,
        out: &mut Outbox,
    ) -> ScopeChanges {
        let mut found = ScopeChanges::default();
        for change in &changes.list {
            // What a first list brings is how things are, not a move.
            if !changes.initial {
                self.heed(change, (index, kept), now, &mut found, out);
            }
            if let Change::Endpoints { namespace } = change {
                self.detect_backend_switch(namespace, (index, kept), now, &mut found, out);
            }
            self.follow_backends(change, index, now, &mut found);
            self.note_gone(change);
        }
        self.forget_gone(index, kept, &mut found);
        found
    }

    /// An object was written: its scopes move, unless it has changed nothing lately.
    fn heed(
        &mut self,
        change: &Change,
        of: (&Index, &dyn KeptRenderings),
        now: Now,
        found: &mut ScopeChanges,
        out: &mut Outbox,
    ) {
        let Some(written) = written(change, of.0) else { return };
        let late = takes_effect_late(change);
        match self.heeds.written(&written, now.elapsed) {
            Heed::Move => {
                let cause = written.cause;
                let moves = written.scopes.into_iter().map(|scope| Move { scope, cause: cause.clone(), late });
                self.move_scopes(moves.collect(), of, now, found, out);
            }
            Heed::Samples => {
                written.scopes.iter().for_each(|scope| self.unannounced.ask_samples(scope, late, now.elapsed));
            }
            Heed::SamplesAndAll(at) => {
                for scope in &written.scopes {
                    self.unannounced.ask_samples(scope, late, now.elapsed);
                    self.unannounced.ask_all(scope, at);
                }
            }
            Heed::Look(at) => written.scopes.iter().for_each(|scope| self.unannounced.ask_one(scope, at)),
            Heed::Nothing => {}
        }
    }

    /// A workload was rendered once more. Where it became another one and nothing that it depends on has moved, that moves now: what lies beside
    /// its injectors and was written meanwhile, or the injectors themselves.
    pub fn compared(
        &mut self,
        compared: &ComparedRendering,
        of: (&Index, &dyn KeptRenderings),
        now: Now,
        out: &mut Outbox,
    ) -> ScopeChanges {
        let ComparedRendering { key, before, after, since, changed } = compared;
        let differs = |scope: &&Scope| before.get(*scope) != after.get(*scope);
        let announced: BTreeSet<_> = before.keys().chain(after.keys()).filter(differs).cloned().collect();
        if !changed || !announced.is_empty() {
            let rendered: Vec<_> = announced.into_iter().collect();
            if !changed {
                self.heeds.unchanged(&rendered);
                return ScopeChanges::default();
            }
            self.heeds.changed(&rendered, *since);
            return ScopeChanges { rendered, ..ScopeChanges::default() };
        }
        let scopes: Vec<_> = after.keys().cloned().collect();
        let unknown = || {
            let cause = format!("no object changed, but the rendering of {key} did");
            (injector_scopes(after).cloned().collect(), cause)
        };
        let (rendered, cause) = self.heeds.changed(&scopes, *since).unwrap_or_else(unknown);
        let counted = rendered.iter().filter(|scope| self.unannounced.counts(scope, now.elapsed));
        let moves = counted.map(|scope| Move { scope: scope.clone(), cause: cause.clone(), late: false }).collect();
        let mut found = ScopeChanges { rendered, ..ScopeChanges::default() };
        self.move_scopes(moves, of, now, &mut found, out);
        found
    }

    /// The scopes of which samples are to be asked for now, and how many, because a change may have taken effect late.
    pub fn take_due_samples(&mut self, now: Now) -> Vec<(Scope, usize)> {
        let mut due = Vec::new();
        while let Some((at, scope, samples)) = self.unannounced.take_due(now.elapsed) {
            for (scope, again) in self.heeds.looked(&scope, at, now.elapsed) {
                self.unannounced.ask_one(&scope, again);
            }
            due.push((scope, samples));
        }
        due
    }

    /// What changed right before we started may not be in force yet either: an API server takes a moment (`settle`) to put a
    /// policy in force, and an injector minutes to see a new ConfigMap.
    pub fn seed_recent_changes(&mut self, index: &Index, settle: Duration, now: Now) {
        for (settles, span) in [(true, settle), (false, LAST_FOLLOW_UP)] {
            // The API server's clock is cut to seconds.
            let span = SignedDuration::try_from(span + Duration::from_secs(1)).unwrap_or(SignedDuration::MAX);
            let Ok(since) = now.wall.checked_sub(span) else { continue };
            for (scope, late) in changed_since(since, index) {
                if settles {
                    self.versions.changed_before_start(&scope, now);
                } else {
                    self.unannounced.scope_moved(&scope, late, now.elapsed);
                }
            }
        }
    }

    /// When a sample is to be asked for next.
    pub fn next_sample(&self) -> Option<Duration> {
        self.unannounced.next()
    }

    /// What a rendering of this workload depends on now.
    pub fn versions_of(&self, workload: &WorkloadSnapshot, index: &Index) -> VersionVector {
        self.versions.of(workload, index)
    }

    /// When something happened last, in one of these scopes, that takes a while to be in force: a move, the end of a mix of
    /// backends, or a change right before we started.
    pub fn unsettled_since(&self, versions: &VersionVector) -> Option<Duration> {
        self.versions.unsettled_since(versions)
    }

    /// The newest move that lies between two vectors, i.e. why a rendering with `old` does not hold for `new`.
    pub fn cause(&self, old: &VersionVector, new: &VersionVector) -> Option<&ScopeVersion> {
        self.versions.cause(old, new)
    }

    /// The moves since the start, the newest first.
    pub fn recent_moves(&self) -> impl Iterator<Item = &ScopeMove> {
        self.recent.iter()
    }

    /// What is to be known of an object that is written and changes nothing: how often, and by when it is looked at again.
    pub fn unheeded(&self, what: &str) -> Option<(u64, Duration)> {
        self.heeds.unheeded(what)
    }

    /// Moves scopes on that one event moves; the workloads that depend on one of them are affected.
    fn move_scopes(
        &mut self,
        moves: Vec<Move>,
        (index, kept): (&Index, &dyn KeptRenderings),
        now: Now,
        found: &mut ScopeChanges,
        out: &mut Outbox,
    ) {
        if moves.is_empty() {
            return;
        }
        let workloads = depending_on(&moves, index, kept, &mut found.affected);
        for (Move { scope, cause, late }, workloads) in moves.into_iter().zip(workloads) {
            // A ServiceAccount that nobody uses is no news, and there are many of them.
            if workloads == 0 && !matches!(scope, Scope::Injector(..)) {
                continue;
            }
            self.versions.advance(&scope, cause.clone(), now);
            self.unannounced.scope_moved(&scope, late, now.elapsed);
            self.recent.push_front(ScopeMove {
                scope: scope.to_string(),
                version: self.versions.version(&scope),
                cause: cause.clone(),
                at: now.wall,
            });
            self.recent.truncate(RECENT_MOVES);
            out.notify(Notice::ScopeMoved { scope: scope.to_string(), cause, workloads });
            found.moved.push(scope);
        }
    }

    /// Other Pods that answer for an injector are a move, even where no template changed: a second Deployment took over.
    fn detect_backend_switch(
        &mut self,
        namespace: &Name,
        (index, kept): (&Index, &dyn KeptRenderings),
        now: Now,
        found: &mut ScopeChanges,
        out: &mut Outbox,
    ) {
        let revisions = |i| Some((scope_of(i), backends::backend_revisions(i, index).filter(|all| !all.is_empty())?));
        let all: Vec<_> = backed_from(namespace, index).filter_map(revisions).collect();
        for (scope, revisions) in all {
            let version = self.versions.version(&scope);
            let before = self.backend_revisions.insert(scope.clone(), (revisions.clone(), version));
            if let Some((_, known)) = before.filter(|(before, _)| *before != revisions) {
                // Most likely this is what the last move led to.
                let last = self.versions.last_move(&scope).filter(|_| version > known);
                let unannounced = || format!("other Pods answer for it, in namespace {namespace}");
                let cause = last.map_or_else(unannounced, |moved| moved.cause.clone());
                self.move_scopes(vec![Move { scope, cause, late: false }], (index, kept), now, found, out);
            }
        }
    }

    /// Who waits for what backs an injector looks again when its rollout begins or ends, or its endpoints change.
    fn follow_backends(&mut self, change: &Change, index: &Index, now: Now, found: &mut ScopeChanges) {
        match change {
            Change::Pod { old, new } => {
                let namespace = old.as_ref().or(new.as_ref()).map(|pod| &pod.key.namespace);
                if let Some(namespace) = namespace.filter(|namespace| index.backs_injectors(namespace)) {
                    let turned = self.note_mixed(namespace, index, now).1;
                    found.backends_changed |= !turned.is_empty();
                    mark_concerned(&turned, index, found);
                }
            }
            Change::Workload { old, key } if index.backs_injectors(&key.namespace) => {
                let (old, new) = (old.as_deref(), index.workload(key));
                let health = |w| rollout_status::healthy(w);
                let rolling = |w| rollout_status::rollout_in_progress(w);
                found.backends_changed |= old.map(health) != new.map(health);
                if old.map(rolling) != new.map(rolling) {
                    self.backends_changed(&key.namespace, index, now, found);
                }
            }
            Change::Endpoints { namespace } => self.backends_changed(namespace, index, now, found),
            Change::Service { old, new } => {
                if let Some(service) = old.as_ref().or(new.as_ref()) {
                    self.backends_changed(&service.key.namespace, index, now, found);
                }
            }
            _ => {}
        }
    }

    fn backends_changed(&mut self, namespace: &Name, index: &Index, now: Now, found: &mut ScopeChanges) {
        let scopes = self.note_mixed(namespace, index, now).0;
        found.backends_changed = true;
        mark_concerned(&scopes, index, found);
    }

    /// The scopes that are backed from this namespace, and those of them whose backends began or ceased just now to be mixed.
    fn note_mixed(&mut self, namespace: &Name, index: &Index, now: Now) -> (BTreeSet<Scope>, BTreeSet<Scope>) {
        let (mut scopes, mut turned) = (BTreeSet::new(), BTreeSet::new());
        for injector in backed_from(namespace, index) {
            let scope = scope_of(injector);
            if self.versions.set_mixed(&scope, backends_mixed(injector, index).is_some(), now) {
                turned.insert(scope.clone());
            }
            scopes.insert(scope);
        }
        (scopes, turned)
    }

    fn note_gone(&mut self, change: &Change) {
        match change {
            Change::Injector { old: Some(old), new: None } => drop(self.going.insert(scope_of(old))),
            Change::Namespace { name, .. } => {
                let in_it =
                    |scope: &&Scope| matches!(scope, Scope::Namespace(ns) | Scope::ServiceAccount(ns, _) if ns == name);
                self.going.extend(self.versions.known().filter(in_it).cloned());
            }
            Change::Config { old: Some(old), new: None } if old.kind == ConfigKind::ServiceAccount => {
                let ObjectKey { namespace, name } = old.key.clone();
                let scope = Scope::ServiceAccount(namespace, name);
                if self.versions.last_move(&scope).is_some() {
                    self.going.insert(scope);
                }
            }
            _ => {}
        }
    }

    /// Forgets scopes whose objects are gone, once no kept rendering depends on them: a version that a rendering was made
    /// under must not be given again.
    fn forget_gone(&mut self, index: &Index, kept: &dyn KeptRenderings, found: &mut ScopeChanges) {
        let over = |scope: &Scope| exists(scope, index) || !kept.depends_on(scope);
        let over: Vec<_> = self.going.iter().filter(|scope| over(scope)).cloned().collect();
        for scope in over {
            self.going.remove(&scope);
            if !exists(&scope, index) {
                self.versions.forget(&scope);
                self.backend_revisions.remove(&scope);
                self.unannounced.forget(&scope);
                self.heeds.forget(&scope);
                found.gone.push(scope);
            }
        }
    }
}

/// Whether what a scope stands for is there.
fn exists(scope: &Scope, index: &Index) -> bool {
    match scope {
        Scope::Cluster => true,
        Scope::Injector(..) => index.injectors().any(|injector| scope_of(injector) == *scope),
        Scope::Namespace(name) => index.namespace(name).is_some(),
        Scope::ServiceAccount(namespace, name) => {
            index.configs_in(ConfigKind::ServiceAccount, namespace).any(|account| account.key.name == *name)
        }
    }
}

/// Adds the workloads whose renderings depend on one of these scopes, or whose next ones will. Returns how many depend on each.
fn depending_on(
    moves: &[Move],
    index: &Index,
    kept: &dyn KeptRenderings,
    affected: &mut Vec<WorkloadKey>,
) -> Vec<usize> {
    let mut counts = vec![0; moves.len()];
    let is_kept: Vec<_> = moves.iter().map(|moved| kept.depends_on(&moved.scope)).collect();
    let mut look = |w: &WorkloadSnapshot| {
        let mut any = false;
        for ((Move { scope, .. }, is_kept), count) in moves.iter().zip(&is_kept).zip(&mut counts) {
            let depends = is_scope_of(scope, w, index)
                || *is_kept && kept.rendered_under(&w.key).is_some_and(|versions| versions.contains_key(scope));
            *count += usize::from(depends);
            any |= depends;
        }
        if any {
            affected.push(w.key.clone());
        }
    };
    // There are many ServiceAccounts, and each is news for its namespace alone.
    let narrow = match moves {
        [Move { scope: Scope::Namespace(namespace) | Scope::ServiceAccount(namespace, _), .. }] => Some(namespace),
        _ => None,
    };
    match narrow.filter(|_| index.supposed().namespace.is_none()) {
        Some(namespace) => index.workloads_in(namespace).for_each(look),
        None => index.workloads().for_each(|(_, w)| look(w)),
    }
    counts
}

/// Marks the workloads that these scopes concern.
fn mark_concerned(scopes: &BTreeSet<Scope>, index: &Index, found: &mut ScopeChanges) {
    if scopes.is_empty() {
        return;
    }
    let concerned = index.workloads().filter(|(_, w)| scopes.iter().any(|scope| is_scope_of(scope, w, index)));
    found.affected.extend(concerned.map(|(key, _)| key.clone()));
}

/// Whether an injector may see this change only later: a ConfigMap is most often mounted, a Secret too.
fn takes_effect_late(change: &Change) -> bool {
    match change {
        Change::Config { old, new } => {
            new.as_ref().or(old.as_ref()).is_some_and(|config| config.kind == ConfigKind::ConfigMap)
        }
        Change::Trigger { .. } => true,
        _ => false,
    }
}
