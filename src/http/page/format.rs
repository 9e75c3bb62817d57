//! How single things are shown: words and their tones, times, addresses, values.

use jiff::Timestamp;

use crate::{
    core::{
        model::words::{Gate, Outcome, Verdict, Word},
        report::{Report, WorkloadReport},
        rollout::RolloutReport,
    },
    document::summary::differing,
};

/// What colour a verdict has; the word itself is always there, too.
pub(super) fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Rejected | Verdict::NonConvergent => "bad",
        Verdict::Removed | Verdict::Missing | Verdict::Drifted => "warn",
        Verdict::Undetermined => "dim",
        Verdict::InSync => "good",
        Verdict::NoPods | Verdict::NotInjected => "none",
    }
}

/// A moment: in full for programs and for who points at it, and how long ago it was.
#[derive(Clone, Debug)]
pub(super) struct When {
    pub(super) full: String,
    pub(super) short: String,
}

impl When {
    pub(super) fn ago(at: Timestamp, now: Timestamp) -> Self {
        let seconds = now.duration_since(at).as_secs().max(0);
        Self { full: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), short: format!("{} ago", span(seconds)) }
    }
}

/// `45 s`, `12 min`, `3 h`, `2 d`
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A count with its thousands apart: `12 345`, by narrow spaces that do not break.
pub(super) fn number(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1 workload`, `12 345 workloads`
pub(super) fn many(n: usize, word: &str) -> String {
    format!("{} {word}{}", number(n), if n == 1 { "" } else { "s" })
}

/// The address of a workload's page.
pub(super) fn href(namespace: &str, kind: &str, name: &str) -> String {
    format!("/workloads/{}/{}/{}", segment(namespace), segment(kind), segment(name))
}

/// The address of the list with these parameters.
pub(super) fn list(parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    let query = query.finish();
    if query.is_empty() { "/workloads".to_owned() } else { format!("/workloads?{query}") }
}

/// One part of a path.
fn segment(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A workload as a row of a list.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) href: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) verdict: &'static str,
    pub(super) meaning: &'static str,
    pub(super) reason: Option<&'static str>,
    pub(super) tone: &'static str,
    pub(super) message: Option<String>,
    pub(super) change: Option<String>,
    pub(super) pods: String,
    pub(super) gate: Option<&'static str>,
    pub(super) gate_meaning: &'static str,
    pub(super) then: Option<&'static str>,
    pub(super) since: Option<When>,
}

impl Row {
    pub(super) fn of(w: &WorkloadReport, now: Timestamp) -> Self {
        Self {
            href: href(&w.namespace, &w.kind, &w.name),
            kind: w.kind.to_string(),
            namespace: w.namespace.to_string(),
            name: w.name.to_string(),
            verdict: w.verdict.as_str(),
            meaning: w.reason.map_or(w.verdict.meaning(), Word::meaning),
            reason: w.reason.map(Word::as_str),
            tone: tone(w.verdict),
            message: w.message.clone(),
            change: w.change.clone(),
            pods: match differing(w) {
                0 => number(w.pods),
                n => format!("{} of {}", number(n), number(w.pods)),
            },
            gate: w.gate.map(Word::as_str),
            gate_meaning: w.gate.map_or("", Word::meaning),
            then: w.gate_in_enforce.filter(|_| w.gate == Some(Gate::ReportOnly)).map(Word::as_str),
            since: w.first_seen.map(|at| When::ago(at, now)),
        }
    }
}

/// A rollout as a row of a list.
#[derive(Debug)]
pub(super) struct RolloutRow {
    pub(super) href: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) outcome: &'static str,
    pub(super) tone: &'static str,
    pub(super) started: When,
    pub(super) took: String,
    pub(super) message: String,
    pub(super) change: String,
}

impl RolloutRow {
    pub(super) fn of(r: &RolloutReport, now: Timestamp) -> Self {
        let (outcome, tone) = match r.outcome {
            None => ("under way", "dim"),
            Some(outcome @ Outcome::Converged) => (outcome.as_str(), "good"),
            Some(outcome @ (Outcome::TimedOut | Outcome::Superseded)) => (outcome.as_str(), "warn"),
            Some(outcome) => (outcome.as_str(), "bad"),
        };
        Self {
            href: href(&r.namespace, &r.kind, &r.name),
            kind: r.kind.to_string(),
            namespace: r.namespace.to_string(),
            name: r.name.to_string(),
            outcome,
            tone,
            started: When::ago(r.started, now),
            took: span(i64::try_from(r.seconds).unwrap_or(i64::MAX)),
            message: r.message.clone(),
            change: r.change.clone(),
        }
    }

    /// Those under way.
    pub(super) fn rolling(report: &Report) -> Vec<Self> {
        report.rollouts.iter().filter(|r| r.outcome.is_none()).map(|r| Self::of(r, report.taken)).collect()
    }
}

/// A title with its text, and perhaps something more.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) title: &'static str,
    pub(super) text: String,
    pub(super) more: Option<String>,
}

impl Fact {
    pub(super) fn new(title: &'static str, text: impl Into<String>, more: Option<String>) -> Self {
        Self { title, text: text.into(), more }
    }
}
