//! Workloads without Pods: one that wants none has nothing to be judged; of one that wants some it is asked why it has none.

use std::time::Duration;

use crate::core::{
    inventory::{Revision, youngest_pod},
    model::words::{UndeterminedReason, Verdict},
    verdict::{
        admission_evidence::UNCERTAIN_RETRY,
        evidence::{Assessment, Evidence, Want},
        judge::{failed, first_rendering},
        judged::Judged,
        ripe_pods::RipePods,
    },
};

/// A controller makes Pods within this time, and the watches tell of them.
const PODS_COME: Duration = Duration::from_secs(30);

/// It is being deleted.
pub(super) fn of_one_that_goes(e: Evidence<'_>) -> Judged {
    if youngest_pod(e.workload, e.index).is_none() {
        return Judged::plain(Verdict::NoPods);
    }
    Judged::undetermined(UndeterminedReason::Rolling, Some("it is being deleted, and so are its Pods".to_owned()))
}

/// It is not known which revision is the current one.
pub(super) fn of_no_revision(e: Evidence<'_>) -> Assessment {
    let nothing = |judged| Assessment::new(judged, Want::Nothing);
    if youngest_pod(e.workload, e.index).is_some() {
        return nothing(Judged::undetermined(UndeterminedReason::Pending, None));
    }
    if e.workload.counts.desired == 0 {
        return nothing(Judged::plain(Verdict::NoPods));
    }
    if let Some(until) = they_may_come_until(e) {
        return Assessment::new(Judged::undetermined(UndeterminedReason::Pending, None), Want::Look(until));
    }
    let why = if e.workload.paused {
        "it is paused, and has no ReplicaSet yet"
    } else {
        "it has no ReplicaSet of its present template"
    };
    nothing(Judged::undetermined(UndeterminedReason::PodsMissing, Some(why.to_owned())))
}

/// It has no Pods that are alive, of any revision.
pub(super) fn of(e: Evidence<'_>, current: &Revision<'_>) -> Assessment {
    let wants_some = e.workload.counts.desired > 0;
    if !wants_some && !e.policy.all_workloads {
        return Assessment::new(Judged::plain(Verdict::NoPods), Want::Nothing);
    }
    let versions = e.injection.versions_of(e.workload, e.index);
    let known = e.case.of(&current.name);
    if let Some(failure) = known.and_then(|known| known.failure_under(&versions)) {
        return failed(e, failure, None, &RipePods::default());
    }
    let Some(set) = known.and_then(|known| known.set_under(&versions)) else {
        return first_rendering(e, &versions);
    };
    if !wants_some {
        // It would come back, and there is nothing to compare it with.
        return Assessment::new(Judged::plain(Verdict::NoPods), Want::Periodic);
    }
    // One that goes is often seen before the one that takes its place.
    if let Some(until) = they_may_come_until(e) {
        let why = "its Pods were not created yet".to_owned();
        return Assessment::new(Judged::undetermined(UndeterminedReason::Settling, Some(why)), Want::Look(until));
    }
    let since = e.case.without_pods_since.unwrap_or(e.now.elapsed);
    if set.confirmed.elapsed < since {
        // What was admitted while it had Pods says nothing of now.
        return Assessment::new(Judged::default(), Want::Render(e.now.elapsed));
    }
    let why = format!("it wants {}, and a Pod of it would be admitted", e.workload.counts.desired);
    let judged = Judged::undetermined(UndeterminedReason::PodsMissing, Some(why));
    // What refuses Pods may be something whose changes nobody tells; asked ever more seldom.
    let wait = set.confirmed.elapsed.saturating_sub(since).clamp(UNCERTAIN_RETRY, e.policy.resync.max(UNCERTAIN_RETRY));
    Assessment::new(judged, Want::Render(set.confirmed.elapsed + wait))
}

/// It has had no Pods only for a moment. Who looks once does not wait.
fn they_may_come_until(e: Evidence<'_>) -> Option<Duration> {
    let until = e.case.without_pods_since.unwrap_or(e.now.elapsed) + PODS_COME;
    (until > e.now.elapsed && !e.policy.one_shot).then_some(until)
}
