//! Workloads whose own rollout is under way: as long as it moves on nothing is said of them (rule C8), but not for ever.

use std::time::Duration;

use crate::core::{
    inventory::youngest_pod,
    model::rollout_status,
    verdict::evidence::{Evidence, Want},
};

/// A rollout that has made no Pod for so long does not move on: as long as a Deployment's progress deadline is by default.
const QUIET: Duration = Duration::from_mins(10);
/// A rollout that has taken so long is judged, whatever it still does: an autoscaler makes Pods of either revision all day.
const LONGEST: Duration = Duration::from_hours(1);

/// The workload's rollout is under way and may still end: what is to be waited for.
pub(super) fn waited_for(e: Evidence<'_>) -> Option<Want> {
    let Evidence { workload: w, now, .. } = e;
    if !rollout_status::rollout_in_progress(w) {
        return None;
    }
    if w.key.kind.described().is_some() {
        // Which Pods are of the present template is known only when all are.
        return Some(Want::Nothing);
    }
    let left = QUIET.checked_sub(quiet_for(e))?.min(LONGEST.checked_sub(lasts_for(e))?);
    // What is over this very moment is over.
    (!left.is_zero()).then(|| Want::Look(now.elapsed + left))
}

/// For how long nothing has moved, as far as it can be seen: no Pod was made, and nobody changed the workload.
fn quiet_for(e: Evidence<'_>) -> Duration {
    // Where nobody recorded when it was changed, it counts from when we saw it first.
    let changed = changed_for(e).unwrap_or_else(|| watched_for(e));
    youngest_pod(e.workload, e.index).map_or(changed, |pod| e.now.since(pod.created).min(changed))
}

/// For how long it lasts, at the least: a rollout begins with a change.
fn lasts_for(e: Evidence<'_>) -> Duration {
    changed_for(e).unwrap_or_default().max(watched_for(e))
}

fn changed_for(e: Evidence<'_>) -> Option<Duration> {
    let changed = e.workload.changed_by.as_ref().and_then(|change| change.time);
    changed.map(|time| e.now.since(time))
}

fn watched_for(e: Evidence<'_>) -> Duration {
    e.case.rolling_since.map_or(Duration::ZERO, |since| e.now.elapsed.saturating_sub(since))
}
