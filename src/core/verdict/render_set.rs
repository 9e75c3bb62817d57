//! Renderings of one revision that agree in what they depend on, and what one more says of the others.

use std::{sync::Arc, time::Duration};

use super::{
    case::{RenderSet, RevisionCase},
    mask_healing::{self, Healed, Healing},
};
use crate::core::{
    compare::{self, Mask, RenderedFor, Rendering, Unstable},
    injection::VersionVector,
    model::time::Now,
};

/// An injector that is down for a moment interrupts a set so often.
const GONE_AND_BACK: u8 = 2;

/// No verdict asks for more, and each new one is compared with all. While others keep an answer open, one more comes every few
/// minutes.
const KEPT: usize = 5;

/// What is asked for twice before anything is said (rule R8).
const CARRIED: usize = 2;

/// Adds a rendering to a revision's set, or begins a new set with it. Renderings that agree stay together whatever moved between
/// them: it changed nothing. `spacing`: two that are closer to each other do not count as two. Returns whether it shows that what
/// is rendered is another thing now.
pub(super) fn add_rendering(
    case: &mut RevisionCase,
    versions: &Arc<VersionVector>,
    rendering: Rendering,
    spacing: Duration,
    now: Now,
) -> bool {
    let (set, changed, carried) = carry(case, versions, &rendering, now);
    let fresh = |rendering| begin(versions, rendering, now);
    let Some(mut set) = set else {
        case.set = Some(fresh(rendering));
        return changed;
    };
    if carried && set.renderings.len() < CARRIED && now.elapsed >= set.confirmed.elapsed + spacing {
        set.renderings.push(rendering);
        set.made = set.made.saturating_add(1);
        set.confirmed = now;
        case.set = Some(set);
        return false;
    }
    // One more look at what differs (rule R8), or at what would not settle.
    let more = case.adding;
    let between: Result<Vec<Mask>, _> = set.renderings.iter().map(|r| compare::volatile(r, &rendering)).collect();
    // Two that agree after one that differed: no volatile field, the injector moved after the first.
    // What is volatile beside it says nothing about that.
    let settled = |masks: &[Mask]| match masks {
        [first, last] if last.is_empty() => !first.is_empty(),
        [first, last] => !mask_healing::moved(&set.mask, first, last).pointers.is_empty(),
        _ => false,
    };
    match between {
        Ok(mut masks) if more && settled(&masks) => {
            let (set, moved) = begin_at_last(set, masks.pop().unwrap_or_default(), rendering, now);
            case.set = Some(set);
            return moved;
        }
        Ok(masks) if more => {
            for mask in masks {
                set.mask.merge(mask);
            }
            set.renderings.push(rendering);
            if set.renderings.len() > KEPT {
                set.renderings.remove(0);
            }
            (set.newest, set.unstable) = (None, None);
            (set.made, set.interrupted) = (set.made.saturating_add(1), 0);
        }
        // A container went or came: an injector that is down for a moment does not waver, but one that is down again does.
        Err(Unstable { images: (None, _) | (_, None), .. }) if more && set.interrupted < GONE_AND_BACK => {
            case.set = Some(RenderSet { interrupted: set.interrupted + 1, ..fresh(rendering) });
            return false;
        }
        Err(unstable) if more => {
            let last = set.renderings.pop();
            let agree = last.as_ref().is_some_and(|last| is_like(last, &rendering, &set.mask));
            set.made = if agree { set.made.saturating_add(1) } else { 1 };
            set.renderings = last.into_iter().chain([rendering]).collect();
            (set.newest, set.unstable) = (None, Some(unstable.into()));
        }
        // Nothing new.
        Ok(masks) if masks.iter().all(|mask| within(mask, &set.mask)) => {
            let follows = first_of_another_pod(&set, &rendering).then(|| rendering.clone());
            set.newest = (!set.mask.is_empty()).then(|| rendering.clone());
            (set.made, set.interrupted, set.unstable) = (set.made.saturating_add(1), 0, None);
            heal(&mut set, rendering, now);
            set.renderings.extend(follows);
        }
        // The injector changed and nothing told us: begin again.
        Ok(_) | Err(_) => {
            let moved = set.renderings.last().is_some_and(|last| !compare::only_loses(last, &rendering));
            case.set = Some(fresh(rendering));
            return moved;
        }
    }
    set.confirmed = now;
    case.set = Some(set);
    false
}

/// The set that a rendering may join, whether the rendering shows another thing than it, and whether it was made under other
/// versions.
fn carry(
    case: &mut RevisionCase,
    versions: &Arc<VersionVector>,
    rendering: &Rendering,
    now: Now,
) -> (Option<RenderSet>, bool, bool) {
    match case.set.take() {
        None => (None, false, false),
        Some(set) if set.versions == *versions => (Some(set), false, false),
        Some(set) => {
            let (changed, carried) = (!speaks_of(&set, rendering), agrees(&set, rendering));
            let set = carried.then(|| RenderSet { versions: versions.clone(), first: now, ..set });
            (set, changed, carried)
        }
    }
}

/// The set of the last rendering and this one, which agree: what was there before is not rendered any more. Returns whether an
/// injector moved, too, and not only went away.
fn begin_at_last(mut set: RenderSet, mask: Mask, rendering: Rendering, now: Now) -> (RenderSet, bool) {
    let last = set.renderings.pop();
    let moved = last.as_ref().is_some_and(|last| !compare::only_loses(last, &rendering));
    let renderings = last.into_iter().chain([rendering]).collect();
    let (first, healing, newest, unstable) = (set.confirmed, None, None, None);
    (RenderSet { renderings, newest, mask, healing, unstable, made: 2, first, confirmed: now, ..set }, moved)
}

/// Whether only this rendering shows what follows from the Pod that it is for: all others are for one and the same (rule R3).
fn first_of_another_pod(set: &RenderSet, rendering: &Rendering) -> bool {
    let differs = |r: &Rendering| RenderedFor::of(r) != RenderedFor::of(rendering) && r.rendered != rendering.rendered;
    let alone = set.renderings.windows(2).all(|two| match two {
        [a, b] => RenderedFor::of(a) == RenderedFor::of(b),
        _ => true,
    });
    alone && set.renderings.iter().all(differs)
}

fn begin(versions: &Arc<VersionVector>, rendering: Rendering, now: Now) -> RenderSet {
    RenderSet {
        versions: versions.clone(),
        renderings: vec![rendering],
        newest: None,
        mask: Mask::default(),
        healing: None,
        made: 1,
        interrupted: 0,
        unstable: None,
        first: now,
        confirmed: now,
    }
}

/// Follows how the masked fields of a set do.
fn heal(set: &mut RenderSet, rendering: Rendering, now: Now) {
    let Some(newest) = set.renderings.last().filter(|_| !set.mask.is_empty()) else { return };
    let begin = || Box::new(Healing::of(newest.clone(), set.confirmed.elapsed));
    let mut healing = set.healing.take().unwrap_or_else(begin);
    match healing.take(&set.mask, rendering, now.elapsed) {
        Some(Healed { mask, renderings }) => (set.mask, set.renderings) = (mask, renderings),
        None => set.healing = Some(healing),
    }
}

/// Whether a rendering is like all of a set, but for what is masked.
fn agrees(set: &RenderSet, rendering: &Rendering) -> bool {
    set.unstable.is_none() && set.renderings.iter().all(|known| is_like(known, rendering, &set.mask))
}

/// Whether a rendering is like one of a set: an injector that gives two answers did not move when it gives one of them again.
fn speaks_of(set: &RenderSet, rendering: &Rendering) -> bool {
    set.renderings.iter().any(|known| is_like(known, rendering, &set.mask))
}

fn is_like(known: &Rendering, rendering: &Rendering, mask: &Mask) -> bool {
    compare::volatile(known, rendering).is_ok_and(|between| within(&between, mask))
}

/// Whether `mask` hides nothing that `known` does not.
fn within(mask: &Mask, known: &Mask) -> bool {
    let mut both = known.clone();
    both.merge(mask.clone());
    both == *known
}
