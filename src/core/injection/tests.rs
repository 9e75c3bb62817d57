//! What moves by a change, and what a version vector holds.

use std::collections::BTreeMap;

use super::{
    backends::backends_mixed,
    scope::{Scope, VersionVector},
    scope_changes::written,
    versions::ScopeVersions,
};
use crate::core::{
    inventory::{Change, Index},
    io::{WatchEvent, WatchKind, WatchSource},
    model::{
        ChangedBy, ConfigKind, ConfigSnapshot, EndpointsSnapshot, InjectorKind, InjectorSnapshot, Name, Object,
        ObjectKey, Operator, Requirement, Selector, ServiceSnapshot, WorkloadSnapshot, owner::Kind, test_objects,
    },
};

/// An index that has heard of these objects.
fn index(objects: Vec<Object>) -> Index {
    let source = |object: &Object| {
        let namespace = Some(object.key().namespace);
        let (kind, namespace) = match object {
            Object::Pod(_) => (WatchKind::Pods, None),
            Object::Workload(w) => (WatchKind::Workloads(w.key.kind), None),
            Object::ReplicaSet(_) => (WatchKind::ReplicaSets, None),
            Object::Namespace(_) => (WatchKind::Namespaces, None),
            Object::Injector(i) => (WatchKind::Injectors(i.kind), None),
            Object::Config(c) => (WatchKind::Configs(c.kind), namespace),
            Object::Trigger(t) => (WatchKind::Trigger(t.number), None),
            Object::Service(_) => (WatchKind::Services, namespace),
            Object::Endpoints(_) => (WatchKind::EndpointSlices, namespace),
            Object::DisruptionBudget(_) => (WatchKind::DisruptionBudgets, None),
            Object::Node(_) => (WatchKind::Nodes, None),
        };
        WatchSource { kind, namespace }
    };
    let mut index = Index::expecting(objects.iter().map(source));
    for object in objects {
        drop(index.apply(&source(&object), WatchEvent::Apply(object)));
    }
    index
}

fn mesh() -> Object {
    Object::Injector(test_objects::webhook("mesh", "1"))
}

fn service() -> Object {
    let key = ObjectKey { namespace: "mesh".into(), name: "injector".into() };
    Object::Service(ServiceSnapshot { key, selector: BTreeMap::from([("app".into(), "injector".into())]) })
}

fn config(kind: ConfigKind, namespace: &str, hash: &str) -> ConfigSnapshot {
    let changed_by = Some(ChangedBy { manager: "helm".into(), time: Some(test_objects::at(0).wall) });
    let key = ObjectKey { namespace: namespace.into(), name: "x".into() };
    ConfigSnapshot { kind, key, hash: hash.into(), changed_by }
}

fn moves(change: &Change, index: &Index) -> Vec<String> {
    let Some(written) = written(change, index) else { return Vec::new() };
    written.scopes.iter().map(|scope| format!("{scope}: {}", written.cause)).collect()
}

#[test]
fn a_config_moves_what_it_belongs_to_and_the_cause_names_manager_and_time() {
    let index = index(vec![mesh(), service()]);
    for (kind, namespace, moved) in [
        (ConfigKind::ConfigMap, "mesh", Some("injector MutatingWebhookConfiguration/mesh: ConfigMap mesh/x")),
        (ConfigKind::ConfigMap, "shop", None),
        (ConfigKind::ServiceAccount, "shop", Some("service_account shop/x: ServiceAccount shop/x")),
        (ConfigKind::LimitRange, "shop", Some("namespace shop: LimitRange shop/x")),
    ] {
        let (old, new) = (config(kind, namespace, "1"), config(kind, namespace, "2"));
        let changed = moves(&Change::Config { old: Some(old.clone()), new: Some(new) }, &index);
        let by = ", manager helm, 2023-11-14 22:13 UTC";
        assert_eq!(changed, moved.map(|text| format!("{text}{by}")).into_iter().collect::<Vec<_>>());
        let same = Change::Config { old: Some(old.clone()), new: Some(old.clone()) };
        assert!(moves(&same, &index).is_empty());
        let deleted = moves(&Change::Config { old: Some(old), new: None }, &index);
        assert_eq!(deleted, moved.map(|text| format!("{text} deleted")).into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn an_injector_moves_by_its_content_alone_and_only_if_it_is_about_pods() {
    let index = index(vec![]);
    let (old, new) = (test_objects::webhook("mesh", "1"), test_objects::webhook("mesh", "2"));
    let change = |old: Option<&InjectorSnapshot>, new: Option<&InjectorSnapshot>| {
        moves(&Change::Injector { old: old.cloned(), new: new.cloned() }, &index)
    };
    let scope = "injector MutatingWebhookConfiguration/mesh: MutatingWebhookConfiguration mesh";
    assert_eq!(change(Some(&old), Some(&new)), [scope]);
    assert_eq!(change(None, Some(&new)), [format!("{scope} created")]);
    assert_eq!(change(Some(&old), None), [format!("{scope} deleted")]);
    // A new caBundle, a new resourceVersion.
    let same = InjectorSnapshot { changed_by: None, ..old.clone() };
    assert!(change(Some(&old), Some(&same)).is_empty());
    let of_others = |hash: &str| InjectorSnapshot { entries: Vec::new(), ..test_objects::webhook("mesh", hash) };
    assert!(change(Some(&of_others("1")), Some(&of_others("2"))).is_empty());
    // The last rule about Pods was taken out.
    assert_eq!(change(Some(&old), Some(&of_others("2"))), [scope]);
}

#[test]
fn the_workload_behind_a_webhook_moves_it_by_its_template_and_by_coming_and_going() {
    let backend = |hash: &str| {
        let mut w = test_objects::workload(Kind::DEPLOYMENT, "injector");
        w.key.namespace = "mesh".into();
        w.template.hash = hash.into();
        w
    };
    let (old, new) = (backend("1"), backend("2"));
    let key = new.key.clone();
    let change =
        |old: Option<&WorkloadSnapshot>| Change::Workload { old: old.cloned().map(Box::new), key: key.clone() };
    let there = index(vec![mesh(), service(), Object::Workload(Box::new(new.clone()))]);
    let scope = "injector MutatingWebhookConfiguration/mesh: Deployment mesh/injector";
    assert_eq!(moves(&change(Some(&old)), &there), [scope]);
    assert_eq!(moves(&change(None), &there), [format!("{scope} created")]);
    assert!(moves(&change(Some(&new)), &there).is_empty());
    let gone = index(vec![mesh(), service()]);
    assert_eq!(moves(&change(Some(&old)), &gone), [format!("{scope} deleted")]);
    // Another one in the same namespace, which the Service does not select.
    let mut other = new;
    other.template.labels.clear();
    let elsewhere = index(vec![mesh(), service(), Object::Workload(Box::new(other))]);
    assert!(moves(&change(Some(&old)), &elsewhere).is_empty());
}

#[test]
fn a_service_moves_its_webhook_by_its_selector() {
    let index = index(vec![mesh()]);
    let Object::Service(old) = service() else { unreachable!() };
    let green = BTreeMap::from([("app".into(), "green".into())]);
    let new = ServiceSnapshot { selector: green, ..old.clone() };
    let scope = "injector MutatingWebhookConfiguration/mesh: Service mesh/injector";
    assert_eq!(moves(&Change::Service { old: Some(old.clone()), new: Some(new) }, &index), [scope]);
    assert!(moves(&Change::Service { old: Some(old.clone()), new: Some(old.clone()) }, &index).is_empty());
    let other = ServiceSnapshot { key: ObjectKey { namespace: "mesh".into(), name: "web".into() }, ..old };
    assert!(moves(&Change::Service { old: None, new: Some(other) }, &index).is_empty());
}

#[test]
fn a_namespace_moves_when_it_changes_and_not_when_it_is_heard_of() {
    let index = index(vec![Object::Namespace(test_objects::namespace("shop", "2"))]);
    let name: Name = "shop".into();
    let changed = Change::Namespace { old: Some(test_objects::namespace("shop", "1")), name: name.clone() };
    assert_eq!(moves(&changed, &index), ["namespace shop: Namespace shop"]);
    assert!(moves(&Change::Namespace { old: None, name: name.clone() }, &index).is_empty());
    assert!(moves(&Change::Namespace { old: Some(test_objects::namespace("shop", "2")), name }, &index).is_empty());
}

#[test]
fn a_vector_holds_what_may_touch_the_pods_and_a_policy_only_where_it_is_bound() {
    let off = Selector {
        requirements: vec![Requirement { key: "app".into(), operator: Operator::NotIn, values: vec!["web".into()] }],
    };
    let mut elsewhere = test_objects::webhook("elsewhere", "1");
    elsewhere.entries[0].objects = off;
    let policy =
        |kind, name: &str, of: &str| InjectorSnapshot { kind, policy: of.into(), ..test_objects::webhook(name, "1") };
    let unbound = policy(InjectorKind::MutatingAdmissionPolicy, "unbound", "");
    let bound = policy(InjectorKind::MutatingAdmissionPolicy, "bound", "");
    let binding = policy(InjectorKind::MutatingAdmissionPolicyBinding, "b", "bound");
    let injectors = [test_objects::webhook("mesh", "1"), elsewhere, unbound, bound, binding];
    let index = index(injectors.into_iter().map(Object::Injector).collect());
    let mut versions = ScopeVersions::default();
    let mesh = Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into());
    versions.advance(&mesh, "test".to_owned(), test_objects::at(1));
    let vector = versions.of(&test_objects::workload(Kind::DEPLOYMENT, "web"), &index);
    let vector: Vec<_> = vector.iter().map(|(scope, version)| format!("{scope} {version}")).collect();
    assert_eq!(
        vector,
        [
            "cluster 1",
            "injector MutatingWebhookConfiguration/mesh 2",
            "injector MutatingAdmissionPolicy/bound 1",
            "namespace shop 1",
            "service_account shop/default 1",
        ]
    );
}

#[test]
fn the_newest_move_between_two_vectors_is_the_cause() {
    let mut versions = ScopeVersions::default();
    let (shop, cluster) = (Scope::Namespace("shop".into()), Scope::Cluster);
    let before = VersionVector::from([(shop.clone(), 1), (cluster.clone(), 1)]);
    versions.advance(&shop, "first".to_owned(), test_objects::at(1));
    versions.advance(&cluster, "second".to_owned(), test_objects::at(2));
    let after = VersionVector::from([(shop.clone(), 2), (cluster, 2)]);
    assert_eq!(versions.cause(&before, &after).map(|g| g.cause.as_str()), Some("second"));
    assert!(versions.cause(&after, &after).is_none());
    // A scope that was left counts, too.
    assert_eq!(
        versions.cause(&VersionVector::from([(shop, 2)]), &VersionVector::new()).map(|g| g.cause.as_str()),
        Some("first")
    );
}

#[test]
fn the_end_of_mixed_backends_settles_like_a_move() {
    let mut versions = ScopeVersions::default();
    let scope = Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into());
    let vector = VersionVector::from([(scope.clone(), 1)]);
    assert!(!versions.set_mixed(&scope, false, test_objects::at(1)));
    assert!(versions.set_mixed(&scope, true, test_objects::at(2)));
    assert!(!versions.set_mixed(&scope, true, test_objects::at(3)));
    assert_eq!(versions.unsettled_since(&vector), None);
    assert!(versions.set_mixed(&scope, false, test_objects::at(4)));
    assert_eq!(versions.unsettled_since(&vector), Some(test_objects::at(4).elapsed));
}

#[test]
fn a_scope_that_is_gone_leaves_nothing_behind() {
    let mut versions = ScopeVersions::default();
    let (shop, cluster) = (Scope::Namespace("shop".into()), Scope::Cluster);
    for scope in [&shop, &cluster] {
        versions.advance(scope, "test".to_owned(), test_objects::at(1));
    }
    versions.set_mixed(&shop, true, test_objects::at(2));
    versions.forget(&shop);
    assert_eq!(versions.known().cloned().collect::<Vec<_>>(), [cluster]);
}

#[test]
fn backends_are_mixed_while_the_ready_pods_are_of_two_revisions() {
    let endpoints = |ready: &[&str]| {
        let key = ObjectKey { namespace: "mesh".into(), name: "injector-1".into() };
        let ready = ready.iter().map(|name| Name::from(*name)).collect();
        Object::Endpoints(EndpointsSnapshot { key, service: "injector".into(), ready, others: 0 })
    };
    let pod = |name: &str, revision: &str, terminating| {
        let mut pod = test_objects::pod(name, None);
        pod.key.namespace = "mesh".into();
        pod.revision = revision.into();
        pod.state.terminating = terminating;
        Object::Pod(pod)
    };
    let mesh = test_objects::webhook("mesh", "1");
    let mixed = |objects: Vec<Object>| {
        let more = vec![Object::Injector(mesh.clone()), service()];
        backends_mixed(&mesh, &index(more.into_iter().chain(objects).collect())).is_some()
    };
    assert!(!mixed(vec![endpoints(&["a"]), pod("a", "1", false), pod("b", "2", false)]));
    assert!(mixed(vec![endpoints(&["a", "b"]), pod("a", "1", false), pod("b", "2", false)]));
    assert!(!mixed(vec![endpoints(&["a", "b"]), pod("a", "1", true), pod("b", "2", false)]));
    assert!(!mixed(vec![endpoints(&["a", "b"]), pod("a", "2", false), pod("b", "2", false)]));
}
