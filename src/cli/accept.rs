//! `sidecar-drift accept`

use clap::Args;

use super::{
    context::Context,
    exit::{Exit, UsageError},
    workload_name::WorkloadName,
};
use crate::config::{DnsLabel, Instant, Purpose, Settings};

/// Accepts the drift of one workload for a while.
#[derive(Debug, Args)]
pub struct Accept {
    /// Which workload, such as `deployment/cart` or `deployment/shop/cart`.
    #[arg(value_name = "KIND/NAME")]
    workload: WorkloadName,
    /// Is in this namespace [default: that of the kubeconfig's context].
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<DnsLabel>,
    /// Accepts it to the end of this day (UTC), or to a time: `2026-12-31`, `2026-12-31T18:00:00Z`.
    #[arg(long, value_name = "DATE")]
    until: Instant,
    /// Says why, for whoever finds the workload held.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Does it; without this it is only said what would be done [default: false].
    #[arg(long)]
    yes: Option<bool>,
}

impl Accept {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { workload, namespace, until, reason, yes } = self;
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(UsageError("`--reason` is empty; say why the drift is accepted".to_owned()).into());
        }
        let config = context.configure(Settings::default(), Purpose::Look(None))?;
        if until.time <= context.engine.now() {
            return Err(UsageError(format!("`--until {}` is over already; name a day to come", until.text)).into());
        }
        let found = context.engine.find(&config, &workload.within(namespace)?)?;
        if yes != Some(true) {
            context.console.print(&format!("The drift of {} would be accepted until {}.\n", found.key, until.text))?;
            context.console.note("Nothing was done. Add `--yes` to write the annotation `sidecar-drift/accept-until`.");
            return Ok(Exit::Ok);
        }
        context.engine.accept(&config, &found, &until.text, reason)?;
        context.console.note(&format!("The drift of {} is accepted until {}.", found.key, until.text));
        Ok(Exit::Ok)
    }
}
