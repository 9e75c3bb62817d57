//! The commands: one file each, over [`Engine`], which does the work, and [`output`], which writes the result.
//!
//! This file parses the command line (`args`) and runs the command that it names. What commands share lies below them: how a
//! command ends (`exit`), what it works with (`context`), how a person names a workload (`workload_name`), and one look at the
//! cluster (`cluster_scan`). No two files import each other in a circle; `tests/it/architecture.rs` checks it.

mod accept;
mod address;
mod args;
mod cluster_scan;
mod completions;
mod confirm;
mod context;
mod debug;
mod diff;
mod engine;
mod exit;
mod explain;
mod log_lines;
mod logging;
mod man;
mod notices;
pub mod output;
mod pause;
mod progress;
mod replay;
mod resume;
mod retry;
mod rollout;
mod run;
mod scan;
mod status;
#[cfg(test)]
mod tests;
mod usage;
mod version;
mod watch;
mod what_if;
mod workload_name;

use std::{ffi::OsString, io};

use clap::FromArgMatches;

use self::{
    args::Command,
    context::Context,
    exit::UsageError,
    output::document::{Document, RolloutDocument},
    status::StatusDocument,
};
pub use self::{
    args::{Args, definition},
    engine::{
        Daemon, DaemonStatus, Engine, LeaseHolder, NamedWorkload, Place, Progress, RunResult, StopSignal, Stopped, Told,
    },
    exit::Exit,
    output::Console,
};
use crate::{
    cluster::client,
    config::{ConfigError, File},
    document::schema,
};

/// Runs the command that `args` names (the program's own name first).
pub fn main(args: impl IntoIterator<Item = OsString>, console: &mut Console, engine: &dyn Engine) -> Exit {
    let args: Vec<_> = args.into_iter().collect();
    args::register_custom_kinds(&args);
    let result = match parse(&args, console) {
        Ok(parsed) => execute(parsed, console, engine),
        Err(error) => return usage::explain(&error, &args, console),
    };
    match result {
        Ok(exit) => exit,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => Exit::Ok,
        Err(error) => {
            console.print_error(&format!("error: {}", output::text::one_line(&format!("{error:#}"))));
            let usage = error.chain().any(|cause| {
                cause.is::<ConfigError>()
                    || cause.is::<UsageError>()
                    || cause.downcast_ref().is_some_and(client::Error::is_usage)
            });
            if usage { Exit::Usage } else { Exit::Error }
        }
    }
}

/// The JSON Schemas of what commands write with `--output json`, by `kind` in lower case.
pub fn schemas() -> [(&'static str, serde_json::Value); 3] {
    [
        ("report", schema::<Document>("Report")),
        ("rollout", schema::<RolloutDocument>("Rollout")),
        ("status", schema::<StatusDocument<'_>>("Status")),
    ]
}

fn parse(args: &[OsString], console: &Console) -> Result<Args, clap::Error> {
    let mut definition = args::definition_for(args).term_width(console.width().map_or(100, usize::from).min(100));
    let matches = definition.try_get_matches_from_mut(args)?;
    Args::from_arg_matches(&matches)
}

fn execute(args: Args, console: &mut Console, engine: &dyn Engine) -> anyhow::Result<Exit> {
    let Args { command, config, client, voice } = args;
    let file = config.as_deref().map_or_else(|| Ok(File::default()), File::read)?;
    let mut context = Context { console, engine, file, path: config, client, voice };
    match command {
        Command::Run(command) => command.execute(&mut context),
        Command::Scan(command) => command.execute(&mut context),
        Command::Diff(command) => command.execute(&mut context),
        Command::Rollout(command) => command.execute(&mut context),
        Command::Pause(command) => command.execute(&mut context),
        Command::Resume(command) => command.execute(&mut context),
        Command::Replay(command) => command.execute(&mut context),
        Command::Retry(command) => command.execute(&mut context),
        Command::Accept(command) => command.execute(&mut context),
        Command::Explain(command) => command.execute(&mut context),
        Command::Status(command) => command.execute(&mut context),
        Command::Debug(command) => command.execute(&mut context),
        Command::Completions(command) => command.execute(&mut context, &mut definition()),
        Command::Man(command) => command.execute(&mut context, definition()),
        Command::Version(command) => command.execute(&mut context),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
