//! Params of admission policies.

use std::collections::BTreeMap;

use super::index::Index;
use crate::core::{
    config::Trigger,
    model::{InjectorKind, InjectorSnapshot, Name},
};

/// The params that admission policies read about Pods, each with the policies that read it.
pub fn params(index: &Index) -> BTreeMap<Trigger, Vec<Name>> {
    let mut all: BTreeMap<Trigger, Vec<Name>> = BTreeMap::new();
    let of_kind = |kind| index.injectors().filter(move |i: &&InjectorSnapshot| i.kind == kind && !i.entries.is_empty());
    for policy in of_kind(InjectorKind::MutatingAdmissionPolicy) {
        let Some(kind) = &policy.params else { continue };
        for binding in of_kind(InjectorKind::MutatingAdmissionPolicyBinding).filter(|b| b.policy == policy.name) {
            let Some(which) = &binding.params else { continue };
            let trigger = Trigger {
                group: Some(kind.group.clone()),
                kind: kind.kind.clone(),
                namespace: which.namespace.clone(),
                name: which.name.clone(),
            };
            all.entry(trigger).or_default().push(policy.name.clone());
        }
    }
    all
}
