//! The daemon at work, as its own log and metrics tell it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::demo::checks::{self, Checks};
use crate::demo::metrics::Metrics;
use crate::demo::program::{Daemon, NAME, Program};
use crate::demo::screen::Screen;

/// How many rollouts may be under way.
const PARALLEL: usize = 2;
/// How long the first rollout of a change is watched.
const SOAK: SignedDuration = SignedDuration::from_secs(5);
/// The daemon's flags, and why.
const FLAGS: [(&str, &str); 13] = [
    ("--mode enforce", "roll out (default: report only)"),
    ("--min-ready 5s", "new Pods must stay ready for so long (default: 30 s)"),
    ("--parallel-rollouts 2", "at once, at most one of them in a namespace (default: 1)"),
    (
        "--soak 5s",
        "the first rollout for each injector that changed is watched so long before others begin (default: 10m)",
    ),
    ("--max-rollouts-per-hour 3600", "one may begin each second (default: 20, so one every 3 minutes)"),
    ("--render-spacing 3s", "as above"),
    ("--without-guard", "until a chart brings the policies that hold it to dry runs; here the audit log shows it"),
    ("--state-namespace sidecar-drift", "where its ConfigMap is"),
    ("--leader-election=false", "this is the only replica (default when enforcing: they take turns, by a Lease)"),
    (
        "--events=false",
        "to keep its rights few here (default when enforcing: its doings are shown by kubectl describe)",
    ),
    ("--listen 127.0.0.1:0", "its metrics, at any free port"),
    ("--api-listen 127.0.0.1:0", "its web page, likewise"),
    ("--log-format json", "so that this demo can follow it"),
];

/// For all rollouts together, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(4);
/// Between two looks at the metrics.
const LOOK: Duration = Duration::from_millis(500);
/// One rollout, with the times of the daemon's log.
#[derive(Debug)]
pub(super) struct Rollout {
    pub(super) workload: String,
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
}

/// What happened until nothing was left to do.
#[derive(Debug)]
pub(super) struct Story {
    /// In the order in which they began.
    pub(super) rollouts: Vec<Rollout>,
    /// How many workloads each gate holds.
    pub(super) held: BTreeMap<String, u64>,
}

/// Shows what the daemon does until nothing differs but what is held for good.
async fn follow(screen: &Screen, daemon: &mut Daemon<'_>) -> Result<Story> {
    let all = timeout(DEADLINE, until_done(screen, daemon)).await;
    all.unwrap_or_else(|_| {
        let seconds = DEADLINE.as_secs();
        bail!("after {seconds} s the daemon still has something to roll; its last words: {}", daemon.last_words())
    })
}

async fn until_done(screen: &Screen, daemon: &mut Daemon<'_>) -> Result<Story> {
    let mut under_way: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut rollouts = Vec::new();
    let mut address = None;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let entry = tokio::select! {
            entry = daemon.entry() => entry?,
            _ = looks.tick() => {
                let Some(address) = address else { continue };
                let metrics = Metrics::get(address).await?;
                if under_way.is_empty() && metrics.nothing_to_do() {
                    rollouts.sort_by_key(|rollout: &Rollout| rollout.started);
                    return Ok(Story { rollouts, held: metrics.by_label("held_workloads", "gate") });
                }
                continue;
            }
        };
        tell(screen, daemon, &entry);
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        match entry["message"].as_str().unwrap_or_default() {
            message if message.contains("/metrics") => address = Some(text("address").parse()?),
            "rollout started" => {
                under_way.insert(text("workload"), time(&entry)?);
            }
            "rollout ended" => {
                let started = under_way.remove(&text("workload"));
                rollouts.push(Rollout {
                    workload: text("workload"),
                    started: started.context("a rollout ended that was never started")?,
                    ended: time(&entry)?,
                });
            }
            _ if entry["level"] == "ERROR" => bail!("the daemon complains: {entry}"),
            _ => {}
        }
    }
}

/// What the daemon does from now on, for as long as somebody watches.
pub(super) async fn watch_on(screen: &Screen, daemon: &mut Daemon<'_>) -> Result<()> {
    loop {
        let entry = daemon.entry().await?;
        if let Some(address) = entry["address"].as_str() {
            if entry["message"].as_str().is_some_and(|message| message.contains("/metrics")) {
                screen.say(format_args!("It serves http://{address}/metrics, /healthz and /readyz, and does:"));
            } else {
                screen.say(format_args!("Its web page is http://{address}/"));
            }
        }
        tell(screen, daemon, &entry);
    }
}

/// One entry of the log in a line, if it is about rollouts or about trouble.
fn tell(screen: &Screen, daemon: &Daemon<'_>, entry: &Value) {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    let what = match (text("message"), text("level")) {
        ("rollout started", _) => "rollout started".to_owned(),
        ("rollout ended", _) => format!("{} after {} s", text("outcome"), entry["seconds"]),
        (message, "WARN" | "ERROR") => [message, text("status"), text("reason"), text("error")].join(" "),
        _ => return,
    };
    screen.say(format_args!("{:5.1} s  {:28}  {what}", daemon.seconds(), text("workload")));
}

fn time(entry: &Value) -> Result<Timestamp> {
    entry["timestamp"].as_str().and_then(|time| time.parse().ok()).context("a log entry without a time")
}

/// The daemon from its start to its end.
pub(super) async fn enforce(screen: &Screen, checks: &mut Checks, program: &Program<'_>) -> Result<Story> {
    let resume = format!("resume --state-namespace {NAME}");
    screen.command(format_args!("sidecar-drift {resume}"));
    screen.aside("Creates the ConfigMap that says whether rollouts are paused; without it they are.");
    program.run(&resume).await?;
    screen.command("sidecar-drift run");
    for (flag, why) in FLAGS {
        screen.say(format_args!("    {flag:31} {why}"));
    }
    screen.gap();
    let mut daemon = start(program)?;
    let story = follow(screen, &mut daemon).await?;
    let rolled = story.rollouts.len();
    screen.say(format_args!("{:5.1} s  nothing is left to do: SIGTERM", daemon.seconds()));
    let stopping = daemon.stop().await?;
    screen.gap();
    let ended = format!("it ended {:.1} s after SIGTERM, exit code 0", stopping.as_secs_f64());
    checks.check(screen, &ended, &[]);
    let (pace, wrong) = checks::paced(&story.rollouts, PARALLEL, SOAK);
    checks.check(screen, &format!("{rolled} rollouts, one for each drifted workload: {pace}"), &wrong);
    Ok(story)
}

/// Starts it.
pub(super) fn start<'t>(program: &Program<'t>) -> Result<Daemon<'t>> {
    program.start(&format!("run {}", FLAGS.map(|(flag, _)| flag).join(" ")))
}
