//! Generations: scoped versions of what injection depends on, each move with its cause.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::injection::backends;
use crate::core::{
    config::Trigger,
    inventory::{Change, Index},
    model::{ChangedBy, ConfigKind, InjectorKind, InjectorSnapshot, Name, ObjectKey, WorkloadSnapshot, time::Now},
};

/// Something that renderings depend on and that moves as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What every rendering depends on: the lowest kubelet version.
    Cluster,
    /// One webhook configuration or policy (with its bindings, and with what backs it).
    Injector(InjectorKind, Name),
    /// One Namespace's labels and annotations, and its LimitRanges.
    Namespace(Name),
    /// One ServiceAccount's labels and annotations: its namespace and name.
    ServiceAccount(Name, Name),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injector(kind, name) => write!(f, "injector {}/{name}", kind.as_str()),
            Self::Cluster => f.write_str("cluster"),
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::ServiceAccount(namespace, name) => write!(f, "service_account {namespace}/{name}"),
        }
    }
}

/// A text that names no scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this names no scope")]
pub struct NoScope;

/// Reads what [`Display`](fmt::Display) writes: a record of an earlier process may name scopes.
impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        if text == "cluster" {
            return Ok(Self::Cluster);
        }
        let (what, name) = text.split_once(' ').ok_or(NoScope)?;
        let pair = || name.split_once('/').ok_or(NoScope);
        match what {
            "namespace" => Ok(Self::Namespace(name.into())),
            "service_account" => pair().map(|(namespace, name)| Self::ServiceAccount(namespace.into(), name.into())),
            "injector" => {
                let (kind, name) = pair()?;
                let kind = InjectorKind::ALL.into_iter().find(|k| k.as_str() == kind).ok_or(NoScope)?;
                Ok(Self::Injector(kind, name.into()))
            }
            _ => Err(NoScope),
        }
    }
}

/// The versions that one rendering depends on. Renderings with equal vectors saw the same configuration.
pub type Vector = BTreeMap<Scope, u64>;

/// One scope's present version.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Starts at 1 when we start.
    pub version: u64,
    /// What moved it, by whom, when: `ConfigMap istio-system/istio-sidecar-injector, manager helm, 14:02`.
    pub cause: String,
    /// When we noticed.
    pub at: Now,
}

/// All scopes that have moved since the start. One that has not is at version 1.
#[derive(Debug, Default)]
pub struct Generations {
    moved: BTreeMap<Scope, Generation>,
    /// Scopes whose backends are being exchanged (`None`), or when that ended; also when we started, for those that
    /// changed right before.
    exchanged: BTreeMap<Scope, Option<Duration>>,
    /// Vectors that renderings were made under: most workloads of a namespace have the same.
    vectors: HashSet<Arc<Vector>>,
    /// With so many of them, those that nobody has any more are dropped.
    most: usize,
}

/// Fewer vectors than this are not worth a look at who has them.
const FEW_VECTORS: usize = 256;

impl Generations {
    /// Moves a scope on.
    pub fn advance(&mut self, scope: &Scope, cause: String, now: Now) {
        let version = self.version(scope) + 1;
        self.moved.insert(scope.clone(), Generation { version, cause, at: now });
    }

    /// What backs a scope is being exchanged, or is not. Returns whether that is news.
    pub fn exchanges(&mut self, scope: &Scope, exchanging: bool, now: Now) -> bool {
        if exchanging {
            return self.exchanged.insert(scope.clone(), None) != Some(None);
        }
        let Some(ended @ None) = self.exchanged.get_mut(scope) else { return false };
        *ended = Some(now.elapsed);
        true
    }

    /// Something changed in a scope right before we started: no move of ours, but it may not be in force yet.
    pub fn changed_before_start(&mut self, scope: &Scope, now: Now) {
        self.exchanged.entry(scope.clone()).or_insert(Some(now.elapsed));
    }

    /// When something happened last, in one of these scopes, that takes a while to be in force: a move, the end of an
    /// exchange of backends, or a change right before we started.
    pub fn unsettled_since(&self, vector: &Vector) -> Option<Duration> {
        let moved = vector.keys().filter_map(|scope| self.moved.get(scope)).map(|g| g.at.elapsed);
        let exchanged = vector.keys().filter_map(|scope| self.exchanged.get(scope).copied().flatten());
        moved.chain(exchanged).max()
    }

    /// A Namespace is gone, and all that was in it.
    pub fn forget_namespace(&mut self, name: &Name) {
        self.moved.retain(|scope, _| match scope {
            Scope::Namespace(namespace) | Scope::ServiceAccount(namespace, _) => namespace != name,
            Scope::Cluster | Scope::Injector(..) => true,
        });
    }

    /// A scope's version.
    pub fn version(&self, scope: &Scope) -> u64 {
        self.moved.get(scope).map_or(1, |g| g.version)
    }

    /// The one copy of a vector, for whoever keeps it.
    pub fn share(&mut self, vector: &Vector) -> Arc<Vector> {
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

    /// The scopes that moved since the start.
    pub fn moved(&self) -> impl Iterator<Item = (&Scope, &Generation)> {
        self.moved.iter()
    }

    /// The newest move that lies between two vectors, i.e. why a rendering with `old` does not hold for `new`.
    pub fn cause(&self, old: &Vector, new: &Vector) -> Option<&Generation> {
        let differs = |scope: &&Scope| old.get(*scope) != new.get(*scope);
        let scopes = old.keys().chain(new.keys()).filter(differs);
        scopes.filter_map(|scope| self.moved.get(scope)).max_by_key(|g| g.at.elapsed)
    }

    /// What a rendering of this workload depends on now: its Namespace and every injector that may match its Pods.
    pub fn vector(&self, workload: &WorkloadSnapshot, index: &Index) -> Vector {
        let namespace = index.supposed().namespace(&workload.key.namespace).clone();
        let account = Scope::ServiceAccount(namespace.clone(), workload.template.service_account.clone());
        let general = [Scope::Cluster, Scope::Namespace(namespace), account];
        let injectors = index.injectors().filter(|i| concerns(i, workload, index)).map(scope_of);
        general.into_iter().chain(injectors).map(|scope| (scope.clone(), self.version(&scope))).collect()
    }

    /// What moves by this change, and why. Nothing, if nothing that can change a rendering did.
    pub fn moves(change: &Change, index: &Index) -> Vec<(Scope, String)> {
        match change {
            Change::Injector { old, new } => {
                let same = old.as_ref().map(|o| &o.hash) == new.as_ref().map(|n| &n.hash);
                let Some(any) = new.as_ref().or(old.as_ref()) else { return Vec::new() };
                let about_pods =
                    [old, new].into_iter().flatten().any(|i| !i.entries.is_empty() || !i.policy.is_empty());
                if same || !about_pods {
                    return Vec::new();
                }
                let what = format!("{} {}", any.kind.as_str(), any.name);
                let mut scopes: Vec<_> = [old, new].into_iter().flatten().map(scope_of).collect();
                scopes.dedup();
                scopes
                    .into_iter()
                    .map(|scope| (scope, cause(&what, how(old.as_ref(), new.as_ref()), any.changed_by.as_ref())))
                    .collect()
            }
            Change::Namespace { old, name } => {
                let new = index.namespace(name);
                let same = old.as_ref().map(|o| &o.hash) == new.map(|n| &n.hash);
                let Some(new) = new.filter(|_| !same && old.is_some()) else { return Vec::new() };
                let what = format!("Namespace {name}");
                vec![(Scope::Namespace(name.clone()), cause(&what, "", new.changed_by.as_ref()))]
            }
            Change::Config { old, new } => {
                let same = old.as_ref().map(|o| &o.hash) == new.as_ref().map(|n| &n.hash);
                let Some(any) = new.as_ref().or(old.as_ref()).filter(|_| !same) else { return Vec::new() };
                let what = format!("{} {}/{}", any.kind.as_str(), any.key.namespace, any.key.name);
                let why = cause(&what, how(old.as_ref(), new.as_ref()), any.changed_by.as_ref());
                let ObjectKey { namespace, name } = any.key.clone();
                match any.kind {
                    ConfigKind::ConfigMap => {
                        backends::backed_from(&namespace, index).map(|i| (scope_of(i), why.clone())).collect()
                    }
                    ConfigKind::ServiceAccount => vec![(Scope::ServiceAccount(namespace, name), why)],
                    ConfigKind::LimitRange => vec![(Scope::Namespace(namespace), why)],
                }
            }
            Change::Trigger { old, new } => {
                let same = old.as_ref().map(|o| &o.hash) == new.as_ref().map(|n| &n.hash);
                let Some(any) = new.as_ref().or(old.as_ref()).filter(|_| !same) else { return Vec::new() };
                let Some(trigger) = index.triggers().get(any.number) else { return Vec::new() };
                let one =
                    Trigger { namespace: any.key.namespace.clone(), name: any.key.name.clone(), ..trigger.clone() };
                let why = cause(&one.to_string(), how(old.as_ref(), new.as_ref()), any.changed_by.as_ref());
                let scopes = super::triggered::scopes_of_trigger(any.number, &any.key, index);
                scopes.into_iter().map(|scope| (scope, why.clone())).collect()
            }
            Change::Node { old_floor, new_floor } => match (old_floor, new_floor) {
                (Some(old), Some(new)) if old != new => {
                    let why = format!("lowest kubelet version {}.{} → {}.{}", old.0, old.1, new.0, new.1);
                    vec![(Scope::Cluster, why)]
                }
                _ => Vec::new(),
            },
            Change::Workload { old, key } => {
                let (old, new) = (old.as_deref(), index.workload(key));
                let same = old.map(|o| &o.template.hash) == new.map(|n| &n.template.hash);
                let Some(any) = new.or(old).filter(|_| !same) else { return Vec::new() };
                let what = format!("{} {}/{}", key.kind, key.namespace, key.name);
                let why = cause(&what, how(old, new), any.changed_by.as_ref());
                let behind = |i: &&InjectorSnapshot| {
                    backends::services_of(i).any(|service| backends::backs(any, service, index))
                };
                index.injectors().filter(behind).map(|i| (scope_of(i), why.clone())).collect()
            }
            Change::Service { old, new } => {
                let same = old.as_ref().map(|o| &o.selector) == new.as_ref().map(|n| &n.selector);
                let Some(any) = new.as_ref().or(old.as_ref()).filter(|_| !same) else { return Vec::new() };
                let what = format!("Service {}/{}", any.key.namespace, any.key.name);
                let why = cause(&what, how(old.as_ref(), new.as_ref()), None);
                let in_front = |i: &&InjectorSnapshot| backends::services_of(i).any(|service| *service == any.key);
                index.injectors().filter(in_front).map(|i| (scope_of(i), why.clone())).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The scopes that somebody changed at that time or later, as the objects themselves say, and whether what changed may
/// take effect only later.
pub fn changed_since(since: Timestamp, index: &Index) -> Vec<(Scope, bool)> {
    let recent = |by: Option<&ChangedBy>| by.and_then(|by| by.time).is_some_and(|time| time >= since);
    let injectors = index.injectors().filter(|i| recent(i.changed_by.as_ref())).map(|i| (scope_of(i), false));
    let namespaces = index.namespaces().filter(|(_, namespace)| recent(namespace.changed_by.as_ref()));
    let namespaces = namespaces.map(|(name, _)| (Scope::Namespace(name.clone()), false));
    let configs = index.configs().filter(|config| recent(config.changed_by.as_ref())).flat_map(|config| {
        let change = Change::Config { old: None, new: Some(config.clone()) };
        let late = config.kind == ConfigKind::ConfigMap;
        Generations::moves(&change, index).into_iter().map(move |(scope, _)| (scope, late))
    });
    let triggered = index.triggered().filter(|object| recent(object.changed_by.as_ref()));
    let triggered =
        triggered.flat_map(|o| super::triggered::scopes_of_trigger(o.number, &o.key, index)).map(|scope| (scope, true));
    injectors.chain(namespaces).chain(configs).chain(triggered).collect()
}

fn how<T>(old: Option<&T>, new: Option<&T>) -> &'static str {
    match (old, new) {
        (None, Some(_)) => "created",
        (Some(_), None) => "deleted",
        _ => "",
    }
}

/// `ConfigMap a/b deleted, manager helm, 14:02`
fn cause(what: &str, how: &str, by: Option<&ChangedBy>) -> String {
    let mut text = what.to_owned();
    if !how.is_empty() {
        text.push(' ');
        text.push_str(how);
    }
    // Nobody signs a deletion.
    if let Some(by) = by.filter(|_| how != "deleted") {
        text.push_str(", manager ");
        text.push_str(&by.manager);
        if let Some(time) = by.time {
            text.push_str(&time.strftime(", %Y-%m-%d %H:%M UTC").to_string());
        }
    }
    text
}

/// The scope that an injector object belongs to: a binding to its policy's.
pub fn scope_of(injector: &InjectorSnapshot) -> Scope {
    match injector.kind {
        InjectorKind::MutatingAdmissionPolicyBinding => {
            Scope::Injector(InjectorKind::MutatingAdmissionPolicy, injector.policy.clone())
        }
        kind => Scope::Injector(kind, injector.name.clone()),
    }
}

/// Whether an injector may touch this workload's Pods. What we cannot judge counts as yes. A policy does only where one
/// of its bindings does, too; a binding by itself does nothing.
fn concerns(injector: &InjectorSnapshot, workload: &WorkloadSnapshot, index: &Index) -> bool {
    match injector.kind {
        InjectorKind::MutatingWebhookConfiguration => matches(injector, workload, index),
        InjectorKind::MutatingAdmissionPolicyBinding => false,
        InjectorKind::MutatingAdmissionPolicy => {
            let mut bindings = index.injectors().filter(|b| b.policy == injector.name);
            matches(injector, workload, index) && bindings.any(|binding| matches(binding, workload, index))
        }
    }
}

fn matches(injector: &InjectorSnapshot, workload: &WorkloadSnapshot, index: &Index) -> bool {
    let supposed = index.supposed();
    let namespace = index.namespace(supposed.namespace(&workload.key.namespace));
    let labels = supposed.labels(&workload.template.labels);
    injector
        .entries
        .iter()
        .any(|entry| namespace.is_none_or(|ns| entry.namespaces.matches(&ns.labels)) && entry.objects.matches(&labels))
}

/// The injectors that may touch this workload's Pods.
pub fn injectors_of<'a>(
    workload: &'a WorkloadSnapshot,
    index: &'a Index,
) -> impl Iterator<Item = &'a InjectorSnapshot> {
    index.injectors().filter(|i| concerns(i, workload, index))
}

#[cfg(test)]
mod tests;
