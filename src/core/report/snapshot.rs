//! What readers see: a snapshot of all verdicts, published by the engine and never changed afterwards.
//!
//! It holds values as they are; whatever prints or serves it masks them first (`document::Redaction`).

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::story::Story;
use crate::core::{
    compare::IgnoreUse,
    config::{Mode, WhatIf},
    injection::ScopeMove,
    io::Stop,
    model::{
        Name,
        words::{Gate, UndeterminedReason, Verdict},
    },
    render::Limits,
    rollout::{AlertsReport, RolloutReport},
    verdict::PodGroup,
};

/// Everything that is known at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it was made, UTC.
    pub taken: Timestamp,
    /// Every watch is synced and every workload has been asked: no verdict is `undetermined: pending` or `settling`.
    pub complete: bool,
    /// Watches are synced; before that the list of workloads may be short.
    pub synced: bool,
    /// How far the first sweep is: workloads judged, of how many.
    pub progress: (usize, usize),
    /// The mode in force.
    pub mode: Mode,
    /// This replica leads.
    pub leader: bool,
    /// Who holds the Lease: a Pod and a number; `None`: there is no election, or nobody is known to hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub led_by: Option<Name>,
    /// By how much the clock of this machine is ahead of the API server's at least, negative if it is behind. All times here
    /// are the API server's. `None`: nothing is known of it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead: Option<SignedDuration>,
    /// Whether rollouts may be started now by the windows of the configuration; `None`: it has none. Owners may have
    /// more of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_open: Option<bool>,
    /// What the renderings supposed: then nothing here is as things are.
    #[serde(default, skip_serializing_if = "WhatIf::is_nothing")]
    pub what_if: WhatIf,
    /// All rollouts are paused.
    pub paused: Option<Stop>,
    /// The breaker is open.
    pub breaker: Option<Stop>,
    /// The API server holds us to dry runs; `None`: nobody asks it, because a person does what is done, or by
    /// `--without-guard`.
    pub guard: Option<bool>,
    /// Whether alerts hold all rollouts; `None`: nobody wants that, or another replica leads.
    #[serde(default)]
    pub alerts: Option<AlertsReport>,
    /// The workloads, sorted by namespace, kind and name.
    pub workloads: Vec<Arc<WorkloadReport>>,
    /// Everything that moved since the start, newest first, at most a hundred.
    pub generations: Vec<ScopeMove>,
    /// Rollouts of this process, newest first, at most a hundred; those under way have no outcome.
    pub rollouts: Vec<RolloutReport>,
    /// Rollouts that may still be started in this hour; `None`: no limit.
    pub rollouts_left: Option<u32>,
    /// Sources that cannot be watched, with the reason.
    pub unavailable: Vec<String>,
    /// The rules by which fields are left out, in the order of the configuration.
    #[serde(default)]
    pub ignore: Vec<IgnoreReport>,
    /// Renders asked for since the start.
    pub renders: u64,
    /// Workloads waiting for a rendering.
    pub queued: usize,
    /// How many seconds the one that has waited longest is overdue.
    #[serde(default)]
    pub queued_seconds: u64,
    /// How many renderings may be in flight.
    #[serde(default)]
    pub render_limits: Limits,
    /// The whole story of the one workload that was asked about, if it was one.
    #[serde(default)]
    pub story: Option<Box<Story>>,
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadReport {
    /// `Deployment`; `Pod`, `Job`, ... for what we cannot render.
    pub kind: Name,
    /// The namespace.
    pub namespace: Name,
    /// The name.
    pub name: Name,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, if `undetermined`.
    pub reason: Option<UndeterminedReason>,
    /// One sentence more, such as the API server's refusal.
    pub message: Option<String>,
    /// What holds it, if it differs and is not being rolled.
    pub gate: Option<Gate>,
    /// Since when that gate holds it.
    pub gate_since: Option<Timestamp>,
    /// What would hold it if the mode were `enforce`: the same as `gate` unless that is `report_only`.
    pub gate_in_enforce: Option<Gate>,
    /// What a rollout would change, in short: `istio-proxy image 1.27.0 → 1.27.1`.
    pub change: Option<String>,
    /// What moved: the generation's cause.
    pub cause: Option<String>,
    /// When the difference was seen first.
    pub first_seen: Option<Timestamp>,
    /// When a rendering confirmed the verdict last.
    pub last_confirmed: Option<Timestamp>,
    /// Names of its sidecars, running or rendered.
    pub sidecars: Vec<Name>,
    /// Pods that were compared.
    pub pods: usize,
    /// Pods with a container that crashes or cannot start, whatever the reason.
    #[serde(default)]
    pub crashing: Vec<Name>,
    /// The Pods that differ, grouped by how.
    pub differing: Vec<PodGroup>,
    /// Fields that are left out because they differ between two renderings, as `container/pointer`.
    pub masked: Vec<String>,
    /// Fields that differ and that a rule of the site leaves out.
    #[serde(default)]
    pub ignored: Vec<IgnoreUse>,
    /// Renderings made for it.
    pub renders: u64,
}

/// What a rule of the site leaves out now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreReport {
    /// `env DD_* of istio-proxy`
    pub rule: String,
    /// How many fields that differ it leaves out, over all workloads.
    pub fields: usize,
    /// How many workloads have such a field.
    pub workloads: usize,
}

impl WorkloadReport {
    /// A workload that has not been asked for yet.
    pub fn pending(kind: Name, namespace: Name, name: Name) -> Self {
        Self {
            kind,
            namespace,
            name,
            verdict: Verdict::Undetermined,
            reason: Some(UndeterminedReason::Pending),
            message: None,
            gate: None,
            gate_since: None,
            gate_in_enforce: None,
            change: None,
            cause: None,
            first_seen: None,
            last_confirmed: None,
            sidecars: Vec::new(),
            pods: 0,
            crashing: Vec::new(),
            differing: Vec::new(),
            masked: Vec::new(),
            ignored: Vec::new(),
            renders: 0,
        }
    }
}

impl Report {
    /// Nothing is known yet: no workloads, no watch synced, nobody leads.
    pub fn empty(taken: Timestamp) -> Self {
        Self {
            taken,
            complete: false,
            synced: false,
            progress: (0, 0),
            mode: Mode::Report,
            leader: false,
            led_by: None,
            clock_ahead: None,
            window_open: None,
            what_if: WhatIf::default(),
            paused: None,
            breaker: None,
            guard: None,
            alerts: None,
            workloads: Vec::new(),
            generations: Vec::new(),
            rollouts: Vec::new(),
            rollouts_left: None,
            unavailable: Vec::new(),
            ignore: Vec::new(),
            renders: 0,
            queued: 0,
            queued_seconds: 0,
            render_limits: Limits::default(),
            story: None,
        }
    }

    /// How many workloads have each verdict.
    pub fn totals(&self) -> BTreeMap<Verdict, usize> {
        let mut totals = BTreeMap::new();
        for workload in &self.workloads {
            *totals.entry(workload.verdict).or_default() += 1;
        }
        totals
    }
}
