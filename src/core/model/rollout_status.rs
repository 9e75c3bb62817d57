//! Where a workload's own rollout stands, by the rules of `kubectl rollout status`.

use crate::core::model::{
    object::{Strategy, WorkloadSnapshot},
    owner::{Kind, RevisionKind},
};

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not finished; for people, in the words of `kubectl rollout status`.
    Waiting(String),
    /// Finished: every Pod is of the new revision and available.
    Done,
    /// The platform gave up: the Deployment's progress deadline is exceeded.
    Failed(String),
}

/// The rules of `kubectl rollout status`, per kind.
pub fn progress(w: &WorkloadSnapshot) -> Progress {
    let c = w.counts;
    let waiting = |text: String| Progress::Waiting(text);
    if w.observed_generation < w.generation {
        return waiting("waiting for the controller to observe the change".to_owned());
    }
    if w.deadline_exceeded {
        return Progress::Failed(match w.key.kind {
            Kind::ROLLOUT => "it was aborted, or exceeded its progress deadline".to_owned(),
            _ => "it exceeded its progress deadline".to_owned(),
        });
    }
    if w.key.kind == Kind::ROLLOUT {
        return rollout_progress(w);
    }
    if has_update_revision(w) {
        return stateful_set_progress(w);
    }
    if c.updated < c.desired {
        return waiting(format!("{} of {} updated", c.updated, c.desired));
    }
    if (w.key.kind == Kind::DEPLOYMENT || w.key.kind.described().is_some()) && c.current > c.updated {
        return waiting(format!("{} old replicas are being removed", c.current - c.updated));
    }
    if c.available < c.updated {
        return waiting(format!("{} of {} updated Pods available", c.available, c.updated));
    }
    if tells_of_restarts(w) && restarting(w) {
        return waiting("Pods older than the time of the restart are being replaced".to_owned());
    }
    Progress::Done
}

/// Its status names the revision that its Pods are brought to.
pub fn has_update_revision(w: &WorkloadSnapshot) -> bool {
    w.key.kind.row().revisions == RevisionKind::ControllerRevision && w.key.kind != Kind::DAEMON_SET
}

/// Its status says, as its description has it, which restart is done.
fn tells_of_restarts(w: &WorkloadSnapshot) -> bool {
    w.key.kind.described().is_some_and(|described| described.status.restarted.is_some())
}

/// It was asked to restart its Pods, and has not done so yet.
fn restarting(w: &WorkloadSnapshot) -> bool {
    w.template.stamp.as_ref().is_some_and(|asked| w.restarted.is_none_or(|done| done < asked.timestamp))
}

/// A restart: its controller evicts the Pods that are older.
fn rollout_progress(w: &WorkloadSnapshot) -> Progress {
    let c = w.counts;
    if w.update_revision != w.current_revision {
        return Progress::Waiting("its own steps are under way".to_owned());
    }
    if restarting(w) {
        return Progress::Waiting("Pods older than `restartAt` are being replaced".to_owned());
    }
    if c.available < c.desired {
        return Progress::Waiting(format!("{} of {} Pods available", c.available, c.desired));
    }
    Progress::Done
}

fn stateful_set_progress(w: &WorkloadSnapshot) -> Progress {
    let c = w.counts;
    if c.ready < c.desired {
        return Progress::Waiting(format!("{} of {} Pods ready", c.ready, c.desired));
    }
    let partition = partition(w);
    if partition > 0 {
        let wanted = c.desired.saturating_sub(partition);
        if c.updated < wanted {
            return Progress::Waiting(format!("{} of {wanted} updated (partition {partition})", c.updated));
        }
        return Progress::Done;
    }
    if w.strategy == Strategy::OnDelete {
        // Its controller never moves the current revision.
        if c.updated < c.desired {
            return Progress::Waiting(format!("{} of {} updated", c.updated, c.desired));
        }
    } else if w.update_revision != w.current_revision {
        return Progress::Waiting(format!("{} of {} updated", c.updated, c.desired));
    }
    Progress::Done
}

/// Ordinals below keep their revision; 0 for all but a partitioned StatefulSet.
pub fn partition(w: &WorkloadSnapshot) -> u32 {
    match w.strategy {
        Strategy::RollingUpdate { partition, .. } => partition,
        Strategy::Recreate | Strategy::OnDelete => 0,
    }
}

/// Pods of one revision are being replaced by those of another: nothing can be said of the workload now (rule C8). Pods that
/// are merely not available do not count, nor does a rollout that the platform gave up or that somebody paused.
pub fn rollout_in_progress(w: &WorkloadSnapshot) -> bool {
    if w.observed_generation < w.generation {
        return true;
    }
    let c = w.counts;
    if w.key.kind.described().is_some() {
        // Which Pods are of the present template is known only when all are, whoever stopped it.
        return c.updated < c.desired || c.current > c.updated || (tells_of_restarts(w) && restarting(w));
    }
    if w.paused || w.deadline_exceeded || w.strategy == Strategy::OnDelete {
        return false;
    }
    if w.key.kind == Kind::ROLLOUT {
        // Its own canary or preview; or our restart, during which Pods of one revision are exchanged for others of it.
        return w.update_revision != w.current_revision || restarting(w);
    }
    if has_update_revision(w) {
        let wanted = c.desired.saturating_sub(partition(w));
        return w.update_revision != w.current_revision && c.updated < wanted;
    }
    // Pods of an old revision are left. One that is merely short of Pods is not rolling, and would be for ever
    // where new ones are refused.
    c.current > c.updated
}

/// Every wanted Pod is there and available.
pub fn healthy(w: &WorkloadSnapshot) -> bool {
    let c = w.counts;
    // A StatefulSet reports `availableReplicas` since 1.22; ready says the same for one without minReadySeconds.
    !w.deadline_exceeded && c.available >= c.desired && c.ready >= c.desired
}

#[cfg(test)]
mod tests;
