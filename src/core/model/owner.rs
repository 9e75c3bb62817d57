//! The owner kinds: one row each, so that a kind is data and not code.

mod custom_kind;
mod custom_rows;
mod owner_kind;

use serde::{Deserialize, Serialize};

pub use self::{
    custom_kind::{Described, StatusPaths},
    custom_rows::TooManyKinds,
    owner_kind::{OwnerKind, Place, Restart, RevisionKind},
};

use crate::core::model::words::Gate;

/// What most kinds have in common.
const NATIVE: OwnerKind = OwnerKind {
    name: "",
    kind: "",
    group: "apps",
    version: "v1",
    plural: "",
    short: &[],
    template: &["spec", "template"],
    revisions: RevisionKind::ControllerRevision,
    restart: Restart::Stamp,
    ordinals: false,
    optional: false,
    creator: "",
    finished: "",
    gates: &[],
    described: None,
};

/// All kinds that are known by themselves, in the order in which tables list them.
pub static OWNER_KINDS: &[OwnerKind] = &[
    OwnerKind {
        name: "Deployment",
        kind: "Deployment",
        plural: "deployments",
        short: &["deploy"],
        revisions: RevisionKind::ReplicaSet,
        creator: "kube-system:replicaset-controller",
        finished: "as `kubectl rollout status`: all replicas updated, no old ones left, all available; it failed when its \
                   progress deadline is exceeded",
        gates: &[Gate::WorkloadPaused, Gate::SingleReplica],
        ..NATIVE
    },
    OwnerKind {
        name: "StatefulSet",
        kind: "StatefulSet",
        plural: "statefulsets",
        short: &["sts"],
        ordinals: true,
        creator: "kube-system:statefulset-controller",
        finished: "as `kubectl rollout status`: all Pods ready and of the update revision, of a partitioned one those from the \
                   partition on; of one that waits for deletions all Pods of the update revision and available",
        gates: &[Gate::SingleReplica, Gate::OnDelete],
        ..NATIVE
    },
    OwnerKind {
        name: "DaemonSet",
        kind: "DaemonSet",
        plural: "daemonsets",
        short: &["ds"],
        creator: "kube-system:daemon-set-controller",
        finished: "as `kubectl rollout status`: a Pod of the new template, and available, on every Node that wants one",
        gates: &[Gate::OnDelete],
        ..NATIVE
    },
    OwnerKind {
        name: "Rollout",
        kind: "Rollout",
        group: "argoproj.io",
        version: "v1alpha1",
        plural: "rollouts",
        short: &["ro"],
        revisions: RevisionKind::ReplicaSet,
        restart: Restart::Field(&["spec", "restartAt"]),
        optional: true,
        creator: "kube-system:replicaset-controller",
        finished: "`status.restartedAt` is what was asked for, the stable revision is the current one, all replicas are \
                   available; it failed when it was aborted or its progress deadline is exceeded",
        gates: &[Gate::WorkloadPaused, Gate::SingleReplica],
        ..NATIVE
    },
    OwnerKind {
        name: "CloneSet",
        kind: "CloneSet",
        group: "apps.kruise.io",
        version: "v1alpha1",
        plural: "clonesets",
        revisions: RevisionKind::ControllerRevision,
        optional: true,
        creator: "kruise-system:kruise-manager",
        finished: "all Pods but those that its partition keeps are of the update revision, and all are ready",
        gates: &[Gate::WorkloadPaused, Gate::SingleReplica, Gate::OnDelete],
        ..NATIVE
    },
    OwnerKind {
        name: "AdvancedStatefulSet",
        kind: "StatefulSet",
        group: "apps.kruise.io",
        version: "v1beta1",
        plural: "statefulsets",
        short: &["asts"],
        ordinals: true,
        optional: true,
        creator: "kruise-system:kruise-manager",
        finished: "as a StatefulSet",
        gates: &[Gate::WorkloadPaused, Gate::SingleReplica, Gate::OnDelete],
        ..NATIVE
    },
    OwnerKind {
        name: "ReplicaSet",
        kind: "ReplicaSet",
        plural: "replicasets",
        short: &["rs"],
        revisions: RevisionKind::Template,
        optional: true,
        creator: "kube-system:replicaset-controller",
        finished: "all Pods carry the stamp and are available; one that another object owns is part of that",
        gates: &[Gate::SingleReplica, Gate::OnDelete],
        ..NATIVE
    },
    OwnerKind {
        name: "ReplicationController",
        kind: "ReplicationController",
        group: "",
        plural: "replicationcontrollers",
        short: &["rc"],
        revisions: RevisionKind::Template,
        optional: true,
        creator: "kube-system:replication-controller",
        finished: "as a ReplicaSet",
        gates: &[Gate::SingleReplica, Gate::OnDelete],
        ..NATIVE
    },
];

/// A row of [`OWNER_KINDS`], or a kind that a person described ([`Kind::describe`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u8);

impl Kind {
    /// `apps/v1 Deployment`
    pub const DEPLOYMENT: Self = Self(0);
    /// `apps/v1 StatefulSet`
    pub const STATEFUL_SET: Self = Self(1);
    /// `apps/v1 DaemonSet`
    pub const DAEMON_SET: Self = Self(2);

    /// `argoproj.io/v1alpha1 Rollout`
    pub const ROLLOUT: Self = Self(3);
    /// `apps.kruise.io/v1alpha1 CloneSet`
    pub const CLONE_SET: Self = Self(4);
    /// `apps.kruise.io/v1beta1 StatefulSet`
    pub const ADVANCED_STATEFUL_SET: Self = Self(5);
    /// `apps/v1 ReplicaSet`, if nothing else owns it
    pub const REPLICA_SET: Self = Self(6);
    /// `v1 ReplicationController`, if nothing else owns it
    pub const REPLICATION_CONTROLLER: Self = Self(7);

    /// Those that every cluster has, and that are looked at unless others are named.
    pub fn usual() -> impl Iterator<Item = Self> {
        Self::all().filter(|kind| !kind.row().optional)
    }

    /// Every kind that is known by itself, in table order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u8..).take(OWNER_KINDS.len()).map(Self)
    }

    /// The row itself.
    pub fn row(self) -> &'static OwnerKind {
        let at = usize::from(self.0);
        // A `Kind` is only made from an index into one of the two tables.
        OWNER_KINDS.get(at).or_else(|| custom_rows::row(at - OWNER_KINDS.len())).unwrap_or(&OWNER_KINDS[0])
    }

    /// The kind that a person described. Described a second time it is the same.
    ///
    /// It is known from then on by its name, as long as the process lives.
    pub fn describe(kind: &Described) -> Result<Self, TooManyKinds> {
        let at = custom_rows::put(kind)?;
        u8::try_from(OWNER_KINDS.len() + at).map(Self).map_err(|_| TooManyKinds)
    }

    /// What a person said of it; `None`: it is known by itself.
    pub fn described(self) -> Option<&'static Described> {
        self.row().described
    }

    /// Every kind that a person described, the first one first.
    fn all_described() -> impl Iterator<Item = Self> {
        let numbers = (OWNER_KINDS.len()..).map_while(|at| Some(Self(u8::try_from(at).ok()?)));
        numbers.take_while(|kind| custom_rows::row(usize::from(kind.0) - OWNER_KINDS.len()).is_some())
    }

    /// What a person said of the kind that an ownerReference names.
    pub fn described_as(api_version: &str, kind: &str) -> Option<&'static Described> {
        Self::all_described().find(|known| known.is_named_by(api_version, kind))?.described()
    }

    /// Some kind that a person described has a label of its own for the revision of its Pods.
    pub fn any_revision_label() -> bool {
        Self::all_described().filter_map(Self::described).any(|described| described.revision_label.is_some())
    }

    /// Whose Pods may be evicted where nobody else replaces them. What is updated in place takes the stamp without being
    /// replaced, so that nothing tells old Pods from new ones.
    pub fn is_evictable(self) -> bool {
        matches!(self.row().group, "" | "apps")
    }

    /// It has no way to exchange Pods, and may be part of something that has one.
    pub fn is_replicas(self) -> bool {
        self == Self::REPLICA_SET || self == Self::REPLICATION_CONTROLLER
    }

    /// Its Pods are its own, and nothing but the workload itself says what they were made from.
    pub fn has_template_only(self) -> bool {
        self.row().revisions == RevisionKind::Template
    }

    /// An ownerReference names this kind. The version is not looked at: a cluster may serve several.
    pub fn is_named_by(self, api_version: &str, kind: &str) -> bool {
        self.row().names(api_version, kind)
    }

    /// `Deployment`
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// Its Pods belong to ReplicaSets, which belong to it.
    pub fn has_replica_sets(self) -> bool {
        self.row().revisions == RevisionKind::ReplicaSet
    }

    /// `apps/v1`
    pub fn api_version(self) -> String {
        let row = self.row();
        if row.group.is_empty() { row.version.to_owned() } else { format!("{}/{}", row.group, row.version) }
    }

    /// The kind, of those that are known by themselves, that an ownerReference names.
    pub fn from_owner(api_version: &str, kind: &str) -> Option<Self> {
        Self::all().find(|known| known.is_named_by(api_version, kind))
    }

    /// The kind that a person names: `deployment`, `Deployments`, `deploy`, `sts`, `ds`, or a described one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().chain(Self::all_described()).find(|kind| kind.is_called(name))
    }

    /// A person may mean it by this.
    pub fn is_called(self, name: &str) -> bool {
        self.row().is_called(name)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown owner kind {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_names_and_by_no_other_kinds() {
        let mut names = std::collections::BTreeMap::new();
        for kind in Kind::all() {
            let row = kind.row();
            let plural = if row.kind == row.name { row.plural.to_owned() } else { format!("{}s", row.name) };
            for name in row.short.iter().map(|name| (*name).to_owned()).chain([row.name.to_owned(), plural]) {
                assert_eq!(Kind::from_name(&name), Some(kind), "{name}");
                assert_eq!(names.insert(name.to_ascii_lowercase(), kind), None, "{name}");
            }
            assert_eq!(Kind::from_owner(&kind.api_version(), row.kind), Some(kind));
        }
        assert_eq!(Kind::from_name("job"), None);
    }

    #[test]
    fn only_what_every_cluster_has_is_looked_at_unasked() {
        let usual: Vec<_> = Kind::usual().collect();
        assert_eq!(usual, [Kind::DEPLOYMENT, Kind::STATEFUL_SET, Kind::DAEMON_SET]);
    }
}
