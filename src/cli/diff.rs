//! `sidecar-drift diff`

use clap::Args;

use super::{Context, Exit, args::WorkloadName, look::Look, output::diff};
use crate::config::Purpose;

/// Looks once, closely.
#[derive(Debug, Args)]
pub struct Diff {
    /// Looks at this workload only, such as `deployment/cart` [default: all].
    #[arg(value_name = "KIND/NAME")]
    workload: Option<WorkloadName>,
    #[command(flatten)]
    look: Look,
}

impl Diff {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let only = self.workload.map(|WorkloadName { kind, name }| (kind, name));
        let looked = context.look(self.look, Purpose::Look(only.clone()))?;
        let report = &looked.report;
        if let (Some((kind, name)), true) = (only, report.workloads.is_empty()) {
            anyhow::ensure!(
                report.synced,
                "the cluster could not be listed in time: whether there is a {kind} `{name}` is not known"
            );
            anyhow::bail!("there is no {kind} `{name}` where we looked; name its namespace with `--namespace`");
        }
        let width = context.console.width();
        context.console.print(&looked.text(|report, mask| diff::text(report, mask, width))?)?;
        Ok(Exit::of(report.complete))
    }
}
