//! Masks that heal (rule R8): what differed between two renderings may have moved once, and never again.

use std::{collections::BTreeMap, time::Duration};

use super::{admission_evidence::UNCERTAIN_RETRY, case::RenderSet};
use crate::core::{
    compare::{self, Mask, Rendering},
    model::Name,
};

/// A field that was the same in so many renderings in a row is not volatile any more. With two values that are drawn by chance
/// that happens once in sixteen times.
const AGREEING: usize = 5;

/// How the masked fields do in the renderings after the mask was made.
#[derive(Clone, Debug)]
pub struct Healing {
    /// The rendering that was made last.
    last: Rendering,
    /// When it was made.
    at: Duration,
    /// Masked fields, each with how many renderings in a row had the same there, if more than one had.
    agreed: BTreeMap<(bool, Name, String), usize>,
}

impl Healing {
    fn of(last: Rendering, at: Duration) -> Self {
        Self { last, at, agreed: BTreeMap::new() }
    }

    /// Some masked field was the same more than once, so that it is worth asking soon whether it stays so.
    pub fn under_way(&self) -> bool {
        !self.agreed.is_empty()
    }
}

/// What of `mask` only moved: the rendering that was made last agrees there with the one before, and not with the first. A
/// volatile field would differ once more, or come back.
pub(super) fn moved(mask: &Mask, from_first: &Mask, from_last: &Mask) -> Mask {
    let agrees = mask.beside(from_last);
    let came_back = agrees.beside(from_first);
    agrees.beside(&came_back)
}

/// Takes in one more rendering of a set with a mask, in which nothing new differs. What has stayed the same for long enough is
/// masked no more, and the renderings in which it was otherwise are forgotten.
pub(super) fn heal(set: &mut RenderSet, rendering: Rendering, now: Duration) {
    let Some(newest) = set.renderings.last().filter(|_| !set.mask.is_empty()) else { return };
    let healing = set.healing.take().unwrap_or_else(|| Healing::of(newest.clone(), set.confirmed.elapsed).into());
    // Renderings right after one another ask the same backend of an injector, which proves little.
    if now < healing.at + UNCERTAIN_RETRY {
        set.healing = Some(healing);
        return;
    }
    let Ok(differs) = compare::volatile(&healing.last, &rendering) else { return };
    let same = fields(&set.mask.beside(&differs));
    let count = |field| {
        let before = healing.agreed.get(&field).copied().unwrap_or(1);
        (field, before + 1)
    };
    let agreed: BTreeMap<_, _> = same.into_iter().map(count).collect();
    if agreed.values().all(|times| *times < AGREEING) {
        set.healing = Some(Healing { last: rendering, at: now, agreed }.into());
        return;
    }
    for ((masked, container, pointer), times) in agreed {
        let of = if masked { &mut set.mask.pointers } else { &mut set.mask.unordered };
        if times >= AGREEING
            && let Some(pointers) = of.get_mut(&container)
        {
            pointers.remove(&pointer);
        }
    }
    set.mask.pointers.retain(|_, pointers| !pointers.is_empty());
    set.mask.unordered.retain(|_, pointers| !pointers.is_empty());
    set.renderings = vec![healing.last, rendering];
}

/// The fields of a mask, one by one; `true` for those that are masked, and not only compared without their order.
fn fields(mask: &Mask) -> Vec<(bool, Name, String)> {
    let of = [(true, &mask.pointers), (false, &mask.unordered)];
    let all = of.into_iter().flat_map(|(masked, of)| {
        of.iter().flat_map(move |(container, pointers)| {
            pointers.iter().map(move |pointer| (masked, container.clone(), pointer.clone()))
        })
    });
    all.collect()
}
