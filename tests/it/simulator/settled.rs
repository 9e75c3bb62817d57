//! How a history must end: every workload has its verdict, the right one, and whatever differs is held by something that
//! time alone does not lift.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sidecar_drift::core::{
    config::Mode,
    io::{Canary, WatchKind},
    model::{
        Name,
        rollout_status::{self, Progress},
        words::{Gate, UndeterminedReason, Verdict},
    },
    report::{Report, WorkloadReport},
    rollout::RolloutReport,
};

use super::{
    truth::{differs, differs_for_sure},
    weather::Weather,
    world::World,
};
use crate::scripts::rules::Rules as Every;

/// Gates that end by themselves, if nothing else happens.
const TRANSIENT: [Gate; 11] = [
    Gate::Unseen,
    Gate::Rolling,
    Gate::Unhealthy,
    Gate::ClusterBusy,
    Gate::Concurrency,
    Gate::NamespaceConcurrency,
    Gate::NotLeader,
    Gate::BackingOff,
    Gate::FirstSweep,
    Gate::InjectorUnhealthy,
    Gate::AlertFiring,
];

impl World {
    pub(super) fn all_is_settled(&mut self) -> Result<()> {
        self.write_down(|| "the end".to_owned());
        let leading = self.processes.iter().flatten().filter(|p| p.leads).count();
        ensure!(leading == 1, "{leading} processes lead in the end");
        let leader = self.processes.iter().flatten().find(|p| p.leads).context("nobody leads")?;
        let now = super::world::now(self.at, leader.boot, leader.wall);
        let report = self.tamper.report(leader.core.report(now));
        self.reached.read(&report);
        ensure!(report.synced, "the leader has not heard of everything");
        let restless = |namespace: &Name, name: &Name| {
            let mut of = self.cluster.workloads.keys().filter(|k| k.namespace == *namespace && k.name == *name);
            of.any(|key| self.is_restless(key))
        };
        let mut resting = report.clone();
        resting.workloads.retain(|w| !restless(&w.namespace, &w.name));
        Every::nothing_pending(&resting)?;
        // One that was asked for just now is still on its way.
        let idle = leader.rules.idle() || self.at < self.asked + Duration::from_secs(30);
        ensure!(idle, "somebody waits for an answer that was given");
        let open: Vec<_> = report.rollouts.iter().filter(|r| r.outcome.is_none()).collect();
        let left = open.iter().filter(|r| !held_between(r, &report) && !restless(&r.namespace, &r.name));
        let left: Vec<_> = left.collect();
        let states = report.workloads.iter().map(|w| (&w.name, w.verdict, w.reason, w.gate));
        ensure!(left.is_empty(), "still open: {left:?} of {:?}", states.collect::<Vec<_>>());
        // A slot, or a canary, of one that never rests may hold others.
        let busy = open.iter().any(|r| restless(&r.namespace, &r.name));
        for w in &resting.workloads {
            self.ends_well(w, &report, busy)
                .with_context(|| format!("in the end {}/{} is {}: {:?}", w.namespace, w.name, w.verdict, w.message))?;
        }
        for key in self.cluster.workloads.keys() {
            let progress = self.cluster.workload(key).map(rollout_status::progress);
            let may = self.rests(key) || self.is_restless(key);
            ensure!(progress == Some(Progress::Done) || may, "{key} never got done: {progress:?}");
        }
        Ok(())
    }

    /// What is not done in the end, by its owner's will.
    fn rests(&self, key: &sidecar_drift::core::model::WorkloadKey) -> bool {
        self.cluster.workload(key).is_none_or(|w| {
            w.paused
                || matches!(w.strategy, sidecar_drift::core::model::Strategy::OnDelete)
                || rollout_status::partition(w) > 0
        })
    }

    fn ends_well(&self, w: &WorkloadReport, report: &Report, busy: bool) -> Result<()> {
        let wild = !self.injector.is_plain();
        let Some(key) = self.cluster.workloads.keys().find(|key| key.namespace == w.namespace && key.name == w.name)
        else {
            ensure!(w.reason == Some(UndeterminedReason::UnsupportedOwner), "it is shown and does not exist");
            return Ok(());
        };
        let truly = differs(&self.cluster, &self.injector, key, self.at);
        match w.verdict {
            Verdict::InSync | Verdict::NotInjected => {
                let surely = differs_for_sure(&self.cluster, &self.injector, key, self.at);
                ensure!(!surely, "it differs, in truth");
            }
            Verdict::Drifted | Verdict::Missing | Verdict::Removed | Verdict::NonConvergent => {
                ensure!(truly || wild, "it is as it should be, in truth");
            }
            Verdict::NoPods => {
                let wants = self.cluster.workload(key).is_some_and(|w| w.counts.desired > 0);
                ensure!(self.cluster.pods_of(key).is_empty() && !wants, "it has Pods, or wants some, in truth");
            }
            Verdict::Rejected => ensure!(false, "nothing refuses it, in truth"),
            Verdict::Undetermined if self.weather_says_why(w) => {}
            Verdict::Undetermined => may_be_open(w)?,
        }
        let Some(gate) = w.gate else { return Ok(()) };
        let alone = report.breaker.is_none() && report.paused.is_none() && report.breakers.is_empty();
        // One that is made step by step keeps its slot while its owner holds it.
        let full = matches!(gate, Gate::Concurrency | Gate::NamespaceConcurrency)
            && (busy || report.rollouts.iter().any(|r| r.outcome.is_none() && held_between(r, report)));
        let blind = gate == Gate::Unseen && self.scenario.weather.iter().any(|w| matches!(w, Weather::Blind(_)));
        ensure!(
            full || blind || !TRANSIENT.contains(&gate) || !alone || report.mode < Mode::Enforce,
            "{gate} still holds it"
        );
        ensure!(gate != Gate::RateLimit || self.truth.hour_is_spent(self.at), "the hour is not spent, in truth");
        ensure!(gate != Gate::Paused || self.stays_paused(w), "it is still paused");
        ensure!(gate != Gate::GuardMissing, "the guard is in force, in truth");
        if gate == Gate::Canary && alone {
            self.canary_failed(report)?;
        }
        Ok(())
    }

    /// What lasts of the weather is the reason.
    fn weather_says_why(&self, w: &WorkloadReport) -> bool {
        self.scenario.weather.iter().any(|weather| match weather {
            Weather::Throttling => w.reason == Some(UndeterminedReason::Throttled),
            Weather::Blind(WatchKind::Injectors(_)) => w.reason == Some(UndeterminedReason::Forbidden),
            _ => false,
        })
    }

    fn stays_paused(&self, w: &WorkloadReport) -> bool {
        let key = self.cluster.workloads.keys().find(|key| key.namespace == w.namespace && key.name == w.name);
        key.and_then(|key| self.cluster.workload(key)).is_some_and(|w| w.says.contains_key("paused"))
    }

    /// What waits for a canary waits for one that failed.
    fn canary_failed(&self, report: &Report) -> Result<()> {
        let record = self.stored.record.as_ref().context("the state is missing")?;
        let verdict = |name: &str| report.workloads.iter().find(|w| &*w.name == name).map(|w| w.verdict);
        let fine = |v| matches!(v, Some(Verdict::InSync | Verdict::NotInjected));
        let failed = |c: &Canary| c.converged.is_none() && !c.workloads.iter().all(|key| fine(verdict(&key.name)));
        let restless = |c: &Canary| c.converged.is_none() && c.workloads.iter().any(|key| self.is_restless(key));
        let waits = record.canaries.values().any(|c| failed(c) || restless(c));
        ensure!(waits, "no canary of {:?} has failed", record.canaries);
        Ok(())
    }
}

/// It is one of those that are made step by step, and something that time alone does not lift holds its next step; or
/// nothing may be said of the Pods that were replaced.
fn held_between(r: &RolloutReport, report: &Report) -> bool {
    let own = report.workloads.iter().find(|w| w.kind == r.kind && w.namespace == r.namespace && w.name == r.name);
    let by_gate = own.and_then(|w| w.gate).is_some_and(|gate| !TRANSIENT.contains(&gate));
    by_gate || own.is_some_and(|w| w.reason == Some(UndeterminedReason::DryRunSensitive))
}

/// Why nothing may be said though all is well: its own rollout never ends (a partition, a pause); a Pod contradicted its
/// dry run, and none was born since; nobody else is given the sidecar that is missing here.
fn may_be_open(w: &WorkloadReport) -> Result<()> {
    use UndeterminedReason::{DryRunSensitive, InjectorUnavailable, Rolling};
    ensure!(
        matches!(w.reason, Some(Rolling | DryRunSensitive | InjectorUnavailable)),
        "{:?} though all is well",
        w.reason
    );
    Ok(())
}
