//! The guard: whether the API server itself holds us to dry runs and to the stamp.
//!
//! It is found out by asking for something that the guard must refuse. A refusal is believed for a little longer than
//! the time between two probes, and a rollout needs one that was asked for after it was planned, or a moment before.

use std::time::Duration;

use crate::core::config::{Mode, Policy};

/// A refusal is believed for this much longer than the time between two probes, which is room for a slow answer.
const GRACE: Duration = Duration::from_secs(5);

/// After a probe that was not refused, the next one comes soon: it may have been a lost connection.
const RETRY: Duration = Duration::from_secs(10);

/// A probe that was sent so long before a rollout was planned is good enough for it: however many are planned one after the
/// other, none is sent sooner after the last.
const MOMENT: Duration = Duration::from_secs(5);

/// What is known of the guard.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// When the newest probe was sent.
    sent: Option<Duration>,
    /// Its answer is outstanding.
    waiting: bool,
    /// A rollout was planned then, and no probe is fresh enough for it.
    wanted: Option<Duration>,
    /// What the newest answer was.
    refused: Option<bool>,
    /// When the newest probe was sent that was refused as it should be; none since one was not.
    in_force: Option<Duration>,
}

impl Guard {
    /// Whether rollouts wait for the guard: a person at a terminal works with rights of their own, and watches.
    pub(super) fn is_needed(policy: &Policy) -> bool {
        policy.mode == Mode::Enforce && Self::is_asked_for(policy)
    }

    /// Whether a daemon finds out if it is there: in report mode, too, its ServiceAccount may create Pods.
    pub(super) fn is_asked_for(policy: &Policy) -> bool {
        !policy.one_shot && !policy.without_guard
    }

    /// Whether it was found out at all.
    pub(super) fn answered(&self) -> bool {
        self.refused.is_some()
    }

    /// The guard is in force, as far as can be known.
    pub(super) fn is_in_force(&self, policy: &Policy, now: Duration) -> bool {
        let trusted = policy.guard_interval + GRACE;
        self.in_force.is_some_and(|sent| now.saturating_sub(sent) < trusted)
    }

    /// Whether a rollout that was planned then may be patched now.
    pub(super) fn lets(&self, planned: Duration, policy: &Policy, now: Duration) -> bool {
        !Self::is_needed(policy)
            || (self.is_in_force(policy, now) && self.in_force.is_some_and(|sent| is_fresh(sent, planned)))
    }

    /// A rollout is planned: a fresh probe is wanted before it is patched.
    pub(super) fn want_probe(&mut self, now: Duration) {
        if !self.sent.is_some_and(|sent| is_fresh(sent, now)) {
            self.wanted = Some(now);
        }
    }

    /// Takes the answer to a probe in. Returns whether it is another than before.
    pub(super) fn take(&mut self, refused: bool) -> bool {
        self.waiting = false;
        self.in_force = self.sent.filter(|_| refused);
        self.refused.replace(refused) != Some(refused)
    }

    /// A probe is sent.
    pub(super) fn probing(&mut self, now: Duration) {
        self.sent = Some(now);
        self.waiting = true;
    }

    /// When the next probe is to be sent; `None`: not before the answer to the last one, or never.
    pub(super) fn next_probe(&self, policy: &Policy) -> Option<Duration> {
        if self.waiting || !Self::is_asked_for(policy) {
            return None;
        }
        let Some(sent) = self.sent else { return Some(Duration::ZERO) };
        if self.wanted.is_some_and(|wanted| sent < wanted) {
            return self.wanted;
        }
        let interval = policy.guard_interval;
        // Where nothing waits for it, nothing is in a hurry.
        let soon = self.in_force.is_none() && Self::is_needed(policy);
        Some(sent + if soon { interval.min(RETRY) } else { interval })
    }
}

/// Whether a probe that was sent then will do for a rollout of that time.
fn is_fresh(sent: Duration, planned: Duration) -> bool {
    sent + MOMENT > planned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_of_a_moment_before_is_good_enough_for_the_next_one_that_is_planned() {
        let mut guard = Guard::default();
        let policy = Policy { mode: Mode::Enforce, ..Policy::default() };
        let seconds = Duration::from_secs;
        guard.probing(seconds(100));
        // Its answer is still to come: what is planned meanwhile needs no other one.
        guard.want_probe(seconds(104));
        assert!(!guard.lets(seconds(104), &policy, seconds(104)), "nobody has answered");
        guard.take(true);
        assert_eq!(guard.next_probe(&policy), Some(seconds(100) + policy.guard_interval));
        assert!(guard.lets(seconds(104), &policy, seconds(106)));
        assert!(!guard.lets(seconds(105), &policy, seconds(106)), "the probe is too old for this one");
        guard.want_probe(seconds(105));
        assert_eq!(guard.next_probe(&policy), Some(seconds(105)));
    }
}
