//! What the state ConfigMap says of workloads: locks on those that still differed after our rollout (rule C11), and a
//! person's word that one is to be tried again. A restart forgets neither.

use super::{
    context::{Context, RolloutEvent},
    rollouts::Rollouts,
};
use crate::core::{
    injection::View,
    io::StateRecord,
    model::{WorkloadKey, WorkloadSnapshot},
};

impl Rollouts {
    /// Takes the state ConfigMap in as it is now; `None`: missing or unreadable. Those whose locks and retries are others
    /// now look again.
    pub fn take_state(&mut self, read: Option<StateRecord>, view: View<'_>) -> Vec<RolloutEvent> {
        let before = self.state.wanted().cloned().unwrap_or_default();
        self.state.take_in(read, view.now.elapsed);
        self.schedule.request();
        let empty = StateRecord::default();
        let (old, new) = (&before, self.state.wanted().unwrap_or(&empty));
        for (workload, at) in new.starts.values().flat_map(|starts| starts.at.iter().map(|at| (&starts.workload, *at)))
        {
            self.starts.found(workload, at, view.now);
        }
        let mut touched: Vec<WorkloadKey> = Vec::new();
        if old.locks != new.locks {
            touched.extend(old.locks.values().chain(new.locks.values()).map(|lock| lock.workload.clone()));
        }
        if old.retries != new.retries {
            touched.extend(old.retries.values().chain(new.retries.values()).map(|retry| retry.workload.clone()));
        }
        touched.into_iter().map(RolloutEvent::Recheck).collect()
    }

    /// Forgets locks and retries that mean nothing any more: the workload is gone, its owner changed the template, or it
    /// was tried again.
    pub(super) fn prune_locks(&mut self, context: Context<'_>) {
        let view = context.view;
        let Some(record) = self.record().filter(|_| view.lifecycle.leader) else { return };
        if record.locks.is_empty() && record.retries.is_empty() {
            return;
        }
        let there = |key: &WorkloadKey, uid: &str| view.index.workload(key).filter(|w| *w.uid == *uid);
        let (mut locks, mut retries) = (record.locks.clone(), record.retries.clone());
        // A time of the future, whoever's clock is wrong, counts as now, once: nobody waits for it, or is let go until it.
        let times = locks.values_mut().map(|lock| &mut lock.at).chain(retries.values_mut().map(|retry| &mut retry.at));
        times.for_each(|at| *at = (*at).min(view.now.wall));
        locks.retain(|uid, lock| {
            let lifted = retries.get(uid).is_some_and(|retry| retry.at >= lock.at);
            // One that we do not watch may be there all the same.
            !lifted
                && (!view.covers(&lock.workload)
                    || there(&lock.workload, uid).is_some_and(|w| w.template.hash == lock.template))
        });
        retries.retain(|uid, retry| {
            let tried = |w: &WorkloadSnapshot| {
                self.history(w, view).iter().any(|t| self.made(&w.key, t.stamp.timestamp) > retry.at)
            };
            !view.covers(&retry.workload) || there(&retry.workload, uid).is_some_and(|w| !tried(w))
        });
        if (&locks, &retries) != (&record.locks, &record.retries) {
            self.change_record(view.policy, |record| {
                record.locks = locks;
                record.retries = retries;
            });
        }
    }
}
