//! Workloads that wait for the same answer: one of them asks, each in its turn, and the others once one was answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::core::model::WorkloadKey;

/// One of a group is asked after this long.
const SAMPLE: Duration = Duration::from_secs(30);
/// All of a group are asked once in this time.
const WOKEN_ONCE_IN: Duration = Duration::from_mins(1);
/// What has lasted for so long is looked at again after a tenth of that.
const SELDOM: u32 = 10;

/// What has not changed for this long is looked at again after a part of it: not sooner than after `least`, nor later than after
/// `most`, which is the time between two periodic looks.
pub(super) fn ever_more_seldom(lasted: Duration, least: Duration, most: Duration) -> Duration {
    let times = u32::try_from((lasted / SELDOM).as_secs() / least.as_secs().max(1)).unwrap_or(u32::MAX);
    least.saturating_mul(times).min(most).max(least)
}

/// The groups of those that wait, by what they wait for.
#[derive(Debug)]
pub(super) struct Waiting<Q> {
    groups: BTreeMap<Q, Group>,
}

/// The workloads that wait for the same answer.
#[derive(Debug)]
struct Group {
    waiting: BTreeSet<WorkloadKey>,
    since: Duration,
    next: Duration,
    asked: Option<WorkloadKey>,
    /// When all of it was asked last.
    woken: Option<Duration>,
}

impl<Q> Default for Waiting<Q> {
    fn default() -> Self {
        Self { groups: BTreeMap::new() }
    }
}

impl<Q: Ord + Clone> Waiting<Q> {
    /// A workload waits for this, too.
    pub(super) fn join(&mut self, question: &Q, key: &WorkloadKey, now: Duration) {
        let fresh = || Group { waiting: BTreeSet::new(), since: now, next: now + SAMPLE, asked: None, woken: None };
        self.groups.entry(question.clone()).or_insert_with(fresh).waiting.insert(key.clone());
    }

    /// How many wait for this beside this workload.
    pub(super) fn others(&self, question: &Q, key: &WorkloadKey) -> usize {
        self.groups.get(question).map_or(0, |group| group.waiting.len() - usize::from(group.waiting.contains(key)))
    }

    /// None is to be asked before then.
    pub(super) fn not_before(&mut self, question: &Q, at: Duration) {
        if let Some(group) = self.groups.get_mut(question) {
            group.next = group.next.max(at);
        }
    }

    /// A workload waits for this no more.
    pub(super) fn leave(&mut self, question: &Q, key: &WorkloadKey) {
        if let Some(group) = self.groups.get_mut(question) {
            group.waiting.remove(key);
            if group.waiting.is_empty() {
                self.groups.remove(question);
            }
        }
    }

    /// This workload got what it waited for. Returns the others of its group, who are to be asked now; not too often.
    pub(super) fn wake(&mut self, question: &Q, key: &WorkloadKey, now: Duration) -> Vec<WorkloadKey> {
        let Some(group) = self.groups.get_mut(question) else { return Vec::new() };
        if group.woken.is_some_and(|at| now < at + WOKEN_ONCE_IN) {
            return Vec::new();
        }
        (group.since, group.next, group.woken) = (now, now + SAMPLE, Some(now));
        group.waiting.iter().filter(|other| *other != key).cloned().collect()
    }

    /// When one of a group is asked again.
    pub(super) fn next(&self) -> Option<Duration> {
        self.groups.values().map(|group| group.next).min()
    }

    /// One of each group whose time has come, with what it waits for. The longer a group waits the more seldom each of it is
    /// asked; many take turns.
    pub(super) fn take_due(&mut self, resync: Duration, now: Duration) -> Vec<(Q, WorkloadKey)> {
        let mut due = Vec::new();
        for (question, group) in self.groups.iter_mut().filter(|(_, group)| group.next <= now) {
            let after = group.asked.as_ref().and_then(|last| group.waiting.iter().find(|key| *key > last));
            let sample = after.or_else(|| group.waiting.first()).cloned();
            let each = ever_more_seldom(now.saturating_sub(group.since), SAMPLE, resync);
            let turns = u32::try_from(group.waiting.len()).unwrap_or(u32::MAX).max(1);
            group.next = now + Duration::from_secs((each / turns).as_secs()).max(SAMPLE);
            due.extend(sample.clone().map(|key| (question.clone(), key)));
            group.asked = sample;
        }
        due
    }

    /// How many groups there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{owner::Kind, test_objects};

    const S: Duration = Duration::from_secs(1);
    const RESYNC: Duration = Duration::from_hours(6);

    fn key(n: usize) -> WorkloadKey {
        test_objects::key(Kind::DEPLOYMENT, "shop", &format!("w{n:03}"))
    }

    /// How often one of so many is asked in a day, and how often one of them is.
    fn day(workloads: usize) -> (usize, usize) {
        let mut waiting = Waiting::default();
        (0..workloads).for_each(|n| waiting.join(&"injector", &key(n), Duration::ZERO));
        let (mut all, mut first) = (0, 0);
        while let Some(at) = waiting.next().filter(|at| *at < Duration::from_hours(24)) {
            for (_, asked) in waiting.take_due(RESYNC, at) {
                all += 1;
                first += usize::from(asked == key(0));
            }
        }
        (all, first)
    }

    #[test]
    fn one_alone_is_asked_ever_more_seldom() {
        let (all, _) = day(1);
        assert!((60..80).contains(&all), "{all}");
    }

    #[test]
    fn many_take_turns_and_each_is_asked_seldom() {
        let (all, first) = day(160);
        assert!(all <= 24 * 120 && all > 2000, "{all}");
        assert!(first <= 18, "{first}");
    }

    #[test]
    fn once_one_is_answered_the_others_are_asked_but_not_again_at_once() {
        let mut waiting = Waiting::default();
        (0..3).for_each(|n| waiting.join(&"injector", &key(n), Duration::ZERO));
        assert_eq!(waiting.others(&"injector", &key(0)), 2);
        assert_eq!(waiting.wake(&"injector", &key(1), S * 100), [key(0), key(2)]);
        waiting.leave(&"injector", &key(1));
        assert_eq!(waiting.wake(&"injector", &key(2), S * 110), []);
        assert_eq!(waiting.next(), Some(S * 130));
        waiting.not_before(&"injector", S * 500);
        assert_eq!(waiting.next(), Some(S * 500));
        waiting.leave(&"injector", &key(0));
        waiting.leave(&"injector", &key(2));
        assert_eq!((waiting.next(), waiting.len()), (None, 0));
    }
}
