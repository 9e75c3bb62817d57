//! Making the report, and keeping what of it has not changed.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    explain::story,
    snapshot::{IgnoreReport, Report, WorkloadReport},
    sources::Sources,
};
use crate::core::{
    compare::{IgnoreRule, IgnoreUse},
    injection::View,
    io::Outbox,
    model::{
        Name, WorkloadKey,
        words::{Gate, UndeterminedReason},
    },
    rollout::{RolloutReport, gate::SYSTEM_NAMESPACES},
    verdict::{Case, Judged},
};

/// So many rollouts are kept for readers.
const RECENT_ROLLOUTS: usize = 100;

/// What readers see, kept so that only what changed is made anew: people have 50,000 workloads.
#[derive(Debug, Default)]
pub struct Reports {
    workloads: BTreeMap<WorkloadKey, Arc<WorkloadReport>>,
    /// Rollouts that ended in this process, the newest first.
    finished: VecDeque<RolloutReport>,
    /// Pods of other owners. They are looked for when somebody asks: many come and go while nobody does.
    unmanaged: RefCell<Unmanaged>,
}

#[derive(Debug, Default)]
struct Unmanaged {
    reports: Vec<Arc<WorkloadReport>>,
    /// At which change of the index they were looked for, and how many sidecars were known then.
    of: Option<(u64, usize)>,
}

impl Reports {
    /// A rollout ended, or is late.
    pub fn rollout_ended(&mut self, report: RolloutReport) {
        self.finished.push_front(report);
        self.finished.truncate(RECENT_ROLLOUTS);
    }

    /// Makes anew what is out of date, and nothing else.
    pub fn refresh(&mut self, sources: Sources<'_>, out: &mut Outbox) {
        for key in out.take_invalidated() {
            if sources.view.covered(&key).is_some() {
                self.workloads.insert(key.clone(), Arc::new(workload_report(&key, sources)));
            } else {
                self.workloads.remove(&key);
            }
        }
    }

    /// Everything that is known now.
    pub fn report(&self, sources: Sources<'_>) -> Report {
        debug_assert!(self.is_current(sources), "something of a workload changed, and its report was not made anew");
        let View { policy, index, injection, lifecycle, now } = sources.view;
        let Sources { renders, rollouts, .. } = sources;
        let mut workloads: Vec<_> = self.workloads.values().cloned().collect();
        let judged = workloads.iter().filter(|w| !is_open(w)).count();
        let progress = (judged, workloads.len());
        workloads.extend(self.unmanaged(sources));
        workloads.sort_by(|a, b| (&a.namespace, &a.kind, &a.name).cmp(&(&b.namespace, &b.kind, &b.name)));
        let (queued, overdue) = renders.queued(now);
        let record = rollouts.record();
        Report {
            taken: now.wall,
            synced: lifecycle.started,
            complete: lifecycle.started && progress.0 == progress.1,
            progress,
            mode: policy.mode,
            leader: lifecycle.leader,
            // Not known here: whether we lead is all that matters to the core.
            led_by: None,
            clock_ahead: None,
            window_open: window_open(sources.view),
            what_if: policy.what_if.clone(),
            paused: record.and_then(|r| r.paused.clone()),
            breaker: record.and_then(|r| r.breaker.clone()),
            breakers: record.map(|r| r.breakers.clone()).unwrap_or_default(),
            guard: rollouts.guard_report(sources.view),
            alerts: rollouts.alerts_report(sources.view),
            workloads,
            generations: injection.recent_moves().cloned().collect(),
            rollouts: rollouts.reports(now).chain(self.finished.iter().cloned()).take(RECENT_ROLLOUTS).collect(),
            rollouts_left: rollouts.rollouts_left(policy, now),
            unavailable: index.unavailable().map(|(_, why)| why.to_owned()).collect(),
            ignore: ignore_report(sources),
            renders: renders.total(),
            queued,
            queued_seconds: overdue.as_secs(),
            render_limits: renders.limits(policy),
            story: asked_about(sources.view).and_then(|key| story(key, sources)).map(Box::new),
        }
    }

    fn is_current(&self, sources: Sources<'_>) -> bool {
        let view = sources.view;
        let covered = || view.index.workloads().map(|(key, _)| key).filter(|key| view.covers(key));
        let current = |key| self.workloads.get(key).is_some_and(|known| **known == workload_report(key, sources));
        covered().count() == self.workloads.len() && covered().all(current)
    }

    fn unmanaged(&self, sources: Sources<'_>) -> Vec<Arc<WorkloadReport>> {
        let mut unmanaged = self.unmanaged.borrow_mut();
        let of = Some((sources.view.index.unmanaged_seen(), sources.verdicts.injected().len()));
        if unmanaged.of != of {
            *unmanaged = Unmanaged { reports: unmanaged_reports(sources).map(Arc::new).collect(), of };
        }
        unmanaged.reports.clone()
    }

    /// Entries of every map: what must not grow with what is gone.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 2] {
        [self.workloads.len(), self.finished.len()]
    }
}

fn window_open(view: View<'_>) -> Option<bool> {
    let windows = &view.policy.windows;
    (!windows.is_empty()).then(|| windows.iter().any(|window| window.is_open(view.now.wall)))
}

/// The one workload that is looked at, if somebody asked about one.
fn asked_about(view: View<'_>) -> Option<&WorkloadKey> {
    let _ = view.policy.only.as_ref()?;
    let mut found = view.index.workloads().map(|(key, _)| key).filter(|key| view.covers(key));
    found.next().filter(|_| found.next().is_none())
}

/// How much each rule of the site leaves out.
fn ignore_report(sources: Sources<'_>) -> Vec<IgnoreReport> {
    let rules = &sources.view.policy.ignore;
    if rules.is_empty() {
        return Vec::new();
    }
    let all = sources.verdicts.cases().map(|case| &case.judged().ignored);
    let all: Vec<_> = all.filter(|uses| !uses.is_empty()).collect();
    let of_rule = |(number, rule): (usize, &IgnoreRule)| {
        let fields = |uses: &&BTreeSet<IgnoreUse>| uses.iter().filter(|u| u.rule == number + 1).count();
        let counts: Vec<_> = all.iter().map(fields).filter(|n| *n > 0).collect();
        IgnoreReport { rule: rule.to_string(), fields: counts.iter().sum(), workloads: counts.len() }
    };
    rules.iter().enumerate().map(of_rule).collect()
}

fn workload_report(key: &WorkloadKey, sources: Sources<'_>) -> WorkloadReport {
    let fresh = Judged::default();
    let case = sources.verdicts.case(key);
    let judged = case.map_or(&fresh, Case::judged);
    let set = case.and_then(Case::set);
    let (gate, gate_in_enforce) = sources.rollouts.gate(key);
    WorkloadReport {
        kind: sources.view.index.word(key.kind.as_str()),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        verdict: judged.verdict,
        reason: judged.reason,
        message: judged.message.clone().or_else(|| sources.rollouts.unseen(key).map(str::to_owned)),
        gate: gate.map(|(gate, _)| gate),
        gate_since: gate.map(|(_, since)| since),
        gate_in_enforce,
        change: (!judged.change.is_empty()).then(|| judged.change.clone()),
        cause: case.and_then(Case::cause).map(str::to_owned),
        first_seen: case.and_then(Case::first_seen),
        last_confirmed: set.map(|s| s.confirmed.wall),
        sidecars: judged.sidecars.clone(),
        pods: judged.pods,
        crashing: judged.crashing.clone(),
        differing: judged.groups.clone(),
        masked: set.map(|s| s.mask.shown()).unwrap_or_default(),
        ignored: judged.ignored.iter().cloned().collect(),
        renders: case.map(Case::renders).unwrap_or_default(),
    }
}

/// Pods whose owner we cannot render, if they run a container that admission injects elsewhere, or that was named:
/// of the others nothing is claimed.
fn unmanaged_reports(sources: Sources<'_>) -> impl Iterator<Item = WorkloadReport> {
    let View { policy, index, .. } = sources.view;
    let mut found: BTreeMap<(Name, Name, Name), (usize, Vec<Name>)> = BTreeMap::new();
    let chosen = policy.filter.takes_unmanaged();
    let pods = index.unmanaged().filter(|(pod, ..)| chosen && sources.view.covers_namespace(&pod.key.namespace));
    for (pod, kind, name) in pods {
        if policy.only.is_some() || pod.state.finished || pod.state.terminating || pod.state.mirror {
            continue;
        }
        let sidecar = |name: &Name| sources.verdicts.injected().contains(name) || policy.sidecars.contains(name);
        let containers = pod.made.shape.containers.iter().map(|c| &c.name);
        let sidecars: Vec<_> = containers.filter(|name| sidecar(name)).cloned().collect();
        if sidecars.is_empty() || SYSTEM_NAMESPACES.contains(&&*pod.key.namespace) {
            continue;
        }
        let entry = found.entry((pod.key.namespace.clone(), kind, name)).or_default();
        entry.0 += 1;
        entry.1.extend(sidecars.into_iter().filter(|s| !entry.1.contains(s)).collect::<Vec<_>>());
    }
    found.into_iter().map(|((namespace, kind, name), (pods, sidecars))| WorkloadReport {
        reason: Some(UndeterminedReason::UnsupportedOwner),
        message: Some("no template of its owner can be rendered; what restarts it decides".to_owned()),
        gate: Some(Gate::UnsupportedOwner),
        gate_in_enforce: Some(Gate::UnsupportedOwner),
        sidecars,
        pods,
        ..WorkloadReport::pending(kind, namespace, name)
    })
}

/// An answer is still on its way.
fn is_open(w: &WorkloadReport) -> bool {
    match w.reason {
        Some(UndeterminedReason::Pending | UndeterminedReason::Settling) => true,
        // Its injector is left alone for now: nothing was asked, so nothing is known.
        Some(UndeterminedReason::Throttled) => w.renders == 0,
        _ => false,
    }
}
