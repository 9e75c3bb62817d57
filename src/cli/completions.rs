//! `sidecar-drift completions`

use clap::Args;
use clap_complete::Shell;

use super::{context::Context, exit::Exit};

/// Writes what a shell needs to complete our command line.
#[derive(Debug, Args)]
#[command(after_help = "bash: source <(sidecar-drift completions bash)\n\
                        zsh:  sidecar-drift completions zsh > \"${fpath[1]}/_sidecar-drift\"\n\
                        fish: sidecar-drift completions fish > ~/.config/fish/completions/sidecar-drift.fish")]
pub struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// `definition`: that of the whole command line.
    pub(super) fn execute(self, context: &mut Context<'_>, definition: &mut clap::Command) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, definition, "sidecar-drift", &mut script);
        context.console.print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Ok)
    }
}
