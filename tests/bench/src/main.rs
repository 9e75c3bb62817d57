//! `make bench`: measures sidecar-drift beside what others do with the same cluster.
//!
//! What each number is, and what was divided by what, is in docs/performance.md. One run prints a table and writes
//! `target/bench.json`.

mod child;
mod cluster;
mod daemon;
mod engine;
mod fleet;
mod growth;
mod hostile;
mod http2;
mod machine;
mod pages;
mod predecessor;
mod quiet;
mod real;
mod reflector;
mod results;
mod rollouts;
mod stub;

use std::{
    fmt::Display,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use fleet::Fleet;
use results::{Results, number};
use stub::Stub;
use testbed::RunDirectory;

/// Measures sidecar-drift.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// How large: 1 is ten thousand Pods on a real API server and a million from the stub, 0.1 a tenth of all that.
    #[arg(long, env = "SCALE", default_value_t = 1.0)]
    scale: f64,
    /// Only these parts; by default all.
    #[arg(long, env = "ONLY", value_delimiter = ',')]
    only: Vec<Part>,
    /// The program to measure [default: the release build].
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where the numbers go.
    #[arg(long, default_value = "target/bench.json")]
    output: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keeps every Pod, as a plain kube-rs reflector does; a process to be measured.
    #[command(hide = true)]
    Reflector {
        /// Leads to the cluster.
        kubeconfig: PathBuf,
    },
    /// Serves the stub until Ctrl-C, to profile something that is connected to it.
    Stub {
        /// Pods, twenty to a Deployment.
        pods: usize,
        /// Written, and leads to the stub.
        kubeconfig: PathBuf,
    },
    /// Keeps a real API server with a fleet until standard input ends, to profile something that is connected to it. For each
    /// line: how long its list and its dry runs take at this moment.
    Cluster {
        /// Pods, twenty to a Deployment.
        pods: usize,
        /// Written, and leads to the API server.
        kubeconfig: PathBuf,
    },
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// On a real API server, beside others.
    Real,
    /// A thousand to a million Pods from a stub.
    Growth,
    /// What readers get of ten thousand workloads, from a stub.
    Pages,
    /// An hour in which nothing happens.
    Quiet,
    /// A hundred rollouts on a real control plane, beside a bare client.
    Rollouts,
    /// Strangers at the listeners.
    Hostile,
    /// The pure core, with a full queue, with a very large workload, and with many that come and go.
    Engine,
}

/// What a run is told.
#[derive(Debug)]
pub(crate) struct Settings {
    scale: f64,
    /// The program to measure.
    pub(crate) program: PathBuf,
    /// The one that measures the core in itself.
    pub(crate) engine: PathBuf,
    /// For files of this run; everything that was started for it ends with it.
    pub(crate) home: RunDirectory,
}

impl Settings {
    /// So many, or what that is in a shorter run.
    pub(crate) fn scaled(&self, count: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, and a scale above 0")]
        let scaled = (number(count) * self.scale) as usize;
        scaled.max(20)
    }
}

/// Tells a person how far it is.
pub(crate) fn say(line: impl Display) {
    // A closed stderr must not end a measurement.
    _ = writeln!(io::stderr(), "bench: {line}");
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(fleet: Fleet, kubeconfig: &Path) -> Result<()> {
    let _server = Stub::new(fleet).serve(kubeconfig)?;
    say(format_args!("{} Pods of {} Deployments behind {}", fleet.pods(), fleet.deployments, kubeconfig.display()));
    Ok(tokio::signal::ctrl_c().await?)
}

fn run(cli: Cli) -> Result<()> {
    match &cli.command {
        Some(Command::Reflector { kubeconfig }) => {
            return tokio::runtime::Runtime::new()?.block_on(reflector::run(kubeconfig));
        }
        Some(Command::Stub { pods, kubeconfig }) => {
            return tokio::runtime::Runtime::new()?.block_on(serve(Fleet::of_pods(*pods), kubeconfig));
        }
        Some(Command::Cluster { pods, kubeconfig }) => {
            return tokio::runtime::Runtime::new()?.block_on(real::keep(Fleet::of_pods(*pods), kubeconfig));
        }
        None => {}
    }
    anyhow::ensure!(cli.scale > 0.0, "--scale is {}: it must be more than 0", cli.scale);
    let program = child::sidecar_drift(cli.program)?;
    let engine = child::engine()?;
    let settings = Settings { scale: cli.scale, program, engine, home: RunDirectory::create(false)? };
    let mut results = Results::default();
    let megabytes = number(usize::try_from(settings.program.metadata()?.len())?) / 1e6;
    results.note("binary_mb", megabytes)?;
    let wanted = |part| {
        let wanted = cli.only.is_empty() || cli.only.contains(&part);
        if wanted {
            say(format_args!("{part:?}: {}", machine::facts()));
        }
        wanted
    };
    if wanted(Part::Quiet) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        runtime.block_on(quiet::measure(&mut results))?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    if wanted(Part::Engine) {
        runtime.block_on(engine::measure(&settings, &mut results))?;
    }
    if wanted(Part::Real) {
        runtime.block_on(real::measure(&settings, &mut results))?;
    }
    if wanted(Part::Growth) {
        runtime.block_on(growth::measure(&settings, &mut results))?;
    }
    if wanted(Part::Pages) {
        runtime.block_on(pages::measure(&settings, &mut results))?;
    }
    if wanted(Part::Rollouts) {
        runtime.block_on(rollouts::measure(&settings, &mut results))?;
    }
    if wanted(Part::Hostile) {
        runtime.block_on(hostile::measure(&settings, &mut results))?;
    }
    settings.home.end()?;
    results.write(&cli.output)?;
    write!(io::stdout(), "{}", results.table())?;
    say(format_args!("{} has the same as JSON", cli.output.display()));
    Ok(())
}
