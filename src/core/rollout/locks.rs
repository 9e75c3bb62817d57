//! Locks on workloads that still differed after our rollout (rule C11), and a person's word that one is to be tried again.
//! Both are in the state ConfigMap, so that a restart forgets neither.

use crate::core::{
    io::{Lock, StateRecord},
    model::{WorkloadKey, WorkloadSnapshot},
    step::Core,
};

impl Core {
    /// The lock on a workload, if it has one that still counts.
    pub(in crate::core) fn lock(&self, workload: &WorkloadSnapshot) -> Option<Lock> {
        let record = self.record.wanted()?;
        let lock = record.locks.get(&workload.uid)?;
        let retried = record.retries.get(&workload.uid).is_some_and(|retry| retry.at >= lock.at);
        (!retried).then(|| lock.clone())
    }

    /// Those whose locks and retries are others now than `before` look again.
    pub(in crate::core) fn mark_unlocked(&mut self, before: Option<&StateRecord>) {
        let empty = StateRecord::default();
        let (old, new) = (before.unwrap_or(&empty), self.record.wanted().unwrap_or(&empty));
        let mut touched: Vec<WorkloadKey> = Vec::new();
        if old.locks != new.locks {
            touched.extend(old.locks.values().chain(new.locks.values()).map(|lock| lock.workload.clone()));
        }
        if old.retries != new.retries {
            touched.extend(old.retries.values().chain(new.retries.values()).map(|retry| retry.workload.clone()));
        }
        self.dirty.extend(touched);
    }

    /// Forgets locks and retries that mean nothing any more: the workload is gone, its owner changed the template, or it
    /// was tried again.
    pub(in crate::core) fn tend_locks(&mut self) {
        let Some(record) = self.record.get().filter(|_| self.leader) else { return };
        if record.locks.is_empty() && record.retries.is_empty() {
            return;
        }
        let there = |key: &WorkloadKey, uid: &str| self.index.workload(key).filter(|w| *w.uid == *uid);
        let (mut locks, mut retries) = (record.locks.clone(), record.retries.clone());
        locks.retain(|uid, lock| {
            let lifted = record.retries.get(uid).is_some_and(|retry| retry.at >= lock.at);
            // One that we do not watch may be there all the same.
            !lifted
                && (!self.covered(&lock.workload)
                    || there(&lock.workload, uid).is_some_and(|w| w.template.hash == lock.template))
        });
        retries.retain(|uid, retry| {
            let tried = |w: &WorkloadSnapshot| self.history(w).iter().any(|tried| tried.stamp.timestamp > retry.at);
            !self.covered(&retry.workload) || there(&retry.workload, uid).is_some_and(|w| !tried(w))
        });
        if (&locks, &retries) != (&record.locks, &record.retries) {
            self.note(|record| {
                record.locks = locks;
                record.retries = retries;
            });
        }
    }
}
