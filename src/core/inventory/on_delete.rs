//! Workloads whose Pods are replaced only when somebody deletes them: because their strategy says so, or because they are
//! stuck.
//!
//! Their owner may have changed the template and be waiting with the Pods: then Pods of several revisions run side by side
//! for as long as he likes. Each is judged by its own revision, but a new one is made in its place only where the template of
//! that is known to be the present one but for our stamp.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    compact::{Made, Pod},
    index::Index,
    pod_classes::PodClass,
};
use crate::core::model::{
    Name, Strategy, WorkloadSnapshot,
    owner::Kind,
    rollout_status::{self, Progress},
};

/// Its Pods that run, or are to run: those that are on their way out included.
pub fn alive<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> Vec<&'a Pod> {
    let mut pods = index.pods_of(w);
    pods.retain(|pod| !pod.state.finished && !pod.state.mirror);
    pods
}

/// The same by class.
fn alive_classes<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> impl Iterator<Item = PodClass<'a>> {
    index.pod_classes_of(w).filter(|class| !class.state.finished && !class.state.mirror)
}

/// What Pods were made from is not the newest revision of their workload.
pub fn is_outdated(w: &WorkloadSnapshot, made: &Made) -> bool {
    if w.key.kind == Kind::DAEMON_SET {
        made.template_generation < w.template_generation
    } else if w.key.kind.has_template_only() {
        // Of what nobody stamped each Pod is as good as any other.
        w.template.stamp.as_ref().is_some_and(|stamp| made.stamped != Some(stamp.timestamp))
    } else {
        made.revision != w.update_revision
    }
}

/// Whether this is the present template but for our stamp; `None`: that is not known. `templates`: see
/// [`Confirmation::templates`](crate::core::io::Confirmation::templates).
fn same_template(w: &WorkloadSnapshot, made: &Made, templates: &BTreeMap<Name, Name>) -> Option<bool> {
    // Where nothing tells of older templates the present one is taken for all there is; what the owner changed in an app
    // container shows as collateral.
    if !is_outdated(w, made) || w.key.kind.has_template_only() {
        return Some(true);
    }
    Some(*templates.get(&revision_of(w, made))? == w.template.hash)
}

/// Pods of it are to be evicted, or something else is to be waited for before a rollout of it is finished.
pub fn is_waiting(w: &WorkloadSnapshot, index: &Index) -> bool {
    let left = w.key.kind.is_replicas() && alive_classes(w, index).any(|class| is_outdated(w, class.made));
    left || matches!(rollout_status::progress(w), Progress::Waiting(_))
}

/// What a set is stuck at whose Pods have ordinals, and what helps, in one sentence: its controller waits for a Pod that does not
/// start before it looks at the next one, and makes it no new one when the template is mended meanwhile.
pub fn stuck_pod(w: &WorkloadSnapshot, index: &Index) -> Option<String> {
    let broken = |class: &PodClass<'_>| w.key.kind.row().ordinals && class.state.crashing && !class.state.terminating;
    let pods = alive_classes(w, index).filter(broken).flat_map(|class| class.pods());
    let name = &pods.min_by(|a, b| a.key.cmp(&b.key))?.key.name;
    Some(format!("Pod {name} does not start, and the set waits for it: once the template is right, delete that Pod"))
}

/// The name of the ControllerRevision that Pods were made from. A DaemonSet's Pods carry only the hash that it ends with.
pub fn revision_of(w: &WorkloadSnapshot, made: &Made) -> Name {
    if w.key.kind != Kind::DAEMON_SET {
        return made.revision.clone();
    }
    // As the controller names them, cut to the length of a name.
    let prefix: String = w.key.name.chars().take(223).collect();
    Name::from(format!("{prefix}-{}", made.revision))
}

/// Some Pod of it is known to run an older template: its owner waits with his own change.
pub fn is_pending(w: &WorkloadSnapshot, index: &Index, templates: &BTreeMap<Name, Name>) -> bool {
    older(w, index).any(|class| same_template(w, class.made, templates) == Some(false))
}

/// What some Pod of it runs is not known: its revisions were not read yet.
pub fn is_unread(w: &WorkloadSnapshot, index: &Index, templates: &BTreeMap<Name, Name>) -> bool {
    older(w, index).any(|class| same_template(w, class.made, templates).is_none())
}

fn older<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> impl Iterator<Item = PodClass<'a>> {
    let waits = w.strategy == Strategy::OnDelete;
    alive_classes(w, index).filter(move |class| waits && !class.state.terminating && is_outdated(w, class.made))
}

/// The Pods that a rollout by evictions has not replaced yet.
pub fn not_replaced(w: &WorkloadSnapshot, index: &Index) -> BTreeSet<Name> {
    let pods = if w.strategy == Strategy::OnDelete { alive(w, index) } else { Vec::new() };
    pods.into_iter().filter(|pod| is_outdated(w, &pod.made)).map(|pod| pod.key.name.clone()).collect()
}
