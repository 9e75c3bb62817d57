//! The guard: whether the API server itself holds us to dry runs and to the stamp.
//!
//! It is found out by asking for something that the guard must refuse. A refusal is believed for a little longer than
//! the time between two probes, and a rollout needs one that was asked for after it was planned.

use std::time::Duration;

use crate::core::{
    config::Mode,
    io::{Effect, Notice},
    model::time::Now,
    rollout::Rollout,
    step::Core,
};

/// A refusal is believed for this much longer than the time between two probes, which is room for a slow answer.
const GRACE: Duration = Duration::from_secs(5);

/// After a probe that was not refused, the next one comes soon: it may have been a lost connection.
const RETRY: Duration = Duration::from_secs(10);

/// What is known of the guard.
#[derive(Debug, Default)]
pub(in crate::core) struct Guard {
    /// When the newest probe was sent.
    sent: Option<Duration>,
    /// Its answer is outstanding.
    waiting: bool,
    /// A probe sent before this is too old for a rollout that was planned meanwhile.
    wanted: Option<Duration>,
    /// What the newest answer was.
    refused: Option<bool>,
    /// When the newest probe was sent that was refused as it should be; none since one was not.
    in_force: Option<Duration>,
}

impl Guard {
    /// Whether it was found out at all.
    pub(in crate::core) fn answered(&self) -> bool {
        self.refused.is_some()
    }

    /// When the next probe is to be sent; `None`: not before the answer to the last one.
    fn due(&self, interval: Duration) -> Option<Duration> {
        let Some(sent) = self.sent else { return Some(Duration::ZERO) };
        if self.waiting {
            return None;
        }
        if self.wanted.is_some_and(|wanted| sent < wanted) {
            return self.wanted;
        }
        Some(sent + if self.in_force.is_some() { interval } else { interval.min(RETRY) })
    }
}

impl Core {
    /// A person at a terminal works with rights of their own, and watches.
    fn needs_guard(&self) -> bool {
        self.policy.mode == Mode::Enforce && !self.policy.one_shot && !self.policy.without_guard
    }

    /// The guard is in force, as far as can be known.
    pub(in crate::core) fn guarded(&self, now: Now) -> bool {
        let trusted = self.policy.guard_interval + GRACE;
        self.guard.in_force.is_some_and(|sent| now.elapsed.saturating_sub(sent) < trusted)
    }

    /// As readers see it; `None`: there is no need of a guard. A follower needs none, and does not probe it.
    pub(in crate::core) fn guard_report(&self, now: Now) -> Option<bool> {
        (self.needs_guard() && self.leader).then(|| self.guarded(now))
    }

    /// Whether a rollout that was planned then may be patched now.
    pub(in crate::core) fn guard_lets(&self, rollout: &Rollout, now: Now) -> bool {
        let since = rollout.planned();
        !self.needs_guard() || (self.guarded(now) && self.guard.in_force.is_some_and(|sent| sent >= since))
    }

    /// A rollout is planned: a probe of now is wanted before it is patched.
    pub(in crate::core) fn want_probe(&mut self, now: Now) {
        self.guard.wanted = Some(now.elapsed);
    }

    /// Takes the answer to a probe in.
    pub(in crate::core) fn guard_answered(&mut self, refused: bool, now: Now) {
        self.guard.waiting = false;
        self.guard.in_force = self.guard.sent.filter(|_| refused);
        self.replan = true;
        if self.guard.refused.replace(refused) != Some(refused) {
            self.tell(Notice::Guard { in_force: refused });
        }
        if !refused && self.needs_guard() {
            self.hold_unguarded(now);
        }
    }

    /// Sends a probe if one is due.
    pub(in crate::core) fn probe_guard(&mut self, now: Now) {
        if self.next_probe().is_some_and(|due| due <= now.elapsed) {
            self.guard.sent = Some(now.elapsed);
            self.guard.waiting = true;
            self.effects.push(Effect::ProbeGuard);
        }
    }

    /// When the next probe is due.
    pub(in crate::core) fn next_probe(&self) -> Option<Duration> {
        let probes = self.needs_guard() && self.leader && !self.stopping;
        self.guard.due(self.policy.guard_interval).filter(|_| probes)
    }
}

#[cfg(test)]
mod tests;
