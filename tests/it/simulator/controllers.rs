//! The controllers of Deployments, StatefulSets and DaemonSets: what they make of a workload in one round.

use jiff::Timestamp;
use sidecar_drift::core::model::{Counts, ObjectKey, Strategy, WorkloadKey, WorkloadSnapshot, owner::Kind};

use super::{
    cluster::{Cluster, Fate, Pod, Revision},
    injection::{Answer, Asked, Injector},
    random::Random,
};

/// A Deployment that does not move on for so many seconds has exceeded its deadline.
const PROGRESS_DEADLINE: u64 = 150;

/// A readiness that flickers comes and goes in so many seconds.
const FLICKER: u64 = 50;

/// One controller's round.
pub(super) struct Round<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) injector: &'a mut Injector,
    pub(super) random: &'a mut Random,
    /// Seconds since the beginning.
    pub(super) second: u64,
    pub(super) wall: Timestamp,
}

/// A Pod as its controller sees it.
struct Seen {
    key: ObjectKey,
    current: bool,
    ready: bool,
    ordinal: u32,
}

impl Round<'_> {
    /// Returns whether there is more to do, so that another round is wanted.
    pub(super) fn reconcile(&mut self, key: &WorkloadKey) -> bool {
        let Some(before) = self.cluster.workload(key).cloned() else { return false };
        self.age_pods(key);
        let frozen = before.paused && before.generation > 1;
        let Some(revision) = self.revision(key, &before, frozen) else { return false };
        let pods = self.seen(key, &revision);
        let acted =
            if frozen { self.fill(key, &before, &revision, &pods) } else { self.act(key, &before, &revision, &pods) };
        if acted && let Some(work) = self.cluster.workloads.get_mut(key) {
            work.moved_on = self.second;
        }
        self.report(key, &revision, frozen);
        let settled = self.seen(key, &revision);
        let w = self.cluster.workload(key);
        let lasts = settled.iter().any(|pod| !pod.ready || (!pod.current && !is_static(&before)));
        let short = w.is_some_and(|w| w.counts.current != w.counts.desired || w.observed_generation < w.generation);
        acted || lasts || short
    }

    fn revision(&mut self, key: &WorkloadKey, w: &WorkloadSnapshot, frozen: bool) -> Option<Revision> {
        if frozen {
            let known = self.cluster.workloads.get(key)?.revisions.iter().max_by_key(|r| r.number).cloned();
            return known.or_else(|| self.cluster.current_revision(key));
        }
        let fresh = w.observed_generation < w.generation;
        if fresh && let Some(work) = self.cluster.workloads.get_mut(key) {
            work.moved_on = self.second;
        }
        self.cluster.current_revision(key)
    }

    /// Pods become ready, or do not; those that were told to go are gone.
    fn age_pods(&mut self, key: &WorkloadKey) {
        let fate = self.cluster.workloads.get(key).map_or(Fate::Ready, |w| w.fate);
        for pod in self.cluster.pods_of(key) {
            let lost = self.cluster.is_lost(&pod);
            if self.cluster.pod(&pod).is_some_and(|p| p.state.terminating) {
                if !lost {
                    self.cluster.delete_pod(&pod);
                }
                continue;
            }
            let Some(record) = self.cluster.pods.get_mut(&pod) else { continue };
            // Whatever was wrong with them is over; and who flickers, does with all of them.
            if matches!(fate, Fate::Ready | Fate::Flickers) {
                record.fate = fate;
            }
            let (fate, due) = (record.fate, record.ready_at <= self.second);
            let on = (self.second + u64::from(record.ordinal) * 5) % FLICKER < FLICKER / 2;
            let ready = due && !lost && (fate == Fate::Ready || (fate == Fate::Flickers && on));
            record.ready_since = record.ready_since.filter(|_| ready).or_else(|| ready.then_some(self.second));
            let mut news = false;
            self.cluster.edit_pod(&pod, |p| {
                news = ready && !p.state.ready;
                p.state.ready = ready;
                p.state.crashing = due && fate == Fate::Crash;
                p.state.waits_for = match fate {
                    Fate::Waits(wait) => Some(wait),
                    _ => None,
                };
            });
            if news && let Some(work) = self.cluster.workloads.get_mut(key) {
                work.moved_on = self.second;
            }
        }
    }

    fn seen(&self, key: &WorkloadKey, revision: &Revision) -> Vec<Seen> {
        let pods = self.cluster.pods_of(key).into_iter();
        pods.filter_map(|pod| {
            let (snapshot, record) = (self.cluster.pod(&pod)?, self.cluster.pods.get(&pod)?);
            let (current, ordinal) = (record.revision == revision.name, record.ordinal);
            (!snapshot.state.terminating).then(|| Seen {
                key: pod.clone(),
                current,
                ready: snapshot.state.ready,
                ordinal,
            })
        })
        .collect()
    }

    fn act(&mut self, key: &WorkloadKey, w: &WorkloadSnapshot, revision: &Revision, pods: &[Seen]) -> bool {
        match (key.kind, &w.strategy) {
            (Kind::STATEFUL_SET, strategy) => self.stateful_set(key, w, strategy, revision, pods),
            (_, Strategy::OnDelete) => self.fill(key, w, revision, pods),
            (_, Strategy::Recreate) => {
                let old: Vec<_> = pods.iter().filter(|pod| !pod.current).collect();
                for pod in &old {
                    self.remove(&pod.key);
                }
                !old.is_empty() || self.fill(key, w, revision, pods)
            }
            (_, Strategy::RollingUpdate { max_unavailable, max_surge, .. }) => {
                self.exchange(key, w, (*max_unavailable, *max_surge), revision, pods)
            }
        }
    }

    /// Pods that are missing are made; those that are too many go.
    fn fill(&mut self, key: &WorkloadKey, w: &WorkloadSnapshot, revision: &Revision, pods: &[Seen]) -> bool {
        let desired = w.counts.desired as usize;
        if let Some(spare) = pods.get(desired..).and_then(|more| more.last()) {
            self.remove(&spare.key);
            return true;
        }
        (pods.len()..desired).fold(false, |acted, _| self.make(key, revision, 0) || acted)
    }

    /// A few new ones, a few old ones less, within what the strategy allows.
    fn exchange(
        &mut self,
        key: &WorkloadKey,
        w: &WorkloadSnapshot,
        (unavailable, surge): (u32, u32),
        revision: &Revision,
        pods: &[Seen],
    ) -> bool {
        let desired = w.counts.desired as usize;
        let new = pods.iter().filter(|pod| pod.current).count();
        let ready = pods.iter().filter(|pod| pod.ready).count();
        if new < desired && pods.len() < desired + surge as usize {
            return self.make(key, revision, 0);
        }
        let dispensable =
            |pod: &&Seen| !pod.current && (!pod.ready || ready > desired.saturating_sub(unavailable as usize));
        // Those that are not ready go first.
        let mut old: Vec<_> = pods.iter().filter(|pod| !pod.current).collect();
        old.sort_by_key(|pod| pod.ready);
        if let Some(pod) = old.into_iter().find(dispensable) {
            self.remove(&pod.key);
            return true;
        }
        if let Some(spare) = pods.iter().filter(|pod| pod.current).nth(desired) {
            self.remove(&spare.key);
            return true;
        }
        false
    }

    /// The highest ordinal first, each only when all are ready.
    fn stateful_set(
        &mut self,
        key: &WorkloadKey,
        w: &WorkloadSnapshot,
        strategy: &Strategy,
        revision: &Revision,
        pods: &[Seen],
    ) -> bool {
        let desired = w.counts.desired;
        let partition = match strategy {
            Strategy::RollingUpdate { partition, .. } => *partition,
            Strategy::Recreate | Strategy::OnDelete => 0,
        };
        let missing = (0..desired).find(|ordinal| pods.iter().all(|pod| pod.ordinal != *ordinal));
        if let Some(ordinal) = missing {
            // One that waits for deletions makes each new Pod of the newest revision.
            let newest = *strategy == Strategy::OnDelete;
            let above = newest || pods.iter().filter(|pod| pod.ordinal > ordinal).all(|pod| pod.current);
            let old =
                || self.cluster.workloads.get(key)?.revisions.iter().find(|r| r.name == w.current_revision).cloned();
            let of = if ordinal >= partition && above { None } else { old() };
            return self.make(key, &of.unwrap_or_else(|| revision.clone()), ordinal);
        }
        if let Some(spare) = pods.iter().find(|pod| pod.ordinal >= desired) {
            self.remove(&spare.key);
            return true;
        }
        if *strategy == Strategy::OnDelete || pods.iter().any(|pod| !pod.ready) {
            // A Pod of the old revision that never becomes ready would block the update for ever.
            let broken = pods.iter().rev().find(|pod| !pod.ready && !pod.current && pod.ordinal >= partition);
            let Some(broken) = broken.filter(|_| *strategy != Strategy::OnDelete) else { return false };
            self.remove(&broken.key);
            return true;
        }
        let next = pods.iter().filter(|pod| !pod.current && pod.ordinal >= partition).max_by_key(|pod| pod.ordinal);
        let Some(next) = next else { return false };
        self.remove(&next.key);
        true
    }

    fn remove(&mut self, pod: &ObjectKey) {
        if !self.cluster.is_lost(pod) && self.random.percent(50) {
            return self.cluster.delete_pod(pod);
        }
        self.cluster.edit_pod(pod, |p| {
            p.state.terminating = true;
            p.state.ready = false;
        });
    }

    fn make(&mut self, key: &WorkloadKey, revision: &Revision, ordinal: u32) -> bool {
        // The name of a StatefulSet's Pod is free only when the old one is gone.
        if key.kind == Kind::STATEFUL_SET
            && self.cluster.pods.iter().any(|(_, pod)| pod.owner == *key && pod.ordinal == ordinal)
        {
            return true;
        }
        let fate = self.cluster.workloads.get(key).map_or(Fate::Ready, |w| w.fate);
        let Some(ordinal) = self.room(key, ordinal).filter(|_| fate != Fate::Withheld) else { return false };
        let at = std::time::Duration::from_secs(self.second);
        let asked = Asked { key, app: revision.app, ordinal, at };
        let Answer::Created(content) = self.injector.admit(asked, false) else { return false };
        let ready_at = self.second + 1 + self.random.below(4);
        let revision_name = revision.name.clone();
        let owner = key.clone();
        let pod = Pod { owner, content, revision: revision_name, ordinal, ready_at, ready_since: None, fate };
        self.cluster.create_pod(key, pod, revision, self.wall);
        true
    }

    /// A DaemonSet's Pod is made for a Node that has none, nor one that is on its way out.
    fn room(&self, key: &WorkloadKey, ordinal: u32) -> Option<u32> {
        if key.kind != Kind::DAEMON_SET {
            return Some(ordinal);
        }
        let taken: Vec<_> = self.cluster.pods.values().filter(|p| p.owner == *key).map(|p| p.ordinal).collect();
        let desired = self.cluster.workload(key).map_or(0, |w| w.counts.desired);
        (0..desired).find(|node| !taken.contains(node))
    }

    /// Writes the status.
    fn report(&mut self, key: &WorkloadKey, revision: &Revision, frozen: bool) {
        let pods = self.seen(key, revision);
        let count = |of: &dyn Fn(&Seen) -> bool| u32::try_from(pods.iter().filter(|pod| of(pod)).count()).unwrap_or(0);
        let (ready, updated) = (count(&|pod| pod.ready), count(&|pod| pod.current));
        // A Node counts as long as the Pod on it is there.
        let leaving = self.cluster.pods_of(key).iter().filter(|pod| self.cluster.is_lost(pod)).count();
        let current = if key.kind == Kind::DAEMON_SET && leaving > 0 {
            u32::try_from(self.cluster.pods_of(key).len()).unwrap_or(0)
        } else {
            count(&|_| true)
        };
        let moved_on = self.cluster.workloads.get(key).map_or(0, |w| w.moved_on);
        let second = self.second;
        self.cluster.edit(key, |w| {
            let desired = w.counts.desired;
            w.observed_generation = w.generation;
            w.counts = Counts { desired, current, updated, ready, available: ready };
            match key.kind {
                Kind::DEPLOYMENT => {
                    w.revision = revision.number;
                    let done = updated >= desired && ready >= desired && w.counts.current == updated;
                    w.deadline_exceeded =
                        !done && !frozen && (w.deadline_exceeded || second > moved_on + PROGRESS_DEADLINE);
                    if second == moved_on {
                        w.deadline_exceeded = false;
                    }
                }
                Kind::STATEFUL_SET => {
                    w.update_revision = revision.name.clone();
                    let partition = matches!(w.strategy, Strategy::RollingUpdate { partition, .. } if partition > 0);
                    let done = updated == desired && ready == desired && !partition;
                    if w.current_revision.is_empty() || (done && w.strategy != Strategy::OnDelete) {
                        w.current_revision = revision.name.clone();
                    }
                }
                _ => {}
            }
        });
    }
}

/// Its old Pods stay.
fn is_static(w: &WorkloadSnapshot) -> bool {
    let partitioned = matches!(w.strategy, Strategy::RollingUpdate { partition, .. } if partition > 0);
    w.strategy == Strategy::OnDelete || w.paused || partitioned
}
