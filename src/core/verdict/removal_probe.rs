//! Probes whether an injector still gives its sidecar to others (rule R7).
//!
//! In a cluster in sync nobody is rendered for hours, so nobody would tell by chance.

use std::{collections::BTreeMap, time::Duration};

use super::admission_evidence::UNCERTAIN_RETRY;
use crate::core::model::Name;

/// When another workload was asked for last, for each sidecar.
#[derive(Clone, Debug, Default)]
pub(super) struct RemovalProbes(BTreeMap<Name, Duration>);

impl RemovalProbes {
    /// Whether one is to be asked now: one is enough for all workloads that lack the sidecar.
    pub(super) fn is_due(&mut self, sidecar: &Name, now: Duration) -> bool {
        self.0.retain(|_, at| now < *at + UNCERTAIN_RETRY);
        let due = !self.0.contains_key(sidecar);
        if due {
            self.0.insert(sidecar.clone(), now);
        }
        due
    }
}
