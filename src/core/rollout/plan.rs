//! The plan: which workloads to roll now, in which order, and what holds every other one.

use std::{cmp::Reverse, time::Duration};

use jiff::Timestamp;

use super::gate::{self, Candidate, Held, Situation};
use crate::core::{io::Canary, model::WorkloadKey};

/// What to start, and what waits for what. Nothing of it is executed by looking at it.
#[must_use = "a plan that nobody reads starts nothing and explains nothing"]
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Workloads to roll now, in order.
    pub start: Vec<WorkloadKey>,
    /// Every other candidate, with what holds it.
    pub held: Vec<(WorkloadKey, Held)>,
    /// When one of them may be let go by time alone, by `elapsed`.
    pub next: Option<Duration>,
}

/// Makes the plan. Candidates are taken least risk first: stateless before stateful, many replicas before few, what has
/// differed longest before the rest, and then by name, so that the same cluster always gives the same order.
pub(super) fn plan<'a>(candidates: impl IntoIterator<Item = Candidate<'a>>, mut situation: Situation<'_>) -> Plan {
    let mut candidates: Vec<_> = candidates.into_iter().collect();
    candidates.sort_by(|a, b| risk(a).cmp(&risk(b)));
    let mut plan = Plan::default();
    for candidate in candidates {
        let key = candidate.workload.key.clone();
        let held = gate::held(&candidate, &situation);
        if held.gate.is_some() {
            plan.next =
                sooner(plan.next, held.in_enforce.and_then(|gate| gate::ends::ends(gate, &candidate, &situation)));
            plan.held.push((key, held));
            continue;
        }
        // What was just chosen counts for those that follow.
        situation.running += 1;
        *situation.running_in.entry(key.namespace.clone()).or_default() += 1;
        situation.starts_left = situation.starts_left.map(|n| n.saturating_sub(1));
        for budget in &candidate.budgets {
            let taken = gate::takes_down(candidate.workload, situation.policy);
            *situation.reserved.entry(budget.key.clone()).or_default() += taken;
        }
        let wanted = situation.policy.canary;
        for scope in candidate.proves().into_iter().filter(|_| wanted > 0) {
            let canary = situation.canaries.entry(scope).or_insert_with(|| Canary::new(situation.now.wall));
            canary.register(&key, wanted);
        }
        plan.start.push(key);
    }
    plan
}

fn sooner(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    [a, b].into_iter().flatten().min()
}

/// Sorts least risk first.
fn risk<'a>(c: &Candidate<'a>) -> (bool, Reverse<u32>, Option<Timestamp>, &'a WorkloadKey) {
    let stateful = c.workload.key.kind.row().ordinals;
    (stateful, Reverse(c.workload.counts.desired), c.first_seen, &c.workload.key)
}

#[cfg(test)]
mod tests;
