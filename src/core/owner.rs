//! The owner kinds: one row each, so that a kind is data and not code.

use serde::{Deserialize, Serialize};

/// Where the template of a workload's Pods is kept, revision by revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevisionKind {
    /// In ReplicaSets; the newest has the Deployment's `deployment.kubernetes.io/revision`.
    ReplicaSet,
    /// In ControllerRevisions, under `data.spec.template`.
    ControllerRevision,
}

/// One kind of workload that owns Pods and can be rolled.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnerKind {
    /// `Deployment`
    pub kind: &'static str,
    /// API group, empty for the core group.
    pub group: &'static str,
    /// API version within the group.
    pub version: &'static str,
    /// The resource's name in paths: `deployments`.
    pub plural: &'static str,
    /// Where its revisions are.
    pub revisions: RevisionKind,
}

/// All kinds, in the order in which tables list them.
pub const OWNER_KINDS: &[OwnerKind] = &[
    OwnerKind {
        kind: "Deployment",
        group: "apps",
        version: "v1",
        plural: "deployments",
        revisions: RevisionKind::ReplicaSet,
    },
    OwnerKind {
        kind: "StatefulSet",
        group: "apps",
        version: "v1",
        plural: "statefulsets",
        revisions: RevisionKind::ControllerRevision,
    },
    OwnerKind {
        kind: "DaemonSet",
        group: "apps",
        version: "v1",
        plural: "daemonsets",
        revisions: RevisionKind::ControllerRevision,
    },
];

/// A row of [`OWNER_KINDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u8);

impl Kind {
    /// `apps/v1 Deployment`
    pub const DEPLOYMENT: Self = Self(0);
    /// `apps/v1 StatefulSet`
    pub const STATEFUL_SET: Self = Self(1);
    /// `apps/v1 DaemonSet`
    pub const DAEMON_SET: Self = Self(2);

    /// Every kind, in table order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u8..).take(OWNER_KINDS.len()).map(Self)
    }

    /// The row itself.
    pub fn row(self) -> &'static OwnerKind {
        // A `Kind` is only made from an index into the table.
        &OWNER_KINDS[usize::from(self.0)]
    }

    /// `Deployment`, as people and ownerReferences spell it.
    pub fn as_str(self) -> &'static str {
        self.row().kind
    }

    /// `apps/v1`
    pub fn api_version(self) -> String {
        let row = self.row();
        if row.group.is_empty() { row.version.to_owned() } else { format!("{}/{}", row.group, row.version) }
    }

    /// The kind that an ownerReference names. The version is not looked at: a cluster may serve several.
    pub fn from_owner(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self::all().find(|k| k.row().kind == kind && k.row().group == group)
    }

    /// The kind that a person names: `deployment`, `Deployments`, `deploy`, `sts`, `ds`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "deploy" => return Some(Self::DEPLOYMENT),
            "sts" => return Some(Self::STATEFUL_SET),
            "ds" => return Some(Self::DAEMON_SET),
            _ => {}
        }
        Self::all().find(|k| k.row().plural == name || k.row().kind.to_ascii_lowercase() == name)
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
