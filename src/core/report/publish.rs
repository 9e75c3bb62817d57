//! The report: what readers see of the core.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::core::{
    compare::{IgnoreRule, IgnoreUse},
    model::{
        Name, WorkloadKey,
        time::Now,
        words::{Gate, UndeterminedReason},
    },
    report::{IgnoreReport, Report, WorkloadReport},
    rollout::gate::SYSTEM_NAMESPACES,
    step::{Core, KEPT},
    verdict::case::Work,
};

/// What readers see, kept so that only what changed is made anew: people have 50,000 workloads.
#[derive(Debug, Default)]
pub(in crate::core) struct Shown {
    workloads: BTreeMap<WorkloadKey, Arc<WorkloadReport>>,
    /// Those of whom something changed.
    stale: BTreeSet<WorkloadKey>,
    /// Pods of other owners. They are looked for when somebody asks: many come and go while nobody does.
    strays: RefCell<Strays>,
}

#[derive(Debug, Default)]
struct Strays {
    reports: Vec<Arc<WorkloadReport>>,
    /// At which change of the index they were looked for, and how many sidecars were known then.
    of: Option<(u64, usize)>,
}

impl Core {
    /// Everything that is known now.
    pub fn report(&self, now: Now) -> Report {
        debug_assert!(self.shown_is_current(), "something of a workload changed, and it was not touched");
        let mut workloads: Vec<_> = self.shown.workloads.values().cloned().collect();
        let judged = workloads.iter().filter(|w| !passing(w)).count();
        let progress = (judged, workloads.len());
        workloads.extend(self.strays());
        workloads.sort_by(|a, b| (&a.namespace, &a.kind, &a.name).cmp(&(&b.namespace, &b.kind, &b.name)));
        let running = self.rollouts.iter().map(|(key, rollout)| rollout.report(key, None, now));
        Report {
            taken: now.wall,
            synced: self.started,
            complete: self.started && progress.0 == progress.1,
            progress,
            mode: self.policy.mode,
            leader: self.leader,
            // Not known here: whether we lead is all that matters to the core.
            led_by: None,
            window_open: self.window_open(now),
            what_if: self.policy.what_if.clone(),
            paused: self.record.get().and_then(|r| r.paused.clone()),
            breaker: self.record.get().and_then(|r| r.breaker.clone()),
            guard: self.guard_report(now),
            alerts: self.alerts_report(now),
            workloads,
            generations: self.moves.iter().cloned().collect(),
            rollouts: running.chain(self.finished.iter().cloned()).take(KEPT).collect(),
            rollouts_left: self.starts.as_ref().map(|bucket| bucket.available(now.elapsed)),
            unavailable: self.index.unavailable().map(|(_, why)| why.to_owned()).collect(),
            ignore: self.ignore_report(),
            renders: self.rendered,
            queued: self.queue.len(),
            queued_seconds: self.queue.overdue(now.elapsed).as_secs(),
            render_limits: self.pace.limits(self.policy.renders_in_flight),
            story: self.asked_about().and_then(|key| self.story(key, now)).map(Box::new),
        }
    }

    fn window_open(&self, now: Now) -> Option<bool> {
        let windows = &self.policy.windows;
        (!windows.is_empty()).then(|| windows.iter().any(|window| window.is_open(now.wall)))
    }

    /// The one workload that is looked at, if somebody asked about one.
    fn asked_about(&self) -> Option<&WorkloadKey> {
        let _ = self.policy.only.as_ref()?;
        let mut found = self.index.workloads().map(|(key, _)| key).filter(|key| self.covered(key));
        found.next().filter(|_| found.next().is_none())
    }

    /// How much each rule of the site leaves out.
    fn ignore_report(&self) -> Vec<IgnoreReport> {
        if self.policy.ignore.is_empty() {
            return Vec::new();
        }
        let all: Vec<_> = self.work.values().map(|work| &work.judged.ignored).filter(|uses| !uses.is_empty()).collect();
        let of_rule = |(number, rule): (usize, &IgnoreRule)| {
            let fields = |uses: &&BTreeSet<IgnoreUse>| uses.iter().filter(|u| u.rule == number + 1).count();
            let counts: Vec<_> = all.iter().map(fields).filter(|n| *n > 0).collect();
            IgnoreReport { rule: rule.to_string(), fields: counts.iter().sum(), workloads: counts.len() }
        };
        self.policy.ignore.iter().enumerate().map(of_rule).collect()
    }

    /// What is shown of this workload may be another now.
    pub(in crate::core) fn touch(&mut self, key: &WorkloadKey) {
        if !self.shown.stale.contains(key) {
            self.shown.stale.insert(key.clone());
        }
    }

    /// Makes anew what is shown of the workloads that were touched, and of no other.
    pub(in crate::core) fn refresh(&mut self) {
        for key in std::mem::take(&mut self.shown.stale) {
            if self.index.workload(&key).is_some() && self.covered(&key) {
                let report = Arc::new(self.workload_report(&key));
                self.shown.workloads.insert(key, report);
            } else {
                self.shown.workloads.remove(&key);
            }
        }
    }

    fn shown_is_current(&self) -> bool {
        let covered = || self.index.workloads().map(|(key, _)| key).filter(|key| self.covered(key));
        let current = |key| self.shown.workloads.get(key).is_some_and(|shown| **shown == self.workload_report(key));
        covered().count() == self.shown.workloads.len() && covered().all(current)
    }

    fn strays(&self) -> Vec<Arc<WorkloadReport>> {
        let mut strays = self.shown.strays.borrow_mut();
        let of = Some((self.index.strays_seen(), self.injected.len()));
        if strays.of != of {
            *strays = Strays { reports: self.stray_reports().map(Arc::new).collect(), of };
        }
        strays.reports.clone()
    }

    fn workload_report(&self, key: &WorkloadKey) -> WorkloadReport {
        let fresh = Work::default();
        let work = self.work.get(key).map_or(&fresh, |work| &**work);
        let judged = &work.judged;
        // One that is being rolled is held by nothing, unless we roll it step by step and something holds the next one.
        let gate = work.gate.filter(|(gate, _)| self.rollouts.get(key).is_none_or(|r| r.held() == Some(*gate)));
        let set = work.set.as_ref();
        WorkloadReport {
            kind: self.index.word(key.kind.as_str()),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            verdict: judged.verdict,
            reason: judged.reason,
            message: judged.message.clone(),
            gate: gate.map(|(gate, _)| gate),
            gate_since: gate.map(|(_, since)| since),
            gate_in_enforce: work.gate_in_enforce,
            change: (!judged.change.is_empty()).then(|| judged.change.clone()),
            cause: work.cause.clone(),
            first_seen: work.first_seen,
            last_confirmed: set.map(|s| s.confirmed.wall),
            sidecars: judged.sidecars.clone(),
            pods: judged.pods,
            crashing: judged.crashing.clone(),
            differing: judged.groups.clone(),
            masked: set.map(|s| s.mask.shown()).unwrap_or_default(),
            ignored: judged.ignored.iter().cloned().collect(),
            renders: work.renders,
        }
    }

    /// Pods whose owner we cannot render, if they run a container that admission injects elsewhere, or that was named:
    /// of the others nothing is claimed.
    fn stray_reports(&self) -> impl Iterator<Item = WorkloadReport> {
        let mut strays: BTreeMap<(Name, Name, Name), (usize, Vec<Name>)> = BTreeMap::new();
        let chosen = self.policy.filter.takes_strays();
        let namespaces = self.index.strays().filter(|(pod, ..)| chosen && self.takes_namespace(&pod.key.namespace));
        for (pod, kind, name) in namespaces {
            if self.policy.only.is_some() || pod.state.finished || pod.state.terminating || pod.state.mirror {
                continue;
            }
            let sidecar = |name: &Name| self.injected.contains(name) || self.policy.sidecars.contains(name);
            let sidecars: Vec<_> =
                pod.made.shape.containers.iter().map(|c| &c.name).filter(|name| sidecar(name)).cloned().collect();
            if sidecars.is_empty() || SYSTEM_NAMESPACES.contains(&&*pod.key.namespace) {
                continue;
            }
            let entry = strays.entry((pod.key.namespace.clone(), kind, name)).or_default();
            entry.0 += 1;
            entry.1.extend(sidecars.into_iter().filter(|s| !entry.1.contains(s)).collect::<Vec<_>>());
        }
        strays.into_iter().map(|((namespace, kind, name), (pods, sidecars))| WorkloadReport {
            reason: Some(UndeterminedReason::UnsupportedOwner),
            message: Some("no template of its owner can be rendered; what restarts it decides".to_owned()),
            gate: Some(Gate::UnsupportedOwner),
            gate_in_enforce: Some(Gate::UnsupportedOwner),
            sidecars,
            pods,
            ..WorkloadReport::pending(kind, namespace, name)
        })
    }
}

/// An answer is still on its way.
fn passing(w: &WorkloadReport) -> bool {
    matches!(w.reason, Some(UndeterminedReason::Pending | UndeterminedReason::Settling))
}
