//! A cluster on paper: the objects that watches would bring, and what controllers make of a changed template.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use sidecar_drift::core::{
    compare::Rendering,
    io::{Confirmation, EvictRequest, WatchKind},
    model::{
        Attempt, Counts, Name, Object, ObjectKey, Owner, PodSnapshot, PodState, ReplicaSetSnapshot, Stamp, Strategy,
        TemplateSnapshot, WorkloadKey, WorkloadSnapshot,
        owner::{Described, Kind},
    },
};

use super::pods::{Container, shape};
use crate::objects::{Objects, key};

#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) objects: Objects,
    templates: BTreeMap<WorkloadKey, Vec<Container>>,
    /// The stamps in all retained revisions.
    pub(super) stamps: BTreeMap<WorkloadKey, Vec<Attempt>>,
    /// The ControllerRevisions, and the hashes of their templates.
    revisions: BTreeMap<WorkloadKey, BTreeMap<Name, Name>>,
    /// Whose Pods are being exchanged because of our stamp.
    rolling: BTreeSet<WorkloadKey>,
    /// The last resourceVersion, and the last number in a uid.
    version: u64,
}

impl Cluster {
    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    // Workloads ------------------------------------------------------------------------------------------------------

    /// The workload that a script calls `shop/web`, of whatever kind.
    pub(super) fn find(&self, path: &str) -> Result<WorkloadKey> {
        let (namespace, name) = path.split_once('/').with_context(|| format!("{path:?} is not NAMESPACE/NAME"))?;
        let mut kinds = Kind::all().chain([database()]);
        let known = kinds.find(|kind| self.objects.get(WatchKind::Workloads(*kind), &key(namespace, name)).is_some());
        let kind = known.with_context(|| format!("there is no workload {path}"))?;
        Ok(WorkloadKey { namespace: namespace.into(), kind, name: name.into() })
    }

    pub(super) fn workload(&self, key: &WorkloadKey) -> Option<&WorkloadSnapshot> {
        let object = ObjectKey { namespace: key.namespace.clone(), name: key.name.clone() };
        match self.objects.get(WatchKind::Workloads(key.kind), &object)? {
            Object::Workload(w) => Some(w),
            _ => None,
        }
    }

    /// Changes a workload.
    pub(super) fn edit(&mut self, key: &WorkloadKey, change: impl FnOnce(&mut WorkloadSnapshot)) -> Result<()> {
        let mut workload = self.workload(key).with_context(|| format!("there is no {key}"))?.clone();
        change(&mut workload);
        workload.resource_version = self.next_version().to_string().into();
        self.objects.put(Object::Workload(Box::new(workload)));
        Ok(())
    }

    /// A new workload with its Pods.
    pub(super) fn create(&mut self, key: &WorkloadKey, replicas: u32, template: Vec<Container>) {
        let version = self.next_version();
        let (kind, first) = (key.kind, Name::from(format!("{}-r1", key.name)));
        let stateful = |name: &Name| if kind == Kind::STATEFUL_SET { name.clone() } else { Name::from("") };
        let surge = u32::from(kind == Kind::DEPLOYMENT);
        let rolling = Strategy::RollingUpdate { max_unavailable: 1 - surge, max_surge: surge, partition: 0 };
        let workload = WorkloadSnapshot {
            key: key.clone(),
            uid: format!("uid-{version}").into(),
            resource_version: version.to_string().into(),
            generation: 1,
            observed_generation: 1,
            terminating: false,
            paused: false,
            counts: Counts { desired: replicas, ..Counts::default() },
            strategy: if kind.is_replicas() { Strategy::OnDelete } else { rolling },
            deadline_exceeded: false,
            min_ready_seconds: 0,
            refused: None,
            revision: u64::from(kind == Kind::DEPLOYMENT),
            current_revision: stateful(&first),
            update_revision: stateful(&first),
            restarted: None,
            template_generation: i64::from(kind == Kind::DAEMON_SET),
            template: TemplateSnapshot {
                hash: hash(&template),
                stamp: None,
                labels: BTreeMap::from([("app".into(), key.name.clone())]),
                has_annotations: false,
                service_account: "default".into(),
            },
            owner: None,
            says: BTreeMap::new(),
            labels: BTreeMap::from([("app".into(), key.name.clone())]),
            annotations: BTreeMap::new(),
            changed_by: None,
        };
        self.templates.insert(key.clone(), template);
        self.objects.put(Object::Workload(Box::new(workload)));
        self.put_revision(key);
    }

    /// The revision that a changed template gets: a ReplicaSet, or a ControllerRevision.
    fn put_revision(&mut self, key: &WorkloadKey) {
        let Some(w) = self.workload(key).cloned() else { return };
        let name = match key.kind {
            Kind::STATEFUL_SET => w.update_revision.clone(),
            Kind::DAEMON_SET => format!("{}-r{}", key.name, w.template_generation).into(),
            _ => return self.put_replica_set(key),
        };
        self.revisions.entry(key.clone()).or_default().insert(name, w.template.hash);
    }

    fn put_replica_set(&mut self, key: &WorkloadKey) {
        let Some(w) = self.workload(key).filter(|w| w.key.kind == Kind::DEPLOYMENT).cloned() else { return };
        let name = replica_set(&w);
        self.objects.put(Object::ReplicaSet(ReplicaSetSnapshot {
            key: ObjectKey { namespace: key.namespace.clone(), name: name.clone() },
            uid: format!("{}-{}", w.uid, w.revision).into(),
            owner: Some(owner("apps/v1", "Deployment", &key.name, &w.uid)),
            revision: w.revision,
            hash: format!("h{}", w.revision).into(),
        }));
    }

    /// The template changed: the controller has seen it and begins to exchange Pods.
    pub(super) fn begin_rollout(
        &mut self,
        key: &WorkloadKey,
        containers: Option<Vec<Container>>,
        change: impl FnOnce(&mut WorkloadSnapshot),
    ) -> Result<()> {
        if let Some(containers) = containers {
            self.templates.insert(key.clone(), containers);
        }
        let hash = hash(&self.template(key));
        self.rolling.remove(key);
        self.edit(key, |w| {
            change(w);
            w.generation += 1;
            w.observed_generation = w.generation;
            w.template.hash = hash;
            w.counts.updated = if w.key.kind.is_replicas() { w.counts.current } else { 0 };
            match w.key.kind {
                Kind::DEPLOYMENT => w.revision += 1,
                Kind::STATEFUL_SET => w.update_revision = format!("{}-r{}", w.key.name, w.generation).into(),
                _ => w.template_generation += 1,
            }
        })?;
        // A new revision, with what is on its template.
        let template = self.workload(key).map(|w| w.template.clone());
        if let Some(stamp) = template.as_ref().and_then(|t| t.stamp.clone()) {
            let template = template.map_or_else(|| "".into(), |t| t.hash);
            self.stamps.entry(key.clone()).or_default().push(Attempt { stamp, template });
        }
        self.put_revision(key);
        Ok(())
    }

    /// Whether no other Pod of the workload is down while this one is evicted.
    pub(super) fn is_whole_but_for(&self, request: &EvictRequest) -> Result<()> {
        let key = &request.workload.key;
        let pods = self.pods_of(key);
        let up = pods.iter().filter(|pod| pod.state.ready && !pod.state.terminating && pod.uid != request.uid).count();
        let desired = self.workload(key).map_or(0, |w| w.counts.desired) as usize;
        ensure!(up + 1 >= desired, "{} is evicted while another Pod of {key} is down", request.pod);
        Ok(())
    }

    /// A Pod is evicted: it is gone, and its controller knows.
    pub(super) fn evict(&mut self, request: &EvictRequest) -> Result<()> {
        let key = &request.workload.key;
        let pod = self.pods_of(key).into_iter().find(|pod| pod.uid == request.uid);
        let pod = pod.with_context(|| format!("there is no Pod {}", request.pod))?;
        self.objects.delete(WatchKind::Pods, &pod.key);
        self.count(key)
    }

    /// The Pods that are missing are made anew, of the newest revision.
    fn refill(&mut self, key: &WorkloadKey, injected: &[Container], born: Timestamp) -> Result<()> {
        let desired = self.workload(key).map_or(0, |w| w.counts.desired);
        let there: BTreeSet<_> = self.pods_of(key).iter().map(|pod| ordinal(&pod.key.name)).collect();
        for at in (0..desired).filter(|at| !there.contains(at)) {
            self.create_pod(key, at, injected, born)?;
        }
        self.count(key)
    }

    /// The status of a workload whose Pods are replaced one by one.
    fn count(&mut self, key: &WorkloadKey) -> Result<()> {
        let pods = self.pods_of(key);
        self.edit(key, |w| {
            let newest = |pod: &&PodSnapshot| match w.key.kind {
                Kind::DAEMON_SET => pod.template_generation == w.template_generation,
                // Its status knows no revisions.
                kind if kind.is_replicas() => true,
                _ => pod.revision == w.update_revision,
            };
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            w.counts.current = number(pods.len());
            w.counts.updated = number(pods.iter().filter(newest).count());
            w.counts.ready = number(pods.iter().filter(|pod| pod.state.ready).count());
            w.counts.available = w.counts.ready;
        })
    }

    /// All Pods are exchanged for new ones; where nobody exchanges them only those that are missing come back.
    pub(super) fn finish_rollout(&mut self, key: &WorkloadKey, injected: &[Container], born: Timestamp) -> Result<()> {
        if self.workload(key).is_some_and(|w| w.strategy == Strategy::OnDelete) && !self.pods_of(key).is_empty() {
            return self.refill(key, injected, born);
        }
        self.rolling.remove(key);
        for pod in self.pods_of(key) {
            self.objects.delete(WatchKind::Pods, &pod.key);
        }
        let desired = self.workload(key).map_or(0, |w| w.counts.desired);
        for at in 0..desired {
            self.create_pod(key, at, injected, born)?;
        }
        self.edit(key, |w| {
            let n = w.counts.desired;
            w.counts = Counts { desired: n, current: n, updated: n, ready: n, available: n };
            w.current_revision.clone_from(&w.update_revision);
            w.deadline_exceeded = false;
        })
    }

    pub(super) fn create_pod(
        &mut self,
        key: &WorkloadKey,
        at: u32,
        injected: &[Container],
        born: Timestamp,
    ) -> Result<()> {
        let w = self.workload(key).with_context(|| format!("there is no {key}"))?.clone();
        let (name, revision, owner) = match key.kind {
            Kind::DEPLOYMENT => {
                let (set, uid) = (replica_set(&w), format!("{}-{}", w.uid, w.revision));
                let letter = char::from(b'a' + u8::try_from(at % 26)?);
                let name = if at < 26 { format!("{set}-{letter}") } else { format!("{set}-{letter}{}", at / 26) };
                (name, format!("h{}", w.revision), owner("apps/v1", "ReplicaSet", &set, &uid))
            }
            Kind::STATEFUL_SET => {
                let owner = owner("apps/v1", "StatefulSet", &key.name, &w.uid);
                (format!("{}-{at}", key.name), w.update_revision.to_string(), owner)
            }
            kind if kind.has_template_only() => {
                let owner = owner(&kind.api_version(), kind.row().kind, &key.name, &w.uid);
                (format!("{}-{}-{at}", key.name, w.generation), String::new(), owner)
            }
            _ => {
                let owner = owner("apps/v1", "DaemonSet", &key.name, &w.uid);
                let (name, revision) = (&key.name, w.template_generation);
                (format!("{name}-{revision}-{at}"), format!("r{revision}"), owner)
            }
        };
        let containers = [self.template(key).as_slice(), injected].concat();
        self.put_pod(&key.namespace, &name, Some(owner), &containers, born, |pod| {
            pod.revision = revision.into();
            pod.stamped = w.template.stamp.as_ref().map(|stamp| stamp.timestamp);
            pod.template_generation = w.template_generation;
        });
        Ok(())
    }

    pub(super) fn put_pod(
        &mut self,
        namespace: &str,
        name: &str,
        owner: Option<Owner>,
        containers: &[Container],
        created: Timestamp,
        more: impl FnOnce(&mut PodSnapshot),
    ) {
        let mut pod = PodSnapshot {
            key: key(namespace, name),
            uid: format!("uid-{}", self.next_version()).into(),
            owner: owner.map(Into::into),
            revision: "".into(),
            stamped: None,
            template_generation: 0,
            service_account: "default".into(),
            created,
            state: PodState { ready: true, ..PodState::default() },
            shape: shape(containers, name),
            patched_images: Vec::new(),
        };
        more(&mut pod);
        self.objects.put(Object::Pod(pod));
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &PodSnapshot> {
        self.objects.all().filter_map(|object| match object {
            Object::Pod(pod) => Some(pod),
            _ => None,
        })
    }

    pub(super) fn pods_of(&self, key: &WorkloadKey) -> Vec<PodSnapshot> {
        let Some(w) = self.workload(key) else { return Vec::new() };
        let own = |uid: &str| uid == &*w.uid || uid.strip_prefix(&*w.uid).is_some_and(|rest| rest.starts_with('-'));
        self.pods().filter(|pod| pod.owner.as_ref().is_some_and(|o| own(&o.uid))).cloned().collect()
    }

    /// Deletes a workload and all that it owns.
    pub(super) fn delete_workload(&mut self, key: &WorkloadKey) {
        for pod in self.pods_of(key) {
            self.objects.delete(WatchKind::Pods, &pod.key);
        }
        let uid = self.workload(key).map(|w| w.uid.clone());
        let sets = self.objects.all().filter_map(|object| match object {
            Object::ReplicaSet(rs) if rs.owner.as_ref().map(|o| &o.uid) == uid.as_ref() => Some(rs.key.clone()),
            _ => None,
        });
        for set in sets.collect::<Vec<_>>() {
            self.objects.delete(WatchKind::ReplicaSets, &set);
        }
        let object = ObjectKey { namespace: key.namespace.clone(), name: key.name.clone() };
        self.objects.delete(WatchKind::Workloads(key.kind), &object);
        self.rolling.remove(key);
        self.stamps.remove(key);
        self.revisions.remove(key);
    }

    // What requests find ---------------------------------------------------------------------------------------------

    pub(super) fn stamp(&mut self, key: &WorkloadKey, stamp: Stamp) -> Result<i64> {
        self.begin_rollout(key, None, |w| {
            w.template.stamp = Some(stamp);
            w.template.has_annotations = true;
        })?;
        self.rolling.insert(key.clone());
        Ok(self.workload(key).map_or(0, |w| w.generation))
    }

    pub(super) fn confirmation(&self, key: &WorkloadKey) -> Option<Box<Confirmation>> {
        let workload = self.workload(key)?.clone();
        let history = self.stamps.get(key).cloned().unwrap_or_default();
        let templates = self.revisions.get(key).cloned().unwrap_or_default();
        Some(Box::new(Confirmation { workload, history, templates }))
    }

    pub(super) fn rendering(
        &self,
        key: &WorkloadKey,
        injected: &[Container],
        ordinals: Option<(u32, u32)>,
    ) -> Rendering {
        let template = self.templates.get(key).cloned().unwrap_or_default();
        let pod_name = ordinals.map(|(_, last)| format!("{}-{}", key.name, last + 1));
        let name = pod_name.clone().unwrap_or_default();
        Rendering {
            template: shape(&template, &name),
            rendered: shape(&[template.as_slice(), injected].concat(), &name),
            pod_name: pod_name.map(Name::from),
        }
    }

    /// How many workloads exchange their Pods because of us.
    pub(super) fn rolling(&self) -> usize {
        let lasts = |key: &&WorkloadKey| self.workload(key).is_some_and(|w| !w.deadline_exceeded);
        self.rolling.iter().filter(lasts).count()
    }

    /// How often the workload that was rolled most often was.
    pub(super) fn most_stamps(&self) -> usize {
        let times = |tried: &Vec<Attempt>| tried.iter().map(|a| a.stamp.timestamp).collect::<BTreeSet<_>>().len();
        self.stamps.values().map(times).max().unwrap_or(0)
    }

    pub(super) fn template(&self, key: &WorkloadKey) -> Vec<Container> {
        self.templates.get(key).cloned().unwrap_or_default()
    }
}

/// A kind that a person described: its Pods are its own, and nothing names their revision.
pub(super) fn database() -> Kind {
    let mut described = Described::new("db.example.com", "v1", "Database");
    described.status.observed_generation = "status.observed".to_owned();
    described.status.updated = "status.updated".to_owned();
    Kind::describe(&described).expect("room for it")
}

/// The number that a Pod's name ends with.
fn ordinal(pod: &str) -> u32 {
    pod.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(u32::MAX)
}

fn replica_set(w: &WorkloadSnapshot) -> Name {
    format!("{}-{}", w.key.name, w.revision).into()
}

pub(super) fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> Owner {
    Owner { api_version: api_version.into(), kind: kind.into(), name: name.into(), uid: uid.into() }
}

fn hash(template: &[Container]) -> Name {
    format!("{template:?}").into()
}
