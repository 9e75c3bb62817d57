//! Renderings of one revision that were made under the same versions, and what one more says of the others.

use std::sync::Arc;

use super::{
    case::{Case, RenderSet},
    mask_healing::{self, Healed, Healing},
};
use crate::core::{
    compare::{self, Mask, Rendering, Unstable},
    injection::VersionVector,
    model::{Name, time::Now},
};

/// An injector that is down for a moment interrupts a set so often.
const GONE_AND_BACK: u8 = 2;

/// Adds a rendering to a workload's set, or begins a new set with it. Returns whether it shows that an injector moved
/// without a word.
pub(super) fn add_rendering(
    case: &mut Case,
    revision: &Name,
    versions: &Arc<VersionVector>,
    rendering: Rendering,
    now: Now,
) -> bool {
    let set = case.set.take().filter(|set| set.revision == *revision && set.versions == *versions);
    let fresh = |rendering| fresh(revision, versions, rendering, now);
    let Some(mut set) = set else {
        case.set = Some(fresh(rendering));
        return false;
    };
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
            let mask = masks.pop().unwrap_or_default();
            let last = set.renderings.pop();
            let moved = last.as_ref().is_some_and(|last| !compare::only_loses(last, &rendering));
            let renderings = last.into_iter().chain([rendering]).collect();
            let first = set.confirmed;
            let set = RenderSet {
                renderings,
                mask,
                healing: None,
                unstable: None,
                newest: None,
                made: 2,
                first,
                confirmed: now,
                ..set
            };
            case.set = Some(set);
            return moved;
        }
        Ok(masks) if more => {
            for mask in masks {
                set.mask.merge(mask);
            }
            set.renderings.push(rendering);
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
            set.renderings = last.into_iter().chain([rendering]).collect();
            (set.newest, set.unstable) = (None, Some(unstable.into()));
        }
        // Nothing new.
        Ok(masks) if masks.iter().all(|mask| within(mask, &set.mask)) => {
            (set.made, set.interrupted) = (set.made.saturating_add(1), 0);
            set.newest = (!set.mask.is_empty()).then(|| rendering.clone());
            heal(&mut set, rendering, now);
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

/// A set that begins with this rendering.
fn fresh(revision: &Name, versions: &Arc<VersionVector>, rendering: Rendering, now: Now) -> RenderSet {
    RenderSet {
        revision: revision.clone(),
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

/// Whether `mask` hides nothing that `known` does not.
fn within(mask: &Mask, known: &Mask) -> bool {
    let mut both = known.clone();
    both.merge(mask.clone());
    both == *known
}
