//! The whole story of a workload for people: what differs, and then everything that it comes from.

use std::fmt::Write;

use super::{
    diff::{describe, line},
    redaction::Redaction,
    scan::remarks,
    table::{Form, Page},
    text::{age, one_line},
};
use crate::core::{
    model::words::{Gate, Word},
    report::{Dependency, Report, Story, WorkloadReport},
};

/// The dependencies that were changed last are the likeliest cause; so many are shown.
const DEPENDENCIES: usize = 12;

/// The story of each workload of the report.
pub fn text(report: &Report, redaction: &Redaction, page: Page) -> String {
    let mut text = String::new();
    if page.form == Form::Markdown {
        text.push_str("```diff\n");
    }
    for workload in &report.workloads {
        describe(&mut text, workload, redaction, page.width);
        let moment = |at: Option<jiff::Timestamp>| {
            at.map(|at| format!("{at} ({} ago)", age(at, report.taken))).unwrap_or_default()
        };
        let first = workload.first_seen.filter(|at| report.taken.duration_since(*at).as_secs() >= 60);
        if first.is_some() {
            line(&mut text, 2, &format!("since: {}", moment(first)), page.width);
        }
        if let Some(gate) = workload.gate.filter(|gate| *gate == Gate::ReportOnly) {
            let then = workload.gate_in_enforce.map_or_else(
                || format!("nothing else holds it: `sidecar-drift rollout{}` would roll it out", included_by(workload)),
                |then| format!("behind it {then}: {}", then.meaning()),
            );
            line(&mut text, 2, &format!("{gate}: {}; {then}", gate.meaning()), page.width);
        }
    }
    if let Some(story) = &report.story {
        tell(&mut text, story, report, page.width);
    }
    if page.form == Form::Markdown {
        text.push_str("```\n");
    }
    for remark in remarks(report) {
        text.push_str(&page.sentence(&remark));
    }
    text
}

/// The flag without which `rollout` leaves workloads of this kind aside.
fn included_by(workload: &WorkloadReport) -> &'static str {
    match &*workload.kind {
        "StatefulSet" => " --include-statefulset",
        "DaemonSet" => " --include-daemonset",
        _ => "",
    }
}

fn tell(text: &mut String, story: &Story, report: &Report, width: Option<u16>) {
    let mut part = |heading: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        _ = write!(text, "\n{heading}\n");
        for content in lines {
            line(text, 2, &one_line(&content), width);
        }
    };
    part("How it stands", vec![story.stands.clone()]);
    let rendered = match (&story.revision, story.last_rendered) {
        (Some(revision), Some(at)) => {
            let times = match story.renderings {
                1 => "once".to_owned(),
                times => format!("{times} times"),
            };
            vec![format!("the template in {revision}, {times}, last {} ago", age(at, report.taken))]
        }
        _ => vec!["not rendered".to_owned()],
    };
    part("What was rendered", rendered);
    let mut depends: Vec<_> =
        story.depends_on.iter().take(DEPENDENCIES).map(|one| dependency(one, report.taken)).collect();
    if let Some(more) = story.depends_on.len().checked_sub(DEPENDENCIES).filter(|more| *more > 0) {
        depends.push(format!("and {more} more, changed earlier or never"));
    }
    part("What its rendering depends on, changed last first", depends);
    part("What moved since we look", story.moves.iter().map(|m| format!("{}: {}", m.scope, m.cause)).collect());
    let stamp = |stamp: &crate::core::model::Stamp| format!("{}: {}", stamp.timestamp, stamp.reason);
    part("Our rollouts of it", story.stamps.iter().map(stamp).collect());
    part("What its owner says", story.says.clone());
    part("What comes next", story.next.clone());
    part("What no rendering can see", story.unseen.clone());
}

fn dependency(one: &Dependency, now: jiff::Timestamp) -> String {
    let Dependency { what, by, at, note } = one;
    let mut line = what.clone();
    if let Some(by) = by {
        _ = write!(line, ", by {by}");
    }
    if let Some(at) = at {
        _ = write!(line, ", {} ago ({at})", age(*at, now));
    }
    if let Some(note) = note {
        _ = write!(line, "; {note}");
    }
    line
}
