//! How what may touch a workload's Pods fails (rule R7): whether an answer without something says that nobody gives it.

use std::collections::BTreeSet;

use super::{
    concerned::{in_reach, injectors_of},
    scope::{Scope, scope_of},
};
use crate::core::{
    inventory::Index,
    model::{InjectorKind, WorkloadSnapshot},
};

/// What may touch a workload's Pods, as far as it is listed, and how it fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The configurations that fail open: down, they take away what they give, without a word.
    pub open: BTreeSet<Scope>,
    /// Something that injects is listed.
    pub listed: bool,
    /// There is one answerer only, and it gives everything or nothing: what it gave shows that it answered.
    pub sole: bool,
}

impl Reach {
    /// What may touch this workload's Pods; `None`: what injects may not be listed.
    pub fn of(workload: &WorkloadSnapshot, index: &Index) -> Option<Self> {
        if !index.knows_injectors() {
            return None;
        }
        if injectors_of(workload, index).next().is_none() {
            return Some(Self::default());
        }
        let mut reach = Self { listed: true, ..Self::default() };
        let mut answerers = BTreeSet::new();
        for (number, (injector, entry)) in in_reach(workload, index).enumerate() {
            let scope = scope_of(injector);
            // Entries with a `url` may be answered by others each.
            let number = entry.service.is_none().then_some(number);
            answerers.insert((scope.clone(), entry.service.clone(), number));
            if entry.ignores_failure {
                reach.open.insert(scope);
            }
        }
        // A policy's mutations fail one by one.
        let whole = |scope: &Scope| matches!(scope, Scope::Injector(InjectorKind::MutatingWebhookConfiguration, _));
        reach.sole = answerers.len() == 1 && answerers.iter().all(|(scope, ..)| whole(scope));
        Some(reach)
    }

    /// Whether nothing that may touch these Pods can be down without a word: it would have refused the rendering. Where nothing
    /// is listed, nothing says that there is none that no client can list.
    pub fn fails_closed(&self) -> bool {
        self.listed && self.open.is_empty()
    }
}
