//! Kinds that a person described: rows that are made when the program starts.

use std::sync::OnceLock;

use super::{
    custom_kind::{Described, members},
    owner_kind::{OwnerKind, Place, Restart, RevisionKind},
};
use crate::core::model::words::Gate;

/// How many kinds can be described. No cluster has so many that own Pods; what a process compares itself with while it
/// reads its file again (each other description is another kind) counts, too.
const ROOM: usize = 128;

/// Filled from its begin, and never changed: a kind is a number that stays good.
static ROWS: [OnceLock<OwnerKind>; ROOM] = [const { OnceLock::new() }; ROOM];

/// More than [`ROOM`] kinds were described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most {ROOM} kinds can be described")]
pub struct TooManyKinds;

/// The row of this number, if there is one.
pub(super) fn row(at: usize) -> Option<&'static OwnerKind> {
    ROWS.get(at)?.get()
}

/// The number of the row for this kind.
pub(super) fn put(kind: &Described) -> Result<usize, TooManyKinds> {
    let mut rows = ROWS.iter();
    rows.position(|row| row.get_or_init(|| made(kind)).described == Some(kind)).ok_or(TooManyKinds)
}

fn made(kind: &Described) -> OwnerKind {
    // What is described lives as long as the process, and there is little of it.
    let kind: &'static Described = Box::leak(Box::new(kind.clone()));
    let place = |text: &'static str| -> Place { members(text).leak() };
    OwnerKind {
        name: &kind.name,
        kind: &kind.kind,
        group: &kind.group,
        version: &kind.version,
        plural: &kind.plural,
        short: &[],
        template: place(&kind.template),
        revisions: if kind.replica_sets { RevisionKind::ReplicaSet } else { RevisionKind::Template },
        restart: match kind.restart.as_deref() {
            None => Restart::Nothing,
            Some("") => Restart::Stamp,
            Some(field) => Restart::Field(place(field)),
        },
        ordinals: false,
        optional: true,
        creator: "",
        finished: "as its description says",
        gates: &[Gate::WorkloadPaused, Gate::SingleReplica],
        described: Some(kind),
    }
}
