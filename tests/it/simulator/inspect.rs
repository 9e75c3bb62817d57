//! What is looked at once a minute: whether what the leader tells of each workload is so, as far as it has had the time to
//! find out, and whether what holds a workload is still there.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use sidecar_drift::core::{
    io::{Effect, Notice, WatchKind, WatchSource},
    model::{
        Object, Strategy, WorkloadKey, WorkloadSnapshot,
        owner::Kind,
        rollout_status,
        words::{Gate, Outcome, UndeterminedReason, Verdict},
    },
    report::{Report, WorkloadReport},
};

use super::{
    fault,
    injection::Down,
    process::Process,
    truth::differs_for_sure,
    weather::Weather,
    world::{Event, World},
};

/// How often.
pub(super) const EVERY: Duration = Duration::from_mins(1);

/// A change that is told of is found out within this time, and so is that nothing holds a workload any more.
const SOON: Duration = Duration::from_mins(6);

/// What was seen at the last looks.
#[derive(Debug, Default)]
pub(super) struct Inspection {
    /// When something was wrong last with the leader, or between it and the cluster.
    troubled: Duration,
    /// When the injector changed last, and nobody said so.
    silent: Duration,
    /// Since when each workload differs, whatever moved meanwhile.
    differs: BTreeMap<WorkloadKey, Duration>,
    /// Since when what a gate says is not so.
    untrue: BTreeMap<(WorkloadKey, Gate), Duration>,
}

impl World {
    /// The injector gives something else, and nobody is told.
    pub(super) fn moved_silently(&mut self) {
        self.inspection.silent = self.at;
    }

    pub(super) fn inspect(&mut self) -> Result<()> {
        self.schedule(self.at + EVERY, Event::Inspects);
        let at = self.at;
        for key in self.cluster.workloads.keys() {
            if !differs_for_sure(&self.cluster, &self.injector, key, at) {
                self.inspection.differs.remove(key);
            } else if !self.inspection.differs.contains_key(key) {
                self.inspection.differs.insert(key.clone(), at);
            }
        }
        let leader = self.processes.iter().flatten().find(|p| p.leads && p.may_write(at));
        let Some(leader) = leader.filter(|leader| self.is_calm(leader)) else {
            self.inspection.troubled = at;
            return Ok(());
        };
        let now = super::world::now(at, leader.boot, leader.wall);
        let report = self.tamper.report(leader.core.report(now));
        for w in &report.workloads {
            let mut known = self.cluster.workloads.keys();
            let key = known.find(|k| *k.kind.as_str() == *w.kind && k.namespace == w.namespace && k.name == w.name);
            let Some(key) = key.cloned().filter(|key| !self.is_restless(key)) else { continue };
            self.is_told(&key, w)?;
            self.still_holds(&key, w, &report)?;
        }
        Ok(())
    }

    /// What is told to have converged stays well, as far as its process can have heard.
    pub(super) fn converged_pods_stay(&self, place: usize, effects: &[Effect]) -> Result<()> {
        for effect in effects {
            let Effect::Notify(Notice::RolloutEnded { workload, outcome: Outcome::Converged, .. }) = effect else {
                continue;
            };
            let behind = self.behind(place);
            if !behind.pods && !behind.workloads && !self.is_restless(workload) {
                self.truth.stayed_well(&self.cluster, workload, self.at)?;
            }
        }
        Ok(())
    }

    /// Nothing is in the way of whoever leads.
    fn is_calm(&self, leader: &Process) -> bool {
        let t = &self.troubles;
        let well = !t.down && !t.slow && !leader.stopping && leader.suspended.is_none();
        let injects = self.injector.is_plain()
            && self.injector.down == Down::No
            && self.injector.troubles.is_empty()
            && self.injector.refuses.is_empty();
        let told = leader.feeds.iter().all(|(source, feed)| {
            let blind = self.scenario.is_blind(source.kind);
            blind || !(feed.broken || feed.forbidden || feed.lag > Duration::ZERO)
        });
        let sees = !matches!(
            self.scenario.weather.iter().find(|w| matches!(w, Weather::Blind(_))),
            Some(Weather::Blind(WatchKind::Injectors(_)))
        );
        well && injects && told && sees && !leader.is_partitioned(self.at)
    }

    /// One that differs is not said to be in sync, and does not stay undecided.
    fn is_told(&self, key: &WorkloadKey, w: &WorkloadReport) -> Result<()> {
        let Inspection { troubled, silent, differs, .. } = &self.inspection;
        let Some(since) = differs.get(key).map(|since| *since.max(troubled)) else { return Ok(()) };
        let undecided = matches!(w.reason, Some(UndeterminedReason::Pending | UndeterminedReason::Settling));
        let wrong = matches!(w.verdict, Verdict::InSync | Verdict::NotInjected) || undecided;
        let lasts = self.at.saturating_sub(since);
        let resync = self.policy.resync + self.policy.resync / 5;
        // A mask goes after five renderings that agree (R8), and nothing else may ask for one.
        let masked = self
            .scenario
            .faults
            .iter()
            .any(|f| matches!(f.2, fault::Fault::Nonce | fault::Fault::Wavers | fault::Fault::Period));
        let looks = if masked { 6 } else { 1 };
        let found_out = *silent + resync * looks + SOON < self.at || self.at < *silent;
        // To a process whose clock is behind a new Pod is from the future, and too young, for so long.
        let soon = SOON + self.scenario.jumps();
        ensure!(
            !wrong || lasts < soon || !found_out,
            "{key} differs for {}s and is told to be {} ({:?})",
            lasts.as_secs(),
            w.verdict,
            w.reason
        );
        Ok(())
    }

    /// What is told to hold it is so.
    fn still_holds(&mut self, key: &WorkloadKey, w: &WorkloadReport, report: &Report) -> Result<()> {
        let gate = w.gate.filter(|gate| !self.is_so(*gate, key, report));
        let since = gate.map(|gate| *self.inspection.untrue.entry((key.clone(), gate)).or_insert(self.at));
        self.inspection.untrue.retain(|(of, held), _| of != key || Some(*held) == gate);
        let since = since.map(|since| since.max(self.inspection.troubled));
        let lasts = since.map_or(0, |since| self.at.saturating_sub(since).as_secs());
        let why = w.message.as_deref().unwrap_or_default();
        ensure!(lasts < SOON.as_secs(), "{key} is held by {gate:?} for {lasts}s though it is not so ({why})");
        Ok(())
    }

    /// Whether what a gate says is so, as far as the cluster itself knows.
    fn is_so(&self, gate: Gate, key: &WorkloadKey, report: &Report) -> bool {
        let Some(w) = self.cluster.workload(key) else { return true };
        let said = |word: &str| w.says.contains_key(word) || self.namespace_says(key, word).is_some();
        let rolling =
            |of: &dyn Fn(&str) -> bool| report.rollouts.iter().any(|r| r.outcome.is_none() && of(&r.namespace));
        match gate {
            Gate::PdbHeadroom => rolling(&|ns| *ns == *key.namespace) || !self.has_room(key, w),
            Gate::PdbConflict => self.budgets.values().filter(|budget| budget.selects(key)).count() > 1,
            Gate::Unhealthy => !rollout_status::healthy(w) || w.key.kind == Kind::DAEMON_SET || self.truth.failed(key),
            Gate::WorkloadPaused => w.paused,
            Gate::ClusterBusy => self.cluster.objects.all().any(|o| matches!(o, Object::Node(node) if !node.ready)),
            Gate::Unseen => self.scenario.weather.iter().any(|w| matches!(w, Weather::Blind(_))),
            Gate::GuardMissing => self.troubles.no_guard,
            Gate::AlertFiring => self.troubles.alert_fires || self.troubles.prometheus_down,
            Gate::Paused => self.stored.record.as_ref().is_none_or(|r| r.paused.is_some()) || said("paused"),
            Gate::BadAnnotation => ["mode", "accept-until", "window", "paused"].into_iter().any(said),
            Gate::OptedOut => said("mode"),
            Gate::Accepted => said("accept-until"),
            Gate::OutsideWindow => !self.is_open(key, w),
            Gate::RateLimit => self.truth.hour_is_spent(self.at),
            Gate::Concurrency => rolling(&|_| true),
            Gate::NamespaceConcurrency => rolling(&|ns| *ns == *key.namespace),
            Gate::NotLeader => false,
            Gate::SingleReplica => w.counts.desired == 1,
            _ => true,
        }
    }

    fn namespace_says(&self, key: &WorkloadKey, word: &str) -> Option<&str> {
        let source = WatchSource { kind: WatchKind::Namespaces, namespace: None };
        match self.cluster.objects.get(source.kind, &crate::objects::key("", &key.namespace))? {
            Object::Namespace(ns) => ns.says.get(word).map(|value| &**value),
            _ => None,
        }
    }

    /// Every window is open, for whatever clock of ours.
    fn is_open(&self, key: &WorkloadKey, w: &WorkloadSnapshot) -> bool {
        let configured = self.policy.windows.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let all = [Some(&*configured), w.says.get("window").map(|text| &**text), self.namespace_says(key, "window")];
        let slack = self.scenario.jumps();
        let surely = |window: &&str| {
            fault::is_open(window, self.at.saturating_sub(slack), Duration::ZERO)
                && fault::is_open(window, self.at + slack, Duration::ZERO)
        };
        all.into_iter().flatten().filter(|window| !window.is_empty()).all(|window| surely(&window))
    }

    /// Every budget lets as many Pods go as a rollout takes.
    fn has_room(&self, key: &WorkloadKey, w: &WorkloadSnapshot) -> bool {
        let takes = match w.strategy {
            Strategy::RollingUpdate { max_unavailable, .. } => max_unavailable.min(w.counts.desired),
            Strategy::OnDelete | Strategy::Recreate => 1,
        };
        let allows = |object: Option<&Object>| match object {
            Some(Object::DisruptionBudget(budget)) => budget.allowed >= takes,
            _ => true,
        };
        let mut selecting = self.budgets.values().filter(|budget| budget.selects(key));
        selecting.all(|budget| allows(self.cluster.objects.get(WatchKind::DisruptionBudgets, &budget.key)))
    }
}
