//! What is told of the revisions of a workload whose kind a person described, and what is not.

use crate::core::{
    inventory::{PodClass, Revision},
    model::{
        WorkloadSnapshot,
        rollout_status::{self, Progress},
    },
};

/// Why it cannot be said that all Pods of a workload were made from its present template, where nothing but the workload
/// itself holds that, although its status says so.
pub(super) fn made_of_others(w: &WorkloadSnapshot, classes: &[PodClass<'_>]) -> Option<String> {
    let described = w.key.kind.described().filter(|_| w.key.kind.has_template_only())?;
    let (there, updated) = (classes.iter().map(PodClass::count).sum::<usize>(), w.counts.updated);
    if there > updated as usize {
        return Some(format!("it has {there} Pods, and its status says of {updated} that they are of its template"));
    }
    let label = described.revision_label.as_deref()?;
    let wanted = &*w.update_revision;
    if wanted.is_empty() {
        return Some(format!(
            "its status does not say at {} of which revision its Pods are",
            described.status.revision
        ));
    }
    let is_of = |class: &&PodClass<'_>| {
        let revision = &class.made.revision;
        !revision.is_empty()
            && wanted.strip_suffix(&**revision).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
    };
    let other = classes.iter().find(|class| !is_of(class)).and_then(PodClass::youngest)?;
    Some(format!("the label {label} of Pod {} is not of the revision {wanted}", other.key.name))
}

/// Why it cannot be said what these Pods were made from: what names their revision is not on them.
pub(super) fn unnamed(revision: &Revision<'_>) -> Option<String> {
    let pod = revision.classes.first().filter(|_| revision.name.is_empty()).and_then(PodClass::youngest)?;
    Some(format!("Pod {} does not say of which revision it is", pod.key.name))
}

/// What the status of a described kind leaves open, with the names of the fields: they may be the wrong ones.
pub(super) fn untold(w: &WorkloadSnapshot) -> Option<String> {
    let paths = &w.key.kind.described()?.status;
    let what = match rollout_status::progress(w) {
        Progress::Waiting(what) | Progress::Failed(what) => what,
        Progress::Done => "its status is behind".to_owned(),
    };
    if w.observed_generation < w.generation {
        let (seen, now) = (w.observed_generation, w.generation);
        return Some(format!("{what}: {} is {seen}, and the generation is {now}", paths.observed_generation));
    }
    Some(format!("{what}, as {} says", paths.updated))
}

/// A template without labels owns no Pods.
pub(super) fn no_template(w: &WorkloadSnapshot) -> String {
    match w.key.kind.described() {
        Some(described) => format!("it has no Pod template with labels at {}", described.template),
        None => "it has no Pod template of its own, but names another object's".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        inventory::Index,
        io::{WatchEvent, WatchKind, WatchSource},
        model::{Counts, Object, ObjectKey, Owner, PodSnapshot, owner::Kind, test_objects},
    };

    /// What is said of a workload with Pods of these revisions.
    fn said(w: &WorkloadSnapshot, revisions: &[&str]) -> Option<String> {
        let source = WatchSource { kind: WatchKind::Pods, namespace: None };
        let mut index = Index::expecting([source.clone()]);
        for (number, revision) in revisions.iter().enumerate() {
            let owner = Owner { api_version: "v1".into(), kind: "Any".into(), name: "main".into(), uid: w.uid.clone() };
            let key = ObjectKey { namespace: "shop".into(), name: format!("main-{number}").into() };
            let pod = PodSnapshot { key, revision: (*revision).into(), ..test_objects::pod("main", Some(owner)) };
            drop(index.apply(&source, WatchEvent::Apply(Object::Pod(pod))));
        }
        made_of_others(w, &index.pod_classes_of(w).collect::<Vec<_>>())
    }

    #[test]
    fn more_pods_than_the_status_tells_of_are_of_nobody_knows_what() {
        let w = test_objects::workload(test_objects::described(|_| {}), "main");
        assert_eq!(said(&w, &[""; 3]), None);
        let four = said(&w, &[""; 4]).unwrap();
        assert_eq!(four, "it has 4 Pods, and its status says of 3 that they are of its template");
        // Of a kind that is known by itself its revisions tell.
        assert_eq!(said(&test_objects::workload(Kind::STATEFUL_SET, "main"), &[""; 4]), None);
    }

    #[test]
    fn a_label_that_names_the_revision_must_name_the_present_one() {
        let kind =
            test_objects::described(|described| described.revision_label = Some("example.com/revision".to_owned()));
        let w = |revision: &str| WorkloadSnapshot {
            update_revision: revision.into(),
            ..test_objects::workload(kind, "main")
        };
        for (label, revision, fits) in [
            ("main-5d", "main-5d", true),
            ("5d", "main-5d", true),
            ("d", "main-5d", false),
            ("4c", "main-5d", false),
            ("", "main-5d", false),
            ("5d", "", false),
        ] {
            assert_eq!(said(&w(revision), &[label]).is_none(), fits, "{label} of {revision}");
        }
    }

    #[test]
    fn what_the_status_leaves_open_is_told_with_the_field() {
        let kind = test_objects::described(|_| {});
        let counts = Counts { desired: 3, current: 3, updated: 1, ready: 3, available: 3 };
        let half = WorkloadSnapshot { counts, ..test_objects::workload(kind, "main") };
        assert_eq!(untold(&half).unwrap(), "1 of 3 updated, as status.new says");
        let unseen = WorkloadSnapshot { observed_generation: 0, ..half };
        let said = untold(&unseen).unwrap();
        assert_eq!(said, "waiting for the controller to observe the change: status.seen is 0, and the generation is 2");
    }
}
