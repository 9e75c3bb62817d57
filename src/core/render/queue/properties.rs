//! The queue does what a list would do that is walked for everything, and looks at few entries for it.

use std::{cell::Cell, collections::BTreeMap};

use proptest::{collection::vec, prelude::*};

use crate::core::{model::owner::Kind, render::queue::*};

thread_local! {
    /// Entries that the queue looked at.
    pub(super) static LOOKS: Cell<usize> = const { Cell::new(0) };
}

const S: Duration = Duration::from_secs(1);

fn key(namespace: &str, name: &str) -> WorkloadKey {
    WorkloadKey { namespace: namespace.into(), kind: Kind::DEPLOYMENT, name: name.into() }
}

/// One workload in the list.
#[derive(Clone, Debug)]
struct Wish {
    key: WorkloadKey,
    due: Duration,
    priority: Priority,
    since: Duration,
    unsettled: bool,
    ready: bool,
}

/// Where the turns of one priority stand.
#[derive(Debug, Default)]
struct Turns {
    last: Option<Name>,
    left: usize,
    looked_at: Option<Name>,
    /// Namespaces that gave their sample, as long as somebody waits there.
    sampled: BTreeSet<Name>,
}

/// The queue as a list: those that are ready stand in it in the order in which they became so.
#[derive(Debug, Default)]
struct List {
    wishes: Vec<Wish>,
    turns: BTreeMap<Priority, Turns>,
    /// Who became ready, and was not given since: in which order, and when.
    places: BTreeMap<WorkloadKey, (u64, Duration)>,
    arrivals: u64,
    urgent_turns: usize,
}

impl List {
    fn of(&self, priority: Priority, namespace: &Name) -> Vec<WorkloadKey> {
        let here = |wish: &&Wish| wish.ready && wish.priority == priority && wish.key.namespace == *namespace;
        let mut here: Vec<_> = self.wishes.iter().filter(here).collect();
        here.sort_by_key(|wish| self.places.get(&wish.key));
        here.into_iter().map(|wish| wish.key.clone()).collect()
    }

    fn take_place(&mut self, key: &WorkloadKey, now: Duration) {
        if !self.places.contains_key(key) {
            self.places.insert(key.clone(), (self.arrivals, now));
            self.arrivals += 1;
        }
    }

    /// Of the priorities but the first one that somebody is ready in, that of whoever has waited longest, if too long.
    fn aged(&self, now: Duration) -> Option<Priority> {
        let longest = |priority: Priority| {
            let here = self.wishes.iter().filter(|wish| wish.ready && wish.priority == priority);
            here.filter_map(|wish| self.places.get(&wish.key).copied()).min()
        };
        let behind = Priority::ALL.into_iter().filter_map(|p| Some((longest(p)?, p))).skip(1);
        behind.filter(|((_, since), _)| *since + AGED <= now).min().map(|(_, priority)| priority)
    }

    fn namespaces(&self, priority: Priority) -> BTreeSet<Name> {
        let here = |wish: &&Wish| wish.ready && wish.priority == priority;
        self.wishes.iter().filter(here).map(|wish| wish.key.namespace.clone()).collect()
    }

    fn get(&self, key: &WorkloadKey) -> Option<&Wish> {
        self.wishes.iter().find(|wish| wish.key == *key)
    }

    fn remove(&mut self, key: &WorkloadKey) {
        self.wishes.retain(|wish| wish.key != *key);
        for (priority, turns) in &mut self.turns {
            let here = |wish: &Wish, ns: &Name| wish.ready && wish.priority == *priority && wish.key.namespace == *ns;
            turns.sampled.retain(|ns| self.wishes.iter().any(|wish| here(wish, ns)));
        }
    }

    fn schedule(&mut self, key: &WorkloadKey, due: Duration, priority: Priority, now: Duration) {
        let ready = due <= now;
        let mut wish = Wish { key: key.clone(), due, priority, since: now, unsettled: false, ready };
        if let Some(old) = self.get(key).cloned() {
            if priority == Priority::Periodic && old.priority < Priority::Periodic {
                return;
            }
            if old.priority < Priority::Periodic {
                wish.since = old.since;
            }
            wish.priority = priority.min(old.priority);
            if ready && old.ready && wish.priority == old.priority {
                self.wishes.iter_mut().filter(|old| old.key == *key).for_each(|old| *old = wish.clone());
                return;
            }
            self.remove(key);
        }
        if ready {
            self.take_place(key, now);
        } else if priority == Priority::Periodic {
            self.places.remove(key);
        }
        self.wishes.push(wish);
    }

    fn settle(&mut self, key: &WorkloadKey, due: Duration, priority: Priority, now: Duration) {
        let waits = self.get(key).filter(|old| old.priority < Priority::Periodic);
        let since = waits.filter(|old| old.unsettled || old.due > now).map_or(now, |old| old.since);
        let latest = (since + LONGEST_WAIT).max(now);
        self.schedule(key, due.min(latest), priority, now);
        for wish in self.wishes.iter_mut().filter(|wish| wish.key == *key) {
            (wish.since, wish.unsettled) = (since, latest < due);
        }
    }

    fn promote(&mut self, now: Duration) {
        let (mut due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.wishes).into_iter().partition(|wish| !wish.ready && wish.due <= now);
        due.sort_by(|a, b| (a.due, &a.key).cmp(&(b.due, &b.key)));
        self.wishes = rest;
        for wish in &due {
            self.take_place(&wish.key, now);
        }
        self.wishes.extend(due.into_iter().map(|wish| Wish { ready: true, ..wish }));
    }

    /// All namespaces in which somebody waits, once around, the next one after this first.
    fn around(&self, priority: Priority, after: Option<&Name>) -> Vec<Name> {
        let all = self.namespaces(priority);
        let later = all.iter().filter(|ns| after.is_none_or(|after| *ns > after));
        let earlier = all.iter().filter(|ns| after.is_some_and(|after| *ns <= after));
        later.chain(earlier).cloned().collect()
    }

    fn first(
        &self,
        (priority, namespace): (Priority, &Name),
        patience: &mut usize,
        may: impl Fn(&WorkloadKey) -> bool,
    ) -> Option<WorkloadKey> {
        for key in self.of(priority, namespace) {
            if *patience == 0 {
                return None;
            }
            if may(&key) {
                return Some(key);
            }
            *patience -= 1;
        }
        None
    }

    fn pop_of(
        &mut self,
        priority: Priority,
        patience: &mut usize,
        may: impl Fn(&WorkloadKey) -> bool,
    ) -> Option<WorkloadKey> {
        let turns = self.turns.entry(priority).or_default();
        let (last, left, looked_at) = (turns.last.clone(), turns.left, turns.looked_at.clone());
        let all = self.namespaces(priority);
        let goes_on = last.clone().filter(|last| left > 0 && all.contains(last));
        let next = goes_on.clone().or_else(|| self.around(priority, last.as_ref()).first().cloned())?;
        if let Some(key) = self.first((priority, &next), patience, &may) {
            let turns = self.turns.entry(priority).or_default();
            if goes_on.is_none() {
                let sample = priority == Priority::Moved && !turns.sampled.contains(&next);
                turns.left = if sample { 1 } else { TURN };
                turns.last = Some(next);
            }
            turns.left -= 1;
            return Some(key);
        }
        let others = self.around(priority, looked_at.as_ref()).into_iter().filter(|ns| *ns != next);
        for other in others.take(*patience).collect::<Vec<_>>() {
            self.turns.entry(priority).or_default().looked_at = Some(other.clone());
            if let Some(key) = self.first((priority, &other), patience, &may) {
                return Some(key);
            }
        }
        None
    }

    fn pop(
        &mut self,
        now: Duration,
        patience: &mut usize,
        may: impl Fn(&WorkloadKey) -> bool,
    ) -> Option<(WorkloadKey, Priority)> {
        self.promote(now);
        let aged = self.aged(now);
        let first = aged.filter(|_| self.urgent_turns >= URGENT_TURNS);
        for priority in first.into_iter().chain(Priority::ALL) {
            if let Some(key) = self.pop_of(priority, patience, &may) {
                self.turns.entry(priority).or_default().sampled.insert(key.namespace.clone());
                self.urgent_turns = if aged.is_none_or(|aged| aged == priority) { 0 } else { self.urgent_turns + 1 };
                self.remove(&key);
                self.places.remove(&key);
                return Some((key, priority));
            }
        }
        None
    }

    fn rest_of_turn(&self, key: &WorkloadKey, priority: Priority) -> Vec<WorkloadKey> {
        let turns = self.turns.get(&priority).filter(|turns| turns.last.as_ref() == Some(&key.namespace));
        let left = turns.map_or(0, |turns| turns.left);
        self.of(priority, &key.namespace).into_iter().take(left).collect()
    }

    fn next_due(&mut self, now: Duration) -> Option<Duration> {
        self.promote(now);
        self.wishes.iter().map(|wish| if wish.ready { now } else { wish.due }).min()
    }
}

/// What is done to both.
#[derive(Clone, Debug)]
enum Act {
    Settle {
        name: u8,
        after: u64,
        priority: usize,
    },
    Schedule {
        name: u8,
        after: u64,
        priority: usize,
    },
    Cancel(u8),
    DropWish(u8),
    /// With so much patience; of four namespaces those may be given whose bit is set, of each workload those that are no
    /// multiple of `but`.
    Pop {
        patience: usize,
        namespaces: u8,
        but: u8,
    },
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (any::<u8>(), 0..90_u64, 0..5_usize)
            .prop_map(|(name, after, priority)| Act::Settle { name, after, priority }),
        4 => (any::<u8>(), 0..4_u64, 0..5_usize)
            .prop_map(|(name, after, priority)| Act::Schedule { name, after, priority }),
        1 => any::<u8>().prop_map(Act::Cancel),
        1 => any::<u8>().prop_map(Act::DropWish),
        4 => (0..8_usize, any::<u8>(), 2..9_u8)
            .prop_map(|(patience, namespaces, but)| Act::Pop { patience, namespaces: namespaces | 2, but }),
        1 => (0..30_u64).prop_map(Act::Pass),
    ]
}

/// Most live in two of the four namespaces, so that turns end.
fn named(name: u8) -> WorkloadKey {
    let namespace = ["a", "a", "a", "b", "b", "c", "d", "a"][usize::from(name % 8)];
    key(namespace, &format!("{:02}", name / 4))
}

proptest! {
    #[test]
    fn it_does_what_a_list_would(acts in vec(act(), 1..400)) {
        let (mut queue, mut list, mut now) = (RenderQueue::default(), List::default(), S);
        for act in acts {
            match act {
                Act::Settle { name, after, priority } => {
                    let (key, due, priority) = (named(name), now + S * u32::try_from(after)?, Priority::ALL[priority]);
                    queue.settle(&key, due, priority, now);
                    list.settle(&key, due, priority, now);
                }
                Act::Schedule { name, after, priority } => {
                    // Some are late already.
                    let due = (now + S * u32::try_from(after)?).saturating_sub(S);
                    let (key, priority) = (named(name), Priority::ALL[priority]);
                    queue.schedule(&key, due, priority, now);
                    list.schedule(&key, due, priority, now);
                }
                Act::Cancel(name) => {
                    queue.cancel(&named(name));
                    list.remove(&named(name));
                    list.places.remove(&named(name));
                }
                Act::DropWish(name) => {
                    queue.drop_wish(&named(name));
                    if list.get(&named(name)).is_some_and(|wish| wish.priority > Priority::Confirm) {
                        list.remove(&named(name));
                    }
                }
                Act::Pop { patience, namespaces, but } => {
                    let bit = |namespace: &str| namespace.bytes().next().unwrap_or_default() - b'a';
                    let may = |key: &WorkloadKey| {
                        namespaces >> bit(&key.namespace) & 1 == 1 && key.name.parse::<u8>().is_ok_and(|n| n % but > 0)
                    };
                    let (mut left, mut left_of_list) = (patience, patience);
                    let given = queue.pop(now, &mut left, may);
                    prop_assert_eq!(&given, &list.pop(now, &mut left_of_list, may));
                    prop_assert_eq!(left, left_of_list);
                    if let Some((key, priority)) = given {
                        let rest: Vec<_> = queue.rest_of_turn(&key, priority).cloned().collect();
                        prop_assert_eq!(rest, list.rest_of_turn(&key, priority));
                    }
                }
                Act::Pass(seconds) => now += S * u32::try_from(seconds)?,
            }
            let waits = |wish: &&Wish| wish.ready || wish.priority < Priority::Periodic;
            let waiting = list.wishes.iter().filter(waits).count();
            prop_assert_eq!(queue.len(), waiting);
            let due = list.wishes.iter().map(|wish| wish.due).min();
            prop_assert_eq!(queue.overdue(now), due.map_or(Duration::ZERO, |due| now.saturating_sub(due)));
            prop_assert_eq!(queue.next_due(now), list.next_due(now));
            for wish in &list.wishes {
                prop_assert_eq!(queue.due(&wish.key), Some(wish.due));
                prop_assert_eq!(queue.wants(&wish.key), wish.priority < Priority::Periodic);
            }
        }
    }
}

/// The most entries that a wish looks at that is repeated, replaced or withdrawn while so many wait in one namespace.
fn most_looks(workloads: usize) -> usize {
    let mut queue = RenderQueue::default();
    let keys: Vec<_> = (0..workloads).map(|number| key("big", &format!("{number:06}"))).collect();
    for key in &keys {
        queue.schedule(key, S, Priority::Moved, S);
    }
    let mut most = 0;
    let mut look = |queue: &mut RenderQueue, act: &dyn Fn(&mut RenderQueue)| {
        LOOKS.set(0);
        act(queue);
        most = most.max(LOOKS.get());
    };
    for (number, key) in keys.iter().enumerate().step_by(workloads / 50) {
        let (now, later) = (S, S + S * u32::try_from(number % 7).unwrap_or_default());
        look(&mut queue, &|queue| queue.schedule(key, now, Priority::Moved, now));
        look(&mut queue, &|queue| queue.schedule(key, now, Priority::Changed, now));
        look(&mut queue, &|queue| queue.settle(key, later, Priority::Moved, now));
        look(&mut queue, &|queue| assert!(queue.len() > 0 && queue.overdue(later) == later.saturating_sub(now)));
        look(&mut queue, &|queue| assert!(queue.next_due(now).is_some()));
        look(&mut queue, &|queue| queue.cancel(key));
        look(&mut queue, &|queue| queue.schedule(key, now, Priority::Moved, now));
        look(&mut queue, &|queue| assert!(queue.pop(now, &mut 4, |_| false).is_none()));
        look(&mut queue, &|queue| {
            let given = queue.pop(now, &mut 4, |_| true);
            assert!(given.is_some_and(|(key, priority)| queue.rest_of_turn(&key, priority).count() <= TURN));
        });
    }
    most
}

#[test]
fn a_wish_looks_at_as_few_entries_however_many_wait() {
    let few = most_looks(100);
    assert!(few > 0 && few <= TURN + 2, "{few}");
    assert_eq!((most_looks(1_000), most_looks(20_000)), (few, few));
}
