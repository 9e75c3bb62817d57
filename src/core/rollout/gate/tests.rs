mod room;
mod tried;

use std::collections::BTreeSet;

use crate::core::rollout::gate::*;
use crate::core::{
    injection::{Scope, VersionVector},
    io::{Canary, Stop},
    model::{Attempt, InjectorKind, Selector, test_objects, words::Word as _},
};

mod canaries;

/// A day after the clock began to run.
fn now() -> Now {
    Now { elapsed: DAY, ..test_objects::at(0) }
}

fn budget_key(n: usize) -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: format!("budget-{n}").into() }
}

/// What the gates look at, to be changed by a test.
#[expect(clippy::struct_excessive_bools, reason = "as in what it stands for")]
struct Case {
    policy: Policy,
    record: Option<StateRecord>,
    workload: WorkloadSnapshot,
    verdict: Verdict,
    differences: BTreeSet<Difference>,
    collateral: bool,
    chosen: bool,
    quota_full: bool,
    scopes: VersionVector,
    causes: BTreeSet<Scope>,
    says: OwnerAnnotations,
    history: Vec<Attempt>,
    noted: BTreeMap<Timestamp, Timestamp>,
    patched_live: bool,
    loss_unproven: bool,
    retried: Option<Timestamp>,
    unseen: Option<String>,
    backs_injector: bool,
    injector_unhealthy: bool,
    disruptions_allowed: Option<u32>,
    stranded: bool,
    budgets: usize,
    frees_unhealthy: bool,
    next_is_down: bool,
    reserved: u32,
    pending: bool,
    kept: bool,
    in_rollout: bool,
    backoff_until: Duration,
    had_its_turn: bool,
    leader: bool,
    guarded: bool,
    alarm: Alarm,
    running: usize,
    running_here: usize,
    first_sweep: Option<Duration>,
    unready_nodes: (usize, usize),
    starts_left: Option<u32>,
    next_start: Option<Duration>,
}

fn mesh() -> Scope {
    Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into())
}

impl Case {
    /// Nothing holds it.
    fn free() -> Self {
        Self {
            policy: Policy { mode: Mode::Enforce, parallel_rollouts: 2, ..Policy::default() },
            record: Some(StateRecord::default()),
            workload: test_objects::workload(Kind::DEPLOYMENT, "web"),
            verdict: Verdict::Drifted,
            differences: BTreeSet::from([Difference::Changed]),
            collateral: false,
            chosen: true,
            quota_full: false,
            scopes: VersionVector::from([(mesh(), 1), (Scope::Namespace("shop".into()), 1)]),
            causes: BTreeSet::new(),
            says: OwnerAnnotations::default(),
            history: Vec::new(),
            noted: BTreeMap::new(),
            patched_live: false,
            loss_unproven: false,
            retried: None,
            unseen: None,
            backs_injector: false,
            injector_unhealthy: false,
            disruptions_allowed: None,
            stranded: false,
            budgets: 1,
            frees_unhealthy: false,
            next_is_down: false,
            reserved: 0,
            pending: false,
            kept: false,
            in_rollout: false,
            backoff_until: Duration::ZERO,
            had_its_turn: false,
            leader: true,
            guarded: true,
            alarm: Alarm::None,
            running: 0,
            running_here: 0,
            first_sweep: None,
            unready_nodes: (0, 10),
            starts_left: None,
            next_start: None,
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&Candidate<'_>, &Situation<'_>) -> T) -> T {
        let budgets = self.budgets();
        let candidate = Candidate {
            workload: &self.workload,
            verdict: self.verdict,
            differences: &self.differences,
            first_seen: None,
            collateral: self.collateral,
            chosen: self.chosen,
            quota_full: self.quota_full,
            change: "proxy image 1 → 2",
            target: "v1:target",
            scopes: &self.scopes,
            causes: &self.causes,
            says: self.says.clone(),
            history: self.history.clone(),
            noted: self.noted.clone(),
            patched_live: self.patched_live,
            loss_unproven: self.loss_unproven,
            retried: self.retried,
            unseen: self.unseen.clone(),
            backs_injector: self.backs_injector,
            injector_unhealthy: self.injector_unhealthy,
            stranded: self.stranded,
            budgets: budgets.iter().collect(),
            next_is_down: self.next_is_down,
            pending: self.pending,
            kept: self.kept,
            in_rollout: self.in_rollout,
            backoff_until: self.backoff_until,
            had_its_turn: self.had_its_turn,
        };
        let canaries = self.record.iter().flat_map(|r| &r.canaries);
        let situation = Situation {
            policy: &self.policy,
            now: now(),
            leader: self.leader,
            alarm: self.alarm,
            guarded: self.guarded,
            record: self.record.as_ref(),
            canaries: canaries.map(|(scope, c)| (scope.parse().unwrap(), c.clone())).collect(),
            running: self.running,
            running_in: BTreeMap::from([(self.workload.key.namespace.clone(), self.running_here)]),
            reserved: BTreeMap::from([(budget_key(0), self.reserved)]),
            first_sweep: self.first_sweep,
            unready_nodes: self.unready_nodes,
            starts_left: self.starts_left,
            next_start: self.next_start,
        };
        question(&candidate, &situation)
    }

    /// The budgets that select its Pods; none, if none allows anything.
    fn budgets(&self) -> Vec<DisruptionBudgetSnapshot> {
        let budget = |allowed: u32, n| DisruptionBudgetSnapshot {
            key: budget_key(n),
            selector: Some(Selector::default()),
            allowed,
            frees_unhealthy: self.frees_unhealthy,
        };
        self.disruptions_allowed
            .map(|allowed| (0..self.budgets).map(|n| budget(allowed, n)).collect())
            .unwrap_or_default()
    }

    fn gate(&self) -> Option<Gate> {
        self.ask(held).gate
    }

    /// When the gate that holds it lets go by itself.
    fn ends(&self) -> Option<Duration> {
        self.ask(|c, s| ends::ends(held(c, s).gate?, c, s))
    }

    /// A rollout of this workload that its owner went on from.
    fn tried(&mut self, seconds_ago: i64, fingerprint: &str) {
        let stamp = test_objects::stamp(test_objects::at(-seconds_ago).wall, fingerprint);
        self.history.push(Attempt { stamp, template: "older".into() });
    }

    /// Another one goes first in this scope.
    fn canary(&mut self, scope: &Scope, name: &str, converged: Option<i64>) {
        let workloads = vec![test_objects::key(Kind::DEPLOYMENT, "shop", name)];
        let converged = converged.map(|second| test_objects::at(second).wall);
        let canary = Canary { workloads, converged, ..Canary::new(test_objects::at(-5000).wall) };
        self.record.get_or_insert_default().canaries.insert(scope.to_string(), canary);
    }
}

fn with(change: impl FnOnce(&mut Case)) -> Case {
    let mut case = Case::free();
    change(&mut case);
    case
}

fn operator() -> crate::core::model::Owner {
    let (api_version, kind) = ("example.com/v1".into(), "App".into());
    crate::core::model::Owner { api_version, kind, name: "web".into(), uid: "uid-app".into() }
}

fn stop() -> Stop {
    Stop { reason: "test".to_owned(), at: test_objects::at(0).wall }
}

/// For each gate the one fact that makes it hold.
fn one_fact(gate: Gate, case: &mut Case) {
    let hour = 3600;
    match gate {
        Gate::ReportOnly => case.policy.mode = Mode::Report,
        Gate::DifferenceNotEnabled => case.differences = BTreeSet::from([Difference::Missing]),
        Gate::PatchedLive => case.patched_live = true,
        Gate::LossUnproven => case.loss_unproven = true,
        Gate::OptedOut => case.says.mode = Mode::Report,
        Gate::Accepted => case.says.accepted_until = Some(test_objects::at(1).wall),
        Gate::Excluded => drop(case.policy.roll_kinds.remove(&Kind::DEPLOYMENT)),
        Gate::ExcludedSystem => case.backs_injector = true,
        Gate::BadAnnotation => case.says.bad.push("mode".to_owned()),
        Gate::Unseen => case.unseen = Some("no right to list nodes".to_owned()),
        Gate::Paused => case.record = None,
        Gate::WorkloadPaused => case.workload.paused = true,
        Gate::Rolling => case.in_rollout = true,
        Gate::Unhealthy => case.workload.counts.ready = 2,
        Gate::ClusterBusy => case.unready_nodes = (2, 30),
        Gate::Cooldown => case.tried(hour, "v1:other"),
        Gate::DailyCap => {
            case.policy.cooldown = Duration::from_mins(1);
            case.tried(hour, "v1:a");
            case.tried(2 * hour, "v1:b");
        }
        Gate::PdbConflict => {
            (case.workload.key.kind, case.workload.strategy) = (Kind::STATEFUL_SET, Strategy::OnDelete);
            case.policy.evict_on_delete = true;
            (case.disruptions_allowed, case.budgets) = (Some(9), 2);
        }
        Gate::PdbHeadroom => case.disruptions_allowed = Some(0),
        Gate::SingleReplica => {
            case.workload.counts =
                crate::core::model::Counts { desired: 1, current: 1, updated: 1, ready: 1, available: 1 };
        }
        // The clock begins to run on a Tuesday.
        Gate::OutsideWindow => case.policy.windows = vec!["Sat 00:00-24:00 UTC".parse().unwrap()],
        Gate::SurgeQuota => case.quota_full = true,
        Gate::SelfRolling => case.workload.owner = Some(operator()),
        Gate::RecreateStrategy => case.workload.strategy = Strategy::Recreate,
        Gate::OnDelete => case.workload.strategy = Strategy::OnDelete,
        Gate::CollateralChange => case.collateral = true,
        Gate::RateLimit => case.starts_left = Some(0),
        Gate::Concurrency => case.running = 2,
        Gate::NamespaceConcurrency => case.running_here = 1,
        Gate::Canary => case.canary(&mesh(), "first", None),
        Gate::BreakerOpen => case.record = Some(StateRecord { breaker: Some(stop()), ..StateRecord::default() }),
        Gate::GuardMissing => case.guarded = false,
        Gate::InjectorUnhealthy => case.injector_unhealthy = true,
        Gate::AlertFiring => case.alarm = Alarm::On,
        Gate::NotLeader => case.leader = false,
        Gate::AlreadyTried => case.tried(48 * hour, "v1:target"),
        Gate::Reverted => {
            case.tried(48 * hour, "v1:other");
            case.history[0].template = case.workload.template.hash.clone();
        }
        Gate::Rejected => case.verdict = Verdict::Rejected,
        Gate::BackingOff => case.backoff_until = now().elapsed + Duration::from_secs(1),
        Gate::FirstSweep => case.first_sweep = Some(now().elapsed),
        // Of a kind that is only reported.
        Gate::UnsupportedOwner => {
            case.workload.key.kind = test_objects::described(|described| described.restart = None);
            case.policy.roll_kinds.insert(case.workload.key.kind);
        }
    }
}

#[test]
fn each_gate_holds_by_one_fact_and_nothing_holds_without() {
    assert_eq!(Case::free().gate(), None);
    for (gate, _) in CHECKS {
        assert_eq!(with(|case| one_fact(*gate, case)).gate(), Some(*gate));
    }
}

#[test]
fn of_two_gates_the_first_in_the_vocabulary_is_named() {
    let gates: Vec<_> = CHECKS.iter().map(|(gate, _)| *gate).collect();
    for (at, first) in gates.iter().enumerate() {
        for second in &gates[at + 1..] {
            let case = with(|case| {
                one_fact(*second, case);
                one_fact(*first, case);
            });
            // Some facts are of one field, so the second one may be overwritten; never does it come first.
            let found = case.gate().unwrap_or_else(|| panic!("{first} and {second} hold nothing"));
            assert!(found <= *second, "{first} and {second}: {found}");
        }
    }
    assert!(gates.is_sorted() && Gate::ALL.is_sorted());
}

#[test]
fn in_report_mode_the_next_gate_is_told_too_and_the_state_is_no_reason() {
    let case = with(|case| {
        case.policy.mode = Mode::Report;
        case.record = None;
        case.says.mode = Mode::Ignore;
    });
    assert_eq!(case.ask(held), Held { gate: Some(Gate::ReportOnly), in_enforce: Some(Gate::OptedOut) });
    let free = with(|case| {
        case.policy.mode = Mode::Report;
        case.record = None;
    });
    assert_eq!(free.ask(held).in_enforce, None);
    let enforced = with(|case| case.workload.paused = true);
    assert_eq!(enforced.ask(held).in_enforce, Some(Gate::WorkloadPaused));
}

#[test]
fn live_patches_are_never_acted_on_and_other_differences_by_choice() {
    let all: BTreeSet<_> = Difference::ALL.iter().copied().collect();
    for difference in Difference::ALL {
        let case = with(|case| {
            case.policy.act_on = all.clone();
            case.differences = BTreeSet::from([*difference]);
        });
        let held = (*difference == Difference::MutatedLive).then_some(Gate::DifferenceNotEnabled);
        assert_eq!(case.gate(), held, "{difference}");
    }
    // A rollout carries out all of them at once: a live patch beside them is no reason, any other is none against it.
    let both = |other| BTreeSet::from([Difference::Changed, other]);
    assert_eq!(with(|case| case.differences = both(Difference::MutatedLive)).gate(), None);
    let missing = with(|case| case.differences = both(Difference::Missing));
    assert_eq!(missing.gate(), Some(Gate::DifferenceNotEnabled));
}

#[test]
fn a_cluster_is_busy_from_five_per_cent_on_and_a_small_one_from_a_quarter() {
    for (nodes, busy) in [
        ((1, 1), true),
        ((1, 4), true),
        ((1, 5), false),
        ((1, 19), false),
        ((2, 40), false),
        ((2, 39), true),
        ((3, 59), true),
        ((0, 0), false),
    ] {
        let held = busy.then_some(Gate::ClusterBusy);
        assert_eq!(with(|case| case.unready_nodes = nodes).gate(), held, "{nodes:?}");
    }
}

#[test]
fn system_namespaces_and_ourselves_are_left_alone() {
    for namespace in SYSTEM_NAMESPACES {
        let system = |case: &mut Case| case.workload.key.namespace = namespace.into();
        assert_eq!(with(system).gate(), Some(Gate::ExcludedSystem));
        let included = with(|case| {
            system(case);
            case.policy.include_system = true;
        });
        assert_eq!(included.gate(), None);
    }
    let own = |case: &mut Case| case.policy.own = Some(test_objects::key(Kind::DEPLOYMENT, "shop", "web"));
    assert_eq!(with(own).gate(), Some(Gate::ExcludedSystem));
    let included = with(|case| {
        own(case);
        case.policy.include_system = true;
    });
    assert_eq!(included.gate(), None);
    let namesake = |case: &mut Case| case.policy.own = Some(test_objects::key(Kind::STATEFUL_SET, "shop", "web"));
    assert_eq!(with(namesake).gate(), None);
}

#[test]
fn what_ends_by_time_alone_says_when() {
    let hour = Duration::from_hours(1);
    let ends = |gate, change: &dyn Fn(&mut Case)| {
        let case = with(|case| {
            one_fact(gate, case);
            change(case);
        });
        assert_eq!(case.gate(), Some(gate));
        case.ends().map(|at| at.saturating_sub(now().elapsed))
    };
    let nothing = |_: &mut Case| {};
    assert_eq!(ends(Gate::Accepted, &nothing), Some(Duration::from_secs(1)));
    assert_eq!(ends(Gate::Cooldown, &nothing), Some(23 * hour));
    assert_eq!(ends(Gate::DailyCap, &nothing), Some(22 * hour));
    // With three in a day and a cap of one, it takes until the last of them is a day ago.
    let more = |case: &mut Case| {
        case.policy.daily_cap = 1;
        case.tried(3 * 3600, "v1:c");
    };
    assert_eq!(ends(Gate::DailyCap, &more), Some(23 * hour));
    let token = |case: &mut Case| case.next_start = Some(now().elapsed + hour);
    assert_eq!(ends(Gate::RateLimit, &token), Some(hour));
    assert_eq!(ends(Gate::OutsideWindow, &nothing), Some(Duration::from_secs(3 * 86_400 + 6_400)));
    assert_eq!(ends(Gate::BackingOff, &nothing), Some(Duration::from_secs(1)));
    let calm = |case: &mut Case| case.alarm = Alarm::Until(now().elapsed + hour);
    assert_eq!((ends(Gate::AlertFiring, &calm), ends(Gate::AlertFiring, &nothing)), (Some(hour), None));
    assert_eq!(ends(Gate::Canary, &nothing), None);
    let soaking = |case: &mut Case| case.canary(&mesh(), "first", Some(-60));
    assert_eq!(ends(Gate::Canary, &soaking), Some(Duration::from_mins(9)));
    assert_eq!(ends(Gate::Paused, &nothing), None);
}

#[test]
fn what_an_operator_owns_is_left_to_it_unless_asked_for() {
    let owned = |case: &mut Case| case.workload.owner = Some(operator());
    assert_eq!(with(owned).gate(), Some(Gate::SelfRolling));
    let included = with(|case| {
        owned(case);
        case.policy.include_operated = true;
    });
    assert_eq!(included.gate(), None);
}

#[test]
fn a_person_at_a_terminal_needs_neither_state_nor_guard_but_is_held_by_a_pause() {
    let one_shot = |case: &mut Case| {
        case.policy.one_shot = true;
        case.record = None;
        case.guarded = false;
    };
    assert_eq!(with(one_shot).gate(), None);
    let paused = with(|case| {
        one_shot(case);
        case.record = Some(StateRecord { paused: Some(stop()), ..StateRecord::default() });
    });
    assert_eq!(paused.gate(), Some(Gate::Paused));
}

#[test]
fn what_an_owner_accepted_or_paused_is_held_until_then() {
    let accepted = |second| with(|case| case.says.accepted_until = Some(test_objects::at(second).wall));
    assert_eq!((accepted(1).gate(), accepted(0).gate()), (Some(Gate::Accepted), None));
    assert_eq!(with(|case| case.says.paused = true).gate(), Some(Gate::Paused));
}

#[test]
fn two_stamps_of_the_future_that_were_seen_at_once_are_two_rollouts() {
    let mut case = Case::free();
    case.tried(-3600, "v1:target");
    case.tried(-1800, "v1:other");
    let seen = now().wall - Duration::from_hours(2);
    case.noted = case.history.iter().map(|tried| (tried.stamp.timestamp, seen)).collect();
    case.policy.cooldown = Duration::from_hours(1);
    case.policy.daily_cap = 2;
    assert_eq!(case.gate(), Some(Gate::DailyCap));
    // The newest of them is the one that is stamped last, in whichever order they are found.
    case.policy.daily_cap = 3;
    assert_eq!(case.gate(), Some(Gate::AlreadyTried));
    case.history.reverse();
    assert_eq!(case.gate(), Some(Gate::AlreadyTried));
}
