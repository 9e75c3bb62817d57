//! Planning inside the core: gathers what the gates look at, and carries the plan out.

use std::{collections::BTreeMap, time::Duration};

use super::{
    gate::{self, Candidate, Situation},
    io::Notice,
    model::{Stamp, WorkloadKey, WorkloadSnapshot},
    plan::{self, Plan},
    policy::Mode,
    says::{self, Says},
    scope,
    step::Core,
    time::Now,
    words::{Gate, Verdict},
};

/// A stamp is cut to whole seconds, so it may seem to be older than the record of its canary.
const STAMP_PRECISION: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// A person at a terminal does not wait for a workload whose rollout could not be started this often.
const ENOUGH: u32 = 3;

impl Core {
    pub(super) fn says(&self, workload: &WorkloadSnapshot) -> Says {
        let namespace = self.index.namespace(&workload.key.namespace);
        says::says(&workload.says, namespace.map(|ns| &ns.says))
    }

    pub(super) fn candidate<'a>(
        &'a self,
        key: &WorkloadKey,
        says: &'a Says,
        history: &'a [Stamp],
        now: Now,
    ) -> Option<Candidate<'a>> {
        let workload = self.index.workload(key)?;
        let work = self.work.get(key)?;
        let judged = &work.judged;
        let unhealthy = scope::injectors_of(workload, &self.index)
            .any(|i| scope::exchanging(i, &self.index).is_some() || scope::healthy(i, &self.index) == Some(false));
        Some(Candidate {
            workload,
            verdict: judged.verdict,
            differences: judged.differences.clone(),
            collateral: judged.collateral,
            change: &judged.change,
            target: &judged.target,
            says,
            history,
            backs_injector: self.backends.contains(&key.namespace),
            injector_unhealthy: unhealthy,
            disruptions_allowed: self.index.disruptions_allowed(workload),
            in_rollout: self.under_way().any(|k| k == key),
            backing_off: work.quiet_until > now.elapsed,
            // A person who rolls once sees each workload rolled at most once, however that ended.
            had_its_turn: self.policy.one_shot && work.ended,
        })
    }

    /// Every stamp that is known of a workload.
    pub(super) fn history(&self, key: &WorkloadKey) -> Vec<Stamp> {
        let live = self.index.workload(key).and_then(|w| w.template.stamp.clone());
        let mut history = self.work.get(key).map(|w| w.history.clone()).unwrap_or_default();
        history.extend(live.filter(|stamp| !history.contains(stamp)));
        history
    }

    /// Workloads that are being rolled, or whose patch may be written any moment though its rollout was dropped.
    fn under_way(&self) -> impl Iterator<Item = &WorkloadKey> {
        let orphans = self.patches.values().filter(|key| !self.rollouts.contains_key(*key));
        self.rollouts.keys().chain(orphans)
    }

    pub(super) fn situation(&self, now: Now, without: Option<&WorkloadKey>) -> Situation<'_> {
        let running = || self.under_way().filter(|key| Some(*key) != without);
        let mut running_in = BTreeMap::new();
        for key in running() {
            *running_in.entry(key.namespace.clone()).or_default() += 1;
        }
        Situation {
            policy: &self.policy,
            now,
            leader: self.leader,
            guarded: self.guarded(now),
            record: self.record.get(),
            running: running().count(),
            running_in,
            unready_nodes: self.index.unready_nodes(),
            first_sweep: self.first_sweep.is_some(),
            tokens: self.starts.as_ref().map(|bucket| bucket.available(now.elapsed)),
        }
    }

    /// Makes the plan if something changed that it depends on, and begins what it says.
    pub(super) fn plan(&mut self, now: Now) {
        let due = self.next_plan.is_some_and(|at| at <= now.elapsed);
        if !self.started || self.stopping || !(self.replan || due) {
            return;
        }
        self.replan = false;
        self.next_plan = None;
        self.end_first_sweep(now);
        self.tend_canaries(now);
        let facts: Vec<_> = self
            .candidates
            .iter()
            .filter_map(|key| Some((key, self.says(self.index.workload(key)?), self.history(key))))
            .collect();
        let situation = self.situation(now, None);
        let candidates = facts.iter().filter_map(|(key, s, h)| self.candidate(key, s, h, now));
        let made = plan::plan(candidates, situation.clone());
        let in_enforce: Vec<_> = facts
            .iter()
            .filter_map(|(key, s, h)| {
                Some(((*key).clone(), gate::gate_in_enforce(&self.candidate(key, s, h, now)?, &situation)))
            })
            .collect();
        let said: Vec<_> =
            facts.iter().flat_map(|(key, says, _)| says.bad.iter().map(|bad| ((*key).clone(), bad.clone()))).collect();
        self.carry_out(made, in_enforce, now);
        for (workload, message) in said {
            // Not by a follower, or it would be known when it leads, and nobody would have read it.
            let known =
                !self.leader || self.work.get(&workload).is_some_and(|w| w.bad_annotation.as_ref() == Some(&message));
            if !known {
                if let Some(work) = self.work.get_mut(&workload) {
                    work.bad_annotation = Some(message.clone());
                }
                self.tell(Notice::BadAnnotation { workload, message });
            }
        }
    }

    fn carry_out(&mut self, made: Plan, in_enforce: Vec<(WorkloadKey, Option<Gate>)>, now: Now) {
        for (key, gate) in in_enforce {
            if let Some(work) = self.work.get_mut(&key) {
                work.gate_in_enforce = gate;
            }
        }
        let waits = !made.held.is_empty() && self.policy.mode == Mode::Enforce;
        for (key, gate) in made.held {
            self.hold(&key, gate, now);
        }
        for key in made.start {
            self.begin(&key, now);
        }
        // Windows, soaks and cool-downs end without an event.
        if waits {
            self.next_plan = Some(now.elapsed + Duration::from_secs(1));
        }
    }

    /// Whether every workload has had its first verdict, or has had time enough. The first to be judged would go first
    /// otherwise, instead of the one with the least risk. Those whose injector is being exchanged may take long, and are
    /// not waited for.
    fn end_first_sweep(&mut self, now: Now) {
        let Some(patience) = self.first_sweep else { return };
        let judged = |(key, workload): (&WorkloadKey, &WorkloadSnapshot)| {
            !self.covered(key)
                || self.work.get(key).is_some_and(|work| !work.judged.passing())
                || scope::injectors_of(workload, &self.index).any(|i| scope::exchanging(i, &self.index).is_some())
        };
        if now.elapsed >= patience || self.index.workloads().all(judged) {
            self.first_sweep = None;
        }
    }

    pub(super) fn hold(&mut self, key: &WorkloadKey, gate: Gate, now: Now) {
        let Some(work) = self.work.get_mut(key) else { return };
        if work.gate.is_none_or(|(held_by, _)| held_by != gate) {
            work.gate = Some((gate, now.wall));
            self.write_event_of_hold(key, gate);
        }
    }

    /// Canaries that proved themselves, and those that never will.
    fn tend_canaries(&mut self, now: Now) {
        if !self.leader {
            return;
        }
        let Some(record) = self.record.get() else { return };
        let mut canaries = record.canaries.clone();
        for canary in canaries.values_mut().filter(|c| c.converged.is_none()) {
            let started = canary.started;
            canary.workloads.retain(|key| {
                let stamped = self.history(key).iter().any(|stamp| stamp.timestamp >= started - STAMP_PRECISION);
                self.rollouts.contains_key(key) || (stamped && self.index.workload(key).is_some())
            });
            // What a finished rollout calls converged: nothing differs any more.
            let fine = |key: &WorkloadKey| match self.work.get(key).map(|w| w.judged.verdict) {
                Some(Verdict::InSync | Verdict::NotInjected) => true,
                Some(Verdict::NoPods) => self.index.workload(key).is_some_and(|w| w.counts.desired == 0),
                _ => false,
            };
            let proven = |key: &WorkloadKey| !self.rollouts.contains_key(key) && fine(key);
            if !canary.workloads.is_empty() && canary.workloads.iter().all(proven) {
                canary.converged = Some(now.wall);
            }
        }
        // A change that nobody waits for any more is history: should the same come again, it has to prove itself again.
        let known = self.index.workloads().filter(|(key, _)| self.covered(key)).all(|(key, _)| self.known(key));
        let wanted = |change: &String| {
            let by_candidate = |key| self.work.get(key).is_some_and(|w| w.judged.change == *change);
            self.candidates.iter().any(by_candidate) || self.rollouts.values().any(|r| r.change() == change)
        };
        canaries.retain(|change, c| !c.workloads.is_empty() && (!known || wanted(change)));
        if canaries != record.canaries {
            self.note(|record| record.canaries = canaries);
        }
    }

    /// It has a verdict.
    fn known(&self, key: &WorkloadKey) -> bool {
        self.work.get(key).is_some_and(|w| w.judged.verdict != Verdict::Undetermined)
    }

    /// Rollouts are under way.
    pub fn rolling(&self) -> bool {
        !self.rollouts.is_empty()
    }

    /// No rollout is under way, and waiting alone would start none, or has failed to often enough.
    pub fn exhausted(&self) -> bool {
        let soaking = |key: &WorkloadKey| {
            let change = self.work.get(key).map(|w| &w.judged.change);
            let canary = self.record.get().zip(change).and_then(|(r, change)| r.canaries.get(change));
            canary.is_some_and(|c| c.converged.is_some())
        };
        let waits = |key: &&WorkloadKey| match self.work.get(*key).and_then(|w| w.gate) {
            None | Some((Gate::RateLimit | Gate::FirstSweep, _)) => true,
            Some((Gate::BackingOff, _)) => self.work.get(*key).is_some_and(|w| w.setbacks < ENOUGH),
            Some((Gate::Canary, _)) => soaking(key),
            Some(_) => false,
        };
        self.rollouts.is_empty() && !self.replan && !self.candidates.iter().any(|key| waits(&key))
    }
}
