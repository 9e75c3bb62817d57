//! Effects and verdicts as lines of text.

use std::fmt::Write as _;

use sidecar_drift::core::{
    config::Mode,
    io::{Effect, Event, Notice, StateRecord, WatchKind},
    model::words::Outcome,
    report::{Report, WorkloadReport},
};

/// What is to be done (`>`) and what is told (`!`); `None` for what is shown elsewhere.
pub(crate) fn effect(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Render(r) => {
            let why = if r.confirm { " to confirm" } else { "" };
            let what_if = if r.what_if.is_nothing() { String::new() } else { format!(", as if {}", r.what_if) };
            // What stands for a template that nothing else has is the template.
            let revision = match r.revision.rsplit_once('@') {
                _ if !r.workload.key.kind.has_template_only() => r.revision.to_string(),
                Some((_, stamped)) => format!("itself, stamped {stamped}"),
                None => "itself".to_owned(),
            };
            let range = |(low, high)| format!(", ordinals {low} to {high} exist");
            let together = match r.together.as_slice() {
                [] => String::new(),
                hashes => format!(", reading {} together", hashes.join(" ")),
            };
            format!(
                "> render {} of {}{}{why}{what_if}{together}",
                r.workload.key,
                revision,
                r.ordinals.map(range).unwrap_or_default()
            )
        }
        Effect::Patch(p) => {
            format!("> patch {} with {} {:?}", p.workload.key, p.stamp.timestamp.strftime("%H:%M:%S"), p.stamp.reason)
        }
        Effect::Evict(e) => format!("> evict {} of {}", e.pod, e.workload.key),
        Effect::WatchTriggers(triggers) => {
            let names: Vec<_> = triggers.iter().map(ToString::to_string).collect();
            format!("> watch {}", names.join(", "))
        }
        Effect::WatchBackends(namespaces) => {
            let names: Vec<_> = namespaces.iter().map(|name| &**name).collect();
            format!(
                "> watch backends in {}",
                if names.is_empty() { "no namespace".to_owned() } else { names.join(", ") }
            )
        }
        Effect::WriteState(record) => format!("> write state: {}", state(record)),
        Effect::ProbeGuard => "> probe the guard".to_owned(),
        Effect::AskAlerts(request) => {
            let matchers: Vec<_> = request.matchers.iter().map(ToString::to_string).collect();
            format!("> ask for alerts {}", matchers.join(" or "))
        }
        Effect::WriteEvent(Event { workload, reason, note }) => {
            format!("> write event {} {} about {}: {note}", reason.kind(), reason.as_str(), workload.key)
        }
        Effect::Notify(told) => return notice(told),
        Effect::WakeAt(_) => return None,
    })
}

fn notice(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::ScopeMoved { scope, cause, workloads } => {
            format!("! {scope} moved by {cause}: {workloads} workloads")
        }
        // The line of the verdict itself says more.
        Notice::VerdictChanged { .. } => return None,
        Notice::InjectorSlow { scope, seconds } => format!("! {scope} is slow: not asked for {seconds}s"),
        Notice::RenderLimit { scope: Some(scope), limit } => format!("! {scope} is asked {limit} at once"),
        Notice::RenderLimit { scope: None, limit } => format!("! the API server is asked {limit} at once"),
        Notice::Alerts { blocking: true, message } => format!("! alerts hold all rollouts: {message}"),
        Notice::Alerts { blocking: false, .. } => "! no alert holds rollouts".to_owned(),
        Notice::Guard { in_force } => format!("! guard in force: {in_force}"),
        Notice::RolloutStarted { workload, reason } => format!("! {workload} started: {reason}"),
        Notice::RolloutProgress { workload, message } => format!("! {workload} progress: {message}"),
        Notice::PodEvicted { workload, pod } => format!("! {workload} evicted {pod}"),
        Notice::RolloutEnded { workload, outcome, message, seconds } => {
            format!("! {workload} {outcome} after {seconds}s: {message}")
        }
        Notice::RolloutHeld { workload, gate } => format!("! {workload} held at the last moment by {gate}"),
        Notice::Stopping { rollouts } => format!("! stopping, {rollouts} under way"),
        Notice::BreakerOpened { namespace: None, reason, .. } => format!("! breaker opened: {reason}"),
        Notice::BreakerOpened { namespace: Some(namespace), reason, .. } => {
            format!("! breaker opened in {namespace}: {reason}")
        }
        Notice::WatchUnavailable { source, message } => {
            let kind = match source.kind {
                WatchKind::Workloads(kind) => kind.as_str().to_owned(),
                other => format!("{other:?}"),
            };
            format!("! cannot watch {kind}: {message}")
        }
        Notice::BadAnnotation { workload, message } => format!("! {workload}: {message}"),
    })
}

pub(crate) fn state(record: &StateRecord) -> String {
    let mut parts = Vec::new();
    parts.extend(record.paused.as_ref().map(|stop| format!("paused ({})", stop.reason)));
    parts.extend(record.breaker.as_ref().map(|_| "breaker open".to_owned()));
    parts.extend(record.breakers.keys().map(|namespace| format!("breaker open in {namespace}")));
    if !record.recent.is_empty() {
        let recent: Vec<_> = record.recent.iter().map(Outcome::to_string).collect();
        parts.push(format!("recent {}", recent.join(" ")));
    }
    for (scope, canary) in &record.canaries {
        let workloads: Vec<_> = canary.workloads.iter().map(ToString::to_string).collect();
        let converged = canary.converged.map(|at| at.strftime(", converged %H:%M:%S").to_string());
        let failed = canary.failed.as_ref().map_or("", |_| ", failed");
        parts.push(format!("canary for {scope}: {}{}{failed}", workloads.join(" "), converged.unwrap_or_default()));
    }
    parts.extend(record.locks.values().map(|lock| format!("locked {}", lock.workload)));
    parts.extend(record.retries.values().map(|retry| format!("retry {}", retry.workload)));
    if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
}

/// One workload's verdict and what holds it, in one line.
pub(crate) fn verdict(w: &WorkloadReport, report: &Report) -> String {
    let mut line = format!("= {}/{}/{} {}", w.kind, w.namespace, w.name, w.verdict);
    let mut add = |text: String| line.push_str(&text);
    if let Some(reason) = w.reason {
        add(format!(": {reason}"));
    }
    if let Some(change) = &w.change {
        add(format!(": {change}"));
    }
    if let Some(message) = &w.message {
        add(format!(" ({message})"));
    }
    let rolling = report.rollouts.iter().any(|r| {
        let open = r.outcome.is_none();
        open && (&r.kind, &r.namespace, &r.name) == (&w.kind, &w.namespace, &w.name)
    });
    if rolling {
        add(", being rolled".to_owned());
    }
    if let Some(gate) = w.gate {
        add(format!(", held by {gate}"));
    }
    if report.mode < Mode::Enforce && w.gate.is_some() && w.gate_in_enforce != w.gate {
        add(w.gate_in_enforce.map_or(", free otherwise".to_owned(), |gate| format!(", otherwise by {gate}")));
    }
    line
}

/// Everything of a report that the single lines do not show.
pub(crate) fn report(report: &Report, render_queue: bool) -> Vec<String> {
    let (judged, all) = report.progress;
    let complete = if report.complete { "complete" } else { "incomplete" };
    let mut lines = vec![format!("| {complete}: {judged} of {all} judged, {} renderings", report.renders)];
    if render_queue && report.queued > 0 {
        lines.push(format!("| {} wait for a rendering", report.queued));
    }
    for w in &report.workloads {
        let mut line = format!("| {} {}/{} {}, {} Pods", w.kind, w.namespace, w.name, w.verdict, w.pods);
        for group in &w.differing {
            let pods = if group.pods.len() > 3 { format!("{} Pods", group.pods.len()) } else { group.pods.join(" ") };
            let what: Vec<_> = group.differences.iter().map(|d| format!("{} {}", d.sidecar, d.difference)).collect();
            _ = write!(line, "; {pods}: {}", what.join(", "));
            for change in &group.collateral {
                _ = write!(line, ", collateral {}", change.pointer);
            }
        }
        if !w.masked.is_empty() {
            _ = write!(line, "; masked {}", w.masked.join(" "));
        }
        if let Some(cause) = &w.cause {
            _ = write!(line, "; cause {cause}");
        }
        if let Some(seen) = w.first_seen {
            _ = write!(line, "; since {}", seen.strftime("%H:%M:%S"));
        }
        lines.push(line);
    }
    lines.extend(report.unavailable.iter().map(|why| format!("| unavailable: {why}")));
    if let Some(left) = report.rollouts_left.filter(|_| report.mode == Mode::Enforce) {
        lines.push(format!("| {left} rollouts left"));
    }
    lines.extend(report.paused.iter().map(|stop| format!("| paused: {}", stop.reason)));
    lines.extend(report.breaker.iter().map(|stop| format!("| breaker open: {}", stop.reason)));
    let here = report.breakers.iter();
    lines.extend(here.map(|(namespace, stop)| format!("| breaker open in {namespace}: {}", stop.reason)));
    lines
}
