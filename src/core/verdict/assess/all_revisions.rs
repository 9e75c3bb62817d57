//! One verdict of a workload whose Pods are of several revisions: each Pod is compared with the rendering of its own (rule
//! C8).

use std::{collections::BTreeSet, time::Duration};

use super::unverifiable_revision::unnamed;
use crate::core::{
    injection::VersionVector,
    inventory::Revision,
    model::{Name, words::UndeterminedReason, words::Verdict},
    verdict::{
        absences::Lacking,
        evidence::{Absence, Assessment, Evidence, ObservedPod, Want},
        judge::{self, change, verdict},
        judged::Judged,
        pod_group::PodGroup,
    },
};

/// So many revisions of a workload are rendered.
const MOST: usize = 8;

/// The verdict on all Pods of a workload.
pub(super) fn assess(e: Evidence<'_>) -> Assessment {
    let versions = e.injection.versions_of(e.workload, e.index);
    let all: Vec<_> = e.revisions.iter().take(MOST).map(|r| (r, of(e, r, &versions))).collect();
    let (want, revision, look) = wanted(e, &all);
    let observed = all.iter().filter_map(|(_, a)| a.observed.clone()).max_by_key(weight);
    let absence = absence(e, &all);
    let mut judged = together(e, &all);
    if judged.is_as_rendered() && e.revisions.len() > MOST {
        let why = format!("its Pods are of {} revisions, of which the newest {MOST} are judged", e.revisions.len());
        judged = Judged { partial: true, ..undetermined_beside(&judged, UndeterminedReason::Rolling, why) };
    }
    Assessment { judged, want, revision, look, observed, absence }
}

fn of(e: Evidence<'_>, revision: &Revision<'_>, versions: &VersionVector) -> Assessment {
    match unnamed(revision) {
        None => judge::judge(e, revision, versions),
        Some(why) => {
            let judged = Judged::undetermined(UndeterminedReason::UnsupportedOwner, Some(why));
            Assessment::new(judged, Want::Nothing)
        }
    }
}

/// What is lost and not proven counts for more than what is; else what was found of the current revision.
fn absence(e: Evidence<'_>, all: &[(&Revision<'_>, Assessment)]) -> Absence {
    let unproven = all.iter().filter_map(|(revision, a)| match &a.absence {
        Absence::Unproven(lacking) => Some(Lacking { revision: older(e, revision), ..lacking.clone() }),
        _ => None,
    });
    if let Some(lacking) = unproven.reduce(|lacking, other| lacking.beside(&other)) {
        return Absence::Unproven(lacking);
    }
    let believed = all.iter().map(|(_, a)| &a.absence).find(|absence| **absence == Absence::Believed);
    believed.or_else(|| all.first().map(|(_, a)| &a.absence)).cloned().unwrap_or_default()
}

/// Its name, if it is not the current revision.
fn older(e: Evidence<'_>, revision: &Revision<'_>) -> Option<Name> {
    let current = e.revisions.first().is_some_and(|current| current.name == revision.name);
    (!current).then(|| revision.name.clone())
}

/// A Pod that contradicts its rendering counts for more than one that agrees; of those the youngest tells most.
fn weight(observed: &ObservedPod) -> (bool, jiff::Timestamp) {
    match observed {
        ObservedPod::Agrees(born, _) => (false, *born),
        ObservedPod::Contradicts(found) => (true, found.born),
    }
}

fn together(e: Evidence<'_>, all: &[(&Revision<'_>, Assessment)]) -> Judged {
    let every = || all.iter().map(|(_, a)| &a.judged);
    let pods = every().map(|judged| judged.pods).sum();
    let Some(current) = every().next() else { return Judged::default() };
    // As long as an answer is on its way nothing is said.
    let asked = |a: &&Assessment| a.judged.is_transient() && matches!(a.want, Want::Render(_) | Want::Another(_));
    if let Some(waits) = all.iter().map(|(_, a)| a).find(asked) {
        return Judged { pods, ..waits.judged.clone() };
    }
    let differs = |judged: &&Judged| judged.differs() && judged.verdict != Verdict::Rejected;
    let rejected = |judged: &&Judged| judged.verdict == Verdict::Rejected;
    let untold = |judged: &&Judged| judged.verdict == Verdict::Undetermined && !judged.is_transient();
    if rejected(&current) {
        Judged { pods, ..current.clone() }
    } else if every().any(|judged| differs(&judged)) {
        differing(e, &every().collect::<Vec<_>>())
    } else if let Some(first) = every().find(rejected).or_else(|| every().find(untold)) {
        let sidecars = sidecars(every());
        Judged { pods, sidecars, partial: current.is_as_rendered() && current.pods > 0, ..first.clone() }
    } else if let Some(young) = every().find(|judged| judged.is_transient()) {
        young.clone()
    } else {
        let run = || every().filter(|judged| judged.pods > 0);
        let told = run().find(|judged| judged.verdict == Verdict::InSync).or_else(|| run().next());
        Judged { pods, ignored: ignored(every()), ..told.unwrap_or(current).clone() }
    }
}

/// The Pods of some revision differ.
fn differing(e: Evidence<'_>, all: &[&Judged]) -> Judged {
    let mut groups: Vec<PodGroup> = Vec::new();
    for group in all.iter().flat_map(|judged| &judged.groups) {
        let alike =
            |known: &&mut PodGroup| known.differences == group.differences && known.collateral == group.collateral;
        match groups.iter_mut().find(alike) {
            Some(known) => known.pods.extend(group.pods.iter().cloned()),
            None => groups.push(group.clone()),
        }
    }
    for group in &mut groups {
        group.pods.sort_unstable();
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.pods.len()));
    // A rollout brings what is rendered of the current revision.
    let target = all.iter().map(|judged| &judged.target).find(|target| !target.is_empty());
    let mut judged = Judged {
        message: all.iter().find_map(|judged| judged.message.clone().filter(|_| judged.differs())),
        differences: all.iter().flat_map(|judged| &judged.differences).copied().collect(),
        collateral: groups.iter().any(|group| !group.collateral.is_empty()),
        unproven_loss: all.iter().find_map(|judged| judged.unproven_loss.clone()),
        quota_full: all.iter().any(|judged| judged.quota_full),
        change: change(groups.iter()),
        target: target.cloned().unwrap_or_default(),
        ignored: ignored(all.iter().copied()),
        sidecars: sidecars(all.iter().copied()),
        pods: all.iter().map(|judged| judged.pods).sum(),
        groups,
        ..Judged::plain(Verdict::Drifted)
    };
    judged.verdict = verdict(e.workload, e.lock, &judged);
    judged
}

/// Those of the current revision, which a rollout would bring; where it has none, those of another.
fn sidecars<'a>(mut all: impl Iterator<Item = &'a Judged>) -> Vec<Name> {
    all.find(|judged| !judged.sidecars.is_empty()).map(|judged| judged.sidecars.clone()).unwrap_or_default()
}

fn ignored<'a>(all: impl Iterator<Item = &'a Judged>) -> BTreeSet<crate::core::compare::IgnoreUse> {
    all.flat_map(|judged| &judged.ignored).cloned().collect()
}

fn undetermined_beside(judged: &Judged, reason: UndeterminedReason, why: String) -> Judged {
    let (sidecars, pods) = (judged.sidecars.clone(), judged.pods);
    Judged { sidecars, pods, ..Judged::undetermined(reason, Some(why)) }
}

/// What is wanted next, of which revision if not of the current one, and when to look again in any case.
fn wanted(e: Evidence<'_>, all: &[(&Revision<'_>, Assessment)]) -> (Want, Option<Name>, Option<Duration>) {
    let of = |(revision, _): &(&Revision<'_>, Assessment)| older(e, revision);
    let looks = all.iter().flat_map(|(_, a)| [a.look, if let Want::Look(at) = a.want { Some(at) } else { None }]);
    let look = looks.flatten().min();
    let due = |(_, a): &&(&Revision<'_>, Assessment)| match a.want {
        Want::Render(at) | Want::Another(at) => Some(at),
        Want::Nothing | Want::Periodic | Want::Look(_) => None,
    };
    if let Some(next) = all.iter().filter(|one| due(one).is_some()).min_by_key(due) {
        return (next.1.want.clone(), of(next), look);
    }
    let confirmed = |(revision, _): &&(&Revision<'_>, Assessment)| {
        e.case.of(&revision.name).and_then(|known| known.set.as_ref()).map(|set| set.confirmed.elapsed)
    };
    let periodic = all.iter().filter(|(_, a)| a.want == Want::Periodic).min_by_key(confirmed);
    // That some Pods are too young to be judged puts the periodic look off for nobody.
    periodic.map_or((Want::Nothing, None, look), |next| (Want::Periodic, of(next), look))
}
