//! A history's beginning and its misfortunes, all from the seed.

use std::{collections::BTreeSet, time::Duration};

use sidecar_drift::core::{
    config::{AlertMatcher, Mode, Policy, window::windows},
    model::{Glob, Owner, Strategy, WorkloadKey, owner::Kind, words::Difference},
};

use super::{
    cluster,
    fault::{self, Fault},
    random::Random,
    theme,
    weather::Weather,
};

/// When all is well again, at the latest.
pub(super) const TROUBLED: u64 = 900;

/// How long it is then left alone: longer than any wait that ends by itself.
pub(super) const QUIET: u64 = 5400;

/// As many Pods as a fleet may have that are evicted one after the other.
pub(super) const EVICTED_IN_TURN: u32 = 18;

pub(super) const NAMESPACES: [&str; 3] = ["shop", "bank", "kube-system"];

#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) policy: Policy,
    pub(super) fleet: Vec<(WorkloadKey, u32, Strategy)>,
    /// One that an operator owns.
    pub(super) operated: Option<WorkloadKey>,
    /// Processes of ours.
    pub(super) replicas: usize,
    /// The injector changes before anybody looks.
    pub(super) drifted_before: bool,
    /// When, for how long, what.
    pub(super) faults: Vec<(Duration, Duration, Fault)>,
    /// A change of the injector after all else.
    pub(super) last_move: bool,
    /// A timer may come so much later than it was asked for.
    pub(super) lateness: Duration,
    /// What lasts until the end.
    pub(super) weather: Vec<Weather>,
}

impl Scenario {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let mut policy = policy(&mut random);
        let fleet = fleet(&mut random, policy.evict_on_delete);
        policy.own = random.percent(5).then(|| fleet[0].0.clone());
        let mut faults = Vec::new();
        let count = random.below(14);
        for _ in 0..count {
            let at = random.seconds(20, TROUBLED - 100);
            let lasts = random.seconds(2, 240);
            faults.push((at, lasts, fault::any(&mut random, &fleet)));
        }
        let mut scenario = Self {
            seed,
            policy,
            operated: random.percent(15).then(|| fleet[1].0.clone()),
            fleet,
            replicas: if random.percent(30) { 2 } else { 1 },
            drifted_before: random.percent(60),
            faults,
            last_move: random.percent(50),
            lateness: random.one_of(&[Duration::ZERO, Duration::from_millis(200), Duration::from_secs(3)]),
            weather: Vec::new(),
        };
        if random.percent(20) {
            theme::set(&mut scenario, &mut random);
        }
        scenario.set_weather();
        scenario
    }

    /// What has created a workload, if an operator has.
    pub(super) fn operator_of(&self, key: &WorkloadKey) -> Option<Owner> {
        let is_operated = self.operated.as_ref() == Some(key);
        is_operated.then(|| cluster::owner("example.com/v1", "Database", &key.name, "uid-of-its-database"))
    }
}

fn fleet(random: &mut Random, evicts: bool) -> Vec<(WorkloadKey, u32, Strategy)> {
    let count = 3 + random.below(4);
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let mut fleet = Vec::new();
    for name in names.iter().take(usize::try_from(count).unwrap_or(3)) {
        let namespace = if random.percent(3) { NAMESPACES[2] } else { random.one_of(&NAMESPACES[..2]) };
        let kind = random.one_of(&[Kind::DEPLOYMENT, Kind::DEPLOYMENT, Kind::STATEFUL_SET, Kind::DAEMON_SET]);
        let key = WorkloadKey { namespace: namespace.into(), kind, name: (*name).into() };
        let replicas = u32::try_from(random.one_of(&[1, 2, 2, 2, 3])).unwrap_or(2);
        let waits = evicts && kind != Kind::DEPLOYMENT && random.percent(50);
        let strategy = strategy(random, kind);
        fleet.push((key, replicas, if waits { Strategy::OnDelete } else { strategy }));
    }
    fleet
}

pub(super) fn strategy(random: &mut Random, kind: Kind) -> Strategy {
    let rare = random.below(100);
    if kind == Kind::DEPLOYMENT {
        return match rare {
            0..5 => Strategy::Recreate,
            5..15 => Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition: 0 },
            15..18 => Strategy::RollingUpdate { max_unavailable: 3, max_surge: 1, partition: 0 },
            _ => Strategy::RollingUpdate { max_unavailable: 0, max_surge: 1, partition: 0 },
        };
    }
    match rare {
        0..6 => Strategy::OnDelete,
        6..12 if kind == Kind::STATEFUL_SET => {
            Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition: 1 }
        }
        _ => Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition: 0 },
    }
}

fn policy(random: &mut Random) -> Policy {
    let all: BTreeSet<_> =
        [Difference::Changed, Difference::Missing, Difference::Removed, Difference::Placement].into();
    let mut policy = Policy {
        mode: if random.percent(6) { Mode::Report } else { Mode::Enforce },
        renders_in_flight: random.one_of(&[1, 2]),
        renders_per_second: random.one_of(&[1.0, 10.0]),
        resync: random.one_of(&[Duration::from_mins(10), Duration::from_mins(20)]),
        absence: random.one_of(&[Duration::from_mins(1), Duration::from_mins(3)]),
        parallel_rollouts: random.one_of(&[1, 1, 2, 3]),
        parallel_per_namespace: random.one_of(&[1, 1, 2]),
        max_rollouts_per_hour: random.one_of(&[None, None, Some(2), Some(6)]),
        canary: random.one_of(&[0, 1, 1, 2]),
        soak: random.one_of(&[Duration::from_secs(5), Duration::from_mins(1)]),
        min_ready: random.one_of(&[Duration::ZERO, Duration::from_secs(5), Duration::from_secs(30)]),
        cooldown: random.one_of(&[Duration::from_secs(10), Duration::from_mins(4), Duration::from_hours(24)]),
        daily_cap: random.one_of(&[1, 2, 2, 3]),
        timeout: random.one_of(&[Duration::from_mins(1), Duration::from_mins(3)]),
        allow_downtime: random.percent(30),
        allow_collateral: random.percent(20),
        include_unhealthy: random.percent(20),
        include_system: random.percent(20),
        include_operated: random.percent(20),
        evict_on_delete: random.percent(30),
        without_guard: random.percent(70),
        guard_interval: random.one_of(&[Duration::from_secs(20), Duration::from_mins(1)]),
        ..Policy::default()
    };
    if random.percent(12) {
        let (window, _) = random.one_of(&fault::WINDOWS);
        policy.windows = windows(window).unwrap_or_default();
    }
    if random.percent(20) {
        policy.blocking_alerts.push(AlertMatcher::critical());
    }
    if random.percent(50) {
        policy.act_on = all;
    }
    if random.percent(6) {
        policy.filter.exclude_namespaces.insert(Glob::new("bank"));
    }
    if random.percent(6) {
        policy.roll_kinds = [Kind::DEPLOYMENT].into();
    }
    policy
}
