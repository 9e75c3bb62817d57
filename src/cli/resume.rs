//! `sidecar-drift resume`

use clap::Args;

use super::{context::Context, exit::Exit};
use crate::config::{Purpose, Settings, State};

/// Lets rollouts go on.
#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    state: State,
}

impl Resume {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let given = Settings { state: self.state, ..Settings::default() };
        let config = context.configure(given, Purpose::Look(None))?;
        context.engine.resume(&config)?;
        context.console.note("Rollouts may go on: nothing is paused and the breaker is closed.");
        Ok(Exit::Ok)
    }
}
