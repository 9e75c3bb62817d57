//! Which scopes a change of an object moves, and the cause in words.

use jiff::Timestamp;

use super::{
    backends::{backed_from, backs},
    scope::{Scope, scope_of},
    triggered::scopes_of_trigger,
};
use crate::core::{
    config::Trigger,
    inventory::{Change, Index},
    model::{ChangedBy, ConfigKind, InjectorSnapshot, ObjectKey, quoted::quoted},
};

/// What moves by this change, and why. Nothing, if nothing that can change a rendering did.
pub(super) fn scope_changes(change: &Change, index: &Index) -> Vec<(Scope, String)> {
    match change {
        Change::Injector { old, new } => {
            let same = old.as_ref().map(|o| &o.hash) == new.as_ref().map(|n| &n.hash);
            let Some(any) = new.as_ref().or(old.as_ref()) else { return Vec::new() };
            let about_pods = [old, new].into_iter().flatten().any(|i| !i.entries.is_empty() || !i.policy.is_empty());
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
                ConfigKind::ConfigMap => backed_from(&namespace, index).map(|i| (scope_of(i), why.clone())).collect(),
                ConfigKind::ServiceAccount => vec![(Scope::ServiceAccount(namespace, name), why)],
                ConfigKind::LimitRange => vec![(Scope::Namespace(namespace), why)],
            }
        }
        Change::Trigger { old, new } => {
            let same = old.as_ref().map(|o| &o.hash) == new.as_ref().map(|n| &n.hash);
            let Some(any) = new.as_ref().or(old.as_ref()).filter(|_| !same) else { return Vec::new() };
            let Some(trigger) = index.triggers().get(any.number) else { return Vec::new() };
            let one = Trigger { namespace: any.key.namespace.clone(), name: any.key.name.clone(), ..trigger.clone() };
            let why = cause(&one.to_string(), how(old.as_ref(), new.as_ref()), any.changed_by.as_ref());
            let scopes = scopes_of_trigger(any.number, &any.key, index);
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
            let behind = |i: &&InjectorSnapshot| i.services().any(|service| backs(any, service, index));
            index.injectors().filter(behind).map(|i| (scope_of(i), why.clone())).collect()
        }
        Change::Service { old, new } => {
            let same = old.as_ref().map(|o| &o.selector) == new.as_ref().map(|n| &n.selector);
            let Some(any) = new.as_ref().or(old.as_ref()).filter(|_| !same) else { return Vec::new() };
            let what = format!("Service {}/{}", any.key.namespace, any.key.name);
            let why = cause(&what, how(old.as_ref(), new.as_ref()), None);
            let in_front = |i: &&InjectorSnapshot| i.services().any(|service| *service == any.key);
            index.injectors().filter(in_front).map(|i| (scope_of(i), why.clone())).collect()
        }
        _ => Vec::new(),
    }
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
        scope_changes(&change, index).into_iter().map(move |(scope, _)| (scope, late))
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
