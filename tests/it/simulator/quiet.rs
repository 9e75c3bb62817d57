//! Nothing loops: what a process does in a minute, and for one input, has a bound, whatever happens.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use sidecar_drift::core::{
    config::Policy,
    io::{Effect, Input},
    model::time::Now,
};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Count {
    Wakes,
    Renders,
    Patches,
    Evictions,
    StateWrites,
    Probes,
    Questions,
    Notices,
    Others,
}

/// What one process did in the minute under way.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    began: Duration,
    counts: BTreeMap<Count, u32>,
}

impl Quiet {
    pub(super) fn hear(&mut self, input: &Input, now: Now) {
        if now.elapsed >= self.began + Duration::from_mins(1) {
            self.began = now.elapsed;
            self.counts.clear();
        }
        if matches!(input, Input::Timer) {
            *self.counts.entry(Count::Wakes).or_default() += 1;
        }
    }

    pub(super) fn check(&mut self, policy: &Policy, effects: &[Effect], workloads: usize) -> Result<()> {
        let all = u32::try_from(workloads).unwrap_or(u32::MAX);
        let work = 40 + 8 * workloads;
        ensure!(effects.len() <= work, "{} effects of one input, for {workloads} workloads", effects.len());
        for effect in effects {
            *self.counts.entry(counted(effect)).or_default() += 1;
        }
        for (what, count) in &self.counts {
            let most = most(*what, policy, all);
            ensure!(*count <= most, "{count} {what:?} in a minute, for {workloads} workloads; {most} are enough");
        }
        Ok(())
    }
}

fn counted(effect: &Effect) -> Count {
    match effect {
        Effect::Render(_) => Count::Renders,
        Effect::Patch(_) => Count::Patches,
        Effect::Evict(_) => Count::Evictions,
        Effect::WriteState(_) => Count::StateWrites,
        Effect::ProbeGuard => Count::Probes,
        Effect::AskAlerts(_) => Count::Questions,
        Effect::Notify(_) | Effect::WriteEvent(_) => Count::Notices,
        Effect::WatchBackends(_) | Effect::WatchTriggers(_) | Effect::WakeAt(_) => Count::Others,
    }
}

/// So many in a minute are enough, in any situation.
fn most(what: Count, policy: &Policy, workloads: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small rate")]
    let renders = (policy.renders_per_second * 60.0) as u32 + policy.render_burst;
    match what {
        Count::Wakes => 300 + 20 * workloads,
        Count::Renders => renders + 2 * workloads,
        Count::Patches => 10 + 3 * workloads,
        Count::Evictions => 30 + 3 * workloads,
        Count::StateWrites => 62,
        // One in five seconds.
        Count::Probes => 13,
        Count::Questions => 12,
        Count::Notices => 20 + 10 * workloads,
        // Each step says when it wants to be woken.
        Count::Others => u32::MAX,
    }
}
