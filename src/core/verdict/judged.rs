//! What is known of a workload.

use std::collections::BTreeSet;

use super::pod_group::PodGroup;
use crate::core::{
    compare::{self, IgnoreUse, SidecarDifference},
    model::{
        Name,
        words::{Difference, UndeterminedReason, Verdict},
    },
};

/// What is known of a workload: its verdict, and what that was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, if undetermined.
    pub reason: Option<UndeterminedReason>,
    /// One sentence more.
    pub message: Option<String>,
    /// The Pods that differ, grouped by how.
    pub groups: Vec<PodGroup>,
    /// Every kind of difference among them.
    pub differences: BTreeSet<Difference>,
    /// An app container would change with a restart.
    pub collateral: bool,
    /// What would be taken away and may only be missing because an injector is down: in one sentence.
    pub unproven_loss: Option<String>,
    /// No Pod more fits into its namespace's quota, so that what was rendered before cannot be confirmed.
    pub quota_full: bool,
    /// What a rollout would change, in short.
    pub change: String,
    /// The fingerprint of what a rollout would bring.
    pub target: String,
    /// What rules of the site left out.
    pub ignored: BTreeSet<IgnoreUse>,
    /// Its Pods of the current revision are as rendered, but what those of another one are could not be told.
    pub partial: bool,
    /// Names of its sidecars.
    pub sidecars: Vec<Name>,
    /// Pods compared.
    pub pods: usize,
    /// Pods of it, of any revision, with a container that crashes or cannot start.
    pub crashing: Vec<Name>,
}

impl Default for Judged {
    fn default() -> Self {
        Self::undetermined(UndeterminedReason::Pending, None)
    }
}

impl Judged {
    /// A verdict with nothing to compare.
    pub fn plain(verdict: Verdict) -> Self {
        Self {
            verdict,
            reason: None,
            message: None,
            groups: Vec::new(),
            differences: BTreeSet::new(),
            collateral: false,
            unproven_loss: None,
            quota_full: false,
            change: String::new(),
            target: String::new(),
            ignored: BTreeSet::new(),
            partial: false,
            sidecars: Vec::new(),
            pods: 0,
            crashing: Vec::new(),
        }
    }

    /// No verdict, and why.
    pub fn undetermined(reason: UndeterminedReason, message: Option<String>) -> Self {
        Self { reason: Some(reason), message, ..Self::plain(Verdict::Undetermined) }
    }

    /// A rollout, or a person, should do something about it.
    pub fn differs(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Rejected | Verdict::NonConvergent | Verdict::Removed | Verdict::Missing | Verdict::Drifted
        )
    }

    /// Its Pods are as they would be admitted today, sidecars or none.
    pub fn is_as_rendered(&self) -> bool {
        matches!(self.verdict, Verdict::InSync | Verdict::NotInjected)
    }

    /// It has sidecars, and every one of them is as it would be injected today.
    pub fn is_cured(&self) -> bool {
        self.verdict == Verdict::InSync && !self.sidecars.is_empty()
    }

    /// Only a moment in between: an answer is on its way.
    pub fn is_transient(&self) -> bool {
        matches!(self.reason, Some(UndeterminedReason::Pending | UndeterminedReason::Settling))
    }

    /// The differing fields of Pods, as `container/pointer`; those patched by hand left out.
    pub fn fields(&self) -> BTreeSet<String> {
        fields(self.groups.iter().flat_map(|g| &g.differences))
    }
}

/// The fields of these differences, as `container/pointer`; those patched by hand left out.
pub fn fields<'a>(differences: impl Iterator<Item = &'a SidecarDifference>) -> BTreeSet<String> {
    differences
        .filter(|d| d.difference != Difference::MutatedLive)
        .flat_map(|d| {
            let whole = d.fields.is_empty().then(|| format!("{}/{}", d.sidecar, d.difference));
            compare::lasting_pointers(&d.fields)
                .into_iter()
                .map(|pointer| format!("{}{pointer}", d.sidecar))
                .chain(whole)
        })
        .collect()
}
