//! The API server's objects on paper, as watches bring them: for scripts and for the simulator.

use std::collections::BTreeMap;

use sidecar_drift::core::{
    config::Policy,
    inventory::BACKING_KINDS,
    io::{WatchEvent, WatchKind, WatchSource},
    model::{ConfigKind, InjectorKind, Name, Object, ObjectKey},
};

/// All objects there are, and what watches have not said of them yet.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    objects: BTreeMap<(WatchKind, ObjectKey), Object>,
    /// What watches have not said yet.
    pub(crate) news: Vec<(WatchSource, WatchEvent)>,
}

impl Objects {
    pub(crate) fn put(&mut self, object: Object) {
        let source = source_of(&object);
        self.objects.insert((source.kind, object.key()), object.clone());
        self.news.push((source, WatchEvent::Apply(object)));
    }

    pub(crate) fn delete(&mut self, kind: WatchKind, key: &ObjectKey) -> Option<Object> {
        let object = self.objects.remove(&(kind, key.clone()))?;
        self.news.push((source_of(&object), WatchEvent::Delete(key.clone())));
        Some(object)
    }

    pub(crate) fn get(&self, kind: WatchKind, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(&(kind, key.clone()))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// Everything that a watch lists.
    pub(crate) fn list(&self, source: &WatchSource) -> Vec<WatchEvent> {
        let listed = self.all().filter(|object| source_of(object) == *source);
        let listed = listed.map(|object| WatchEvent::Apply(object.clone()));
        std::iter::once(WatchEvent::ResetStarted).chain(listed).chain([WatchEvent::ResetDone]).collect()
    }
}

pub(crate) fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

/// What is watched everywhere, from the beginning.
pub(crate) fn sources(policy: &Policy) -> Vec<WatchSource> {
    let mut kinds = vec![
        WatchKind::Namespaces,
        WatchKind::Nodes,
        WatchKind::DisruptionBudgets,
        WatchKind::ReplicaSets,
        WatchKind::Pods,
        WatchKind::Configs(ConfigKind::ServiceAccount),
        WatchKind::Configs(ConfigKind::LimitRange),
        WatchKind::Injectors(InjectorKind::MutatingWebhookConfiguration),
        WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicy),
        WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicyBinding),
    ];
    kinds.extend((0..).zip(&policy.triggers).map(|(number, _)| WatchKind::Trigger(number)));
    kinds.extend(policy.kinds.iter().map(|kind| WatchKind::Workloads(*kind)));
    kinds.into_iter().map(|kind| WatchSource { kind, namespace: None }).collect()
}

/// What is watched in a namespace that backs an injector.
pub(crate) fn backing(namespace: &Name) -> [WatchSource; BACKING_KINDS.len()] {
    BACKING_KINDS.map(|kind| WatchSource { kind, namespace: Some(namespace.clone()) })
}

/// The watch that brings an object.
fn source_of(object: &Object) -> WatchSource {
    let here = || Some(object.key().namespace);
    let (kind, namespace) = match object {
        Object::Pod(_) => (WatchKind::Pods, None),
        Object::Workload(w) => (WatchKind::Workloads(w.key.kind), None),
        Object::ReplicaSet(_) => (WatchKind::ReplicaSets, None),
        Object::Namespace(_) => (WatchKind::Namespaces, None),
        Object::Injector(i) => (WatchKind::Injectors(i.kind), None),
        Object::Config(c) if c.kind == ConfigKind::ConfigMap => (WatchKind::Configs(c.kind), here()),
        Object::Config(c) => (WatchKind::Configs(c.kind), None),
        Object::Trigger(t) => (WatchKind::Trigger(t.number), None),
        Object::Service(_) => (WatchKind::Services, here()),
        Object::Endpoints(_) => (WatchKind::EndpointSlices, here()),
        Object::DisruptionBudget(_) => (WatchKind::DisruptionBudgets, None),
        Object::Node(_) => (WatchKind::Nodes, None),
    };
    WatchSource { kind, namespace }
}
