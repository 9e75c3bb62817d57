//! Which Pods are judged, and against what (rules R1, R5, C8).

use super::*;
use crate::core::{
    compare::{FieldChange, SidecarDifference, Targets},
    config::Policy,
    injection::InjectionTracker,
    inventory::{Index, PodClass, current_revision, pods_in, revisions},
    io::{WatchEvent, WatchSource},
    model::{
        InjectorEntry, InjectorKind, InjectorSnapshot, Object, ObjectKey, Operator, Owner, PodSnapshot, PodState,
        ReplicaSetSnapshot, Requirement, Selector, owner::Kind, test_objects, time::Now,
    },
    verdict::{absences::Absences, admission_evidence::AdmissionEvidence, case::Case},
};

fn replica_set(name: &str, revision: u64) -> Object {
    let owner =
        Owner { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into(), uid: "uid-web".into() };
    Object::ReplicaSet(ReplicaSetSnapshot {
        key: ObjectKey { namespace: "shop".into(), name: name.into() },
        uid: format!("uid-{name}").into(),
        owner: Some(owner),
        revision,
        hash: name.into(),
    })
}

fn owned(name: &str, kind: &str, owner: &str) -> PodSnapshot {
    let owner = Owner {
        api_version: "apps/v1".into(),
        kind: kind.into(),
        name: owner.into(),
        uid: format!("uid-{owner}").into(),
    };
    test_objects::pod(name, Some(owner))
}

fn index(workload: &WorkloadSnapshot, objects: Vec<Object>) -> Index {
    let source = |kind| WatchSource { kind, namespace: None };
    let of = |object: &Object| match object {
        Object::Pod(_) => source(WatchKind::Pods),
        Object::ReplicaSet(_) => source(WatchKind::ReplicaSets),
        Object::Injector(i) => source(WatchKind::Injectors(i.kind)),
        _ => source(WatchKind::Workloads(workload.key.kind)),
    };
    let mut objects = objects;
    objects.push(Object::Workload(Box::new(workload.clone())));
    let mut index = Index::expecting(objects.iter().map(of));
    for object in objects {
        drop(index.apply(&of(&object), WatchEvent::Apply(object)));
    }
    index
}

fn names(found: Option<(Name, Vec<PodClass<'_>>)>) -> (String, Vec<String>) {
    let (revision, classes) = found.expect("a revision");
    (revision.to_string(), pods_in(&classes).iter().map(|p| p.key.name.to_string()).collect())
}

#[test]
fn c8_pods_of_an_older_replica_set_are_of_a_revision_of_their_own() {
    let deployment = WorkloadSnapshot { revision: 2, ..test_objects::workload(Kind::DEPLOYMENT, "web") };
    let pods = [owned("old", "ReplicaSet", "web-1"), owned("new", "ReplicaSet", "web-2")].map(Object::Pod);
    let objects = [replica_set("web-1", 1), replica_set("web-2", 2)].into_iter().chain(pods);
    let index = index(&deployment, objects.collect());
    assert_eq!(names(current_revision(&deployment, &index)), ("web-2".to_owned(), vec!["new".to_owned()]));
    let all = revisions(&deployment, &index).into_iter().map(|revision| names(Some((revision.name, revision.classes))));
    let each = [("web-2".to_owned(), vec!["new".to_owned()]), ("web-1".to_owned(), vec!["old".to_owned()])];
    assert_eq!(all.collect::<Vec<_>>(), each);
}

#[test]
fn r1_the_replica_set_counts_and_not_the_deployment_that_is_one_revision_ahead() {
    let deployment = WorkloadSnapshot { revision: 1, generation: 3, ..test_objects::workload(Kind::DEPLOYMENT, "web") };
    let objects = vec![replica_set("web-1", 1), Object::Pod(owned("a", "ReplicaSet", "web-1"))];
    let index = index(&deployment, objects);
    assert_eq!(names(current_revision(&deployment, &index)).0, "web-1");
}

/// How the controller of a described kind numbers its ReplicaSets nobody said.
#[test]
fn r1_a_described_kind_is_judged_by_the_one_replica_set_that_its_pods_belong_to() {
    let kind = test_objects::described(|described| described.replica_sets = true);
    let w = test_objects::workload(kind, "web");
    let pod = |name: &str, set: &str| Object::Pod(owned(name, "ReplicaSet", set));
    let sets = || vec![replica_set("web-1", 0), replica_set("web-2", 0)];
    let one = index(&w, sets().into_iter().chain([pod("a", "web-2"), pod("b", "web-2")]).collect());
    assert_eq!(names(current_revision(&w, &one)), ("web-2".to_owned(), vec!["a".to_owned(), "b".to_owned()]));
    let two = index(&w, sets().into_iter().chain([pod("a", "web-1"), pod("b", "web-2")]).collect());
    assert!(current_revision(&w, &two).is_none());
}

#[test]
fn r1_a_partitioned_set_is_judged_by_the_revision_that_its_pods_are_of() {
    let set = WorkloadSnapshot { update_revision: "r2".into(), ..test_objects::workload(Kind::STATEFUL_SET, "db") };
    let pod = |name: &str, revision: &str| {
        Object::Pod(PodSnapshot { revision: revision.into(), ..owned(name, "StatefulSet", "db") })
    };
    let all_old = index(&set, vec![pod("db-0", "r1"), pod("db-1", "r1")]);
    assert_eq!(names(current_revision(&set, &all_old)), ("r1".to_owned(), vec!["db-0".to_owned(), "db-1".to_owned()]));
    let partitioned = index(&set, vec![pod("db-0", "r1"), pod("db-1", "r2")]);
    assert_eq!(names(current_revision(&set, &partitioned)), ("r2".to_owned(), vec!["db-1".to_owned()]));
}

#[test]
fn c8_a_daemon_set_whose_template_was_changed_back_keeps_the_pods_that_it_had_of_it() {
    let set = WorkloadSnapshot { template_generation: 3, ..test_objects::workload(Kind::DAEMON_SET, "agent") };
    let pod = |name: &str, revision: &str, template_generation| {
        let owned = owned(name, "DaemonSet", "agent");
        Object::Pod(PodSnapshot { revision: revision.into(), template_generation, ..owned })
    };
    let index = index(&set, vec![pod("kept", "r1", 1), pod("between", "r2", 2), pod("back", "r1", 3)]);
    let both = vec!["back".to_owned(), "kept".to_owned()];
    assert_eq!(names(current_revision(&set, &index)), ("agent-r1".to_owned(), both));
}

#[test]
fn c8_a_pod_that_is_on_its_way_out_or_that_nobody_created_is_not_judged() {
    let deployment = test_objects::workload(Kind::DEPLOYMENT, "web");
    let pod = |name: &str, state| Object::Pod(PodSnapshot { state, ..owned(name, "ReplicaSet", "web-1") });
    let still = PodState::default();
    let objects = vec![
        replica_set("web-1", 1),
        pod("runs", still),
        pod("terminates", PodState { terminating: true, ..still }),
        pod("finished", PodState { finished: true, ..still }),
        pod("mirror", PodState { mirror: true, ..still }),
    ];
    let index = index(&deployment, objects);
    assert_eq!(names(current_revision(&deployment, &index)).1, ["runs"]);
}

#[test]
fn c8_a_pod_younger_than_the_settle_time_does_not_count_yet() {
    let deployment = test_objects::workload(Kind::DEPLOYMENT, "web");
    let young = PodSnapshot { created: test_objects::at(0).wall, ..owned("young", "ReplicaSet", "web-1") };
    let index = index(&deployment, vec![replica_set("web-1", 1), Object::Pod(young)]);
    let of = |now| judged(&deployment, &index, now);
    assert_eq!(of(test_objects::at(4)), (Verdict::Undetermined, Some(UndeterminedReason::Settling)));
    assert_eq!(of(test_objects::at(5)), (Verdict::Undetermined, Some(UndeterminedReason::Pending)));
}

#[test]
fn r5_a_webhook_that_does_not_promise_anything_for_dry_runs_is_not_asked() {
    let deployment = test_objects::workload(Kind::DEPLOYMENT, "web");
    let mut webhook = test_objects::webhook("mesh", "1");
    let pods = || vec![replica_set("web-1", 1), Object::Pod(owned("a", "ReplicaSet", "web-1"))];
    let with = |webhook: &InjectorSnapshot| {
        index(&deployment, pods().into_iter().chain([Object::Injector(webhook.clone())]).collect())
    };
    let pending = (Verdict::Undetermined, Some(UndeterminedReason::Pending));
    assert_eq!(judged(&deployment, &with(&webhook), test_objects::at(0)), pending);
    webhook.entries[0].refuses_dry_run = true;
    let unsupported = (Verdict::Undetermined, Some(UndeterminedReason::DryRunUnsupported));
    assert_eq!(judged(&deployment, &with(&webhook), test_objects::at(0)), unsupported);
    // Nor does an entry of the same configuration that selects other Pods.
    let all = webhook.entries[0].clone();
    let other = |value: &str| {
        let requirement = Requirement { key: "team".into(), operator: Operator::In, values: vec![value.into()] };
        InjectorEntry { objects: Selector { requirements: vec![requirement] }, ..all.clone() }
    };
    webhook.entries = vec![InjectorEntry { refuses_dry_run: false, ..all.clone() }, other("a")];
    assert_eq!(judged(&deployment, &with(&webhook), test_objects::at(0)), pending);
    webhook.entries = vec![InjectorEntry { refuses_dry_run: false, ..other("a") }, all.clone()];
    assert_eq!(judged(&deployment, &with(&webhook), test_objects::at(0)), unsupported);
    // One about other things, or about other Pods, says nothing of this one.
    webhook.entries.clear();
    assert_eq!(judged(&deployment, &with(&webhook), test_objects::at(0)), pending);
    assert_eq!(webhook.kind, InjectorKind::MutatingWebhookConfiguration);
}

fn judged(w: &WorkloadSnapshot, index: &Index, now: Now) -> (Verdict, Option<UndeterminedReason>) {
    let (injection, case, policy, admission) =
        (&InjectionTracker::default(), &Case::default(), &Policy::default(), &AdmissionEvidence::default());
    let (targets, absences, lock) = (&Targets::default(), &Absences::default(), None);
    let revisions = &revisions(w, index);
    let evidence =
        Evidence { workload: w, revisions, index, injection, case, lock, policy, admission, absences, targets, now };
    let judged = crate::core::verdict::assess::assess(evidence).judged;
    (judged.verdict, judged.reason)
}

#[test]
fn c11_a_lock_speaks_of_the_element_that_it_was_made_for() {
    let w = test_objects::workload(Kind::DEPLOYMENT, "web");
    let field = |pointer: &str| FieldChange { pointer: pointer.to_owned(), plain: None, running: None, rendered: None };
    let judged = |pointer: &str| {
        let differences = vec![SidecarDifference {
            sidecar: "proxy".into(),
            difference: Difference::Changed,
            fields: vec![field(pointer)],
        }];
        let groups = vec![PodGroup { pods: vec!["web-x".into()], differences, collateral: Vec::new() }];
        Judged { groups, differences: [Difference::Changed].into(), ..Judged::plain(Verdict::InSync) }
    };
    let lock = |field: &str| Lock {
        template: w.template.hash.clone(),
        fields: [field.to_owned()].into(),
        workload: w.key.clone(),
        at: test_objects::at(0).wall,
    };
    let of = |locked: &str| verdict(&w, Some(&lock(locked)), &judged("/env/X/value/#113/#f8d"));
    assert_eq!(of("proxy/env/X/value/#113/#f8d"), Verdict::NonConvergent);
    assert_eq!(of("proxy/env/X/value/#596/#f8d"), Verdict::Drifted);
    assert_eq!(of("proxy/env/X/value/[name 0]/port"), Verdict::NonConvergent, "of an earlier version");
}
