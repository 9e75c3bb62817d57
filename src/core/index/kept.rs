//! A Pod in a table, found by its namespace and name, which it holds itself: a table's place is one pointer wide.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::core::model::{ObjectKey, PodSnapshot};

/// Two of these are the same entry when their keys are.
#[derive(Clone, Debug)]
pub(super) struct KeptPod(pub(super) Arc<PodSnapshot>);

impl KeptPod {
    pub(super) fn key(&self) -> &ObjectKey {
        &self.0.key
    }
}

impl Borrow<ObjectKey> for KeptPod {
    fn borrow(&self) -> &ObjectKey {
        self.key()
    }
}

impl PartialEq for KeptPod {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for KeptPod {}

impl Hash for KeptPod {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
