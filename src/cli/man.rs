//! `sidecar-drift man`

use clap::Args;
use clap_mangen::Man as Page;

use super::{
    context::Context,
    exit::{Exit, UsageError},
};
use crate::config::values::listed;

/// Writes a manual page.
#[derive(Debug, Args)]
#[command(after_help = "sidecar-drift man | man -l -\nsidecar-drift man rollout > sidecar-drift-rollout.1")]
pub struct Man {
    /// The command whose page is wanted [default: the program's own].
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl Man {
    /// `definition`: that of the whole command line.
    pub(super) fn execute(self, context: &mut Context<'_>, mut definition: clap::Command) -> anyhow::Result<Exit> {
        // So that pages of commands hold what all commands take.
        definition.build();
        let page = match &self.command {
            None => Page::new(definition),
            Some(name) => {
                let Some(command) = definition.find_subcommand(name) else {
                    let known: Vec<_> = definition.get_subcommands().map(clap::Command::get_name).collect();
                    let why = format!("there is no command `{name}`; {} are known", listed(&known, "and"));
                    return Err(UsageError(why).into());
                };
                let full = format!("sidecar-drift-{name}");
                Page::new(command.clone().name(full.clone()).display_name(full))
            }
        };
        let mut roff = Vec::new();
        page.render(&mut roff)?;
        context.console.print(&String::from_utf8_lossy(&roff))?;
        Ok(Exit::Ok)
    }
}
