//! What comparing finds.

use serde::{Deserialize, Serialize};

use crate::core::model::{Name, words::Difference};

/// Where the image is in a projection.
pub const IMAGE: &str = "/image";
/// Where an init container stands among the others, if that is compared.
pub const ORDER: &str = "/order";
pub(super) const PLACEMENT: &str = "/placement";

/// One compared field that differs. The pointer (RFC 6901) is within the sidecar's projection: `/image`,
/// `/args/3`, `/env/PROXY_CONFIG/value`, or `/placement`. Inside a structured value (rule C5) it goes on by tags, which
/// follow from what members are called and which element of a list is meant: `/env/PROXY_CONFIG/value/#d1b`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldChange {
    /// Where.
    pub pointer: String,
    /// The pointer as it is, where it has tags. May be a secret: outputs mask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<Text>,
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

impl Comparison {
    /// Whether everything that differs is the same text in another order: arguments or elements that changed places.
    ///
    /// An injector that walks over a map gives its values in another order each time, and with few of them two
    /// renderings often agree by chance (with two elements every second time). So this is no proof of the opposite, but
    /// a reason to ask more than twice before the difference is believed.
    pub fn looks_reordered(&self) -> bool {
        let sorted = |side: fn(&FieldChange) -> Option<&Text>| {
            // A container that changed places says so in words, which are others on either side.
            let fields = self.differences.iter().flat_map(|d| &d.fields).filter(|f| f.pointer != ORDER);
            let mut bytes: Vec<u8> = fields.filter_map(side).flat_map(|text| text.bytes()).collect();
            bytes.sort_unstable();
            bytes
        };
        let only_values =
            |d: &SidecarDifference| d.difference == Difference::Changed && d.fields.iter().all(|f| f.pointer != IMAGE);
        !self.differences.is_empty()
            && self.differences.iter().all(only_values)
            && sorted(|f| f.running.as_ref()) == sorted(|f| f.rendered.as_ref())
    }
}
