//! Which revisions a workload's Pods are of, and which is the current one.

use std::collections::BTreeMap;

use super::{
    compact::{Made, Pod},
    index::Index,
    on_delete,
    pod_classes::PodClass,
};
use crate::core::model::{Name, Strategy, WorkloadSnapshot, rollout_status};

/// The Pods of one revision of a workload that are alive, by class.
#[derive(Clone, Debug)]
pub struct Revision<'a> {
    /// The object that holds its template: a ReplicaSet's or a ControllerRevision's name. Empty: of a DaemonSet without Pods
    /// its newest, whatever that is called; else its Pods do not say of which revision they are.
    pub name: Name,
    /// Those of its Pods that are neither on their way out nor finished.
    pub classes: Vec<PodClass<'a>>,
}

/// The revisions of a workload: the current one first, which may have no Pods, and then each other one that has Pods (rules
/// R1, C8), the one with the youngest Pod first. Empty: which one is current is not known yet.
pub fn revisions<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> Vec<Revision<'a>> {
    let mut classes: Vec<_> = alive(w, index).collect();
    let Some((name, of_current)) = current(w, index, &classes) else { return Vec::new() };
    classes.retain(|class| !of_current.iter().any(|known| known.is_same(class)));
    let mut older: BTreeMap<Name, Vec<PodClass<'a>>> = BTreeMap::new();
    for class in classes {
        older.entry(name_of(w, class.made)).or_default().push(class);
    }
    let older = older.into_iter().map(|(name, classes)| Revision { name, classes });
    let mut all: Vec<_> = std::iter::once(Revision { name, classes: of_current }).chain(older).collect();
    let born = |revision: &Revision<'_>| youngest(&revision.classes).map(|pod| pod.created);
    all[1..].sort_by_key(|revision| std::cmp::Reverse(born(revision)));
    all
}

/// The first of [`revisions`]: the object that holds its template, and its Pods. `None`: not known yet.
pub fn current_revision<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> Option<(Name, Vec<PodClass<'a>>)> {
    let classes: Vec<_> = alive(w, index).collect();
    current(w, index, &classes)
}

/// When the youngest of the workload's Pods that are alive was created.
pub fn youngest_pod<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> Option<&'a Pod> {
    youngest(&alive(w, index).collect::<Vec<_>>())
}

/// Its Pods of any revision that are alive, by class.
fn alive<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> impl Iterator<Item = PodClass<'a>> {
    let alive = |class: &PodClass<'_>| !class.state.terminating && !class.state.finished && !class.state.mirror;
    index.pod_classes_of(w).filter(alive)
}

fn youngest<'a>(classes: &[PodClass<'a>]) -> Option<&'a Pod> {
    classes.iter().filter_map(PodClass::youngest).max_by_key(|pod| pod.created)
}

/// The object that holds the template which these Pods were made from, as far as they say.
fn name_of(w: &WorkloadSnapshot, made: &Made) -> Name {
    match &made.owner {
        Some(set) if w.key.kind.has_replica_sets() => set.name.clone(),
        _ if made.revision.is_empty() => Name::from(""),
        _ => on_delete::revision_of(w, made),
    }
}

/// The object that holds the template of the workload's current revision, and those of these Pods that are of it.
fn current<'a>(w: &WorkloadSnapshot, index: &Index, classes: &[PodClass<'a>]) -> Option<(Name, Vec<PodClass<'a>>)> {
    let mut classes = classes.to_vec();
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
            // Without any Pods the next one is of the newest, unless a partition keeps it.
            let next = classes.is_empty() && rollout_status::partition(w) < w.counts.desired;
            let revision = if updated || next { &w.update_revision } else { &w.current_revision };
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
                newest.as_deref().is_some_and(same)
            });
            newest.map_or_else(|| Name::from(""), |made| name_of(w, &made))
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
