//! What watches say.

use std::fmt;

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

impl WatchKind {
    /// The resource's name in the plural, as in the API server's paths.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Workloads(kind) => kind.row().plural,
            Self::ReplicaSets => "replicasets",
            Self::Namespaces => "namespaces",
            Self::Injectors(kind) => kind.as_str(),
            Self::Configs(ConfigKind::ConfigMap) => "configmaps",
            Self::Configs(ConfigKind::ServiceAccount) => "serviceaccounts",
            Self::Configs(ConfigKind::LimitRange) => "limitranges",
            Self::Trigger(_) => "triggers",
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
            Self::DisruptionBudgets => "poddisruptionbudgets",
            Self::Nodes => "nodes",
        }
    }
}

/// One watch stream: a kind, in one namespace or (`None`) the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WatchSource {
    /// What.
    pub kind: WatchKind,
    /// Where.
    pub namespace: Option<Name>,
}

/// `poddisruptionbudgets in namespace shop`
impl fmt::Display for WatchSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.plural())?;
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " in namespace {namespace}"))
    }
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
    /// The stream has had no connection for so long that what it brought is not relied upon any more.
    Interrupted,
    /// The stream has a connection again; what changed meanwhile follows.
    Resumed,
    /// The source cannot be watched: RBAC forbids it, or the cluster does not serve the kind.
    Unavailable {
        /// RBAC forbids it; else the cluster does not serve the kind.
        forbidden: bool,
        /// One sentence for people.
        message: String,
    },
}
