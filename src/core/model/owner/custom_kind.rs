//! A kind in the words of a person.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A kind in the words of whoever knows it. Places are members of an object, joined by dots: `spec.template`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// What it is called here.
    pub name: String,
    /// API group.
    pub group: String,
    /// API version within the group.
    pub version: String,
    /// As ownerReferences spell it.
    pub kind: String,
    /// As paths spell it.
    pub plural: String,
    /// Where its Pod template is.
    pub template: String,
    /// `None`: it is only reported. Empty: the stamp. Else the field that takes a time.
    pub restart: Option<String>,
    /// Its Pods belong to ReplicaSets, which belong to it.
    pub replica_sets: bool,
    /// Labels that its controller gives its Pods beside those of the template; `{name}` stands for the workload's name.
    pub labels: BTreeMap<String, String>,
    /// The label of its Pods that names their revision.
    pub revision_label: Option<String>,
    /// Flags that say that its own rollouts are stopped.
    pub paused: Vec<String>,
    /// Where the numbers are.
    pub status: StatusPaths,
}

/// Where a kind says how far a rollout of it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusPaths {
    /// The generation that its controller has seen.
    pub observed_generation: String,
    /// How many Pods are wanted.
    pub desired: String,
    /// How many there are.
    pub replicas: String,
    /// How many are of the present template.
    pub updated: String,
    /// How many are ready.
    pub ready: String,
    /// How many are available.
    pub available: String,
    /// The revision that its Pods are brought to, as their label has it or ending with that.
    pub revision: String,
    /// The time of the last restart that is done, of a kind that is restarted by a field.
    pub restarted: Option<String>,
}

impl Described {
    /// A kind with Pods of its own that has everything where Deployments have it.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self {
            name: kind.to_owned(),
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_ascii_lowercase()),
            template: "spec.template".to_owned(),
            restart: Some(String::new()),
            replica_sets: false,
            labels: BTreeMap::new(),
            revision_label: None,
            paused: vec!["spec.paused".to_owned()],
            status: StatusPaths::default(),
        }
    }
}

/// Where Deployments have them.
impl Default for StatusPaths {
    fn default() -> Self {
        Self {
            observed_generation: "status.observedGeneration".to_owned(),
            desired: "spec.replicas".to_owned(),
            replicas: "status.replicas".to_owned(),
            updated: "status.updatedReplicas".to_owned(),
            ready: "status.readyReplicas".to_owned(),
            available: "status.availableReplicas".to_owned(),
            revision: "status.updateRevision".to_owned(),
            restarted: None,
        }
    }
}

/// The members of a place.
pub(super) fn members(place: &str) -> Vec<&str> {
    place.split('.').collect()
}
