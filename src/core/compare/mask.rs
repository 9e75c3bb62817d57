//! What is left out of comparisons, because it is volatile (rule R8).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::redacted_pointer;
use crate::core::model::Name;

/// Fields that differ between two renderings of the same template: they never make drift (rule R8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// Container name → pointers. A pointer hides all that is below it, too. They can hold values: show
    /// [`Mask::shown`] instead.
    pub pointers: BTreeMap<Name, BTreeSet<String>>,
    /// Container name → pointers of lists whose elements are the same in both renderings, in another order (rule C5):
    /// they are compared as sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unordered: BTreeMap<Name, BTreeSet<String>>,
}

impl Mask {
    /// Whether nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.pointers.is_empty() && self.unordered.is_empty()
    }

    /// What is masked, or compared without its order, as `container/pointer`, for people: no value is in it.
    pub fn shown(&self) -> Vec<String> {
        let all = self.pointers.iter().chain(&self.unordered);
        let all = all.flat_map(|(container, pointers)| {
            pointers.iter().map(move |pointer| format!("{container}{}", redacted_pointer::shown(pointer, None)))
        });
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Takes in what another pair of renderings showed.
    pub fn merge(&mut self, other: Self) {
        for (to, from) in [(&mut self.pointers, other.pointers), (&mut self.unordered, other.unordered)] {
            for (container, pointers) in from {
                to.entry(container).or_default().extend(pointers);
            }
        }
    }

    /// What of it `other` says nothing about: neither about a pointer itself, nor about one above or below.
    #[must_use]
    pub fn beside(&self, other: &Self) -> Self {
        let said = |container: &Name, pointer: &str| {
            let said = [&other.pointers, &other.unordered].into_iter().filter_map(|of| of.get(container));
            said.flatten().any(|said| leads_to(said, pointer) || leads_to(pointer, said))
        };
        let beside = |of: &BTreeMap<Name, BTreeSet<String>>| {
            let left = of.iter().map(|(container, pointers)| {
                let left = pointers.iter().filter(|pointer| !said(container, pointer)).cloned();
                (container.clone(), left.collect::<BTreeSet<_>>())
            });
            left.filter(|(_, left)| !left.is_empty()).collect()
        };
        Self { pointers: beside(&self.pointers), unordered: beside(&self.unordered) }
    }

    /// Its orders alone.
    #[must_use]
    pub fn orders(&self) -> Self {
        Self { pointers: BTreeMap::new(), unordered: self.unordered.clone() }
    }

    pub(super) fn of(&self, container: &str) -> ContainerMask<'_> {
        ContainerMask { pointers: self.pointers.get(container), unordered: self.unordered.get(container) }
    }
}

/// Whether a pointer is another one, or stands above it.
fn leads_to(above: &str, pointer: &str) -> bool {
    pointer.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// One container's part of a [`Mask`].
#[derive(Clone, Copy)]
pub(super) struct ContainerMask<'a> {
    pointers: Option<&'a BTreeSet<String>>,
    unordered: Option<&'a BTreeSet<String>>,
}

impl ContainerMask<'_> {
    pub(super) const NONE: Self = Self { pointers: None, unordered: None };

    /// Whether this very pointer is masked. Who walks down from the root meets every pointer above first.
    pub(super) fn hides(self, pointer: &str) -> bool {
        self.pointers.is_some_and(|p| p.contains(pointer))
    }

    pub(super) fn unordered(self, pointer: &str) -> bool {
        self.unordered.is_some_and(|p| p.contains(pointer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_a_mask_is_neither_above_nor_below_it() {
        let of = |pointers: &[&str]| {
            let pointers = pointers.iter().map(|pointer| (*pointer).to_owned()).collect();
            Mask { pointers: BTreeMap::from([(Name::from("proxy"), pointers)]), unordered: BTreeMap::new() }
        };
        let mask = of(&["/args", "/env/A/value", "/env/AB/value", "/image"]);
        assert_eq!(mask.beside(&of(&["/args/0", "/env/A"])), of(&["/env/AB/value", "/image"]));
        assert_eq!(mask.beside(&Mask::default()), mask);
        assert_eq!(mask.beside(&mask), Mask::default());
        let other =
            Mask { pointers: BTreeMap::from([(Name::from("agent"), ["/args".to_owned()].into())]), ..mask.orders() };
        assert_eq!(mask.beside(&other), mask, "it is another container's");
    }
}
