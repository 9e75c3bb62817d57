//! What the operator of sidecar-drift decided: the validated configuration that the core works by.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::core::{
    compare::IgnoreRule,
    config::{alert_matcher::AlertMatcher, filter::Filter, trigger::Trigger, what_if::WhatIf, window::Window},
    model::{Name, WorkloadKey, owner::Kind, shape::FieldSet, words::Difference},
};

/// What we may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is looked at (an owner's word only, never the daemon's).
    Ignore,
    /// Look and tell.
    #[default]
    Report,
    /// Look, tell and roll.
    Enforce,
}

/// The configuration of the core. Every number has its default in DESIGN §4 and in [`Policy::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
pub struct Policy {
    /// A ceiling: annotations can only restrict it.
    pub mode: Mode,
    /// The differences that a rollout may be made for. `mutated_live` never is.
    pub act_on: BTreeSet<Difference>,
    /// The kinds that are looked at.
    pub kinds: BTreeSet<Kind>,
    /// The kinds that may be rolled; a subset of `kinds`.
    pub roll_kinds: BTreeSet<Kind>,
    /// Names of sidecars; empty: every injected container is one.
    pub sidecars: BTreeSet<Name>,
    /// Which workloads are looked at.
    pub filter: Filter,
    /// Only this workload, if one is named (`diff KIND/NAME`).
    pub only: Option<(Kind, Name)>,
    /// Dry runs a second, and how many at once after a pause.
    pub renders_per_second: f64,
    /// See `renders_per_second`.
    pub render_burst: u32,
    /// Dry runs in flight.
    pub renders_in_flight: usize,
    /// Every workload is rendered again after this long, ± 20 %.
    pub resync: Duration,
    /// Wait this long after something moved, before asking.
    pub settle: Duration,
    /// Between the first rendering and the second (rule R8).
    pub render_spacing: Duration,
    /// A running sidecar that is not rendered is believed to be removed after three renderings over this time (rule R7).
    pub absence: Duration,
    /// A Pod younger than this does not count yet (rule C8).
    pub min_pod_age: Duration,
    /// Rollouts at once, over all kinds.
    pub parallel_rollouts: usize,
    /// Rollouts at once in one namespace.
    pub parallel_per_namespace: usize,
    /// Rollouts started in any 60 minutes; `None`: no limit.
    pub max_rollouts_per_hour: Option<u32>,
    /// Rollouts that must converge before others for the same change follow; 0: none.
    pub canary: usize,
    /// How long to watch the canary after it converged.
    pub soak: Duration,
    /// New Pods must stay ready, without a restart, for this long before their rollout counts as converged.
    #[serde(default)]
    pub min_ready: Duration,
    /// A workload is not rolled again before.
    pub cooldown: Duration,
    /// Rollouts of one workload in 24 hours, whatever they are for.
    pub daily_cap: u32,
    /// A rollout that takes longer is `timed_out`.
    pub timeout: Duration,
    /// Rollouts are started only while one of these is open; none: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// Roll even where Pods will be missing: Recreate, one replica without surge, all unavailable at once.
    pub allow_downtime: bool,
    /// Roll even if an app container would change with it.
    pub allow_collateral: bool,
    /// Roll system namespaces, injectors' namespaces and ourselves, too.
    pub include_system: bool,
    /// Roll workloads whose Pods were not healthy before.
    pub include_unhealthy: bool,
    /// Roll workloads, too, whose sidecars are proven to be as they should be. Only a person's word for one rollout.
    pub regardless_of_drift: bool,
    /// Roll workloads that an operator owns.
    pub include_operated: bool,
    /// Evict the Pods, one at a time, of workloads whose Pods are replaced only when somebody deletes them.
    #[serde(default)]
    pub evict_on_delete: bool,
    /// Roll although the API server does not hold us to dry runs.
    pub without_guard: bool,
    /// Whether it does is found out this often.
    pub guard_interval: Duration,
    /// While an alert fires that one of these matches, nothing is rolled; none: nobody wants that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocking_alerts: Vec<AlertMatcher>,
    /// Of the stamp's keys.
    pub annotation_prefix: String,
    /// The stamp's reason; `None`: made from the sidecars' names.
    pub rollout_reason: Option<String>,
    /// Our own workload: like a system namespace's, it is not rolled unless that is asked for.
    pub own: Option<WorkloadKey>,
    /// Workloads without Pods are asked about, too: would one come back?
    #[serde(default)]
    pub all_workloads: bool,
    /// Objects that injection depends on, named by a person.
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    /// Fields that never make drift, because the site knows better.
    #[serde(default)]
    pub ignore: Vec<IgnoreRule>,
    /// Which fields are compared.
    #[serde(default, skip_serializing_if = "FieldSet::is_default")]
    pub fields: FieldSet,
    /// What renderings suppose. Whatever they find is never acted on.
    #[serde(default, skip_serializing_if = "WhatIf::is_nothing")]
    pub what_if: WhatIf,
    /// Write Kubernetes Events.
    pub events: bool,
    /// Whether the mode comes from a person at a terminal: canary, soak and hourly limit then apply only if given.
    pub one_shot: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Report,
            act_on: BTreeSet::from([Difference::Changed]),
            kinds: Kind::usual().collect(),
            roll_kinds: Kind::usual().collect(),
            sidecars: BTreeSet::new(),
            filter: Filter::default(),
            only: None,
            // Below the noise of a deploy hour.
            renders_per_second: 10.0,
            render_burst: 20,
            renders_in_flight: 2,
            // Some injectors write an Event for each admission.
            resync: Duration::from_hours(6),
            // A policy change takes up to 0.8 s to be in force, and several API servers lag apart.
            settle: Duration::from_secs(5),
            render_spacing: Duration::from_secs(10),
            absence: Duration::from_mins(10),
            min_pod_age: Duration::from_secs(5),
            parallel_rollouts: 1,
            parallel_per_namespace: 1,
            max_rollouts_per_hour: Some(20),
            canary: 1,
            soak: Duration::from_mins(10),
            min_ready: Duration::from_secs(30),
            cooldown: Duration::from_hours(24),
            daily_cap: 2,
            timeout: Duration::from_mins(5),
            windows: Vec::new(),
            allow_downtime: false,
            allow_collateral: false,
            include_system: false,
            include_unhealthy: false,
            regardless_of_drift: false,
            include_operated: false,
            evict_on_delete: false,
            without_guard: false,
            guard_interval: Duration::from_mins(1),
            blocking_alerts: Vec::new(),
            annotation_prefix: "sidecarRollout".to_owned(),
            rollout_reason: None,
            own: None,
            events: false,
            all_workloads: false,
            triggers: Vec::new(),
            ignore: Vec::new(),
            fields: FieldSet::Default,
            what_if: WhatIf::default(),
            one_shot: false,
        }
    }
}
