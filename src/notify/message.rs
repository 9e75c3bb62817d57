//! The content of a notification.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    core::{
        io::Notice,
        model::{
            Name, WorkloadKey,
            words::{Outcome, Verdict, Word},
        },
    },
    document::{
        API_VERSION,
        summary::{breaker_opened, many},
    },
};

/// Workloads of one change that are named; the others are counted.
const MAX_NAMES: usize = 10;
/// Changes, and rollouts, in one message; the others are counted.
const MAX_LINES: usize = 20;

/// Something that people are notified of.
#[derive(Clone, Debug, PartialEq)]
pub enum Occurrence {
    /// A workload differs from what would be injected, or would be refused.
    Drift {
        /// Which.
        workload: WorkloadKey,
        /// What it is now.
        verdict: Verdict,
        /// What a rollout would change; empty where there is none.
        change: String,
    },
    /// A rollout ended, or is late.
    Ended {
        /// Whose.
        workload: WorkloadKey,
        /// How.
        outcome: Outcome,
        /// One sentence.
        message: String,
    },
    /// The workloads that differed already at the first scan, by verdict.
    Standing(BTreeMap<Verdict, usize>),
    /// The breaker opened.
    Breaker {
        /// Where; `None`: everywhere.
        namespace: Option<Name>,
        /// Why.
        reason: String,
    },
}

impl Occurrence {
    /// The occurrence of a notice, if people are notified of its kind.
    pub fn of(notice: &Notice) -> Option<Self> {
        match notice {
            Notice::VerdictChanged { workload, to, change, .. } => is_reported(*to).then(|| Self::Drift {
                workload: workload.clone(),
                verdict: *to,
                change: change.clone(),
            }),
            Notice::RolloutEnded { workload, outcome, message, .. } => {
                Some(Self::Ended { workload: workload.clone(), outcome: *outcome, message: message.clone() })
            }
            Notice::BreakerOpened { namespace, reason, .. } => {
                Some(Self::Breaker { namespace: namespace.clone(), reason: reason.clone() })
            }
            _ => None,
        }
    }
}

/// Whether people are notified of workloads with this verdict.
pub(super) fn is_reported(verdict: Verdict) -> bool {
    use Verdict::{Drifted, Missing, NonConvergent, Rejected, Removed};
    matches!(verdict, Rejected | NonConvergent | Removed | Missing | Drifted)
}

/// One message: all occurrences within a short time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    drift: BTreeMap<(Verdict, String), Workloads>,
    /// The first of them, and how many more there were.
    ended: Vec<(WorkloadKey, Outcome, String)>,
    more_ended: usize,
    breaker: Option<String>,
    /// By namespace: some of them, and how many more there were.
    breakers: BTreeMap<Name, String>,
    more_breakers: usize,
    standing: BTreeMap<Verdict, usize>,
}

/// Some are named, all are counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Workloads {
    total: usize,
    named: Vec<String>,
}

impl Message {
    /// Adds an occurrence; returns whether the message is urgent.
    pub fn add(&mut self, occurrence: Occurrence) -> bool {
        match occurrence {
            Occurrence::Drift { workload, verdict, change } => {
                let workloads = self.drift.entry((verdict, change)).or_default();
                let name = workload.to_string();
                if workloads.named.contains(&name) {
                    return false;
                }
                workloads.total += 1;
                if workloads.named.len() < MAX_NAMES {
                    workloads.named.push(name);
                }
                false
            }
            Occurrence::Ended { workload, outcome, message } => {
                if self.ended.len() < MAX_LINES {
                    self.ended.push((workload, outcome, message));
                } else {
                    self.more_ended += 1;
                }
                false
            }
            Occurrence::Standing(standing) => {
                self.standing = standing;
                false
            }
            Occurrence::Breaker { namespace: None, reason } => {
                self.breaker = Some(reason);
                true
            }
            Occurrence::Breaker { namespace: Some(namespace), reason } => {
                if self.breakers.len() < MAX_LINES || self.breakers.contains_key(&namespace) {
                    self.breakers.insert(namespace, reason);
                } else {
                    self.more_breakers += 1;
                }
                true
            }
        }
    }

    /// A line for each thing, the worst first.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        lines.extend(self.breaker.iter().map(|reason| breaker_opened(None, reason)));
        lines.extend(self.breakers.iter().map(|(namespace, reason)| breaker_opened(Some(namespace), reason)));
        if self.more_breakers > 0 {
            lines.push(format!("The breaker opened in {} more.", many(self.more_breakers, "namespace")));
        }
        if !self.standing.is_empty() {
            let all = many(self.standing.values().sum(), "workload");
            let each: Vec<_> = self.standing.iter().map(|(verdict, n)| format!("{n} {verdict}")).collect();
            lines.push(format!("The first look is done; not as they should be are {all}: {}", each.join(", ")));
        }
        for ((verdict, change), workloads) in self.drift.iter().take(MAX_LINES) {
            let what = if change.is_empty() { verdict.meaning() } else { change };
            let named = workloads.named.join(", ");
            let more = match workloads.total - workloads.named.len() {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            lines.push(format!("{} {verdict}: {what} ({named}{more})", many(workloads.total, "workload")));
        }
        if let Some(more) = self.drift.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
            lines.push(format!("and {} more", many(more, "change")));
        }
        for (workload, outcome, message) in &self.ended {
            let why = if message.is_empty() { String::new() } else { format!(", {message}") };
            lines.push(format!("Rollout of {workload}: {outcome}{why}"));
        }
        if self.more_ended > 0 {
            lines.push(format!("and {} more", many(self.more_ended, "rollout")));
        }
        lines.join("\n")
    }

    /// The message as JSON.
    pub fn json(&self) -> Value {
        let drift = self.drift.iter().take(MAX_LINES).map(|((verdict, change), workloads)| {
            json!({ "verdict": verdict, "change": change, "total": workloads.total, "workloads": workloads.named })
        });
        let ended = self.ended.iter().map(|(workload, outcome, message)| {
            json!({ "workload": workload.to_string(), "outcome": outcome, "message": message })
        });
        json!({
            "apiVersion": API_VERSION,
            "kind": "Notification",
            "text": self.text(),
            "drift": drift.collect::<Vec<_>>(),
            "rollouts": ended.collect::<Vec<_>>(),
            "breaker": self.breaker,
            "breakers": self.breakers,
            "standing": self.standing,
        })
    }

    /// The message as Slack and compatible services take it. Whoever may write a Pod writes parts of it, so it stands in a block of
    /// code, where nothing is a mention, a link or emphasis; `<`, `>` and `&` are markup even there.
    pub fn slack(&self) -> Value {
        let text = self.text().replace('`', "'").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        json!({ "text": format!("*sidecar-drift*\n```\n{text}\n```") })
    }
}
