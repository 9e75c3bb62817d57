//! `sidecar-drift run`

use clap::Args;

use super::{context::Context, engine::Told, exit::Exit, log_lines, notices, output::rollout::Tally};
use crate::{
    config::{
        Daemon, Kinds, Leadership, LeaseAt, Purpose, Record, Rendering, Rollouts, Selection, Settings, State, StopWhen,
    },
    core::config::Mode,
};

/// The daemon.
#[derive(Debug, Args)]
pub struct Run {
    /// Ends when everything has been looked at and, with `--mode enforce`, nothing more can be rolled out; for a CronJob
    /// [default: false].
    #[arg(long)]
    once: Option<bool>,
    #[command(flatten)]
    daemon: Daemon,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    record: Record,
    #[command(flatten)]
    leadership: Leadership,
    #[command(flatten)]
    lease: LeaseAt,
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
        let Self { once, daemon, state, record, leadership, lease, selection, kinds, rendering, rollouts } = self;
        let given = Settings {
            selection,
            kinds,
            rendering,
            rollouts,
            state,
            daemon,
            record,
            leadership,
            lease,
            ..Settings::default()
        };
        let mut config = context.configure(given, Purpose::Run)?;
        let stop = match (once.unwrap_or(false), config.policy.mode) {
            (false, _) => StopWhen::Never,
            (true, Mode::Enforce) => StopWhen::RolledOut,
            (true, _) => StopWhen::Complete,
        };
        if stop != StopWhen::Never {
            (config.listen, config.api_listen) = (None, None);
        }
        let ended = context.engine.run(config, stop, &mut |told| {
            if let Told::Moved(_, notices) = told {
                notices.iter().for_each(notices::log);
            }
        })?;
        if ended.stopped.is_some_and(|stopped| stopped.at_once) {
            anyhow::bail!("stopped at once, by the second signal");
        }
        if stop == StopWhen::Never || ended.stopped.is_some() {
            return Ok(Exit::Ok);
        }
        if ended.report.rollouts.is_empty() {
            log_lines::report(&ended.report);
        } else {
            log_lines::rolled(&ended.report, 0);
        }
        Ok(Exit::of(ended.report.complete && Tally::of(&ended.report).errors == 0))
    }
}
