use std::collections::BTreeSet;

use super::*;
use crate::core::{
    made,
    model::Stamp,
    state::{Canary, Stop},
    words::Word as _,
};

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
    says: Says,
    history: Vec<Stamp>,
    backs_injector: bool,
    injector_unhealthy: bool,
    disruptions_allowed: Option<u32>,
    in_rollout: bool,
    backing_off: bool,
    had_its_turn: bool,
    leader: bool,
    guarded: bool,
    running: usize,
    running_here: usize,
    first_sweep: bool,
    unready_nodes: (usize, usize),
    tokens: Option<u32>,
}

impl Case {
    /// Nothing holds it.
    fn free() -> Self {
        Self {
            policy: Policy { mode: Mode::Enforce, parallel_rollouts: 2, ..Policy::default() },
            record: Some(StateRecord::default()),
            workload: made::workload(Kind::DEPLOYMENT, "web"),
            verdict: Verdict::Drifted,
            differences: BTreeSet::from([Difference::Changed]),
            collateral: false,
            chosen: true,
            says: Says { mode: Mode::Enforce, paused: false, accepted_until: None, bad: Vec::new() },
            history: Vec::new(),
            backs_injector: false,
            injector_unhealthy: false,
            disruptions_allowed: None,
            in_rollout: false,
            backing_off: false,
            had_its_turn: false,
            leader: true,
            guarded: true,
            running: 0,
            running_here: 0,
            first_sweep: false,
            unready_nodes: (0, 10),
            tokens: None,
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&Candidate<'_>, &Situation<'_>) -> T) -> T {
        let candidate = Candidate {
            workload: &self.workload,
            verdict: self.verdict,
            differences: self.differences.clone(),
            collateral: self.collateral,
            chosen: self.chosen,
            change: "proxy image 1 → 2",
            target: "v1:target",
            says: &self.says,
            history: &self.history,
            backs_injector: self.backs_injector,
            injector_unhealthy: self.injector_unhealthy,
            disruptions_allowed: self.disruptions_allowed,
            in_rollout: self.in_rollout,
            backing_off: self.backing_off,
            had_its_turn: self.had_its_turn,
        };
        let situation = Situation {
            policy: &self.policy,
            now: made::at(0),
            leader: self.leader,
            guarded: self.guarded,
            record: self.record.as_ref(),
            running: self.running,
            running_in: BTreeMap::from([(self.workload.key.namespace.clone(), self.running_here)]),
            first_sweep: self.first_sweep,
            unready_nodes: self.unready_nodes,
            tokens: self.tokens,
        };
        question(&candidate, &situation)
    }

    fn gate(&self) -> Option<Gate> {
        self.ask(gate)
    }

    fn tried(&mut self, seconds_ago: i64, fingerprint: &str) {
        self.history.push(made::stamp(made::at(-seconds_ago).wall, fingerprint));
    }
}

fn with(change: impl FnOnce(&mut Case)) -> Case {
    let mut case = Case::free();
    change(&mut case);
    case
}

fn stop() -> Stop {
    Stop { reason: "test".to_owned(), at: made::at(0).wall }
}

/// For each gate the one fact that makes it hold.
fn one_fact(gate: Gate, case: &mut Case) {
    let hour = 3600;
    match gate {
        Gate::ReportOnly => case.policy.mode = Mode::Report,
        Gate::DifferenceNotEnabled => case.differences = BTreeSet::from([Difference::Missing]),
        Gate::OptedOut => case.says.mode = Mode::Report,
        Gate::Accepted => case.says.accepted_until = Some(made::at(1).wall),
        Gate::Excluded => drop(case.policy.roll_kinds.remove(&Kind::DEPLOYMENT)),
        Gate::ExcludedSystem => case.backs_injector = true,
        Gate::BadAnnotation => case.says.bad.push("mode".to_owned()),
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
        Gate::PdbHeadroom => case.disruptions_allowed = Some(0),
        Gate::SingleReplica => {
            case.workload.counts =
                crate::core::model::Counts { desired: 1, current: 1, updated: 1, ready: 1, available: 1 };
        }
        Gate::RecreateStrategy => case.workload.strategy = Strategy::Recreate,
        Gate::OnDelete => case.workload.strategy = Strategy::OnDelete,
        Gate::CollateralChange => case.collateral = true,
        Gate::RateLimit => case.tokens = Some(0),
        Gate::Concurrency => case.running = 2,
        Gate::NamespaceConcurrency => case.running_here = 1,
        Gate::Canary => {
            let workloads = vec![made::key(Kind::DEPLOYMENT, "shop", "first")];
            let canary = Canary { workloads, started: made::at(-60).wall, converged: None };
            case.record = Some(StateRecord {
                canaries: BTreeMap::from([("proxy image 1 → 2".to_owned(), canary)]),
                ..StateRecord::default()
            });
        }
        Gate::BreakerOpen => case.record = Some(StateRecord { breaker: Some(stop()), ..StateRecord::default() }),
        Gate::GuardMissing => case.guarded = false,
        Gate::InjectorUnhealthy => case.injector_unhealthy = true,
        Gate::NotLeader => case.leader = false,
        Gate::AlreadyTried => case.tried(48 * hour, "v1:target"),
        Gate::Rejected => case.verdict = Verdict::Rejected,
        Gate::BackingOff => case.backing_off = true,
        Gate::FirstSweep => case.first_sweep = true,
        other => panic!("{other} is looked at and has no case"),
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
    assert_eq!((case.gate(), case.ask(gate_in_enforce)), (Some(Gate::ReportOnly), Some(Gate::OptedOut)));
    let free = with(|case| {
        case.policy.mode = Mode::Report;
        case.record = None;
    });
    assert_eq!(free.ask(gate_in_enforce), None);
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
fn a_cluster_is_busy_from_two_nodes_and_five_per_cent_on() {
    for (nodes, busy) in [((1, 2), false), ((2, 40), false), ((2, 39), true), ((3, 59), true), ((0, 0), false)] {
        let held = busy.then_some(Gate::ClusterBusy);
        assert_eq!(with(|case| case.unready_nodes = nodes).gate(), held, "{nodes:?}");
    }
}

#[test]
fn downtime_is_what_strategy_and_replicas_make_of_it() {
    let rolling = |max_unavailable, max_surge| Strategy::RollingUpdate { max_unavailable, max_surge, partition: 0 };
    for (kind, desired, strategy, held) in [
        (Kind::DEPLOYMENT, 1, rolling(0, 1), None),
        (Kind::DEPLOYMENT, 1, rolling(1, 1), Some(Gate::SingleReplica)),
        (Kind::STATEFUL_SET, 1, rolling(1, 0), Some(Gate::SingleReplica)),
        // Each of its Pods is alone on its Node anyway.
        (Kind::DAEMON_SET, 1, rolling(1, 0), None),
        (Kind::DEPLOYMENT, 3, rolling(2, 0), None),
        (Kind::DEPLOYMENT, 3, rolling(3, 3), Some(Gate::RecreateStrategy)),
        (Kind::DAEMON_SET, 3, rolling(3, 0), Some(Gate::RecreateStrategy)),
    ] {
        let change = |case: &mut Case| {
            case.workload.key.kind = kind;
            case.workload.strategy = strategy.clone();
            let n = desired;
            case.workload.counts =
                crate::core::model::Counts { desired: n, current: n, updated: n, ready: n, available: n };
        };
        assert_eq!(with(change).gate(), held, "{kind} {desired} {strategy:?}");
        let allowed = with(|case| {
            change(case);
            case.policy.allow_downtime = true;
        });
        assert_eq!(allowed.gate(), None);
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
    // Not even `--include-system` makes us roll ourselves.
    let own = |case: &mut Case| {
        case.policy.include_system = true;
        case.policy.own = Some(("shop".into(), "web".into()));
    };
    assert_eq!(with(own).gate(), Some(Gate::ExcludedSystem));
}

#[test]
fn a_canary_holds_the_others_until_it_has_soaked() {
    let canary = |name: &str, converged: Option<i64>| {
        let workloads = vec![made::key(Kind::DEPLOYMENT, "shop", name)];
        let converged = converged.map(|second| made::at(second).wall);
        let canary = Canary { workloads, started: made::at(-5000).wall, converged };
        with(|case| {
            let canaries = BTreeMap::from([("proxy image 1 → 2".to_owned(), canary)]);
            case.record = Some(StateRecord { canaries, ..StateRecord::default() });
        })
    };
    assert_eq!(canary("other", None).gate(), Some(Gate::Canary));
    assert_eq!(canary("other", Some(-599)).gate(), Some(Gate::Canary));
    assert_eq!(canary("other", Some(-600)).gate(), None);
    // It is the canary itself; there is room for another; there are none.
    assert_eq!(canary("web", None).gate(), None);
    let mut roomy = canary("other", None);
    roomy.policy.canary = 2;
    assert_eq!(roomy.gate(), None);
    roomy.policy.canary = 0;
    assert_eq!(roomy.gate(), None);
}

#[test]
fn what_was_tried_last_is_not_tried_again_but_what_was_tried_before_it_may_be() {
    let days = 24 * 3600;
    let again = with(|case| {
        case.tried(5 * days, "v1:target");
        case.tried(3 * days, "v1:other");
    });
    assert_eq!(again.gate(), None);
    let last = with(|case| {
        case.tried(5 * days, "v1:other");
        case.tried(3 * days, "v1:target");
    });
    assert_eq!(last.gate(), Some(Gate::AlreadyTried));
    assert_eq!(with(|case| case.verdict = Verdict::NonConvergent).gate(), Some(Gate::AlreadyTried));
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
fn a_disruption_budget_needs_room_for_what_the_strategy_takes_and_no_more() {
    let rolling = |max_unavailable| Strategy::RollingUpdate { max_unavailable, max_surge: 1, partition: 0 };
    for (max_unavailable, allowed, held) in [(0, 0, false), (1, 0, true), (1, 1, false), (2, 1, true), (9, 3, false)] {
        let case = with(|case| {
            case.workload.strategy = rolling(max_unavailable);
            case.disruptions_allowed = Some(allowed);
            case.policy.allow_downtime = true;
        });
        assert_eq!(case.gate(), held.then_some(Gate::PdbHeadroom), "{max_unavailable} of 3, {allowed} allowed");
    }
}

#[test]
fn what_an_owner_accepted_or_paused_is_held_until_then() {
    let accepted = |second| with(|case| case.says.accepted_until = Some(made::at(second).wall));
    assert_eq!((accepted(1).gate(), accepted(0).gate()), (Some(Gate::Accepted), None));
    assert_eq!(with(|case| case.says.paused = true).gate(), Some(Gate::Paused));
}
