//! Counting workloads, in the words that everything uses.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::core::{
    model::{
        Name,
        words::{Difference, Gate, UndeterminedReason, Verdict},
    },
    report::{Report, WorkloadReport},
};

/// How many workloads have which verdict, reason and gate. Words that do not occur are left out.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// All workloads.
    pub workloads: usize,
    /// In how many namespaces.
    pub namespaces: usize,
    /// By verdict; the sum is `workloads`.
    pub verdicts: BTreeMap<Verdict, usize>,
    /// The undetermined ones by reason.
    pub undetermined: BTreeMap<UndeterminedReason, usize>,
    /// Those that differ and are not rolled, by gate.
    pub gates: BTreeMap<Gate, usize>,
}

impl Summary {
    /// Counts.
    pub fn of(report: &Report) -> Self {
        let mut summary = Self { workloads: report.workloads.len(), verdicts: report.totals(), ..Self::default() };
        let mut namespaces = BTreeSet::new();
        for workload in &report.workloads {
            namespaces.insert(&workload.namespace);
            if let Some(reason) = workload.reason {
                *summary.undetermined.entry(reason).or_default() += 1;
            }
            if let Some(gate) = workload.gate {
                *summary.gates.entry(gate).or_default() += 1;
            }
        }
        summary.namespaces = namespaces.len();
        summary
    }

    /// `14 workloads in 3 namespaces: 2 undetermined, 4 drifted, 8 in_sync`
    pub fn line(&self) -> String {
        let counts: Vec<_> = self.verdicts.iter().map(|(verdict, n)| format!("{n} {verdict}")).collect();
        format!("{} in {}: {}", many(self.workloads, "workload"), many(self.namespaces, "namespace"), counts.join(", "))
    }
}

/// `1 workload`, `2 workloads`
pub fn many(n: usize, word: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {word}{plural}")
}

/// What people are told of a breaker that opened: in this namespace, or everywhere.
pub fn breaker_opened(namespace: Option<&Name>, reason: &str) -> String {
    match namespace {
        None => format!("The breaker opened: {reason}. Nothing more is rolled out until `sidecar-drift resume`."),
        Some(namespace) => format!(
            "The breaker opened in namespace {namespace}: {reason}. Nothing more is rolled out there until \
             `sidecar-drift resume -n {namespace}`."
        ),
    }
}

/// Its Pods that differ.
pub fn differing(workload: &WorkloadReport) -> usize {
    workload.differing.iter().map(|group| group.pods.len()).sum()
}

/// Which words of difference occur in it.
pub fn differences(workload: &WorkloadReport) -> BTreeSet<Difference> {
    workload.differing.iter().flat_map(|group| &group.differences).map(|sidecar| sidecar.difference).collect()
}

/// Whether a rollout might be made for it.
pub fn differs(w: &WorkloadReport) -> bool {
    matches!(w.verdict, Verdict::NonConvergent | Verdict::Removed | Verdict::Missing | Verdict::Drifted)
}
