//! A sorted map that takes hardly more than its entries while they are few.

use std::collections::BTreeMap;

/// More entries than this are kept as a tree.
const FEW: usize = 256;

/// A sorted map: a vector while its entries are few, a tree when they are many. There may be one for each workload, and most
/// hold a handful. Everything but iteration is O(log n).
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "the vector alone says how large a map is")]
pub(super) enum CompactMap<K, V> {
    /// Sorted by key.
    Few(Vec<(K, V)>),
    /// Boxed: hardly any map is this large.
    Many(Box<BTreeMap<K, V>>),
}

impl<K, V> Default for CompactMap<K, V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<K: Ord, V> CompactMap<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(entries) => entries.len(),
            Self::Many(entries) => entries.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Self::Few(entries) => {
                let place = entries.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
                entries.get_mut(place).map(|(_, value)| value)
            }
            Self::Many(entries) => entries.get_mut(key),
        }
    }

    /// Puts an entry in; returns the value that it replaces.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self {
            Self::Few(entries) => match entries.binary_search_by(|(k, _)| k.cmp(&key)) {
                Ok(place) => entries.get_mut(place).map(|(_, old)| std::mem::replace(old, value)),
                Err(place) if entries.len() < FEW => {
                    // A quarter ahead and not as much again: most never grow any more.
                    if entries.len() == entries.capacity() {
                        entries.reserve_exact(1 + entries.len() / 4);
                    }
                    entries.insert(place, (key, value));
                    None
                }
                Err(_) => {
                    let entries = std::mem::take(entries).into_iter().chain([(key, value)]);
                    *self = Self::Many(Box::new(entries.collect()));
                    None
                }
            },
            Self::Many(entries) => entries.insert(key, value),
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::Few(entries) => {
                let place = entries.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
                let (_, value) = entries.remove(place);
                if entries.len() < entries.capacity() / 4 {
                    entries.shrink_to_fit();
                }
                Some(value)
            }
            Self::Many(entries) => {
                let value = entries.remove(key);
                // Not at once, or one entry that comes and goes would have all of them moved.
                if entries.len() < FEW / 2 {
                    *self = Self::Few(std::mem::take(&mut **entries).into_iter().collect());
                }
                value
            }
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        let (few, many) = match self {
            Self::Few(entries) => (entries.as_slice(), None),
            Self::Many(entries) => (&[][..], Some(&**entries)),
        };
        few.iter().map(|(key, value)| (key, value)).chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn it_is_as_large_as_a_vector() {
        assert_eq!(size_of::<CompactMap<u64, u64>>(), size_of::<Vec<u64>>());
    }

    proptest! {
        /// Waves, so that it becomes a tree and a vector again.
        #[test]
        fn it_does_what_a_tree_does(waves in vec((any::<bool>(), vec(0..400_u16, 0..600)), 0..8)) {
            let (mut map, mut tree) = (CompactMap::default(), BTreeMap::new());
            for (comes, keys) in waves {
                for key in keys {
                    if comes {
                        prop_assert_eq!(map.insert(key, tree.len()), tree.insert(key, tree.len()));
                    } else {
                        prop_assert_eq!(map.remove(&key), tree.remove(&key));
                    }
                    prop_assert_eq!(map.get_mut(&key), tree.get_mut(&key));
                }
                prop_assert_eq!((map.len(), map.is_empty()), (tree.len(), tree.is_empty()));
                prop_assert!(map.iter().eq(&tree) && map.iter().rev().eq(tree.iter().rev()));
            }
        }
    }
}
