//! Sidecars that run and are not rendered any more (rule R7).

use std::collections::BTreeSet;

use crate::core::{
    injection::injectors_of,
    model::{Name, words::Difference},
    verdict::{
        admission_evidence::UNCERTAIN_RETRY,
        case::RenderSet,
        evidence::{Evidence, Want},
        pod_group::PodGroup,
    },
};

/// Renderings without a sidecar before its absence is believed.
const ABSENT_RENDERINGS: usize = 3;

/// An absence that is not believed, yet.
pub(super) struct Unproven {
    /// One sentence.
    pub why: String,
    /// What would help.
    pub want: Want,
    /// It lasts long enough, and what is missing is somebody who was given this sidecar meanwhile.
    pub sidecar: Option<Name>,
}

/// A sidecar that runs and is not rendered: an injector that is down and ignores failures looks just like that, and so
/// does one that treats us differently. It is believed after three renderings over at least ten minutes, and only where
/// nothing is left that may touch these Pods, or the same configuration gave another workload this very sidecar meanwhile.
pub(super) fn unproven_absence(e: Evidence<'_>, set: &RenderSet, groups: &[PodGroup]) -> Option<Unproven> {
    let removed = groups.iter().flat_map(|g| &g.differences).filter(|d| d.difference == Difference::Removed);
    let names: BTreeSet<&Name> = removed.map(|d| &d.sidecar).collect();
    let first = names.first()?;
    let span = set.confirmed.elapsed.saturating_sub(set.first.elapsed);
    if set.renderings.len() < ABSENT_RENDERINGS || span < e.policy.absence {
        let why = format!("{first} runs, but was not rendered; an injector that is down would look the same");
        let want = Want::Another(set.first.elapsed + e.policy.absence);
        return Some(Unproven { why, want, sidecar: None });
    }
    // A configuration that we may not list is not one that is gone.
    let nothing_left = e.index.knows_injectors() && injectors_of(e.workload, e.index).next().is_none();
    let unseen = names.iter().find(|name| !e.admission.witnessed(&set.versions, name, set.first.elapsed));
    let unseen = unseen.filter(|_| !nothing_left)?;
    let why = format!("{unseen} runs, but was not rendered, nor for any other workload since");
    let want = Want::Render(set.confirmed.elapsed + UNCERTAIN_RETRY);
    Some(Unproven { why, want, sidecar: Some((*unseen).clone()) })
}
