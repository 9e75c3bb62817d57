//! How objects are told apart.

use serde::{Deserialize, Serialize};

use super::{name::Name, owner::Kind};

/// `kind/namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadKey {
    /// The namespace, first so that keys sort by it.
    pub namespace: Name,
    /// The owner kind.
    pub kind: Kind,
    /// The name.
    pub name: Name,
}

impl std::fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// An object's namespace (empty for cluster-scoped ones) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Empty for cluster-scoped objects.
    pub namespace: Name,
    /// The name.
    pub name: Name,
}
