//! The plan of a rollout, and what became of it.

use std::fmt::Write;

use super::{
    scan::{DIFFERING, remarks, row},
    table::{Page, Section, sections},
    text::{printable, wrap},
};
use crate::{
    core::{
        report::{Report, RolloutReport, WorkloadReport},
        words::{Gate, Outcome},
    },
    document::summary::{differs, many},
};

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
                None | Some(Outcome::TimedOut | Outcome::Superseded) => tally.warnings += 1,
                Some(
                    Outcome::Failed | Outcome::NonConvergent | Outcome::Reverted | Outcome::Conflict | Outcome::Denied,
                ) => tally.errors += 1,
            }
        }
        tally
    }
}

/// Whether nothing but the missing `--confirm` holds it.
fn ready(w: &WorkloadReport) -> bool {
    differs(w) && gate_in_enforce(w).is_none()
}

/// The gate that would hold it with `--confirm`.
fn gate_in_enforce(w: &WorkloadReport) -> Option<Gate> {
    if w.gate == Some(Gate::ReportOnly) { w.gate_in_enforce } else { w.gate }
}

/// The workloads of a report that differ and were not rolled.
pub fn held(report: &Report) -> Vec<&WorkloadReport> {
    report.workloads.iter().map(AsRef::as_ref).filter(|w| differs(w) && w.gate.is_some()).collect()
}

/// What would be rolled, and what would not and why.
pub fn plan(report: &Report, page: Page) -> String {
    let (go, stay): (Vec<_>, Vec<_>) = report.workloads.iter().filter(|w| differs(w)).partition(|w| ready(w));
    let columns: &[&str] = &["NAMESPACE", "WORKLOAD", "CHANGE", "PODS"];
    let to_roll = Section {
        heading: format!("{} to roll out", many(go.len(), "workload")),
        columns,
        rows: go.iter().map(|w| with_change(w, columns)).collect(),
    };
    let gated = Section {
        heading: format!("{} held", many(stay.len(), "workload")),
        columns: DIFFERING,
        rows: stay.iter().map(|w| with_gate(w)).collect(),
    };
    let mut text = sections(&[to_roll, gated], page);
    finish(&mut text, report, page);
    let last = if go.is_empty() {
        "Nothing is to be rolled out.".to_owned()
    } else {
        format!("Nothing was done. Add `--confirm` to roll out {}.", many(go.len(), "workload"))
    };
    text.push_str(&wrap(&last, page.width, "  "));
    text.push('\n');
    text
}

fn with_change(w: &WorkloadReport, columns: &[&str]) -> Vec<String> {
    let mut cells = row(w, columns);
    if let Some(cell) = cells.get_mut(2) {
        *cell = w.change.clone().unwrap_or_default();
    }
    cells
}

/// The missing `--confirm` is known; what else holds it is not.
fn with_gate(w: &WorkloadReport) -> Vec<String> {
    let mut cells = row(w, DIFFERING);
    if let (Some(gate), Some(cell)) = (gate_in_enforce(w), cells.last_mut()) {
        *cell = gate.to_string();
    }
    cells
}

/// What was rolled, what was not, and the sum.
pub fn result(report: &Report, seconds: u64, page: Page) -> String {
    let rolled = Section {
        heading: format!("{} rolled out", many(report.rollouts.len(), "workload")),
        columns: ROLLED,
        rows: report.rollouts.iter().rev().map(rolled).collect(),
    };
    let held = held(report);
    let left = Section {
        heading: format!("{} held", many(held.len(), "workload")),
        columns: DIFFERING,
        rows: held.iter().map(|w| row(w, DIFFERING)).collect(),
    };
    let mut text = sections(&[rolled, left], page);
    finish(&mut text, report, page);
    let Tally { errors, warnings } = Tally::of(report);
    let warned = if warnings == 0 { String::new() } else { format!(" and {}", many(warnings, "warning")) };
    _ = writeln!(text, "Completed after {seconds}s with {}{warned}.", many(errors, "error"));
    text
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
        text.push_str(&wrap(&printable(&remark), page.width, "  "));
        text.push('\n');
    }
}
