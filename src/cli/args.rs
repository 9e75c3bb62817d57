//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory, Parser, Subcommand, builder::Resettable, parser::ValueSource};

use super::{
    accept, completions, debug, diff, explain, man, pause, replay, resume, retry, rollout, run, scan, status, version,
};
use crate::config::{Client, File, Voice, with_environment};

/// Finds running Pods whose sidecar is no longer the one the cluster would inject today, and rolls out only those, safely.
#[derive(Debug, Parser)]
#[command(name = "sidecar-drift", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Every setting may also stand in the environment (SIDECAR_DRIFT_TIMEOUT=5m for --timeout) \
                        or in the file of --config (timeout: 5m).\nFlags beat the environment, the environment beats the file.")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Reads settings from this YAML file; its keys are the long names of the flags.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How the API server is reached.
    #[command(flatten)]
    pub client: Client,
    /// How we speak to people.
    #[command(flatten)]
    pub voice: Voice,
}

/// One for each file of this folder that is a command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watches the cluster for good: reports, serves metrics and, with `--mode enforce`, rolls out.
    Run(Box<run::Run>),
    /// Looks once and lists every workload that differs, by change.
    Scan(Box<scan::Scan>),
    /// Looks once and shows every difference, field by field.
    Diff(Box<diff::Diff>),
    /// Looks at one workload and tells its whole story.
    Explain(Box<explain::Explain>),
    /// Shows which workloads would be rolled out, and with `--confirm` rolls them out.
    Rollout(Box<rollout::Rollout>),
    /// Stops the daemon from starting rollouts, until `resume`.
    Pause(pause::Pause),
    /// Lets the daemon start rollouts again: lifts the pause and closes the breaker.
    Resume(resume::Resume),
    /// Plays a recording of `run --record` again, checks that it has the same effects, and shows the plan at any moment of it.
    Replay(replay::Replay),
    /// Lets one workload be rolled again though a rollout of it was tried: lifts `reverted`, `already_tried` and the
    /// cool-down, never the daily cap. It takes the rights to get the workload, and to get and patch the ConfigMap
    /// `sidecar-drift-state`.
    Retry(retry::Retry),
    /// Accepts the drift of one workload until a date: it is not rolled until then. It takes the rights to get and patch
    /// the workload, whose annotations it writes; nothing is restarted.
    Accept(accept::Accept),
    /// Tells how the daemon is: whether it is paused, why, what it rolled out last, and who leads.
    Status(status::Status),
    /// Collects what support needs.
    Debug(debug::Debug),
    /// Writes what a shell needs to complete our command line.
    Completions(completions::Completions),
    /// Writes a manual page.
    Man(man::Man),
    /// Prints the version.
    Version(version::Version),
}

/// The command line's definition, complete with environment variables.
pub fn definition() -> clap::Command {
    with_environment(Args::command())
}

/// Makes the kinds that the file describes known, before the rest of the line is read: it may name one of them.
///
/// What is wrong with the file is told when it is read for good.
pub(super) fn register_custom_kinds(line: &[OsString]) {
    let matches = definition().ignore_errors(true).try_get_matches_from(line).ok();
    let given = |matches: &clap::ArgMatches| matches.try_get_one::<PathBuf>("config").ok().flatten().cloned();
    let path = matches.and_then(|matches| given(&matches).or_else(|| given(matches.subcommand()?.1)));
    if let Some(file) = path.and_then(|path| File::read(&path).ok()) {
        _ = file.custom_kinds();
    }
}

/// Settings that exclude each other: of two, the one on the command line beats the other one in the environment.
const OPPOSITES: [(&str, &str); 2] = [("namespace", "all_namespaces"), ("include_namespace", "exclude_namespace")];

/// The definition by which this command line is read.
pub(super) fn definition_for(line: &[OsString]) -> clap::Command {
    let given = Args::command().ignore_errors(true).try_get_matches_from(line);
    let Some((command, matches)) = given.as_ref().ok().and_then(clap::ArgMatches::subcommand) else {
        return definition();
    };
    let on_line = |id: &str| {
        matches.try_contains_id(id).unwrap_or(false) && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let pairs = OPPOSITES.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]);
    let beaten: Vec<_> = pairs.filter(|(one, _)| on_line(one)).map(|(_, other)| other).collect();
    let silence = |arg: clap::Arg| {
        if beaten.contains(&arg.get_id().as_str()) { arg.env(Resettable::Reset) } else { arg }
    };
    definition().mut_subcommand(command, |command| command.mut_args(silence))
}
