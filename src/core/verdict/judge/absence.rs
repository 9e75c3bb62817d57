//! What runs and is not rendered any more (rule R7): containers, and fields.

use std::collections::BTreeSet;

use crate::core::{
    compare::{Given, Loss, split},
    injection::Reach,
    verdict::{
        absences::Lacking,
        case::RenderSet,
        evidence::{Evidence, Want},
        pod_group::PodGroup,
    },
};

/// Renderings without it before a loss may be believed.
const RENDERINGS: u32 = 3;

/// What is lost.
pub(super) enum Lost {
    /// Nothing.
    Nothing,
    /// All that is was proven to be.
    Proven,
    /// Not all of it was.
    Unproven(Unproven),
}

/// What is lost, as far as it is not believed.
pub(super) struct Unproven {
    /// What is more than that: it is told at once.
    pub rest: Vec<PodGroup>,
    /// One sentence.
    pub why: String,
    /// It may be told, but not acted on.
    pub told: bool,
    /// What would help.
    pub want: Want,
    /// For those that look for a witness.
    pub lacking: Lacking,
}

/// What is lost and not proven to be. An injector that is down and fails open looks just like one that gives something no more,
/// and so does one that treats us differently.
///
/// It is proof, at once, where everything that may touch these Pods fails closed; where there is one that answers for all, and it
/// gave something in this very rendering; and of a field where another container of it was given the same. Else it takes
/// three renderings over `--absence`, and a witness around each of the last of them. Where nothing is listed any more that
/// may touch these Pods, it is told after the three renderings, but an injector that no client can list may be down: a person
/// has to say that it may be acted on.
pub(super) fn lost(e: Evidence<'_>, set: &RenderSet, groups: &[PodGroup], hidden: &[PodGroup]) -> Lost {
    let mut losses = BTreeSet::new();
    let mut rest = Vec::new();
    for group in groups {
        let found = split(&group.differences, &group.collateral);
        losses.extend(found.losses);
        if !found.rest.is_empty() {
            rest.push(PodGroup { differences: found.rest, ..group.clone() });
        }
    }
    losses.extend(hidden.iter().flat_map(|group| split(&group.differences, &group.collateral).losses));
    if losses.is_empty() {
        return Lost::Nothing;
    }
    let reach = Reach::of(e.workload, e.index);
    let given = set.newest().map(Given::of).unwrap_or_default();
    losses.retain(|loss| !given.holds(loss));
    let answered = |reach: &Reach| reach.fails_closed() || (reach.sole && given.has_containers());
    let Some(first) = losses.first().cloned() else { return Lost::Proven };
    if reach.as_ref().is_some_and(answered) || e.absences.believes(&e.workload.key, &losses, set.first.elapsed) {
        return Lost::Proven;
    }
    let span = set.confirmed.elapsed.saturating_sub(set.first.elapsed);
    let lasting = set.made >= RENDERINGS && span >= e.policy.absence;
    let told = lasting && reach.as_ref().is_some_and(|reach| !reach.listed);
    let many = match losses.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let why = why(&first, &many, lasting, told);
    let want = if lasting { Want::Periodic } else { Want::Render(set.first.elapsed + e.policy.absence) };
    let lacking = Lacking {
        wants_witness: lasting && reach.as_ref().is_some_and(|reach| reach.listed),
        losses,
        open: reach.unwrap_or_default().open,
        first: set.first.elapsed,
        last: set.confirmed.elapsed,
        revision: None,
    };
    Lost::Unproven(Unproven { rest, why, told, want, lacking })
}

fn why(first: &Loss, many: &str, lasting: bool, told: bool) -> String {
    let runs = format!("{first} runs{many}");
    match (told, lasting) {
        (true, _) => {
            format!("{runs}, and nothing is listed that gives it; an injector that cannot be listed may be down")
        }
        (_, false) => format!("{runs}, but was not rendered; an injector that is down would look the same"),
        (_, true) => {
            // An injector that looks at the caller gives whole sidecars to controllers only.
            let caller =
                if first.is_whole() { "; one that looks at who asks needs --render-as controllers" } else { "" };
            format!("{runs}, but was not rendered, nor for any other workload since{caller}")
        }
    }
}
