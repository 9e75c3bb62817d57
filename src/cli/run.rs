//! `sidecar-drift run`

use clap::Args;

use super::{Context, Exit, notices};
use crate::config::{
    Daemon, Kinds, Leadership, Purpose, Record, Rendering, Rollouts, Selection, Settings, State, StopWhen,
};

/// The daemon.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    daemon: Daemon,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    record: Record,
    #[command(flatten)]
    leadership: Leadership,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    kinds: Kinds,
    #[command(flatten)]
    rendering: Rendering,
    #[command(flatten)]
    rollouts: Rollouts,
}

impl Run {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { daemon, state, record, leadership, selection, kinds, rendering, rollouts } = self;
        let given = Settings {
            selection,
            kinds,
            rendering,
            rollouts,
            state,
            daemon,
            record,
            leadership,
            ..Settings::default()
        };
        let config = context.configure(given, Purpose::Run)?;
        let engine = context.engine;
        engine.run(config, StopWhen::Never, &mut |_, told| told.iter().for_each(notices::log))?;
        Ok(Exit::Ok)
    }
}
