//! The hourly limit: so many rollouts in any 60 minutes, counted from those that were really begun.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use crate::core::{
    config::Policy,
    model::{WorkloadKey, time::Now},
};

/// What the limit is for.
const HOUR: Duration = Duration::from_hours(1);
/// A stamp is cut to whole seconds, so a rollout may be younger than it by this.
const STAMP_PRECISION: Duration = Duration::from_secs(1);

/// Rollouts that were begun in the last hour, by this process or, as their stamps show, by an earlier one or another leader.
#[derive(Debug, Default)]
pub(super) struct RecentStarts(Vec<Start>);

/// One rollout.
#[derive(Debug)]
struct Start {
    workload: WorkloadKey,
    /// What was sent; `None`: it is planned, and nothing was.
    stamp: Option<Timestamp>,
    /// It counts until then.
    expires: Duration,
    /// It is the newest one that this process planned for its workload.
    newest: bool,
}

impl RecentStarts {
    /// How many more may be begun now; `None`: there is no limit.
    pub(super) fn left(&self, policy: &Policy, now: Now) -> Option<u32> {
        let counted = u32::try_from(self.counted(now).count()).unwrap_or(u32::MAX);
        policy.max_rollouts_per_hour.map(|most| most.saturating_sub(counted))
    }

    /// When the next one may be begun, if none may now.
    pub(super) fn next(&self, policy: &Policy, now: Now) -> Option<Duration> {
        let most = policy.max_rollouts_per_hour? as usize;
        let mut ends: Vec<_> = self.counted(now).map(|start| start.expires).collect();
        ends.sort_unstable();
        // Where the limit was lowered meanwhile, more than one has to go.
        ends.len().checked_sub(most).and_then(|surplus| ends.get(surplus).copied())
    }

    fn counted(&self, now: Now) -> impl Iterator<Item = &Start> {
        self.0.iter().filter(move |start| start.expires > now.elapsed)
    }

    /// One is planned.
    pub(super) fn plan(&mut self, key: &WorkloadKey, now: Now) {
        self.0.iter_mut().filter(|start| start.workload == *key).for_each(|start| start.newest = false);
        self.add(key, None, now.elapsed + HOUR, now);
        if let Some(start) = self.0.last_mut() {
            start.newest = true;
        }
    }

    /// Its stamp is being sent: the hour counts from here.
    pub(super) fn patched(&mut self, key: &WorkloadKey, stamp: Timestamp, now: Now) {
        let expires = now.elapsed + HOUR;
        match self.newest(key) {
            Some(start) => (start.stamp, start.expires) = (Some(stamp), expires),
            // It took more than an hour to get so far.
            None => self.add(key, Some(stamp), expires, now),
        }
    }

    /// Of what was sent, this was written.
    pub(super) fn written(&mut self, key: &WorkloadKey, stamp: Timestamp) {
        if let Some(start) = self.newest(key) {
            start.stamp = Some(stamp);
        }
    }

    /// What was sent last was not written, for sure: until it is sent again it is only planned.
    pub(super) fn refused(&mut self, key: &WorkloadKey) {
        if let Some(start) = self.newest(key) {
            start.stamp = None;
        }
    }

    fn newest(&mut self, key: &WorkloadKey) -> Option<&mut Start> {
        self.0.iter_mut().find(|start| start.newest && start.workload == *key)
    }

    /// The newest one of this workload came to nothing.
    pub(super) fn give_back(&mut self, key: &WorkloadKey) {
        self.0.retain(|start| !(start.newest && start.workload == *key));
    }

    /// What was planned and not sent comes to nothing: another replica leads.
    pub(super) fn forget_plans(&mut self) {
        self.0.retain(|start| start.stamp.is_some());
    }

    /// A stamp was found: whoever wrote it, it counts, from when it says, or from now if that is in the future.
    pub(super) fn found(&mut self, key: &WorkloadKey, stamp: Timestamp, now: Now) {
        let known = |start: &Start| start.workload == *key && start.stamp == Some(stamp);
        let left = (HOUR + STAMP_PRECISION).saturating_sub(now.since(stamp));
        if !left.is_zero() && !self.0.iter().any(known) {
            self.add(key, Some(stamp), now.elapsed + left, now);
        }
    }

    /// The stamps that were sent to this workload, of those that count.
    pub(super) fn stamps_of(&self, key: &WorkloadKey, now: Now) -> BTreeSet<Timestamp> {
        self.counted(now).filter(|start| start.workload == *key).filter_map(|start| start.stamp).collect()
    }

    fn add(&mut self, key: &WorkloadKey, stamp: Option<Timestamp>, expires: Duration, now: Now) {
        // One of the future would be found anew for as long as its workload carries it.
        self.0.retain(|start| start.expires > now.elapsed || start.stamp.is_some_and(|stamp| stamp > now.wall));
        self.0.push(Start { workload: key.clone(), stamp, expires, newest: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::owner::Kind;

    const MINUTE: Duration = Duration::from_mins(1);

    fn key(name: &str) -> WorkloadKey {
        WorkloadKey { namespace: "shop".into(), kind: Kind::DEPLOYMENT, name: name.into() }
    }

    fn at(minute: u32) -> Now {
        let elapsed = MINUTE * minute;
        Now { elapsed, wall: Timestamp::from_second(1_000_000).unwrap() + elapsed }
    }

    fn limit(most: u32) -> Policy {
        Policy { max_rollouts_per_hour: Some(most), ..Policy::default() }
    }

    #[test]
    fn a_window_of_an_hour_slides() {
        let mut starts = RecentStarts::default();
        let policy = limit(2);
        for minute in [0, 40] {
            assert_ne!(starts.left(&policy, at(minute)), Some(0));
            starts.plan(&key("a"), at(minute));
        }
        assert_eq!((starts.left(&policy, at(41)), starts.next(&policy, at(41))), (Some(0), Some(MINUTE * 60)));
        assert_eq!((starts.left(&policy, at(60)), starts.next(&policy, at(60))), (Some(1), None));
        assert_eq!((starts.left(&policy, at(99)), starts.left(&policy, at(100))), (Some(1), Some(2)));
        // A lower limit counts what was begun under the higher one.
        assert_eq!(starts.next(&limit(1), at(41)), Some(MINUTE * 100));
        assert_eq!(starts.left(&Policy { max_rollouts_per_hour: None, ..Policy::default() }, at(41)), None);
    }

    #[test]
    fn the_hour_begins_when_the_patch_is_sent() {
        let mut starts = RecentStarts::default();
        starts.plan(&key("a"), at(0));
        starts.patched(&key("a"), at(5).wall, at(5));
        assert_eq!(starts.next(&limit(1), at(6)), Some(MINUTE * 65));
        starts.give_back(&key("a"));
        assert_eq!(starts.left(&limit(1), at(6)), Some(1));
    }

    #[test]
    fn an_older_stamp_that_is_found_meanwhile_is_another_rollout() {
        let mut starts = RecentStarts::default();
        starts.plan(&key("a"), at(60));
        starts.found(&key("a"), at(1).wall, at(60));
        starts.patched(&key("a"), at(60).wall, at(60));
        assert_eq!(starts.left(&limit(9), at(60)), Some(7));
        assert_eq!(starts.left(&limit(9), at(62)), Some(8), "the older one is over");
        starts.plan(&key("b"), at(62));
        starts.forget_plans();
        assert_eq!(starts.left(&limit(9), at(62)), Some(8), "what was not sent is forgotten, and no other");
    }

    #[test]
    fn stamps_of_others_count_once_and_those_of_the_future_from_now() {
        let mut starts = RecentStarts::default();
        let policy = limit(9);
        for _ in 0..3 {
            starts.found(&key("a"), at(10).wall, at(30));
            starts.found(&key("a"), at(900).wall, at(30));
        }
        assert_eq!(starts.left(&policy, at(30)), Some(7));
        starts.found(&key("old"), at(10).wall, at(72));
        assert_eq!(starts.left(&policy, at(72)), Some(8), "one of the two is over, and an old one is none");
        starts.plan(&key("b"), at(120));
        starts.found(&key("a"), at(900).wall, at(120));
        assert_eq!(starts.left(&policy, at(120)), Some(8), "one of the future counts once");
    }
}
