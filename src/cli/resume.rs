//! `sidecar-drift resume`

use clap::Args;

use super::{context::Context, exit::Exit};
use crate::config::{DnsLabel, Purpose, Settings, State};

/// Lets rollouts go on.
#[derive(Debug, Args)]
pub struct Resume {
    /// Closes the breaker in this namespace alone; a pause, and a breaker that is open for all, stay [default: all].
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<DnsLabel>,
    #[command(flatten)]
    state: State,
}

impl Resume {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let given = Settings { state: self.state, ..Settings::default() };
        let config = context.configure(given, Purpose::Look(None))?;
        if let Some(DnsLabel(namespace)) = &self.namespace {
            let stops = context.engine.resume_in(&config, namespace)?;
            let but = stops.map(|stops| format!("; but {stops}")).unwrap_or_default();
            context.console.note(&format!("The breaker is closed in namespace {namespace}{but}."));
            return Ok(Exit::Ok);
        }
        if let Some(unread) = context.engine.resume(&config)? {
            // Also when quiet: what was on record is gone, and nobody else says so.
            context.console.print_error(&format!(
                "The ConfigMap sidecar-drift-state could not be read ({unread}) and was begun anew. What was on record in it is \
                 gone: canaries, what was tried without success, and the words of `retry`."
            ));
        }
        context.console.note("Rollouts may go on: nothing is paused and the breaker is closed.");
        Ok(Exit::Ok)
    }
}
