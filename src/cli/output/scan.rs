//! The result of a scan for people: by change, then by namespace; then what could not be determined; then the sum.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    summary::{Summary, differences, differing, many},
    table::{Form, Page, Section, sections},
    text::age,
};
use crate::core::{
    model::words::{Difference, Gate, UndeterminedReason, Verdict, Word},
    report::{IgnoreReport, Report, WorkloadReport},
};

pub use crate::document::summary::differs;

/// Columns of workloads that differ.
pub const DIFFERING: &[&str] = &["NAMESPACE", "WORKLOAD", "VERDICT", "PODS", "HELD BY"];
/// The same where something is known of the past.
const DIFFERING_SINCE: &[&str] = &["NAMESPACE", "WORKLOAD", "VERDICT", "PODS", "HELD BY", "SINCE"];
/// The same on a wide screen.
const DIFFERING_WIDE: &[&str] =
    &["NAMESPACE", "WORKLOAD", "VERDICT", "DIFFERENCE", "PODS", "HELD BY", "HELD SINCE", "SINCE", "SIDECARS", "CAUSE"];
/// Columns of namespaces, where a change concerns too many workloads to list them.
const BY_NAMESPACE: &[&str] = &["NAMESPACE", "WORKLOADS", "PODS", "HELD BY"];
/// The same for workloads of which there is something to be said.
const COUNTED: &[&str] = &["NAMESPACE", "WORKLOADS"];
/// Columns of workloads of which something is to be said.
const WITH_MESSAGE: &[&str] = &["NAMESPACE", "WORKLOAD", "MESSAGE"];
/// Columns of workloads that are only listed.
const PLAIN: &[&str] = &["NAMESPACE", "WORKLOAD", "VERDICT", "PODS"];
/// Columns of workloads whose Pods crash.
const CRASHING: &[&str] = &["NAMESPACE", "WORKLOAD", "VERDICT", "CRASHING"];

/// So many workloads that have the same to be said of them are listed one by one; more are counted by namespace.
const LISTED_AT_MOST: usize = 20;

/// A difference that began less than this ago was most likely only noticed now.
const RECENT_SECONDS: i64 = 60;

/// The whole result. `all`: also the workloads that are as they should be, which are otherwise only counted.
pub fn text(report: &Report, all: bool, page: Page) -> String {
    if !page.headers {
        return listed_alone(report, all, page);
    }
    let each = all || page.form != Form::Plain;
    // Who is refused his Pods may have none left.
    let rejected = format!("{}: {}", Verdict::Rejected, Verdict::Rejected.meaning());
    let mut parts = vec![section_of(report, &rejected, WITH_MESSAGE, |w| w.verdict == Verdict::Rejected)];
    parts.extend(changes(report, each, page));
    parts.extend(undetermined(report, each));
    parts.push(crashing(report));
    if all {
        parts.push(section_of(report, "with nothing to do", PLAIN, |w| {
            matches!(w.verdict, Verdict::InSync | Verdict::NotInjected | Verdict::NoPods)
        }));
    }
    let mut text = String::new();
    if !report.what_if.is_nothing() {
        let supposed =
            format!("What would be injected if {}. Nothing of it is so, and nothing was changed.", report.what_if);
        text.push_str(&page.sentence(&supposed));
        if page.form != Form::Markdown {
            text.push('\n');
        }
    }
    text.push_str(&sections(&parts, page));
    if parts.iter().any(|part| part.columns.get(1) == Some(&"WORKLOADS")) {
        let hint = format!(
            "More than {LISTED_AT_MOST} workloads with the same to be said of them are counted by namespace; `--output wide` \
             lists each."
        );
        text.push_str(&page.sentence(&hint));
    }
    for remark in remarks(report) {
        text.push_str(&page.sentence(&remark));
    }
    text.push_str(&page.sentence(&sum(report)));
    if let Some(rollable) = rollable(report) {
        text.push_str(&page.sentence(&rollable));
    }
    text
}

/// One row for each workload that is listed, all with the same columns.
fn listed_alone(report: &Report, all: bool, page: Page) -> String {
    let columns = if page.form == Form::Plain { DIFFERING } else { DIFFERING_WIDE };
    let listed = report.workloads.iter().filter(|w| all || is_listed(w));
    let rows = listed.map(|w| row(w, columns, report.taken)).collect();
    sections(&[Section { heading: String::new(), columns, rows }], page)
}

/// Whether a table lists a workload though it is not asked for all.
pub fn is_listed(w: &WorkloadReport) -> bool {
    let at_rest = matches!(w.verdict, Verdict::InSync | Verdict::NotInjected | Verdict::NoPods);
    !at_rest || !w.crashing.is_empty()
}

/// One section for each change, the commonest first.
fn changes(report: &Report, each: bool, page: Page) -> Vec<Section> {
    let mut by_change = BTreeMap::<&str, Vec<&Arc<WorkloadReport>>>::new();
    for workload in report.workloads.iter().filter(|w| differs(w)) {
        by_change.entry(workload.change.as_deref().unwrap_or("no description")).or_default().push(workload);
    }
    let mut groups: Vec<_> = by_change.into_iter().collect();
    groups.sort_by_key(|(_, workloads)| Reverse(workloads.len()));
    let aged =
        |w: &WorkloadReport| w.first_seen.is_some_and(|at| report.taken.duration_since(at).as_secs() >= RECENT_SECONDS);
    let columns = match page.form {
        Form::Wide => DIFFERING_WIDE,
        _ if report.workloads.iter().any(|w| differs(w) && aged(w)) => DIFFERING_SINCE,
        _ => DIFFERING,
    };
    let section = |(change, workloads): (&str, Vec<&Arc<WorkloadReport>>)| {
        let heading = format!("{}: {change}", many(workloads.len(), "workload"));
        if !each && workloads.len() > LISTED_AT_MOST {
            return Section { heading, columns: BY_NAMESPACE, rows: by_namespace(&workloads) };
        }
        let rows = workloads.into_iter().map(|w| row(w, columns, report.taken)).collect();
        Section { heading, columns, rows }
    };
    groups.into_iter().map(section).collect()
}

/// One row for each namespace.
fn by_namespace(workloads: &[&Arc<WorkloadReport>]) -> Vec<Vec<String>> {
    let mut namespaces = BTreeMap::<&str, Vec<&WorkloadReport>>::new();
    for w in workloads {
        namespaces.entry(&w.namespace).or_default().push(w);
    }
    let row = |(namespace, workloads): (&str, Vec<&WorkloadReport>)| {
        let mut holds = BTreeMap::<String, usize>::new();
        for held in workloads.iter().map(|w| held_by(w)).filter(|held| !held.is_empty()) {
            *holds.entry(held).or_default() += 1;
        }
        let holds: Vec<_> = holds.into_iter().map(|(held, n)| format!("{held} ({n})")).collect();
        let pods: usize = workloads.iter().map(|w| w.pods).sum();
        let differ: usize = workloads.iter().map(|w| differing(w)).sum();
        let pods = format!("{differ} of {pods}");
        vec![namespace.to_owned(), workloads.len().to_string(), pods, holds.join(", ")]
    };
    namespaces.into_iter().map(row).collect()
}

/// What needs a look although nothing can be said of it, by reason.
fn undetermined(report: &Report, each: bool) -> Vec<Section> {
    let mut parts = Vec::new();
    for reason in UndeterminedReason::ALL {
        let heading = format!("{}, {reason}: {}", Verdict::Undetermined, reason.meaning());
        let chosen = |w: &WorkloadReport| w.verdict == Verdict::Undetermined && w.reason == Some(*reason);
        parts.push(counted(section_of(report, &heading, WITH_MESSAGE, chosen), each));
    }
    let unexplained = |w: &WorkloadReport| w.verdict == Verdict::Undetermined && w.reason.is_none();
    parts.push(counted(section_of(report, "undetermined", WITH_MESSAGE, unexplained), each));
    parts
}

/// A section with many rows, counted by namespace.
fn counted(section: Section, each: bool) -> Section {
    if each || section.rows.len() <= LISTED_AT_MOST {
        return section;
    }
    let mut namespaces = BTreeMap::<String, usize>::new();
    for namespace in section.rows.into_iter().filter_map(|row| row.into_iter().next()) {
        *namespaces.entry(namespace).or_default() += 1;
    }
    let rows = namespaces.into_iter().map(|(namespace, n)| vec![namespace, n.to_string()]).collect();
    Section { heading: section.heading, columns: COUNTED, rows }
}

/// The workloads whose Pods crash or cannot start: that was so before anybody rolled anything.
pub fn crashing(report: &Report) -> Section {
    let crashing = report.workloads.iter().filter(|w| !w.crashing.is_empty());
    let rows: Vec<_> = crashing.map(|w| row(w, CRASHING, report.taken)).collect();
    Section {
        heading: format!("{} with Pods that crash or cannot start", many(rows.len(), "workload")),
        columns: CRASHING,
        rows,
    }
}

/// A section of the workloads that `chosen` chooses.
fn section_of(
    report: &Report,
    what: &str,
    columns: &'static [&'static str],
    chosen: impl Fn(&WorkloadReport) -> bool,
) -> Section {
    let rows: Vec<_> = report.workloads.iter().filter(|w| chosen(w)).map(|w| row(w, columns, report.taken)).collect();
    Section { heading: format!("{} {what}", many(rows.len(), "workload")), columns, rows }
}

/// A workload's cells under these columns.
pub fn row(w: &WorkloadReport, columns: &[&str], now: Timestamp) -> Vec<String> {
    let words = || differences(w).iter().map(|d| d.as_str()).collect::<Vec<_>>().join(", ");
    let list = |names: &[crate::core::model::Name]| names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
    let cell = |column: &&str| match *column {
        "NAMESPACE" => w.namespace.to_string(),
        "WORKLOAD" => format!("{}/{}", w.kind, w.name),
        // What the verdict alone does not tell.
        "VERDICT" if w.verdict == Verdict::Drifted && differences(w).iter().any(|d| *d != Difference::Changed) => {
            format!("{} ({})", w.verdict, words())
        }
        "VERDICT" => w.verdict.to_string(),
        "DIFFERENCE" => words(),
        "PODS" if w.differing.is_empty() => w.pods.to_string(),
        "PODS" => format!("{} of {}", differing(w), w.pods),
        "HELD BY" => held_by(w),
        "HELD SINCE" => w.gate_since.map(|at| age(at, now)).unwrap_or_default(),
        "SINCE" => w.first_seen.map(|at| age(at, now)).unwrap_or_default(),
        "SIDECARS" => list(&w.sidecars),
        "CAUSE" => w.cause.clone().unwrap_or_default(),
        "CRASHING" => list(&w.crashing),
        "MESSAGE" => w.message.clone().unwrap_or_default(),
        _ => String::new(),
    };
    columns.iter().map(cell).collect()
}

/// The gate, and where that is only the mode, the one behind it: `report_only then cooldown`.
pub fn held_by(w: &WorkloadReport) -> String {
    let then = w.gate_in_enforce.filter(|_| w.gate == Some(Gate::ReportOnly));
    match (w.gate, then) {
        (None, _) => String::new(),
        (Some(gate), None) => gate.to_string(),
        (Some(gate), Some(then)) => format!("{gate} then {then}"),
    }
}

/// So many namespaces are named in which the breaker is open.
const BREAKERS: usize = 5;

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
    for (namespace, stop) in report.breakers.iter().take(BREAKERS) {
        remarks.push(format!("The breaker is open in namespace {namespace} since {}: {}", stop.at, stop.reason));
    }
    if let Some(more) = report.breakers.len().checked_sub(BREAKERS).filter(|more| *more > 0) {
        remarks.push(format!("It is open in {} more.", many(more, "namespace")));
    }
    remarks
}

/// The sum of all verdicts.
pub fn sum(report: &Report) -> String {
    if report.workloads.is_empty() { "0 workloads were found.".to_owned() } else { Summary::of(report).line() + "." }
}

/// What would become of those that differ if somebody rolled now.
fn rollable(report: &Report) -> Option<String> {
    let differ: Vec<_> = report.workloads.iter().filter(|w| differs(w)).collect();
    if differ.is_empty() || !report.what_if.is_nothing() {
        return None;
    }
    let mut holds = BTreeMap::<Gate, usize>::new();
    for gate in differ.iter().filter_map(|w| w.gate_in_enforce) {
        *holds.entry(gate).or_default() += 1;
    }
    let free = differ.len() - holds.values().sum::<usize>();
    let holds: Vec<_> = holds.into_iter().map(|(gate, n)| format!("{n} {gate}")).collect();
    let held = if holds.is_empty() { String::new() } else { format!("; held: {}", holds.join(", ")) };
    Some(format!("{} of {} that differ could be rolled out{held}.", free, differ.len()))
}
