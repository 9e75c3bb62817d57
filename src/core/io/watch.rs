//! What watches say.

use serde::{Deserialize, Serialize};

use crate::core::model::{ConfigKind, InjectorKind, Name, Object, ObjectKey, owner::Kind};

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
