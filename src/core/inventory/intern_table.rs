//! Equal values, kept once.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// One copy of each value. A larger table needs the hash of every value in it, and to hash tens of thousands of shapes again
/// would make one step a long one: each hash is kept.
#[derive(Debug)]
pub(super) struct InternTable<T>(HashSet<Kept<T>>);

#[derive(Debug, PartialEq, Eq)]
struct Kept<T> {
    hash: u64,
    value: Arc<T>,
}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<T> Default for InternTable<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Hash> Kept<T> {
    /// The key is known to everybody, but the place in the table follows from another hash, of this one, whose key is not: only
    /// values whose 64 bits are all the same would share it.
    fn new(value: Arc<T>) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self { hash: hasher.finish(), value }
    }
}

impl<T: Hash + Eq> InternTable<T> {
    /// The copy of a value that is kept.
    pub(super) fn get(&self, value: &Arc<T>) -> Option<&Arc<T>> {
        self.0.get(&Kept::new(value.clone())).map(|kept| &kept.value)
    }

    /// Keeps this copy, unless there is one.
    pub(super) fn insert(&mut self, value: Arc<T>) {
        self.0.insert(Kept::new(value));
    }

    /// Drops what nobody else has.
    pub(super) fn forget_unused(&mut self) {
        self.0.retain(|kept| Arc::strong_count(&kept.value) > 1);
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_copy_until_nobody_has_it() {
        let mut table = InternTable::default();
        let kept = Arc::new("web".to_owned());
        table.insert(kept.clone());
        table.insert(Arc::new("web".to_owned()));
        table.insert(Arc::new("api".to_owned()));
        let found = table.get(&Arc::new("web".to_owned())).cloned();
        assert!(found.is_some_and(|found| Arc::ptr_eq(&found, &kept)));
        table.forget_unused();
        assert_eq!(table.len(), 1);
        drop(kept);
        table.forget_unused();
        assert!(table.get(&Arc::new("web".to_owned())).is_none());
    }
}
