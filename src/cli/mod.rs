//! The commands: one file each, over [`Engine`], which does the work, and [`output`], which writes the result.

mod accept;
mod address;
mod args;
mod completions;
mod confirm;
mod debug;
mod diff;
mod engine;
mod explain;
mod lines;
mod logging;
mod look;
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

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::FromArgMatches;

use self::{
    args::Command,
    output::{
        document::{Document, RolloutDocument},
        mask::Mask,
    },
    status::StatusDocument,
};
pub use self::{
    args::{Args, definition},
    engine::{Asked, Daemon, DaemonStatus, Ended, Engine, Leader, Progress, Stopped, Whom},
    output::Console,
};
use crate::{
    config::{Client, Config, ConfigError, File, Origin, Purpose, Settings, Voice},
    document::schema,
};

/// How a command ends. `2` is for what was asked wrongly: nothing was contacted then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Not done, or not all.
    Error = 1,
    /// Wrong flag, value, file.
    Usage = 2,
    /// A workload differs (`scan --exit-code`).
    Drift = 3,
    /// A workload's Pods would be refused (`scan --exit-code`).
    Rejected = 4,
    /// Of a workload nothing can be said (`scan --exit-code`).
    Undetermined = 5,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// Of a command that may not have got to its end.
    fn of(done: bool) -> Self {
        if done { Self::Ok } else { Self::Error }
    }

    /// Of a command that a signal stopped.
    fn by(stopped: Stopped) -> Self {
        match stopped.by {
            Asked::Interrupt => Self::Interrupted,
            Asked::Terminate => Self::Terminated,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What was asked cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Runs the command that `args` names (the program's own name first).
pub fn main(args: impl IntoIterator<Item = OsString>, console: &mut Console, engine: &dyn Engine) -> Exit {
    let args: Vec<_> = args.into_iter().collect();
    args::know_described_kinds(&args);
    let result = match parse(&args, console) {
        Ok(parsed) => execute(parsed, console, engine),
        Err(error) => return usage::explain(&error, &args, console),
    };
    match result {
        Ok(exit) => exit,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => Exit::Ok,
        Err(error) => {
            console.complain(&format!("error: {}", output::text::one_line(&format!("{error:#}"))));
            let usage = error.chain().any(|cause| cause.is::<ConfigError>() || cause.is::<UsageError>());
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
        Command::Completions(command) => command.execute(&mut context),
        Command::Man(command) => command.execute(&mut context),
        Command::Version(command) => command.execute(&mut context),
    }
}

/// What every command works with.
struct Context<'a> {
    console: &'a mut Console,
    engine: &'a dyn Engine,
    file: File,
    /// Where it was read.
    path: Option<PathBuf>,
    client: Client,
    voice: Voice,
}

impl Context<'_> {
    /// The configuration out of the command's own settings, those that all commands have, and the file. From here on
    /// logging and console obey it.
    fn configure(&mut self, given: Settings, purpose: Purpose) -> anyhow::Result<Config> {
        let given = Settings { client: self.client.clone(), voice: self.voice.clone(), ..given };
        let daemon = purpose == Purpose::Run;
        let mut config = Config::new(given.clone(), self.file.clone(), purpose)?;
        config.origin = self.path.clone().filter(|_| daemon).map(|path| Box::new(Origin { path, given }));
        if config.display.values && !self.console.is_terminal() {
            let why = "`--show-values` works on a terminal only, because the values may be secrets; leave it out here";
            return Err(UsageError(why.to_owned()).into());
        }
        self.console.obey(config.display);
        logging::start(config.log, self.console.has_colour());
        Ok(config)
    }

    /// Hides values, unless they are asked for.
    fn mask(config: &Config) -> anyhow::Result<Mask> {
        if config.display.values {
            return Ok(Mask::none());
        }
        Mask::random().context("the system gives no random numbers, without which values cannot be hidden")
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
