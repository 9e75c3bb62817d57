//! From the Pods of one revision and its renderings to a verdict.

mod absence;
mod compared;
mod observed_pods;

use std::time::Duration;

use self::{
    absence::{Lost, Unproven, lost},
    compared::Compared,
    observed_pods::{agreeing, contradicting, newer_than_the_last_rendering},
};
use super::{
    admission_evidence::{ContradictingPod, UNCERTAIN_RETRY, Wavering},
    case::{Failure, RenderSet},
    evidence::{Absence, Assessment, Evidence, ObservedPod, Want},
    judged::Judged,
    pod_group::PodGroup,
    ripe_pods::RipePods,
};
use crate::core::{
    compare::{self, SidecarSelection},
    config::Mode,
    injection::{VersionVector, entries_of},
    inventory::Revision,
    io::{Lock, WatchKind},
    model::{
        Name, WorkloadSnapshot,
        words::{Difference, UndeterminedReason, Verdict},
    },
};

/// The verdict on the Pods of one revision. Where the current one has none, yet, it is rendered all the same: that says what a
/// rollout would bring, and whether its Pods are refused.
pub(super) fn judge(e: Evidence<'_>, revision: &Revision<'_>, versions: &VersionVector) -> Assessment {
    let pods = RipePods::of(&revision.classes, e.policy.min_pod_age, e.now);
    let ripe = pods.next().map(|left| e.now.elapsed + left);
    if pods.is_empty() && !revision.classes.is_empty() {
        let judged = Judged::undetermined(UndeterminedReason::Settling, Some("its Pods were just created".to_owned()));
        return Assessment { look: ripe, ..Assessment::new(judged, Want::Nothing) };
    }
    let known = e.case.of(&revision.name);
    let assessment = if let Some(failure) = known.and_then(|known| known.failure_under(versions)) {
        failed(e, failure, known.and_then(|known| known.set_under(versions)), &pods)
    } else if let Some(set) = known.and_then(|known| known.set_under(versions)) {
        compare_with(e, set, &pods)
    } else {
        first_rendering(e, versions)
    };
    Assessment { look: ripe, ..assessment }
}

/// The last answer was no rendering.
pub(super) fn failed(e: Evidence<'_>, failure: &Failure, set: Option<&RenderSet>, pods: &RipePods<'_>) -> Assessment {
    let judged = match failure.reason {
        Some(reason) => Judged::undetermined(reason, Some(failure.message.clone())),
        None => Judged { message: Some(failure.message.clone()), ..Judged::plain(Verdict::Rejected) },
    };
    // A full quota says nothing about what was rendered before it was full: what differs then, differs.
    let full = failure.reason == Some(UndeterminedReason::QuotaFull);
    let still_known = set.filter(|_| full).map(|set| compare_with(e, set, pods).judged).filter(Judged::differs);
    let judged = match still_known {
        Some(known) => Judged { quota_full: true, ..known },
        None => Judged { pods: pods.count(), ..judged },
    };
    Assessment::new(judged, Want::Render(failure.retry))
}

/// No rendering holds: when to ask for one.
pub(super) fn first_rendering(e: Evidence<'_>, versions: &VersionVector) -> Assessment {
    let Evidence { workload: w, index, policy, now, .. } = e;
    // Rule R5: such a webhook makes the API server refuse every dry run, or, worse, leaves the Pod silently alone.
    let refusing = entries_of(w, index).find(|(_, entry)| entry.refuses_dry_run);
    if let Some((injector, _)) = refusing {
        let why =
            format!("{} {} does not say that dry runs have no side effects", injector.kind.as_str(), injector.name);
        let judged = Judged::undetermined(UndeterminedReason::DryRunUnsupported, Some(why));
        return Assessment::new(judged, Want::Nothing);
    }
    let moved = e.injection.unsettled_since(versions);
    // A scope that the workload left by the move is not in its vector any more, but settles all the same.
    let left = e.case.set().and_then(|s| e.injection.cause(&s.versions, versions)).map(|g| g.at.elapsed);
    let due = moved.into_iter().chain(left).max().map_or(now.elapsed, |at| (at + policy.settle).max(now.elapsed));
    let reason = if due > now.elapsed { UndeterminedReason::Settling } else { UndeterminedReason::Pending };
    Assessment::new(Judged::undetermined(reason, None), Want::Render(due))
}

fn compare_with(e: Evidence<'_>, set: &RenderSet, pods: &RipePods<'_>) -> Assessment {
    let Evidence { policy, .. } = e;
    let selection = SidecarSelection { named: policy.sidecars.clone() };
    let compared = Compared::of(e, set, pods, &selection);
    let groups = compared.groups();
    let newest = set.renderings.last();
    let judged = Judged {
        sidecars: newest.map(|r| selection.sidecars(r, None).into_iter().collect()).unwrap_or_default(),
        target: e.targets.of(&set.renderings, &selection, &set.mask, &policy.ignore),
        pods: pods.count(),
        ignored: compared.ignored().clone(),
        ..Judged::plain(Verdict::InSync)
    };
    if groups.is_empty() {
        let found = nothing_differs(e, set, pods, &compared, judged);
        return Assessment { absence: Absence::Nothing, ..found };
    }
    let wanted = match (compared.looks_reordered(), set.mask.is_empty()) {
        (true, _) => RENDERINGS_IF_REORDERED,
        // Two that differ: is it a volatile field, or did the injector move in between? A third one tells.
        (false, false) => RENDERINGS_IF_VOLATILE,
        (false, true) => RENDERINGS,
    };
    if set.renderings.len() < wanted {
        let another = Want::Another(set.confirmed.elapsed + policy.render_spacing);
        return Assessment::new(Judged { pods: pods.count(), ..Judged::default() }, another);
    }
    if let Some(doubtful) = doubtful(e, set, pods, &compared, &judged.sidecars) {
        return doubtful;
    }
    let lost = lost(e, set, groups, &hidden(e, set, pods, &selection));
    if let Lost::Unproven(unproven) = &lost
        && unproven.rest.is_empty()
        && !unproven.told
    {
        let why = Some(unproven.why.clone());
        let unavailable = Judged::undetermined(UndeterminedReason::InjectorUnavailable, why);
        let judged = Judged { pods: pods.count(), sidecars: judged.sidecars, ..unavailable };
        let absence = Absence::Unproven(unproven.lacking.clone());
        return Assessment { absence, ..Assessment::new(judged, unproven.want.clone()) };
    }
    let mut assessment = differing(e, set, pods, &compared, judged, &lost);
    assessment.absence = match lost {
        Lost::Nothing => Absence::Nothing,
        Lost::Proven => Absence::Believed,
        Lost::Unproven(Unproven { want, lacking, .. }) => {
            // What is lost is not forgotten over what differs beside it.
            if assessment.want == Want::Periodic {
                assessment.want = want;
            }
            Absence::Unproven(lacking)
        }
    };
    assessment
}

/// Some Pods differ, and what differs is believed, or most of it.
fn differing(
    e: Evidence<'_>,
    set: &RenderSet,
    pods: &RipePods<'_>,
    compared: &Compared<'_>,
    mut judged: Judged,
    lost: &Lost,
) -> Assessment {
    let Evidence { workload: w, policy, now, .. } = e;
    let newest = set.renderings.last();
    let mut groups = compared.groups();
    if let Lost::Unproven(unproven) = lost {
        judged.message = Some(unproven.why.clone());
        judged.unproven_loss = Some(unproven.why.clone());
        groups = if unproven.told { groups } else { &unproven.rest };
    }
    if e.index.unavailable().any(|(source, _)| matches!(source.kind, WatchKind::Injectors(_))) {
        let why =
            "the configuration of injectors may not be watched here: that one is being exchanged would not be seen";
        // A person knows what he may not see; a machine must not roll without seeing it.
        if policy.mode == Mode::Enforce && !policy.one_shot {
            let forbidden = Judged::undetermined(UndeterminedReason::Forbidden, Some(why.to_owned()));
            let (sidecars, pods) = (judged.sidecars, judged.pods);
            return Assessment::new(Judged { sidecars, pods, ..forbidden }, Want::Periodic);
        }
        judged.message.get_or_insert_with(|| why.to_owned());
    }
    judged.differences = groups.iter().flat_map(|g| &g.differences).map(|d| d.difference).collect();
    let mut fields = groups.iter().flat_map(|g| &g.differences).flat_map(|d| &d.fields);
    if let Some(newest) = newest
        && fields.any(|field| field.pointer == compare::ORDER)
    {
        judged.target = compare::with_order(&judged.target, newest);
    }
    judged.collateral = groups.iter().any(|g| !g.collateral.is_empty());
    judged.change = change(groups.iter());
    judged.groups = groups.to_vec();
    judged.verdict = verdict(w, e.lock, &judged);
    debug_assert!(now.elapsed >= set.first.elapsed, "time went backwards");
    // Whether it was the injector that moved unseen, or the answer that is another one for us, one more rendering tells.
    let untold = newer_than_the_last_rendering(e, set, pods, compared);
    let want = if untold { Want::Another(now.elapsed) } else { Want::Periodic };
    Assessment { observed: agreeing(e, set, pods, compared, &judged), ..Assessment::new(judged, want) }
}

/// What differs, and is not to be believed.
fn doubtful(
    e: Evidence<'_>,
    set: &RenderSet,
    pods: &RipePods<'_>,
    compared: &Compared<'_>,
    sidecars: &[Name],
) -> Option<Assessment> {
    let (groups, now) = (compared.groups(), e.now);
    let doubt = |reason, why| {
        let doubtful = Judged::undetermined(reason, Some(why));
        Judged { pods: pods.count(), sidecars: sidecars.to_vec(), ..doubtful }
    };
    let times = (e.policy.resync, now.elapsed);
    if let Some(what) = &set.unstable {
        let known = e.admission.wavers(&e.workload.key, &set.versions, &what.container, times);
        let confirmed = set.confirmed.elapsed;
        // Who looked has found that it was a single change, or has not looked for long. What it was given long ago and what it is
        // given now are no two answers.
        let retry = || match confirmed + e.policy.render_spacing {
            soon if confirmed + UNCERTAIN_RETRY > now.elapsed => Want::Another(soon),
            past => Want::Render(past),
        };
        let want = known.map_or_else(retry, |known| once_more(&known, set, e.policy.render_spacing));
        return Some(Assessment::new(doubt(UndeterminedReason::UnstableRendering, what.to_string()), want));
    }
    let differing = || groups.iter().flat_map(|g| &g.differences);
    let namespace = &e.workload.key.namespace;
    if let Some(found) = e.admission.flapping(&e.workload.key, &set.versions, differing(), times) {
        let want = once_more(&found, set, e.policy.render_spacing);
        return Some(Assessment::new(doubt(UndeterminedReason::UnstableRendering, found.why), want));
    }
    if let Some((pod, sidecars)) = contradicting(e, set, pods, compared) {
        let name = &pod.key.name;
        let why = format!("Pod {name} was created meanwhile and is not as its dry run");
        let judged = doubt(UndeterminedReason::DryRunSensitive, why);
        let observed = Some(ObservedPod::Contradicts(ContradictingPod {
            pod: pod.key.clone(),
            uid: pod.uid.clone(),
            born: pod.created,
            sidecars,
            evidence: format!("Pod {}/{name}", pod.key.namespace),
        }));
        return Some(Assessment { observed, ..Assessment::new(judged, Want::Periodic) });
    }
    if let Some(evidence) = e.admission.contradicted(&set.versions, namespace, differing().map(|d| &d.sidecar)) {
        let why = format!("a real Pod was not as its dry run: {evidence}");
        return Some(Assessment::new(doubt(UndeterminedReason::DryRunSensitive, why), Want::Periodic));
    }
    None
}

/// What is wanted of a workload whose injector gives different answers.
fn once_more(found: &Wavering, set: &RenderSet, spacing: Duration) -> Want {
    match () {
        // A single change between two renderings looks the same, and is told as soon as it is seen to stay.
        () if found.looks && !found.again => Want::Another(set.confirmed.elapsed + spacing * set.made),
        // It may have made up its mind.
        () if found.looks && set.made > 1 => Want::Another(set.confirmed.elapsed + UNCERTAIN_RETRY),
        () if found.looks => Want::Another(found.until),
        // What it was given long ago and what it is given then are no two answers.
        () => Want::Render(found.until),
    }
}

/// What is masked and lost all the same: in the newest rendering it is not.
fn hidden(e: Evidence<'_>, set: &RenderSet, pods: &RipePods<'_>, selection: &SidecarSelection) -> Vec<PodGroup> {
    if set.mask.pointers.is_empty() {
        return Vec::new();
    }
    let renderings = set.newest().cloned().into_iter().collect();
    let newest = RenderSet { renderings, mask: set.mask.orders(), ..set.clone() };
    Compared::of(e, &newest, pods, selection).groups().to_vec()
}

/// Every Pod is like a rendering: what that says.
fn nothing_differs(
    e: Evidence<'_>,
    set: &RenderSet,
    pods: &RipePods<'_>,
    compared: &Compared<'_>,
    mut judged: Judged,
) -> Assessment {
    let masked = only_masked(e, set, pods);
    if masked && set.renderings.len() < RENDERINGS_IF_VOLATILE {
        let another = Want::Another(set.confirmed.elapsed + e.policy.render_spacing);
        return Assessment::new(Judged { pods: pods.count(), ..Judged::default() }, another);
    }
    if judged.sidecars.is_empty() {
        judged.verdict = Verdict::NotInjected;
    } else if e.policy.regardless_of_drift {
        REGARDLESS.clone_into(&mut judged.change);
    }
    let heals = masked && set.healing.as_ref().is_some_and(|healing| healing.under_way());
    let want = if heals { Want::Render(set.confirmed.elapsed + UNCERTAIN_RETRY) } else { Want::Periodic };
    Assessment { observed: agreeing(e, set, pods, compared, &judged), ..Assessment::new(judged, want) }
}

/// Whether it is only what is masked that makes these Pods equal to what was rendered: each matches no rendering else.
fn only_masked(e: Evidence<'_>, set: &RenderSet, pods: &RipePods<'_>) -> bool {
    if set.mask.pointers.is_empty() {
        return false;
    }
    let unmasked = RenderSet { mask: set.mask.orders(), ..set.clone() };
    let selection = SidecarSelection { named: e.policy.sidecars.clone() };
    !Compared::of(e, &unmasked, pods, &selection).groups().is_empty()
}

/// What a rollout changes that a person wants although nothing differs.
const REGARDLESS: &str = "restart regardless of drift";

/// What differs is asked for twice before anything is said (rule R8) ...
const RENDERINGS: usize = 2;
/// ... and once more where these two differ ...
const RENDERINGS_IF_VOLATILE: usize = 3;
/// ... and where it is only the order that differs, more often: an injector that walks over a map gives two values in the
/// same order twice in a row every second time.
const RENDERINGS_IF_REORDERED: usize = 5;

pub(super) fn verdict(w: &WorkloadSnapshot, lock: Option<&Lock>, judged: &Judged) -> Verdict {
    // Pods patched by hand prove nothing about our rollout.
    let ours = judged.differences.iter().any(|d| *d != Difference::MutatedLive);
    // That the stamp names this very target proves nothing: the injector may have gone to and fro, and a Pod that was
    // born meanwhile differs again (rule C11).
    let locked = lock.is_some_and(|lock| {
        lock.template == w.template.hash
            && judged.fields().iter().all(|field| lock.fields.iter().any(|locked| compare::speaks_of(locked, field)))
    });
    if ours && locked {
        Verdict::NonConvergent
    } else if judged.differences.contains(&Difference::Removed) {
        Verdict::Removed
    } else if judged.differences.contains(&Difference::Missing) {
        Verdict::Missing
    } else {
        Verdict::Drifted
    }
}

/// The change in short: that of the largest group that a rollout would be for.
pub fn change<'a>(mut groups: impl Iterator<Item = &'a PodGroup> + Clone) -> String {
    let by_hand = |g: &&PodGroup| g.differences.iter().all(|d| d.difference == Difference::MutatedLive);
    let first = groups.clone().next();
    let group = groups.find(|g| !by_hand(g)).or(first);
    group.map(|g| compare::title(&g.differences)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
