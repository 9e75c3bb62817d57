//! Evictions, and the PodDisruptionBudgets that the API server asks for each.

use std::time::Duration;

use anyhow::Result;
use sidecar_drift::core::{
    io::{EvictOutcome, EvictReply, EvictRequest, Input, WatchKind},
    model::{
        DisruptionBudgetSnapshot, Object, ObjectKey, Operator, PodSnapshot, Requirement, Selector, Strategy,
        WorkloadKey,
    },
};

use super::{
    truth::Evicted,
    world::{Call, World},
};
use crate::objects::key;

/// A PodDisruptionBudget.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pub(super) key: ObjectKey,
    /// `None`: all of its namespace.
    pub(super) whom: Option<WorkloadKey>,
    /// How many Pods may be missing.
    pub(super) may_miss: u32,
}

impl Budget {
    pub(super) fn selects(&self, key: &WorkloadKey) -> bool {
        self.key.namespace == key.namespace && self.whom.as_ref().is_none_or(|whom| whom == key)
    }
}

impl World {
    /// Half of all workloads that wait for deletions have a budget from the beginning.
    pub(super) fn found_budgets(&mut self) {
        let waiting = self.scenario.fleet.iter().enumerate().filter(|(_, (_, _, of))| *of == Strategy::OnDelete);
        for at in waiting.map(|(at, _)| at).filter(|at| at % 2 == 0).collect::<Vec<_>>() {
            self.put_budget(at, 1);
        }
    }

    /// So many Pods of a workload may be missing.
    pub(super) fn put_budget(&mut self, at: usize, may_miss: u32) {
        let whom = self.whose(at);
        let key = key(&whom.namespace, &whom.name);
        self.add_budget(Budget { key, whom: Some(whom), may_miss });
    }

    pub(super) fn add_budget(&mut self, budget: Budget) {
        self.write_budget(&budget);
        self.budgets.insert(budget.key.clone(), budget);
    }

    /// The disruption controller has counted.
    pub(super) fn tend_budgets(&mut self, whom: &WorkloadKey) {
        let of_it: Vec<_> = self.budgets.values().filter(|budget| budget.selects(whom)).cloned().collect();
        for budget in &of_it {
            self.write_budget(budget);
        }
    }

    /// How many of the selected Pods are up, and how many are wanted.
    fn counted(&self, budget: &Budget) -> (u32, u32) {
        let up = |pod: &ObjectKey| self.cluster.pod(pod).is_some_and(|p| p.state.ready && !p.state.terminating);
        let selected: Vec<_> = self.cluster.workloads.keys().filter(|key| budget.selects(key)).collect();
        let ready = selected.iter().flat_map(|key| self.cluster.pods_of(key)).filter(up).count();
        let desired = selected.iter().filter_map(|key| self.cluster.workload(key)).map(|w| w.counts.desired).sum();
        (u32::try_from(ready).unwrap_or(0), desired)
    }

    fn write_budget(&mut self, budget: &Budget) {
        let (up, desired) = self.counted(budget);
        self.allow(budget, (up + budget.may_miss).saturating_sub(desired), up + budget.may_miss >= desired);
    }

    fn allow(&mut self, budget: &Budget, allowed: u32, frees_unhealthy: bool) {
        let name = budget.whom.iter().map(|whom| whom.name.clone());
        let requirement = |name| Requirement { key: "app".into(), operator: Operator::In, values: vec![name] };
        let made = DisruptionBudgetSnapshot {
            key: budget.key.clone(),
            selector: Some(Selector { requirements: name.map(requirement).collect() }),
            allowed,
            frees_unhealthy,
        };
        let same = |found: &Object| matches!(found, Object::DisruptionBudget(found) if *found == made);
        if !self.cluster.objects.get(WatchKind::DisruptionBudgets, &budget.key).is_some_and(same) {
            self.truth.allowed(budget, allowed, self.at);
            self.cluster.objects.put(Object::DisruptionBudget(made));
        }
    }

    /// The daemon looks at whether it leads, and sends it.
    pub(super) fn send_eviction(&mut self, place: usize, request: Box<EvictRequest>) {
        let at = self.at;
        let leads = self.processes[place].as_ref().is_some_and(|p| p.may_write(at)) || self.tamper.ignores_lease();
        let ticket = request.ticket;
        if !leads {
            return self.answer_eviction(place, ticket, EvictOutcome::NotLeader, false);
        }
        if self.lost(place) {
            let message = "connection refused".to_owned();
            return self.answer_eviction(place, ticket, EvictOutcome::Unknown { message }, true);
        }
        self.later(place, (5, 150), Call::Evicts(request));
    }

    pub(super) fn evict(&mut self, place: usize, request: &EvictRequest) -> Result<()> {
        let cut = self.lost(place);
        let lost = cut || (self.troubles.replies_lost && self.random.percent(60));
        // Some of those that are lost never arrived.
        let arrives = !cut && (!lost || self.random.percent(70));
        let outcome = if arrives { Some(self.eviction_arrives(place, request)?) } else { None };
        let unknown = || EvictOutcome::Unknown { message: "connection reset".to_owned() };
        self.answer_eviction(place, request.ticket, outcome.filter(|_| !lost).unwrap_or_else(unknown), lost);
        Ok(())
    }

    fn answer_eviction(&mut self, place: usize, ticket: u64, outcome: EvictOutcome, late: bool) {
        let reply = Input::Evicted(EvictReply { ticket, outcome });
        if late { self.reply_late(place, reply) } else { self.reply(place, reply) }
    }

    /// What the API server makes of it.
    pub(super) fn eviction_arrives(&mut self, place: usize, request: &EvictRequest) -> Result<EvictOutcome> {
        let whom = &request.workload.key;
        let pod = ObjectKey { namespace: whom.namespace.clone(), name: request.pod.clone() };
        let Some(found) = self.cluster.pod(&pod).filter(|found| found.uid == request.uid).cloned() else {
            return Ok(EvictOutcome::Gone);
        };
        if self.troubles.patches_denied {
            return Ok(EvictOutcome::Denied { message: "a policy".to_owned() });
        }
        if self.troubles.patches_fail && self.random.percent(70) {
            let retry_after = self.retry_after();
            return Ok(EvictOutcome::Failed { message: "too many requests".to_owned(), retry_after });
        }
        let selecting = self.budgets.values().filter(|budget| budget.selects(whom)).count();
        if selecting > 1 {
            let message = "This pod has more than one PodDisruptionBudget".to_owned();
            self.truth.evicted_in_vain(whom, self.at)?;
            return Ok(EvictOutcome::Denied { message });
        }
        if !found.state.terminating && !self.takes_headroom(whom, &found) {
            let retry_after = self.random.percent(50).then_some(Duration::from_secs(10));
            return Ok(EvictOutcome::NoHeadroom { retry_after });
        }
        self.write_down(|| format!("API: {} of {whom} is evicted by process {place}", request.pod));
        let by_holder = self.lease.holder.is_some_and(|(holder, _)| holder == place);
        let incarnation = self.processes[place].as_ref().map(|p| p.incarnation);
        let eviction = Evicted { at: self.at, place, incarnation, by_holder, request: request.clone() };
        let behind = self.behind(place);
        self.truth.evicted(eviction, &self.cluster, behind)?;
        self.reached.word("evictions", "carried out".to_owned());
        self.cluster.edit_pod(&pod, |p| {
            p.state.terminating = true;
            p.state.ready = false;
        });
        let key = whom.clone();
        self.truth.look(&self.cluster, &key);
        self.appoint(&key);
        Ok(EvictOutcome::Evicted)
    }

    /// One that is not ready is not counted, as long as the others are enough.
    fn takes_headroom(&mut self, whom: &WorkloadKey, pod: &PodSnapshot) -> bool {
        let Some(budget) = self.budgets.values().find(|budget| budget.selects(whom)).cloned() else { return true };
        let (up, desired) = self.counted(&budget);
        if !pod.state.ready {
            return up + budget.may_miss >= desired;
        }
        let allowed = match self.cluster.objects.get(WatchKind::DisruptionBudgets, &budget.key) {
            Some(Object::DisruptionBudget(found)) => found.allowed,
            _ => 0,
        };
        // Somebody else took what was left, a moment ago.
        if allowed == 0 || self.random.percent(10) {
            self.reached.word("evictions", "no headroom".to_owned());
            return false;
        }
        self.allow(&budget, allowed - 1, up + budget.may_miss >= desired);
        true
    }
}
