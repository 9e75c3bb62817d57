//! What chance alone brings about too seldom: a history that begins with a certain misfortune.

use std::time::Duration;

use sidecar_drift::core::{
    config::Mode,
    model::{
        Strategy,
        owner::Kind,
        words::{Difference, UndeterminedReason},
    },
};

use super::{
    fault::{Fault, Notice},
    random::Random,
    scenario::Scenario,
};

#[derive(Clone, Copy, Debug)]
enum Theme {
    /// New Pods crash, of whatever workload.
    Crash,
    /// What runs is never as rendered.
    Contradiction,
    /// Our stamps do not last.
    Strip,
    /// Budgets leave no room.
    Budgets,
    /// Admission lets no patch pass.
    Denial,
    /// The injector is being exchanged when others differ already.
    Exchange,
    /// Pods are made while the injector is down.
    Bare,
    /// The quotas are full when what differs is to be rolled.
    Quota,
}

const THEMES: [Theme; 8] = [
    Theme::Crash,
    Theme::Contradiction,
    Theme::Strip,
    Theme::Budgets,
    Theme::Denial,
    Theme::Exchange,
    Theme::Bare,
    Theme::Quota,
];

/// Adds to a history what its theme is.
pub(super) fn set(scenario: &mut Scenario, random: &mut Random) {
    let all = scenario.fleet.len();
    let mut faults = Vec::new();
    let mut add = |at: u64, lasts: u64, fault| {
        faults.push((Duration::from_secs(at), Duration::from_secs(lasts), fault));
    };
    scenario.drifted_before = true;
    let policy = &mut scenario.policy;
    policy.mode = Mode::Enforce;
    policy.windows.clear();
    policy.max_rollouts_per_hour = None;
    match random.one_of(&THEMES) {
        Theme::Crash => (0..all).for_each(|at| add(5, 400, Fault::PodsCrash(at))),
        Theme::Contradiction => {
            scenario.drifted_before = false;
            add(1, 300, Fault::DryRunsDiffer);
        }
        Theme::Strip => {
            policy.cooldown = Duration::from_secs(10);
            policy.daily_cap = 3;
            (0..all).for_each(|at| add(5, 300, Fault::StampFought(at)));
        }
        Theme::Budgets => {
            for (at, (key, _, strategy)) in scenario.fleet.iter_mut().enumerate() {
                if key.kind == Kind::DEPLOYMENT {
                    *strategy = Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition: 0 };
                }
                add(1, 300, Fault::BudgetShort(at));
            }
        }
        Theme::Denial => add(1, 600, Fault::PatchesDenied),
        Theme::Exchange => {
            policy.canary = 0;
            add(35, 200, Fault::InjectorIsExchanged);
        }
        Theme::Bare => {
            scenario.drifted_before = false;
            policy.act_on.insert(Difference::Missing);
            add(20, 40, Fault::InjectorIgnoresFailures);
            (0..all).for_each(|at| add(25, 2, Fault::PodEvicted(at)));
            add(200, 2, Fault::InjectorMoves(Notice::Configuration));
        }
        Theme::Quota => {
            // The others are known to differ, and wait for the first.
            policy.canary = 1;
            for (namespace, at) in [25, 40].into_iter().enumerate() {
                add(at, 400, Fault::RenderTrouble(namespace, UndeterminedReason::QuotaFull));
            }
        }
    }
    scenario.faults.extend(faults);
}
