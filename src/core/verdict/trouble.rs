//! What workloads wait for whose renderings come to nothing.

use std::collections::BTreeSet;

use super::case::{Case, Failure};
use crate::core::{injection::Scope, model::words::UndeterminedReason};

/// What several workloads may wait for together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trouble {
    /// `None`: their Pods would be refused.
    reason: Option<UndeterminedReason>,
    /// The injectors that may have a hand in it, and the namespace where it may be its own.
    scopes: BTreeSet<Scope>,
}

impl Trouble {
    pub(super) fn of(failure: &Failure) -> Self {
        let reason = failure.reason;
        let own = matches!(reason, None | Some(UndeterminedReason::QuotaFull | UndeterminedReason::Forbidden));
        let counts = |scope: &&Scope| match scope {
            Scope::Injector(..) => true,
            Scope::Namespace(_) => own,
            Scope::Cluster | Scope::ServiceAccount(..) => false,
        };
        Self { reason, scopes: failure.versions.keys().filter(counts).cloned().collect() }
    }
}

/// What this one waits for.
pub(super) fn troubles(case: Option<&Case>) -> BTreeSet<Trouble> {
    let failures = case.into_iter().flat_map(|case| &case.revisions).filter_map(|revision| revision.failure.as_deref());
    failures.map(Trouble::of).collect()
}
