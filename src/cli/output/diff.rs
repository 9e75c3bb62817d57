//! The differences of workloads, field by field.

use std::fmt::Write;

use super::{
    redaction::Redaction,
    scan::{differs, remarks},
    summary::{Summary, differing, many},
    table::{Form, Page},
    text::{one_line, printable, wrap},
};
use crate::core::{
    model::{
        Name,
        words::{Gate, Verdict, Word},
    },
    report::{Report, WorkloadReport},
    verdict::PodGroup,
};

/// Of a group of Pods that differ alike, so many are named; `--output json` names all.
const NAMED_PODS: usize = 5;

/// All workloads of the report that differ; of a single one also why it does not.
pub fn text(report: &Report, redaction: &Redaction, page: Page) -> String {
    let mut text = String::new();
    let single = report.workloads.len() == 1;
    for workload in report.workloads.iter().filter(|w| single || differs(w)) {
        if page.form == Form::Markdown {
            _ = writeln!(text, "```diff");
        }
        describe(&mut text, workload, redaction, page.width);
        if page.form == Form::Markdown {
            _ = writeln!(text, "```");
        }
        text.push('\n');
    }
    for remark in remarks(report) {
        text.push_str(&page.sentence(&remark));
    }
    if !single {
        text.push_str(&page.sentence(&(Summary::of(report).line() + ".")));
    }
    text
}

/// Everything about one workload.
pub fn describe(text: &mut String, w: &WorkloadReport, redaction: &Redaction, width: Option<u16>) {
    let mut headline = format!("{}/{} in {}: {}", w.kind, w.name, w.namespace, w.verdict);
    if let Some(reason) = w.reason {
        _ = write!(headline, " ({reason})");
    }
    if !w.differing.is_empty() {
        _ = write!(headline, ", {} of {}", differing(w), many(w.pods, "Pod"));
    }
    if let Some(gate) = w.gate {
        _ = write!(headline, ", held by {gate}");
    }
    line(text, 0, &headline, width);
    if matches!(w.verdict, Verdict::Undetermined | Verdict::Rejected | Verdict::NoPods) {
        line(text, 2, w.reason.map_or(w.verdict.meaning(), Word::meaning), width);
    }
    if let Some(message) = &w.message {
        line(text, 2, &one_line(message), width);
    }
    if let Some(cause) = &w.cause {
        line(text, 2, &format!("what moved: {}", one_line(cause)), width);
    }
    if let Some(gate) = w.gate.filter(|gate| *gate != Gate::ReportOnly) {
        line(text, 2, &format!("{gate}: {}", gate.meaning()), width);
    }
    if !w.crashing.is_empty() {
        line(text, 2, &format!("Pods that crash or cannot start: {}", named(&w.crashing)), width);
    }
    for group in &w.differing {
        pods(text, group, redaction, width);
    }
    if !w.masked.is_empty() {
        let fields = w.masked.join(", ");
        line(text, 2, &format!("left out, because they differ between two renderings: {fields}"), width);
    }
}

/// The first few, and how many more there are.
fn named(pods: &[Name]) -> String {
    let mut named: Vec<_> = pods.iter().take(NAMED_PODS).map(ToString::to_string).collect();
    if let Some(more) = pods.len().checked_sub(NAMED_PODS).filter(|more| *more > 0) {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

fn pods(text: &mut String, group: &PodGroup, redaction: &Redaction, width: Option<u16>) {
    line(text, 2, &format!("{}: {}", many(group.pods.len(), "Pod"), named(&group.pods)), width);
    for sidecar in &group.differences {
        line(text, 4, &format!("{}: {}", sidecar.sidecar, sidecar.difference), width);
        if sidecar.fields.is_empty() {
            line(text, 6, sidecar.difference.meaning(), width);
        }
        for change in &sidecar.fields {
            field(text, redaction.pointer(change), redaction.change(change));
        }
    }
    if !group.collateral.is_empty() {
        line(text, 4, "a rollout would also change", width);
        for change in &group.collateral {
            field(text, redaction.pointer(change), redaction.collateral(change));
        }
    }
}

/// One field; values are never wrapped, so that they can be copied.
fn field(text: &mut String, pointer: &str, (running, rendered): (Option<String>, Option<String>)) {
    _ = writeln!(text, "      {}", printable(pointer.trim_start_matches('/')));
    for (sign, value) in [('-', running), ('+', rendered)] {
        for part in value.iter().flat_map(|value| value.split('\n')) {
            _ = writeln!(text, "        {sign} {}", printable(part));
        }
    }
}

/// One line, wrapped where it is too long.
pub(super) fn line(text: &mut String, indent: usize, content: &str, width: Option<u16>) {
    let margin = " ".repeat(indent);
    let rest = width.map(|width| width.saturating_sub(u16::try_from(indent).unwrap_or(0)));
    let wrapped = wrap(&printable(content), rest, "  ").replace('\n', &format!("\n{margin}"));
    _ = writeln!(text, "{margin}{wrapped}");
}
