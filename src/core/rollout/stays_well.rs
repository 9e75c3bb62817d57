//! Whether new Pods stay well. A rollout counts as converged only when they have for a while, and what it proved is taken
//! back when they crash while others still wait for the soak.

use std::{collections::BTreeMap, time::Duration};

use super::{
    context::{Context, Emitter},
    rollout_state::{Crashes, Rollout, Soaking, Well},
    rollouts::Rollouts,
};
use crate::core::{
    config::Policy,
    injection::View,
    inventory::{Pod, current_revision, pods_in},
    model::{
        WorkloadKey, WorkloadSnapshot,
        rollout_status::{self, Progress},
        words::Outcome,
    },
};

/// How long new Pods have stayed well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// One of them is not ready, or none is there.
    No,
    /// Long enough at that time, if nothing happens.
    Until(Duration),
    /// Long enough.
    Long,
}

impl Rollouts {
    /// Notes which of the new Pods are ready, and says how long all of those have stayed so that were there when the platform
    /// was finished. Pods that come and go afterwards, as an autoscaler wants them, are no part of it.
    pub(super) fn note_well(&mut self, key: &WorkloadKey, context: Context<'_>) -> Stay {
        let View { policy, index, now, .. } = context.view;
        let (Some(rollout), Some(workload)) = (self.running.get_mut(key), index.workload(key)) else { return Stay::No };
        let pods = new_pods(rollout, workload, context.view);
        let there: BTreeMap<_, _> = pods.iter().map(|pod| (&pod.uid, pod)).collect();
        rollout.well.retain(|uid, _| there.contains_key(uid));
        if rollout.well.is_empty() {
            rollout.well = pods.iter().map(|pod| (pod.uid.clone(), None)).collect();
        }
        let least = least(workload, policy);
        let mut ends = Some(Duration::ZERO).filter(|_| !rollout.well.is_empty());
        for (uid, well) in &mut rollout.well {
            let Some(state) = there.get(uid).map(|pod| pod.state) else { continue };
            let restarts = state.restarts;
            let same = well.filter(|before| before.restarts == restarts);
            *well = state.ready.then(|| same.unwrap_or(Well { since: now.elapsed, restarts }));
            let end = well.map(|well| well.since.saturating_add(least.max(state.back_off())));
            ends = ends.zip(end).map(|(a, b)| a.max(b));
        }
        match ends {
            None => Stay::No,
            Some(at) if at > now.elapsed => Stay::Until(at),
            Some(_) => Stay::Long,
        }
    }

    /// The platform is done with it: others may have its slot, and its new Pods are to stay well from now on.
    pub(super) fn note_finished_platform(&mut self, key: &WorkloadKey, context: Context<'_>) -> Stay {
        let first = self.running.get(key).is_some_and(|rollout| rollout.well.is_empty());
        let stay = self.note_well(key, context);
        let Some(rollout) = self.running.get_mut(key) else { return stay };
        if rollout.done.is_none() {
            rollout.done = Some(context.view.now.elapsed);
            self.schedule.request();
        }
        rollout.wake = None;
        if let Stay::Until(at) = stay {
            rollout.wake = Some(at);
            // Waiting for that is no delay; waiting for Pods that come and go is.
            rollout.stepped = if first { rollout.stepped.max(at) } else { rollout.stepped };
        }
        stay
    }

    /// The platform was done with it, and is not any more. If the Pods that it brought are not well others wait for it again; of those
    /// that come and go, as an autoscaler wants them, it has no slot.
    pub(super) fn take_slot_back(&mut self, key: &WorkloadKey, context: Context<'_>) {
        // When all that it brought are gone, they are not well.
        if self.running.get(key).is_none_or(|rollout| rollout.well.is_empty() && rollout.done.is_none()) {
            return;
        }
        let stay = self.note_well(key, context);
        if let Some(rollout) = self.running.get_mut(key).filter(|_| stay == Stay::No) {
            rollout.done = None;
        }
    }

    /// Its new Pods are as rendered: it converged, if they have stayed well.
    pub(super) fn converge(
        &mut self,
        key: &WorkloadKey,
        stay: Stay,
        message: String,
        late: bool,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        let View { policy, now, .. } = context.view;
        if stay == Stay::Long {
            return self.end(key, Outcome::Converged, message, context, emit);
        }
        let given_up = self.running.get(key).is_some_and(|rollout| rollout.has_given_up(policy, now));
        if (late && policy.one_shot) || given_up {
            let message = "finished, but its new Pods do not stay ready".to_owned();
            return self.end(key, Outcome::TimedOut, message, context, emit);
        }
        self.progress(key, "watching whether the new Pods stay ready", late, context, emit);
    }

    /// It converged, and others may follow it: its Pods are watched for as long as they wait.
    pub(super) fn begin_soak(&mut self, key: &WorkloadKey, rollout: Rollout, view: View<'_>) {
        if !view.policy.soak.is_zero() {
            let until = view.now.elapsed.saturating_add(view.policy.soak);
            self.soaking.insert(key.clone(), Soaking { rollout, until });
        }
    }

    /// Looks at one that converged: when its new Pods do not stay well, it failed after all.
    pub(super) fn watch_soaking(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) {
        let View { index, now, .. } = context.view;
        let Some(Soaking { rollout, until }) = self.soaking.get_mut(key) else { return };
        // What its owner changed since is none of the rollout's.
        let same = |w: &&WorkloadSnapshot| {
            w.uid == rollout.uid
                && w.template.hash == rollout.template
                && w.template.stamp.as_ref() == rollout.stamps.last()
        };
        let Some(workload) = index.workload(key).filter(same) else {
            self.soaking.remove(key);
            return;
        };
        rollout.crashes = crashes(rollout, workload, context.view);
        let fails_at = rollout.crashes.and_then(Crashes::fails_at);
        let gave_up = matches!(rollout_status::progress(workload), Progress::Failed(_));
        if gave_up || fails_at.is_some_and(|at| now.elapsed >= at) {
            let Some(Soaking { mut rollout, .. }) = self.soaking.remove(key) else { return };
            "its new Pods were well at first, and crash now".clone_into(&mut rollout.message);
            let report = rollout.report(key, Some(Outcome::Failed), now);
            self.close_causes(key, &rollout.message, context.view);
            self.schedule.request();
            self.report_end(report, key, Some(Outcome::Converged), Outcome::Failed, context, emit);
        } else if fails_at.is_none() && now.elapsed >= *until {
            self.soaking.remove(key);
        }
    }
}

/// The Pods that a rollout brought, but for those on their way out.
pub(super) fn new_pods<'a>(rollout: &Rollout, workload: &'a WorkloadSnapshot, view: View<'a>) -> Vec<&'a Pod> {
    let classes = current_revision(workload, view.index).map(|(_, classes)| classes).unwrap_or_default();
    let mut pods = pods_in(&classes);
    pods.retain(|pod| !rollout.before.contains(&pod.uid) && !pod.state.terminating);
    pods
}

/// How long new Pods have to stay ready at least.
fn least(workload: &WorkloadSnapshot, policy: &Policy) -> Duration {
    policy.min_ready.max(Duration::from_secs(workload.min_ready_seconds.into()))
}

/// Since when new Pods crash. One that is ready between two crashes is not well yet: it is once it stayed ready for as long as
/// the kubelet would have waited to start it once more, and no less than any other has to. One that was never started again,
/// because its image could not be pulled, is at once.
pub(super) fn crashes(rollout: &Rollout, workload: &WorkloadSnapshot, view: View<'_>) -> Option<Crashes> {
    let now = view.now.elapsed;
    let new = new_pods(rollout, workload, view);
    let crashing = new.iter().any(|pod| pod.state.crashing);
    let lasting = |crashes: &Crashes| crashes.calm.is_none_or(|(_, until)| now < until);
    let Some(known) = rollout.crashes.filter(lasting) else {
        return crashing.then_some(Crashes { since: now, now: true, calm: None });
    };
    let restarts = new.iter().map(|pod| u32::from(pod.state.restarts)).sum();
    let back_off = new.iter().map(|pod| pod.state.back_off()).max().unwrap_or_default();
    let ready = !crashing && new.iter().all(|pod| pod.state.ready);
    if ready && restarts == 0 {
        return None;
    }
    let until = now.saturating_add(back_off.max(least(workload, view.policy)));
    let same = known.calm.filter(|(before, _)| *before == restarts);
    Some(Crashes { now: crashing, calm: ready.then(|| same.unwrap_or((restarts, until))), ..known })
}
