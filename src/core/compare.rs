//! Comparing a running Pod with a rendering.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{shape::Name, words::Difference};

/// One compared field that differs. The pointer (RFC 6901) is within the sidecar's projection: `/image`,
/// `/args/3`, `/env/PROXY_CONFIG/value`, or `/placement`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldChange {
    /// Where.
    pub pointer: String,
    /// What runs; `None`: absent.
    pub running: Option<Text>,
    /// What would be injected; `None`: absent.
    pub rendered: Option<Text>,
}

/// A leaf of a projection as text: a string as it is, anything else as JSON. May be a secret: outputs mask it.
pub type Text = std::sync::Arc<str>;

/// How one sidecar of a Pod differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SidecarDifference {
    /// The container's name.
    pub sidecar: Name,
    /// In which way.
    pub difference: Difference,
    /// Which fields; empty for `missing` and `removed`.
    pub fields: Vec<FieldChange>,
}

/// What one Pod's comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Comparison {
    /// The sidecars that differ, by name. Empty: in sync.
    pub differences: Vec<SidecarDifference>,
    /// Changes of app containers that a restart would bring along (rule C14); the pointer begins with the
    /// container's name: `/app/image`.
    pub collateral: Vec<FieldChange>,
}

/// Fields that differ between two renderings of the same template: they never make drift (rule R8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// Container name → pointers.
    pub pointers: BTreeMap<Name, BTreeSet<String>>,
}

/// A canonical projection's leaves by pointer.
pub fn leaves(_canonical: &Value) -> BTreeMap<String, Text> {
    BTreeMap::new()
}
