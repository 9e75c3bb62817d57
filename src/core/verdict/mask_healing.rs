//! Masks that heal (rule R8): what differed between two renderings may have moved once, and never again.

use std::{collections::BTreeMap, time::Duration};

use super::admission_evidence::UNCERTAIN_RETRY;
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
    /// It begins with this rendering.
    pub(super) fn of(last: Rendering, at: Duration) -> Self {
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

/// What a set looks like without the fields that are masked no more.
pub(super) struct Healed {
    /// What is still masked.
    pub(super) mask: Mask,
    /// The renderings that had the same there.
    pub(super) renderings: Vec<Rendering>,
}

impl Healing {
    /// Takes in one more rendering, in which nothing differs that is not masked. What has stayed the same for long enough is
    /// masked no more, and the renderings in which it was otherwise are forgotten.
    pub(super) fn take(&mut self, mask: &Mask, rendering: Rendering, now: Duration) -> Option<Healed> {
        // Renderings right after one another ask the same backend of an injector, which proves little.
        if now < self.at + UNCERTAIN_RETRY {
            return None;
        }
        let differs = compare::volatile(&self.last, &rendering).ok()?;
        let count = |field| {
            let before = self.agreed.get(&field).copied().unwrap_or(1);
            (field, before + 1)
        };
        self.agreed = fields(&mask.beside(&differs)).into_iter().map(count).collect();
        let last = std::mem::replace(&mut self.last, rendering);
        self.at = now;
        if self.agreed.values().all(|times| *times < AGREEING) {
            return None;
        }
        let mut mask = mask.clone();
        for ((masked, container, pointer), _) in self.agreed.iter().filter(|(_, times)| **times >= AGREEING) {
            let of = if *masked { &mut mask.pointers } else { &mut mask.unordered };
            if let Some(pointers) = of.get_mut(container) {
                pointers.remove(pointer);
            }
        }
        mask.pointers.retain(|_, pointers| !pointers.is_empty());
        mask.unordered.retain(|_, pointers| !pointers.is_empty());
        Some(Healed { mask, renderings: vec![last, self.last.clone()] })
    }
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
