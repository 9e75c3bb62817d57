//! The gates: why a workload that differs is not being rolled now. Each is a small pure function; their order is the
//! policy.

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use super::{
    model::{Stamp, Strategy, WorkloadSnapshot},
    owner::Kind,
    policy::{Mode, Policy},
    says::Says,
    shape::Name,
    state::StateRecord,
    status,
    time::Now,
    words::{Difference, Gate, Verdict},
};

/// Namespaces that are never rolled unless `--include-system`.
pub const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// A workload that differs, or would be refused.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each looked at by one gate")]
pub struct Candidate<'a> {
    /// The workload.
    pub workload: &'a WorkloadSnapshot,
    /// Its verdict.
    pub verdict: Verdict,
    /// How its Pods differ.
    pub differences: BTreeSet<Difference>,
    /// An app container would change with a restart.
    pub collateral: bool,
    /// The filters take it: its namespace, its labels and annotations, and the age of the Pods that it is rolled for.
    pub chosen: bool,
    /// What a rollout would change, in short; rollouts for the same change share a canary.
    pub change: &'a str,
    /// The fingerprint of what a rollout would bring.
    pub target: &'a str,
    /// What its owner says.
    pub says: &'a Says,
    /// Every stamp that is known of it, the live template's included.
    pub history: &'a [Stamp],
    /// A Service of an injector is in its namespace.
    pub backs_injector: bool,
    /// The Deployment behind one of its injectors is rolling or not ready.
    pub injector_unhealthy: bool,
    /// How many of its Pods may be missing by its PodDisruptionBudgets; `None`: it has none.
    pub disruptions_allowed: Option<u32>,
    /// A rollout of ours is under way.
    pub in_rollout: bool,
    /// Its last rollout has just ended, or was given up before anything was written.
    pub backing_off: bool,
    /// A rollout of it ended, and each workload is rolled but once now.
    pub had_its_turn: bool,
}

/// Everything else that gates look at.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// The configuration.
    pub policy: &'a Policy,
    /// The time.
    pub now: Now,
    /// This replica leads.
    pub leader: bool,
    /// The API server holds us to dry runs.
    pub guarded: bool,
    /// The state ConfigMap; `None`: missing or unreadable.
    pub record: Option<&'a StateRecord>,
    /// Rollouts under way.
    pub running: usize,
    /// Rollouts under way, by namespace.
    pub running_in: BTreeMap<Name, usize>,
    /// Not every workload has its first verdict.
    pub first_sweep: bool,
    /// Nodes that are not ready, of how many.
    pub unready_nodes: (usize, usize),
    /// Rollouts that the hourly limit still allows now; `None`: no limit.
    pub tokens: Option<u32>,
}

type Check = fn(&Candidate<'_>, &Situation<'_>) -> bool;

/// Every gate that is looked at, in the order of the vocabulary: the first that holds is the answer.
pub const CHECKS: &[(Gate, Check)] = &[
    (Gate::ReportOnly, |_, s| s.policy.mode < Mode::Enforce),
    (Gate::DifferenceNotEnabled, |c, s| c.verdict != Verdict::Rejected && !enabled(c, s.policy)),
    (Gate::OptedOut, |c, _| c.says.mode < Mode::Enforce),
    (Gate::Accepted, |c, s| c.says.accepted_until.is_some_and(|until| s.now.wall < until)),
    (Gate::Excluded, |c, s| !s.policy.roll_kinds.contains(&c.workload.key.kind) || !c.chosen),
    (Gate::ExcludedSystem, excluded_system),
    (Gate::BadAnnotation, |c, _| !c.says.bad.is_empty()),
    (Gate::Paused, paused),
    (Gate::WorkloadPaused, |c, _| c.workload.paused),
    (Gate::Rolling, |c, _| c.in_rollout || status::exchanging(c.workload)),
    (Gate::Unhealthy, |c, s| !s.policy.include_unhealthy && !status::healthy(c.workload)),
    (Gate::ClusterBusy, |_, s| cluster_busy(s.unready_nodes)),
    (Gate::Cooldown, |c, s| c.history.iter().any(|stamp| s.now.since(stamp.timestamp) < s.policy.cooldown)),
    (Gate::DailyCap, |c, s| rolled_within(c, s.now, Duration::from_hours(24)) >= s.policy.daily_cap as usize),
    (Gate::PdbHeadroom, |c, _| pdb_short(c)),
    (Gate::SingleReplica, |c, s| !s.policy.allow_downtime && single_replica(c.workload)),
    (Gate::RecreateStrategy, |c, s| !s.policy.allow_downtime && all_down(c.workload)),
    (Gate::OnDelete, |c, _| c.workload.strategy == Strategy::OnDelete || all_below_partition(c.workload)),
    (Gate::CollateralChange, |c, s| c.collateral && !s.policy.allow_collateral),
    (Gate::RateLimit, |_, s| s.tokens == Some(0)),
    (Gate::Concurrency, |_, s| s.running >= s.policy.parallel_rollouts),
    (Gate::NamespaceConcurrency, |c, s| {
        s.running_in.get(&c.workload.key.namespace).is_some_and(|n| *n >= s.policy.parallel_per_namespace)
    }),
    (Gate::Canary, canary),
    (Gate::BreakerOpen, |_, s| s.record.is_some_and(|r| r.breaker.is_some())),
    (Gate::GuardMissing, |_, s| !s.policy.one_shot && !s.guarded && !s.policy.without_guard),
    (Gate::InjectorUnhealthy, |c, _| c.injector_unhealthy),
    (Gate::NotLeader, |_, s| !s.leader),
    (Gate::AlreadyTried, |c, _| {
        // The newest attempt: an injector that was rolled back may be followed again.
        let newest = c.history.iter().max_by_key(|stamp| stamp.timestamp);
        c.had_its_turn
            || c.verdict == Verdict::NonConvergent
            || newest.is_some_and(|s| s.fingerprint.as_deref() == Some(c.target))
    }),
    (Gate::Rejected, |c, _| c.verdict == Verdict::Rejected),
    (Gate::BackingOff, |c, _| c.backing_off),
    (Gate::FirstSweep, |_, s| s.first_sweep),
];

/// The gate that holds a candidate now; `None`: it may be rolled.
pub fn gate(candidate: &Candidate<'_>, situation: &Situation<'_>) -> Option<Gate> {
    CHECKS.iter().find(|(_, holds)| holds(candidate, situation)).map(|(gate, _)| *gate)
}

/// The gate that would hold a candidate if the mode were `enforce`: what a report-only user wants to know.
pub fn gate_in_enforce(candidate: &Candidate<'_>, situation: &Situation<'_>) -> Option<Gate> {
    CHECKS
        .iter()
        .filter(|(gate, _)| *gate != Gate::ReportOnly)
        .find(|(_, holds)| holds(candidate, situation))
        .map(|(gate, _)| *gate)
}

/// Some difference of it may be acted on. `mutated_live` never is, whatever the configuration says: the person who
/// patched the Pod had a reason, and a rollout would undo it.
fn enabled(c: &Candidate<'_>, policy: &Policy) -> bool {
    if policy.regardless_of_drift && c.differences.is_empty() {
        return true;
    }
    // A rollout carries out every difference at once, so each must be one that may be acted on.
    let mut reasons = c.differences.iter().filter(|d| **d != Difference::MutatedLive).peekable();
    reasons.peek().is_some() && reasons.all(|d| policy.act_on.contains(d))
}

fn excluded_system(c: &Candidate<'_>, s: &Situation<'_>) -> bool {
    let key = &c.workload.key;
    let own = s.policy.own.as_ref().is_some_and(|(ns, name)| *ns == key.namespace && *name == key.name);
    let system = SYSTEM_NAMESPACES.contains(&&*key.namespace) || c.backs_injector;
    own || (system && !s.policy.include_system)
}

/// A missing state ConfigMap means paused, except for a person at a terminal, who is there to watch.
fn paused(c: &Candidate<'_>, s: &Situation<'_>) -> bool {
    if c.says.paused {
        return true;
    }
    match s.record {
        Some(record) => record.paused.is_some(),
        // In report mode nobody reads it.
        None => !s.policy.one_shot && s.policy.mode == Mode::Enforce,
    }
}

/// More than 5 % of the Nodes, and at least two, are not ready: whatever is going on, restarts would not help.
fn cluster_busy((unready, all): (usize, usize)) -> bool {
    unready >= 2 && unready * 20 > all
}

fn rolled_within(c: &Candidate<'_>, now: Now, span: Duration) -> usize {
    c.history.iter().filter(|stamp| now.since(stamp.timestamp) < span).count()
}

/// Controllers do not ask PodDisruptionBudgets when they exchange Pods, so the strategy's own unavailability must fit into
/// what the budget leaves now. A rollout that only adds before it takes away needs no room.
fn pdb_short(c: &Candidate<'_>) -> bool {
    let Strategy::RollingUpdate { max_unavailable, .. } = c.workload.strategy else { return false };
    let taken = max_unavailable.min(c.workload.counts.desired);
    taken > 0 && c.disruptions_allowed.is_some_and(|allowed| allowed < taken)
}

fn single_replica(w: &WorkloadSnapshot) -> bool {
    // A DaemonSet's Pods are alone on their Nodes by nature.
    if w.key.kind == Kind::DAEMON_SET || w.counts.desired != 1 {
        return false;
    }
    matches!(w.strategy, Strategy::RollingUpdate { max_surge, max_unavailable, .. } if max_surge == 0 || max_unavailable > 0)
}

/// No Pod of it would be replaced.
fn all_below_partition(w: &WorkloadSnapshot) -> bool {
    status::partition(w) > 0 && status::partition(w) >= w.counts.desired
}

fn all_down(w: &WorkloadSnapshot) -> bool {
    match w.strategy {
        Strategy::Recreate => true,
        Strategy::OnDelete => false,
        // One Pod at a time is the gentlest there is: on a DaemonSet with one Node it is also all of them.
        Strategy::RollingUpdate { max_unavailable, .. } => {
            max_unavailable > 1 && max_unavailable >= w.counts.desired && w.counts.desired > 0
        }
    }
}

fn canary(c: &Candidate<'_>, s: &Situation<'_>) -> bool {
    if s.policy.canary == 0 {
        return false;
    }
    let Some(canary) = s.record.and_then(|r| r.canaries.get(c.change)) else { return false };
    // It is the canary itself, or there is room for one more.
    if canary.workloads.contains(&c.workload.key) || canary.workloads.len() < s.policy.canary {
        return false;
    }
    canary.converged.is_none_or(|at| s.now.since(at) < s.policy.soak)
}

#[cfg(test)]
mod tests;
