//! Which injectors may touch which workload's Pods.

use super::{
    backends::services_mixed,
    controller_labels,
    scope::{Scope, VersionVector, is_scope, scope_of},
};
use crate::core::{
    inventory::Index,
    model::{Added, InjectorEntry, InjectorKind, InjectorSnapshot, WorkloadSnapshot},
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
    matching(injector, workload, index).next().is_some()
}

/// The entries of an injector that may select this workload's Pods.
fn matching<'a>(
    injector: &'a InjectorSnapshot,
    workload: &'a WorkloadSnapshot,
    index: &'a Index,
) -> impl Iterator<Item = &'a InjectorEntry> {
    let supposed = index.supposed();
    let namespace = index.namespace(supposed.namespace(&workload.key.namespace));
    let labels = supposed.labels(&workload.template.labels);
    let added = controller_labels::of(workload.key.kind);
    injector.entries.iter().filter(move |entry| {
        namespace.is_none_or(|ns| entry.namespaces.matches(&ns.labels)) && entry.objects.may_match(&labels, &added)
    })
}

/// The entries that may touch this workload's Pods: another entry of the same object says nothing of them.
pub fn entries_of<'a>(
    workload: &'a WorkloadSnapshot,
    index: &'a Index,
) -> impl Iterator<Item = (&'a InjectorSnapshot, &'a InjectorEntry)> {
    injectors_of(workload, index).flat_map(move |i| matching(i, workload, index).map(move |entry| (i, entry)))
}

/// The injectors that may touch this workload's Pods.
pub fn injectors_of<'a>(
    workload: &'a WorkloadSnapshot,
    index: &'a Index,
) -> impl Iterator<Item = &'a InjectorSnapshot> {
    index.injectors().filter(|i| concerns(i, workload, index))
}

/// The entries that may touch this workload's Pods once others have touched them: an earlier webhook or policy may add any label
/// that the template lacks. A policy that nothing binds does nothing.
pub(super) fn in_reach<'a>(
    workload: &'a WorkloadSnapshot,
    index: &'a Index,
) -> impl Iterator<Item = (&'a InjectorSnapshot, &'a InjectorEntry)> {
    let supposed = index.supposed();
    let namespace = index.namespace(supposed.namespace(&workload.key.namespace));
    let labels = supposed.labels(&workload.template.labels);
    let by_controller = controller_labels::of(workload.key.kind);
    let acts = |i: &&InjectorSnapshot| match i.kind {
        InjectorKind::MutatingWebhookConfiguration => true,
        InjectorKind::MutatingAdmissionPolicyBinding => false,
        InjectorKind::MutatingAdmissionPolicy => index.injectors().any(|binding| binding.policy == i.name),
    };
    let entries = index.injectors().filter(acts).flat_map(|i| i.entries.iter().map(move |entry| (i, entry)));
    entries.filter(move |(_, entry)| {
        let by_others = |key: &str| (!labels.contains_key(key)).then_some(Added::Maybe);
        let added = |key: &str| by_controller(key).or_else(|| by_others(key));
        namespace.is_none_or(|ns| entry.namespaces.matches(&ns.labels)) && entry.objects.may_match(&labels, &added)
    })
}

/// Why no rendering of this workload can be relied upon now (rule R9): what answers for its Pods is of two revisions.
pub fn exchanged(workload: &WorkloadSnapshot, index: &Index) -> Option<String> {
    let services: Vec<_> = entries_of(workload, index).filter_map(|(_, entry)| entry.service.as_ref()).collect();
    services_mixed(&services, index)
}

/// The scopes that a rendering of this workload depends on now: its Namespace, its ServiceAccount and every injector that
/// may match its Pods.
pub(super) fn scopes_of<'a>(workload: &'a WorkloadSnapshot, index: &'a Index) -> impl Iterator<Item = Scope> {
    let namespace = index.supposed().namespace(&workload.key.namespace).clone();
    let account = Scope::ServiceAccount(namespace.clone(), workload.template.service_account.clone());
    let general = [Scope::Cluster, Scope::Namespace(namespace), account];
    general.into_iter().chain(injectors_of(workload, index).map(scope_of))
}

/// Whether this is one of the scopes that a rendering of this workload depends on now.
pub(super) fn is_scope_of(scope: &Scope, workload: &WorkloadSnapshot, index: &Index) -> bool {
    let namespace = index.supposed().namespace(&workload.key.namespace);
    match scope {
        Scope::Cluster => true,
        Scope::Namespace(name) => name == namespace,
        Scope::ServiceAccount(of, name) => of == namespace && *name == workload.template.service_account,
        Scope::Injector(..) => index.injectors().any(|i| is_scope(scope, i) && concerns(i, workload, index)),
    }
}

/// The injectors among the scopes of a vector.
pub fn injector_scopes(versions: &VersionVector) -> impl Iterator<Item = &Scope> {
    versions.keys().filter(|scope| matches!(scope, Scope::Injector(..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        io::{WatchEvent, WatchKind, WatchSource},
        model::{Name, Object, Operator, Requirement, Selector, owner::Kind, test_objects},
    };

    fn selects(key: &str, value: &str) -> Selector {
        let requirement = Requirement { key: key.into(), operator: Operator::In, values: vec![value.into()] };
        Selector { requirements: vec![requirement] }
    }

    /// The time-outs of the entries that count, of a configuration with one for `app: other` and these.
    fn timeouts(objects: &[(Selector, u32)]) -> Vec<u32> {
        let workload = test_objects::workload(Kind::DEPLOYMENT, "web");
        let mut webhook = test_objects::webhook("mesh", "1");
        let entry = |objects: &Selector, timeout_seconds| InjectorEntry {
            objects: objects.clone(),
            timeout_seconds,
            ..webhook.entries[0].clone()
        };
        let other = [(selects("app", "other"), 1)];
        webhook.entries = other.iter().chain(objects).map(|(objects, timeout)| entry(objects, *timeout)).collect();
        let source = WatchSource { kind: WatchKind::Injectors(webhook.kind), namespace: None };
        let mut index = Index::expecting([source.clone()]);
        drop(index.apply(&source, WatchEvent::Apply(Object::Injector(webhook))));
        entries_of(&workload, &index).map(|(_, entry)| entry.timeout_seconds).collect()
    }

    #[test]
    fn an_entry_that_cannot_match_counts_for_nothing_and_lends_no_time_out() {
        assert_eq!(timeouts(&[]), [0_u32; 0]);
        assert_eq!(timeouts(&[(Selector::default(), 10)]), [10]);
        assert_eq!(timeouts(&[(Selector::default(), 10), (selects("team", "a"), 2)]), [10]);
    }

    #[test]
    fn an_entry_that_selects_by_a_label_of_a_controller_counts() {
        assert_eq!(timeouts(&[(selects("pod-template-hash", "h1"), 7)]), [7]);
        assert_eq!(timeouts(&[(selects("controller-revision-hash", "h1"), 7)]), [0_u32; 0]);
    }

    /// What one of a few scopes is about: kind of scope, and a name.
    fn scope(what: u8, name: u8) -> Scope {
        let name = Name::from(["web", "default", "mesh", "shop", "other"][usize::from(name % 5)]);
        match what % 5 {
            0 => Scope::Cluster,
            1 => Scope::Namespace(name),
            2 => Scope::ServiceAccount("shop".into(), name),
            3 => Scope::ServiceAccount(name, "default".into()),
            _ => Scope::Injector(InjectorKind::ALL[usize::from(what / 5) % InjectorKind::ALL.len()], name),
        }
    }

    proptest::proptest! {
        /// Whether a scope is one of a workload's is asked in another way than which ones are, and answered alike.
        #[test]
        fn a_scope_is_a_workloads_if_it_is_among_its_scopes(
            (what, name) in (proptest::prelude::any::<u8>(), 0..5_u8),
            injectors in proptest::collection::vec((0..3_usize, 0..5_u8, 0..5_u8, 0..4_u8), 0..6),
        ) {
            let workload = test_objects::workload(Kind::DEPLOYMENT, "web");
            let kinds = InjectorKind::ALL.map(|kind| WatchSource { kind: WatchKind::Injectors(kind), namespace: None });
            let mut index = Index::expecting(kinds.clone());
            for (kind, of, policy, selected) in injectors {
                let names = ["web", "default", "mesh", "shop", "other"];
                let mut injector = test_objects::webhook(names[usize::from(of)], "1");
                injector.kind = InjectorKind::ALL[kind];
                injector.policy = names[usize::from(policy)].into();
                injector.entries[0].objects = match selected {
                    0 => selects("app", "other"),
                    1 => selects("app", "web"),
                    2 => selects("pod-template-hash", "h1"),
                    _ => Selector::default(),
                };
                let source = WatchSource { kind: WatchKind::Injectors(injector.kind), namespace: None };
                drop(index.apply(&source, WatchEvent::Apply(Object::Injector(injector))));
            }
            let scope = scope(what, name);
            let among = scopes_of(&workload, &index).any(|one| one == scope);
            proptest::prop_assert_eq!(is_scope_of(&scope, &workload, &index), among, "{}", scope);
        }
    }
}
