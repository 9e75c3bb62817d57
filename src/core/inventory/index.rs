//! Everything that is known of the cluster, kept from watch events alone.
//!
//! Shapes and names are interned while they come in: ten thousand replicas of one template hold one projection.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    compact::{KeptPod, KeptSet, Made, Pod, ReplicaSet, SetOfUid},
    containers::Containers,
    intern_table::InternTable,
    pod_classes::OwnedPods,
};
use crate::core::{
    config::{Trigger, Triggers, WhatIf},
    io::{WatchEvent, WatchKind, WatchSource},
    model::{
        ConfigKind, ConfigSnapshot, DisruptionBudgetSnapshot, EndpointsSnapshot, InjectorKind, InjectorSnapshot, Name,
        NamespaceSnapshot, NodeSnapshot, Object, ObjectKey, Owner, PodSnapshot, ServiceSnapshot, TriggerSnapshot,
        WorkloadKey, WorkloadSnapshot, owner::Kind, shape::PodShape,
    },
};

/// What is watched in the namespaces that back injectors.
pub const BACKING_KINDS: [WatchKind; 3] =
    [WatchKind::Configs(ConfigKind::ConfigMap), WatchKind::Services, WatchKind::EndpointSlices];

/// A change of one object, as the index saw it. Unchanged objects (a relist repeats them) make none.
#[derive(Debug)]
pub enum Change {
    /// A Pod came, changed or went.
    Pod {
        /// Before.
        old: Option<Arc<Pod>>,
        /// After.
        new: Option<Arc<Pod>>,
    },
    /// A workload came, changed or went.
    Workload {
        /// Before.
        old: Option<Box<WorkloadSnapshot>>,
        /// Which one.
        key: WorkloadKey,
    },
    /// A ReplicaSet came, changed or went.
    ReplicaSet {
        /// Its Deployment's uid.
        owner: Option<Name>,
    },
    /// A Namespace came, changed or went.
    Namespace {
        /// Before.
        old: Option<NamespaceSnapshot>,
        /// Which one.
        name: Name,
    },
    /// A webhook configuration, policy or binding came, changed or went.
    Injector {
        /// Before.
        old: Option<InjectorSnapshot>,
        /// After.
        new: Option<InjectorSnapshot>,
    },
    /// An object of which only a hash is kept came, changed or went.
    Config {
        /// Before.
        old: Option<ConfigSnapshot>,
        /// After.
        new: Option<ConfigSnapshot>,
    },
    /// An object that a trigger names came, changed or went.
    Trigger {
        /// Before.
        old: Option<TriggerSnapshot>,
        /// After.
        new: Option<TriggerSnapshot>,
    },
    /// A Service of a namespace that backs an injector came, changed or went.
    Service {
        /// Before.
        old: Option<ServiceSnapshot>,
        /// After.
        new: Option<ServiceSnapshot>,
    },
    /// Endpoints of such a Service came, changed or went.
    Endpoints {
        /// Their namespace.
        namespace: Name,
    },
    /// A PodDisruptionBudget came, changed or went.
    DisruptionBudget,
    /// A Node came, changed or went.
    Node {
        /// The lowest kubelet version in the cluster before.
        old_floor: Option<(u32, u32)>,
        /// And after.
        new_floor: Option<(u32, u32)>,
    },
}

/// The cluster, as far as verdicts depend on it.
#[derive(Debug, Default)]
pub struct Index {
    pub(super) pods: HashSet<KeptPod>,
    /// Owner uid → its Pods. The empty uid: Pods without an owner.
    pub(super) pods_by_owner: HashMap<Name, OwnedPods>,
    /// Boxed, because half of a tree's places are empty.
    pub(super) workloads: BTreeMap<WorkloadKey, Box<WorkloadSnapshot>>,
    pub(super) workload_by_uid: HashMap<Name, WorkloadKey>,
    pub(super) replica_sets: HashSet<KeptSet>,
    /// Deployment uid → its ReplicaSets, sorted.
    pub(super) replica_sets_by_owner: HashMap<Name, Vec<Arc<ReplicaSet>>>,
    pub(super) replica_set_by_uid: HashSet<SetOfUid>,
    pub(super) namespaces: BTreeMap<Name, NamespaceSnapshot>,
    pub(super) injectors: BTreeMap<(InjectorKind, Name), InjectorSnapshot>,
    pub(super) configs: BTreeMap<(ConfigKind, ObjectKey), ConfigSnapshot>,
    pub(super) triggered: BTreeMap<(u16, ObjectKey), TriggerSnapshot>,
    pub(super) services: BTreeMap<ObjectKey, ServiceSnapshot>,
    pub(super) endpoints: BTreeMap<ObjectKey, EndpointsSnapshot>,
    pub(super) budgets: BTreeMap<ObjectKey, DisruptionBudgetSnapshot>,
    pub(super) nodes: BTreeMap<Name, NodeSnapshot>,
    pub(super) sources: BTreeMap<WatchSource, SourceState>,
    pub(super) triggers: Triggers,
    /// The namespaces that back injectors.
    pub(super) backends: BTreeSet<Name>,
    /// What renderings suppose.
    pub(super) what_if: WhatIf,
    pub(super) shapes: InternTable<PodShape>,
    /// Parts of shapes: the app container of a template is that of its Pods.
    pub(super) containers: Containers,
    /// Owners of Pods and of ReplicaSets, each kept once.
    pub(super) owners: HashSet<Arc<Owner>>,
    /// What Pods of one revision have in common.
    pub(super) made: InternTable<Made>,
    /// How many there ever were.
    pub(super) made_so_far: u64,
    pub(super) names: HashSet<Name>,
    /// How often something went that had shared parts since unused ones were dropped last.
    pub(super) departed: usize,
    /// How many parts were left then.
    pub(super) parts_left: usize,
    /// How often a Pod without a workload came, changed or went.
    pub(super) unmanaged_seen: u64,
}

/// Where one watch stands.
#[derive(Debug, Default)]
pub(super) struct SourceState {
    /// It is watched because an injector is backed from there.
    pub(super) backing: bool,
    /// Listed once since the start.
    pub(super) synced: bool,
    /// Why it cannot be watched.
    pub(super) unavailable: Option<String>,
    /// It has no connection.
    pub(super) interrupted: bool,
    /// While a list is under way: what was there before and the list has not brought yet. Empty for a first list, so that
    /// it costs nothing.
    pub(super) missing: Option<HashSet<ObjectKey>>,
}

impl Index {
    /// An index that waits for these watches.
    pub fn expecting(sources: impl IntoIterator<Item = WatchSource>) -> Self {
        let mut index = Self::default();
        index.expect(sources);
        index
    }

    /// What is watched because a person, or a policy, named it.
    pub fn triggers(&self) -> &Triggers {
        &self.triggers
    }

    /// Those that a person named; before anything else.
    pub fn set_triggers(&mut self, triggers: Triggers) {
        self.triggers = triggers;
    }

    /// Adds the params of policies, and waits for them. Returns whether any is new.
    pub fn expect_params(&mut self, params: impl IntoIterator<Item = Trigger>) -> bool {
        let added = self.triggers.add(params);
        let source = |number: &u16| WatchSource { kind: WatchKind::Trigger(*number), namespace: None };
        self.expect(added.iter().map(source).collect::<Vec<_>>());
        !added.is_empty()
    }

    /// Renderings suppose this from now on.
    pub fn suppose(&mut self, what_if: WhatIf) {
        self.what_if = what_if;
    }

    /// What renderings suppose.
    pub fn supposed(&self) -> &WhatIf {
        &self.what_if
    }

    /// Wait for these watches, too.
    pub fn expect(&mut self, sources: impl IntoIterator<Item = WatchSource>) {
        for source in sources {
            self.sources.entry(source).or_default();
        }
    }

    /// Wait for what backs injectors in exactly these namespaces, and forget that of all others.
    pub fn set_backends(&mut self, namespaces: &BTreeSet<Name>) {
        let kept = |ns: &Name| namespaces.contains(ns);
        self.sources.retain(|s, state| !state.backing || s.namespace.as_ref().is_some_and(kept));
        for namespace in namespaces {
            let deployments = WatchKind::Workloads(Kind::DEPLOYMENT);
            // They are watched there for the sake of the injector, unless they are watched anyway.
            let watched =
                |s: &WatchSource| s.kind == deployments && s.namespace.as_ref().is_none_or(|ns| ns == namespace);
            let more = (!self.sources.keys().any(watched)).then_some(deployments);
            for kind in BACKING_KINDS.into_iter().chain(more) {
                let source = WatchSource { kind, namespace: Some(namespace.clone()) };
                self.sources.entry(source).or_insert_with(|| SourceState { backing: true, ..SourceState::default() });
            }
        }
        self.configs.retain(|(kind, k), _| *kind != ConfigKind::ConfigMap || kept(&k.namespace));
        self.services.retain(|k, _| kept(&k.namespace));
        self.endpoints.retain(|k, _| kept(&k.namespace));
    }

    /// Every watch has brought its list, or cannot be had.
    pub fn synced(&self) -> bool {
        self.sources.values().all(|s| s.synced || s.unavailable.is_some())
    }

    /// Whether the Pods of this namespace are among what is watched.
    pub fn watches_pods_of(&self, namespace: &Name) -> bool {
        [None, Some(namespace.clone())]
            .into_iter()
            .any(|namespace| self.sources.contains_key(&WatchSource { kind: WatchKind::Pods, namespace }))
    }

    /// Whether everything that may inject is known: no webhook configurations or policies are out of our sight.
    pub fn knows_injectors(&self) -> bool {
        let mut injectors = self.sources.iter().filter(|(s, _)| matches!(s.kind, WatchKind::Injectors(_))).peekable();
        injectors.peek().is_some() && injectors.all(|(_, state)| state.synced && state.unavailable.is_none())
    }

    /// Whether this one watch has brought its first list.
    pub fn source_synced(&self, source: &WatchSource) -> bool {
        self.sources.get(source).is_some_and(|s| s.synced)
    }

    /// The watches that cannot be had, each with its reason.
    pub fn unavailable(&self) -> impl Iterator<Item = (&WatchSource, &str)> {
        self.sources.iter().filter_map(|(s, state)| state.unavailable.as_deref().map(|why| (s, why)))
    }

    /// Take in what a watch says; returns what changed by it.
    pub fn apply(&mut self, source: &WatchSource, event: WatchEvent) -> Vec<Change> {
        // What is not waited for any more may still have something to say.
        let Some(state) = self.sources.get_mut(source) else { return Vec::new() };
        match event {
            WatchEvent::ResetStarted => {
                let before = self.keys(source);
                if let Some(state) = self.sources.get_mut(source) {
                    state.missing = Some(before);
                }
                Vec::new()
            }
            WatchEvent::Apply(object) => {
                if let Some(missing) = state.missing.as_mut().filter(|missing| !missing.is_empty()) {
                    missing.remove(&object.key());
                }
                self.upsert(object).into_iter().collect()
            }
            WatchEvent::Delete(key) => self.remove(source.kind, &key).into_iter().collect(),
            WatchEvent::ResetDone => {
                state.synced = true;
                state.unavailable = None;
                let vanished = state.missing.take().unwrap_or_default();
                vanished.iter().filter_map(|key| self.remove(source.kind, key)).collect()
            }
            WatchEvent::Unavailable { message, .. } => {
                state.unavailable = Some(message);
                state.missing = None;
                Vec::new()
            }
            WatchEvent::Interrupted | WatchEvent::Resumed => Vec::new(),
        }
    }

    /// Everything that this watch brought.
    fn keys(&self, source: &WatchSource) -> HashSet<ObjectKey> {
        let here = |key: &ObjectKey| source.namespace.as_ref().is_none_or(|ns| *ns == key.namespace);
        let cluster = |name: &Name| ObjectKey { namespace: Name::from(""), name: name.clone() };
        match source.kind {
            WatchKind::Pods => self.pods.iter().map(KeptPod::key).filter(|k| here(k)).cloned().collect(),
            WatchKind::ReplicaSets => self.replica_sets.iter().map(KeptSet::key).filter(|k| here(k)).cloned().collect(),
            WatchKind::Configs(kind) => {
                self.configs.keys().filter(|(k, key)| *k == kind && here(key)).map(|(_, key)| key.clone()).collect()
            }
            WatchKind::Trigger(number) => {
                self.triggered.keys().filter(|(n, _)| *n == number).map(|(_, key)| key.clone()).collect()
            }
            WatchKind::Services => self.services.keys().filter(|k| here(k)).cloned().collect(),
            WatchKind::EndpointSlices => self.endpoints.keys().filter(|k| here(k)).cloned().collect(),
            WatchKind::DisruptionBudgets => self.budgets.keys().filter(|k| here(k)).cloned().collect(),
            WatchKind::Nodes => self.nodes.keys().map(cluster).collect(),
            WatchKind::Namespaces => self.namespaces.keys().map(cluster).collect(),
            WatchKind::Injectors(kind) => {
                self.injectors.keys().filter(|(k, _)| *k == kind).map(|(_, name)| cluster(name)).collect()
            }
            WatchKind::Workloads(kind) => self
                .workloads
                .keys()
                .filter(|k| k.kind == kind)
                .map(|k| ObjectKey { namespace: k.namespace.clone(), name: k.name.clone() })
                .filter(here)
                .collect(),
        }
    }

    pub(super) fn upsert(&mut self, object: Object) -> Option<Change> {
        match object {
            Object::Pod(pod) => self.upsert_pod(pod),
            Object::Workload(new) => {
                let key = new.key.clone();
                self.put_workload(new).map(|old| Change::Workload { old, key })
            }
            Object::ReplicaSet(set) => self.upsert_replica_set(set),
            Object::Namespace(new) => {
                let name = new.name.clone();
                let old = self.namespaces.insert(name.clone(), new);
                (old.as_ref() != self.namespaces.get(&name)).then_some(Change::Namespace { old, name })
            }
            Object::Injector(new) => {
                let old = self.injectors.insert((new.kind, new.name.clone()), new.clone());
                (old.as_ref() != Some(&new)).then_some(Change::Injector { old, new: Some(new) })
            }
            Object::Config(new) => {
                let old = self.configs.insert((new.kind, new.key.clone()), new.clone());
                (old.as_ref() != Some(&new)).then_some(Change::Config { old, new: Some(new) })
            }
            Object::Trigger(new) => {
                let old = self.triggered.insert((new.number, new.key.clone()), new.clone());
                (old.as_ref() != Some(&new)).then_some(Change::Trigger { old, new: Some(new) })
            }
            Object::Service(new) => {
                let old = self.services.insert(new.key.clone(), new.clone());
                (old.as_ref() != Some(&new)).then_some(Change::Service { old, new: Some(new) })
            }
            Object::Endpoints(new) => {
                let namespace = new.key.namespace.clone();
                let old = self.endpoints.insert(new.key.clone(), new.clone());
                (old.as_ref() != Some(&new)).then_some(Change::Endpoints { namespace })
            }
            Object::DisruptionBudget(new) => {
                let old = self.budgets.insert(new.key.clone(), new.clone());
                (old.as_ref() != Some(&new)).then_some(Change::DisruptionBudget)
            }
            Object::Node(new) => {
                let old_floor = self.kubelet_floor();
                let old = self.nodes.insert(new.name.clone(), new.clone());
                let new_floor = self.kubelet_floor();
                (old.as_ref() != Some(&new)).then_some(Change::Node { old_floor, new_floor })
            }
        }
    }

    /// Put a workload as it was just read; `None` when that tells nothing new.
    pub fn put_workload(&mut self, mut new: Box<WorkloadSnapshot>) -> Option<Option<Box<WorkloadSnapshot>>> {
        self.intern_workload(&mut new);
        let key = new.key.clone();
        if self.workloads.get(&key) == Some(&new) {
            return None;
        }
        self.workload_by_uid.insert(new.uid.clone(), key.clone());
        let uid = new.uid.clone();
        let old = self.workloads.insert(key, new);
        if let Some(old) = &old
            && old.uid != uid
        {
            self.workload_by_uid.remove(&old.uid);
        }
        Some(old)
    }

    pub(super) fn upsert_pod(&mut self, mut pod: PodSnapshot) -> Option<Change> {
        // Nothing of it is ever compared. A Pod that is adopted is told anew, whole.
        if pod.owner.as_ref().is_none_or(|owner| matches!((&*owner.api_version, &*owner.kind), ("batch/v1", "Job"))) {
            pod.shape = pod.shape.outline().into();
        }
        let mut pod = Pod::from(pod);
        self.intern(&mut pod);
        if self.pod(&pod.key) == Some(&pod) {
            return None;
        }
        let old = self.unlink_pod(&pod.key);
        if old.as_ref().is_some_and(|old| !Arc::ptr_eq(&old.made, &pod.made)) {
            self.note_departure();
        }
        self.unmanaged_seen += u64::from(self.unmanaged_owner(&pod).is_some());
        let pod = Arc::new(pod);
        self.pods_by_owner.entry(owner_uid(&pod)).or_default().insert(pod.clone());
        self.pods.insert(KeptPod(pod.clone()));
        Some(Change::Pod { old, new: Some(pod) })
    }

    pub(super) fn unlink_pod(&mut self, key: &ObjectKey) -> Option<Arc<Pod>> {
        let KeptPod(old) = self.pods.take(key)?;
        self.unmanaged_seen += u64::from(self.unmanaged_owner(&old).is_some());
        let owner = owner_uid(&old);
        if let Some(siblings) = self.pods_by_owner.get_mut(&owner) {
            siblings.remove(&old);
            if siblings.is_empty() {
                self.pods_by_owner.remove(&owner);
            }
        }
        Some(old)
    }

    fn remove(&mut self, kind: WatchKind, key: &ObjectKey) -> Option<Change> {
        match kind {
            WatchKind::Pods => {
                let old = self.unlink_pod(key)?;
                self.note_departure();
                Some(Change::Pod { old: Some(old), new: None })
            }
            WatchKind::Workloads(kind) => {
                let key = WorkloadKey { namespace: key.namespace.clone(), kind, name: key.name.clone() };
                let old = self.workloads.remove(&key)?;
                self.workload_by_uid.remove(&old.uid);
                self.note_departure();
                Some(Change::Workload { old: Some(old), key })
            }
            WatchKind::ReplicaSets => self.remove_replica_set(key),
            WatchKind::Namespaces => {
                let old = self.namespaces.remove(&key.name)?;
                Some(Change::Namespace { old: Some(old), name: key.name.clone() })
            }
            WatchKind::Injectors(kind) => {
                let old = self.injectors.remove(&(kind, key.name.clone()))?;
                Some(Change::Injector { old: Some(old), new: None })
            }
            WatchKind::Trigger(number) => {
                self.triggered.remove(&(number, key.clone())).map(|old| Change::Trigger { old: Some(old), new: None })
            }
            WatchKind::Configs(kind) => {
                let old = self.configs.remove(&(kind, key.clone()))?;
                Some(Change::Config { old: Some(old), new: None })
            }
            WatchKind::Services => {
                let old = self.services.remove(key)?;
                Some(Change::Service { old: Some(old), new: None })
            }
            WatchKind::EndpointSlices => {
                self.endpoints.remove(key)?;
                Some(Change::Endpoints { namespace: key.namespace.clone() })
            }
            WatchKind::DisruptionBudgets => self.budgets.remove(key).map(|_| Change::DisruptionBudget),
            WatchKind::Nodes => {
                let old_floor = self.kubelet_floor();
                self.nodes.remove(&key.name)?;
                Some(Change::Node { old_floor, new_floor: self.kubelet_floor() })
            }
        }
    }
}

fn owner_uid(pod: &Pod) -> Name {
    pod.made.owner.as_ref().map_or_else(|| Name::from(""), |owner| owner.uid.clone())
}
