use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use proptest::{collection::vec, prelude::*};
use serde_json::json;

use crate::core::{
    inventory::{Index, Pod, PodClass},
    io::{WatchEvent, WatchKind, WatchSource},
    model::{
        Object, ObjectKey, Owner, PodSnapshot, PodState, ReplicaSetSnapshot, WorkloadSnapshot, owner::Kind,
        shape::PodShape, test_objects,
    },
};

thread_local! {
    /// How often two Pods were compared by their age.
    pub(super) static COMPARISONS: Cell<usize> = const { Cell::new(0) };
}

const PODS: WatchSource = WatchSource { kind: WatchKind::Pods, namespace: None };
const SETS: WatchSource = WatchSource { kind: WatchKind::ReplicaSets, namespace: None };

fn owner(kind: &str, name: &str) -> Owner {
    Owner { api_version: "apps/v1".into(), kind: kind.into(), name: name.into(), uid: format!("uid-{name}").into() }
}

/// A Deployment with two ReplicaSets, a StatefulSet, and a Pod that nobody owns.
const OWNERS: [Option<(&str, &str)>; 4] =
    [Some(("ReplicaSet", "web-1")), Some(("ReplicaSet", "web-2")), Some(("StatefulSet", "db")), None];

fn cluster() -> (Index, [WorkloadSnapshot; 2]) {
    let workload =
        |kind, name: &str| WorkloadSnapshot { uid: format!("uid-{name}").into(), ..test_objects::workload(kind, name) };
    let mut index = Index::expecting([PODS, SETS]);
    for (revision, name) in [(1, "web-1"), (2, "web-2")] {
        let set = ReplicaSetSnapshot {
            key: ObjectKey { namespace: "shop".into(), name: name.into() },
            uid: format!("uid-{name}").into(),
            owner: Some(owner("Deployment", "web")),
            revision,
            hash: name.into(),
        };
        index.apply(&SETS, WatchEvent::Apply(Object::ReplicaSet(set)));
    }
    (index, [workload(Kind::DEPLOYMENT, "web"), workload(Kind::STATEFUL_SET, "db")])
}

/// What happens to a Pod.
#[derive(Clone, Debug)]
enum Act {
    /// It comes, or is another one now.
    Apply {
        name: u8,
        owner: usize,
        image: u8,
        created: i64,
        state: u8,
    },
    Delete(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let parts = (0..60_u8, 0..4_usize, 0..3_u8, 0..20_i64, any::<u8>());
    prop_oneof![
        3 => parts.prop_map(|(name, owner, image, created, state)| Act::Apply { name, owner, image, created, state }),
        1 => (0..60_u8).prop_map(Act::Delete),
    ]
}

fn pod(name: &str, of: Option<(&str, &str)>, image: u8, created: i64, state: u8) -> PodSnapshot {
    let spec = json!({ "spec": { "containers": [{ "name": "app", "image": format!("app:{image}") }] } });
    let bit = |bit: u8| state >> bit & 1 == 1;
    PodSnapshot {
        created: Timestamp::from_second(created).unwrap_or_default(),
        shape: Arc::new(PodShape::from_pod(&spec)),
        state: PodState { terminating: bit(0), ready: bit(1), crashing: bit(2), ..PodState::default() },
        ..test_objects::pod(name, of.map(|(kind, name)| owner(kind, name)))
    }
}

fn sorted<'a>(pods: impl Iterator<Item = &'a Pod>) -> Vec<String> {
    let names: BTreeSet<_> = pods.map(|pod| pod.key.name.to_string()).collect();
    names.into_iter().collect()
}

/// A class, in words of its own.
fn class_of(pod: &Pod) -> (String, String) {
    (format!("{:?} {:?}", pod.made.owner, pod.made.shape), format!("{:?}", pod.state))
}

fn check(index: &Index, workload: &WorkloadSnapshot, all: &BTreeMap<String, Pod>) -> Result<(), TestCaseError> {
    let owned = |pod: &&Pod| match &pod.made.owner {
        Some(owner) if workload.key.kind == Kind::DEPLOYMENT => &*owner.kind == "ReplicaSet",
        Some(owner) => owner.uid == workload.uid,
        None => false,
    };
    let expected: Vec<_> = all.values().filter(owned).collect();
    prop_assert_eq!(index.pods_of(workload), expected.clone());
    prop_assert_eq!(index.pod_count_of(workload), expected.len());
    let mut naive: BTreeMap<_, Vec<&Pod>> = BTreeMap::new();
    for pod in expected {
        naive.entry(class_of(pod)).or_default().push(pod);
    }
    let classes: Vec<PodClass<'_>> = index.pod_classes_of(workload).collect();
    prop_assert_eq!(classes.len(), naive.len());
    for class in classes {
        let Some(first) = class.pods().next() else { return Err(TestCaseError::fail("an empty class")) };
        let Some(mut pods) = naive.remove(&class_of(first)) else { return Err(TestCaseError::fail("twice")) };
        pods.sort_by_key(|pod| (pod.created, &pod.key));
        prop_assert_eq!(class.count(), pods.len());
        prop_assert!(class.pods().eq(pods.iter().copied()) && class.pods().rev().eq(pods.iter().rev().copied()));
        prop_assert!(pods.iter().all(|pod| Arc::ptr_eq(&pod.made, class.made) || pod.made == *class.made));
        prop_assert!(class.pods().all(|pod| Arc::ptr_eq(&pod.made, class.made) && pod.state == class.state));
        let time = Timestamp::from_second(10).unwrap_or_default();
        let young = pods.iter().rev().copied().filter(|pod| pod.created > time);
        prop_assert!(class.created_after(time).eq(young));
    }
    Ok(())
}

proptest! {
    #[test]
    fn classes_are_what_a_walk_over_all_pods_finds(acts in vec(act(), 1..200)) {
        let (mut index, workloads) = cluster();
        let mut all: BTreeMap<String, Pod> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Apply { name, owner, image, created, state } => {
                    let name = format!("pod-{name:02}");
                    let snapshot = pod(&name, OWNERS[owner], image, created, state);
                    all.insert(name, Pod::from(snapshot.clone()));
                    index.apply(&PODS, WatchEvent::Apply(Object::Pod(snapshot)));
                }
                Act::Delete(name) => {
                    let name = format!("pod-{name:02}");
                    all.remove(&name);
                    index.apply(&PODS, WatchEvent::Delete(ObjectKey { namespace: "shop".into(), name: name.into() }));
                }
            }
            for workload in &workloads {
                check(&index, workload, &all)?;
            }
            let bare = all.values().filter(|pod| pod.made.owner.is_none());
            prop_assert_eq!(sorted(index.unmanaged().map(|(pod, ..)| pod)), sorted(bare));
        }
    }
}

/// Comparisons that one event of a Pod takes, at the most, where its ReplicaSet has so many.
fn comparisons_of_an_event(replicas: usize) -> usize {
    let (mut index, [web, _]) = cluster();
    let ready = 0b10;
    let of_web = |number: usize, created, state| {
        WatchEvent::Apply(Object::Pod(pod(&format!("web-{number}"), OWNERS[0], 1, created, state)))
    };
    for number in 0..replicas {
        index.apply(&PODS, of_web(number, i64::try_from(number % 97).unwrap_or_default(), ready));
    }
    let mut most = 0;
    for number in (0..replicas).step_by(replicas / 20) {
        let created = i64::try_from(number % 97).unwrap_or_default();
        let key = ObjectKey { namespace: "shop".into(), name: format!("web-{number}").into() };
        let events = [of_web(number, created, 0), of_web(number, created, ready), WatchEvent::Delete(key)];
        for event in events.into_iter().chain([of_web(number, created, ready)]) {
            COMPARISONS.set(0);
            index.apply(&PODS, event);
            most = most.max(COMPARISONS.get());
            assert!(index.pod_classes_of(&web).count() <= 2);
        }
    }
    assert_eq!(index.pod_count_of(&web), replicas);
    most
}

#[test]
fn an_event_of_a_pod_looks_at_few_of_its_replicas() {
    let (few, many) = (comparisons_of_an_event(200), comparisons_of_an_event(20_000));
    assert!(few > 0 && few <= 30 && many <= 100, "{few}, {many}");
}

#[test]
fn classes_come_in_the_same_order_whenever_the_same_was_heard() {
    let order = || {
        let (mut index, [web, _]) = cluster();
        for number in 0..40_u8 {
            let snapshot = pod(&format!("web-{number}"), OWNERS[usize::from(number % 2)], number % 5, 0, number % 8);
            index.apply(&PODS, WatchEvent::Apply(Object::Pod(snapshot)));
        }
        let classes =
            index.pod_classes_of(&web).map(|class| class.pods().map(|pod| pod.key.name.to_string()).collect());
        classes.collect::<Vec<Vec<_>>>()
    };
    assert_eq!(order(), order());
    assert_eq!(order().len(), 40);
}
