//! Faults in the planner itself, put in between the core and those who watch it: each rule must catch its own.

use std::time::Duration;

use sidecar_drift::core::{
    alerts::AlertMatcher,
    ignore::Glob,
    io::{Confirmation, Effect, Input, PatchRequest, WatchEvent, WorkloadRef},
    model::{Object, Stamp, Strategy},
    owner::Kind,
    policy::{Mode, Policy},
    report::Report,
    shape::Name,
    state::StateRecord,
    window::windows,
    words::Gate,
};

use super::{
    cluster::Cluster,
    fault::{Fault, WINDOWS},
    scenario::Scenario,
};

/// What is wrong with the planner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tamper {
    #[default]
    Nothing,
    ForgetsParallel,
    ForgetsNamespaceCap,
    ForgetsDailyCap,
    ForgetsCooldown,
    ForgetsHour,
    /// The budget is full again after each start.
    RefillsBudget,
    ForgetsCanary,
    ForgetsGuard,
    ForgetsExclusion,
    ForgetsHistory,
    IgnoresOwners,
    IgnoresPause,
    IgnoresBreaker,
    IgnoresAlerts,
    IgnoresWindows,
    IgnoresLease,
    IgnoresStrategies,
    RollsInSync,
    PatchesTwice,
    LiftsPause,
    HidesGates,
    LosesAnswers,
}

impl Tamper {
    /// Each with what the rule says that catches it.
    pub(super) const ALL: [(Self, &'static [&'static str]); 22] = [
        (Self::ForgetsParallel, &["is rolled beside {", "rollouts at once"]),
        (Self::ForgetsNamespaceCap, &["of its namespace", "rollouts at once in"]),
        (Self::ForgetsDailyCap, &["times in a day"]),
        (Self::ForgetsCooldown, &["is rolled again after"]),
        (Self::ForgetsHour, &["rollouts within"]),
        (Self::RefillsBudget, &["rollouts within"]),
        (Self::ForgetsCanary, &["canary"]),
        (Self::ForgetsGuard, &["without the guard"]),
        (Self::ForgetsExclusion, &["it is excluded"]),
        (Self::ForgetsHistory, &["for one target", "rolled twice at the same time", "and is still being rolled"]),
        (Self::IgnoresOwners, &["its owner's word", "the word of its namespace"]),
        (Self::IgnoresPause, &["during a pause", "nobody knows whether we may"]),
        (Self::IgnoresBreaker, &["the breaker is open"]),
        (Self::IgnoresAlerts, &["though an alert fires", "after an alert fired"]),
        (Self::IgnoresWindows, &["outside its window"]),
        (Self::IgnoresLease, &["does not hold the lease"]),
        (Self::IgnoresStrategies, &["takes it down"]),
        (Self::RollsInSync, &["patched unconfirmed", "did not differ"]),
        (Self::PatchesTwice, &["patched unconfirmed", "patched twice"]),
        (Self::LiftsPause, &["a pause is lifted", "the breaker is closed"]),
        (Self::HidesGates, &["nothing holds"]),
        (Self::LosesAnswers, &["somebody waits", "still waiting", "is rendered twice"]),
    ];

    /// Makes a history one in which it matters.
    pub(super) fn provoke(self, scenario: &mut Scenario) {
        let seconds = Duration::from_secs;
        scenario.drifted_before = true;
        scenario.policy.mode = Mode::Enforce;
        let policy = &mut scenario.policy;
        let mut faults = Vec::new();
        match self {
            Self::ForgetsParallel | Self::ForgetsNamespaceCap => {
                (policy.max_rollouts_per_hour, policy.canary) = (None, 0);
            }
            Self::ForgetsHour => policy.max_rollouts_per_hour = Some(6),
            Self::RefillsBudget => {
                (policy.max_rollouts_per_hour, policy.canary) = (Some(6), 0);
                faults.extend([60, 120, 180, 240].map(|at| (at, 8, Fault::Crash(0))));
            }
            Self::ForgetsCanary => policy.canary = policy.canary.max(1),
            Self::ForgetsGuard => {
                policy.without_guard = false;
                faults.push((20, 240, Fault::GuardGone));
            }
            Self::ForgetsExclusion => drop(policy.filter.exclude_namespaces.insert(Glob::new("bank"))),
            Self::IgnoresOwners => faults.push((20, 240, Fault::NamespaceSays(0, "mode", "report"))),
            Self::IgnoresPause | Self::LiftsPause => {
                policy.max_rollouts_per_hour = None;
                faults.extend([20, 90, 160].map(|at| (at, 60, Fault::PersonPauses)));
            }
            Self::IgnoresBreaker => {
                (policy.max_rollouts_per_hour, policy.canary) = (None, 0);
                faults.push((20, 600, Fault::PatchesDenied));
            }
            Self::IgnoresAlerts => {
                policy.blocking_alerts = vec![AlertMatcher::critical()];
                faults.push((20, 600, Fault::AlertFires));
            }
            Self::IgnoresWindows => policy.windows = windows(WINDOWS[3].0).unwrap_or_default(),
            Self::IgnoresLease => {
                scenario.replicas = 2;
                policy.max_rollouts_per_hour = None;
                faults.extend(
                    [(30, 0), (100, 1), (170, 0), (240, 1)].map(|(at, place)| (at, 40, Fault::Suspended(place))),
                );
            }
            Self::IgnoresStrategies => {
                policy.allow_downtime = false;
                for (key, _, strategy) in &mut scenario.fleet {
                    if key.kind == Kind::DEPLOYMENT {
                        *strategy = Strategy::Recreate;
                    }
                }
            }
            _ => {}
        }
        let faults = faults.into_iter().map(|(at, lasts, fault)| (seconds(at), seconds(lasts), fault));
        scenario.faults.extend(faults);
    }

    /// The policy that the planner works by; the rules have the right one.
    pub(super) fn policy(self, mut policy: Policy, restarted: bool) -> Policy {
        match self {
            Self::ForgetsParallel => policy.parallel_rollouts = 99,
            Self::ForgetsNamespaceCap => policy.parallel_per_namespace = 99,
            Self::ForgetsDailyCap => policy.daily_cap = 99,
            Self::ForgetsCooldown => policy.cooldown = Duration::ZERO,
            Self::ForgetsHour => policy.max_rollouts_per_hour = None,
            Self::RefillsBudget if restarted => policy.max_rollouts_per_hour = None,
            Self::ForgetsCanary => policy.canary = 0,
            Self::IgnoresWindows => policy.windows.clear(),
            Self::IgnoresAlerts => policy.blocking_alerts.clear(),
            Self::ForgetsGuard => policy.without_guard = true,
            Self::ForgetsExclusion => {
                policy.filter.exclude_namespaces.clear();
                policy.roll_kinds = policy.kinds.clone();
            }
            Self::IgnoresStrategies => policy.allow_downtime = true,
            _ => {}
        }
        policy
    }

    pub(super) fn ignores_lease(self) -> bool {
        self == Self::IgnoresLease
    }

    /// What the core hears.
    pub(super) fn input(self, mut input: Input) -> Input {
        match (self, &mut input) {
            (Self::IgnoresOwners, Input::Watch { event: WatchEvent::Apply(object), .. }) => match object {
                Object::Workload(w) => w.says.clear(),
                Object::Namespace(n) => n.says.clear(),
                _ => {}
            },
            (Self::IgnoresPause, Input::State(Some(state))) => state.paused = None,
            (Self::IgnoresPause, Input::State(state @ None)) => *state = Some(StateRecord::default()),
            (Self::IgnoresBreaker, Input::State(Some(state))) => {
                state.breaker = None;
                state.recent.clear();
            }
            (Self::ForgetsHistory, Input::Watch { event: WatchEvent::Apply(Object::Workload(w)), .. }) => {
                w.template.stamp = None;
            }
            _ => {}
        }
        input
    }

    pub(super) fn confirmation(self, found: Option<Box<Confirmation>>) -> Option<Box<Confirmation>> {
        found.map(|mut found| {
            match self {
                Self::ForgetsHistory => {
                    found.history.clear();
                    found.workload.template.stamp = None;
                }
                Self::IgnoresOwners => found.workload.says.clear(),
                _ => {}
            }
            found
        })
    }

    /// What is done.
    pub(super) fn effects(self, mut effects: Vec<Effect>, cluster: &Cluster, number: u64) -> Vec<Effect> {
        match self {
            Self::RollsInSync if number.is_multiple_of(50) => {
                effects.extend(any_patch(cluster, number).map(Effect::Patch));
            }
            Self::PatchesTwice => {
                let again: Vec<_> =
                    effects.iter().filter(|effect| matches!(effect, Effect::Patch(_))).cloned().collect();
                effects.extend(again);
            }
            Self::LiftsPause => {
                for effect in &mut effects {
                    if let Effect::WriteState(state) = effect {
                        (state.paused, state.breaker) = (None, None);
                    }
                }
            }
            Self::LosesAnswers => {
                effects.retain(|effect| !matches!(effect, Effect::Render(r) if r.ticket.is_multiple_of(7)));
            }
            _ => {}
        }
        effects
    }

    /// What readers see.
    pub(super) fn report(self, mut report: Report) -> Report {
        if self == Self::HidesGates {
            for w in &mut report.workloads {
                let mut shown = (**w).clone();
                shown.gate = shown.gate.filter(|gate| *gate != Gate::Paused);
                *w = shown.into();
            }
        }
        report
    }
}

fn any_patch(cluster: &Cluster, number: u64) -> Option<PatchRequest> {
    let at = usize::try_from(number / 50).ok()? % cluster.workloads.len().max(1);
    let key = cluster.workloads.keys().nth(at)?;
    let w = cluster.workload(key)?;
    Some(PatchRequest {
        ticket: 1_000_000 + number,
        workload: WorkloadRef { key: key.clone(), uid: w.uid.clone() },
        resource_version: w.resource_version.clone(),
        has_annotations: false,
        stamp: Stamp {
            timestamp: jiff::Timestamp::UNIX_EPOCH,
            reason: "for nothing".to_owned(),
            fingerprint: Some(Name::from("none").to_string()),
        },
    })
}
