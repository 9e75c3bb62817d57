//! `sidecar-drift status`

use std::fmt::Write as _;

use clap::Args;
use http::Uri;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    address,
    context::Context,
    engine::DaemonStatus,
    exit::{Exit, UsageError},
    output::{
        document::API_VERSION,
        listing,
        text::{age, one_line, printable},
    },
};
use crate::{
    config::{Display, LeaseAt, OutputFormat, Purpose, Settings, Shape, State},
    core::model::words::{Outcome, Word},
    document::{Stopped, StoppedIn, summary::many},
};

/// Tells how the daemon stands: what it left in the cluster, who leads, and what that one says of itself.
#[derive(Debug, Args)]
pub struct Status {
    /// Asks the daemon at this address, such as a port that you forward, `http://localhost:8081`; without it, it is asked by
    /// way of the API server, where its API is open [default: none].
    #[arg(long, value_name = "URL", value_parser = address::read)]
    api: Option<Uri>,
    #[command(flatten)]
    display: Display,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    lease: LeaseAt,
}

impl Status {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { api, display, state, lease } = self;
        let config =
            context.configure(Settings { state, lease, display, ..Settings::default() }, Purpose::Look(None))?;
        let columns = matches!(config.listing.shape, Some(Shape::Columns(_)));
        if columns || config.display.format == OutputFormat::Name {
            let why =
                "`status` is about one daemon and lists nothing; `--output json` or `jsonpath=...` is wanted here";
            return Err(UsageError(why.to_owned()).into());
        }
        let status = context.engine.status(&config, api.as_ref())?;
        let text = match config.display.format {
            OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Shaped => {
                listing::text(&StatusDocument::new(&status), None, config.display, &config.listing)?
            }
            _ => sentences(&status),
        };
        context.console.print(&text)?;
        Ok(Exit::Ok)
    }
}

/// What `status` says, for programs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusDocument<'a> {
    api_version: &'static str,
    kind: &'static str,
    /// Where it was looked for.
    namespace: &'a str,
    /// The state ConfigMap is there and makes sense; without it all rollouts of the daemon are paused.
    state: bool,
    /// Why rollouts are paused by a person; null when they are not.
    paused: Option<Stopped>,
    /// Why the breaker is open for the whole cluster; null when it is not.
    breaker: Option<Stopped>,
    /// The namespaces in which it is open.
    breakers: Vec<StoppedIn>,
    /// Outcomes of the last rollouts, newest last.
    recent: Vec<Outcome>,
    /// The first rollouts after something moved.
    canaries: Vec<Canary<'a>>,
    /// Who holds the Lease; null: nobody.
    leader: Option<LeaderDocument<'a>>,
    /// What the leader's API says at `/api/v1/status`; null: it was not reached.
    api: Option<&'a Value>,
    /// Why it was not reached, and what helps; null: it was.
    api_silent: Option<&'a str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Canary<'a> {
    /// What moved.
    change: &'a str,
    /// Which workloads went first.
    workloads: Vec<String>,
    /// When the first of them was started, RFC 3339, UTC.
    started: String,
    /// When the last of them converged, RFC 3339, UTC; null: not yet.
    converged: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Leader")]
struct LeaderDocument<'a> {
    /// The replica.
    holder: &'a str,
    /// When it said last that it is there, RFC 3339, UTC.
    renewed: Option<String>,
    /// That is not too long ago.
    present: bool,
}

impl<'a> StatusDocument<'a> {
    fn new(status: &'a DaemonStatus) -> Self {
        let record = status.record.as_ref();
        let canary = |(change, canary): (&'a String, &'a crate::core::io::Canary)| Canary {
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
            paused: record.and_then(|r| r.paused.as_ref()).map(Stopped::of),
            breaker: record.and_then(|r| r.breaker.as_ref()).map(Stopped::of),
            breakers: record.map(|r| StoppedIn::all(&r.breakers)).unwrap_or_default(),
            recent: record.iter().flat_map(|r| &r.recent).copied().collect(),
            canaries: record.iter().flat_map(|r| &r.canaries).map(canary).collect(),
            leader: status.leader.as_ref().map(|leader| LeaderDocument {
                holder: &leader.holder,
                renewed: leader.renewed.map(|at| at.to_string()),
                present: !leader.is_gone(status.now),
            }),
            api: status.api.as_ref().ok(),
            api_silent: status.api.as_ref().err().map(String::as_str),
        }
    }
}

/// What the API says that is nowhere else.
fn api_lines(api: &Value) -> Vec<(&'static str, String)> {
    let text = |at: &str| api.pointer(at).and_then(Value::as_str).unwrap_or("unknown");
    let number = |at: &str| api.pointer(at).and_then(Value::as_u64).unwrap_or_default();
    let counts = |at: &str| {
        let all = api.pointer(at).and_then(Value::as_object).into_iter().flatten();
        all.map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
    };
    let guard = match api["guard"].as_bool() {
        Some(true) => ", the guard is in force",
        Some(false) => ", the guard is missing: nothing is rolled out",
        None => "",
    };
    let mut lines = vec![("Daemon", format!("version {}, mode {}{guard}", text("/version"), text("/mode")))];
    if let Some(ahead) = api["clockAheadSeconds"].as_f64().filter(|ahead| ahead.abs() >= 1.0) {
        let (by, how) = (ahead.abs(), if ahead > 0.0 { "ahead of" } else { "behind" });
        lines.push((
            "Clock",
            format!("{by:.0} s {how} the API server's, and corrected: check the time synchronization of its Node"),
        ));
    }
    let progress = match (api["synced"].as_bool(), api["complete"].as_bool()) {
        (Some(false), _) => "; its watches are not synced yet".to_owned(),
        (_, Some(false)) => format!("; {} of {} looked at so far", number("/progress/judged"), number("/progress/of")),
        _ => String::new(),
    };
    let workloads = many(usize::try_from(number("/summary/workloads")).unwrap_or(usize::MAX), "workload");
    lines.push(("Workloads", format!("{workloads}: {}{progress}", counts("/summary/verdicts"))));
    let held = counts("/summary/gates");
    if !held.is_empty() {
        lines.push(("Held", held));
    }
    let left = api["rolloutsLeft"].as_u64().map(|left| format!(", {left} left in this hour")).unwrap_or_default();
    lines.push(("Rolling", format!("{} under way{left}", number("/rolloutsInFlight"))));
    let unseen = api["unavailable"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.extend(unseen.map(|what| ("Unseen", what.to_owned())));
    lines
}

fn sentences(status: &DaemonStatus) -> String {
    let mut text = String::new();
    let now = status.now;
    let mut line = |label: &str, what: String| {
        _ = writeln!(text, "{label:<10}{}", printable(&one_line(&what)));
    };
    line("Namespace", status.namespace.clone());
    match &status.leader {
        None => line("Leader", "no Lease: the daemon runs with one replica, or does not run".to_owned()),
        Some(leader) => {
            let renewed = leader.renewed.map_or_else(|| "never".to_owned(), |at| format!("{} ago", age(at, now)));
            let gone = if leader.is_gone(now) { "; nobody is there any more" } else { "" };
            line("Leader", format!("{}, renewed {renewed}{gone}", leader.holder));
        }
    }
    match &status.api {
        Ok(api) => api_lines(api).into_iter().for_each(|(label, what)| line(label, what)),
        Err(why) => line("API", why.clone()),
    }
    let Some(record) = &status.record else {
        let why = "missing or unreadable, so the daemon starts no rollout; `sidecar-drift resume` makes it";
        line("State", why.to_owned());
        return text;
    };
    match &record.paused {
        Some(stop) => line("Paused", format!("since {} ({} ago): {}", stop.at, age(stop.at, now), stop.reason)),
        None => line("Paused", "no".to_owned()),
    }
    match &record.breaker {
        Some(stop) => line("Breaker", format!("open since {} ({} ago): {}", stop.at, age(stop.at, now), stop.reason)),
        None if record.breakers.is_empty() => line("Breaker", "closed".to_owned()),
        None => {}
    }
    for (namespace, stop) in &record.breakers {
        let since = format!("since {} ({} ago)", stop.at, age(stop.at, now));
        line("Breaker", format!("open in namespace {namespace} {since}: {}", stop.reason));
    }
    if !record.recent.is_empty() {
        let recent: Vec<_> = record.recent.iter().map(|outcome| outcome.as_str()).collect();
        line("Rollouts", format!("{} (newest last)", recent.join(", ")));
    }
    for (change, canary) in &record.canaries {
        let whom: Vec<_> = canary.workloads.iter().map(ToString::to_string).collect();
        let how = match canary.converged {
            Some(at) => format!("converged {} ago", age(at, now)),
            None => format!("started {} ago, not proven yet", age(canary.started, now)),
        };
        line("Canary", format!("{change}: {}, {how}", whom.join(", ")));
    }
    text
}
