//! What was made last, so that it need not be made again.

use std::{borrow::Borrow, collections::VecDeque};

/// The entries that were used last, at most as many as are told at first: a list that is walked, so it should be short. It
/// changes nothing but how long things take.
#[derive(Debug)]
pub struct Recent<K, V> {
    most: usize,
    /// The one that was used last comes first.
    entries: VecDeque<(K, V)>,
}

impl<K, V> Recent<K, V> {
    /// Remembers nothing yet, and so many at the most.
    pub const fn of(most: usize) -> Self {
        Self { most, entries: VecDeque::new() }
    }

    /// What is remembered under a key, which is the last that is forgotten from now on.
    pub fn get<Q: PartialEq + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(|known| known.borrow() == key)
    }

    /// The same of the first key that this is true for.
    pub fn find(&mut self, is_it: impl Fn(&K) -> bool) -> Option<&V> {
        let found = self.entries.iter().position(|(key, _)| is_it(key))?;
        let entry = self.entries.remove(found)?;
        self.entries.push_front(entry);
        self.entries.front().map(|(_, value)| value)
    }

    /// Remembers a value under a key that is not known, and forgets the one that was not used for longest if there are too
    /// many.
    pub fn insert(&mut self, key: K, value: V) {
        self.entries.truncate(self.most.saturating_sub(1));
        self.entries.push_front((key, value));
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_is_forgotten_first() {
        let mut recent = Recent::of(3);
        assert!(recent.is_empty() && recent.get("a").is_none());
        for key in ["a", "b", "c"] {
            recent.insert(key.to_owned(), key.len());
        }
        assert_eq!(recent.get("a"), Some(&1));
        recent.insert("d".to_owned(), 4);
        assert_eq!(recent.len(), 3);
        assert_eq!(["a", "b", "c", "d"].map(|key| recent.get(key).copied()), [Some(1), None, Some(1), Some(4)]);
        recent.insert("e".to_owned(), 5);
        assert_eq!(recent.get("a"), None, "the others were used after it");
        assert_eq!(recent.find(|key| key > &"d".to_owned()), Some(&5));
    }

    #[test]
    fn what_is_met_all_the_time_stays() {
        let mut recent = Recent::of(2);
        recent.insert(0, ());
        for number in 1..10 {
            recent.insert(number, ());
            assert!(recent.get(&0).is_some());
        }
        assert_eq!(recent.len(), 2);
    }
}
