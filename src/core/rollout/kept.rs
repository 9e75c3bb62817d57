//! Pods that a partition keeps at an older revision: no rollout replaces them.

use std::collections::BTreeSet;

use crate::core::{
    inventory::{Index, current_revision, pods_in},
    model::{Name, WorkloadSnapshot, rollout_status},
    verdict::{Judged, PodGroup},
};

/// The groups of Pods that differ and that a rollout of the workload would replace, at least in part.
pub(super) fn replaced<'a>(w: &WorkloadSnapshot, judged: &'a Judged, index: &Index) -> Vec<&'a PodGroup> {
    let groups = judged.groups.iter();
    let current = current_revision(w, index).filter(|_| rollout_status::partition(w) > 0);
    let Some((_, classes)) = current else { return groups.collect() };
    let new: BTreeSet<&Name> = pods_in(&classes).into_iter().map(|pod| &pod.key.name).collect();
    groups.filter(|group| group.pods.iter().any(|pod| new.contains(pod))).collect()
}

/// Nothing differs that a rollout of the workload would replace.
pub(super) fn only_kept_differ(w: &WorkloadSnapshot, judged: &Judged, index: &Index) -> bool {
    !judged.groups.is_empty() && replaced(w, judged, index).is_empty()
}
