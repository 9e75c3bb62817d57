//! Planning inside the core: gathers what the gates look at, and carries the plan out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::core::injection::backends;
use crate::core::{
    config::{Mode, Says, owner_annotations},
    injection::scope::{self, Scope, Vector},
    inventory::on_delete,
    io::Notice,
    model::{Attempt, InjectorSnapshot, Name, ObjectKey, Stamp, WorkloadKey, WorkloadSnapshot, time::Now, words::Gate},
    rollout::{
        Rollout,
        gate::{Candidate, Situation},
        plan::{self, Plan},
    },
    step::Core,
};

/// A person at a terminal does not wait for a workload whose rollout could not be started this often.
const ENOUGH: u32 = 3;

/// From this many candidates on plans are made at intervals ...
const MANY: u32 = 100;
/// ... of this for each candidate, which is far more than planning for it takes: some two microseconds.
const REST_FOR_EACH: Duration = Duration::from_micros(200);

/// The plan is not made again sooner than this just because time passed.
const TICK: Duration = Duration::from_millis(1);
/// And not later than this while something is held.
const LATEST: Duration = Duration::from_mins(1);

/// Of a workload that was never rendered.
static NO_SCOPES: Vector = Vector::new();

impl Core {
    pub(in crate::core) fn says(&self, workload: &WorkloadSnapshot) -> Says {
        let namespace = self.index.namespace(&workload.key.namespace).filter(|_| self.index.reads_namespaces());
        let says = owner_annotations::says(&workload.says, namespace.map(|ns| &ns.says));
        // What nobody can read may say anything.
        let unread = if namespace.is_none() { Mode::Report } else { Mode::Enforce };
        Says { mode: says.mode.min(unread), ..says }
    }

    pub(in crate::core) fn candidate<'a>(
        &'a self,
        key: &WorkloadKey,
        unhealthy: &BTreeSet<Scope>,
    ) -> Option<Candidate<'a>> {
        let workload = self.index.workload(key)?;
        let work = self.work.get(key)?;
        let judged = &work.judged;
        let differing = || judged.groups.iter().flat_map(|group| &group.pods);
        let pod = |name: &Name| self.index.pod(&ObjectKey { namespace: key.namespace.clone(), name: name.clone() });
        let filter = &self.policy.filter;
        let old_enough = filter.started_before.is_none()
            || if judged.groups.is_empty() {
                self.index.pods_of(workload).iter().any(|pod| filter.is_old_enough(pod.created))
            } else {
                differing().filter_map(pod).any(|pod| filter.is_old_enough(pod.created))
            };
        let scopes = work.set.as_ref().map_or(&NO_SCOPES, |set| &set.vector);
        Some(Candidate {
            workload,
            verdict: judged.verdict,
            differences: &judged.differences,
            first_seen: work.first_seen,
            collateral: judged.collateral,
            chosen: old_enough && self.covered(key),
            quota_full: judged.quota_full,
            change: &judged.change,
            target: &judged.target,
            scopes,
            causes: &work.causes,
            says: self.says(workload),
            history: self.history(workload),
            retried: self
                .record
                .get()
                .and_then(|r| r.retries.get(&workload.uid))
                .map(|retry| retry.at)
                .max(work.in_vain),
            backs_injector: self.backends.contains(&key.namespace),
            injector_unhealthy: scopes.keys().any(|scope| unhealthy.contains(scope)),
            disruptions_allowed: self.index.disruptions_allowed(workload),
            pending: on_delete::is_pending(workload, &self.index, &work.templates),
            in_rollout: self.under_way().any(|k| k == key),
            quiet_until: work.quiet_until,
            // A person who rolls once sees each workload rolled at most once, however that ended.
            had_its_turn: self.policy.one_shot && work.ended,
        })
    }

    /// The injectors that are being exchanged, or are not ready.
    pub(in crate::core) fn unhealthy_injectors(&self) -> BTreeSet<Scope> {
        let sick = |i: &&InjectorSnapshot| {
            backends::exchanging(i, &self.index).is_some() || backends::healthy(i, &self.index) == Some(false)
        };
        self.index.injectors().filter(sick).map(scope::scope_of).collect()
    }

    /// Every rollout that is known of a workload.
    pub(in crate::core) fn history(&self, workload: &WorkloadSnapshot) -> Vec<Attempt> {
        let mut history = self.work.get(&workload.key).map(|w| w.history.clone()).unwrap_or_default();
        if let Some(stamp) = workload.template.stamp.clone() {
            let live = Attempt { stamp, template: workload.template.hash.clone() };
            if !history.contains(&live) {
                history.push(live);
            }
        }
        if workload.key.kind.has_template_only() {
            // Pods keep the stamp of the template that they were made from, whatever became of that one.
            let times: BTreeSet<_> = self.index.pods_of(workload).iter().filter_map(|pod| pod.made.stamped).collect();
            let unknown = times.into_iter().filter(|at| history.iter().all(|tried| tried.stamp.timestamp != *at));
            let attempt = |timestamp| Attempt {
                stamp: Stamp { timestamp, reason: String::new(), fingerprint: None },
                template: Name::from(""),
            };
            let from_pods: Vec<_> = unknown.map(attempt).collect();
            history.extend(from_pods);
        }
        history
    }

    /// Workloads that are being rolled, or whose patch may be written any moment though its rollout was dropped.
    fn under_way(&self) -> impl Iterator<Item = &WorkloadKey> {
        let orphans = self.writes.values().filter(|key| !self.rollouts.contains_key(*key));
        self.rollouts.keys().chain(orphans)
    }

    pub(in crate::core) fn situation(&self, now: Now, without: Option<&WorkloadKey>) -> Situation<'_> {
        let running = || self.under_way().filter(|key| Some(*key) != without);
        let mut running_in = BTreeMap::new();
        for key in running() {
            *running_in.entry(key.namespace.clone()).or_default() += 1;
        }
        let record = self.record.get();
        let canaries = record.iter().flat_map(|r| &r.canaries);
        let tokens = self.starts.as_ref().map(|bucket| bucket.available(now.elapsed));
        Situation {
            policy: &self.policy,
            now,
            leader: self.leader,
            guarded: self.guarded(now),
            alarm: self.alarm(now),
            record,
            canaries: canaries.filter_map(|(scope, c)| Some((scope.parse().ok()?, c.clone()))).collect(),
            running: running().count(),
            running_in,
            unready_nodes: self.index.unready_nodes(),
            first_sweep: self.first_sweep,
            tokens,
            next_token: self.starts.as_ref().and_then(|bucket| bucket.clone().ready(now.elapsed).err()),
        }
    }

    /// Makes the plan if something changed that it depends on, and begins what it says.
    pub(in crate::core) fn plan(&mut self, now: Now) {
        if !self.started || self.stopping || !self.plan_is_due(now) {
            return;
        }
        self.replan = false;
        self.planned = Some(now.elapsed);
        self.next_plan = None;
        self.end_first_sweep(now);
        self.tend_canaries(now);
        self.tend_locks();
        let unhealthy = self.unhealthy_injectors();
        let candidates: Vec<_> = self.candidates.iter().filter_map(|key| self.candidate(key, &unhealthy)).collect();
        let bad = |c: &Candidate<'_>| {
            let key = c.workload.key.clone();
            c.says.bad.clone().into_iter().map(move |message| (key.clone(), message))
        };
        let said: Vec<_> = candidates.iter().flat_map(bad).collect();
        let made = plan::plan(candidates, self.situation(now, None));
        self.carry_out(made, now);
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

    /// When the plan is to be made again because of what changed; `None`: nothing did.
    ///
    /// With very many candidates a plan takes a while, and while verdicts come in one after the other it would be made
    /// after each of them.
    pub(in crate::core) fn replan_at(&self) -> Option<Duration> {
        let all = u32::try_from(self.candidates.len()).unwrap_or(u32::MAX);
        let rest = if all < MANY { Duration::ZERO } else { REST_FOR_EACH * all };
        self.replan.then(|| self.planned.map_or(Duration::ZERO, |last| last + rest))
    }

    fn plan_is_due(&self, now: Now) -> bool {
        [self.replan_at(), self.next_plan].into_iter().flatten().any(|at| at <= now.elapsed)
    }

    fn carry_out(&mut self, made: Plan, now: Now) {
        self.next_plan = made.next.map(|next| next.max(now.elapsed + TICK));
        if !made.held.is_empty() && self.policy.mode == Mode::Enforce {
            // The wall clock may be set, and what nobody thought of may end without an event.
            let latest = now.elapsed + LATEST;
            self.next_plan = Some(self.next_plan.map_or(latest, |next| next.min(latest)));
        }
        for (key, held) in made.held {
            // One that we roll step by step may be held in between.
            let between = self.rollouts.get(&key).and_then(Rollout::held);
            if let Some(gate) = between.or(held.gate) {
                self.hold(&key, gate, between.or(held.in_enforce), now);
            }
        }
        for key in made.start {
            self.begin(&key, now);
        }
    }

    /// Whether every workload has had its first verdict, or has had time enough. The first to be judged would go first
    /// otherwise, instead of the one with the least risk. Those whose injector is being exchanged may take long, and are
    /// not waited for.
    fn end_first_sweep(&mut self, now: Now) {
        let Some(patience) = self.first_sweep else { return };
        let last = self.sweep_waits_for.take();
        let waits = |key: &WorkloadKey, workload: &WorkloadSnapshot| {
            self.covered(key)
                && self.work.get(key).is_none_or(|work| work.judged.passing())
                && !scope::injectors_of(workload, &self.index).any(|i| backends::exchanging(i, &self.index).is_some())
        };
        // Whoever was waited for last is most likely still waited for.
        let last = last.filter(|key| self.index.workload(key).is_some_and(|w| waits(key, w)));
        let first = || self.index.workloads().find(|(key, w)| waits(key, w)).map(|(key, _)| key.clone());
        let waited_for = last.or_else(first);
        if now.elapsed >= patience || waited_for.is_none() {
            self.first_sweep = None;
        }
        self.sweep_waits_for = waited_for;
    }

    /// A gate holds it, and would hold it in enforce mode.
    pub(in crate::core) fn hold(&mut self, key: &WorkloadKey, gate: Gate, in_enforce: Option<Gate>, now: Now) {
        let Some(work) = self.work.get_mut(key) else { return };
        let same = work.gate.is_some_and(|(held_by, _)| held_by == gate);
        if same && work.gate_in_enforce == in_enforce {
            return;
        }
        work.gate_in_enforce = in_enforce;
        if !same {
            work.gate = Some((gate, now.wall));
            self.write_event_of_hold(key, gate);
        }
        self.touch(key);
    }

    /// The fingerprint of what a rollout of this workload would bring; empty where that is not known.
    pub fn target(&self, key: &WorkloadKey) -> Option<&str> {
        self.work.get(key).map(|work| &*work.judged.target)
    }

    /// Rollouts are under way.
    pub fn rolling(&self) -> bool {
        !self.rollouts.is_empty()
    }

    /// No rollout is under way, and waiting alone would start none, or has failed to often enough.
    pub fn exhausted(&self) -> bool {
        let soaking = |key: &WorkloadKey| {
            let scopes = self.work.get(key).and_then(|w| w.set.as_ref()).map(|set| &set.vector);
            let canaries = self.record.get().into_iter().flat_map(|r| &r.canaries);
            let here = |scope: &str| scope.parse().is_ok_and(|s| scopes.is_some_and(|all| all.contains_key(&s)));
            canaries.filter(|(scope, _)| here(scope)).all(|(_, canary)| canary.converged.is_some())
        };
        let waits = |key: &&WorkloadKey| match self.work.get(*key).and_then(|w| w.gate) {
            None | Some((Gate::RateLimit | Gate::FirstSweep, _)) => true,
            Some((Gate::GuardMissing, _)) => !self.guard.answered(),
            Some((Gate::BackingOff, _)) => self.work.get(*key).is_some_and(|w| w.setbacks < ENOUGH),
            Some((Gate::Canary, _)) => soaking(key),
            Some(_) => false,
        };
        self.rollouts.is_empty() && !self.replan && !self.candidates.iter().any(|key| waits(&key))
    }
}
