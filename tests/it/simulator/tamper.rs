//! Faults in the planner itself, put in between the core and those who watch it: each rule must catch its own.

use std::time::Duration;

use sidecar_drift::core::{
    config::{AlertMatcher, Mode, Policy, window::windows},
    io::{
        Canary, Confirmation, Effect, EvictOutcome, EvictRequest, Input, PatchRequest, StateRecord, WatchEvent,
        WatchKind, WorkloadRef,
    },
    model::{
        Glob, Name, Object, Stamp, Strategy,
        owner::Kind,
        words::{Gate, Verdict},
    },
    report::{Report, WorkloadReport},
};

use super::{
    cluster::Cluster,
    fault::{Fault, Notice, WINDOWS},
    scenario::Scenario,
    weather::Weather,
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
    IgnoresOperators,
    RollsInSync,
    PatchesTwice,
    LiftsPause,
    HidesGates,
    LosesAnswers,
    EvictsWithoutLeave,
    EvictsAgainstOwners,
    EvictsInSync,
    EvictsTheNewest,
    EvictsAnother,
    EvictsTwoAtOnce,
    EvictsWhileDown,
    EvictsImpatiently,
    UndoesHandPatches,
    IgnoresBudgets,
    SeesNothingMissing,
    KeepsTheFilter,
    ConvergesAtOnce,
    ProvesAtOnce,
    TakesNodesForDown,
    TellsInSync,
    HidesRollouts,
    WritesStateInALoop,
}

impl Tamper {
    /// Each with what the rule says that catches it.
    pub(super) const ALL: [(Self, &'static [&'static str]); 41] = [
        (Self::ForgetsParallel, &["is rolled beside {", "rollouts at once"]),
        (Self::ForgetsNamespaceCap, &["of its namespace", "rollouts at once in"]),
        (Self::ForgetsDailyCap, &["times in a day"]),
        (Self::ForgetsCooldown, &["is rolled again after"]),
        (Self::ForgetsHour, &["rollouts within an hour"]),
        (Self::RefillsBudget, &["rollouts within an hour"]),
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
        (Self::IgnoresOperators, &["an operator decides about it"]),
        (Self::RollsInSync, &["patched unconfirmed", "did not differ"]),
        (Self::PatchesTwice, &["patched unconfirmed", "patched twice"]),
        (Self::LiftsPause, &["a pause is lifted", "the breaker is closed"]),
        (Self::HidesGates, &["nothing holds"]),
        (Self::LosesAnswers, &["somebody waits", "still waiting", "is rendered twice"]),
        (Self::EvictsWithoutLeave, &["evicted without leave", "which replaces no Pod"]),
        (Self::EvictsAgainstOwners, &["is touched against the word of its namespace"]),
        (Self::EvictsInSync, &["is evicted unconfirmed"]),
        (Self::EvictsTheNewest, &["though it is of the newest revision"]),
        (Self::EvictsAnother, &["by a uid that was not seen"]),
        (Self::EvictsTwoAtOnce, &["two Pods of"]),
        (Self::EvictsWhileDown, &["while another Pod of it is down"]),
        (Self::EvictsImpatiently, &["too soon after its budget left no room"]),
        (Self::UndoesHandPatches, &["which somebody patched by hand"]),
        (Self::IgnoresBudgets, &["leaves room for", "be missing"]),
        (Self::SeesNothingMissing, &["though nobody may see all"]),
        (Self::KeepsTheFilter, &["its namespace left the filter"]),
        (Self::ConvergesAtOnce, &["none of its new Pods has been ready for"]),
        // Or what it writes is never what it means, so that nothing is patched.
        (Self::ProvesAtOnce, &["no Pod that was born since the change", "backing_off still holds it"]),
        (Self::TakesNodesForDown, &["though it is not so"]),
        (Self::TellsInSync, &["and is told to be"]),
        (Self::HidesRollouts, &["and not shown"]),
        (Self::WritesStateInALoop, &["StateWrites in a minute", "effects of one input"]),
    ];

    /// Makes a history one in which it matters.
    #[expect(clippy::too_many_lines, reason = "a few lines for each")]
    pub(super) fn provoke(self, scenario: &mut Scenario) {
        let seconds = Duration::from_secs;
        scenario.drifted_before = true;
        scenario.policy.mode = Mode::Enforce;
        if self.evicts() {
            scenario.policy.max_rollouts_per_hour = None;
            scenario.policy.windows.clear();
            scenario.policy.evict_on_delete = self != Self::EvictsWithoutLeave;
            for (key, replicas, strategy) in &mut scenario.fleet {
                if key.kind != Kind::DEPLOYMENT {
                    (*replicas, *strategy) = (3, Strategy::OnDelete);
                }
            }
        }
        let all = scenario.fleet.len();
        let policy = &mut scenario.policy;
        let mut faults = Vec::new();
        match self {
            Self::ForgetsParallel | Self::ForgetsNamespaceCap => {
                (policy.max_rollouts_per_hour, policy.canary) = (None, 0);
            }
            Self::ForgetsHour => policy.max_rollouts_per_hour = Some(1),
            Self::RefillsBudget => {
                (policy.max_rollouts_per_hour, policy.canary) = (Some(1), 0);
                faults.extend([60, 120, 180, 240].map(|at| (at, 8, Fault::Crash(0))));
            }
            Self::ForgetsCanary => policy.canary = policy.canary.max(1),
            Self::ForgetsGuard => {
                policy.without_guard = false;
                faults.push((20, 240, Fault::GuardGone));
            }
            Self::ForgetsExclusion => drop(policy.filter.exclude_namespaces.insert(Glob::new("bank"))),
            Self::IgnoresOwners => faults.push((20, 240, Fault::NamespaceSays(0, "mode", "report"))),
            Self::EvictsAgainstOwners => {
                faults.extend([(60, 0), (60, 1)].map(|(at, of)| (at, 600, Fault::NamespaceSays(of, "mode", "report"))));
            }
            Self::EvictsWhileDown => {
                faults.extend((0..all).flat_map(|at| [40, 70, 100].map(|from| (from, 60, Fault::PodsStuck(at)))));
            }
            Self::EvictsImpatiently => {
                faults.extend((0..all).map(|at| (40, 200, Fault::BudgetShort(at))));
            }
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
            Self::UndoesHandPatches => {
                (policy.max_rollouts_per_hour, policy.canary) = (None, 0);
                faults.extend((0..all).map(|at| (1, 2, Fault::PodPatchedByHand(at))));
                faults.extend([60, 200, 340].map(|at| (at, 2, Fault::InjectorMoves(Notice::Configuration))));
            }
            Self::IgnoresBudgets => {
                (policy.max_rollouts_per_hour, policy.canary, policy.allow_downtime) = (None, 0, true);
                for (_, replicas, strategy) in &mut scenario.fleet {
                    *replicas = 3;
                    *strategy = Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition: 0 };
                }
                faults.extend((0..all).map(|at| (1, 400, Fault::BudgetShort(at))));
            }
            Self::SeesNothingMissing => {
                (policy.max_rollouts_per_hour, policy.canary) = (None, 0);
                scenario.weather.push(Weather::Blind(WatchKind::DisruptionBudgets));
            }
            Self::KeepsTheFilter => {
                (policy.max_rollouts_per_hour, policy.canary) = (None, 0);
                scenario.weather.extend([Weather::FilterChanges(0), Weather::FilterChanges(1)]);
            }
            Self::ConvergesAtOnce => {
                (policy.max_rollouts_per_hour, policy.min_ready) = (None, seconds(30));
            }
            Self::ProvesAtOnce => {
                (policy.max_rollouts_per_hour, policy.canary) = (None, 1);
                (policy.parallel_rollouts, policy.parallel_per_namespace) = (3, 3);
                policy.windows.clear();
            }
            Self::TellsInSync => policy.mode = Mode::Report,
            Self::IgnoresWindows => policy.windows = windows(WINDOWS[3].0).unwrap_or_default(),
            Self::IgnoresLease => {
                scenario.replicas = 2;
                policy.max_rollouts_per_hour = None;
                faults.extend(
                    [(30, 0), (100, 1), (170, 0), (240, 1)].map(|(at, place)| (at, 40, Fault::Suspended(place))),
                );
            }
            Self::IgnoresOperators => {
                (policy.include_operated, policy.max_rollouts_per_hour, policy.canary) = (false, None, 0);
                scenario.operated = scenario.fleet.get(1).map(|(key, ..)| key.clone());
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
            Self::ForgetsExclusion | Self::KeepsTheFilter => {
                policy.filter.exclude_namespaces.clear();
                policy.roll_kinds = policy.kinds.clone();
            }
            Self::IgnoresStrategies => policy.allow_downtime = true,
            Self::IgnoresOperators => policy.include_operated = true,
            Self::EvictsWithoutLeave => policy.evict_on_delete = true,
            Self::ConvergesAtOnce => policy.min_ready = Duration::ZERO,
            _ => {}
        }
        policy
    }

    fn evicts(self) -> bool {
        matches!(
            self,
            Self::EvictsWithoutLeave
                | Self::EvictsAgainstOwners
                | Self::EvictsInSync
                | Self::EvictsTheNewest
                | Self::EvictsAnother
                | Self::EvictsTwoAtOnce
                | Self::EvictsWhileDown
                | Self::EvictsImpatiently
        )
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
                state.breakers.clear();
            }
            (Self::ForgetsHistory, Input::Watch { event: WatchEvent::Apply(Object::Workload(w)), .. }) => {
                w.template.stamp = None;
            }
            (Self::EvictsAgainstOwners, Input::Watch { event: WatchEvent::Apply(Object::Namespace(n)), .. }) => {
                n.says.clear();
            }
            (Self::EvictsWhileDown, Input::Watch { event: WatchEvent::Apply(object), .. }) => match object {
                Object::Pod(pod) => pod.state.ready = !pod.state.terminating,
                Object::Workload(w) => w.counts.available = w.counts.desired,
                _ => {}
            },
            (Self::UndoesHandPatches, Input::Watch { event: WatchEvent::Apply(Object::Pod(pod)), .. }) => {
                pod.patched_images.clear();
            }
            (Self::IgnoresBudgets, Input::Watch { event: WatchEvent::Apply(Object::DisruptionBudget(budget)), .. }) => {
                budget.allowed = 99;
            }
            (Self::TakesNodesForDown, Input::Watch { event: WatchEvent::Apply(Object::Node(node)), .. }) => {
                node.ready = false;
            }
            (Self::SeesNothingMissing, Input::Watch { event, .. }) => {
                if matches!(event, WatchEvent::Unavailable { .. }) {
                    *event = WatchEvent::ResetDone;
                }
            }
            (Self::EvictsImpatiently, Input::Evicted(reply)) => {
                if let EvictOutcome::NoHeadroom { .. } = reply.outcome {
                    reply.outcome = EvictOutcome::Gone;
                }
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
                        state.breakers.clear();
                    }
                }
            }
            Self::EvictsInSync if number.is_multiple_of(50) => {
                effects.extend(any_eviction(cluster, number).map(Effect::Evict));
            }
            Self::EvictsTheNewest | Self::EvictsAnother | Self::EvictsTwoAtOnce => {
                let wanted = effects.iter_mut().filter_map(|effect| match effect {
                    Effect::Evict(request) => Some(request),
                    _ => None,
                });
                let more: Vec<_> = wanted.filter_map(|request| self.spoil(request, cluster)).collect();
                effects.extend(more.into_iter().map(Effect::Evict));
            }
            Self::ProvesAtOnce => {
                for effect in &mut effects {
                    if let Effect::WriteState(state) = effect {
                        let long_ago = |canary: &mut Canary| canary.converged = Some(jiff::Timestamp::UNIX_EPOCH);
                        state.canaries.values_mut().for_each(long_ago);
                    }
                }
            }
            Self::WritesStateInALoop => {
                let writes = effects.iter().find(|effect| matches!(effect, Effect::WriteState(_))).cloned();
                effects.extend(writes.into_iter().flat_map(|write| std::iter::repeat_n(write, 70)));
            }
            Self::LosesAnswers => {
                effects.retain(|effect| !matches!(effect, Effect::Render(r) if r.ticket.is_multiple_of(7)));
            }
            _ => {}
        }
        effects
    }

    /// Makes an eviction a wrong one, or adds one.
    fn spoil(self, request: &mut EvictRequest, cluster: &Cluster) -> Option<EvictRequest> {
        let newest = cluster.workloads.get(&request.workload.key)?.revisions.last()?.name.clone();
        let pods = cluster.pods_of(&request.workload.key);
        match self {
            Self::EvictsTheNewest => {
                let found = pods.iter().find(|pod| cluster.pods.get(pod).is_some_and(|pod| pod.revision == newest))?;
                (request.pod, request.uid) = (found.name.clone(), cluster.pod(found)?.uid.clone());
                None
            }
            Self::EvictsAnother => {
                request.uid = format!("{}-of-before", request.uid).into();
                None
            }
            _ => {
                let other = pods.iter().find(|pod| pod.name != request.pod)?;
                let (pod, uid) = (other.name.clone(), cluster.pod(other)?.uid.clone());
                Some(EvictRequest { ticket: 2_000_000 + request.ticket, pod, uid, ..request.clone() })
            }
        }
    }

    /// What readers see.
    pub(super) fn report(self, mut report: Report) -> Report {
        if self == Self::HidesRollouts {
            let rolled = |name: &Name| report.rollouts.iter().any(|r| r.outcome.is_none() && r.name == *name);
            report.workloads.retain(|w| !rolled(&w.name));
        }
        if self == Self::TellsInSync {
            for w in report.workloads.iter_mut().filter(|w| w.verdict == Verdict::Drifted) {
                *w = WorkloadReport { verdict: Verdict::InSync, gate: None, ..(**w).clone() }.into();
            }
        }
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

fn any_eviction(cluster: &Cluster, number: u64) -> Option<EvictRequest> {
    let at = usize::try_from(number / 50).ok()? % cluster.pods.len().max(1);
    let (key, pod) = cluster.pods.iter().nth(at)?;
    let workload = WorkloadRef { key: pod.owner.clone(), uid: cluster.workload(&pod.owner)?.uid.clone() };
    let uid = cluster.pod(key)?.uid.clone();
    Some(EvictRequest { ticket: 1_000_000 + number, workload, pod: key.name.clone(), uid })
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
