//! Which injectors may touch which workload's Pods.

use super::scope::{Scope, VersionVector, scope_of};
use crate::core::{
    inventory::Index,
    model::{InjectorKind, InjectorSnapshot, WorkloadSnapshot},
};

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

/// The scopes that a rendering of this workload depends on now: its Namespace, its ServiceAccount and every injector that
/// may match its Pods.
pub(super) fn scopes_of<'a>(workload: &'a WorkloadSnapshot, index: &'a Index) -> impl Iterator<Item = Scope> {
    let namespace = index.supposed().namespace(&workload.key.namespace).clone();
    let account = Scope::ServiceAccount(namespace.clone(), workload.template.service_account.clone());
    let general = [Scope::Cluster, Scope::Namespace(namespace), account];
    general.into_iter().chain(injectors_of(workload, index).map(scope_of))
}

/// Whether one injector may touch the Pods of both.
pub fn share_an_injector(one: &VersionVector, other: &VersionVector) -> bool {
    injector_scopes(one).any(|scope| other.contains_key(scope))
}

/// The injectors among the scopes of a vector.
pub fn injector_scopes(versions: &VersionVector) -> impl Iterator<Item = &Scope> {
    versions.keys().filter(|scope| matches!(scope, Scope::Injector(..)))
}
