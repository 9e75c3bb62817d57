use std::collections::{BTreeMap, BTreeSet};

use crate::core::rollout::plan::*;
use crate::core::{
    config::{Mode, OwnerAnnotations, Policy},
    injection::{Scope, VersionVector},
    io::StateRecord,
    model::{
        Counts, InjectorKind, WorkloadSnapshot,
        owner::Kind,
        test_objects,
        words::{Difference, Verdict},
    },
};

fn workload(kind: Kind, namespace: &str, name: &str, replicas: u32) -> WorkloadSnapshot {
    let n = replicas;
    let counts = Counts { desired: n, current: n, updated: n, ready: n, available: n };
    WorkloadSnapshot { key: test_objects::key(kind, namespace, name), counts, ..test_objects::workload(kind, name) }
}

fn scopes() -> VersionVector {
    VersionVector::from([(Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into()), 1)])
}

/// Only those called `old` have differed for long.
fn first_seen(workload: &WorkloadSnapshot) -> Timestamp {
    test_objects::at(if workload.key.name.starts_with("old") { -900 } else { -60 }).wall
}

fn planned(policy: &Policy, workloads: &[WorkloadSnapshot], starts_left: Option<u32>) -> (Vec<String>, Vec<String>) {
    let says = OwnerAnnotations::default();
    let record = StateRecord::default();
    let (scopes, causes) = (scopes(), BTreeSet::new());
    let differences = [Difference::Changed].into();
    let candidates = workloads.iter().map(|workload| Candidate {
        workload,
        verdict: Verdict::Drifted,
        differences: &differences,
        first_seen: Some(first_seen(workload)),
        collateral: false,
        chosen: true,
        quota_full: false,
        change: "proxy image 1 → 2",
        target: "v1:target",
        scopes: &scopes,
        causes: &causes,
        says: says.clone(),
        history: Vec::new(),
        noted: BTreeMap::new(),
        patched_live: false,
        loss_unproven: false,
        retried: None,
        unseen: None,
        backs_injector: false,
        injector_unhealthy: false,
        stranded: false,
        budgets: Vec::new(),
        next_is_down: false,
        pending: false,
        kept: false,
        in_rollout: false,
        backoff_until: Duration::ZERO,
        had_its_turn: false,
    });
    let situation = Situation {
        policy,
        now: test_objects::at(0),
        leader: true,
        alarm: crate::core::rollout::alerts::Alarm::None,
        guarded: true,
        record: Some(&record),
        canaries: BTreeMap::new(),
        running: 0,
        running_in: BTreeMap::new(),
        reserved: BTreeMap::new(),
        first_sweep: None,
        unready_nodes: (0, 3),
        starts_left,
        next_start: None,
    };
    let plan = plan(candidates, situation);
    let start = plan.start.iter().map(ToString::to_string).collect();
    let held = plan.held.iter().filter_map(|(key, held)| Some(format!("{key} {}", held.gate?)));
    (start, held.collect())
}

fn enforce() -> Policy {
    Policy { mode: Mode::Enforce, canary: 0, parallel_rollouts: 9, parallel_per_namespace: 9, ..Policy::default() }
}

fn fleet() -> Vec<WorkloadSnapshot> {
    vec![
        workload(Kind::STATEFUL_SET, "shop", "db", 9),
        workload(Kind::DEPLOYMENT, "shop", "small", 2),
        workload(Kind::DEPLOYMENT, "shop", "large", 9),
        workload(Kind::DAEMON_SET, "bank", "agent", 5),
        workload(Kind::DEPLOYMENT, "bank", "large", 9),
    ]
}

#[test]
fn least_risk_goes_first_whatever_the_order_of_the_candidates() {
    let expected = [
        "Deployment/bank/large",
        "Deployment/shop/large",
        "DaemonSet/bank/agent",
        "Deployment/shop/small",
        "StatefulSet/shop/db",
    ];
    let mut fleet = fleet();
    for _ in 0..fleet.len() {
        assert_eq!(planned(&enforce(), &fleet, None).0, expected);
        fleet.rotate_left(1);
    }
}

#[test]
fn what_is_chosen_counts_for_those_that_follow() {
    let policy = Policy { parallel_rollouts: 2, parallel_per_namespace: 1, ..enforce() };
    let (start, held) = planned(&policy, &fleet(), None);
    assert_eq!(start, ["Deployment/bank/large", "Deployment/shop/large"]);
    assert!(held.iter().all(|line| line.ends_with(" concurrency")), "{held:?}");
    let policy = Policy { parallel_per_namespace: 1, ..enforce() };
    let (start, held) = planned(&policy, &fleet(), None);
    assert_eq!(start, ["Deployment/bank/large", "Deployment/shop/large"]);
    assert!(held.iter().all(|line| line.ends_with(" namespace_concurrency")), "{held:?}");
}

#[test]
fn the_budget_of_the_hour_is_spent_once() {
    let (start, held) = planned(&enforce(), &fleet(), Some(3));
    assert_eq!(start.len(), 3);
    assert_eq!(held, ["Deployment/shop/small rate_limit", "StatefulSet/shop/db rate_limit"]);
}

#[test]
fn one_canary_is_chosen_and_the_others_wait_for_it() {
    let (start, held) = planned(&Policy { canary: 1, ..enforce() }, &fleet(), None);
    assert_eq!(start, ["Deployment/bank/large"]);
    assert!(held.len() == 4 && held.iter().all(|line| line.ends_with(" canary")), "{held:?}");
}

#[test]
fn of_equals_what_has_differed_longest_goes_first() {
    let fleet = ["anew", "old", "zeal"].map(|name| workload(Kind::DEPLOYMENT, "shop", name, 2));
    let expected = ["Deployment/shop/old", "Deployment/shop/anew", "Deployment/shop/zeal"];
    assert_eq!(planned(&enforce(), &fleet, None).0, expected);
}
