//! Pods that real controllers create, against our renderings of them (rule R12).

use std::collections::BTreeSet;

use crate::core::{
    inventory::Pod,
    model::{Name, words::Difference},
    verdict::{
        case::RenderSet,
        evidence::{Evidence, ObservedPod},
        judged::Judged,
        pod_group::PodGroup,
    },
};

/// A Pod counts as born after a rendering if the API server's clock, which is cut to seconds, says so by this much.
const BIRTH_MARGIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

fn born_since<'a>(e: Evidence<'_>, set: &RenderSet, pods: &[&'a Pod]) -> impl Iterator<Item = &'a Pod> {
    let first = set.first.wall;
    // No Pod is ever born as is only supposed.
    let real = e.policy.what_if.is_nothing();
    let since = move |pod: &&Pod| pod.created >= first + BIRTH_MARGIN && pod.made.patched_images.is_empty();
    pods.iter().copied().filter(move |pod| real && since(pod))
}

/// A Pod that a real controller created after the first rendering of the set and before its last, and that has a sidecar
/// otherwise than all of them. A sidecar that it lacks is no contradiction: its injector may have been down at that
/// moment.
pub(super) fn contradicting<'a>(
    e: Evidence<'_>,
    set: &RenderSet,
    pods: &[&'a Pod],
    groups: &[PodGroup],
) -> Option<(&'a Pod, BTreeSet<Name>)> {
    let last = set.confirmed.wall;
    born_since(e, set, pods).filter(|pod| pod.created < last).find_map(|pod| {
        let group = groups.iter().find(|g| g.pods.contains(&pod.key.name))?;
        let otherwise = group.differences.iter().filter(|d| d.difference != Difference::Missing);
        let sidecars: BTreeSet<_> = otherwise.map(|d| d.sidecar.clone()).collect();
        (!sidecars.is_empty()).then_some((pod, sidecars))
    })
}

/// A real Pod was born after the last rendering and is not like any of them.
pub(super) fn newer_than_the_last_rendering(
    e: Evidence<'_>,
    set: &RenderSet,
    pods: &[&Pod],
    groups: &[PodGroup],
) -> bool {
    let last = set.confirmed.wall;
    let differs = |pod: &Pod| {
        let group = groups.iter().find(|g| g.pods.contains(&pod.key.name));
        group.is_some_and(|g| g.differences.iter().any(|d| d.difference != Difference::Missing))
    };
    born_since(e, set, pods).any(|pod| pod.created >= last && differs(pod))
}

/// A Pod that was born since the first rendering and is as rendered.
pub(super) fn agreeing(e: Evidence<'_>, set: &RenderSet, pods: &[&Pod], judged: &Judged) -> Option<ObservedPod> {
    let differs = |pod: &Pod| judged.groups.iter().any(|g| g.pods.contains(&pod.key.name));
    let newest = born_since(e, set, pods).filter(|pod| !differs(pod)).map(|pod| pod.created).max()?;
    (!judged.sidecars.is_empty()).then(|| ObservedPod::Agrees(newest, judged.sidecars.iter().cloned().collect()))
}
