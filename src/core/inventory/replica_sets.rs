//! ReplicaSets: how a Pod finds its workload.

use std::sync::Arc;

use super::{
    compact::{KeptSet, ReplicaSet, SetOfUid},
    index::{Change, Index},
};
use crate::core::model::{ObjectKey, ReplicaSetSnapshot};

impl Index {
    /// Takes one in; `None`: it was there, and as it is.
    pub(super) fn upsert_replica_set(&mut self, set: ReplicaSetSnapshot) -> Option<Change> {
        let mut new = ReplicaSet::from(set);
        self.intern_replica_set(&mut new);
        if self.replica_sets.get(&new.key).is_some_and(|kept| *kept.0 == new) {
            return None;
        }
        self.remove_replica_set(&new.key);
        self.unmanaged_seen += u64::from(!self.is_of_known(&new));
        let new = Arc::new(new);
        let owner = new.owner.as_ref().map(|owner| owner.uid.clone());
        if let Some(owner) = &owner {
            // Most have one.
            let siblings = self.replica_sets_by_owner.entry(owner.clone()).or_insert_with(|| Vec::with_capacity(1));
            if let Err(place) = siblings.binary_search_by(|sibling| sibling.key.cmp(&new.key)) {
                siblings.insert(place, new.clone());
            }
        }
        self.replica_set_by_uid.replace(SetOfUid(new.clone()));
        self.replica_sets.insert(KeptSet(new));
        Some(Change::ReplicaSet { owner })
    }

    /// Whether a workload of a known kind owns it.
    fn is_of_known(&self, set: &ReplicaSet) -> bool {
        set.owner.as_ref().is_some_and(|owner| self.is_known(owner))
    }

    /// Forgets one; `None`: it was not there.
    pub(super) fn remove_replica_set(&mut self, key: &ObjectKey) -> Option<Change> {
        let KeptSet(old) = self.replica_sets.take(key)?;
        self.unmanaged_seen += u64::from(!self.is_of_known(&old));
        self.replica_set_by_uid.remove(&old.uid);
        let owner = old.owner.as_ref().map(|owner| owner.uid.clone());
        if let Some(uid) = &owner
            && let Some(siblings) = self.replica_sets_by_owner.get_mut(uid)
        {
            siblings.retain(|sibling| sibling.key != *key);
            if siblings.is_empty() {
                self.replica_sets_by_owner.remove(uid);
            }
        }
        self.note_departure();
        Some(Change::ReplicaSet { owner })
    }
}
