//! The alert gate: while Prometheus says that something else is wrong, or says nothing, no rollout is begun.
//!
//! Prometheus is asked at intervals, by the replica that leads. A rollout is begun only when it has said for some minutes
//! on end that no blocking alert fires: one that was just started anew says so too, before it has looked.

use std::time::Duration;

use super::report::AlertsReport;
use crate::core::{
    config::{Mode, Policy},
    io::{AlertsAnswer, AlertsReply},
};

/// Prometheus is asked this often. It evaluates its rules every minute by default.
const INTERVAL: Duration = Duration::from_secs(15);

/// An answer is believed for this long, which is room for two that are lost.
const TRUSTED: Duration = Duration::from_secs(50);

/// For this long nothing must have fired. A Prometheus that was restarted knows of no alert until it has evaluated its rules
/// once, and an alert that comes and goes is not over when it goes.
const CALM: Duration = Duration::from_mins(2);

/// Whether alerts hold all rollouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// They do not, or nobody wants that.
    None,
    /// Until then, if nothing happens.
    Until(Duration),
    /// Until something happens.
    On,
}

/// What is known of the alerts.
#[derive(Debug, Default)]
pub(super) struct AlertGate {
    /// When they were asked for last, and the ticket of that.
    asked: Option<(Duration, u64)>,
    /// Its answer is outstanding.
    waiting: bool,
    /// The newest answer, and when it was asked for.
    answer: Option<(Duration, AlertsAnswer)>,
    /// The first of the answers up to the newest between which nothing fired: when it was asked for.
    calm: Option<Duration>,
    /// What people were told last.
    last_notified: Option<AlertsReport>,
}

impl AlertGate {
    /// The configuration is another: what was found out by the old one counts no more.
    pub(super) fn forget(&mut self) {
        *self = Self { last_notified: self.last_notified.take(), ..Self::default() };
    }

    fn answered(&mut self, asked: Duration, answer: AlertsAnswer) {
        let quiet = matches!(&answer, AlertsAnswer::Firing(names) if names.is_empty());
        let gap = self.answer.as_ref().is_none_or(|(last, _)| asked.saturating_sub(*last) >= TRUSTED);
        self.calm = if quiet { self.calm.filter(|_| !gap).or(Some(asked)) } else { None };
        self.answer = Some((asked, answer));
    }

    /// Why no rollout may be begun; `None`: none of them fires.
    fn against(&self, now: Duration) -> Option<String> {
        let Some((asked, answer)) = &self.answer else {
            return Some("Prometheus has not answered yet".to_owned());
        };
        if now.saturating_sub(*asked) >= TRUSTED {
            return Some(format!("Prometheus has not answered for {} s", TRUSTED.as_secs()));
        }
        match answer {
            AlertsAnswer::Unknown { message } => Some(format!("what fires is not known: {message}")),
            AlertsAnswer::Firing(names) if !names.is_empty() => {
                let names: Vec<_> = names.iter().map(|name| &**name).collect();
                let verb = if names.len() == 1 { "is" } else { "are" };
                Some(format!("{} {verb} firing", names.join(", ")))
            }
            AlertsAnswer::Firing(_) => self.calms(now).map(|_| {
                format!("none fires any more, and rollouts go on after {} minutes of that", CALM.as_secs() / 60)
            }),
        }
    }

    /// When it will have been calm long enough; `None`: it has, or is not.
    fn calms(&self, now: Duration) -> Option<Duration> {
        self.calm.map(|since| since + CALM).filter(|at| *at > now)
    }

    /// Whether somebody wants it; a person at a terminal knows what is going on.
    fn is_wanted(policy: &Policy) -> bool {
        policy.mode == Mode::Enforce && !policy.one_shot && !policy.blocking_alerts.is_empty()
    }

    /// Whether alerts hold all rollouts now.
    pub(super) fn alarm(&self, policy: &Policy, now: Duration) -> Alarm {
        if !Self::is_wanted(policy) || self.against(now).is_none() {
            return Alarm::None;
        }
        self.calms(now).map_or(Alarm::On, Alarm::Until)
    }

    /// As readers see it; `None`: nobody wants it.
    pub(super) fn report(&self, policy: &Policy, now: Duration) -> Option<AlertsReport> {
        let message = if Self::is_wanted(policy) { self.against(now) } else { return None };
        Some(AlertsReport { blocking: message.is_some(), message: message.unwrap_or_default() })
    }

    /// Takes an answer in. Returns whether alerts hold rollouts otherwise than before.
    pub(super) fn take(&mut self, reply: AlertsReply, policy: &Policy, now: Duration) -> bool {
        let Some((asked, _)) = self.asked.filter(|(_, ticket)| *ticket == reply.ticket) else { return false };
        self.waiting = false;
        let before = self.alarm(policy, now);
        self.answered(asked, reply.answer);
        self.alarm(policy, now) != before
    }

    /// Prometheus is asked.
    pub(super) fn asking(&mut self, ticket: u64, now: Duration) {
        self.asked = Some((now, ticket));
        self.waiting = true;
    }

    /// When it is asked next; `None`: not before its answer, or never.
    pub(super) fn next_question(&self, policy: &Policy) -> Option<Duration> {
        let due =
            if self.waiting { None } else { Some(self.asked.map_or(Duration::ZERO, |(last, _)| last + INTERVAL)) };
        due.filter(|_| Self::is_wanted(policy))
    }

    /// What people are to be told now, if it is another than before. Before the first answer there is nothing to tell.
    pub(super) fn take_news(&mut self, report: Option<AlertsReport>) -> Option<AlertsReport> {
        if self.answer.is_none() || report == self.last_notified {
            return None;
        }
        self.last_notified.clone_from(&report);
        report
    }
}

#[cfg(test)]
mod tests;
