//! A Pod reduced to what verdicts need: its containers, each with a canonical projection and a fingerprint.

mod collateral;
mod container;
mod env;
pub mod known;
mod lenient;
pub mod packed;
mod resources;
mod token_volumes;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{
    container::{List, View},
    resources::Resources,
    token_volumes::TokenVolumes,
};

pub use self::resources::UNKNOWN;
pub use self::{
    container::{ContainerShape, FieldSet},
    known::Known,
    packed::Packed,
};

/// The containers of one Pod or Pod template, `initContainers` first, each list in its own order.
///
/// Ten thousand replicas of one template share one `PodShape`: nothing in it depends on the single Pod
/// (names of token volumes are canonical, rule C4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodShape {
    /// The containers. The index keeps one copy of each.
    pub containers: Box<[Arc<ContainerShape>]>,
    /// The order of the init containers is compared, as it is with [`FieldSet::All`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
}

impl PodShape {
    /// The container of that name, whichever list it stands in (rule C2).
    pub fn container(&self, name: &str) -> Option<&ContainerShape> {
        self.containers.iter().map(|c| &**c).find(|c| &*c.name == name)
    }

    /// The shape of a Pod as the API server returns it.
    ///
    /// Never fails: a field that is absent or of an unexpected type counts as its JSON text or as nothing.
    pub fn from_pod(pod: &Value) -> Self {
        Self::with(pod, FieldSet::Default)
    }

    /// The same with other fields.
    pub fn with(pod: &Value, fields: FieldSet) -> Self {
        let view = View { fields, resources: Resources::of(pod) };
        let spec = pod.get("spec").unwrap_or(&Value::Null);
        let volumes = TokenVolumes::of(spec.get("volumes"));
        let init = lenient::list(spec.get("initContainers")).iter().map(|c| (c, List::Init));
        let ordinary = lenient::list(spec.get("containers")).iter().map(|c| (c, List::Ordinary));
        let containers = init.chain(ordinary).map(|(c, list)| ContainerShape::of(c, list, &volumes, &view).into());
        Self { containers: containers.collect(), ordered: fields == FieldSet::All }
    }

    /// [`PodShape::from_pod`] of a Pod's `volumes` and of its `initContainers` and `containers`, each container a string that
    /// holds its JSON. One that was read of late is not read again.
    pub fn of_texts(volumes: &Value, [init, ordinary]: [&Value; 2], known: &mut Known) -> Self {
        let volumes = TokenVolumes::of(Some(volumes));
        let init = lenient::list(Some(init)).iter().map(|text| (text, List::Init));
        let ordinary = lenient::list(Some(ordinary)).iter().map(|text| (text, List::Ordinary));
        let containers = init.chain(ordinary);
        Self {
            containers: containers.map(|(text, list)| known.container(text, list, &volumes)).collect(),
            ordered: false,
        }
    }

    /// What is kept of a Pod that is compared with nothing: which containers it has. However much else whoever wrote it has put
    /// into them, it takes no room.
    #[must_use]
    pub fn outline(&self) -> Self {
        Self { containers: self.containers.iter().map(|c| c.outline().into()).collect(), ordered: self.ordered }
    }

    /// Whether containers whose JSON these are have another shape in a Pod with other `volumes`. Else, with
    /// [`FieldSet::Default`], the containers alone make the shape.
    pub fn depends_on<'t>(volumes: &Value, mut containers: impl Iterator<Item = &'t str>) -> bool {
        let volumes = TokenVolumes::of(Some(volumes));
        containers.any(|text| volumes.stand_in(text))
    }

    /// The shape of a Pod template: a workload's or ReplicaSet's `spec.template`, a ControllerRevision's
    /// `data.spec.template`. See [`PodShape::from_pod`].
    pub fn from_template(template: &Value) -> Self {
        Self::from_pod(template)
    }
}

#[cfg(test)]
mod tests;
