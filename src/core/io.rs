//! The two sides of the pure core: what comes in ([`Input`]) and what is to be done ([`Effect`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    alerts::{AlertMatcher, AlertsAnswer},
    events::Event,
    model::{Attempt, ConfigKind, InjectorKind, Object, ObjectKey, Stamp, WorkloadKey, WorkloadSnapshot},
    owner::Kind,
    policy::Policy,
    shape::{FieldSet, Name, PodShape},
    state::StateRecord,
    trigger::Trigger,
    what_if::WhatIf,
    words::{Gate, Outcome, UndeterminedReason, Verdict},
};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchKind {
    /// Pods.
    Pods,
    /// Workloads of one kind.
    Workloads(Kind),
    /// ReplicaSets, metadata only.
    ReplicaSets,
    /// Namespaces.
    Namespaces,
    /// Webhook configurations, policies or bindings.
    Injectors(InjectorKind),
    /// Objects of which only a hash is kept. ConfigMaps only of one backing namespace.
    Configs(ConfigKind),
    /// What the trigger of this number names.
    Trigger(u16),
    /// Services of one backing namespace.
    Services,
    /// EndpointSlices of one backing namespace.
    EndpointSlices,
    /// PodDisruptionBudgets.
    DisruptionBudgets,
    /// Nodes.
    Nodes,
}

/// One watch stream: a kind, in one namespace or (`None`) the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WatchSource {
    /// What.
    pub kind: WatchKind,
    /// Where.
    pub namespace: Option<Name>,
}

/// What a watch stream says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchEvent {
    /// A list begins (the first one, or a relist after the stream broke). Objects follow as `Apply`; those of this
    /// source that are not among them have vanished meanwhile.
    ResetStarted,
    /// An object is there, new or changed.
    Apply(Object),
    /// An object is gone.
    Delete(ObjectKey),
    /// The list is complete.
    ResetDone,
    /// The source cannot be watched: RBAC forbids it, or the cluster does not serve the kind.
    Unavailable {
        /// RBAC forbids it; else the cluster does not serve the kind.
        forbidden: bool,
        /// One sentence for people.
        message: String,
    },
}

/// Everything that can happen to the core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A watch says something.
    Watch {
        /// Which one.
        source: WatchSource,
        /// What.
        event: WatchEvent,
    },
    /// A rendering came back.
    Rendered(Box<RenderReply>),
    /// A patch was answered.
    Patched(PatchReply),
    /// An eviction was answered.
    Evicted(EvictReply),
    /// We lead, or no longer.
    Leadership(bool),
    /// The state ConfigMap as it is now; `None`: missing or unreadable, which means paused.
    State(Option<StateRecord>),
    /// A probe of the guard was answered: the guard refused it, as it must, or it did not.
    Guard(bool),
    /// Prometheus was asked which alerts fire.
    Alerts(AlertsReply),
    /// The operator changed the configuration: what the watches bring must be the same.
    Policy(Box<Policy>),
    /// The time that [`Effect::WakeAt`] asked for has come.
    Timer,
    /// Stop taking on work.
    Shutdown,
}

/// What the core wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Render a workload's Pod. Answered by [`Input::Rendered`], always.
    Render(RenderRequest),
    /// Put the stamp on a workload's Pod template. Answered by [`Input::Patched`], always.
    Patch(PatchRequest),
    /// Evict a Pod, so that its controller makes a new one. Answered by [`Input::Evicted`], always.
    Evict(EvictRequest),
    /// Watch what backs the injectors in exactly these namespaces.
    WatchBackends(BTreeSet<Name>),
    /// Watch what these triggers name. Their places are their numbers; more may be added later, none goes.
    WatchTriggers(Vec<Trigger>),
    /// Write the state ConfigMap. Answered by [`Input::State`].
    WriteState(StateRecord),
    /// Ask for what the guard must refuse. Answered by [`Input::Guard`], always.
    ProbeGuard,
    /// Ask Prometheus which of some alerts fire. Answered by [`Input::Alerts`], always.
    AskAlerts(AlertsRequest),
    /// Say something to people: log, progress line.
    Tell(Notice),
    /// Write an Event. Not answered, and lost if there are too many.
    WriteEvent(Event),
    /// Send [`Input::Timer`] when `Now::elapsed` reaches this. Replaces the one asked for before.
    WakeAt(Duration),
}

/// A workload's identity for requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadRef {
    /// Kind, namespace and name.
    pub key: WorkloadKey,
    /// The uid.
    pub uid: Name,
}

/// A dry-run Pod creation that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderRequest {
    /// Names the reply.
    pub ticket: u64,
    /// For whom.
    pub workload: WorkloadRef,
    /// The object that holds the template: the ReplicaSet's or the ControllerRevision's name; where nothing but the workload
    /// holds it, [`TemplateSnapshot::identity`](super::model::TemplateSnapshot::identity).
    pub revision: Name,
    /// StatefulSet: ordinals that exist, lowest and highest. The Pod is named above the highest, its claims below it.
    pub ordinals: Option<(u32, u32)>,
    /// A Pod whose labels the rendering must have, because its kind was described by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Name>,
    /// Whether the workload and its history are read, too, because a rollout is about to start.
    pub confirm: bool,
    /// Hashes of the templates, this one's among them, of Deployments of this namespace that are asked for next: as the label
    /// `pod-template-hash` has them. They may be read in one request. Empty: none but this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<Name>,
    /// Which fields are compared.
    #[serde(default, skip_serializing_if = "FieldSet::is_default")]
    pub fields: FieldSet,
    /// What is supposed; never anything where `confirm` is set.
    #[serde(default, skip_serializing_if = "WhatIf::is_nothing")]
    pub what_if: WhatIf,
}

/// The answer to [`Effect::Render`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenderReply {
    /// The request's.
    pub ticket: u64,
    /// How long the answer took, from our request for it on.
    pub took: Duration,
    /// What came of it.
    pub outcome: RenderOutcome,
    /// With `confirm`: the workload as it is now, and its past stamps. `None` when it could not be read.
    pub confirmation: Option<Box<Confirmation>>,
}

/// What is read right before a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The workload.
    pub workload: WorkloadSnapshot,
    /// The stamps in all retained revisions, the current one included.
    pub history: Vec<Attempt>,
    /// The name of each retained ControllerRevision, and the hash of its template without our stamp, as in
    /// [`TemplateSnapshot::hash`](super::model::TemplateSnapshot::hash). Empty for kinds that have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<Name, Name>,
}

/// What came of a rendering (rule R6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenderOutcome {
    /// 201 and a whole Pod.
    Rendered(Rendering),
    /// The Pod would be refused.
    Rejected {
        /// The API server's words.
        message: String,
    },
    /// No statement can be made.
    Undetermined {
        /// Why.
        reason: UndeterminedReason,
        /// One sentence for people.
        message: String,
        /// The API server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The workload or its revision does not exist any more.
    Gone,
}

/// One rendering beside the template that it was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rendering {
    /// The template as the controller would send it, before admission.
    pub template: Arc<PodShape>,
    /// What admission made of it.
    pub rendered: Arc<PodShape>,
    /// The name the Pod was given (StatefulSets only: names of the others are made after admission).
    pub pod_name: Option<Name>,
}

/// A stamp that is wanted on a workload's Pod template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRequest {
    /// Names the reply.
    pub ticket: u64,
    /// Whom. The patch holds only for this uid.
    pub workload: WorkloadRef,
    /// The patch holds only for this version.
    pub resource_version: Name,
    /// Whether the template has annotations already.
    pub has_annotations: bool,
    /// What to write.
    pub stamp: Stamp,
}

/// The answer to [`Effect::Patch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatchReply {
    /// The request's.
    pub ticket: u64,
    /// What came of it.
    pub outcome: PatchOutcome,
}

/// What came of a patch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchOutcome {
    /// Written.
    Patched {
        /// `metadata.generation` afterwards.
        generation: i64,
    },
    /// The workload changed since it was read (409, or a failed `test`): read again.
    Conflict,
    /// Admission refused it, or its dry run came back with more than the stamp changed.
    Denied {
        /// One sentence.
        message: String,
    },
    /// The workload is gone.
    Gone,
    /// Not sent: we do not lead any more.
    NotLeader,
    /// Sent, but the answer was lost: it may have been written.
    Unknown {
        /// One sentence.
        message: String,
    },
    /// Not written, try later.
    Failed {
        /// One sentence.
        message: String,
        /// The API server's `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// The question which alerts fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertsRequest {
    /// Names the reply.
    pub ticket: u64,
    /// Those that block rollouts: whatever one of these matches.
    pub matchers: Vec<AlertMatcher>,
}

/// The answer to [`Effect::AskAlerts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertsReply {
    /// The request's.
    pub ticket: u64,
    /// What Prometheus says.
    pub answer: AlertsAnswer,
}

/// An eviction that is wanted: by the Eviction API, which asks the PodDisruptionBudgets, and never by deleting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictRequest {
    /// Names the reply.
    pub ticket: u64,
    /// Whose Pod it is.
    pub workload: WorkloadRef,
    /// The Pod.
    pub pod: Name,
    /// The eviction holds only for this uid: another Pod of that name is none of ours.
    pub uid: Name,
}

/// The answer to [`Effect::Evict`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvictReply {
    /// The request's.
    pub ticket: u64,
    /// What came of it.
    pub outcome: EvictOutcome,
}

/// What came of an eviction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvictOutcome {
    /// The Pod is on its way out.
    Evicted,
    /// A PodDisruptionBudget leaves no room now (429).
    NoHeadroom {
        /// The API server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// That Pod is gone already.
    Gone,
    /// Admission refused it, or we may not.
    Denied {
        /// One sentence.
        message: String,
    },
    /// Not sent: we do not lead any more.
    NotLeader,
    /// Sent, but the answer was lost: the Pod may be on its way out.
    Unknown {
        /// One sentence.
        message: String,
    },
    /// Not evicted, try later.
    Failed {
        /// One sentence.
        message: String,
        /// The API server's `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// Something that people should hear of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// Something that injection depends on moved.
    GenerationMoved {
        /// The scope: `cluster`, `injector istio-sidecar-injector`, `namespace shop`, ...
        scope: String,
        /// What moved it, by whom, when.
        cause: String,
        /// How many workloads depend on it.
        workloads: usize,
    },
    /// A workload's verdict changed, or it differs in another way than before.
    VerdictChanged {
        /// Whose.
        workload: WorkloadKey,
        /// From.
        from: Verdict,
        /// To.
        to: Verdict,
        /// The reason of an `undetermined`.
        reason: Option<UndeterminedReason>,
        /// What changed, in short: `istio-proxy image 1.27.0 → 1.27.1`.
        change: String,
    },
    /// An injector answers so slowly that it is left alone for a while.
    InjectorSlow {
        /// The scope.
        scope: String,
        /// For how long.
        seconds: u64,
    },
    /// Fewer, or more, dry runs than before are in flight at once, because so many are answered best.
    RenderLimit {
        /// The scope; `None`: the API server, all of them.
        scope: Option<String>,
        /// How many.
        limit: usize,
    },
    /// A rollout was started.
    RolloutStarted {
        /// Whose.
        workload: WorkloadKey,
        /// For what.
        reason: String,
    },
    /// A rollout moved on.
    RolloutProgress {
        /// Whose.
        workload: WorkloadKey,
        /// `2 of 3 updated`
        message: String,
    },
    /// A Pod was evicted, because nobody else replaces it.
    PodEvicted {
        /// Whose.
        workload: WorkloadKey,
        /// Its name.
        pod: Name,
    },
    /// A rollout ended, or (`timed_out`) is late.
    RolloutEnded {
        /// Whose.
        workload: WorkloadKey,
        /// How.
        outcome: Outcome,
        /// One sentence.
        message: String,
        /// How long it took.
        seconds: u64,
    },
    /// A confirmation found that a planned rollout is not to be made now.
    RolloutHeld {
        /// Whose.
        workload: WorkloadKey,
        /// By what.
        gate: Gate,
    },
    /// We were asked to stop: nothing new is begun.
    Stopping {
        /// Rollouts under way, which are followed to their end where somebody waits for it.
        rollouts: usize,
    },
    /// The breaker opened.
    BreakerOpened {
        /// Whose rollout was the last one.
        workload: WorkloadKey,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Whether the API server holds us to dry runs, found out for the first time or changed.
    Guard {
        /// It does.
        in_force: bool,
    },
    /// Whether alerts hold all rollouts, found out for the first time or changed.
    Alerts {
        /// They do.
        blocking: bool,
        /// Which, or why that is not known; empty if they do not.
        message: String,
    },
    /// A watch could not be started.
    WatchUnavailable {
        /// Which.
        source: WatchSource,
        /// One sentence.
        message: String,
    },
    /// The bad value of an annotation.
    BadAnnotation {
        /// Where.
        workload: WorkloadKey,
        /// What is wrong and what would be right.
        message: String,
    },
}
