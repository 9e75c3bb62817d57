//! The result of a scan for people: by change, then by namespace; then what could not be determined; then the sum.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use super::{
    summary::{Summary, differences, differing, many},
    table::{Page, Section, sections},
    text::{printable, wrap},
};
use crate::core::{
    report::{IgnoreReport, Report, WorkloadReport},
    words::{Gate, UndeterminedReason, Verdict, Word},
};

/// Columns of workloads that differ.
pub const DIFFERING: &[&str] = &["NAMESPACE", "WORKLOAD", "VERDICT", "DIFFERENCE", "PODS", "HELD BY"];
/// Columns of workloads of which something is to be said.
const SAID: &[&str] = &["NAMESPACE", "WORKLOAD", "MESSAGE"];
/// Columns of workloads that are only listed.
const LISTED: &[&str] = &["NAMESPACE", "WORKLOAD", "VERDICT", "PODS"];

/// The whole result. `all`: also the workloads that are as they should be, which are otherwise only counted.
pub fn text(report: &Report, all: bool, page: Page) -> String {
    let mut parts = changes(report);
    parts.extend(troubles(report));
    if all {
        parts.push(section_of(report, "with nothing to do", LISTED, |w| {
            matches!(w.verdict, Verdict::InSync | Verdict::NotInjected | Verdict::NoPods)
        }));
    }
    let mut text = String::new();
    if !report.what_if.is_nothing() {
        let supposed =
            format!("What would be injected if {}. Nothing of it is so, and nothing was changed.", report.what_if);
        text.push_str(&wrap(&printable(&supposed), page.width, ""));
        text.push_str("\n\n");
    }
    text.push_str(&sections(&parts, page));
    for remark in remarks(report) {
        text.push_str(&wrap(&printable(&remark), page.width, "  "));
        text.push('\n');
    }
    text.push_str(&wrap(&sum(report), page.width, "  "));
    text.push('\n');
    text
}

/// One section for each change, the commonest first.
pub fn changes(report: &Report) -> Vec<Section> {
    let mut by_change = BTreeMap::<&str, Vec<&Arc<WorkloadReport>>>::new();
    for workload in report.workloads.iter().filter(|w| differs(w)) {
        by_change.entry(workload.change.as_deref().unwrap_or("no description")).or_default().push(workload);
    }
    let mut groups: Vec<_> = by_change.into_iter().collect();
    groups.sort_by_key(|(_, workloads)| Reverse(workloads.len()));
    let section = |(change, workloads): (&str, Vec<&Arc<WorkloadReport>>)| Section {
        heading: format!("{}: {change}", many(workloads.len(), "workload")),
        columns: DIFFERING,
        rows: workloads.into_iter().map(|w| row(w, DIFFERING)).collect(),
    };
    groups.into_iter().map(section).collect()
}

/// What needs a look although nothing can be rolled: refused Pods first, then the undetermined by reason.
fn troubles(report: &Report) -> Vec<Section> {
    let rejected = format!("{}: {}", Verdict::Rejected, Verdict::Rejected.meaning());
    let mut parts = vec![section_of(report, &rejected, SAID, |w| w.verdict == Verdict::Rejected)];
    for reason in UndeterminedReason::ALL {
        let heading = format!("{}, {reason}: {}", Verdict::Undetermined, reason.meaning());
        let chosen = |w: &WorkloadReport| w.verdict == Verdict::Undetermined && w.reason == Some(*reason);
        parts.push(section_of(report, &heading, SAID, chosen));
    }
    let unexplained = |w: &WorkloadReport| w.verdict == Verdict::Undetermined && w.reason.is_none();
    parts.push(section_of(report, "undetermined", SAID, unexplained));
    parts
}

/// A section of the workloads that `chosen` chooses.
fn section_of(
    report: &Report,
    what: &str,
    columns: &'static [&'static str],
    chosen: impl Fn(&WorkloadReport) -> bool,
) -> Section {
    let rows: Vec<_> = report.workloads.iter().filter(|w| chosen(w)).map(|w| row(w, columns)).collect();
    Section { heading: format!("{} {what}", many(rows.len(), "workload")), columns, rows }
}

/// A workload's cells under these columns.
pub fn row(w: &WorkloadReport, columns: &[&str]) -> Vec<String> {
    let cell = |column: &&str| match *column {
        "NAMESPACE" => w.namespace.to_string(),
        "WORKLOAD" => format!("{}/{}", w.kind, w.name),
        "VERDICT" => w.verdict.to_string(),
        "DIFFERENCE" => differences(w).iter().map(|d| d.as_str()).collect::<Vec<_>>().join(", "),
        "PODS" if w.differing.is_empty() => w.pods.to_string(),
        "PODS" => format!("{} of {}", differing(w), w.pods),
        "HELD BY" => held_by(w),
        "MESSAGE" => w.message.clone().unwrap_or_default(),
        _ => String::new(),
    };
    columns.iter().map(cell).collect()
}

/// The gate, and where that is only the mode, the one behind it: `report_only, then cooldown`.
fn held_by(w: &WorkloadReport) -> String {
    let then = w.gate_in_enforce.filter(|_| w.gate == Some(Gate::ReportOnly));
    match (w.gate, then) {
        (None, _) => String::new(),
        (Some(gate), None) => gate.to_string(),
        (Some(gate), Some(then)) => format!("{gate}, then {then}"),
    }
}

/// Whether a rollout might be made for it.
pub fn differs(w: &WorkloadReport) -> bool {
    matches!(w.verdict, Verdict::NonConvergent | Verdict::Removed | Verdict::Missing | Verdict::Drifted)
}

/// What the reader must know to judge the list.
pub fn remarks(report: &Report) -> Vec<String> {
    let mut remarks = Vec::new();
    if !report.complete {
        let (judged, all) = report.progress;
        remarks.push(format!("Not complete: {judged} of {} judged so far.", many(all, "workload")));
    }
    remarks.extend(report.unavailable.iter().map(|what| format!("Not watched: {what}")));
    for IgnoreReport { rule, fields, workloads } in &report.ignore {
        let fields = many(*fields, "field");
        remarks.push(format!("Ignored by the configuration ({rule}): {fields} of {}", many(*workloads, "workload")));
    }
    if let Some(stop) = &report.paused {
        remarks.push(format!("All rollouts are paused since {}: {}", stop.at, stop.reason));
    }
    if let Some(stop) = &report.breaker {
        remarks.push(format!("The breaker is open since {}: {}", stop.at, stop.reason));
    }
    remarks
}

fn sum(report: &Report) -> String {
    if report.workloads.is_empty() { "0 workloads were found.".to_owned() } else { Summary::of(report).line() + "." }
}
