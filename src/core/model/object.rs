//! Snapshots of the objects we watch: what is kept of each, and nothing else.
//!
//! They are plain data. `cluster::convert` makes them out of the API server's objects and cannot fail on content: what
//! it does not understand it leaves out and counts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    changed_by::ChangedBy,
    injector::{InjectorSnapshot, Selector},
    key::{ObjectKey, WorkloadKey},
    name::Name,
    shape::PodShape,
};

/// The controlling ownerReference of a Pod or ReplicaSet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// `apps/v1`
    pub api_version: Name,
    /// `ReplicaSet`
    pub kind: Name,
    /// The name.
    pub name: Name,
    /// The uid.
    pub uid: Name,
}

/// One running Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSnapshot {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The uid.
    pub uid: Name,
    /// Its controller, if it has one; the index keeps one copy for all Pods of it.
    pub owner: Option<Arc<Owner>>,
    /// The label `pod-template-hash` (of a ReplicaSet's Pod) or `controller-revision-hash`, or that of a described kind;
    /// empty if absent.
    pub revision: Name,
    /// The time of the stamp on the template that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamped: Option<Timestamp>,
    /// The label `pod-template-generation` of a DaemonSet's Pod, else 0.
    pub template_generation: i64,
    /// `spec.serviceAccountName`, `default` if empty.
    pub service_account: Name,
    /// `metadata.creationTimestamp`; the epoch if absent.
    pub created: Timestamp,
    /// Its standing.
    pub state: PodState,
    /// Its containers.
    pub shape: Arc<PodShape>,
    /// Containers whose image belongs to another field manager than the Pod's creator (rule C9). Almost always empty.
    pub patched_images: Vec<Name>,
}

/// What of a Pod's life decides whether and how it is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one Pod, each read from another field")]
pub struct PodState {
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Phase Succeeded or Failed.
    pub finished: bool,
    /// A mirror of a static Pod (annotation `kubernetes.io/config.mirror`).
    pub mirror: bool,
    /// Condition Ready is True.
    pub ready: bool,
    /// A container waits in CrashLoopBackOff, ImagePullBackOff, ErrImagePull, CreateContainerConfigError or the like.
    pub crashing: bool,
    /// How often one of its containers was started again, the one with most of them; counted as far as
    /// [`PodState::MOST_RESTARTS`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u8,
    /// What keeps it from being started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<PodWait>,
    /// Something of it could not be decoded, so what is known of it is not what it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undecodable: bool,
}

impl PodState {
    /// More restarts than this make no difference: the back-off has long been as long as it gets, and each number makes a
    /// class of Pods of its own.
    pub const MOST_RESTARTS: u8 = 15;

    /// How long the kubelet waits before it starts a container once more that was started again so often.
    pub fn back_off(self) -> Duration {
        let doublings = u32::from(self.restarts).saturating_sub(1).min(5);
        let wait = Duration::from_secs(10).saturating_mul(1 << doublings).min(Duration::from_mins(5));
        if self.restarts == 0 { Duration::ZERO } else { wait }
    }
}

/// What keeps a Pod from being started, as its conditions and its containers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodWait {
    /// `PodScheduled` is False: `SchedulingGated`.
    SchedulingGate,
    /// `PodScheduled` is False: `Unschedulable`.
    Node,
    /// A container waits in ImagePullBackOff, ErrImagePull or the like.
    Image,
}

impl PodWait {
    /// In words, with the term that `kubectl` shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SchedulingGate => "SchedulingGated: it is held by a scheduling gate",
            Self::Node => "Unschedulable: no Node takes it",
            Self::Image => "ImagePullBackOff: its image cannot be pulled",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// Our stamp on a Pod template (DESIGN: `<prefix>.rollout.timestamp`, `.reason`, `.fingerprint`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// When the rollout was started, UTC.
    pub timestamp: Timestamp,
    /// Why, for people.
    pub reason: String,
    /// The rendering that the rollout was for; `None` on stamps of the predecessor.
    pub fingerprint: Option<String>,
}

/// A rollout that was tried: a stamp, as some revision of the workload carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The stamp.
    pub stamp: Stamp,
    /// The hash of that revision's template without it, as in [`TemplateSnapshot::hash`].
    pub template: Name,
}

/// How a workload replaces its Pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Strategy {
    /// Little by little. The numbers are resolved against the replicas (percentages rounded as Kubernetes does).
    RollingUpdate {
        /// Pods that may be missing meanwhile.
        max_unavailable: u32,
        /// Pods that may be added meanwhile (0 for a StatefulSet).
        max_surge: u32,
        /// StatefulSet: ordinals below keep their revision. CloneSet: so many Pods do.
        partition: u32,
    },
    /// All Pods down, then all up (Deployment).
    Recreate,
    /// A Pod is replaced when somebody deletes it (StatefulSet, DaemonSet). Updates in place count as that: a stamp would
    /// be written to the running Pods, and replace none.
    OnDelete,
}

/// Replica counts from a workload's spec and status, in the words of the Deployment's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// `spec.replicas`; a DaemonSet's `status.desiredNumberScheduled`.
    pub desired: u32,
    /// `status.replicas`; a DaemonSet's `currentNumberScheduled`.
    pub current: u32,
    /// `status.updatedReplicas` / `updatedNumberScheduled`.
    pub updated: u32,
    /// `status.readyReplicas` / `numberReady`.
    pub ready: u32,
    /// `status.availableReplicas` / `numberAvailable`.
    pub available: u32,
}

/// One workload: what owns Pods and can be rolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadSnapshot {
    /// Which one.
    pub key: WorkloadKey,
    /// The uid.
    pub uid: Name,
    /// `metadata.resourceVersion`, opaque.
    pub resource_version: Name,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// `spec.paused` of a Deployment, and what other kinds have in its place.
    pub paused: bool,
    /// The replica counts.
    pub counts: Counts,
    /// The update strategy.
    pub strategy: Strategy,
    /// Condition Progressing says `ProgressDeadlineExceeded`; of a Rollout, too, that it was aborted.
    pub deadline_exceeded: bool,
    /// Why its controller could not create its Pods (condition `ReplicaFailure`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Name>,
    /// `spec.minReadySeconds`: a Pod that is ready counts as available only then.
    #[serde(default)]
    pub min_ready_seconds: u32,
    /// Deployment: annotation `deployment.kubernetes.io/revision`, 0 if absent.
    pub revision: u64,
    /// StatefulSet and the like: `status.currentRevision`; Rollout: the hash of `status.stableRS`; else empty.
    pub current_revision: Name,
    /// StatefulSet and the like: `status.updateRevision`; Rollout: `status.currentPodHash`; of a described kind what its
    /// description says; else empty.
    pub update_revision: Name,
    /// Rollout: `status.restartedAt`.
    #[serde(default)]
    pub restarted: Option<Timestamp>,
    /// DaemonSet: annotation `deprecated.daemonset.template.generation`, else 0.
    pub template_generation: i64,
    /// The Pod template.
    pub template: TemplateSnapshot,
    /// Its own controller, if something else decides about it: an operator.
    pub owner: Option<Owner>,
    /// The workload's own annotations that begin with `sidecar-drift/`, prefix removed.
    pub says: BTreeMap<Name, Name>,
    /// Those of the workload's own labels that a filter asks for.
    #[serde(default)]
    pub labels: BTreeMap<Name, Name>,
    /// Those annotations of the workload and of its Pod template that a filter asks for; the workload's own word counts.
    #[serde(default)]
    pub annotations: BTreeMap<Name, Name>,
    /// Who changed it last.
    pub changed_by: Option<ChangedBy>,
}

/// What is kept of a workload's Pod template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSnapshot {
    /// sha-256 (hex) of the template's canonical JSON without our stamp.
    pub hash: Name,
    /// Our stamp, if the template carries one. Of a Rollout `spec.restartAt`, which says neither why nor what for.
    pub stamp: Option<Stamp>,
    /// The template's labels: what objectSelectors and Services select.
    pub labels: BTreeMap<Name, Name>,
    /// Whether `metadata.annotations` exists (a JSON Patch must know).
    pub has_annotations: bool,
    /// `spec.serviceAccountName`, `default` if empty.
    pub service_account: Name,
}

impl TemplateSnapshot {
    /// What stands for the revision where nothing else does: the template, and our stamp on it.
    pub fn identity(&self) -> Name {
        match &self.stamp {
            Some(stamp) => Name::from(format!("{}@{}", self.hash, stamp.timestamp)),
            None => self.hash.clone(),
        }
    }
}

/// A ReplicaSet's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSetSnapshot {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The uid.
    pub uid: Name,
    /// Its controller.
    pub owner: Option<Owner>,
    /// Annotation `deployment.kubernetes.io/revision`, 0 if absent.
    pub revision: u64,
    /// Label `pod-template-hash`; of a Rollout's `rollouts-pod-template-hash`.
    pub hash: Name,
}

/// A Namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceSnapshot {
    /// Its name.
    pub name: Name,
    /// Its labels, all of them: selectors read them.
    pub labels: BTreeMap<Name, Name>,
    /// Annotations that begin with `sidecar-drift/`, prefix removed.
    pub says: BTreeMap<Name, Name>,
    /// sha-256 (hex) of the labels and of the annotations that are not ours: what injection may depend on.
    pub hash: Name,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Who changed it last.
    pub changed_by: Option<ChangedBy>,
}

/// Kinds of which only a hash of the content is kept: that it moved is all that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConfigKind {
    /// ConfigMaps of a namespace that backs an injector; their `data` and `binaryData`.
    ConfigMap,
    /// ServiceAccounts; their labels and annotations.
    ServiceAccount,
    /// LimitRanges; their spec.
    LimitRange,
}

impl ConfigKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::ConfigMap, Self::ServiceAccount, Self::LimitRange];

    /// The object kind's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::ServiceAccount => "ServiceAccount",
            Self::LimitRange => "LimitRange",
        }
    }
}

/// An object whose content is hashed and dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSnapshot {
    /// The object's kind.
    pub kind: ConfigKind,
    /// Namespace and name.
    pub key: ObjectKey,
    /// sha-256 (hex) of the content. The same for all leader-election records (annotation
    /// `control-plane.alpha.kubernetes.io/leader`): their moves mean nothing.
    pub hash: Name,
    /// Who changed it last.
    pub changed_by: Option<ChangedBy>,
}

/// An object that a [`Trigger`](crate::core::config::Trigger) names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerSnapshot {
    /// The trigger's number.
    pub number: u16,
    /// Namespace and name.
    pub key: ObjectKey,
    /// A hash of the content under a key that is drawn anew in each process: it may be a Secret.
    pub hash: Name,
    /// Who changed it last.
    pub changed_by: Option<ChangedBy>,
}

/// Which Pods behind a Service are ready: one EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointsSnapshot {
    /// Namespace and name of the slice.
    pub key: ObjectKey,
    /// The Service (label `kubernetes.io/service-name`).
    pub service: Name,
    /// The Pods of its ready endpoints; an endpoint without a Pod is counted in `others`.
    pub ready: Vec<Name>,
    /// Ready endpoints that are no Pods.
    pub others: usize,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisruptionBudgetSnapshot {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Which Pods, by their labels.
    pub selector: Selector,
    /// `status.disruptionsAllowed`.
    pub allowed: u32,
}

/// A Node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSnapshot {
    /// Its name.
    pub name: Name,
    /// Condition Ready is True.
    pub ready: bool,
    /// Major and minor version of its kubelet; `None` if it cannot be read.
    pub kubelet: Option<(u32, u32)>,
}

/// A Service of a namespace that backs an injector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSnapshot {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `spec.selector`; empty: the endpoints are kept by somebody else.
    pub selector: BTreeMap<Name, Name>,
}

/// Any watched object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "object", rename_all = "snake_case")]
pub enum Object {
    /// A Pod.
    Pod(PodSnapshot),
    /// A workload. Boxed: it is several times as large as the others.
    Workload(Box<WorkloadSnapshot>),
    /// A ReplicaSet's metadata.
    ReplicaSet(ReplicaSetSnapshot),
    /// A Namespace.
    Namespace(NamespaceSnapshot),
    /// A webhook configuration, policy or binding.
    Injector(InjectorSnapshot),
    /// An object of which only a hash is kept.
    Config(ConfigSnapshot),
    /// An object that a trigger names.
    Trigger(TriggerSnapshot),
    /// A Service behind an injector.
    Service(ServiceSnapshot),
    /// An EndpointSlice of such a Service.
    Endpoints(EndpointsSnapshot),
    /// A PodDisruptionBudget.
    DisruptionBudget(DisruptionBudgetSnapshot),
    /// A Node.
    Node(NodeSnapshot),
}

impl Object {
    /// Namespace and name.
    pub fn key(&self) -> ObjectKey {
        let empty = || Name::from("");
        match self {
            Self::Pod(o) => o.key.clone(),
            Self::Workload(o) => ObjectKey { namespace: o.key.namespace.clone(), name: o.key.name.clone() },
            Self::ReplicaSet(o) => o.key.clone(),
            Self::Namespace(o) => ObjectKey { namespace: empty(), name: o.name.clone() },
            Self::Injector(o) => ObjectKey { namespace: empty(), name: o.name.clone() },
            Self::Config(o) => o.key.clone(),
            Self::Trigger(o) => o.key.clone(),
            Self::Service(o) => o.key.clone(),
            Self::Endpoints(o) => o.key.clone(),
            Self::DisruptionBudget(o) => o.key.clone(),
            Self::Node(o) => ObjectKey { namespace: empty(), name: o.name.clone() },
        }
    }
}
