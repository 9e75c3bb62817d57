//! What is known of one kind of workload.

use super::custom_kind::Described;
use crate::core::model::words::Gate;

/// Where the template of a workload's Pods is kept, revision by revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevisionKind {
    /// In ReplicaSets; the newest has the Deployment's `deployment.kubernetes.io/revision`.
    ReplicaSet,
    /// In ControllerRevisions, under `data.spec.template`.
    ControllerRevision,
    /// Nowhere but in the workload itself: what a Pod was made from is known only while all Pods are of that.
    Template,
}

impl RevisionKind {
    /// The objects that hold them, as the API's paths spell it.
    pub fn plural(self) -> Option<&'static str> {
        match self {
            Self::ReplicaSet => Some("replicasets"),
            Self::ControllerRevision => Some("controllerrevisions"),
            Self::Template => None,
        }
    }
}

/// A place in an object, member by member.
pub type Place = &'static [&'static str];

/// What a rollout of a kind is begun by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The stamp on its Pod template: a new revision.
    Stamp,
    /// The time in this field, such as `spec.restartAt`: its controller replaces the Pods that are older, and makes no new
    /// revision, which would go through the steps of a canary.
    Field(Place),
    /// Nothing: it is only reported.
    Nothing,
}

/// One kind of workload that owns Pods and can be rolled.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnerKind {
    /// What it is called: `Deployment`. The same as `kind`, but where two groups have the same kind.
    pub name: &'static str,
    /// As ownerReferences spell it.
    pub kind: &'static str,
    /// API group, empty for the core group.
    pub group: &'static str,
    /// API version within the group.
    pub version: &'static str,
    /// The resource's name in paths: `deployments`.
    pub plural: &'static str,
    /// Other names by which people call it.
    pub short: &'static [&'static str],
    /// Where its Pod template is.
    pub template: Place,
    /// Where its revisions are.
    pub revisions: RevisionKind,
    /// What a rollout is begun by.
    pub restart: Restart,
    /// Its Pods have ordinals, and a new one has the name of the old one.
    pub ordinals: bool,
    /// Looked at only where `--kinds` names it: not every cluster has it.
    pub optional: bool,
    /// The ServiceAccount of the controller that creates its Pods, as `namespace:name`.
    pub creator: &'static str,
    /// For people: by what a finished rollout is recognised.
    pub finished: &'static str,
    /// Gates that only some kinds can meet.
    pub gates: &'static [Gate],
    /// What a person said of it; `None`: it is known by itself.
    pub described: Option<&'static Described>,
}

impl OwnerKind {
    pub(super) fn names(&self, api_version: &str, kind: &str) -> bool {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.kind == kind && self.group == group
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let singular = self.name.to_ascii_lowercase();
        // Where two groups have the same plural it is the usual one that is meant.
        let plural = self.kind == self.name && self.plural == name;
        name == singular || plural || name == format!("{singular}s") || self.short.contains(&name.as_str())
    }
}
