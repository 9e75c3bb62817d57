//! Deployments on paper, as watches bring them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};
use sidecar_drift::core::{
    compare::Rendering,
    config::Policy,
    io::{WatchEvent, WatchKind, WatchSource},
    model::{
        ConfigKind, Counts, InjectorEntry, InjectorKind, InjectorSnapshot, Name, NamespaceSnapshot, Object, ObjectKey,
        Owner, PodSnapshot, PodState, ReplicaSetSnapshot, Selector, Stamp, Strategy, TemplateSnapshot, WorkloadKey,
        WorkloadSnapshot, owner::Kind, shape::PodShape,
    },
};

/// The one injector; no webhook, so that no Service is behind it.
const INJECTOR: InjectorKind = InjectorKind::MutatingAdmissionPolicy;

/// When the fleet was there already.
pub(crate) const LONG_AGO: Timestamp = Timestamp::UNIX_EPOCH;

/// A Deployment, its newest ReplicaSet, and what its Pods run.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) workload: WorkloadSnapshot,
    /// What its Pods were given.
    pub(crate) proxy: u32,
    pub(crate) replicas: u32,
    pub(crate) created: Timestamp,
}

impl Deployment {
    pub(crate) fn new(namespace: &str, name: &str, proxy: u32, replicas: u32) -> Self {
        let labels = BTreeMap::from([(Name::from("app"), Name::from(name))]);
        let counts =
            Counts { desired: replicas, current: replicas, updated: replicas, ready: replicas, available: replicas };
        let workload = WorkloadSnapshot {
            key: WorkloadKey { namespace: namespace.into(), kind: Kind::DEPLOYMENT, name: name.into() },
            uid: format!("uid-{namespace}-{name}").into(),
            resource_version: "1".into(),
            generation: 1,
            observed_generation: 1,
            terminating: false,
            paused: false,
            counts,
            strategy: Strategy::RollingUpdate { max_unavailable: 0, max_surge: 1, partition: 0 },
            deadline_exceeded: false,
            min_ready_seconds: 0,
            refused: None,
            revision: 1,
            current_revision: "".into(),
            update_revision: "".into(),
            restarted: None,
            template_generation: 0,
            template: TemplateSnapshot {
                hash: format!("template-{name}").into(),
                stamp: None,
                labels: labels.clone(),
                has_annotations: false,
                service_account: "default".into(),
            },
            owner: None,
            says: BTreeMap::new(),
            labels,
            annotations: BTreeMap::new(),
            changed_by: None,
        };
        Self { workload, proxy, replicas, created: LONG_AGO }
    }

    /// The owner's own change, or our stamp: another revision, whose Pods are there already.
    pub(crate) fn roll(&mut self, stamp: Option<Stamp>, proxy: u32, now: Timestamp) {
        let w = &mut self.workload;
        w.template.has_annotations |= stamp.is_some();
        w.template.stamp = stamp.or(w.template.stamp.take());
        (w.generation, w.observed_generation, w.revision) = (w.generation + 1, w.generation + 1, w.revision + 1);
        (self.proxy, self.created) = (proxy, now);
        self.touch();
    }

    /// Another version of the object.
    pub(crate) fn touch(&mut self) {
        let version = self.workload.resource_version.parse().unwrap_or(0_u64);
        self.workload.resource_version = (version + 1).to_string().into();
    }

    fn set_name(&self) -> String {
        format!("{}-{}", self.workload.key.name, self.workload.revision)
    }

    fn key_of(&self, name: &str) -> ObjectKey {
        ObjectKey { namespace: self.workload.key.namespace.clone(), name: name.into() }
    }

    pub(crate) fn set(&self) -> Object {
        let name = self.set_name();
        Object::ReplicaSet(ReplicaSetSnapshot {
            key: self.key_of(&name),
            uid: format!("uid-{}-{name}", self.workload.key.namespace).into(),
            owner: Some(owner("Deployment", &self.workload.key.name, &self.workload.uid)),
            revision: self.workload.revision,
            hash: format!("hash-{name}").into(),
        })
    }

    pub(crate) fn object(&self) -> Object {
        Object::Workload(Box::new(self.workload.clone()))
    }

    /// One Pod of it.
    pub(crate) fn pod(&self, number: u32, ready: bool) -> Object {
        let set = self.set_name();
        let uid = format!("uid-{}-{set}", self.workload.key.namespace);
        let name = format!("{set}-{number:05}");
        Object::Pod(PodSnapshot {
            uid: format!("uid-{}-{name}", self.workload.key.namespace).into(),
            key: self.key_of(&name),
            owner: Some(owner("ReplicaSet", &set, &uid).into()),
            revision: format!("hash-{set}").into(),
            stamped: self.workload.template.stamp.as_ref().map(|stamp| stamp.timestamp),
            template_generation: 0,
            service_account: "default".into(),
            created: self.created,
            state: PodState { ready, ..PodState::default() },
            shape: shape(&self.workload.key.name, Some(self.proxy)),
            patched_images: Vec::new(),
        })
    }

    pub(crate) fn pods(&self) -> impl Iterator<Item = Object> {
        (0..self.replicas).map(|number| self.pod(number, true))
    }

    /// It is created, and all that it makes.
    pub(crate) fn comes(&self) -> impl Iterator<Item = (WatchSource, WatchEvent)> {
        [self.object(), self.set()].into_iter().chain(self.pods()).map(applied)
    }

    /// Its revision goes, with its Pods.
    pub(crate) fn revision_goes(&self) -> impl Iterator<Item = (WatchSource, WatchEvent)> {
        self.pods().chain([self.set()]).map(|object| deleted(&object))
    }

    /// What admission makes of its template now.
    pub(crate) fn rendering(name: &Name, proxy: u32) -> Rendering {
        Rendering { template: shape(name, None), rendered: shape(name, Some(proxy)), pod_name: None }
    }
}

fn owner(kind: &str, name: &str, uid: &str) -> Owner {
    Owner { api_version: "apps/v1".into(), kind: kind.into(), name: name.into(), uid: uid.into() }
}

fn shape(app: &str, proxy: Option<u32>) -> Arc<PodShape> {
    let env: Vec<Value> =
        (0..20).map(|n| json!({ "name": format!("VAR_{n}"), "value": format!("{app}-{n}") })).collect();
    let app = json!({ "name": "app", "image": format!("shop/{app}:1"), "env": env });
    let proxy = proxy.map(|version| json!({ "name": "proxy", "image": format!("mesh/proxy:{version}") }));
    let containers: Vec<_> = [app].into_iter().chain(proxy).collect();
    Arc::new(PodShape::from_pod(&json!({ "spec": { "containers": containers } })))
}

pub(crate) fn namespace(name: &str, version: u32) -> Object {
    let labels = BTreeMap::from([(Name::from("version"), Name::from(version.to_string()))]);
    let hash = version.to_string().into();
    let (name, says) = (name.into(), BTreeMap::new());
    Object::Namespace(NamespaceSnapshot { name, labels, says, hash, terminating: false, changed_by: None })
}

/// The injector, of everything.
pub(crate) fn injector(version: u32) -> Object {
    let entry = InjectorEntry {
        namespaces: Selector::default(),
        objects: Selector::default(),
        service: None,
        ignores_failure: false,
        timeout_seconds: 0,
        refuses_dry_run: false,
    };
    Object::Injector(InjectorSnapshot {
        kind: INJECTOR,
        name: "mesh".into(),
        hash: version.to_string().into(),
        policy: "".into(),
        entries: vec![entry],
        params: None,
        changed_by: None,
    })
}

/// The watches that the core waits for.
pub(crate) fn sources(policy: &Policy) -> Vec<WatchSource> {
    let kinds = [
        WatchKind::Namespaces,
        WatchKind::Nodes,
        WatchKind::DisruptionBudgets,
        WatchKind::ReplicaSets,
        WatchKind::Pods,
        WatchKind::Configs(ConfigKind::ServiceAccount),
        WatchKind::Configs(ConfigKind::LimitRange),
        WatchKind::Injectors(InjectorKind::MutatingWebhookConfiguration),
        WatchKind::Injectors(INJECTOR),
        WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicyBinding),
    ];
    let workloads = policy.kinds.iter().map(|kind| WatchKind::Workloads(*kind));
    kinds.into_iter().chain(workloads).map(of).collect()
}

fn of(kind: WatchKind) -> WatchSource {
    WatchSource { kind, namespace: None }
}

fn source_of(object: &Object) -> WatchSource {
    of(match object {
        Object::Pod(_) => WatchKind::Pods,
        Object::Workload(workload) => WatchKind::Workloads(workload.key.kind),
        Object::ReplicaSet(_) => WatchKind::ReplicaSets,
        Object::Namespace(_) => WatchKind::Namespaces,
        // Nothing else is on this paper.
        _ => WatchKind::Injectors(INJECTOR),
    })
}

pub(crate) fn applied(object: Object) -> (WatchSource, WatchEvent) {
    (source_of(&object), WatchEvent::Apply(object))
}

pub(crate) fn deleted(object: &Object) -> (WatchSource, WatchEvent) {
    (source_of(object), WatchEvent::Delete(object.key()))
}
