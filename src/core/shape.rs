//! A Pod reduced to what verdicts need: its containers, each with a canonical projection and a fingerprint.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{fingerprint::Fingerprint, words::Placement};

/// A shared string. The index keeps one copy of each.
pub type Name = Arc<str>;

/// The containers of one Pod or Pod template, `initContainers` first, each list in its own order.
///
/// Ten thousand replicas of one template share one `PodShape`: nothing in it depends on the single Pod
/// (names of token volumes are canonical, rule C4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodShape {
    /// The containers.
    pub containers: Vec<ContainerShape>,
}

/// One container of a [`PodShape`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerShape {
    /// The container's name, unique within its Pod.
    pub name: Name,
    /// In which list it stands, and how.
    pub placement: Placement,
    /// The image as written, empty if absent.
    pub image: Name,
    /// The compared fields in canonical form (rules C3-C6): an object with some of the keys `image`, `command`,
    /// `args`, `env`, `envFrom`. Placement is not in it.
    pub projection: Arc<Value>,
    /// The fingerprint of `projection`.
    pub fingerprint: Fingerprint,
    /// What beside the projection counts as collateral in an app container (rule C14): `securityContext`, or null.
    pub collateral: Arc<Value>,
}

impl PodShape {
    /// The container of that name, whichever list it stands in (rule C2).
    pub fn container(&self, name: &str) -> Option<&ContainerShape> {
        self.containers.iter().find(|c| &*c.name == name)
    }
}
