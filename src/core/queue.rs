//! Which workload is rendered next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use super::{model::WorkloadKey, shape::Name};

/// How urgent a rendering is; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A rollout waits for it.
    Confirm,
    /// The workload itself is new or changed.
    Changed,
    /// Something that injection depends on moved.
    Moved,
    /// It is time to look again.
    Periodic,
}

/// What keeps moving is rendered all the same after this long: a ConfigMap that is written every few seconds must not
/// keep every verdict open.
pub const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Workloads that want a rendering: each at most once, not before its time, by priority, fair between namespaces.
#[derive(Debug, Default)]
pub struct RenderQueue {
    entries: HashMap<WorkloadKey, Entry>,
    /// Those whose time has not come.
    waiting: BTreeSet<(Duration, WorkloadKey)>,
    /// Those whose time has come.
    ready: BTreeMap<Priority, Lane>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: Duration,
    priority: Priority,
    /// When it was wanted first.
    since: Duration,
    ready: bool,
}

/// One priority: a queue for each namespace, served in turn.
#[derive(Debug, Default)]
struct Lane {
    queues: BTreeMap<Name, VecDeque<WorkloadKey>>,
    last: Option<Name>,
}

impl Lane {
    fn push(&mut self, key: WorkloadKey) {
        self.queues.entry(key.namespace.clone()).or_default().push_back(key);
    }

    fn remove(&mut self, key: &WorkloadKey) {
        if let Some(queue) = self.queues.get_mut(&key.namespace) {
            queue.retain(|k| k != key);
            if queue.is_empty() {
                self.queues.remove(&key.namespace);
            }
        }
    }

    fn pop(&mut self) -> Option<WorkloadKey> {
        use std::ops::Bound::{Excluded, Unbounded};
        let next = self
            .last
            .as_ref()
            .and_then(|last| self.queues.range::<Name, _>((Excluded(last), Unbounded)).next())
            .or_else(|| self.queues.iter().next())
            .map(|(namespace, _)| namespace.clone())?;
        let queue = self.queues.get_mut(&next)?;
        let key = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&next);
        }
        self.last = Some(next);
        key
    }
}

#[cfg(test)]
impl Priority {
    const ALL: [Self; 4] = [Self::Confirm, Self::Changed, Self::Moved, Self::Periodic];
}

impl RenderQueue {
    /// Wants a rendering once what moved has settled, at `due`. What keeps moving is rendered all the same after
    /// [`LONGEST_WAIT`].
    pub fn settle(&mut self, key: &WorkloadKey, due: Duration, priority: Priority, now: Duration) {
        let waiting = self.entries.get(key).filter(|old| old.priority < Priority::Periodic);
        let longest = waiting.map_or(due, |old| (old.since + LONGEST_WAIT).max(now));
        self.schedule(key, due.min(longest), priority, now);
    }

    /// Wants a rendering at `due`. A later wish for the same workload replaces the time of the first and keeps the more
    /// urgent priority. A periodic look gives way to any other wish.
    pub fn schedule(&mut self, key: &WorkloadKey, due: Duration, priority: Priority, now: Duration) {
        let mut entry = Entry { due, priority, since: now, ready: false };
        if let Some(old) = self.entries.get(key).copied() {
            if priority == Priority::Periodic && old.priority < priority {
                return;
            }
            if old.priority < Priority::Periodic {
                entry.since = old.since;
            }
            entry.priority = priority.min(old.priority);
            self.cancel(key);
        }
        entry.ready = entry.due <= now;
        if entry.ready {
            self.ready.entry(entry.priority).or_default().push(key.clone());
        } else {
            self.waiting.insert((entry.due, key.clone()));
        }
        self.entries.insert(key.clone(), entry);
    }

    /// Wants no rendering any more.
    pub fn cancel(&mut self, key: &WorkloadKey) {
        let Some(entry) = self.entries.remove(key) else { return };
        if entry.ready {
            if let Some(lane) = self.ready.get_mut(&entry.priority) {
                lane.remove(key);
            }
        } else {
            self.waiting.remove(&(entry.due, key.clone()));
        }
    }

    /// Wants no rendering any more, unless a rollout waits for it.
    pub fn drop_wish(&mut self, key: &WorkloadKey) {
        if self.entries.get(key).is_some_and(|e| e.priority > Priority::Confirm) {
            self.cancel(key);
        }
    }

    /// Whether it is wanted soon: anything but a periodic look.
    pub fn due(&self, key: &WorkloadKey) -> Option<Duration> {
        self.entries.get(key).map(|entry| entry.due)
    }

    /// Whether a workload waits for a rendering.
    pub fn wants(&self, key: &WorkloadKey) -> bool {
        self.entries.get(key).is_some_and(|e| e.priority < Priority::Periodic)
    }

    /// The next one whose time has come.
    pub fn pop(&mut self, now: Duration) -> Option<(WorkloadKey, Priority)> {
        self.promote(now);
        let (priority, key) = self.ready.iter_mut().find_map(|(p, lane)| lane.pop().map(|key| (*p, key)))?;
        self.entries.remove(&key);
        Some((key, priority))
    }

    fn promote(&mut self, now: Duration) {
        while let Some((due, _)) = self.waiting.first()
            && *due <= now
        {
            let Some((_, key)) = self.waiting.pop_first() else { return };
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.ready = true;
                self.ready.entry(entry.priority).or_default().push(key);
            }
        }
    }

    /// When to look again: now if something is ready, else when the next one is due.
    pub fn next_due(&mut self, now: Duration) -> Option<Duration> {
        self.promote(now);
        if self.ready.values().any(|lane| !lane.queues.is_empty()) {
            return Some(now);
        }
        self.waiting.first().map(|(due, _)| *due)
    }

    /// How many wait, periodic looks left out.
    pub fn len(&self) -> usize {
        self.entries.values().filter(|e| e.priority < Priority::Periodic || e.ready).count()
    }

    /// Nothing waits but periodic looks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
