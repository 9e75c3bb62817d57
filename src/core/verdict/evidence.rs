//! What a verdict is made from, and what it takes to know more.

use std::{collections::BTreeSet, time::Duration};

use super::{
    absences::{Absences, Lacking},
    admission_evidence::{AdmissionEvidence, ContradictingPod},
    case::Case,
    judged::Judged,
};
use crate::core::{
    compare::Targets,
    config::Policy,
    injection::InjectionTracker,
    inventory::{Index, Revision},
    io::Lock,
    model::{Name, WorkloadSnapshot, time::Now},
};

/// What should happen next, so that the verdict gets better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Nothing, also nothing that was wanted before: an event will bring it on.
    Nothing,
    /// Nothing but the periodic look.
    Periodic,
    /// Look again then, without asking the API server.
    Look(Duration),
    /// A rendering, not before then: the first one, or one that confirms what is known.
    Render(Duration),
    /// One more rendering for the set, not before then.
    Another(Duration),
}

/// A verdict and the way on from it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assessment {
    /// What is known.
    pub judged: Judged,
    /// What it takes to know more.
    pub want: Want,
    /// Of which revision, where it is not the current one.
    pub revision: Option<Name>,
    /// Look again then, whatever is wanted else.
    pub look: Option<Duration>,
    /// What a Pod that was born meanwhile says about the renderings (rule R12).
    pub observed: Option<ObservedPod>,
    /// What it lacks that runs (rule R7).
    pub absence: Absence,
}

impl Assessment {
    pub(super) fn new(judged: Judged, want: Want) -> Self {
        Self { judged, want, revision: None, look: None, observed: None, absence: Absence::Unknown }
    }
}

/// What came of looking for what runs and is not rendered (rule R7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Absence {
    /// It was not looked for: what is known holds.
    #[default]
    Unknown,
    /// There is nothing.
    Nothing,
    /// What there is was proven to be lost.
    Believed,
    /// It is not believed.
    Unproven(Lacking),
}

/// What a Pod says that a real controller created after the first rendering of a set, while nothing moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ObservedPod {
    /// It, born then, has these sidecars as rendered.
    Agrees(jiff::Timestamp, BTreeSet<Name>),
    /// This Pod has some otherwise: admission treats dry runs, or us, differently.
    Contradicts(ContradictingPod),
}

/// Everything that a verdict is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    /// The workload.
    pub workload: &'a WorkloadSnapshot,
    /// Its revisions, the current one first; none: which one that is is not known.
    pub revisions: &'a [Revision<'a>],
    /// The cluster.
    pub index: &'a Index,
    /// The scope versions.
    pub injection: &'a InjectionTracker,
    /// What is remembered of the workload.
    pub case: &'a Case,
    /// The lock on the workload, if it still differed after our own rollout.
    pub lock: Option<&'a Lock>,
    /// The configuration.
    pub policy: &'a Policy,
    /// What real Pods and other renderings say about admission.
    pub admission: &'a AdmissionEvidence,
    /// What workloads lack in their renderings.
    pub absences: &'a Absences,
    /// What was said of other workloads with the same sidecars.
    pub targets: &'a Targets,
    /// The time.
    pub now: Now,
}
