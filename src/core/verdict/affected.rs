//! The workloads whose verdicts may be others now.

use std::collections::BTreeSet;

use crate::core::model::WorkloadKey;

/// With so many fewer marked than there are to mark, a new tree is cheaper than one place after the other.
const A_FEW: usize = 8;

/// The workloads to judge, each once.
#[derive(Debug, Default)]
pub(super) struct Affected(BTreeSet<WorkloadKey>);

impl Affected {
    /// Marks one.
    pub(super) fn mark(&mut self, key: WorkloadKey) {
        self.0.insert(key);
    }

    /// Marks many: a move of an injector affects every workload there is, and the step that it comes in must stay short.
    pub(super) fn mark_many(&mut self, keys: impl IntoIterator<Item = WorkloadKey>) {
        let mut keys: BTreeSet<_> = keys.into_iter().collect();
        if self.0.len() / A_FEW > keys.len() {
            self.0.extend(keys);
        } else {
            self.0.append(&mut keys);
        }
    }

    /// The next one to judge.
    pub(super) fn pop(&mut self) -> Option<WorkloadKey> {
        self.0.pop_first()
    }

    /// Whether this one is to be judged.
    pub(super) fn contains(&self, key: &WorkloadKey) -> bool {
        self.0.contains(key)
    }

    /// Whether none is to be judged.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are to be judged.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{owner::Kind, test_objects};

    #[test]
    fn each_is_judged_once_however_it_was_marked() {
        let key = |n: usize| test_objects::key(Kind::DEPLOYMENT, "shop", &format!("web-{n:02}"));
        let mut affected = Affected::default();
        affected.mark(key(3));
        affected.mark_many((0..20).map(key));
        affected.mark_many([key(3), key(30)]);
        let popped: Vec<_> = std::iter::from_fn(|| affected.pop()).collect();
        assert_eq!(popped, (0..20).chain([30]).map(key).collect::<Vec<_>>());
        assert!(affected.is_empty());
    }
}
