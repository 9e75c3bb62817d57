//! The plan: which workloads to roll now, in which order, and what holds every other one.

use super::{
    gate::{Candidate, Situation, gate},
    model::WorkloadKey,
    owner::Kind,
    words::Gate,
};

/// What to start, and what waits for what. Nothing of it is executed by looking at it.
#[must_use = "a plan that nobody reads starts nothing and explains nothing"]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Workloads to roll now, in order.
    pub start: Vec<WorkloadKey>,
    /// Every other candidate, with the gate that holds it.
    pub held: Vec<(WorkloadKey, Gate)>,
}

/// Makes the plan. Candidates are taken least risk first: many replicas before few, stateless before stateful, and
/// then by name, so that the same cluster always gives the same order.
pub fn plan<'a>(candidates: impl IntoIterator<Item = Candidate<'a>>, mut situation: Situation<'_>) -> Plan {
    let mut candidates: Vec<_> = candidates.into_iter().collect();
    candidates.sort_by(|a, b| risk(a).cmp(&risk(b)));
    let mut plan = Plan::default();
    let mut record = situation.record.cloned();
    for candidate in candidates {
        let key = candidate.workload.key.clone();
        // What was just chosen counts for those that follow.
        let seen = Situation { record: record.as_ref(), ..situation.clone() };
        if let Some(gate) = gate(&candidate, &seen) {
            plan.held.push((key, gate));
            continue;
        }
        situation.running += 1;
        *situation.running_in.entry(key.namespace.clone()).or_default() += 1;
        situation.tokens = situation.tokens.map(|n| n.saturating_sub(1));
        if situation.policy.canary > 0 {
            let record = record.get_or_insert_default();
            record.enlist_canary(candidate.change, &key, situation.policy.canary, situation.now.wall);
        }
        plan.start.push(key);
    }
    plan
}

/// Sorts least risk first.
fn risk<'a>(c: &Candidate<'a>) -> (bool, std::cmp::Reverse<u32>, &'a WorkloadKey) {
    let stateful = c.workload.key.kind == Kind::STATEFUL_SET;
    (stateful, std::cmp::Reverse(c.workload.counts.desired), &c.workload.key)
}

#[cfg(test)]
mod tests;
