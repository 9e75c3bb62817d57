//! The result as JSON or YAML: a stable shape of our own, whatever becomes of the types inside.
//!
//! A later version may add fields. One that removes or renames any is called `sidecar-drift/v2`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    follow_up::FollowUp,
    mask::Mask,
    rollout::{End, Tally, held},
    summary::{Summary, differing},
};
use crate::{
    config::OutputFormat,
    core::{
        compare::FieldChange,
        policy::Mode,
        report::{IgnoreReport, PodGroup, Report, RolloutReport, WorkloadReport},
        shape::Name,
        state::Stop,
        what_if::WhatIf,
        words::{Difference, Gate, Outcome, UndeterminedReason, Verdict},
    },
};

/// The version of the shapes in this module.
pub const API_VERSION: &str = "sidecar-drift/v1";

/// What `scan` and `diff` say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    api_version: &'static str,
    kind: &'static str,
    /// When the report was made, RFC 3339, UTC.
    taken: String,
    /// Every workload has been asked. When false, what is missing here may still differ.
    complete: bool,
    /// The mode in force.
    mode: Mode,
    /// What was supposed: labels, annotations and the namespace of Pods. Absent when things were looked at as they are.
    #[serde(skip_serializing_if = "WhatIf::is_nothing")]
    what_if: WhatIf,
    /// Why rollouts are paused; absent when they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Stopped>,
    /// Why the breaker is open; absent when it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<Stopped>,
    /// What could not be watched; verdicts may miss something.
    unavailable: Vec<String>,
    /// The rules by which fields are left out, and what each leaves out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignore: Vec<Ignore>,
    summary: Summary,
    /// What rollouts would change, the commonest change first.
    changes: Vec<Change>,
    /// All workloads, by namespace, kind and name.
    workloads: Vec<Workload>,
}

/// What `rollout --confirm` says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutDocument {
    api_version: &'static str,
    kind: &'static str,
    /// Every workload was asked. When false, what is missing here may still differ.
    complete: bool,
    /// A signal ended it before its time.
    interrupted: bool,
    /// How long all of it took.
    seconds: u64,
    /// Rollouts that went wrong.
    errors: usize,
    /// Rollouts that nobody knows the end of, or that somebody else overtook.
    warnings: usize,
    /// Every rollout, oldest first.
    rollouts: Vec<Rollout>,
    /// Workloads that differ and were not rolled.
    held: Vec<Workload>,
    /// What a person should look at, the rollouts first.
    follow_ups: Vec<FollowUp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stopped {
    reason: String,
    at: String,
}

/// One rule under `ignore`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ignore {
    rule: String,
    fields: usize,
    workloads: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    /// As in the workloads that it is made of.
    #[serde(rename = "change")]
    title: String,
    workloads: usize,
    pods: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Workload {
    kind: Name,
    namespace: Name,
    name: Name,
    verdict: Verdict,
    /// Why, if undetermined.
    reason: Option<UndeterminedReason>,
    /// One sentence more.
    message: Option<String>,
    /// What holds its rollout.
    gate: Option<Gate>,
    gate_since: Option<String>,
    /// What would hold it in enforce mode; the same as `gate` unless that is `report_only`.
    gate_in_enforce: Option<Gate>,
    /// What a rollout would change, in short.
    change: Option<String>,
    /// What moved, by whom, when.
    cause: Option<String>,
    first_seen: Option<String>,
    last_confirmed: Option<String>,
    sidecars: Vec<Name>,
    /// Pods that were compared.
    pods: usize,
    /// Pods of those that differ.
    pods_differing: usize,
    /// Pods with a container that crashes or cannot start.
    pods_crashing: Vec<Name>,
    /// Which words of difference occur in it.
    differences: BTreeSet<Difference>,
    /// The Pods that differ, grouped by how.
    groups: Vec<Group>,
    /// Fields that differ between two renderings and are left out, as `container/pointer`.
    unstable_fields: Vec<String>,
    /// Fields that differ and are left out by a rule, as `container/pointer`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_fields: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    pods: Vec<Name>,
    sidecars: Vec<Sidecar>,
    /// What else a restart would change; the pointer begins with the container's name.
    collateral: Vec<Field>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sidecar {
    name: Name,
    difference: Difference,
    fields: Vec<Field>,
}

/// One field that differs. Values that may be secrets read `<masked 1a2b3c4d>`; equal ones look equal.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    /// RFC 6901, within the sidecar.
    pointer: String,
    /// What runs; null: absent.
    running: Option<String>,
    /// What would be injected; null: absent.
    rendered: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rollout {
    kind: Name,
    namespace: Name,
    name: Name,
    change: String,
    started: String,
    seconds: u64,
    /// Null: still under way.
    outcome: Option<Outcome>,
    message: String,
}

impl Document {
    /// The whole report, values masked.
    pub fn new(report: &Report, mask: &Mask) -> Self {
        let mut changes = BTreeMap::<&str, Change>::new();
        for workload in &report.workloads {
            if let Some(change) = &workload.change {
                let entry =
                    changes.entry(change).or_insert_with(|| Change { title: change.clone(), workloads: 0, pods: 0 });
                entry.workloads += 1;
                entry.pods += differing(workload);
            }
        }
        let mut changes: Vec<_> = changes.into_values().collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.workloads));
        Self {
            api_version: API_VERSION,
            kind: "Report",
            taken: report.taken.to_string(),
            complete: report.complete,
            mode: report.mode,
            what_if: report.what_if.clone(),
            paused: report.paused.as_ref().map(stopped),
            breaker: report.breaker.as_ref().map(stopped),
            unavailable: report.unavailable.clone(),
            ignore: report.ignore.iter().map(ignore).collect(),
            summary: Summary::of(report),
            changes,
            workloads: report.workloads.iter().map(|w| workload(w, mask)).collect(),
        }
    }
}

impl RolloutDocument {
    /// What became of the rollouts of `report`, and which workloads are left.
    pub fn new(report: &Report, end: End, tally: Tally, mask: &Mask) -> Self {
        let Tally { errors, warnings } = tally;
        let End { seconds, interrupted } = end;
        Self {
            api_version: API_VERSION,
            kind: "Rollout",
            complete: report.complete,
            interrupted,
            seconds,
            errors,
            warnings,
            rollouts: report.rollouts.iter().rev().map(rollout).collect(),
            held: held(report).into_iter().map(|w| workload(w, mask)).collect(),
            follow_ups: FollowUp::of(report),
        }
    }
}

/// Writes a document in a format that is not a table.
pub fn write(document: &impl Serialize, format: OutputFormat) -> anyhow::Result<String> {
    Ok(match format {
        OutputFormat::Yaml => serde_saphyr::to_string(document)?,
        _ => serde_json::to_string_pretty(document)? + "\n",
    })
}

fn ignore(report: &IgnoreReport) -> Ignore {
    let IgnoreReport { rule, fields, workloads } = report.clone();
    Ignore { rule, fields, workloads }
}

fn stopped(stop: &Stop) -> Stopped {
    Stopped { reason: stop.reason.clone(), at: stop.at.to_string() }
}

fn workload(w: &WorkloadReport, mask: &Mask) -> Workload {
    Workload {
        kind: w.kind.clone(),
        namespace: w.namespace.clone(),
        name: w.name.clone(),
        verdict: w.verdict,
        reason: w.reason,
        message: w.message.clone(),
        gate: w.gate,
        gate_since: w.gate_since.map(|t| t.to_string()),
        gate_in_enforce: w.gate_in_enforce,
        change: w.change.clone(),
        cause: w.cause.clone(),
        first_seen: w.first_seen.map(|t| t.to_string()),
        last_confirmed: w.last_confirmed.map(|t| t.to_string()),
        sidecars: w.sidecars.clone(),
        pods: w.pods,
        pods_differing: differing(w),
        pods_crashing: w.crashing.clone(),
        differences: super::summary::differences(w),
        groups: w.differing.iter().map(|g| group(g, mask)).collect(),
        unstable_fields: w.masked.clone(),
        ignored_fields: w.ignored.iter().map(|used| used.field.clone()).collect(),
    }
}

fn group(group: &PodGroup, mask: &Mask) -> Group {
    let field =
        |change: &FieldChange, (running, rendered)| Field { pointer: change.pointer.clone(), running, rendered };
    let sidecars = group.differences.iter().map(|d| Sidecar {
        name: d.sidecar.clone(),
        difference: d.difference,
        fields: d.fields.iter().map(|change| field(change, mask.change(change))).collect(),
    });
    Group {
        pods: group.pods.clone(),
        sidecars: sidecars.collect(),
        collateral: group.collateral.iter().map(|change| field(change, mask.collateral(change))).collect(),
    }
}

fn rollout(r: &RolloutReport) -> Rollout {
    Rollout {
        kind: r.kind.clone(),
        namespace: r.namespace.clone(),
        name: r.name.clone(),
        change: r.change.clone(),
        started: r.started.to_string(),
        seconds: r.seconds,
        outcome: r.outcome,
        message: r.message.clone(),
    }
}
