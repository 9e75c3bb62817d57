//! Which scopes a change of an object may move, and the cause in words.

use jiff::Timestamp;

use super::{
    backends::{backed_from, backs},
    scope::{Scope, scope_of},
    triggered::scopes_of_trigger,
};
use crate::core::{
    config::Trigger,
    inventory::{Change, Index},
    model::{
        ChangedBy, ConfigKind, ConfigSnapshot, InjectorSnapshot, ObjectKey, WorkloadKey, WorkloadSnapshot,
        quoted::quoted,
    },
};

/// An object was written on which renderings may depend.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Which one: `ConfigMap mesh/config`.
    pub(super) what: String,
    /// The scopes that it may move.
    pub(super) scopes: Vec<Scope>,
    /// Why, in words.
    pub(super) cause: String,
    /// It is part of an injector, and does not only lie beside it.
    pub(super) is_own: bool,
    /// It came or went.
    pub(super) is_new: bool,
}

impl Written {
    /// Of something that lies beside injectors.
    fn of<T>(what: String, (old, new): (Option<&T>, Option<&T>), by: Option<&ChangedBy>, scopes: Vec<Scope>) -> Self {
        let cause = cause(&what, how(old, new), by);
        Self { what, scopes, cause, is_own: false, is_new: old.is_none() || new.is_none() }
    }
}

/// ConfigMaps that controllers keep in every namespace, so that Pods find the authority to trust: of no injector's
/// configuration.
const PUBLISHED: [&str; 3] = ["kube-root-ca.crt", "istio-ca-root-cert", "openshift-service-ca.crt"];

/// Which object was written, and what that may move. Nothing, if nothing that can change a rendering was.
pub(super) fn written(change: &Change, index: &Index) -> Option<Written> {
    let written = match change {
        Change::Injector { old, new } => of_injector(old.as_ref(), new.as_ref()),
        Change::Namespace { old, name } => {
            let new = index.namespace(name);
            let same = old.as_ref().map(|o| &o.hash) == new.map(|n| &n.hash);
            let new = new.filter(|_| !same && old.is_some())?;
            let scopes = vec![Scope::Namespace(name.clone())];
            Some(Written::of(format!("Namespace {name}"), (Some(new), Some(new)), new.changed_by.as_ref(), scopes))
        }
        Change::Config { old, new } => of_config(old.as_ref(), new.as_ref(), index),
        Change::Trigger { old, new } => {
            let same = old.as_ref().map(|o| &o.hash) == new.as_ref().map(|n| &n.hash);
            let any = new.as_ref().or(old.as_ref()).filter(|_| !same)?;
            let trigger = index.triggers().get(any.number)?;
            let one = Trigger { namespace: any.key.namespace.clone(), name: any.key.name.clone(), ..trigger.clone() };
            let scopes = scopes_of_trigger(any.number, &any.key, index);
            let written = Written::of(one.to_string(), (old.as_ref(), new.as_ref()), any.changed_by.as_ref(), scopes);
            // A person named it, or a policy reads it.
            Some(Written { is_own: true, ..written })
        }
        Change::Node { old_floor: Some(old), new_floor: Some(new) } if old != new => {
            let cause = format!("lowest kubelet version {}.{} → {}.{}", old.0, old.1, new.0, new.1);
            let what = "lowest kubelet version".to_owned();
            Some(Written { what, scopes: vec![Scope::Cluster], cause, is_own: false, is_new: false })
        }
        Change::Workload { old, key } => of_backend(old.as_deref(), key, index),
        Change::Service { old, new } => {
            let same = old.as_ref().map(|o| &o.selector) == new.as_ref().map(|n| &n.selector);
            let any = new.as_ref().or(old.as_ref()).filter(|_| !same)?;
            let what = format!("Service {}/{}", any.key.namespace, any.key.name);
            let in_front = |i: &&InjectorSnapshot| i.services().any(|service| *service == any.key);
            let scopes = index.injectors().filter(in_front).map(scope_of).collect();
            let written = Written::of(what, (old.as_ref(), new.as_ref()), None, scopes);
            Some(Written { is_own: true, ..written })
        }
        _ => None,
    };
    written.filter(|written| !written.scopes.is_empty())
}

fn of_injector(old: Option<&InjectorSnapshot>, new: Option<&InjectorSnapshot>) -> Option<Written> {
    let any = new.or(old)?;
    let about_pods = [old, new].into_iter().flatten().any(|i| !i.entries.is_empty() || !i.policy.is_empty());
    if old.map(|o| &o.hash) == new.map(|n| &n.hash) || !about_pods {
        return None;
    }
    let mut scopes: Vec<_> = [old, new].into_iter().flatten().map(scope_of).collect();
    scopes.dedup();
    let what = format!("{} {}", any.kind.as_str(), any.name);
    Some(Written { is_own: true, ..Written::of(what, (old, new), any.changed_by.as_ref(), scopes) })
}

fn of_config(old: Option<&ConfigSnapshot>, new: Option<&ConfigSnapshot>, index: &Index) -> Option<Written> {
    let any = new.or(old).filter(|_| old.map(|o| &o.hash) != new.map(|n| &n.hash))?;
    let ObjectKey { namespace, name } = any.key.clone();
    let what = format!("{} {namespace}/{name}", any.kind.as_str());
    let scopes = match any.kind {
        ConfigKind::ConfigMap if PUBLISHED.contains(&&*name) => Vec::new(),
        ConfigKind::ConfigMap => backed_from(&namespace, index).map(scope_of).collect(),
        ConfigKind::ServiceAccount => vec![Scope::ServiceAccount(namespace, name)],
        ConfigKind::LimitRange => vec![Scope::Namespace(namespace)],
    };
    Some(Written::of(what, (old, new), any.changed_by.as_ref(), scopes))
}

fn of_backend(old: Option<&WorkloadSnapshot>, key: &WorkloadKey, index: &Index) -> Option<Written> {
    let new = index.workload(key);
    let any = new.or(old).filter(|_| old.map(|o| &o.template.hash) != new.map(|n| &n.template.hash))?;
    let behind = |i: &&InjectorSnapshot| i.services().any(|service| backs(any, service, index));
    let scopes = index.injectors().filter(behind).map(scope_of).collect();
    let what = format!("{} {}/{}", key.kind, key.namespace, key.name);
    Some(Written { is_own: true, ..Written::of(what, (old, new), any.changed_by.as_ref(), scopes) })
}

/// The scopes that somebody changed at that time or later, as the objects themselves say, and whether what changed may
/// take effect only later.
pub(super) fn changed_since(since: Timestamp, index: &Index) -> Vec<(Scope, bool)> {
    let recent = |by: Option<&ChangedBy>| by.and_then(|by| by.time).is_some_and(|time| time >= since);
    let injectors = index.injectors().filter(|i| recent(i.changed_by.as_ref())).map(|i| (scope_of(i), false));
    let namespaces = index.namespaces().filter(|(_, namespace)| recent(namespace.changed_by.as_ref()));
    let namespaces = namespaces.map(|(name, _)| (Scope::Namespace(name.clone()), false));
    let configs = index.configs().filter(|config| recent(config.changed_by.as_ref())).flat_map(|config| {
        let change = Change::Config { old: None, new: Some(config.clone()) };
        let late = config.kind == ConfigKind::ConfigMap;
        written(&change, index).into_iter().flat_map(|w| w.scopes).map(move |scope| (scope, late))
    });
    let triggered = index.triggered().filter(|object| recent(object.changed_by.as_ref()));
    let triggered = triggered.flat_map(|o| scopes_of_trigger(o.number, &o.key, index)).map(|scope| (scope, true));
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
        text.push_str(&quoted(&by.manager));
        if let Some(time) = by.time {
            text.push_str(&time.strftime(", %Y-%m-%d %H:%M UTC").to_string());
        }
    }
    text
}
