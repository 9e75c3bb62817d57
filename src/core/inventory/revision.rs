//! Which revision a workload's Pods are judged against.

use super::{
    compact::{Made, Pod},
    index::Index,
    on_delete,
    pod_classes::PodClass,
};
use crate::core::model::{Name, Strategy, WorkloadSnapshot, rollout_status};

/// The object that holds the template of the workload's current revision (a ReplicaSet's or a ControllerRevision's name),
/// and those of its Pods that are of it and alive (rules R1, C8), by class. `None`: not known yet. A DaemonSet without Pods
/// has an empty one: its newest, whatever that is called.
pub fn current_revision<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> Option<(Name, Vec<PodClass<'a>>)> {
    let alive = |class: &PodClass<'_>| !class.state.terminating && !class.state.finished && !class.state.mirror;
    let mut classes: Vec<_> = index.pod_classes_of(w).filter(alive).collect();
    let youngest = |classes: &[PodClass<'a>]| classes.iter().filter_map(PodClass::youngest).max_by_key(|p| p.created);
    let object = match w.key.kind {
        kind if kind.has_replica_sets() => {
            let newest = index.newest_replica_set(w)?;
            classes.retain(|class| class.made.owner.as_ref().is_some_and(|o| o.uid == newest.uid));
            newest.key.name.clone()
        }
        // Which Pods are of it is not known one by one: see `made_of_others`.
        kind if kind.has_template_only() => w.template.identity(),
        _ if rollout_status::has_update_revision(w) => {
            let updated = classes.iter().any(|class| class.made.revision == w.update_revision);
            let revision = if updated { &w.update_revision } else { &w.current_revision };
            // Its controller never moves the current revision of one that waits for deletions.
            let youngest = youngest(&classes).filter(|_| !updated && w.strategy == Strategy::OnDelete);
            let revision = youngest.map_or_else(|| revision.clone(), |pod| pod.made.revision.clone());
            classes.retain(|class| class.made.revision == revision);
            revision
        }
        _ => {
            // Without Pods nobody told us what its revision is called.
            let generation = classes.iter().map(|class| class.made.template_generation).max();
            let newest: Vec<_> =
                classes.iter().filter(|class| Some(class.made.template_generation) == generation).copied().collect();
            let newest = youngest(&newest).map(|pod| pod.made.clone());
            // A template that was changed back is of a revision that older Pods are of, too: they stay as they are.
            classes.retain(|class| {
                let same = |made: &Made| class.made.revision == made.revision;
                Some(class.made.template_generation) == generation || newest.as_deref().is_some_and(same)
            });
            newest.map_or_else(|| Name::from(""), |made| on_delete::revision_of(w, &made))
        }
    };
    Some((object, classes))
}

/// The Pods of these classes, sorted by name. Costs what there are Pods.
pub fn pods_in<'a>(classes: &[PodClass<'a>]) -> Vec<&'a Pod> {
    let mut pods: Vec<_> = classes.iter().flat_map(PodClass::pods).collect();
    pods.sort_by(|a, b| a.key.cmp(&b.key));
    pods
}
