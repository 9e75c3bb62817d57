//! The plan of a rollout, and what became of it.

use std::fmt::Write;

use super::{
    follow_up,
    scan::{DIFFERING, crashing, differs, remarks, row, sum},
    summary::many,
    table::{Page, Section, sections},
};
use crate::core::{
    model::words::{Gate, Outcome, Verdict},
    report::{Report, WorkloadReport},
    rollout::RolloutReport,
};

/// Columns of what is to be rolled.
const PLANNED: &[&str] = &["NAMESPACE", "WORKLOAD", "CHANGE", "PODS"];
/// Columns of what was rolled.
const ROLLED: &[&str] = &["NAMESPACE", "WORKLOAD", "OUTCOME", "TOOK", "MESSAGE"];

/// How the rollouts of a report went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Went wrong: exit code 1.
    pub errors: usize,
    /// May still succeed, or somebody else was faster.
    pub warnings: usize,
}

impl Tally {
    /// Counts.
    pub fn of(report: &Report) -> Self {
        let mut tally = Self { errors: 0, warnings: 0 };
        for rollout in &report.rollouts {
            match rollout.outcome {
                Some(Outcome::Converged) => {}
                None | Some(Outcome::TimedOut | Outcome::Stalled | Outcome::Superseded) => tally.warnings += 1,
                Some(
                    Outcome::Failed | Outcome::NonConvergent | Outcome::Reverted | Outcome::Conflict | Outcome::Denied,
                ) => tally.errors += 1,
            }
        }
        tally
    }
}

/// How a run of rollouts ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// How long it took.
    pub seconds: u64,
    /// A signal ended it.
    pub interrupted: bool,
}

/// Whether nothing but the missing `--confirm` holds it.
pub fn ready(w: &WorkloadReport) -> bool {
    w.gate == Some(Gate::ReportOnly) && w.gate_in_enforce.is_none()
}

/// The gate that would hold it with `--confirm`.
fn gate_in_enforce(w: &WorkloadReport) -> Option<Gate> {
    if w.gate == Some(Gate::ReportOnly) { w.gate_in_enforce } else { w.gate }
}

/// The workloads of a report that were to be rolled and were not.
pub fn held(report: &Report) -> Vec<&WorkloadReport> {
    // Whoever restarts what is in sync knows that what was just restarted is held.
    let rolled = |w: &WorkloadReport| {
        report.rollouts.iter().any(|r| (&r.namespace, &r.kind, &r.name) == (&w.namespace, &w.kind, &w.name))
    };
    let meant = |w: &&WorkloadReport| w.gate.is_some() && (differs(w) || (w.verdict == Verdict::InSync && !rolled(w)));
    report.workloads.iter().map(AsRef::as_ref).filter(meant).collect()
}

/// What would be rolled, and what would not and why.
pub fn plan(report: &Report, page: Page) -> String {
    let (go, stay): (Vec<_>, Vec<_>) = held(report).into_iter().partition(|w| ready(w));
    let to_roll = Section {
        heading: format!("{} to roll out", many(go.len(), "workload")),
        columns: PLANNED,
        rows: go.iter().map(|w| with_change(w, report)).collect(),
    };
    if !page.headers {
        return sections(&[to_roll], page);
    }
    let gated = Section {
        heading: format!("{} held", many(stay.len(), "workload")),
        columns: DIFFERING,
        rows: stay.iter().map(|w| with_gate(w, report)).collect(),
    };
    let mut text = sections(&[to_roll, gated, crashing(report)], page);
    finish(&mut text, report, page);
    text.push_str(&page.sentence(&sum(report)));
    let last = if go.is_empty() {
        "Nothing is to be rolled out.".to_owned()
    } else {
        format!("Nothing was done. Add `--confirm` to roll out {}.", many(go.len(), "workload"))
    };
    text + &page.sentence(&last)
}

fn with_change(w: &WorkloadReport, report: &Report) -> Vec<String> {
    let mut cells = row(w, PLANNED, report.taken);
    if let Some(cell) = cells.get_mut(2) {
        *cell = w.change.clone().unwrap_or_default();
    }
    cells
}

/// The missing `--confirm` is known; what else holds it is not.
fn with_gate(w: &WorkloadReport, report: &Report) -> Vec<String> {
    let mut cells = row(w, DIFFERING, report.taken);
    if let (Some(gate), Some(cell)) = (gate_in_enforce(w), cells.last_mut()) {
        *cell = gate.to_string();
    }
    cells
}

/// What was rolled, what was not, what a person should look at, and the sum.
pub fn result(report: &Report, end: End, page: Page) -> String {
    let rolled = Section {
        heading: format!("{} rolled out", many(report.rollouts.len(), "workload")),
        columns: ROLLED,
        rows: report.rollouts.iter().rev().map(rolled).collect(),
    };
    let held = held(report);
    let left = Section {
        heading: format!("{} held", many(held.len(), "workload")),
        columns: DIFFERING,
        rows: held.iter().map(|w| row(w, DIFFERING, report.taken)).collect(),
    };
    let mut text = sections(&[rolled, left, follow_up::section(report)], page);
    finish(&mut text, report, page);
    let Tally { errors, warnings } = Tally::of(report);
    let warned = if warnings == 0 { String::new() } else { format!(" and {}", many(warnings, "warning")) };
    let word = if end.interrupted { "Stopped" } else { "Completed" };
    text + &page.sentence(&format!("{word} after {}s with {}{warned}.", end.seconds, many(errors, "error")))
}

fn rolled(r: &RolloutReport) -> Vec<String> {
    let outcome = r.outcome.map_or_else(|| "under way".to_owned(), |outcome| outcome.to_string());
    vec![
        r.namespace.to_string(),
        format!("{}/{}", r.kind, r.name),
        outcome,
        format!("{}s", r.seconds),
        r.message.clone(),
    ]
}

fn finish(text: &mut String, report: &Report, page: Page) {
    for remark in remarks(report) {
        _ = write!(text, "{}", page.sentence(&remark));
    }
}
