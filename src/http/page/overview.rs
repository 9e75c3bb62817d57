//! The first page, the plan, and what happened.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use askama::Template;

use super::{
    format::{Fact, RolloutRow, When, href, list, many, number, tone},
    frame::Frame,
};
use crate::{
    core::{
        config::Mode,
        model::words::{Gate, UndeterminedReason, Verdict, Word},
        report::{Report, WorkloadReport},
    },
    document::{
        api,
        summary::{Summary, differing, differs},
    },
};

/// Changes on the first page; the list of workloads has all.
const CHANGES: usize = 50;

/// `/`
#[derive(Debug, Template)]
#[template(path = "overview.html")]
pub(super) struct Overview {
    frame: Frame,
    headline: String,
    lead: String,
    share: String,
    tiles: Vec<Tile>,
    rolling: Vec<RolloutRow>,
    changes: Vec<Change>,
    more_changes: usize,
    problems: Vec<Problem>,
}

/// A verdict and how many have it.
#[derive(Debug)]
struct Tile {
    verdict: &'static str,
    meaning: &'static str,
    count: String,
    href: String,
    tone: &'static str,
    /// Of the bar, in percent.
    start: String,
    width: String,
}

#[derive(Debug)]
struct Change {
    title: String,
    href: String,
    workloads: String,
    pods: String,
    cause: String,
}

#[derive(Debug)]
struct Problem {
    word: &'static str,
    meaning: &'static str,
    count: String,
    href: String,
}

impl Overview {
    pub(super) fn of(report: &std::sync::Arc<Report>) -> Self {
        let summary = Summary::of(report);
        let all = summary.workloads;
        let drifted = report.workloads.iter().filter(|w| differs(w)).count();
        let rejected = summary.verdicts.get(&Verdict::Rejected).copied().unwrap_or_default();
        let headline = match (drifted, rejected) {
            _ if all == 0 => "No workloads here, yet".to_owned(),
            (0, 0) if report.complete => "Nothing has drifted".to_owned(),
            (0, 0) => "Nothing has drifted, as far as is known".to_owned(),
            (0, n) => format!("{} could not start a Pod now", many(n, "workload")),
            (1, _) => "1 workload has drifted".to_owned(),
            (n, _) => format!("{} have drifted", many(n, "workload")),
        };
        let lead = format!("{} in {} are watched.", many(all, "workload"), many(summary.namespaces, "namespace"));
        let changes = changes(report);
        Self {
            frame: Frame::new(report, "Overview", "/"),
            headline,
            lead,
            share: summary.verdicts.iter().map(|(v, n)| format!("{n} {v}")).collect::<Vec<_>>().join(", "),
            tiles: tiles(&summary),
            rolling: RolloutRow::rolling(report),
            more_changes: changes.len().saturating_sub(CHANGES),
            changes: changes.into_iter().take(CHANGES).collect(),
            problems: problems(&summary),
        }
    }
}

fn tiles(summary: &Summary) -> Vec<Tile> {
    let all = summary.workloads.max(1);
    let mut before = 0;
    let tile = |(&verdict, &n): (&Verdict, &usize)| {
        let start = before;
        before += n;
        Tile {
            verdict: verdict.as_str(),
            meaning: verdict.meaning(),
            count: number(n),
            href: list(&[("verdict", verdict.as_str())]),
            tone: tone(verdict),
            start: percent(start, all),
            width: percent(n, all),
        }
    };
    summary.verdicts.iter().map(tile).collect()
}

/// With two decimals.
fn percent(part: usize, all: usize) -> String {
    let hundredths = part * 10_000 / all;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn changes(report: &Report) -> Vec<Change> {
    let mut by_change = BTreeMap::<&str, Vec<&WorkloadReport>>::new();
    for w in report.workloads.iter().filter(|w| differs(w)) {
        by_change.entry(w.change.as_deref().unwrap_or_default()).or_default().push(w);
    }
    let mut all: Vec<_> = by_change.into_iter().collect();
    all.sort_by_key(|(_, workloads)| Reverse(workloads.len()));
    let change = |(title, workloads): (&str, Vec<&WorkloadReport>)| {
        let causes: BTreeSet<_> = workloads.iter().filter_map(|w| w.cause.as_deref()).collect();
        let cause = match (causes.first(), causes.len()) {
            (Some(cause), 1) => (*cause).to_owned(),
            (Some(cause), n) => format!("{cause}, and {} more", n - 1),
            (None, _) => "It was so when we came".to_owned(),
        };
        Change {
            title: if title.is_empty() { "no description".to_owned() } else { title.to_owned() },
            href: if title.is_empty() { list(&[("verdict", "drifted")]) } else { list(&[("change", title)]) },
            workloads: number(workloads.len()),
            pods: number(workloads.iter().map(|w| differing(w)).sum()),
            cause,
        }
    };
    all.into_iter().map(change).collect()
}

fn problems(summary: &Summary) -> Vec<Problem> {
    let problem = |(reason, n): (&UndeterminedReason, &usize)| Problem {
        word: reason.as_str(),
        meaning: reason.meaning(),
        count: number(*n),
        href: list(&[("reason", reason.as_str())]),
    };
    summary.undetermined.iter().map(problem).collect()
}

/// `/plan`
#[derive(Debug, Template)]
#[template(path = "plan.html")]
pub(super) struct PlanPage {
    frame: Frame,
    lead: &'static str,
    facts: Vec<Fact>,
    rolling: Vec<RolloutRow>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    title: String,
    meaning: String,
    total: String,
    rows: Vec<Planned>,
    more: usize,
    href: String,
}

#[derive(Debug)]
struct Planned {
    href: String,
    kind: String,
    namespace: String,
    name: String,
    change: String,
    pods: String,
    since: Option<When>,
}

impl PlanPage {
    pub(super) fn of(report: &std::sync::Arc<Report>) -> Self {
        let plan = api::Plan::of(report);
        let enforce = report.mode == Mode::Enforce;
        let left = report.rollouts_left.map_or("no limit".to_owned(), |n| n.to_string());
        let rolling = RolloutRow::rolling(report);
        let guard = match report.guard {
            Some(true) => "in force",
            Some(false) => "missing",
            None => "not asked for",
        };
        Self {
            frame: Frame::new(report, "Plan", "/plan"),
            lead: if enforce {
                "What is being rolled out, what comes next, and what holds the rest."
            } else {
                "Nothing is rolled out in report mode. This is what would hold each workload if it were."
            },
            facts: vec![
                Fact::new("Mode", if enforce { "enforce" } else { "report" }, None),
                Fact::new("Under way", number(rolling.len()), None),
                Fact::new("Left in this hour", left, None),
                Fact::new("Guard", guard, None),
            ],
            rolling,
            groups: plan.groups.into_iter().map(|held| Group::of(held, report)).collect(),
        }
    }
}

impl Group {
    fn of(held: api::Held, report: &Report) -> Self {
        let shown = held.workloads.len();
        let then = held.gate_in_enforce;
        let title = match (held.gate, then) {
            (None, _) => "Next".to_owned(),
            (Some(gate), None) => gate.to_string(),
            (Some(gate), Some(then)) => format!("{gate}, then {then}"),
        };
        let meaning = match (held.gate, then) {
            (None, _) => "nothing holds them: they are about to be rolled out".to_owned(),
            (Some(Gate::ReportOnly), None) => "in enforce mode nothing would hold them".to_owned(),
            (Some(_), Some(then)) => format!("in enforce mode: {}", then.meaning()),
            (Some(gate), None) => gate.meaning().to_owned(),
        };
        let row = |w: api::Planned| Planned {
            href: href(&w.namespace, &w.kind, &w.name),
            kind: w.kind.to_string(),
            namespace: w.namespace.to_string(),
            name: w.name.to_string(),
            change: w.change.unwrap_or_default(),
            pods: number(w.pods_differing),
            since: w.gate_since.and_then(|at| at.parse().ok()).map(|at| When::ago(at, report.taken)),
        };
        Self {
            title,
            meaning,
            total: number(held.total),
            more: held.total - shown,
            href: held.gate.map_or_else(|| list(&[("sort", "gate")]), |gate| list(&[("gate", gate.as_str())])),
            rows: held.workloads.into_iter().map(row).collect(),
        }
    }
}

/// `/activity`
#[derive(Debug, Template)]
#[template(path = "activity.html")]
pub(super) struct Activity {
    frame: Frame,
    rollouts: Vec<RolloutRow>,
    moves: Vec<Move>,
}

#[derive(Debug)]
struct Move {
    scope: String,
    generation: u64,
    cause: String,
    at: When,
}

impl Activity {
    pub(super) fn of(report: &std::sync::Arc<Report>) -> Self {
        let moves = report.generations.iter().map(|g| Move {
            scope: g.scope.clone(),
            generation: g.version,
            cause: g.cause.clone(),
            at: When::ago(g.at, report.taken),
        });
        Self {
            frame: Frame::new(report, "Activity", "/activity"),
            rollouts: report.rollouts.iter().map(|r| RolloutRow::of(r, report.taken)).collect(),
            moves: moves.collect(),
        }
    }
}
