//! Equivalence classes of Pods: what holds for one Pod of a class, as far as its containers and its standing are concerned,
//! holds for all of it.

use std::{cmp::Ordering, sync::Arc};

use jiff::Timestamp;

use super::{
    compact::{Made, Pod},
    compact_map::CompactMap,
};
use crate::core::model::{PodState, PodWait};

/// Pods of one owner that were made from the same and stand alike. Never empty.
#[derive(Clone, Copy, Debug)]
pub struct PodClass<'a> {
    /// What they were made from; two classes of an index have the same one, by pointer, or have nothing in common.
    pub made: &'a Arc<Made>,
    /// Their standing.
    pub state: PodState,
    pods: &'a CompactMap<ByAge, ()>,
}

impl<'a> PodClass<'a> {
    /// Whether it is the same class.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.made, other.made) && self.state == other.state
    }

    /// How many they are, in O(1).
    pub fn count(&self) -> usize {
        self.pods.len()
    }

    /// The oldest first; of those that were created in the same second, by name. Both ends are found in O(log n).
    pub fn pods(&self) -> impl DoubleEndedIterator<Item = &'a Pod> + Clone + use<'a> {
        self.pods.iter().map(|(pod, ())| &*pod.0)
    }

    /// The one that was created last. `None` never comes, as no class is empty.
    pub fn youngest(&self) -> Option<&'a Pod> {
        self.pods().next_back()
    }

    /// Those that were created after this time, the youngest first; the others are not looked at.
    pub fn created_after(&self, time: Timestamp) -> impl Iterator<Item = &'a Pod> + Clone + use<'a> {
        self.pods().rev().take_while(move |pod| pod.created > time)
    }
}

/// The Pods of one owner, by class.
#[derive(Debug, Default)]
pub(super) struct OwnedPods(CompactMap<ClassKey, CompactMap<ByAge, ()>>);

impl OwnedPods {
    /// Puts an interned Pod in.
    pub(super) fn insert(&mut self, pod: Arc<Pod>) {
        let key = ClassKey::of(&pod);
        if let Some(pods) = self.0.get_mut(&key) {
            pods.insert(ByAge(pod), ());
        } else {
            let mut pods = CompactMap::default();
            pods.insert(ByAge(pod), ());
            self.0.insert(key, pods);
        }
    }

    /// Takes a Pod out as it was put in.
    pub(super) fn remove(&mut self, pod: &Arc<Pod>) {
        let key = ClassKey::of(pod);
        let Some(pods) = self.0.get_mut(&key) else { return };
        pods.remove(&ByAge(pod.clone()));
        if pods.is_empty() {
            self.0.remove(&key);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In an order that depends only on what the index was told.
    pub(super) fn classes(&self) -> impl Iterator<Item = PodClass<'_>> + Clone {
        self.0.iter().map(|(key, pods)| PodClass { made: &key.made, state: key.state, pods })
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.classes().flat_map(|class| class.pods())
    }
}

#[derive(Debug)]
struct ClassKey {
    made: Arc<Made>,
    state: PodState,
}

impl ClassKey {
    fn of(pod: &Pod) -> Self {
        Self { made: pod.made.clone(), state: pod.state }
    }

    fn order(&self) -> (u64, [bool; 6], u8, Option<PodWait>) {
        let PodState { terminating, finished, mirror, ready, crashing, restarts, waits_for, undecodable } = self.state;
        (self.made.number(), [terminating, finished, mirror, ready, crashing, undecodable], restarts, waits_for)
    }
}

impl Ord for ClassKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

/// A Pod, sorted by its age and then by its name.
#[derive(Debug)]
struct ByAge(Arc<Pod>);

impl Ord for ByAge {
    fn cmp(&self, other: &Self) -> Ordering {
        #[cfg(test)]
        tests::COMPARISONS.set(tests::COMPARISONS.get() + 1);
        (self.0.created, &self.0.key).cmp(&(other.0.created, &other.0.key))
    }
}

/// As [`Ord`] has it.
macro_rules! compared_by_order {
    ($($sorted:ty),*) => {$(
        impl PartialOrd for $sorted {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl PartialEq for $sorted {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }

        impl Eq for $sorted {}
    )*};
}

compared_by_order!(ClassKey, ByAge);

#[cfg(test)]
mod tests;
