//! What forbids a rollout, as weather and people bring it: what nobody can see, namespaces that left the filter, Pods that
//! somebody patched by hand, PodDisruptionBudgets.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use sidecar_drift::core::model::{Glob, Name, ObjectKey, Strategy, WorkloadKey};

use super::{
    cluster::Cluster,
    evictions::Budget,
    scenario::Scenario,
    truth::{Behind, Truth},
    weather::Weather,
};

/// From the moment that something is so, to the moment at which whoever is about to roll must have heard of it.
const HEARD: Duration = Duration::from_secs(20);

/// What is so, and since when.
#[derive(Debug, Default)]
pub(super) struct Forbids {
    blind: Option<Weather>,
    /// Namespaces that are left out for now.
    excluded: BTreeMap<Name, Duration>,
    /// Pods that were patched, by uid.
    by_hand: BTreeMap<Name, Duration>,
    /// Each budget, and what it said.
    budgets: BTreeMap<ObjectKey, (Budget, Vec<Said>)>,
}

/// From when on, what is allowed, and how many Pods may be missing.
type Said = (Duration, u32, u32);

impl Forbids {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let blind = scenario.weather.iter().find(|weather| matches!(weather, Weather::Blind(_))).copied();
        Self { blind, ..Self::default() }
    }
}

impl Truth {
    /// A namespace leaves the filter, or comes back, also one that was left out from the beginning.
    pub(super) fn excluded(&mut self, namespace: &str, since: Option<Duration>) {
        if let Some(at) = since {
            self.forbids.excluded.insert(namespace.into(), at);
        } else {
            self.forbids.excluded.remove(namespace);
            self.policy.filter.exclude_namespaces.remove(&Glob::new(namespace));
        }
    }

    pub(super) fn patched_by_hand(&mut self, uid: Name, at: Duration) {
        self.forbids.by_hand.entry(uid).or_insert(at);
    }

    /// A PodDisruptionBudget says from now on that so many Pods may go.
    pub(super) fn allowed(&mut self, budget: &Budget, allowed: u32, at: Duration) {
        let (known, said) =
            self.forbids.budgets.entry(budget.key.clone()).or_insert_with(|| (budget.clone(), Vec::new()));
        known.clone_from(budget);
        // Only the last one before that time still counts.
        let old = said.iter().rposition(|(since, ..)| *since + HEARD < at).unwrap_or(0);
        said.drain(..old);
        said.push((at, allowed, budget.may_miss));
    }

    /// The API server evicts no Pod that two budgets select, and whoever sees both does not ask.
    pub(super) fn evicted_in_vain(&self, key: &WorkloadKey, at: Duration) -> Result<()> {
        let since = self.forbids.budgets.values().filter(|(b, _)| b.selects(key)).filter_map(|(_, said)| said.first());
        let known = since.filter(|(since, ..)| *since + HEARD < at).count();
        ensure!(known < 2, "a Pod of {key} is evicted though two budgets select it");
        Ok(())
    }

    /// Whoever is about to write knew, or must have known.
    pub(super) fn is_not_forbidden(
        &self,
        key: &WorkloadKey,
        cluster: &Cluster,
        behind: Behind,
        at: Duration,
    ) -> Result<()> {
        let Forbids { blind, excluded, by_hand, .. } = &self.forbids;
        ensure!(blind.is_none(), "{key} is rolled though nobody may see all: {blind:?}");
        let out = excluded.get(&key.namespace).filter(|since| **since + HEARD < at);
        ensure!(out.is_none(), "{key} is rolled, and its namespace left the filter at {out:?}");
        let pods = cluster.pods_of(key).into_iter().filter_map(|pod| cluster.pod(&pod).cloned());
        let patched = pods.filter(|pod| !pod.state.terminating).find(|pod| {
            let since = by_hand.get(&pod.uid).filter(|since| **since + HEARD < at);
            since.is_some_and(|since| self.retries.get(key).is_none_or(|retried| retried < since))
        });
        let fixed = patched.filter(|_| !behind.pods).map(|pod| pod.key.name);
        ensure!(fixed.is_none(), "{key} is rolled, and with it goes {fixed:?}, which somebody patched by hand");
        if !behind.budgets && !behind.workloads {
            self.leaves_room(key, cluster, at)?;
        }
        Ok(())
    }

    /// Controllers do not ask budgets: what this rollout takes down, and those beside it, must have room.
    fn leaves_room(&self, key: &WorkloadKey, cluster: &Cluster, at: Duration) -> Result<()> {
        let take = |key: &WorkloadKey| match cluster.workload(key).map(|w| (&w.strategy, w.counts.desired)) {
            Some((Strategy::RollingUpdate { max_unavailable, .. }, desired)) => (*max_unavailable).min(desired),
            _ => 0,
        };
        let own = take(key);
        for (budget, said) in self.forbids.budgets.values().filter(|(budget, _)| own > 0 && budget.selects(key)) {
            // The newest of the old ones held until the first of the new ones came.
            let lately = || {
                let from = said.iter().rposition(|(since, ..)| *since + HEARD < at).unwrap_or(0);
                said.iter().skip(from)
            };
            let allowed = lately().map(|(_, allowed, _)| *allowed).max().unwrap_or(0);
            ensure!(allowed >= own, "{key} is rolled, and its budget {:?} leaves room for {allowed}", budget.key);
            let beside: u32 = self.flights.keys().filter(|k| *k != key && budget.selects(k)).map(take).sum();
            let may_miss = lately().map(|(.., may_miss)| *may_miss).max().unwrap_or(0);
            ensure!(
                own + beside <= may_miss,
                "{key} is rolled, and takes {own} beside {beside}, where {:?} lets {may_miss} be missing",
                budget.key
            );
        }
        Ok(())
    }
}
