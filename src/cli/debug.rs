//! `sidecar-drift debug bundle`

use std::{
    collections::VecDeque,
    fmt::Write as _,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use http::Uri;
use serde_json::{Value, json};

use super::{address, context::Context, engine::DaemonStatus, exit::Exit};
use crate::{
    config::{Config, LeaseAt, Purpose, Settings, State},
    outbound, platform,
};

/// What the daemon is asked for, and the file that it becomes.
const ENDPOINTS: [(&str, &str); 5] = [
    ("/api/v1/status", "status.json"),
    ("/api/v1/plan", "plan.json"),
    ("/api/v1/rollouts", "rollouts.json"),
    ("/api/v1/generations", "generations.json"),
    ("/api/v1/workloads?limit=500", "workloads.json"),
];

/// Inputs that are taken over from the end of a recording.
const MAX_INPUTS: usize = 2000;

/// Things for whoever has to find out what went wrong.
#[derive(Debug, Args)]
pub struct Debug {
    #[command(subcommand)]
    command: DebugCommand,
}

#[derive(Debug, Subcommand)]
enum DebugCommand {
    /// Writes what support needs into a new directory that only you can read: the state, the configuration, what the daemon
    /// says, its metrics and its last inputs. Values that may be secrets are masked, as everywhere.
    Bundle(Bundle),
}

/// Collects what support needs.
#[derive(Debug, Args)]
struct Bundle {
    /// Writes into this directory, which must not exist [default: sidecar-drift-debug-<time>].
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Asks the daemon's API here; forward its port first (kubectl port-forward).
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081", value_parser = address::read)]
    api: Uri,
    /// Asks for the daemon's metrics here.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = address::read)]
    metrics: Uri,
    /// Takes the last inputs out of this recording of `run --record`; one that keeps values as they are is refused.
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    lease: LeaseAt,
}

impl Debug {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        match self.command {
            DebugCommand::Bundle(bundle) => bundle.execute(context),
        }
    }
}

impl Bundle {
    fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { directory, api, metrics, recording, state, lease } = self;
        let given = Settings { state, lease, ..Settings::default() };
        let daemon = Config::new(given.clone(), context.file.clone(), Purpose::Run)?;
        let config = context.configure(given, Purpose::Look(None))?;
        let now = context.engine.now();
        // Before anything is written.
        let inputs = recording.as_deref().map(last_inputs).transpose()?;
        let directory =
            directory.unwrap_or_else(|| format!("sidecar-drift-debug-{}", now.strftime("%Y%m%dT%H%M%SZ")).into());
        let mut bundle = BundleWriter::create(directory)?;

        bundle.add("about.json", Ok(about(now)))?;
        if context.path.is_some() {
            bundle.add("configuration.json", Ok(configuration(&daemon)))?;
        }
        bundle.add("state.json", context.engine.status(&config, None).map(|status| state_of(&status)))?;
        let mut heard = bundle.missing.is_empty();
        for (path, file) in ENDPOINTS {
            let answer = context.engine.fetch(&outbound::at(&api, path)?);
            heard |= answer.is_ok();
            bundle.add(file, answer)?;
        }
        bundle.add("metrics.txt", context.engine.fetch(&outbound::at(&metrics, "/metrics")?))?;
        if let Some(inputs) = inputs {
            bundle.add("inputs.jsonl", Ok(inputs))?;
        }
        let directory = bundle.finish()?;
        context.console.print(&format!("{}\n", directory.display()))?;
        ensure!(heard, "neither the cluster nor the daemon could be asked; README.txt there says why");
        Ok(Exit::Ok)
    }
}

/// A directory that is being filled.
struct BundleWriter {
    directory: PathBuf,
    /// The files, and what is not there, with the reason.
    there: Vec<&'static str>,
    missing: Vec<(&'static str, String)>,
}

impl BundleWriter {
    fn create(directory: PathBuf) -> anyhow::Result<Self> {
        let made = platform::files::create_private_directory(&directory);
        made.with_context(|| format!("cannot make the directory `{}`", directory.display()))?;
        Ok(Self { directory, there: Vec::new(), missing: Vec::new() })
    }

    fn add(&mut self, name: &'static str, content: anyhow::Result<String>) -> anyhow::Result<()> {
        match content {
            Ok(text) => {
                self.write(name, &text)?;
                self.there.push(name);
            }
            Err(error) => self.missing.push((name, format!("{error:#}"))),
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.directory.join(name);
        let written = platform::files::create_private(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| format!("cannot write `{}`", path.display()))
    }

    fn finish(self) -> anyhow::Result<PathBuf> {
        let mut text = "What sidecar-drift knows of itself and of the cluster, for support. Values of env, args and commands are masked;\n\
                        names of namespaces, workloads, Pods and images are as they are. Look through it before you pass it on.\n\n"
            .to_owned();
        for name in &self.there {
            _ = writeln!(text, "{name}");
        }
        for (name, reason) in &self.missing {
            _ = writeln!(text, "{name} is not there: {reason}");
        }
        self.write("README.txt", &text)?;
        Ok(self.directory)
    }
}

fn about(now: jiff::Timestamp) -> String {
    let about =
        json!({ "version": env!("CARGO_PKG_VERSION"), "taken": now.to_string(), "system": std::env::consts::OS });
    format!("{about:#}\n")
}

/// What the core works by. Addresses and files are left out: some of them are secrets.
fn configuration(config: &Config) -> String {
    let Config { policy, watch, election, listen, api_listen, notify, alerts, .. } = config;
    let document = json!({
        "policy": policy,
        "watch": format!("{watch:?}"),
        "leaderElection": election.is_some(),
        "listen": listen.map(|address| address.to_string()),
        "apiListen": api_listen.map(|address| address.to_string()),
        "notifies": notify.is_some(),
        "asksForAlerts": alerts.is_some(),
    });
    format!("{document:#}\n")
}

fn state_of(status: &DaemonStatus) -> String {
    let leader = status.leader.as_ref().map(|leader| {
        let renewed = leader.renewed.map(|at| at.to_string());
        json!({ "holder": leader.holder, "renewed": renewed, "present": !leader.is_gone(status.now) })
    });
    let document = json!({ "namespace": status.namespace, "record": status.record, "leader": leader });
    format!("{document:#}\n")
}

/// The first line of a recording, and its last ones.
fn last_inputs(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read `{shown}`"))?;
    let mut lines = BufReader::new(file).lines();
    let first = lines.next().transpose().with_context(|| format!("cannot read `{shown}`"))?.unwrap_or_default();
    let header: Value = serde_json::from_str(&first).unwrap_or_default();
    if header.get("sidecar_drift_recording").is_none() {
        bail!("`{shown}` is no recording: it does not begin as one of `sidecar-drift run --record` does");
    }
    ensure!(
        header.get("plain").and_then(Value::as_bool) == Some(false),
        "`{shown}` keeps values as they are (`--record-values`), so it may hold secrets; make one without that flag"
    );
    let mut last = VecDeque::new();
    for line in lines {
        last.push_back(line.with_context(|| format!("cannot read `{shown}`"))?);
        if last.len() > MAX_INPUTS {
            last.pop_front();
        }
    }
    let mut text = first + "\n";
    for line in last {
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}
