//! What the index is asked.

use super::{
    compact::{Pod, ReplicaSet, SetOfUid},
    index::Index,
    pod_classes::{OwnedPods, PodClass},
};
use crate::core::{
    io::{WatchKind, WatchSource},
    model::{
        ConfigKind, ConfigSnapshot, DisruptionBudgetSnapshot, EndpointsSnapshot, InjectorSnapshot, Name,
        NamespaceSnapshot, ObjectKey, Owner, ServiceSnapshot, TriggerSnapshot, WorkloadKey, WorkloadSnapshot,
        owner::Kind,
    },
};

impl Index {
    /// The workloads, sorted.
    pub fn workloads(&self) -> impl Iterator<Item = (&WorkloadKey, &WorkloadSnapshot)> {
        self.workloads.iter().map(|(key, workload)| (key, &**workload))
    }

    /// The workloads of one namespace.
    pub fn workloads_in<'a>(&'a self, namespace: &'a Name) -> impl Iterator<Item = &'a WorkloadSnapshot> {
        let first = WorkloadKey { namespace: namespace.clone(), kind: Kind::DEPLOYMENT, name: Name::from("") };
        self.workloads.range(first..).map(|(_, w)| &**w).take_while(move |w| w.key.namespace == *namespace)
    }

    /// How many workloads there are.
    pub fn workload_count(&self) -> usize {
        self.workloads.len()
    }

    /// One workload.
    pub fn workload(&self, key: &WorkloadKey) -> Option<&WorkloadSnapshot> {
        self.workloads.get(key).map(|workload| &**workload)
    }

    /// One Namespace.
    pub fn namespace(&self, name: &str) -> Option<&NamespaceSnapshot> {
        self.namespaces.get(name)
    }

    /// Whether Namespaces, and with them what their owners say, can be read.
    pub fn reads_namespaces(&self) -> bool {
        let source = WatchSource { kind: WatchKind::Namespaces, namespace: None };
        self.sources.get(&source).is_some_and(|state| state.synced && state.unavailable.is_none())
    }

    /// What cannot be seen, and why: what may not be watched, was not listed yet, or whose watch has no connection.
    pub fn unseen(&self) -> impl Iterator<Item = (&WatchSource, String)> {
        self.sources.iter().filter_map(|(source, state)| {
            let why = match &state.unavailable {
                Some(why) => why.clone(),
                None if !state.synced => format!("{source} were not listed yet"),
                None if state.interrupted => {
                    format!("the watch of {source} has had no connection for more than a minute")
                }
                None => return None,
            };
            Some((source, why))
        })
    }

    /// The Namespaces, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Name, &NamespaceSnapshot)> {
        self.namespaces.iter()
    }

    /// The objects that triggers name.
    pub fn triggered(&self) -> impl Iterator<Item = &TriggerSnapshot> {
        self.triggered.values()
    }

    /// The objects of which only a hash is kept.
    pub fn configs(&self) -> impl Iterator<Item = &ConfigSnapshot> {
        self.configs.values()
    }

    /// All injector objects.
    pub fn injectors(&self) -> impl Iterator<Item = &InjectorSnapshot> {
        self.injectors.values()
    }

    /// The objects of one kind in one namespace of which only a hash is kept.
    pub fn configs_in<'a>(&'a self, kind: ConfigKind, namespace: &'a str) -> impl Iterator<Item = &'a ConfigSnapshot> {
        self.configs.values().filter(move |config| config.kind == kind && *config.key.namespace == *namespace)
    }

    /// One Service behind an injector.
    pub fn service(&self, key: &ObjectKey) -> Option<&ServiceSnapshot> {
        self.services.get(key)
    }

    /// The Services of a namespace that backs an injector.
    pub fn services_in(&self, namespace: &str) -> impl Iterator<Item = &ServiceSnapshot> {
        self.services.values().filter(move |s| *s.key.namespace == *namespace)
    }

    /// The slices of a Service.
    pub fn endpoints_of<'a>(&'a self, service: &'a ObjectKey) -> impl Iterator<Item = &'a EndpointsSnapshot> {
        self.endpoints.values().filter(move |e| e.key.namespace == service.namespace && e.service == service.name)
    }

    /// The PodDisruptionBudgets that select a workload's Pods.
    pub fn budgets_of<'a>(
        &'a self,
        workload: &'a WorkloadSnapshot,
    ) -> impl Iterator<Item = &'a DisruptionBudgetSnapshot> {
        let first = ObjectKey { namespace: workload.key.namespace.clone(), name: Name::from("") };
        let here = self.budgets.range(first..).map(|(_, budget)| budget);
        let here = here.take_while(|budget| budget.key.namespace == workload.key.namespace);
        let labels = &workload.template.labels;
        here.filter(|budget| budget.selector.as_ref().is_some_and(|selector| selector.matches(labels)))
    }

    /// One Pod.
    pub fn pod(&self, key: &ObjectKey) -> Option<&Pod> {
        self.pods.get(key).map(|kept| &*kept.0)
    }

    /// The lowest kubelet version in the cluster: some injectors decide by it (native sidecars).
    pub fn kubelet_floor(&self) -> Option<(u32, u32)> {
        self.nodes.values().filter_map(|node| node.kubelet).min()
    }

    /// A Node that is there, a ready one if possible.
    pub fn any_node(&self) -> Option<&Name> {
        let ready = self.nodes.values().find(|node| node.ready);
        ready.or_else(|| self.nodes.values().next()).map(|node| &node.name)
    }

    /// Nodes that are not ready, of how many.
    pub fn unready_nodes(&self) -> (usize, usize) {
        (self.nodes.values().filter(|node| !node.ready).count(), self.nodes.len())
    }

    /// Whether one of this DaemonSet's living Pods was made for a Node that is not ready: the Pod may still say that it is, until
    /// whoever watches Nodes says otherwise.
    pub fn runs_on_unready_node(&self, workload: &WorkloadSnapshot) -> bool {
        let unready = |pod: &Pod| pod.node().and_then(|node| self.nodes.get(node)).is_some_and(|node| !node.ready);
        let living = |class: &PodClass<'_>| !class.state.finished && !class.state.terminating;
        self.nodes.values().any(|node| !node.ready)
            && self.pod_classes_of(workload).filter(living).any(|class| class.pods().any(unready))
    }

    /// The workload whose Pod this is: directly, or through its ReplicaSet.
    pub fn workload_of(&self, pod: &Pod) -> Option<&WorkloadKey> {
        let owner = pod.made.owner.as_ref()?;
        if let Some(key) = self.workload_by_uid.get(&owner.uid) {
            return Some(key);
        }
        let SetOfUid(replica_set) = self.replica_set_by_uid.get(&owner.uid)?;
        self.workload_by_uid.get(&replica_set.owner.as_ref()?.uid)
    }

    /// The workload with this uid.
    pub fn workload_with_uid(&self, uid: &str) -> Option<&WorkloadKey> {
        self.workload_by_uid.get(uid)
    }

    /// The ReplicaSet that holds a Deployment's current template: its revision is the Deployment's own.
    pub fn newest_replica_set(&self, deployment: &WorkloadSnapshot) -> Option<&ReplicaSet> {
        let mut sets = self.replica_sets_by_owner.get(&deployment.uid)?.iter().map(|set| &**set);
        if deployment.key.kind == Kind::ROLLOUT {
            // While its canary goes through its steps, or after that was aborted, the stable one is what runs.
            return sets.find(|rs| rs.hash == deployment.current_revision && !rs.hash.is_empty());
        }
        if deployment.key.kind.described().is_some() {
            // How its controller numbers them nobody said; where all Pods are of one, that is it.
            let runs = |class: PodClass<'_>| !class.state.terminating && !class.state.finished;
            let of = |rs: &&ReplicaSet| self.pods_by_owner.get(&rs.uid);
            let mut used = sets.filter(|rs| of(rs).is_some_and(|pods| pods.classes().any(runs)));
            return used.next().filter(|_| used.next().is_none());
        }
        sets.find(|rs| rs.revision == deployment.revision && rs.revision > 0)
    }

    /// The Pods that belong to a workload, of any revision, by class: a class for each owner, what Pods were made from, and
    /// standing. Costs what there are classes, however many replicas.
    pub fn pod_classes_of<'a>(
        &'a self,
        workload: &'a WorkloadSnapshot,
    ) -> impl Iterator<Item = PodClass<'a>> + Clone + use<'a> {
        let has_replica_sets = workload.key.kind.has_replica_sets();
        let sets = self.replica_sets_by_owner.get(&workload.uid).filter(|_| has_replica_sets);
        let sets = sets.into_iter().flatten().map(|set| &set.uid);
        let owners = sets.chain((!has_replica_sets).then_some(&workload.uid));
        owners.filter_map(|uid| self.pods_by_owner.get(uid)).flat_map(OwnedPods::classes)
    }

    /// How many Pods belong to a workload, of any revision.
    pub fn pod_count_of(&self, workload: &WorkloadSnapshot) -> usize {
        self.pod_classes_of(workload).map(|class| class.count()).sum()
    }

    /// All Pods that belong to a workload, of any revision, sorted by name. Costs what there are replicas: what is asked at
    /// every event of a Pod is asked of [`Index::pod_classes_of`].
    pub fn pods_of<'a>(&'a self, workload: &'a WorkloadSnapshot) -> Vec<&'a Pod> {
        let mut pods: Vec<_> = self.pod_classes_of(workload).flat_map(|class| class.pods()).collect();
        pods.sort_by(|a, b| a.key.cmp(&b.key));
        pods
    }

    /// Pods that no workload of a known kind owns: bare ones, those of Jobs and of unknown owners, and of ReplicaSets
    /// that stand alone. With each, the kind and name to report it under.
    pub fn unmanaged<'a>(&'a self) -> impl Iterator<Item = (&'a Pod, Name, Name)> {
        // By owners, of which there are far fewer than Pods: all of one owner are unmanaged, or none is.
        let unmanaged = self.pods_by_owner.values().filter(|pods| {
            let any = pods.pods().next();
            any.is_some_and(|pod| self.unmanaged_owner(pod).is_some())
        });
        // In an order of their own, or two runs of one history would tell of them in two.
        let sorted = |pods: &'a OwnedPods| {
            let mut pods: Vec<_> = pods.pods().collect();
            pods.sort_by(|a, b| a.key.cmp(&b.key));
            pods
        };
        unmanaged.flat_map(sorted).filter_map(|pod| {
            let (kind, name) = self.unmanaged_owner(pod)?;
            Some((pod, kind, name))
        })
    }

    /// How often an unmanaged Pod came, changed or went.
    pub fn unmanaged_seen(&self) -> u64 {
        self.unmanaged_seen
    }

    /// We know how to render what this owns, and its kind is looked at, or was left out by a person.
    pub(super) fn is_known(&self, owner: &Owner) -> bool {
        let names = |kind: Kind| kind.is_named_by(&owner.api_version, &owner.kind);
        let watched = |source: &WatchSource| matches!(source.kind, WatchKind::Workloads(kind) if names(kind));
        Kind::usual().any(names) || self.sources.keys().any(watched)
    }

    /// The kind and name that a Pod is reported under, if no workload of a known kind owns it.
    pub(super) fn unmanaged_owner(&self, pod: &Pod) -> Option<(Name, Name)> {
        let Some(owner) = &pod.made.owner else { return Some((Name::from("Pod"), pod.key.name.clone())) };
        if Kind::REPLICA_SET.is_named_by(&owner.api_version, &owner.kind) {
            // One that is not listed yet may belong to a kind that is known.
            let SetOfUid(set) = self.replica_set_by_uid.get(&owner.uid)?;
            match &set.owner {
                Some(top) if self.is_known(top) => return None,
                Some(top) => return Some((top.kind.clone(), top.name.clone())),
                None => {}
            }
        }
        if self.is_known(owner) {
            return None;
        }
        Some((owner.kind.clone(), owner.name.clone()))
    }

    /// The one copy of a word that many objects have in common, if there is one.
    pub fn word(&self, word: &str) -> Name {
        self.names.get(word).cloned().unwrap_or_else(|| word.into())
    }

    /// How many Pods are kept.
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// How many different shapes they have.
    pub fn shape_count(&self) -> usize {
        self.shapes.len()
    }
}
