//! The API server's objects, as watches would bring them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sidecar_drift::core::{
    io::WatchKind,
    model::{
        Attempt, Counts, Name, Object, ObjectKey, Owner, PodSnapshot, PodState, PodWait, ReplicaSetSnapshot, Stamp,
        Strategy, TemplateSnapshot, WorkloadKey, WorkloadSnapshot, owner::Kind,
    },
};

use super::injection::{Content, Shapes};
use crate::objects::{Objects, key};

/// Revisions that the API server keeps: the default `revisionHistoryLimit` and the one in use.
const RETAINED: usize = 11;

/// What becomes of the Pods of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    #[default]
    Ready,
    /// New Pods crash.
    Crash,
    /// New Pods never become ready.
    Stuck,
    /// New Pods are held by a scheduling gate, find no Node, or cannot pull their image.
    Waits(PodWait),
    /// No new Pod is made.
    Withheld,
    /// Pods are ready, and are not, in turn.
    Flickers,
}

/// A change of a Pod template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Template {
    /// Its owner has a new version of the application.
    Update,
    /// We rolled it.
    Stamp(Stamp),
    /// A tool took our stamp away.
    Strip,
}

/// A ReplicaSet or ControllerRevision.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) name: Name,
    /// The label of its Pods.
    pub(super) hash: Name,
    pub(super) uid: Name,
    pub(super) number: u64,
    pub(super) app: u32,
    pub(super) stamp: Option<Stamp>,
}

/// What the API server knows of a workload beside its snapshot.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) app: u32,
    /// Oldest first; the current one has the highest number.
    pub(super) revisions: Vec<Revision>,
    pub(super) fate: Fate,
    /// When its rollout moved on last, in seconds.
    pub(super) moved_on: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) owner: WorkloadKey,
    pub(super) content: Content,
    /// Which revision, by its name.
    pub(super) revision: Name,
    pub(super) ordinal: u32,
    /// When it becomes ready, in seconds.
    pub(super) ready_at: u64,
    /// Since when it is ready, in seconds.
    pub(super) ready_since: Option<u64>,
    pub(super) fate: Fate,
}

#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) objects: Objects,
    pub(super) workloads: BTreeMap<WorkloadKey, Workload>,
    pub(super) pods: BTreeMap<ObjectKey, Pod>,
    /// What every Pod that ever ran was made of, by uid.
    pub(super) contents: BTreeMap<Name, Content>,
    pub(super) shapes: Shapes,
    /// Nodes that are gone for good: what ran there is never seen to end.
    pub(super) dead_nodes: BTreeSet<u32>,
    version: u64,
}

fn place(key: &WorkloadKey) -> ObjectKey {
    ObjectKey { namespace: key.namespace.clone(), name: key.name.clone() }
}

impl Cluster {
    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    // Workloads ------------------------------------------------------------------------------------------------------

    pub(super) fn workload(&self, key: &WorkloadKey) -> Option<&WorkloadSnapshot> {
        match self.objects.get(WatchKind::Workloads(key.kind), &place(key))? {
            Object::Workload(w) => Some(w),
            _ => None,
        }
    }

    /// Changes a workload, if it is there.
    pub(super) fn edit(&mut self, key: &WorkloadKey, change: impl FnOnce(&mut WorkloadSnapshot)) {
        let Some(mut workload) = self.workload(key).cloned() else { return };
        let before = workload.clone();
        change(&mut workload);
        if workload != before {
            workload.resource_version = self.next_version().to_string().into();
            self.objects.put(Object::Workload(Box::new(workload)));
        }
    }

    /// Changes its spec, which gives it a new generation.
    pub(super) fn edit_spec(&mut self, key: &WorkloadKey, change: impl FnOnce(&mut WorkloadSnapshot)) {
        self.edit(key, |w| {
            change(w);
            w.generation += 1;
        });
    }

    /// Changes its Pod template.
    pub(super) fn edit_template(&mut self, key: &WorkloadKey, change: Template) {
        let Some(workload) = self.workloads.get_mut(key) else { return };
        if change == Template::Update {
            workload.app += 1;
        }
        let hash = template_hash(workload.app);
        self.edit_spec(key, |w| {
            w.template.hash = hash;
            match change {
                Template::Update => {}
                Template::Stamp(stamp) => {
                    w.template.has_annotations = true;
                    w.template.stamp = Some(stamp);
                }
                Template::Strip => w.template.stamp = None,
            }
            if w.key.kind == Kind::DAEMON_SET {
                w.template_generation += 1;
            }
        });
    }

    /// A new workload without Pods; its controller has not seen it.
    pub(super) fn create(&mut self, key: &WorkloadKey, replicas: u32, strategy: Strategy, operator: Option<Owner>) {
        let version = self.next_version();
        let uid: Name = format!("uid-{version}").into();
        let work = Workload { app: 1, revisions: Vec::new(), fate: Fate::Ready, moved_on: 0 };
        let workload = WorkloadSnapshot {
            key: key.clone(),
            uid,
            resource_version: version.to_string().into(),
            generation: 1,
            observed_generation: 0,
            terminating: false,
            owner: operator,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            paused: false,
            counts: Counts { desired: replicas, ..Counts::default() },
            strategy,
            deadline_exceeded: false,
            min_ready_seconds: 0,
            refused: None,
            revision: 0,
            current_revision: "".into(),
            update_revision: "".into(),
            restarted: None,
            template_generation: i64::from(key.kind == Kind::DAEMON_SET),
            template: TemplateSnapshot {
                hash: template_hash(1),
                stamp: None,
                labels: BTreeMap::from([("app".into(), key.name.clone())]),
                has_annotations: false,
                service_account: "default".into(),
            },
            says: BTreeMap::new(),
            changed_by: None,
        };
        self.workloads.insert(key.clone(), work);
        self.objects.put(Object::Workload(Box::new(workload)));
    }

    /// Deletes a workload and all that it owns.
    pub(super) fn delete_workload(&mut self, key: &WorkloadKey) {
        for pod in self.pods_of(key) {
            self.delete_pod(&pod);
        }
        let revisions = self.workloads.remove(key).map(|w| w.revisions).unwrap_or_default();
        for revision in revisions {
            let set = ObjectKey { namespace: key.namespace.clone(), name: revision.name };
            self.objects.delete(WatchKind::ReplicaSets, &set);
        }
        self.objects.delete(WatchKind::Workloads(key.kind), &place(key));
    }

    /// The revision for the present template, made or found again among the old ones.
    pub(super) fn current_revision(&mut self, key: &WorkloadKey) -> Option<Revision> {
        let snapshot = self.workload(key)?.clone();
        let version = self.next_version();
        let work = self.workloads.get_mut(key)?;
        let number = work.revisions.iter().map(|r| r.number).max().unwrap_or(0);
        let of = |r: &Revision| r.app == work.app && r.stamp == snapshot.template.stamp;
        match work.revisions.iter().position(of) {
            Some(at) if work.revisions[at].number == number => {
                return Some(work.revisions[at].clone());
            }
            // What was rolled back to is the newest again.
            Some(at) => {
                let mut revision = work.revisions.remove(at);
                revision.number = number + 1;
                work.revisions.push(revision);
            }
            None => work.revisions.push(Revision {
                name: format!("{}-{version}", key.name).into(),
                hash: match key.kind {
                    Kind::STATEFUL_SET => format!("{}-{version}", key.name).into(),
                    _ => version.to_string().into(),
                },
                uid: format!("uid-{version}").into(),
                number: number + 1,
                app: work.app,
                stamp: snapshot.template.stamp.clone(),
            }),
        }
        let excess = work.revisions.len().saturating_sub(RETAINED);
        let gone: Vec<_> = work.revisions.drain(..excess).collect();
        let revision = work.revisions.last()?.clone();
        if key.kind == Kind::DEPLOYMENT {
            for old in gone {
                let set = ObjectKey { namespace: key.namespace.clone(), name: old.name };
                self.objects.delete(WatchKind::ReplicaSets, &set);
            }
            self.objects.put(Object::ReplicaSet(ReplicaSetSnapshot {
                key: ObjectKey { namespace: key.namespace.clone(), name: revision.name.clone() },
                uid: revision.uid.clone(),
                owner: Some(owner("apps/v1", "Deployment", &key.name, &snapshot.uid)),
                revision: revision.number,
                hash: revision.hash.clone(),
            }));
        }
        Some(revision)
    }

    /// The stamps in all revisions that are kept, and in the template.
    pub(super) fn history(&self, key: &WorkloadKey) -> Vec<Attempt> {
        let revisions = self.workloads.get(key).map(|w| w.revisions.as_slice()).unwrap_or_default();
        let tried = |stamp: &Stamp, template: Name| Attempt { stamp: stamp.clone(), template };
        let of = |r: &Revision| Some(tried(r.stamp.as_ref()?, template_hash(r.app)));
        let mut history: Vec<_> = revisions.iter().filter_map(of).collect();
        let live = self.workload(key).map(|w| &w.template);
        let live = live.and_then(|t| Some(tried(t.stamp.as_ref()?, t.hash.clone())));
        history.extend(live.filter(|attempt| !history.contains(attempt)));
        history
    }

    /// The templates of all revisions of a workload whose Pods carry their names.
    pub(super) fn templates(&self, key: &WorkloadKey) -> BTreeMap<Name, Name> {
        let known = self.workloads.get(key).filter(|_| key.kind != Kind::DEPLOYMENT);
        let revisions = known.map(|w| w.revisions.as_slice()).unwrap_or_default();
        revisions.iter().map(|r| (r.name.clone(), template_hash(r.app))).collect()
    }

    // Pods -----------------------------------------------------------------------------------------------------------

    pub(super) fn create_pod(&mut self, key: &WorkloadKey, pod: Pod, revision: &Revision, born: Timestamp) {
        let Some(workload) = self.workload(key).cloned() else { return };
        let version = self.next_version();
        let (name, owner) = match key.kind {
            Kind::DEPLOYMENT => {
                let owner = owner("apps/v1", "ReplicaSet", &revision.name, &revision.uid);
                (format!("{}-{version}", revision.name), owner)
            }
            Kind::STATEFUL_SET => {
                (format!("{}-{}", key.name, pod.ordinal), owner("apps/v1", "StatefulSet", &key.name, &workload.uid))
            }
            _ => (format!("{}-{version}", key.name), owner("apps/v1", "DaemonSet", &key.name, &workload.uid)),
        };
        let snapshot = PodSnapshot {
            key: self::key(&key.namespace, &name),
            uid: format!("uid-{version}").into(),
            owner: Some(owner.into()),
            revision: revision.hash.clone(),
            stamped: None,
            template_generation: if key.kind == Kind::DAEMON_SET { workload.template_generation } else { 0 },
            service_account: "default".into(),
            created: Timestamp::from_second(born.as_second()).unwrap_or(born),
            node: None,
            state: PodState::default(),
            shape: self.shapes.of(pod.content),
            patched_images: Vec::new(),
        };
        self.contents.insert(snapshot.uid.clone(), pod.content);
        self.pods.insert(snapshot.key.clone(), pod);
        self.objects.put(Object::Pod(snapshot));
    }

    /// A Pod that no controller of ours owns.
    pub(super) fn put_stray(&mut self, namespace: &str, name: &str, content: Content, born: Timestamp) {
        let version = self.next_version();
        let shape = self.shapes.of(content);
        self.objects.put(Object::Pod(PodSnapshot {
            key: key(namespace, name),
            uid: format!("uid-{version}").into(),
            owner: None,
            revision: "".into(),
            stamped: None,
            template_generation: 0,
            service_account: "default".into(),
            created: born,
            node: None,
            state: PodState { ready: true, ..PodState::default() },
            shape,
            patched_images: Vec::new(),
        }));
    }

    pub(super) fn delete_pod(&mut self, pod: &ObjectKey) {
        self.pods.remove(pod);
        self.objects.delete(WatchKind::Pods, pod);
    }

    pub(super) fn pod(&self, pod: &ObjectKey) -> Option<&PodSnapshot> {
        match self.objects.get(WatchKind::Pods, pod)? {
            Object::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    pub(super) fn edit_pod(&mut self, key: &ObjectKey, change: impl FnOnce(&mut PodSnapshot)) {
        let Some(mut pod) = self.pod(key).cloned() else { return };
        let before = pod.clone();
        change(&mut pod);
        if pod != before {
            self.objects.put(Object::Pod(pod));
        }
    }

    /// Whether a Pod runs on a Node that is gone for good: the ordinal of a DaemonSet's Pod is that of its Node.
    pub(super) fn is_lost(&self, pod: &ObjectKey) -> bool {
        let on = |pod: &Pod| pod.owner.kind == Kind::DAEMON_SET && self.dead_nodes.contains(&pod.ordinal);
        self.pods.get(pod).is_some_and(on)
    }

    pub(super) fn pods_of(&self, key: &WorkloadKey) -> Vec<ObjectKey> {
        self.pods.iter().filter(|(_, pod)| pod.owner == *key).map(|(key, _)| key.clone()).collect()
    }

    /// The image of a running sidecar is changed by hand.
    pub(super) fn patch_by_hand(&mut self, key: &ObjectKey) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        let Some(sidecar) = &mut pod.content.sidecar else { return };
        sidecar.by_hand = true;
        let content = pod.content;
        let shape = self.shapes.of(content);
        if let Some(uid) = self.pod(key).map(|pod| pod.uid.clone()) {
            self.contents.insert(uid, content);
        }
        self.edit_pod(key, |pod| {
            pod.shape = shape;
            pod.patched_images = vec![super::injection::SIDECAR.into()];
        });
    }
}

pub(super) fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> Owner {
    Owner { api_version: api_version.into(), kind: kind.into(), name: name.into(), uid: uid.into() }
}

/// Of a template without our stamp.
fn template_hash(app: u32) -> Name {
    format!("app-{app}").into()
}
