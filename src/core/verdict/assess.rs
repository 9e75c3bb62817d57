//! From all that is known of a workload to its verdict.

mod all_revisions;
mod its_own_rollout;
mod unverifiable_revision;
mod without_pods;

use std::{collections::BTreeSet, time::Duration};

use super::{
    evidence::{Assessment, Evidence, Want},
    judged::Judged,
};
use crate::core::{
    injection::exchanged,
    inventory::{PodClass, on_delete},
    io::{WatchKind, WatchSource},
    model::{Strategy, WorkloadSnapshot, owner::Kind, words::UndeterminedReason},
};

/// The verdict on one workload.
pub(super) fn assess(e: Evidence<'_>) -> Assessment {
    let mut assessment = held(e, without_hold(e));
    let crashes = |class: &PodClass<'_>| class.state.crashing && !class.state.terminating && !class.state.finished;
    let crashing = e.index.pod_classes_of(e.workload).filter(crashes).flat_map(|class| class.pods());
    let crashing: BTreeSet<_> = crashing.map(|pod| pod.key.name.clone()).collect();
    assessment.judged.crashing = crashing.into_iter().collect();
    assessment
}

fn without_hold(e: Evidence<'_>) -> Assessment {
    let Evidence { workload: w, index, case, policy, now, .. } = e;
    let nothing = |judged| Assessment::new(judged, Want::Nothing);
    if let Some(why) = unwatchable(e) {
        return nothing(Judged::undetermined(UndeterminedReason::Forbidden, Some(why)));
    }
    if w.terminating {
        return nothing(without_pods::of_one_that_goes(e));
    }
    if w.template.labels.is_empty() {
        // A template without labels owns no Pods.
        return nothing(Judged::undetermined(
            UndeterminedReason::UnsupportedOwner,
            Some(unverifiable_revision::no_template(w)),
        ));
    }
    if let Some(want) = its_own_rollout::waited_for(e) {
        let why = unverifiable_revision::untold(w).or_else(|| on_delete::stuck_pod(w, index));
        return Assessment::new(Judged::undetermined(UndeterminedReason::Rolling, why), want);
    }
    if let Some(rolling) = case.rolling.filter(|at| now.elapsed < *at + policy.min_pod_age) {
        let judged = Judged::undetermined(UndeterminedReason::Settling, Some("its rollout just ended".to_owned()));
        return Assessment::new(judged, Want::Look(rolling + policy.min_pod_age));
    }
    let Some(current) = e.revisions.first() else { return without_pods::of_no_revision(e) };
    let all: Vec<_> = e.revisions.iter().flat_map(|revision| &revision.classes).copied().collect();
    if let Some(judged) = unknown_pods(e, &all) {
        return nothing(judged);
    }
    // Status and Pods come by different watches.
    if let Some(until) = case.rolling.map(|at| at + LONGEST_LAG).filter(|until| now.elapsed < *until)
        && has_unseen_pods(w, &current.classes)
    {
        let why = "its new Pods were not seen yet".to_owned();
        return Assessment::new(Judged::undetermined(UndeterminedReason::Settling, Some(why)), Want::Look(until));
    }
    if all.is_empty() { without_pods::of(e, current) } else { all_revisions::assess(e) }
}

/// Why the Pods are not what they look like, if so.
fn unknown_pods(e: Evidence<'_>, classes: &[PodClass<'_>]) -> Option<Judged> {
    if let Some(pod) = classes.iter().find(|class| class.state.undecodable).and_then(PodClass::youngest) {
        let why = format!("what the API server sent of Pod {} cannot be decoded", pod.key.name);
        return Some(Judged::undetermined(UndeterminedReason::ApiError, Some(why)));
    }
    let why = unverifiable_revision::made_of_others(e.workload, classes)?;
    Some(Judged::undetermined(UndeterminedReason::Rolling, Some(why)))
}

/// The status tells of Pods of the current template, and they are not among those that are known.
fn has_unseen_pods(w: &WorkloadSnapshot, classes: &[PodClass<'_>]) -> bool {
    // A DaemonSet's template that was changed back and forth leaves its Pods older than it, and counts them as updated.
    let older = w.key.kind == Kind::DAEMON_SET && w.strategy != Strategy::OnDelete;
    let older = older && classes.iter().all(|class| class.made.template_generation < w.template_generation);
    w.counts.updated > 0 && (classes.is_empty() || older)
}

/// A watch that is behind another by more than this is not waited for.
const LONGEST_LAG: Duration = Duration::from_mins(5);

/// Rule R9: as long as an injector that may touch its Pods is being exchanged, no rendering of a workload is asked for.
fn held(e: Evidence<'_>, assessment: Assessment) -> Assessment {
    if !matches!(assessment.want, Want::Render(_) | Want::Another(_) | Want::Periodic) {
        return assessment;
    }
    let Some(why) = exchanged(e.workload, e.index) else {
        return if assessment.want == Want::Periodic { once_settled(e, assessment) } else { assessment };
    };
    let judged = assessment.judged;
    let judged = if judged.is_transient() {
        let pods = judged.pods;
        Judged { pods, ..Judged::undetermined(UndeterminedReason::Settling, Some(why)) }
    } else {
        judged
    };
    Assessment { judged, want: Want::Nothing, ..assessment }
}

/// The periodic look may be overdue at the end of an exchange, and waits as any other does until what changed is in force.
fn once_settled(e: Evidence<'_>, assessment: Assessment) -> Assessment {
    let since = e.injection.unsettled_since(&e.injection.versions_of(e.workload, e.index));
    let settled = since.map(|at| at + e.policy.settle).filter(|at| *at > e.now.elapsed);
    Assessment { want: settled.map_or(Want::Periodic, Want::Look), ..assessment }
}

/// Kinds without which nothing can be said, and that cannot be watched.
fn unwatchable(e: Evidence<'_>) -> Option<String> {
    let key = &e.workload.key;
    let of_kind = |kind| kind == WatchKind::Pods || kind == WatchKind::Workloads(key.kind);
    let needed = |source: &WatchSource| {
        let here = source.namespace.as_ref().is_none_or(|ns| *ns == key.namespace);
        here && (of_kind(source.kind) || (source.kind == WatchKind::ReplicaSets && key.kind.has_replica_sets()))
    };
    e.index.unavailable().find(|(source, _)| needed(source)).map(|(_, why)| why.to_owned())
}
