//! Which revision a workload's Pods are judged against.

use super::{compact::Pod, index::Index, on_delete};
use crate::core::model::{Name, Strategy, WorkloadSnapshot, owner::Kind, rollout_status};

/// The object that holds the template of the workload's current revision (a ReplicaSet's or a ControllerRevision's name),
/// and those of its Pods that are of it and alive (rules R1, C8). `None`: not known yet. A DaemonSet without Pods has an empty one: its newest, whatever that is called.
pub fn current_revision<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> Option<(Name, Vec<&'a Pod>)> {
    let mut pods = index.pods_of(w);
    pods.retain(|p| !p.state.terminating && !p.state.finished && !p.state.mirror);
    let object = match w.key.kind {
        kind if kind.has_replica_sets() => {
            let newest = index.newest_replica_set(w)?;
            pods.retain(|p| p.made.owner.as_ref().is_some_and(|o| o.uid == newest.uid));
            newest.key.name.clone()
        }
        // Which Pods are of it is not known one by one: see `made_of_others`.
        kind if kind.has_template_only() => w.template.identity(),
        _ if rollout_status::has_update_revision(w) => {
            let updated = pods.iter().any(|p| p.made.revision == w.update_revision);
            let revision = if updated { &w.update_revision } else { &w.current_revision };
            // Its controller never moves the current revision of one that waits for deletions.
            let youngest =
                pods.iter().max_by_key(|p| p.created).filter(|_| !updated && w.strategy == Strategy::OnDelete);
            let revision = youngest.map_or_else(|| revision.clone(), |pod| pod.made.revision.clone());
            pods.retain(|p| p.made.revision == revision);
            revision
        }
        _ => {
            // Without Pods nobody told us what its revision is called.
            let newest = pods.iter().max_by_key(|p| p.made.template_generation);
            let newest = newest.map(|p| (p.made.template_generation, &p.made.revision));
            // A template that was changed back is of a revision that older Pods are of, too: they stay as they are.
            pods.retain(|p| newest.is_some_and(|(at, of)| p.made.template_generation == at || p.made.revision == *of));
            pods.first().map_or_else(|| Name::from(""), |pod| on_delete::revision_of(w, pod))
        }
    };
    Some((object, pods))
}
