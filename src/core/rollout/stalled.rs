//! Why a rollout that is late does not move on: where nothing of it will by itself, it is told apart, and its slot is free.

use std::collections::BTreeMap;

use super::{
    context::{Context, Emitter},
    rollouts::Rollouts,
    stays_well::new_pods,
};
use crate::core::{
    injection::View,
    model::{PodWait, WorkloadKey, WorkloadSnapshot, words::Outcome},
};

/// What a rollout is stuck at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    /// In words.
    pub(super) cause: String,
    /// It speaks against going on with others: what they bring may meet the same.
    pub(super) bad: bool,
}

impl Rollouts {
    /// Why the new Pods of a rollout that is late do not come up, as their conditions and those of their workload have it.
    /// `None`: nothing says so.
    pub(super) fn stalled_by_pods(&self, key: &WorkloadKey, w: &WorkloadSnapshot, view: View<'_>) -> Option<Stall> {
        let rollout = self.running.get(key)?;
        if w.paused {
            return Some(Stall { cause: "its own rollouts are paused".to_owned(), bad: false });
        }
        let mut waits: BTreeMap<PodWait, usize> = BTreeMap::new();
        for pod in new_pods(rollout, w, view).iter().filter(|pod| !pod.state.ready) {
            if let Some(wait) = pod.state.waits_for {
                *waits.entry(wait).or_default() += 1;
            }
        }
        if let Some((wait, count)) = waits.into_iter().next() {
            let pods = if count == 1 { "1 new Pod is".to_owned() } else { format!("{count} new Pods are") };
            // Who set the gate lifts it; a Node or an image may be lacking for all that follow, too.
            let bad = wait != PodWait::SchedulingGate;
            return Some(Stall { cause: format!("{pods} {}", wait.as_str()), bad });
        }
        let why = w.refused.as_ref()?;
        Some(Stall { cause: format!("its controller cannot create Pods: {why}"), bad: true })
    }

    /// It is over for us: others need its slot, and it may go on without us when what it waits for comes.
    pub(super) fn stall(
        &mut self,
        key: &WorkloadKey,
        message: &str,
        stall: &Stall,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        if let Some(rollout) = self.running.get_mut(key) {
            rollout.blocked = stall.bad;
        }
        self.end(key, Outcome::Stalled, format!("{message}; {}", stall.cause), context, emit);
    }
}
