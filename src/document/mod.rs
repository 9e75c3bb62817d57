//! The documents that leave the program as JSON or YAML: stable shapes of our own, whatever becomes of the types inside,
//! the same on the command line and in the HTTP API.
//!
//! A later version may add fields. One that removes or renames any is called `sidecar-drift/v2`.

pub mod api;
pub mod redaction;
mod schema;
mod story;
pub mod summary;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use self::summary::{Summary, differing};
pub use self::{
    redaction::Redaction,
    schema::schema,
    story::{Dependency, Generation, Stamp, Story, WhatIf},
};
use crate::core::{
    compare::FieldChange,
    config::Mode,
    io::Stop,
    model::{
        Name,
        words::{Difference, Gate, Outcome, UndeterminedReason, Verdict},
    },
    report::{IgnoreReport, Report, WorkloadReport},
    rollout::RolloutReport,
    verdict::PodGroup,
};

/// The version of the shapes in this module.
pub const API_VERSION: &str = "sidecar-drift/v1";

/// What `scan` and `diff` say.
#[derive(Debug, Serialize, JsonSchema)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    what_if: Option<WhatIf>,
    /// Why rollouts are paused; absent when they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Stopped>,
    /// Why the breaker is open for the whole cluster; absent when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<Stopped>,
    /// The namespaces in which it is open; absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    breakers: Vec<StoppedIn>,
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
    /// What `explain` adds of the one workload that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    story: Option<Story>,
}

/// Why and since when rollouts of one namespace are stopped.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoppedIn {
    /// Which.
    pub namespace: String,
    /// For people.
    pub reason: String,
    /// Since when, RFC 3339, UTC.
    pub at: String,
}

/// Why and since when something is stopped.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// For people.
    pub reason: String,
    /// Since when, RFC 3339, UTC.
    pub at: String,
}

/// One rule under `ignore`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Ignore {
    /// The rule in words.
    rule: String,
    /// Fields that differ and that it leaves out.
    fields: usize,
    /// Of so many workloads.
    workloads: usize,
}

/// What a number of rollouts would change.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// As in the workloads that it is made of.
    #[serde(rename = "change")]
    pub title: String,
    /// Workloads that differ so.
    pub workloads: usize,
    /// Their Pods that differ.
    pub pods: usize,
}

/// One workload.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// `Deployment`, ...
    pub kind: Name,
    /// The namespace.
    pub namespace: Name,
    /// The name.
    pub name: Name,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, if undetermined.
    pub reason: Option<UndeterminedReason>,
    /// One sentence more.
    pub message: Option<String>,
    /// What holds its rollout.
    pub gate: Option<Gate>,
    /// Since when that gate holds it, RFC 3339, UTC.
    pub gate_since: Option<String>,
    /// What would hold it in enforce mode; the same as `gate` unless that is `report_only`.
    pub gate_in_enforce: Option<Gate>,
    /// What a rollout would change, in short.
    pub change: Option<String>,
    /// What moved, by whom, when.
    pub cause: Option<String>,
    /// When the difference was seen first, RFC 3339, UTC.
    pub first_seen: Option<String>,
    /// When a rendering confirmed the verdict last, RFC 3339, UTC.
    pub last_confirmed: Option<String>,
    /// Its sidecars, running or rendered.
    pub sidecars: Vec<Name>,
    /// Pods that were compared.
    pub pods: usize,
    /// Pods of those that differ.
    pub pods_differing: usize,
    /// Pods with a container that crashes or cannot start.
    pub pods_crashing: Vec<Name>,
    /// Which words of difference occur in it.
    pub differences: BTreeSet<Difference>,
    /// The Pods that differ, grouped by how.
    pub groups: Vec<Group>,
    /// Fields that differ between two renderings and are left out, as `container/pointer`.
    pub unstable_fields: Vec<String>,
    /// Fields that differ and are left out by a rule, as `container/pointer`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_fields: Vec<String>,
}

/// Pods that differ in the same way.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Their names.
    pub pods: Vec<Name>,
    /// The sidecars that differ.
    pub sidecars: Vec<Sidecar>,
    /// What else a restart would change; the pointer begins with the container's name.
    pub collateral: Vec<Field>,
}

/// One sidecar that differs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// The container's name.
    pub name: Name,
    /// In which way.
    pub difference: Difference,
    /// Which fields; empty for `missing` and `removed`.
    pub fields: Vec<Field>,
}

/// One field that differs. Values that may be secrets read `<masked 1a2b3c4d>`; equal ones look equal.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// RFC 6901, within the sidecar.
    pub pointer: String,
    /// What runs; null: absent.
    pub running: Option<String>,
    /// What would be injected; null: absent.
    pub rendered: Option<String>,
}

/// One rollout.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// `Deployment`, ...
    pub kind: Name,
    /// The namespace.
    pub namespace: Name,
    /// The name.
    pub name: Name,
    /// What it is for.
    pub change: String,
    /// When it was started, RFC 3339, UTC.
    pub started: String,
    /// How long it took, or has taken.
    pub seconds: u64,
    /// Null: still under way.
    pub outcome: Option<Outcome>,
    /// Where it stands, or how it ended, in one sentence.
    pub message: String,
}

impl Document {
    /// The whole report, values masked.
    pub fn new(report: &Report, redaction: &Redaction) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Report",
            taken: report.taken.to_string(),
            complete: report.complete,
            mode: report.mode,
            what_if: WhatIf::of(&report.what_if),
            paused: report.paused.as_ref().map(Stopped::of),
            breaker: report.breaker.as_ref().map(Stopped::of),
            breakers: StoppedIn::all(&report.breakers),
            unavailable: report.unavailable.clone(),
            ignore: report.ignore.iter().map(Ignore::of).collect(),
            summary: Summary::of(report),
            changes: Change::all(report),
            workloads: report.workloads.iter().map(|w| Workload::of(w, redaction)).collect(),
            story: report.story.as_deref().map(Story::of),
        }
    }
}

impl Stopped {
    /// Why and since when.
    pub fn of(stop: &Stop) -> Self {
        Self { reason: stop.reason.clone(), at: stop.at.to_string() }
    }
}

impl StoppedIn {
    /// By namespace.
    pub fn all(stops: &BTreeMap<Name, Stop>) -> Vec<Self> {
        let of = |(namespace, stop): (&Name, &Stop)| Self {
            namespace: namespace.to_string(),
            reason: stop.reason.clone(),
            at: stop.at.to_string(),
        };
        stops.iter().map(of).collect()
    }
}

impl Ignore {
    fn of(report: &IgnoreReport) -> Self {
        let IgnoreReport { rule, fields, workloads } = report.clone();
        Self { rule, fields, workloads }
    }
}

impl Change {
    /// What rollouts would change, the commonest change first.
    pub fn all(report: &Report) -> Vec<Self> {
        let mut changes = BTreeMap::<&str, Self>::new();
        for workload in &report.workloads {
            if let Some(change) = &workload.change {
                let entry =
                    changes.entry(change).or_insert_with(|| Self { title: change.clone(), workloads: 0, pods: 0 });
                entry.workloads += 1;
                entry.pods += differing(workload);
            }
        }
        let mut changes: Vec<_> = changes.into_values().collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.workloads));
        changes
    }
}

impl Workload {
    /// All that is known of one, values masked.
    pub fn of(w: &WorkloadReport, redaction: &Redaction) -> Self {
        Self {
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
            differences: summary::differences(w),
            groups: w.differing.iter().map(|g| Group::of(g, redaction)).collect(),
            unstable_fields: w.masked.clone(),
            ignored_fields: w.ignored.iter().map(|used| used.field.clone()).collect(),
        }
    }
}

impl Group {
    fn of(group: &PodGroup, redaction: &Redaction) -> Self {
        let field = |change: &FieldChange, (running, rendered)| Field {
            pointer: redaction.pointer(change).to_owned(),
            running,
            rendered,
        };
        let sidecars = group.differences.iter().map(|d| Sidecar {
            name: d.sidecar.clone(),
            difference: d.difference,
            fields: d.fields.iter().map(|change| field(change, redaction.change(change))).collect(),
        });
        Self {
            pods: group.pods.clone(),
            sidecars: sidecars.collect(),
            collateral: group.collateral.iter().map(|change| field(change, redaction.collateral(change))).collect(),
        }
    }
}

impl Rollout {
    /// One rollout.
    pub fn of(r: &RolloutReport) -> Self {
        Self {
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
}
