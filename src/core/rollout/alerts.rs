//! The alert gate: while Prometheus says that something else is wrong, or says nothing, no rollout is begun.
//!
//! Prometheus is asked at intervals, by the replica that leads. A rollout is begun only when it has said for some minutes
//! on end that no blocking alert fires: one that was just started anew says so too, before it has looked.

use std::time::Duration;

use super::report::AlertsReport;
use crate::core::{
    config::Mode,
    io::{AlertsAnswer, AlertsReply, AlertsRequest, Effect, Notice},
    model::time::Now,
    step::Core,
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
pub(in crate::core) struct Alerts {
    /// When they were asked for last, and the ticket of that.
    asked: Option<(Duration, u64)>,
    /// Its answer is outstanding.
    waiting: bool,
    /// The newest answer, and when it was asked for.
    answer: Option<(Duration, AlertsAnswer)>,
    /// The first of the answers up to the newest between which nothing fired: when it was asked for.
    calm: Option<Duration>,
    /// What people were told last.
    told: Option<AlertsReport>,
}

impl Alerts {
    /// The configuration is another: what was found out by the old one counts no more.
    pub(in crate::core) fn forget(&mut self) {
        *self = Self { told: self.told.take(), ..Self::default() };
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

    fn due(&self) -> Option<Duration> {
        if self.waiting { None } else { Some(self.asked.map_or(Duration::ZERO, |(last, _)| last + INTERVAL)) }
    }
}

impl Core {
    /// Somebody wants it; a person at a terminal knows what is going on.
    fn heeds_alerts(&self) -> bool {
        self.policy.mode == Mode::Enforce && !self.policy.one_shot && !self.policy.blocking_alerts.is_empty()
    }

    /// Whether alerts hold all rollouts now.
    pub(in crate::core) fn alarm(&self, now: Now) -> Alarm {
        if !self.heeds_alerts() || self.alerts.against(now.elapsed).is_none() {
            return Alarm::None;
        }
        self.alerts.calms(now.elapsed).map_or(Alarm::On, Alarm::Until)
    }

    /// As readers see it; `None`: nobody wants it. A follower does not ask.
    pub(in crate::core) fn alerts_report(&self, now: Now) -> Option<AlertsReport> {
        if !self.heeds_alerts() || !self.leader {
            return None;
        }
        let message = self.alerts.against(now.elapsed);
        Some(AlertsReport { blocking: message.is_some(), message: message.unwrap_or_default() })
    }

    /// Takes an answer in.
    pub(in crate::core) fn alerts_answered(&mut self, reply: AlertsReply, now: Now) {
        let Some((asked, _)) = self.alerts.asked.filter(|(_, ticket)| *ticket == reply.ticket) else { return };
        self.alerts.waiting = false;
        let before = self.alarm(now);
        self.alerts.answered(asked, reply.answer);
        self.replan |= self.alarm(now) != before;
    }

    /// Asks if it is time, and tells people when it is another than before.
    pub(in crate::core) fn ask_for_alerts(&mut self, now: Now) {
        if self.next_alerts().is_some_and(|due| due <= now.elapsed) {
            let ticket = self.ticket();
            self.alerts.asked = Some((now.elapsed, ticket));
            self.alerts.waiting = true;
            let matchers = self.policy.blocking_alerts.clone();
            self.effects.push(Effect::AskAlerts(AlertsRequest { ticket, matchers }));
        }
        // Before the first answer there is nothing to tell.
        if self.alerts.answer.is_none() {
            return;
        }
        let report = self.alerts_report(now);
        if report != self.alerts.told {
            self.alerts.told.clone_from(&report);
            if let Some(AlertsReport { blocking, message }) = report {
                self.tell(Notice::Alerts { blocking, message });
            }
        }
    }

    /// When they are asked for next.
    pub(in crate::core) fn next_alerts(&self) -> Option<Duration> {
        self.alerts.due().filter(|_| self.heeds_alerts() && self.leader && !self.stopping)
    }
}

#[cfg(test)]
mod tests;
