//! What triggers move.

use super::{
    backends::backed_from,
    scope::{Scope, scope_of},
};
use crate::core::{
    inventory::{Index, params},
    model::{InjectorKind, ObjectKey},
};

/// What moves when this object does. A policy's params move the policy. What a person named moves the injectors that are
/// backed from its namespace, or everything, if none is.
pub(super) fn scopes_of_trigger(number: u16, object: &ObjectKey, index: &Index) -> Vec<Scope> {
    let triggers = index.triggers();
    let Some(trigger) = triggers.get(number) else { return Vec::new() };
    let policies = params(index).remove(trigger).unwrap_or_default();
    let mut scopes: Vec<_> =
        policies.into_iter().map(|name| Scope::Injector(InjectorKind::MutatingAdmissionPolicy, name)).collect();
    if triggers.is_named(number) {
        let before = scopes.len();
        scopes.extend(backed_from(&object.namespace, index).map(scope_of));
        if scopes.len() == before {
            scopes.push(Scope::Cluster);
        }
    }
    scopes
}
