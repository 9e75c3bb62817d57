//! What a person should look at after a run: whatever is not as it should be and was not mended.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{summary::many, table::Section};
use crate::core::{
    model::words::{Outcome, UndeterminedReason, Verdict},
    report::{Report, WorkloadReport},
};

/// Columns of what is to be followed up.
const COLUMNS: &[&str] = &["WORKLOAD", "WHAT"];

/// Workloads that are undetermined for the same reason are listed up to this number, and only counted above it.
const LISTED_AT_MOST: usize = 20;

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FollowUp {
    /// `Deployment/shop/cart`, or `312 workloads`.
    pub workload: String,
    /// What is wrong with it.
    pub what: String,
}

impl FollowUp {
    /// Everything of a report, what went wrong with us first.
    pub fn of(report: &Report) -> Vec<Self> {
        let mut all = Vec::new();
        for rollout in report.rollouts.iter().rev() {
            let what = match rollout.outcome {
                Some(Outcome::Converged) => continue,
                Some(outcome) => outcome.to_string(),
                None => "still under way".to_owned(),
            };
            let what = if rollout.message.is_empty() { what } else { format!("{what}, {}", rollout.message) };
            let workload = format!("{}/{}/{}", rollout.kind, rollout.namespace, rollout.name);
            all.push(Self { workload, what });
        }
        all.extend(report.workloads.iter().filter(|w| w.verdict == Verdict::Rejected).map(|w| said(w)));
        all.extend(report.workloads.iter().filter(|w| w.verdict == Verdict::NonConvergent).map(|w| said(w)));
        let crashing = report.workloads.iter().filter(|w| !w.crashing.is_empty());
        all.extend(crashing.map(|w| Self {
            workload: name(w),
            what: format!("Pods that crash or cannot start: {}", w.crashing.len()),
        }));
        let mut undetermined = BTreeMap::<Option<UndeterminedReason>, Vec<&WorkloadReport>>::new();
        for w in report.workloads.iter().filter(|w| w.verdict == Verdict::Undetermined) {
            undetermined.entry(w.reason).or_default().push(w);
        }
        for (reason, workloads) in undetermined {
            if workloads.len() <= LISTED_AT_MOST {
                all.extend(workloads.into_iter().map(said));
            } else {
                let what = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
                let workload = many(workloads.len(), "workload");
                all.push(Self { workload, what: format!("{}{what}", Verdict::Undetermined) });
            }
        }
        all
    }
}

/// As a section of a table.
pub fn section(report: &Report) -> Section {
    let rows: Vec<_> =
        FollowUp::of(report).into_iter().map(|FollowUp { workload, what }| vec![workload, what]).collect();
    Section { heading: format!("{} to follow up", rows.len()), columns: COLUMNS, rows }
}

fn said(w: &WorkloadReport) -> FollowUp {
    let mut what = w.verdict.to_string();
    if let Some(reason) = w.reason {
        what = format!("{what} ({reason})");
    }
    if let Some(message) = &w.message {
        what = format!("{what}: {message}");
    }
    FollowUp { workload: name(w), what }
}

fn name(w: &WorkloadReport) -> String {
    format!("{}/{}/{}", w.kind, w.namespace, w.name)
}
