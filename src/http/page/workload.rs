//! The page of one workload: what is known of it, and every difference side by side.

use std::sync::Arc;

use askama::Template;

use super::{
    format::{Fact, RolloutRow, Row, When, list, many, number},
    frame::Frame,
};
use crate::{
    core::{
        compare::FieldChange,
        model::words::{Gate, Word},
        report::{Report, WorkloadReport},
        verdict::PodGroup,
    },
    document::{Redaction, summary::differing},
};

/// `/workloads/{namespace}/{kind}/{name}`
#[derive(Debug, Template)]
#[template(path = "workload.html")]
pub(super) struct WorkloadPage {
    frame: Frame,
    w: Row,
    namespace_href: String,
    facts: Vec<Fact>,
    groups: Vec<Group>,
    unstable: Vec<String>,
    rollouts: Vec<RolloutRow>,
}

/// Pods that differ in the same way.
#[derive(Debug)]
struct Group {
    key: String,
    title: String,
    pods_title: String,
    pods: String,
    sidecars: Vec<Sidecar>,
    collateral: Vec<Field>,
}

#[derive(Debug)]
struct Sidecar {
    name: String,
    difference: &'static str,
    meaning: &'static str,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    pointer: String,
    running: Value,
    rendered: Value,
}

/// One side of a difference.
#[derive(Debug)]
struct Value {
    kind: Kind,
    /// What both sides begin with.
    before: String,
    /// What only this side has.
    text: String,
    /// What both sides end with.
    after: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It is not there.
    Absent,
    /// It may be a secret.
    Masked,
    /// As it is.
    Plain,
}

impl WorkloadPage {
    pub(super) fn of(report: &Arc<Report>, w: &WorkloadReport, redaction: &Redaction) -> Self {
        let own = report.rollouts.iter().filter(|r| r.kind == w.kind && r.namespace == w.namespace && r.name == w.name);
        Self {
            frame: Frame::new(report, format!("{}/{} in {}", w.kind, w.name, w.namespace), ""),
            w: Row::of(w, report.taken),
            namespace_href: list(&[("namespace", &w.namespace)]),
            facts: facts(report, w),
            groups: w.differing.iter().enumerate().map(|(i, group)| Group::of(i, group, redaction)).collect(),
            unstable: w.masked.clone(),
            rollouts: own.map(|r| RolloutRow::of(r, report.taken)).collect(),
        }
    }
}

fn facts(report: &Report, w: &WorkloadReport) -> Vec<Fact> {
    let ago = |at| When::ago(at, report.taken).short;
    let mut facts = Vec::new();
    if let Some(change) = &w.change {
        facts.push(Fact::new("A rollout would change", change.as_str(), None));
    }
    if let Some(gate) = w.gate {
        facts.push(Fact::new("Held by", gate.as_str(), Some(gate.meaning().to_owned())));
        if let Some(since) = w.gate_since {
            facts.push(Fact::new("Held for", ago(since).trim_end_matches(" ago"), None));
        }
        if let Some(then) = w.gate_in_enforce.filter(|_| gate == Gate::ReportOnly) {
            facts.push(Fact::new("In enforce mode held by", then.as_str(), Some(then.meaning().to_owned())));
        }
    }
    if let Some(cause) = &w.cause {
        facts.push(Fact::new("What moved", cause.as_str(), None));
    }
    if let Some(first) = w.first_seen {
        facts.push(Fact::new("First seen", ago(first), None));
    }
    let confirmed = w.last_confirmed.map_or_else(|| "never".to_owned(), ago);
    facts.push(Fact::new(
        "Last confirmed",
        confirmed,
        Some(format!("by {}", many(usize::try_from(w.renders).unwrap_or(0), "dry run"))),
    ));
    let pods = match differing(w) {
        0 => number(w.pods),
        n => format!("{} of {} differ", number(n), number(w.pods)),
    };
    facts.push(Fact::new("Pods", pods, None));
    let sidecars: Vec<_> = w.sidecars.iter().map(AsRef::as_ref).collect();
    facts.push(Fact::new("Sidecars", if sidecars.is_empty() { "none".to_owned() } else { sidecars.join(", ") }, None));
    facts
}

impl Group {
    fn of(index: usize, group: &PodGroup, redaction: &Redaction) -> Self {
        let names: Vec<_> = group.pods.iter().map(AsRef::as_ref).collect();
        let sidecars = group.differences.iter().map(|d| Sidecar {
            name: d.sidecar.to_string(),
            difference: d.difference.as_str(),
            meaning: d.difference.meaning(),
            fields: d.fields.iter().map(|change| Field::of(change, redaction.change(change))).collect(),
        });
        let pods = names.len();
        Self {
            key: format!("group {index}"),
            title: format!("{} {}", many(pods, "Pod"), if pods == 1 { "differs" } else { "differ like this" }),
            pods_title: format!("Names of {}", many(pods, "Pod")),
            pods: names.join(", "),
            sidecars: sidecars.collect(),
            collateral: group.collateral.iter().map(|change| Field::of(change, redaction.collateral(change))).collect(),
        }
    }
}

impl Field {
    fn of(change: &FieldChange, (running, rendered): (Option<String>, Option<String>)) -> Self {
        let hidden = |shown: &Option<String>, real: &Option<_>| shown.as_deref() != real.as_deref();
        let masked = hidden(&running, &change.running) || hidden(&rendered, &change.rendered);
        let (a, b) = (running.as_deref().unwrap_or_default(), rendered.as_deref().unwrap_or_default());
        let (begin, end) = if masked { (0, 0) } else { common(a, b) };
        let value = |text: Option<String>| match text {
            None => Value { kind: Kind::Absent, before: String::new(), text: String::new(), after: String::new() },
            Some(text) if masked => Value { kind: Kind::Masked, before: String::new(), text, after: String::new() },
            Some(text) => {
                let (before, rest) = text.split_at(begin);
                let (middle, after) = rest.split_at(rest.len() - end);
                Value { kind: Kind::Plain, before: before.to_owned(), text: middle.to_owned(), after: after.to_owned() }
            }
        };
        Self { pointer: change.pointer.clone(), running: value(running), rendered: value(rendered) }
    }
}

/// How many bytes two texts begin and end with alike, in whole characters, and never the same ones twice.
fn common(a: &str, b: &str) -> (usize, usize) {
    let alike = |pair: &(char, char)| pair.0 == pair.1;
    let begin: usize = a.chars().zip(b.chars()).take_while(alike).map(|(c, _)| c.len_utf8()).sum();
    let (a, b) = (a.get(begin..).unwrap_or_default(), b.get(begin..).unwrap_or_default());
    let end = a.chars().rev().zip(b.chars().rev()).take_while(alike).map(|(c, _)| c.len_utf8()).sum();
    (begin, end)
}
