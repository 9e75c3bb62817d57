//! The documents of the HTTP API. Those that the command line writes, too, are one level up.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    API_VERSION, Change, Generation, Redaction, Rollout, Stopped, Workload,
    summary::{Summary, differing, differs},
};
use crate::core::{
    config::Mode,
    model::{
        Name,
        words::{Gate, Word},
    },
    report::{Report, WorkloadReport},
    rollout::AlertsReport,
};

/// Workloads of one group of the plan that are named; the list of workloads has all, by `gate`.
const NAMED: usize = 100;

/// How things stand.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    api_version: &'static str,
    kind: &'static str,
    /// The program's version.
    version: &'static str,
    /// When the report was made, RFC 3339, UTC.
    taken: String,
    /// Every workload has been asked.
    complete: bool,
    /// All watches are synced; before that the list of workloads may be short.
    synced: bool,
    /// How far the first sweep is; null on a replica that does not lead: it looks at nothing.
    progress: Option<Progress>,
    /// The mode in force.
    mode: Mode,
    /// This replica leads: it renders and rolls out. Another one only watches, and knows neither verdicts nor rollouts.
    leader: bool,
    /// Who holds the Lease: a Pod and a number; null where there is no election, or nobody leads.
    leader_name: Option<Name>,
    /// By how many seconds the clock of its machine is ahead of the API server's at least, negative if it is behind. All times
    /// here are the API server's. Null: nothing is known of it yet.
    clock_ahead_seconds: Option<f64>,
    /// Why rollouts are paused; null when they are not.
    paused: Option<Stopped>,
    /// Why the breaker is open; null when it is closed.
    breaker: Option<Stopped>,
    /// Whether the API server holds us to dry runs; null where there is no need of it, and on a replica that does not lead.
    guard: Option<bool>,
    /// Whether alerts of Prometheus hold all rollouts; null where they are not asked for, and on a replica that does not lead.
    alerts: Option<Alerts>,
    /// What could not be watched; verdicts may miss something.
    unavailable: Vec<String>,
    /// How many workloads have which verdict, reason and gate; null on a replica that does not lead.
    summary: Option<Summary>,
    /// What rollouts would change, the commonest change first; null on a replica that does not lead.
    changes: Option<Vec<Change>>,
    /// Rollouts under way; null on a replica that does not lead.
    rollouts_in_flight: Option<usize>,
    /// Rollouts that may still be started in this hour; null: no limit, or this replica does not lead.
    rollouts_left: Option<u32>,
    /// Dry runs since the start.
    renders: u64,
    /// Workloads waiting for a dry run.
    queued: usize,
}

/// How far the first sweep is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Progress {
    /// Workloads that have their verdict.
    judged: usize,
    /// Of so many.
    of: usize,
}

/// A page of workloads.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadList {
    api_version: &'static str,
    kind: &'static str,
    /// When the report was made, RFC 3339, UTC.
    taken: String,
    /// Every workload has been asked.
    complete: bool,
    /// Workloads that match, on all pages.
    pub total: usize,
    /// This page, from 1.
    pub page: usize,
    /// How many pages there are.
    pub pages: usize,
    /// Workloads on a page.
    pub limit: usize,
    /// Those of this page.
    pub workloads: Vec<Workload>,
}

/// The workloads of one page of a list.
#[derive(Debug)]
pub struct Selected<'r> {
    /// All that match, on all pages.
    pub total: usize,
    /// This page, from 1.
    pub page: usize,
    /// How many pages that makes; at least one.
    pub pages: usize,
    /// Workloads on a page.
    pub limit: usize,
    /// Those of this page.
    pub workloads: Vec<&'r Arc<WorkloadReport>>,
}

/// One workload.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OneWorkload {
    api_version: &'static str,
    kind: &'static str,
    /// When the report was made, RFC 3339, UTC.
    taken: String,
    /// All that is known of it.
    workload: Workload,
    /// Its rollouts by this process, newest first.
    rollouts: Vec<Rollout>,
}

/// What moved.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerationList {
    api_version: &'static str,
    kind: &'static str,
    /// When the report was made, RFC 3339, UTC.
    taken: String,
    /// Everything that moved since the start, newest first, at most a hundred.
    generations: Vec<Generation>,
}

/// Rollouts of this process.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutList {
    api_version: &'static str,
    kind: &'static str,
    /// When the report was made, RFC 3339, UTC.
    taken: String,
    /// Newest first, at most a hundred; those under way have no outcome.
    rollouts: Vec<Rollout>,
}

/// What is rolled, what would be next, and what is held by which gate.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    api_version: &'static str,
    kind: &'static str,
    /// When the report was made, RFC 3339, UTC.
    taken: String,
    /// Every workload has been asked.
    complete: bool,
    /// The mode in force.
    mode: Mode,
    /// This replica leads.
    leader: bool,
    /// Why rollouts are paused; null when they are not.
    paused: Option<Stopped>,
    /// Why the breaker is open; null when it is closed.
    breaker: Option<Stopped>,
    /// Whether the API server holds us to dry runs; null where there is no need of it.
    guard: Option<bool>,
    /// Whether alerts of Prometheus hold all rollouts; null where they are not asked for.
    alerts: Option<Alerts>,
    /// Rollouts that may still be started in this hour; null: no limit.
    rollouts_left: Option<u32>,
    /// Rollouts under way.
    rolling: Vec<Rollout>,
    /// Workloads that differ, by what holds them, in the order of the gates; those that nothing holds come first.
    pub groups: Vec<Held>,
}

/// Workloads that the same gate holds.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// What holds them; null: nothing, they are about to be rolled.
    pub gate: Option<Gate>,
    /// What that means.
    pub meaning: Option<&'static str>,
    /// What would hold them in enforce mode, where the gate is `report_only`; null: nothing.
    pub gate_in_enforce: Option<Gate>,
    /// How many they are.
    pub total: usize,
    /// At most a hundred of them, by namespace, kind and name; `/api/v1/workloads?gate=` has all.
    pub workloads: Vec<Planned>,
}

/// One workload of the plan.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// `Deployment`, ...
    pub kind: Name,
    /// The namespace.
    pub namespace: Name,
    /// The name.
    pub name: Name,
    /// What a rollout would change, in short.
    pub change: Option<String>,
    /// Its Pods that differ.
    pub pods_differing: usize,
    /// Since when the gate holds it, RFC 3339, UTC.
    pub gate_since: Option<String>,
}

/// Whether alerts of Prometheus hold all rollouts.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alerts {
    /// They do.
    pub blocking: bool,
    /// Which, or why that is not known; empty if they do not.
    pub message: String,
}

/// Why there is no answer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    api_version: &'static str,
    kind: &'static str,
    /// One sentence: what is wrong and what would be right.
    message: String,
}

impl Alerts {
    fn of(report: &AlertsReport) -> Self {
        Self { blocking: report.blocking, message: report.message.clone() }
    }
}

impl Status {
    /// How things stand in this report.
    pub fn of(report: &Report) -> Self {
        let (judged, of) = report.progress;
        // What a follower would say here is its ignorance.
        let leads = Some(()).filter(|()| report.leader);
        let under_way = || report.rollouts.iter().filter(|rollout| rollout.outcome.is_none()).count();
        Self {
            api_version: API_VERSION,
            kind: "Status",
            version: env!("CARGO_PKG_VERSION"),
            taken: report.taken.to_string(),
            complete: report.leader && report.complete,
            synced: report.synced,
            progress: leads.map(|()| Progress { judged, of }),
            mode: report.mode,
            leader: report.leader,
            leader_name: report.led_by.clone(),
            clock_ahead_seconds: report.clock_ahead.map(|ahead| ahead.as_secs_f64()),
            paused: report.paused.as_ref().map(Stopped::of),
            breaker: report.breaker.as_ref().map(Stopped::of),
            guard: report.guard,
            alerts: report.alerts.as_ref().map(Alerts::of),
            unavailable: report.unavailable.clone(),
            summary: leads.map(|()| Summary::of(report)),
            changes: leads.map(|()| Change::all(report)),
            rollouts_in_flight: leads.map(|()| under_way()),
            rollouts_left: leads.and(report.rollouts_left),
            renders: report.renders,
            queued: report.queued,
        }
    }
}

impl WorkloadList {
    /// What was selected of this report.
    pub fn of(report: &Report, selected: Selected<'_>, redaction: &Redaction) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "WorkloadList",
            taken: report.taken.to_string(),
            complete: report.complete,
            total: selected.total,
            page: selected.page,
            pages: selected.pages,
            limit: selected.limit,
            workloads: selected.workloads.into_iter().map(|w| Workload::of(w, redaction)).collect(),
        }
    }
}

impl OneWorkload {
    /// All that is known of `w`.
    pub fn of(report: &Report, w: &WorkloadReport, redaction: &Redaction) -> Self {
        let own = report.rollouts.iter().filter(|r| r.kind == w.kind && r.namespace == w.namespace && r.name == w.name);
        Self {
            api_version: API_VERSION,
            kind: "Workload",
            taken: report.taken.to_string(),
            workload: Workload::of(w, redaction),
            rollouts: own.map(Rollout::of).collect(),
        }
    }
}

impl GenerationList {
    /// What moved.
    pub fn of(report: &Report) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "GenerationList",
            taken: report.taken.to_string(),
            generations: report.generations.iter().map(Generation::of).collect(),
        }
    }
}

impl RolloutList {
    /// The rollouts of a report.
    pub fn of(report: &Report) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "RolloutList",
            taken: report.taken.to_string(),
            rollouts: report.rollouts.iter().map(Rollout::of).collect(),
        }
    }
}

impl Plan {
    /// The plan of a report.
    pub fn of(report: &Report) -> Self {
        let rolling = |w: &WorkloadReport| {
            let same = |r: &&crate::core::rollout::RolloutReport| {
                r.outcome.is_none() && r.kind == w.kind && r.namespace == w.namespace && r.name == w.name
            };
            report.rollouts.iter().find(same).is_some()
        };
        let mut groups = BTreeMap::<(Option<Gate>, Option<Gate>), Held>::new();
        for w in report.workloads.iter().filter(|w| differs(w) && !(w.gate.is_none() && rolling(w))) {
            let then = w.gate_in_enforce.filter(|_| w.gate == Some(Gate::ReportOnly));
            let group = groups.entry((w.gate, then)).or_insert_with(|| Held {
                gate: w.gate,
                meaning: w.gate.map(Word::meaning),
                gate_in_enforce: then,
                total: 0,
                workloads: Vec::new(),
            });
            group.total += 1;
            if group.workloads.len() < NAMED {
                group.workloads.push(Planned {
                    kind: w.kind.clone(),
                    namespace: w.namespace.clone(),
                    name: w.name.clone(),
                    change: w.change.clone(),
                    pods_differing: differing(w),
                    gate_since: w.gate_since.map(|t| t.to_string()),
                });
            }
        }
        Self {
            api_version: API_VERSION,
            kind: "Plan",
            taken: report.taken.to_string(),
            complete: report.complete,
            mode: report.mode,
            leader: report.leader,
            paused: report.paused.as_ref().map(Stopped::of),
            breaker: report.breaker.as_ref().map(Stopped::of),
            guard: report.guard,
            alerts: report.alerts.as_ref().map(Alerts::of),
            rollouts_left: report.rollouts_left,
            rolling: report.rollouts.iter().filter(|r| r.outcome.is_none()).map(Rollout::of).collect(),
            groups: groups.into_values().collect(),
        }
    }
}

impl Problem {
    /// Says why.
    pub fn new(message: impl Into<String>) -> Self {
        Self { api_version: API_VERSION, kind: "Problem", message: message.into() }
    }
}
