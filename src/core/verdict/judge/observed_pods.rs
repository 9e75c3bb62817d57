//! Pods that real controllers create, against our renderings of them (rule R12).

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::compared::Compared;
use crate::core::{
    inventory::Pod,
    model::{Name, words::Difference},
    verdict::{
        case::RenderSet,
        evidence::{Evidence, ObservedPod},
        judged::Judged,
        ripe_pods::{RipeClass, RipePods},
    },
};

/// A Pod counts as born after a rendering if the API server's clock, which is cut to seconds, says so by this much.
const BIRTH_MARGIN: SignedDuration = SignedDuration::from_secs(2);

/// The classes of which Pods may tell something: nobody patched them, and they are real. No Pod is ever born as is only
/// supposed.
fn telling<'a>(e: Evidence<'_>, pods: &RipePods<'a>) -> impl Iterator<Item = RipeClass<'a>> {
    let real = e.policy.what_if.is_nothing();
    pods.classes().filter(move |class| real && class.made().patched_images.is_empty())
}

/// From then on Pods are surely born after the first rendering since something moved.
fn since(set: &RenderSet) -> Timestamp {
    set.first.wall.checked_add(BIRTH_MARGIN).unwrap_or(Timestamp::MAX)
}

/// How a Pod has its sidecars otherwise than rendered. A sidecar that it lacks is no contradiction: its injector may have been
/// down at that moment.
fn otherwise(pod: &Pod, compared: &Compared<'_>) -> BTreeSet<Name> {
    let differences = compared.group_of(pod).into_iter().flat_map(|group| &group.differences);
    differences.filter(|d| d.difference != Difference::Missing).map(|d| d.sidecar.clone()).collect()
}

/// A Pod that a real controller created after the first rendering of the set and before its last, and that has a sidecar
/// otherwise than all of them.
pub(super) fn contradicting<'a>(
    e: Evidence<'_>,
    set: &RenderSet,
    pods: &RipePods<'a>,
    compared: &Compared<'_>,
) -> Option<(&'a Pod, BTreeSet<Name>)> {
    let (first, last) = (since(set), set.confirmed.wall);
    let born = telling(e, pods).flat_map(|class| class.created_since(first)).filter(|pod| pod.created < last);
    let differ = born.map(|pod| (pod, otherwise(pod, compared))).filter(|(_, sidecars)| !sidecars.is_empty());
    differ.min_by(|(a, _), (b, _)| a.key.cmp(&b.key))
}

/// A real Pod was born after the last rendering and is not like any of them.
pub(super) fn newer_than_the_last_rendering(
    e: Evidence<'_>,
    set: &RenderSet,
    pods: &RipePods<'_>,
    compared: &Compared<'_>,
) -> bool {
    let last = set.confirmed.wall.max(since(set));
    let mut born = telling(e, pods).flat_map(|class| class.created_since(last));
    born.any(|pod| !otherwise(pod, compared).is_empty())
}

/// A Pod that was born since the first rendering and is as rendered: the youngest one.
pub(super) fn agreeing(
    e: Evidence<'_>,
    set: &RenderSet,
    pods: &RipePods<'_>,
    compared: &Compared<'_>,
    judged: &Judged,
) -> Option<ObservedPod> {
    let first = since(set);
    let agrees = |pod: &&Pod| compared.group_of(pod).is_none();
    let youngest = |class: RipeClass<'_>| class.created_since(first).find(agrees).map(|pod| pod.created);
    let newest = telling(e, pods).filter_map(youngest).max()?;
    (!judged.sidecars.is_empty()).then(|| ObservedPod::Agrees(newest, judged.sidecars.iter().cloned().collect()))
}
