//! `sidecar-drift status`

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::{
    Context, Exit,
    engine::DaemonStatus,
    output::{
        document::{self, API_VERSION},
        text::{age, one_line, printable},
    },
};
use crate::{
    config::{Display, OutputFormat, Purpose, Settings, State},
    core::words::Word,
};

/// Looks at what the daemon left in the cluster.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    display: Display,
    #[command(flatten)]
    state: State,
}

impl Status {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let given = Settings { state: self.state, display: self.display, ..Settings::default() };
        let config = context.configure(given, Purpose::Look(None))?;
        let status = context.engine.status(&config)?;
        let text = match config.display.format {
            OutputFormat::Json | OutputFormat::Yaml => {
                document::write(&StatusDocument::new(&status), config.display.format)?
            }
            _ => sentences(&status),
        };
        context.console.print(&text)?;
        Ok(Exit::Ok)
    }
}

/// What `status` says, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusDocument<'a> {
    api_version: &'static str,
    kind: &'static str,
    namespace: &'a str,
    /// The state ConfigMap is there and makes sense; without it all rollouts of the daemon are paused.
    state: bool,
    paused: Option<Stopped<'a>>,
    breaker: Option<Stopped<'a>>,
    recent: Vec<&'static str>,
    canaries: Vec<Canary<'a>>,
    leader: Option<Leader<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stopped<'a> {
    reason: &'a str,
    at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Canary<'a> {
    change: &'a str,
    workloads: Vec<String>,
    started: String,
    converged: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Leader<'a> {
    holder: &'a str,
    renewed: Option<String>,
    present: bool,
}

impl<'a> StatusDocument<'a> {
    fn new(status: &'a DaemonStatus) -> Self {
        let record = status.record.as_ref();
        let stopped = |stop: &'a crate::core::state::Stop| Stopped { reason: &stop.reason, at: stop.at.to_string() };
        let canary = |(change, canary): (&'a String, &'a crate::core::state::Canary)| Canary {
            change,
            workloads: canary.workloads.iter().map(ToString::to_string).collect(),
            started: canary.started.to_string(),
            converged: canary.converged.map(|at| at.to_string()),
        };
        Self {
            api_version: API_VERSION,
            kind: "Status",
            namespace: &status.namespace,
            state: record.is_some(),
            paused: record.and_then(|r| r.paused.as_ref()).map(stopped),
            breaker: record.and_then(|r| r.breaker.as_ref()).map(stopped),
            recent: record.iter().flat_map(|r| &r.recent).map(|outcome| outcome.as_str()).collect(),
            canaries: record.iter().flat_map(|r| &r.canaries).map(canary).collect(),
            leader: status.leader.as_ref().map(|leader| Leader {
                holder: &leader.holder,
                renewed: leader.renewed.map(|at| at.to_string()),
                present: !leader.is_gone(status.now),
            }),
        }
    }
}

fn sentences(status: &DaemonStatus) -> String {
    let mut text = String::new();
    let now = status.now;
    let mut say = |label: &str, what: String| {
        _ = writeln!(text, "{label:<10}{}", printable(&one_line(&what)));
    };
    say("Namespace", status.namespace.clone());
    match &status.leader {
        None => say("Leader", "no Lease: the daemon runs with one replica, or does not run".to_owned()),
        Some(leader) => {
            let renewed = leader.renewed.map_or_else(|| "never".to_owned(), |at| format!("{} ago", age(at, now)));
            let gone = if leader.is_gone(now) { "; nobody is there any more" } else { "" };
            say("Leader", format!("{}, renewed {renewed}{gone}", leader.holder));
        }
    }
    let Some(record) = &status.record else {
        let why = "missing or unreadable, so the daemon starts no rollout; `sidecar-drift resume` makes it";
        say("State", why.to_owned());
        return text;
    };
    match &record.paused {
        Some(stop) => say("Paused", format!("since {} ({} ago): {}", stop.at, age(stop.at, now), stop.reason)),
        None => say("Paused", "no".to_owned()),
    }
    match &record.breaker {
        Some(stop) => say("Breaker", format!("open since {} ({} ago): {}", stop.at, age(stop.at, now), stop.reason)),
        None => say("Breaker", "closed".to_owned()),
    }
    if !record.recent.is_empty() {
        let recent: Vec<_> = record.recent.iter().map(|outcome| outcome.as_str()).collect();
        say("Rollouts", format!("{} (newest last)", recent.join(", ")));
    }
    for (change, canary) in &record.canaries {
        let whom: Vec<_> = canary.workloads.iter().map(ToString::to_string).collect();
        let how = match canary.converged {
            Some(at) => format!("converged {} ago", age(at, now)),
            None => format!("started {} ago, not proven yet", age(canary.started, now)),
        };
        say("Canary", format!("{change}: {}, {how}", whom.join(", ")));
    }
    text
}
