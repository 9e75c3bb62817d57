use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::*;
use crate::core::{
    io::{WatchEvent, WatchKind, WatchSource},
    model::{
        Object, ObjectKey, Owner, ReplicaSetSnapshot, ServiceSnapshot, owner::Kind, shape::PodShape, test_objects,
    },
};

const PODS: WatchSource = WatchSource { kind: WatchKind::Pods, namespace: None };

fn names(index: &Index) -> Vec<String> {
    let mut names: Vec<_> = index.pods.iter().map(|pod| pod.key().name.to_string()).collect();
    names.sort();
    names
}

fn apply(name: &str) -> WatchEvent {
    WatchEvent::Apply(Object::Pod(test_objects::pod(name, None)))
}

fn list(index: &mut Index, listed: &[&str]) -> usize {
    let events = listed.iter().map(|name| apply(name));
    let events = std::iter::once(WatchEvent::ResetStarted).chain(events).chain([WatchEvent::ResetDone]);
    events.map(|event| index.apply(&PODS, event).len()).sum()
}

#[test]
fn a_list_brings_what_is_there_and_forgets_what_is_not() {
    let mut index = Index::expecting([PODS]);
    assert!(!index.synced());
    assert_eq!(list(&mut index, &["a", "b"]), 2);
    assert!(index.synced() && index.source_synced(&PODS));
    assert_eq!(list(&mut index, &["a", "b"]), 0);
    assert_eq!(list(&mut index, &["b", "c"]), 2);
    assert_eq!(names(&index), ["b", "c"]);
}

#[test]
fn of_pods_that_are_compared_with_nothing_hardly_anything_is_kept() {
    use serde_json::json;
    let shape = |n: usize| -> Arc<PodShape> {
        let env = json!([{ "name": "X", "value": format!("{n}").repeat(100_000) }]);
        let container = json!({ "name": "proxy", "image": format!("i{n}").repeat(10_000), "env": env });
        PodShape::from_pod(&json!({ "spec": { "containers": [container] } })).into()
    };
    let owner = |api_version: &str, kind: &str| Owner {
        api_version: api_version.into(),
        kind: kind.into(),
        name: "x".into(),
        uid: "x".into(),
    };
    let mut index = Index::expecting([PODS]);
    let mut take = |name: &str, owner: Option<Owner>, n: usize| -> usize {
        let mut pod = test_objects::pod(name, None);
        (pod.owner, pod.shape) = (owner.map(Arc::new), shape(n));
        index.apply(&PODS, WatchEvent::Apply(Object::Pod(pod)));
        let kept = index.pods.iter().find(|pod| &*pod.key().name == name).expect("the Pod");
        let containers = &kept.0.made.shape.containers;
        assert_eq!(containers.iter().map(|c| &*c.name).collect::<Vec<_>>(), ["proxy"], "the report names it");
        containers.iter().map(|c| c.projection.text().len() + c.collateral.text().len() + c.image.len()).sum()
    };
    for n in 0..100 {
        assert!(take(&format!("bare-{n}"), None, n) < 16);
        assert!(take(&format!("job-{n}"), Some(owner("batch/v1", "Job")), n) < 16);
    }
    // The twin: whatever may be compared is kept whole, and so is a bare Pod as soon as it is adopted.
    for (api_version, kind) in [("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet"), ("x.test/v1", "Job")] {
        assert!(take(kind, Some(owner(api_version, kind)), 7) > 100_000, "{kind}");
    }
    assert!(take("bare-7", Some(owner("apps/v1", "ReplicaSet")), 7) > 100_000);
}

#[test]
fn nothing_is_forgotten_before_the_list_is_complete() {
    let mut index = Index::expecting([PODS]);
    list(&mut index, &["a", "b"]);
    for event in [WatchEvent::ResetStarted, apply("b")] {
        assert!(index.apply(&PODS, event).is_empty());
    }
    assert_eq!(names(&index), ["a", "b"]);
    // The list broke off and begins anew: what the first attempt brought does not count.
    assert_eq!(list(&mut index, &["a"]), 1);
    assert_eq!(names(&index), ["a"]);
}

#[test]
fn a_list_of_one_namespace_leaves_the_others_alone() {
    let of = |namespace: &str| WatchSource { kind: WatchKind::Pods, namespace: Some(namespace.into()) };
    let mut index = Index::expecting([of("shop"), of("bank")]);
    let mut pod = test_objects::pod("a", None);
    index.apply(&of("shop"), WatchEvent::Apply(Object::Pod(pod.clone())));
    pod.key.namespace = "bank".into();
    index.apply(&of("bank"), WatchEvent::Apply(Object::Pod(pod)));
    for event in [WatchEvent::ResetStarted, WatchEvent::ResetDone] {
        index.apply(&of("bank"), event);
    }
    let left: Vec<_> = index.pods.iter().map(|pod| &*pod.key().namespace).collect();
    assert_eq!(left, ["shop"]);
    assert!(!index.synced(), "the other one has listed nothing yet");
}

#[test]
fn what_cannot_be_had_is_not_waited_for_and_may_come_back() {
    let mut index = Index::expecting([PODS]);
    index.apply(&PODS, WatchEvent::Unavailable { forbidden: true, message: "no right".to_owned() });
    assert!(index.synced() && !index.source_synced(&PODS));
    assert_eq!(index.unavailable().map(|(_, why)| why).collect::<Vec<_>>(), ["no right"]);
    list(&mut index, &["a"]);
    assert_eq!(index.unavailable().count(), 0);
}

#[test]
fn backends_are_waited_for_as_long_as_they_are_wanted() {
    let service = |namespace: &str| WatchSource { kind: WatchKind::Services, namespace: Some(namespace.into()) };
    let object = || {
        let key = ObjectKey { namespace: "mesh".into(), name: "injector".into() };
        Object::Service(ServiceSnapshot { key, selector: BTreeMap::new() })
    };
    let mut index = Index::expecting([PODS]);
    list(&mut index, &[]);
    index.set_backends(&BTreeSet::from(["mesh".into()]));
    assert!(!index.synced());
    assert_eq!(index.apply(&service("mesh"), WatchEvent::Apply(object())).len(), 1);
    index.set_backends(&BTreeSet::new());
    assert!(index.synced() && index.services.is_empty());
    // The stream that was stopped may still have had something to say: nobody waits for the rest of it.
    assert!(index.apply(&service("mesh"), WatchEvent::ResetStarted).is_empty());
    assert!(index.apply(&service("mesh"), WatchEvent::Apply(object())).is_empty());
    assert!(index.synced() && index.services.is_empty());
}

#[test]
fn deployments_behind_an_injector_are_waited_for_where_they_are_not_watched_anyway() {
    let deployments = |namespace: Option<&str>| WatchSource {
        kind: WatchKind::Workloads(Kind::DEPLOYMENT),
        namespace: namespace.map(Into::into),
    };
    let backends = BTreeSet::from(["mesh".into()]);
    for (watched, added) in [(None, false), (Some("mesh"), false), (Some("shop"), true)] {
        let mut index = Index::expecting([deployments(watched)]);
        index.set_backends(&backends);
        let of_mesh = index.sources.contains_key(&deployments(Some("mesh")));
        assert_eq!(of_mesh, added || watched == Some("mesh"), "{watched:?}");
        index.set_backends(&BTreeSet::new());
        assert!(index.sources.contains_key(&deployments(watched)), "what is watched anyway stays");
        assert_eq!(index.sources.len(), 1);
    }
}

#[test]
fn a_pod_finds_its_workload_whatever_is_heard_of_first() {
    let owner = |kind: &str, uid: &str| Owner {
        api_version: "apps/v1".into(),
        kind: kind.into(),
        name: "web".into(),
        uid: uid.into(),
    };
    let pod = test_objects::pod("a", Some(owner("ReplicaSet", "uid-rs")));
    let replica_set = ReplicaSetSnapshot {
        key: ObjectKey { namespace: "shop".into(), name: "web-1".into() },
        uid: "uid-rs".into(),
        owner: Some(owner("Deployment", "uid-web")),
        revision: 1,
        hash: "h1".into(),
    };
    let workload = test_objects::workload(Kind::DEPLOYMENT, "web");
    let objects =
        [Object::Pod(pod.clone()), Object::ReplicaSet(replica_set), Object::Workload(Box::new(workload.clone()))];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut index = Index::default();
        for at in order {
            index.upsert(objects[at].clone());
        }
        assert_eq!(index.workload_of(&Pod::from(pod.clone())), Some(&workload.key), "{order:?}");
        assert_eq!(index.pods_of(&workload).len(), 1);
        assert_eq!(index.newest_replica_set(&workload).map(|rs| &*rs.uid), Some("uid-rs"));
        assert_eq!(index.unmanaged().count(), 0);
    }
}

/// Twins: the Pods of a ReplicaSet are somebody's only if it is looked at itself, or what owns it is.
#[test]
fn pods_of_replica_sets_are_unmanaged_unless_somebody_looks_at_them() {
    let source = |kind| WatchSource { kind, namespace: None };
    let owner = |api_version: &str, kind: &str, name: &str| Owner {
        api_version: api_version.into(),
        kind: kind.into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
    };
    let set = |name: &str, owner: Option<Owner>| ReplicaSetSnapshot {
        key: ObjectKey { namespace: "shop".into(), name: name.into() },
        uid: format!("uid-{name}").into(),
        owner,
        revision: 0,
        hash: "".into(),
    };
    for (watched, unmanaged) in
        [(vec![], vec!["game/x", "plain/x"]), (vec![WatchKind::Workloads(Kind::REPLICA_SET)], vec!["game/x"])]
    {
        let kinds = [WatchKind::Pods, WatchKind::ReplicaSets, WatchKind::Workloads(Kind::DEPLOYMENT)];
        let mut index = Index::expecting(kinds.into_iter().chain(watched).map(source));
        let mut put = |kind, object| drop(index.apply(&source(kind), WatchEvent::Apply(object)));
        for (name, top) in [
            ("plain", None),
            ("game", Some(owner("game.example.com/v1", "Fleet", "fleet"))),
            ("web-1", Some(owner("apps/v1", "Deployment", "web"))),
        ] {
            put(WatchKind::ReplicaSets, Object::ReplicaSet(set(name, top)));
            let pod = test_objects::pod(&format!("{name}-x"), Some(owner("apps/v1", "ReplicaSet", name)));
            put(WatchKind::Pods, Object::Pod(pod));
        }
        let mut found: Vec<_> = index.unmanaged().map(|(pod, ..)| pod.key.name.replace("-x", "/x")).collect();
        found.sort();
        assert_eq!(found, unmanaged);
    }
}

#[test]
fn shapes_are_shared_and_dropped_when_nobody_has_them() {
    let mut index = Index::expecting([PODS]);
    let shaped = |name: &str, image: &str| {
        let spec = serde_json::json!({ "spec": { "containers": [{ "name": "app", "image": image }] } });
        let mut pod = test_objects::pod(name, None);
        pod.shape = Arc::new(PodShape::from_pod(&spec));
        // Of a bare Pod nothing would be kept.
        pod.owner = Some(Arc::new(Owner {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: "web".into(),
            uid: "web".into(),
        }));
        WatchEvent::Apply(Object::Pod(pod))
    };
    for at in 0..500 {
        index.apply(&PODS, shaped(&format!("pod-{at}"), "app:1"));
    }
    assert_eq!((index.pod_count(), index.shape_count()), (500, 1));
    index.apply(&PODS, shaped("other", "app:2"));
    assert_eq!(index.shape_count(), 2);
    // Pods come and go, each with an image of its own: now and then what nobody has is swept away.
    list(&mut index, &[]);
    for at in 0..2000 {
        let (name, image) = (format!("pod-{at}"), format!("app:{at}"));
        index.apply(&PODS, shaped(&name, &image));
        index.apply(&PODS, WatchEvent::Delete(ObjectKey { namespace: "shop".into(), name: name.into() }));
    }
    assert_eq!(index.pod_count(), 0);
    // Images are names, too.
    let left = [index.made.len(), index.shape_count(), index.names.len()];
    assert!(left[0] <= 260 && left[1] <= 260 && left[2] <= 268, "{left:?}");
}

#[test]
fn an_old_answer_does_not_undo_what_the_watch_has_said_since() {
    const WORKLOADS: WatchSource = WatchSource { kind: WatchKind::Workloads(Kind::DEPLOYMENT), namespace: None };
    let mut index = Index::expecting([WORKLOADS]);
    let at = |uid: &str, version: &str, ready| {
        let mut workload = test_objects::workload(Kind::DEPLOYMENT, "web");
        (workload.uid, workload.resource_version, workload.counts.ready) = (uid.into(), version.into(), ready);
        workload
    };
    let ready = |index: &Index| index.workloads().map(|(_, workload)| workload.counts.ready).collect::<Vec<_>>();
    index.apply(&WORKLOADS, WatchEvent::Apply(Object::Workload(Box::new(at("u1", "100", 3)))));
    assert!(index.take_read(at("u1", "99", 2)).is_none());
    assert_eq!(ready(&index), [3], "it was read before, and answered late");
    // What is newer, what nobody can compare, and another object of that name are news.
    for (uid, version, count) in [("u1", "101", 1), ("u1", "opaque", 2), ("u2", "1", 3)] {
        assert!(index.take_read(at(uid, version, count)).is_some());
        assert_eq!(ready(&index), [count]);
    }
}
