//! What must hold after every step of every script, whatever it is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sidecar_drift::core::{
    config::{Mode, Policy},
    io::{Effect, Input, RenderOutcome, WorkloadRef},
    model::{
        Name, WorkloadKey,
        time::Now,
        words::{UndeterminedReason, Verdict},
    },
    report::Report,
    rollout::RolloutReport,
};

/// A rendering that confirmed a rollout proves nothing after this long.
const FRESH: Duration = Duration::from_secs(10);

/// Renderings at once that no webhook takes part in.
const WITHOUT_WEBHOOK: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Renderings under way: ticket → for whom, and whether to confirm.
    renders: BTreeMap<u64, (WorkloadRef, bool)>,
    /// Patches and evictions.
    patches: BTreeMap<u64, WorkloadRef>,
    /// When a rendering confirmed a workload's rollout last.
    confirmed: BTreeMap<WorkloadKey, Duration>,
    /// Rollouts that this process began, and are open.
    begun: BTreeSet<[Name; 3]>,
    leader: bool,
    stopping: bool,
}

impl Rules {
    pub(crate) fn check(
        &mut self,
        policy: &Policy,
        input: &Input,
        effects: &[Effect],
        report: &Report,
        now: Now,
    ) -> Result<()> {
        self.take(input, now);
        self.check_effects(policy, effects, report, now)
    }

    /// As `check`, of an input that was taken in.
    pub(crate) fn check_effects(
        &mut self,
        policy: &Policy,
        effects: &[Effect],
        report: &Report,
        now: Now,
    ) -> Result<()> {
        for effect in effects {
            self.carry_out(policy, effect, now)?;
        }
        let open: Vec<_> = report.rollouts.iter().filter(|r| r.outcome.is_none()).collect();
        let begins = effects.iter().filter_map(|effect| match effect {
            Effect::Patch(request) => Some(request.workload.key.namespace.clone()),
            _ => None,
        });
        self.within_caps(policy, &open, &begins.collect())?;
        let rolled: BTreeSet<[&Name; 3]> = open.iter().map(|r| [&r.kind, &r.namespace, &r.name]).collect();
        let shown: BTreeSet<[&Name; 3]> = report.workloads.iter().map(|w| [&w.kind, &w.namespace, &w.name]).collect();
        // Of one whose request is on its way nobody knows yet whether it began.
        let under_way = |key: &[&Name; 3]| {
            let mut asked = self.patches.values().map(|of| &of.key);
            asked.any(|of| *of.kind.as_str() == **key[0] && [&of.namespace, &of.name] == [key[1], key[2]])
        };
        let hidden: Vec<_> = rolled.difference(&shown).filter(|key| !under_way(key)).collect();
        ensure!(hidden.is_empty(), "{hidden:?} is rolled, and not shown");
        for w in &report.workloads {
            let differs =
                !matches!(w.verdict, Verdict::Undetermined | Verdict::NoPods | Verdict::InSync | Verdict::NotInjected);
            let held = w.gate.is_some() || rolled.contains(&[&w.kind, &w.namespace, &w.name]);
            ensure!(!differs || held || self.stopping, "nothing holds {} {}/{}", w.kind, w.namespace, w.name);
            let silent = w.verdict == Verdict::Undetermined && w.reason.is_none();
            ensure!(!silent, "{} {}/{} is undetermined and nothing says why", w.kind, w.namespace, w.name);
        }
        Ok(())
    }

    /// Those that it found under way are not its doing: of ones that failed, or were late, it is not known any more that
    /// they gave their slots up. The same of one that takes its slot back, because its new Pods are not well. But beside them it
    /// begins no other: `begins` has the namespaces where it does.
    fn within_caps(&mut self, policy: &Policy, open: &[&RolloutReport], begins: &BTreeSet<Name>) -> Result<()> {
        let key = |r: &&RolloutReport| [r.kind.clone(), r.namespace.clone(), r.name.clone()];
        // One whose new Pods are only watched disrupts nothing.
        let all: BTreeSet<_> = open.iter().filter(|r| !r.watched).map(key).collect();
        self.begun.retain(|key| all.contains(key));
        let counted = if begins.is_empty() { &self.begun } else { &all };
        ensure!(counted.len() <= policy.parallel_rollouts, "{} rollouts at once", counted.len());
        for [_, namespace, _] in counted {
            let counted = if begins.contains(namespace) { &all } else { &self.begun };
            let here = counted.iter().filter(|key| key[1] == *namespace).count();
            ensure!(here <= policy.parallel_per_namespace, "{here} rollouts at once in {namespace}");
        }
        Ok(())
    }

    /// Whether all requests were answered.
    pub(crate) fn idle(&self) -> bool {
        self.renders.is_empty() && self.patches.is_empty()
    }

    /// Nothing may wait for an answer that nobody will give.
    pub(crate) fn nothing_pending(report: &Report) -> Result<()> {
        let pending = |reason| matches!(reason, Some(UndeterminedReason::Pending | UndeterminedReason::Settling));
        let left: Vec<_> = report.workloads.iter().filter(|w| pending(w.reason)).map(|w| &w.name).collect();
        ensure!(left.is_empty(), "still waiting: {left:?}");
        Ok(())
    }

    pub(crate) fn take(&mut self, input: &Input, now: Now) {
        match input {
            Input::Rendered(reply) => {
                let asked = self.renders.remove(&reply.ticket);
                if let (Some((WorkloadRef { key, .. }, true)), RenderOutcome::Rendered(_)) = (asked, &reply.outcome)
                    && reply.confirmation.is_some()
                {
                    self.confirmed.insert(key, now.elapsed);
                }
            }
            Input::Patched(reply) => drop(self.patches.remove(&reply.ticket)),
            Input::Evicted(reply) => drop(self.patches.remove(&reply.ticket)),
            Input::Leadership(leader) => self.leader = *leader,
            Input::Shutdown => self.stopping = true,
            Input::Watch { .. }
            | Input::State(_)
            | Input::Guard(_)
            | Input::Alerts(_)
            | Input::Policy(_)
            | Input::Timer => {}
        }
    }

    fn carry_out(&mut self, policy: &Policy, effect: &Effect, now: Now) -> Result<()> {
        match effect {
            Effect::Render(request) => {
                let key = &request.workload.key;
                let may = !self.stopping || (policy.one_shot && !request.confirm);
                ensure!(self.leader && may, "{key} is rendered without the lead");
                let twice = self.renders.values().any(|(asked, _)| *asked == request.workload);
                ensure!(!twice, "{key} is rendered twice at the same time");
                self.renders.insert(request.ticket, (request.workload.clone(), request.confirm));
                let n = self.renders.len();
                ensure!(n <= policy.renders_in_flight.max(WITHOUT_WEBHOOK), "{n} renderings at once");
            }
            Effect::Patch(request) => {
                let key = &request.workload.key;
                ensure!(self.leader && !self.stopping, "{key} is patched without the lead");
                ensure!(policy.mode == Mode::Enforce, "{key} is patched in report mode");
                let at = self.confirmed.remove(key).with_context(|| format!("{key} is patched unconfirmed"))?;
                let age = now.elapsed.saturating_sub(at);
                ensure!(age <= FRESH, "{key} is patched {}s after it was confirmed", age.as_secs());
                ensure!(
                    !self.patches.values().any(|of| *of == request.workload),
                    "{key} is patched twice at the same time"
                );
                self.begun.insert([key.kind.as_str().into(), key.namespace.clone(), key.name.clone()]);
                self.patches.insert(request.ticket, request.workload.clone());
            }
            Effect::Evict(request) => {
                let key = &request.workload.key;
                ensure!(self.leader && !self.stopping, "a Pod of {key} is evicted without the lead");
                let may = policy.mode == Mode::Enforce && policy.evict_on_delete;
                ensure!(may, "a Pod of {key} is evicted without leave");
                let busy = self.patches.values().any(|of| *of == request.workload);
                ensure!(!busy, "two Pods of {key} are evicted at the same time, or it is patched");
                let at = self.confirmed.remove(key).with_context(|| format!("{key} is evicted unconfirmed"))?;
                let age = now.elapsed.saturating_sub(at);
                ensure!(age <= FRESH, "{key} is evicted {}s after it was confirmed", age.as_secs());
                self.patches.insert(request.ticket, request.workload.clone());
            }
            Effect::WriteState(_) => {
                ensure!(self.leader && policy.mode == Mode::Enforce, "the state is written without the right to");
            }
            Effect::ProbeGuard => ensure!(self.leader && !self.stopping, "the guard is probed without the lead"),
            Effect::AskAlerts(_) => {
                ensure!(
                    self.leader && !self.stopping && policy.mode == Mode::Enforce,
                    "alerts are nobody's business now"
                );
            }
            Effect::WriteEvent(_) => ensure!(self.leader, "an Event is written without the lead"),
            Effect::WatchBackends(_) | Effect::WatchTriggers(_) | Effect::Notify(_) | Effect::WakeAt(_) => {}
        }
        Ok(())
    }
}
