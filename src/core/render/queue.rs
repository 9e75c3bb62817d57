//! Which workload is rendered next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::core::model::{Name, WorkloadKey};

/// How urgent a rendering is; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A rollout waits for it.
    Confirm,
    /// What runs differs from the first rendering, and a verdict takes a second one. At most one for each first one, so that
    /// it takes at most half of the budget; without it the first verdict would come when half of everything is done.
    Second,
    /// The workload itself is new or changed.
    Changed,
    /// Something that injection depends on moved.
    Moved,
    /// It is time to look again.
    Periodic,
}

/// What keeps moving is rendered all the same after this long: a ConfigMap that is written every few seconds must not
/// keep every verdict open.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Whose time came this long ago is not passed over for ever by those that are more urgent ...
const AGED: Duration = Duration::from_mins(1);

/// ... but is given one turn after so many of theirs.
const URGENT_TURNS: usize = 3;

/// So many workloads of a namespace are served in a row, so that their templates can be read together.
const TURN: usize = 16;

/// Workloads that want a rendering: each at most once, not before its time, by priority, fair between namespaces.
///
/// A wish costs O(log n), however many others wait in its namespace.
#[derive(Debug, Default)]
pub(super) struct RenderQueue {
    entries: HashMap<WorkloadKey, Entry>,
    /// Those whose time has not come.
    waiting: BTreeSet<(Duration, WorkloadKey)>,
    /// Those whose time has come.
    ready: BTreeMap<Priority, Lane>,
    /// When those were due whose time has come, each with its arrival.
    overdue: BTreeSet<(Duration, Arrival)>,
    /// The next one that becomes ready gets this number.
    next_arrival: Arrival,
    /// When each first became ready since it was given last, and its number. It keeps that however often an event replaces its
    /// wish, or takes it back for a while.
    places: HashMap<WorkloadKey, Place>,
    /// So many were given in a row since others have waited for too long.
    urgent_turns: usize,
    /// Entries that are periodic looks whose time has not come.
    periodic_waiting: usize,
}

/// The order in which entries became ready; each number is given once.
type Arrival = u64;

/// Since when somebody waits for a rendering, in the order of all that do.
#[derive(Clone, Copy, Debug)]
struct Place {
    arrival: Arrival,
    since: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: Duration,
    priority: Priority,
    /// When it was wanted first, or since what settled moved again.
    since: Duration,
    /// What it depends on did not settle in time.
    unsettled: bool,
    /// Its place among those whose time has come; `None` before.
    arrival: Option<Arrival>,
}

impl Entry {
    /// A periodic look whose time has not come: nothing that waits.
    fn is_quiet(&self) -> bool {
        self.priority == Priority::Periodic && self.arrival.is_none()
    }
}

/// One priority: a queue for each namespace, served in turn.
#[derive(Debug, Default)]
struct Lane {
    queues: BTreeMap<Name, Waiting>,
    /// Since when each waits.
    since: BTreeMap<Arrival, Duration>,
    last: Option<Name>,
    /// So many of the last namespace are served before it is another one's turn.
    left: usize,
    /// Whose first one was looked at last when others had to wait.
    looked_at: Option<Name>,
    /// A namespace gives a sample in its first turn, a single workload: after a move of an injector one of each shows what is
    /// coming.
    samples: bool,
}

/// Who waits in one namespace.
#[derive(Debug, Default)]
struct Waiting {
    /// The first that became ready comes first.
    keys: BTreeMap<Arrival, WorkloadKey>,
    /// It had a turn.
    sampled: bool,
}

impl Lane {
    fn of(priority: Priority) -> Self {
        Self { samples: priority == Priority::Moved, ..Self::default() }
    }

    fn push(&mut self, Place { arrival, since }: Place, key: WorkloadKey) {
        self.since.insert(arrival, since);
        self.queues.entry(key.namespace.clone()).or_default().keys.insert(arrival, key);
    }

    /// Takes one out; a namespace in which nobody waits any more is forgotten, with its sample.
    fn remove(&mut self, namespace: &Name, arrival: Arrival) -> Option<WorkloadKey> {
        self.since.remove(&arrival);
        let waiting = self.queues.get_mut(namespace)?;
        count_look();
        let key = waiting.keys.remove(&arrival);
        if waiting.keys.is_empty() {
            self.queues.remove(namespace);
        }
        key
    }

    /// The first one of the namespace whose turn it is that `may` be given. Only if there is none, the first one of another
    /// namespace: that has no turn for it, and who waits is the next one still.
    fn pop(&mut self, patience: &mut usize, may: &impl Fn(&WorkloadKey) -> bool) -> Option<WorkloadKey> {
        let last = self.last.as_ref();
        let goes_on = last.filter(|last| self.left > 0 && self.queues.contains_key(*last));
        let begins = goes_on.is_none();
        let next = goes_on.or_else(|| after(&self.queues, last).next().map(|(namespace, _)| namespace))?.clone();
        if let Some(arrival) = self.first_that_may(&next, patience, may) {
            if begins {
                let sampled = self.queues.get(&next).is_some_and(|waiting| waiting.sampled);
                self.left = if sampled || !self.samples { TURN } else { 1 };
                self.last = Some(next.clone());
            }
            self.left -= 1;
            return self.take(&next, arrival);
        }
        let others = after(&self.queues, self.looked_at.as_ref()).map(|(namespace, _)| namespace.clone());
        let others: Vec<_> = others.filter(|other| *other != next).take(*patience).collect();
        for other in others {
            self.looked_at = Some(other.clone());
            if let Some(arrival) = self.first_that_may(&other, patience, may) {
                return self.take(&other, arrival);
            }
        }
        None
    }

    fn first_that_may(
        &self,
        namespace: &Name,
        patience: &mut usize,
        may: &impl Fn(&WorkloadKey) -> bool,
    ) -> Option<Arrival> {
        for (arrival, key) in self.queues.get(namespace)?.keys.iter().take(*patience) {
            count_look();
            if may(key) {
                return Some(*arrival);
            }
            *patience -= 1;
        }
        None
    }

    fn take(&mut self, namespace: &Name, arrival: Arrival) -> Option<WorkloadKey> {
        self.queues.get_mut(namespace)?.sampled = true;
        self.remove(namespace, arrival)
    }

    /// Those that come next, without a turn of another namespace in between.
    fn rest_of_turn(&self) -> impl Iterator<Item = &WorkloadKey> {
        let waiting = self.last.as_ref().and_then(|last| self.queues.get(last));
        waiting.into_iter().flat_map(|waiting| waiting.keys.values()).take(self.left).inspect(|_| count_look())
    }
}

/// All of them, once around, beginning after this one.
fn after<'q>(
    queues: &'q BTreeMap<Name, Waiting>,
    namespace: Option<&Name>,
) -> impl Iterator<Item = (&'q Name, &'q Waiting)> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let (later, earlier) = match namespace {
        Some(namespace) => (Excluded(namespace), Included(namespace)),
        None => (Unbounded, Unbounded),
    };
    let earlier = namespace.map(|_| queues.range::<Name, _>((Unbounded, earlier)));
    queues.range::<Name, _>((later, Unbounded)).chain(earlier.into_iter().flatten())
}

/// An entry is looked at: tests count how many are.
fn count_look() {
    #[cfg(test)]
    properties::LOOKS.set(properties::LOOKS.get() + 1);
}

#[cfg(test)]
impl Priority {
    const ALL: [Self; 5] = [Self::Confirm, Self::Second, Self::Changed, Self::Moved, Self::Periodic];
}

impl RenderQueue {
    /// Wants a rendering once what moved has settled, at `due`. What keeps moving is rendered all the same after
    /// [`LONGEST_WAIT`].
    pub(super) fn settle(&mut self, key: &WorkloadKey, due: Duration, priority: Priority, now: Duration) {
        let waiting = self.entries.get(key).filter(|old| old.priority < Priority::Periodic);
        // What had settled and waits for others begins anew: nobody knows whether what is in force now is what just moved.
        let since = waiting.filter(|old| old.unsettled || old.due > now).map_or(now, |old| old.since);
        let latest = (since + LONGEST_WAIT).max(now);
        self.schedule(key, due.min(latest), priority, now);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.since = since;
            entry.unsettled = latest < due;
        }
    }

    /// Wants a rendering at `due`. A later wish for the same workload replaces the time of the first and keeps the more
    /// urgent priority. A periodic look gives way to any other wish.
    pub(super) fn schedule(&mut self, key: &WorkloadKey, due: Duration, priority: Priority, now: Duration) {
        let mut entry = Entry { due, priority, since: now, unsettled: false, arrival: None };
        if let Some(old) = self.entries.get(key).copied() {
            if priority == Priority::Periodic && old.priority < priority {
                return;
            }
            if old.priority < Priority::Periodic {
                entry.since = old.since;
            }
            entry.priority = priority.min(old.priority);
            if let Some(arrival) = old.arrival.filter(|_| due <= now && entry.priority == old.priority) {
                self.overdue.remove(&(old.due, arrival));
                self.overdue.insert((due, arrival));
                self.entries.insert(key.clone(), Entry { arrival: Some(arrival), ..entry });
                return;
            }
            self.take_back(key);
        }
        if due <= now {
            self.enter_lane(key.clone(), &mut entry, now);
        } else {
            if priority == Priority::Periodic {
                self.places.remove(key);
            }
            self.waiting.insert((due, key.clone()));
        }
        self.periodic_waiting += usize::from(entry.is_quiet());
        self.entries.insert(key.clone(), entry);
    }

    /// Its time has come: the place in the lane of its priority that it had before, or the last one.
    fn enter_lane(&mut self, key: WorkloadKey, entry: &mut Entry, now: Duration) {
        let next = Place { arrival: self.next_arrival, since: now };
        let place = *self.places.entry(key.clone()).or_insert(next);
        self.next_arrival += u64::from(place.arrival == next.arrival);
        entry.arrival = Some(place.arrival);
        self.overdue.insert((entry.due, place.arrival));
        self.ready.entry(entry.priority).or_insert_with(|| Lane::of(entry.priority)).push(place, key);
    }

    /// Wants no rendering any more, and never waited for one.
    pub(super) fn cancel(&mut self, key: &WorkloadKey) {
        self.take_back(key);
        self.places.remove(key);
    }

    /// Wants no rendering for now.
    fn take_back(&mut self, key: &WorkloadKey) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.periodic_waiting -= usize::from(entry.is_quiet());
        if let Some(arrival) = entry.arrival {
            self.overdue.remove(&(entry.due, arrival));
            if let Some(lane) = self.ready.get_mut(&entry.priority) {
                lane.remove(&key.namespace, arrival);
            }
        } else {
            self.waiting.remove(&(entry.due, key.clone()));
        }
    }

    /// Wants no rendering for now, unless a rollout waits for it. Its place stays its own.
    pub(super) fn drop_wish(&mut self, key: &WorkloadKey) {
        if self.entries.get(key).is_some_and(|e| e.priority > Priority::Confirm) {
            self.take_back(key);
        }
    }

    /// Whether it is wanted soon: anything but a periodic look.
    pub(super) fn due(&self, key: &WorkloadKey) -> Option<Duration> {
        self.entries.get(key).map(|entry| entry.due)
    }

    /// Whether a workload waits for a rendering.
    pub(super) fn wants(&self, key: &WorkloadKey) -> bool {
        self.entries.get(key).is_some_and(|e| e.priority < Priority::Periodic)
    }

    /// The next one whose time has come and that `may` be given now. Others pass who may not, and `patience` says how many of
    /// these are looked at; each takes one of it.
    pub(super) fn pop(
        &mut self,
        now: Duration,
        patience: &mut usize,
        may: impl Fn(&WorkloadKey) -> bool,
    ) -> Option<(WorkloadKey, Priority)> {
        self.promote(now);
        let aged = self.aged(now);
        let turn = aged.filter(|_| self.urgent_turns >= URGENT_TURNS);
        let first = turn.and_then(|priority| Some((priority, self.ready.get_mut(&priority)?.pop(patience, &may)?)));
        let mut lanes = self.ready.iter_mut();
        let (priority, key) =
            first.or_else(|| lanes.find_map(|(p, lane)| lane.pop(patience, &may).map(|key| (*p, key))))?;
        self.urgent_turns = if aged.is_none_or(|aged| aged == priority) { 0 } else { self.urgent_turns + 1 };
        self.places.remove(&key);
        if let Some(Entry { due, arrival: Some(arrival), .. }) = self.entries.remove(&key) {
            self.overdue.remove(&(due, arrival));
        }
        Some((key, priority))
    }

    /// Behind those that are most urgent: where somebody has waited for too long, longer than everywhere else.
    fn aged(&self, now: Duration) -> Option<Priority> {
        let mut lanes =
            self.ready.iter().filter_map(|(priority, lane)| Some((lane.since.first_key_value()?, *priority)));
        _ = lanes.next();
        let aged = lanes.filter(|((_, since), _)| **since + AGED <= now);
        aged.min_by_key(|((arrival, _), _)| **arrival).map(|(_, priority)| priority)
    }

    /// After this one was given: those of its namespace that are given next, unless something more urgent comes; none if
    /// it only passed others.
    pub(super) fn rest_of_turn(&self, key: &WorkloadKey, priority: Priority) -> impl Iterator<Item = &WorkloadKey> {
        let next = self.ready.get(&priority).into_iter().flat_map(Lane::rest_of_turn);
        next.filter(|next| next.namespace == key.namespace)
    }

    fn promote(&mut self, now: Duration) {
        while let Some((due, _)) = self.waiting.first()
            && *due <= now
        {
            count_look();
            let Some((_, key)) = self.waiting.pop_first() else { return };
            if let Some(mut entry) = self.entries.get(&key).copied() {
                self.periodic_waiting -= usize::from(entry.is_quiet());
                self.enter_lane(key.clone(), &mut entry, now);
                self.entries.insert(key, entry);
            }
        }
    }

    /// When to look again: now if something is ready, else when the next one is due.
    pub(super) fn next_due(&mut self, now: Duration) -> Option<Duration> {
        self.promote(now);
        if self.ready.values().any(|lane| !lane.queues.is_empty()) {
            return Some(now);
        }
        self.waiting.first().map(|(due, _)| *due)
    }

    /// How many wait, periodic looks left out.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.periodic_waiting
    }

    /// How many workloads something is remembered of, periodic looks included.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        let apart = self.places.keys().filter(|key| !self.entries.contains_key(*key)).count();
        self.entries.len() + apart
    }

    /// How long the one that has waited longest is overdue.
    pub(super) fn overdue(&self, now: Duration) -> Duration {
        let ready = self.overdue.first().map(|(due, _)| *due);
        let first = ready.into_iter().chain(self.waiting.first().map(|(due, _)| *due)).min();
        first.map_or(Duration::ZERO, |due| now.saturating_sub(due))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
