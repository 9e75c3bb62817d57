//! The testbed for people: build it, start it, play with it.

mod demo;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use testbed::{Assets, Options, Testbed};
use tokio::signal::unix::{SignalKind, signal};

/// A real Kubernetes control plane on loopback, for tests and for people.
#[derive(Debug, Parser)]
#[command(name = "testbed")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the programs of the control plane into the cache, as far as they are missing.
    Build,
    /// Start a control plane, and keep it until Ctrl-C.
    Up(Up),
    /// Show what sidecar-drift does, on a control plane of its own, and check all of it.
    Demo(demo::Demo),
}

#[derive(Debug, Args)]
struct Up {
    /// Speak an older version, such as 1.33.
    #[arg(long, value_name = "VERSION")]
    emulated_version: Option<String>,
    /// How many Nodes.
    #[arg(long, default_value_t = Options::default().nodes)]
    nodes: usize,
    /// Leave logs, audit log and data where they are.
    #[arg(long, env = "TESTBED_KEEP")]
    keep: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The sentence for a person; a backtrace would bury it.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Build => build(),
        Command::Up(options) => tokio::runtime::Runtime::new()?.block_on(up(options)),
        Command::Demo(demo) => tokio::runtime::Runtime::new()?.block_on(demo.play()),
    }
}

fn build() -> Result<()> {
    let assets = Assets::build()?;
    let mut stdout = io::stdout().lock();
    for program in [
        &assets.etcd,
        &assets.kube_apiserver,
        &assets.kube_controller_manager,
        &assets.kube_scheduler,
        &assets.kubectl,
        &assets.kwok,
    ] {
        writeln!(stdout, "{}", program.display())?;
    }
    Ok(())
}

async fn up(Up { emulated_version, nodes, keep }: Up) -> Result<()> {
    let testbed = Testbed::start(Options { emulated_version, nodes, keep, ..Options::default() }).await?;
    {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "API server:  {}", testbed.api_url())?;
        writeln!(stdout, "Directory:   {}", testbed.directory().display())?;
        if let Some(assets) = testbed.assets() {
            writeln!(stdout, "kubectl:     {}", assets.kubectl.display())?;
        }
        writeln!(stdout, "\nexport KUBECONFIG={}\n", testbed.kubeconfig().display())?;
        writeln!(stdout, "Ctrl-C ends it.")?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    testbed.stop().await
}
