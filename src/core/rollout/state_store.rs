//! The state ConfigMap: what it says, what we want it to say, and writing it.

use std::{collections::BTreeMap, time::Duration};

use crate::core::io::{Attempts, StateRecord};

/// However much changes, and however fast a write is answered, the next one waits so long.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// After a write that changed nothing the next one waits this long, and twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait between two writes.
const LAST_RETRY: Duration = Duration::from_mins(1);

/// The state ConfigMap.
#[derive(Debug, Default)]
pub(super) struct StateStore {
    /// As we want it; `None`: it was never read.
    wanted: Option<StateRecord>,
    /// As it was read last.
    read: Option<StateRecord>,
    /// It can be read.
    readable: bool,
    /// A write is under way.
    writing: bool,
    /// Writes in a row that changed nothing.
    failures: u32,
    /// No write before then.
    rests_until: Duration,
}

impl StateStore {
    /// What it says; `None`: missing or unreadable.
    pub(super) fn get(&self) -> Option<&StateRecord> {
        self.wanted.as_ref().filter(|_| self.readable)
    }

    /// What is to be on record, also while it cannot be read.
    pub(super) fn wanted(&self) -> Option<&StateRecord> {
        self.wanted.as_ref()
    }

    pub(super) fn writing(&self) -> bool {
        self.writing
    }

    /// We want something that matters and that the ConfigMap does not say, yet.
    pub(super) fn unwritten(&self) -> bool {
        let (Some(wanted), Some(read)) = (&self.wanted, &self.read) else { return false };
        self.readable && !same(wanted, read)
    }

    /// Which workloads go first is on record, as we want it.
    pub(super) fn canaries_are_written(&self) -> bool {
        let canaries = |record: &Option<StateRecord>| record.as_ref().map(|record| record.canaries.clone());
        !self.readable || self.read.is_none() || canaries(&self.wanted) == canaries(&self.read)
    }

    /// We want nothing but what it says.
    pub(super) fn drop_changes(&mut self) {
        self.wanted.clone_from(&self.read);
    }

    /// Takes it in as it is now, keeping what we have changed and not written yet.
    pub(super) fn take_in(&mut self, read: Option<StateRecord>, now: Duration) {
        let answered = std::mem::take(&mut self.writing);
        self.readable = read.is_some();
        // While it is missing, what we want stays: breaker and canaries are on record when it is back.
        let Some(read) = read else { return };
        let base = self.read.replace(read.clone());
        let version = base.as_ref().and_then(|base| base.resource_version.clone());
        self.wanted = Some(match self.wanted.take() {
            Some(mine) => merged(mine, &base.filter(|base| follows(base, &read)).unwrap_or_default(), &read),
            None => read,
        });
        let moved = self.read.as_ref().and_then(|read| read.resource_version.clone()) != version;
        if moved || !self.unwritten() {
            self.failures = 0;
        } else if answered {
            self.rests_until = now + FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(LAST_RETRY);
            self.failures += 1;
        }
    }

    /// Changes what we want. `detached`: a person at a terminal works without the ConfigMap; then it lives as long as the
    /// process.
    pub(super) fn change(&mut self, detached: bool, change: impl FnOnce(&mut StateRecord)) {
        if detached && self.wanted.is_none() {
            self.wanted = Some(StateRecord::default());
            self.readable = true;
        }
        if let Some(wanted) = &mut self.wanted {
            change(wanted);
        }
    }

    /// When what we want is to be written; `None`: there is nothing to write, or a write is under way.
    pub(super) fn next_write(&self) -> Option<Duration> {
        (!self.writing && self.unwritten()).then_some(self.rests_until)
    }

    /// What is to be written now, if it is time.
    pub(super) fn take_write(&mut self, now: Duration) -> Option<StateRecord> {
        self.next_write().filter(|at| *at <= now)?;
        self.writing = true;
        self.rests_until = now + BETWEEN_WRITES;
        self.wanted.clone()
    }
}

/// What `base` said and this does not is gone because somebody wanted that. Of a ConfigMap that was deleted and made anew, or emptied,
/// only a person's `resume` says so.
fn follows(base: &StateRecord, read: &StateRecord) -> bool {
    read.incarnation == base.incarnation || read.resumed > base.resumed
}

/// Both say the same, but for attempts of which only their stamps tell that they were made.
fn same(a: &StateRecord, b: &StateRecord) -> bool {
    let StateRecord {
        resource_version: _,
        incarnation: _,
        resumed,
        paused,
        breaker,
        recent,
        canaries,
        locks,
        retries,
        starts,
        attempts,
    } = a;
    (resumed, paused, breaker, recent) == (&b.resumed, &b.paused, &b.breaker, &b.recent)
        && (canaries, locks, retries, starts) == (&b.canaries, &b.locks, &b.retries, &b.starts)
        && attempts.that_matter().eq(b.attempts.that_matter())
}

/// What we changed since `base`, and for the rest what was read.
fn merged(mine: StateRecord, base: &StateRecord, read: &StateRecord) -> StateRecord {
    StateRecord {
        resource_version: read.resource_version.clone(),
        incarnation: read.incarnation.clone(),
        resumed: mine.resumed.max(read.resumed),
        paused: if mine.paused == base.paused { read.paused.clone() } else { mine.paused },
        breaker: if mine.breaker == base.breaker { read.breaker.clone() } else { mine.breaker },
        recent: if mine.recent == base.recent { read.recent.clone() } else { mine.recent },
        canaries: merged_map(mine.canaries, &base.canaries, &read.canaries),
        locks: merged_map(mine.locks, &base.locks, &read.locks),
        retries: merged_map(mine.retries, &base.retries, &read.retries),
        starts: merged_map(mine.starts, &base.starts, &read.starts),
        attempts: Attempts(merged_map(mine.attempts.0, &base.attempts.0, &read.attempts.0)),
    }
}

/// The same for entries: those that we added, changed or removed since `base`, and all others as they were read.
fn merged_map<K: Ord + Clone, V: PartialEq + Clone>(
    mine: BTreeMap<K, V>,
    base: &BTreeMap<K, V>,
    read: &BTreeMap<K, V>,
) -> BTreeMap<K, V> {
    let mut all = read.clone();
    all.retain(|key, _| !base.contains_key(key) || mine.contains_key(key));
    all.extend(mine.into_iter().filter(|(key, value)| base.get(key) != Some(value)));
    all
}

#[cfg(test)]
mod tests;
