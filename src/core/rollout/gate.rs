//! The gates: why a workload that differs is not being rolled now. Each is a small pure function; their order is the
//! policy.

pub mod ends;

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::alerts::Alarm;
use crate::core::{
    config::{Mode, Opening, OwnerAnnotations, Policy, Windows, window},
    injection::{Scope, VersionVector},
    io::{Canary, StateRecord},
    model::{
        Attempt, DisruptionBudgetSnapshot, Name, ObjectKey, Strategy, WorkloadSnapshot,
        owner::{Kind, Restart},
        rollout_status,
        time::Now,
        words::{Difference, Gate, Verdict},
    },
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
    pub differences: &'a BTreeSet<Difference>,
    /// When that was seen first.
    pub first_seen: Option<Timestamp>,
    /// An app container would change with a restart.
    pub collateral: bool,
    /// The filters take it: its namespace, its labels and annotations, and the age of the Pods that it is rolled for.
    pub chosen: bool,
    /// Nothing more fits into its namespace's quota.
    pub quota_full: bool,
    /// What a rollout would change, in short.
    pub change: &'a str,
    /// The fingerprint of what a rollout would bring.
    pub target: &'a str,
    /// What its renderings depend on.
    pub scopes: &'a VersionVector,
    /// The scopes that may have made it differ; empty: nobody knows.
    pub causes: &'a BTreeSet<Scope>,
    /// What its owner says.
    pub says: OwnerAnnotations,
    /// Every rollout of it that is known, the live template's stamp included.
    pub history: Vec<Attempt>,
    /// When stamps were seen first that lie in the future.
    pub noted: BTreeMap<Timestamp, Timestamp>,
    /// Somebody patched one of its running Pods by hand, and nobody has said since that it may be rolled all the same.
    pub patched_live: bool,
    /// A rollout would take away something that may only be missing because an injector is down, and nobody has said since that
    /// it may.
    pub loss_unproven: bool,
    /// Rollouts up to then do not count, but for the daily cap: a person said so, or they were in vain.
    pub retried: Option<Timestamp>,
    /// What cannot be seen of what decides about it; `None`: everything can.
    pub unseen: Option<String>,
    /// A Service of an injector is in its namespace.
    pub backs_injector: bool,
    /// The Deployment behind one of its injectors is rolling or not ready.
    pub injector_unhealthy: bool,
    /// The PodDisruptionBudgets that select its Pods.
    pub budgets: Vec<&'a DisruptionBudgetSnapshot>,
    /// The Pod that goes next is not ready itself.
    pub next_is_down: bool,
    /// Pods of this DaemonSet run where its controller wants none now, or on a Node that is not ready.
    pub stranded: bool,
    /// Some of its Pods run an older template, because its owner waits with his own change until they are deleted.
    pub pending: bool,
    /// Only Pods differ that its partition keeps.
    pub kept: bool,
    /// A rollout of ours is under way.
    pub in_rollout: bool,
    /// Its last rollout has just ended, or was given up before anything was written: it rests until then.
    pub backoff_until: Duration,
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
    /// Whether alerts hold all rollouts.
    pub alarm: Alarm,
    /// The state ConfigMap; `None`: missing or unreadable.
    pub record: Option<&'a StateRecord>,
    /// Its canaries.
    pub canaries: BTreeMap<Scope, Canary>,
    /// Rollouts under way.
    pub running: usize,
    /// Rollouts under way, by namespace.
    pub running_in: BTreeMap<Name, usize>,
    /// How many Pods rollouts under way may still take down under each PodDisruptionBudget.
    pub reserved: BTreeMap<ObjectKey, u32>,
    /// Not every workload has its first verdict, and they are waited for until then.
    pub first_sweep: Option<Duration>,
    /// Nodes that are not ready, of how many.
    pub unready_nodes: (usize, usize),
    /// Rollouts that the hourly limit still allows now; `None`: no limit.
    pub starts_left: Option<u32>,
    /// When it allows the next one, if it allows none now.
    pub next_start: Option<Duration>,
}

impl Candidate<'_> {
    /// Its rollouts that still count: those before a person's `retry`, and those that were in vain, do not.
    fn tried(&self) -> impl Iterator<Item = &Attempt> {
        self.history.iter().filter(|a| self.retried.is_none_or(|at| self.made(a) > at))
    }

    /// When it was made. A stamp of the future, whoever's clock is wrong, counts from when it was seen first.
    fn made(&self, attempt: &Attempt) -> Timestamp {
        let stamp = attempt.stamp.timestamp;
        self.noted.get(&stamp).copied().unwrap_or(stamp)
    }

    /// The scopes for which it would be the canary: those that made it differ. Where nobody knows, each injector may have;
    /// and where none is known, what its namespace says.
    pub fn proves(&self) -> Vec<Scope> {
        if !self.causes.is_empty() {
            return self.causes.iter().cloned().collect();
        }
        let of =
            |wanted: fn(&Scope) -> bool| self.scopes.keys().filter(move |s| wanted(s)).cloned().collect::<Vec<_>>();
        let injectors = of(|scope| matches!(scope, Scope::Injector(..)));
        if injectors.is_empty() { of(|scope| matches!(scope, Scope::Namespace(_))) } else { injectors }
    }
}

type Check = fn(&Candidate<'_>, &Situation<'_>) -> bool;

/// Every gate that is looked at, in the order of the vocabulary: the first that holds is the answer.
pub const CHECKS: &[(Gate, Check)] = &[
    (Gate::ReportOnly, |_, s| s.policy.mode < Mode::Enforce),
    (Gate::DifferenceNotEnabled, |c, s| c.verdict != Verdict::Rejected && !enabled(c, s.policy)),
    (Gate::PatchedLive, |c, _| c.patched_live),
    (Gate::LossUnproven, |c, _| c.loss_unproven),
    (Gate::OptedOut, |c, _| c.says.mode < Mode::Enforce),
    (Gate::Accepted, |c, s| c.says.accepted_until.is_some_and(|until| s.now.wall < until)),
    (Gate::Excluded, |c, s| !s.policy.roll_kinds.contains(&c.workload.key.kind) || !c.chosen),
    (Gate::ExcludedSystem, excluded_system),
    (Gate::BadAnnotation, |c, _| !c.says.bad.is_empty()),
    (Gate::Unseen, |c, _| c.unseen.is_some()),
    (Gate::Paused, paused),
    (Gate::WorkloadPaused, |c, _| c.workload.paused),
    (Gate::Rolling, |c, _| c.in_rollout || rollout_status::rollout_in_progress(c.workload)),
    (Gate::Unhealthy, |c, s| !s.policy.include_unhealthy && (c.stranded || !rollout_status::healthy(c.workload))),
    (Gate::ClusterBusy, |_, s| cluster_busy(s.unready_nodes)),
    (Gate::Cooldown, |c, s| c.tried().any(|tried| s.now.since(c.made(tried)) < s.policy.cooldown)),
    (Gate::DailyCap, |c, s| rolled_within(c, s.now, DAY).len() >= s.policy.daily_cap as usize),
    (Gate::OutsideWindow, |c, s| opening(c, s) != Opening::Open),
    (Gate::PdbConflict, |c, s| c.budgets.len() > 1 && is_evicted(c.workload, s.policy)),
    (Gate::PdbHeadroom, pdb_short),
    (Gate::SingleReplica, |c, s| !s.policy.allow_downtime && single_replica(c.workload, s.policy)),
    (Gate::SurgeQuota, |c, _| c.quota_full),
    (Gate::RecreateStrategy, |c, s| !s.policy.allow_downtime && all_down(c.workload)),
    (Gate::OnDelete, on_delete),
    (Gate::UnsupportedOwner, |c, _| c.workload.key.kind.row().restart == Restart::Nothing),
    (Gate::SelfRolling, |c, s| c.workload.owner.is_some() && !s.policy.include_operated),
    (Gate::CollateralChange, |c, s| c.collateral && !s.policy.allow_collateral),
    (Gate::RateLimit, |_, s| s.starts_left == Some(0)),
    (Gate::Concurrency, |_, s| s.running >= s.policy.parallel_rollouts),
    (Gate::NamespaceConcurrency, |c, s| {
        s.running_in.get(&c.workload.key.namespace).is_some_and(|n| *n >= s.policy.parallel_per_namespace)
    }),
    (Gate::Canary, canary),
    (Gate::BreakerOpen, |c, s| s.record.is_some_and(|r| r.breaker_over(&c.workload.key.namespace).is_some())),
    (Gate::GuardMissing, |_, s| !s.policy.one_shot && !s.guarded && !s.policy.without_guard),
    (Gate::InjectorUnhealthy, |c, _| c.injector_unhealthy),
    (Gate::AlertFiring, |_, s| s.alarm != Alarm::None),
    (Gate::NotLeader, |_, s| !s.leader),
    (Gate::AlreadyTried, already_tried),
    (Gate::Reverted, |c, _| reverted(c)),
    (Gate::Rejected, |c, _| c.verdict == Verdict::Rejected),
    (Gate::BackingOff, |c, s| s.now.elapsed < c.backoff_until),
    (Gate::FirstSweep, |_, s| s.first_sweep.is_some()),
];

const DAY: Duration = Duration::from_hours(24);

/// What holds a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The gate; `None`: it may be rolled.
    pub gate: Option<Gate>,
    /// The gate if the mode were `enforce`: the same, unless that is `report_only`.
    pub in_enforce: Option<Gate>,
}

/// What holds a candidate now.
pub fn held(candidate: &Candidate<'_>, situation: &Situation<'_>) -> Held {
    let mut holding = CHECKS.iter().filter(|(_, holds)| holds(candidate, situation)).map(|(gate, _)| *gate);
    let gate = holding.next();
    let in_enforce = if gate == Some(Gate::ReportOnly) { holding.next() } else { gate };
    Held { gate, in_enforce }
}

/// Gates that decide whether a rollout begins, and have no say any more once it did.
const BEGINNING: [Gate; 13] = [
    Gate::Rolling,
    Gate::Unhealthy,
    Gate::Cooldown,
    Gate::DailyCap,
    Gate::SingleReplica,
    Gate::RateLimit,
    Gate::Concurrency,
    Gate::NamespaceConcurrency,
    Gate::Canary,
    Gate::AlreadyTried,
    Gate::Reverted,
    Gate::BackingOff,
    Gate::FirstSweep,
];

/// The gate that holds the next step of a rollout that we make step by step; `None`: it may go on.
pub fn next_step(candidate: &Candidate<'_>, situation: &Situation<'_>) -> Option<Gate> {
    let mut still = CHECKS.iter().filter(|(gate, _)| !BEGINNING.contains(gate));
    still.find(|(_, holds)| holds(candidate, situation)).map(|(gate, _)| *gate)
}

/// The gate that holds a candidate now; `None`: it may be rolled.
pub fn gate(candidate: &Candidate<'_>, situation: &Situation<'_>) -> Option<Gate> {
    CHECKS.iter().find(|(_, holds)| holds(candidate, situation)).map(|(gate, _)| *gate)
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
    let own = s.policy.own.as_ref() == Some(key);
    let system = SYSTEM_NAMESPACES.contains(&&*key.namespace) || c.backs_injector;
    (own || system) && !s.policy.include_system
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

/// More than 5 % of the Nodes are not ready, and if that is a single one, a quarter of all: whatever is going on, restarts
/// would not help.
fn cluster_busy((unready, all): (usize, usize)) -> bool {
    unready * 20 > all && (unready >= 2 || unready * 4 >= all)
}

/// Its rollouts of that time, oldest first, whatever anybody said since.
fn rolled_within(c: &Candidate<'_>, now: Now, span: Duration) -> Vec<Timestamp> {
    // Two stamps of the future may have been seen first at the same moment, and are two rollouts all the same.
    let made: BTreeMap<_, _> = c.history.iter().map(|tried| (tried.stamp.timestamp, c.made(tried))).collect();
    let mut times: Vec<_> = made.into_values().filter(|at| now.since(*at) < span).collect();
    times.sort_unstable();
    times
}

/// When the windows of the configuration, of its Namespace and of its own are open.
fn opening(c: &Candidate<'_>, s: &Situation<'_>) -> Opening {
    let mut owners: Vec<&Windows> = vec![&s.policy.windows];
    owners.extend(c.says.windows.iter().map(|windows| &**windows));
    window::opening(&owners, s.now.wall)
}

/// The newest attempt counts: an injector that was rolled back may be followed again.
fn already_tried(c: &Candidate<'_>, _: &Situation<'_>) -> bool {
    let newest = c.tried().max_by_key(|tried| (c.made(tried), tried.stamp.timestamp));
    c.had_its_turn
        || c.verdict == Verdict::NonConvergent
        || newest.is_some_and(|tried| tried.stamp.fingerprint.as_deref() == Some(c.target))
}

/// The newest stamp is not on the template any more, though its owner has changed nothing else: somebody took it away.
fn reverted(c: &Candidate<'_>) -> bool {
    let live = &c.workload.template;
    // The predecessor's stamps have no fingerprint; what became of those is none of our business.
    let ours = || c.tried().filter(|tried| tried.stamp.fingerprint.is_some());
    let newest = ours().map(|tried| tried.stamp.timestamp).max();
    // Its owner may have changed the template since, and left the stamp on it.
    let mut newest = ours().filter(|tried| Some(tried.stamp.timestamp) == newest);
    newest.any(|tried| live.stamp.as_ref() != Some(&tried.stamp) && tried.template == live.hash)
}

/// Controllers do not ask PodDisruptionBudgets when they exchange Pods, so the strategy's own unavailability must fit into
/// what each budget leaves now, without what others that are being rolled may take. A rollout that only adds before it takes
/// away needs no room, and neither does the eviction of a Pod that is down where the API server lets it.
fn pdb_short(c: &Candidate<'_>, s: &Situation<'_>) -> bool {
    let taken = takes_down(c.workload, s.policy);
    let left = |budget: &DisruptionBudgetSnapshot| {
        budget.allowed.saturating_sub(s.reserved.get(&budget.key).copied().unwrap_or_default())
    };
    let asked = c.budgets.iter().filter(|budget| !(c.next_is_down && budget.frees_unhealthy));
    taken > 0 && asked.into_iter().any(|budget| left(budget) < taken)
}

/// How many Pods of a workload its rollout takes down at once, before others take their place.
pub fn takes_down(w: &WorkloadSnapshot, policy: &Policy) -> u32 {
    let max_unavailable = match w.strategy {
        Strategy::RollingUpdate { max_unavailable, .. } => max_unavailable,
        // Evictions ask the budget by themselves, each; without room for one nothing is begun.
        Strategy::OnDelete if policy.evict_on_delete => 1,
        Strategy::OnDelete | Strategy::Recreate => 0,
    };
    max_unavailable.min(w.counts.desired)
}

/// Its Pods are evicted, by us or by its own controller, and not deleted.
fn is_evicted(w: &WorkloadSnapshot, policy: &Policy) -> bool {
    w.key.kind == Kind::ROLLOUT || (w.strategy == Strategy::OnDelete && policy.evict_on_delete)
}

fn single_replica(w: &WorkloadSnapshot, policy: &Policy) -> bool {
    // A DaemonSet's Pods are alone on their Nodes by nature.
    if w.key.kind == Kind::DAEMON_SET || w.counts.desired != 1 {
        return false;
    }
    match w.strategy {
        Strategy::RollingUpdate { max_surge, max_unavailable, .. } => max_surge == 0 || max_unavailable > 0,
        Strategy::OnDelete => policy.evict_on_delete,
        Strategy::Recreate => false,
    }
}

/// Nobody would replace its Pods, or their replacement would bring what its owner still holds back.
fn on_delete(c: &Candidate<'_>, s: &Situation<'_>) -> bool {
    let evictable = s.policy.evict_on_delete && c.workload.key.kind.is_evictable();
    let waits = c.workload.strategy == Strategy::OnDelete && (!evictable || c.pending);
    waits || c.kept || all_below_partition(c.workload)
}

/// No Pod of it would be replaced.
fn all_below_partition(w: &WorkloadSnapshot) -> bool {
    rollout_status::partition(w) > 0 && rollout_status::partition(w) >= w.counts.desired
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

/// Another workload goes first in one of the scopes that it depends on, and has not proven anything yet.
fn canary(c: &Candidate<'_>, s: &Situation<'_>) -> bool {
    s.policy.canary > 0 && unproven(c, s).next().is_some()
}

/// The canaries that it has to wait for.
fn unproven<'a>(c: &'a Candidate<'_>, s: &'a Situation<'_>) -> impl Iterator<Item = &'a Canary> {
    let proves = c.proves();
    let waits = move |(scope, canary): &(&Scope, &Canary)| {
        // Whoever proves something else takes no place here, however many are left.
        let room = canary.workloads.len() < s.policy.canary && proves.contains(scope);
        let joins = (room || canary.workloads.contains(&c.workload.key))
            && !canary.too_early(s.now.wall)
            && canary.failed.is_none();
        let soaked = canary.converged.is_some_and(|at| s.now.since(at) >= s.policy.soak);
        c.scopes.contains_key(*scope) && !joins && !soaked
    };
    s.canaries.iter().filter(waits).map(|(_, canary)| canary)
}

#[cfg(test)]
mod tests;
