//! A Pod as it is kept: there may be a million of them.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use jiff::Timestamp;

use crate::core::model::{
    Name, ObjectKey, Owner, PodSnapshot, PodState, ReplicaSetSnapshot, Uid,
    shape::{ContainerShape, PodShape},
};

/// One running Pod. The fields are those of a [`PodSnapshot`].
#[derive(Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The uid.
    pub uid: Uid,
    /// When it was created.
    pub created: Timestamp,
    /// The Node that a DaemonSet's Pod was made for. Boxed, as few Pods have one.
    node: Option<Box<Name>>,
    /// Its standing.
    pub state: PodState,
    /// What it has in common with others.
    pub made: Arc<Made>,
}

impl Pod {
    /// The Node that a DaemonSet's Pod was made for.
    pub fn node(&self) -> Option<&Name> {
        self.node.as_deref()
    }
}

/// What Pods of one revision have in common: kept once for all of them.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its controller, if it has one.
    pub owner: Option<Arc<Owner>>,
    /// What its controller made it from.
    pub revision: Name,
    /// The time of the stamp on the template that it was made from.
    pub stamped: Option<Timestamp>,
    /// Of a DaemonSet's Pod, else 0.
    pub template_generation: i64,
    /// The ServiceAccount that it runs as.
    pub service_account: Name,
    /// Its containers.
    pub shape: Arc<PodShape>,
    /// Containers whose image belongs to another field manager than the Pod's creator (rule C9).
    pub patched_images: Vec<Name>,
    /// Of an interned one: no other has it.
    number: u64,
}

impl Made {
    /// Which one it is among those that are interned: the order in which the index came to know them. 0: it is not interned.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// It is interned under this number.
    pub(super) fn set_number(&mut self, number: u64) {
        self.number = number;
    }

    /// All that Pods are told apart by.
    fn content(&self) -> impl PartialEq + Hash + '_ {
        let Self { owner, revision, stamped, template_generation, service_account, shape, patched_images, number: _ } =
            self;
        (owner, revision, stamped, template_generation, service_account, shape, patched_images)
    }
}

impl PartialEq for Made {
    fn eq(&self, other: &Self) -> bool {
        self.content() == other.content()
    }
}

impl Eq for Made {}

impl Hash for Made {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.content().hash(state);
    }
}

/// The same, in two parts.
impl From<PodSnapshot> for Pod {
    fn from(pod: PodSnapshot) -> Self {
        let PodSnapshot {
            key,
            uid,
            owner,
            revision,
            stamped,
            template_generation,
            service_account,
            created,
            node,
            state,
            shape,
            patched_images,
        } = pod;
        let number = 0;
        let made =
            Made { owner, revision, stamped, template_generation, service_account, shape, patched_images, number };
        Self { key, uid: Uid::from(&*uid), created, node: node.map(Box::new), state, made: Arc::new(made) }
    }
}

/// A ReplicaSet as it is kept: a workload has one for each template of late, ten by default. The fields are those of a
/// [`ReplicaSetSnapshot`].
#[derive(Debug, PartialEq, Eq)]
pub struct ReplicaSet {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The uid.
    pub uid: Name,
    /// Its controller; the index keeps one copy for all ReplicaSets of it.
    pub owner: Option<Arc<Owner>>,
    /// Its number; 0 if it has none.
    pub revision: u64,
    /// The hash of its template, as its Pods are labelled.
    pub hash: Name,
}

impl From<ReplicaSetSnapshot> for ReplicaSet {
    fn from(set: ReplicaSetSnapshot) -> Self {
        let ReplicaSetSnapshot { key, uid, owner, revision, hash } = set;
        Self { key, uid, owner: owner.map(Arc::new), revision, hash }
    }
}

/// A thing in a table, found by what it holds itself: a place of the table is one pointer wide. Two of these are the same entry
/// when they are found by the same.
macro_rules! found_by {
    ($(#[$doc:meta])* $table:ident: $thing:ty, by $by:ty, $field:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(super) struct $table(pub(super) Arc<$thing>);

        impl $table {
            pub(super) fn key(&self) -> &$by {
                let field: fn(&$thing) -> &$by = $field;
                field(&self.0)
            }
        }

        impl Borrow<$by> for $table {
            fn borrow(&self) -> &$by {
                self.key()
            }
        }

        impl PartialEq for $table {
            fn eq(&self, other: &Self) -> bool {
                self.key() == other.key()
            }
        }

        impl Eq for $table {}

        impl Hash for $table {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.key().hash(state);
            }
        }
    };
}

found_by! {
    /// A Pod, found by its namespace and name.
    KeptPod: Pod, by ObjectKey, |pod| &pod.key
}
found_by! {
    /// A ReplicaSet, found by its namespace and name.
    KeptSet: ReplicaSet, by ObjectKey, |set| &set.key
}
found_by! {
    /// A ReplicaSet, found by its uid.
    SetOfUid: ReplicaSet, by Name, |set| &set.uid
}
found_by! {
    /// A container, found by its name.
    Named: ContainerShape, by Name, |container| &container.name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_takes_hardly_more_than_its_name() {
        assert!(size_of::<Pod>() <= 96, "{}", size_of::<Pod>());
    }
}
