//! `sidecar-drift pause`

use clap::Args;

use super::{
    context::Context,
    exit::{Exit, UsageError},
};
use crate::config::{Purpose, Settings, State};

/// Stops rollouts.
#[derive(Debug, Args)]
pub struct Pause {
    /// Says why, for whoever finds the rollouts paused.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    state: State,
}

impl Pause {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let reason = self.reason.trim();
        if reason.is_empty() {
            return Err(UsageError("`--reason` is empty; say why rollouts are paused".to_owned()).into());
        }
        let given = Settings { state: self.state, ..Settings::default() };
        let config = context.configure(given, Purpose::Look(None))?;
        context.engine.pause(&config, reason)?;
        context.console.note("All rollouts are paused. Those under way are followed to their end.");
        Ok(Exit::Ok)
    }
}
