//! `sidecar-drift retry`

use clap::Args;

use super::{context::Context, exit::Exit, workload_name::WorkloadName};
use crate::config::{DnsLabel, Purpose, Settings, State};

/// Lets one workload be tried again.
#[derive(Debug, Args)]
pub struct Retry {
    /// Which workload, such as `deployment/cart` or `deployment/shop/cart`.
    #[arg(value_name = "KIND/NAME")]
    workload: WorkloadName,
    /// Is in this namespace [default: that of the kubeconfig's context].
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<DnsLabel>,
    /// Does it; without this it is only said what would be done [default: false].
    #[arg(long)]
    yes: Option<bool>,
    #[command(flatten)]
    state: State,
}

impl Retry {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { workload, namespace, yes, state } = self;
        let config = context.configure(Settings { state, ..Settings::default() }, Purpose::Look(None))?;
        let found = context.engine.find(&config, &workload.within(namespace)?)?;
        if yes != Some(true) {
            context.console.print(&format!("{} would be tried again.\n", found.key))?;
            context.console.note(
                "Nothing was done. Add `--yes` to lift what holds it: `reverted`, `already_tried` and the cool-down.",
            );
            return Ok(Exit::Ok);
        }
        context.engine.retry(&config, &found)?;
        context.console.note(&format!(
            "{} may be tried again: what came of rollouts before does not count any more, except for the daily cap.",
            found.key
        ));
        Ok(Exit::Ok)
    }
}
