//! How many Pods may be missing, and who takes them away.

use crate::core::model::Counts;
use crate::core::rollout::gate::tests::*;

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
            case.workload.counts = all(desired);
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
fn a_disruption_budget_leaves_what_others_have_not_reserved() {
    let beside = |allowed, reserved| {
        let case = with(|case| {
            case.workload.strategy = Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition: 0 };
            (case.disruptions_allowed, case.reserved) = (Some(allowed), reserved);
        });
        case.gate()
    };
    assert_eq!([beside(1, 0), beside(2, 1)], [None, None]);
    assert_eq!([beside(1, 1), beside(1, 9)], [Some(Gate::PdbHeadroom), Some(Gate::PdbHeadroom)]);
}

#[test]
fn a_pod_that_is_down_needs_no_room_where_the_api_server_lets_it_go() {
    let next = |frees_unhealthy, next_is_down| {
        let case = evicting(|case| {
            case.disruptions_allowed = Some(0);
            (case.frees_unhealthy, case.next_is_down) = (frees_unhealthy, next_is_down);
        });
        case.ask(next_step)
    };
    assert_eq!(next(true, true), None);
    for (frees, down) in [(true, false), (false, true), (false, false)] {
        assert_eq!(next(frees, down), Some(Gate::PdbHeadroom));
    }
}

#[test]
fn two_disruption_budgets_hold_what_is_evicted_and_nothing_else() {
    let two = |case: &mut Case| (case.disruptions_allowed, case.budgets) = (Some(3), 2);
    assert_eq!(evicting(two).gate(), Some(Gate::PdbConflict));
    let down = |case: &mut Case| {
        two(case);
        (case.frees_unhealthy, case.next_is_down) = (true, true);
    };
    assert_eq!(evicting(down).ask(next_step), Some(Gate::PdbConflict), "the API server lets not even that one go");
    assert_eq!(with(two).gate(), None);
    let argo = |case: &mut Case| {
        two(case);
        case.workload.key.kind = Kind::ROLLOUT;
        case.policy.roll_kinds.insert(Kind::ROLLOUT);
    };
    assert_eq!(with(argo).gate(), Some(Gate::PdbConflict));
}

/// That many replicas, and all is well.
fn all(n: u32) -> Counts {
    Counts { desired: n, current: n, updated: n, ready: n, available: n }
}

/// A StatefulSet whose Pods nobody replaces, and leave to evict them.
fn evicting(change: impl FnOnce(&mut Case)) -> Case {
    with(|case| {
        case.workload.key.kind = Kind::STATEFUL_SET;
        case.workload.strategy = Strategy::OnDelete;
        case.policy.evict_on_delete = true;
        change(case);
    })
}

#[test]
fn on_delete_holds_unless_we_may_evict_and_the_owner_holds_nothing_back() {
    assert_eq!(evicting(|_| ()).gate(), None);
    assert_eq!(evicting(|case| case.policy.evict_on_delete = false).gate(), Some(Gate::OnDelete));
    assert_eq!(evicting(|case| case.pending = true).gate(), Some(Gate::OnDelete));
}

#[test]
fn evictions_need_room_for_one_and_a_second_replica() {
    assert_eq!(evicting(|case| case.disruptions_allowed = Some(1)).gate(), None);
    assert_eq!(evicting(|case| case.disruptions_allowed = Some(0)).gate(), Some(Gate::PdbHeadroom));
    assert_eq!(evicting(|case| case.workload.counts = all(1)).gate(), Some(Gate::SingleReplica));
    let alone_on_its_node = |case: &mut Case| {
        case.workload.counts = all(1);
        case.workload.key.kind = Kind::DAEMON_SET;
    };
    assert_eq!(evicting(alone_on_its_node).gate(), None);
    let downtime_allowed = |case: &mut Case| {
        case.workload.counts = all(1);
        case.policy.allow_downtime = true;
    };
    assert_eq!(evicting(downtime_allowed).gate(), None);
}

#[test]
fn the_next_eviction_is_held_by_what_may_change_meanwhile_and_not_by_the_rollout_itself() {
    let begun = |case: &mut Case| {
        case.in_rollout = true;
        case.tried(0, "v1:target");
        case.running = 9;
        case.starts_left = Some(0);
    };
    let next = |change: fn(&mut Case)| {
        let case = evicting(|case| {
            begun(case);
            change(case);
        });
        case.ask(next_step)
    };
    assert_eq!(next(|_| ()), None);
    assert_eq!(evicting(begun).gate(), Some(Gate::Rolling));
    assert_eq!(next(|case| case.disruptions_allowed = Some(0)), Some(Gate::PdbHeadroom));
    assert_eq!(next(|case| case.policy.mode = Mode::Report), Some(Gate::ReportOnly));
    assert_eq!(next(|case| case.policy.evict_on_delete = false), Some(Gate::OnDelete));
    assert_eq!(
        next(|case| case.policy.windows = vec!["Sat 00:00-24:00 UTC".parse().unwrap()]),
        Some(Gate::OutsideWindow)
    );
    assert_eq!(next(|case| case.says.paused = true), Some(Gate::Paused));
    assert_eq!(next(|case| case.guarded = false), Some(Gate::GuardMissing));
    assert_eq!(next(|case| case.collateral = true), Some(Gate::CollateralChange));
    assert_eq!(next(|case| case.leader = false), Some(Gate::NotLeader));
}
