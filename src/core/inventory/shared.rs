//! Equal values, kept once.

use std::{
    collections::HashSet,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::Arc,
};

/// One copy of each value. A larger table needs the hash of every value in it, and to hash tens of thousands of shapes again
/// would make one step a long one: each hash is kept.
#[derive(Debug)]
pub(super) struct Shared<T> {
    all: HashSet<Kept<T>>,
    hasher: RandomState,
}

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

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { all: HashSet::new(), hasher: RandomState::new() }
    }
}

impl<T: Hash + Eq> Shared<T> {
    fn kept(&self, value: &Arc<T>) -> Kept<T> {
        Kept { hash: self.hasher.hash_one(value), value: value.clone() }
    }

    /// The copy of a value that is kept.
    pub(super) fn get(&self, value: &Arc<T>) -> Option<&Arc<T>> {
        self.all.get(&self.kept(value)).map(|kept| &kept.value)
    }

    /// Keeps this copy, unless there is one.
    pub(super) fn insert(&mut self, value: Arc<T>) {
        let hash = self.hasher.hash_one(&value);
        self.all.insert(Kept { hash, value });
    }

    /// Drops what nobody else has.
    pub(super) fn forget_unused(&mut self) {
        self.all.retain(|kept| Arc::strong_count(&kept.value) > 1);
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_copy_until_nobody_has_it() {
        let mut shared = Shared::default();
        let kept = Arc::new("web".to_owned());
        shared.insert(kept.clone());
        shared.insert(Arc::new("web".to_owned()));
        shared.insert(Arc::new("api".to_owned()));
        let found = shared.get(&Arc::new("web".to_owned())).cloned();
        assert!(found.is_some_and(|found| Arc::ptr_eq(&found, &kept)));
        shared.forget_unused();
        assert_eq!(shared.len(), 1);
        drop(kept);
        shared.forget_unused();
        assert!(shared.get(&Arc::new("web".to_owned())).is_none());
    }
}
