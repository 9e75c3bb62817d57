//! `sidecar-drift explain`

use clap::Args;

use super::{
    cluster_scan::ScanArgs,
    context::Context,
    exit::Exit,
    output::{explain, table::Page},
    workload_name::WorkloadName,
};
use crate::config::Purpose;

/// Looks at one workload, and tells all that is known of it.
#[derive(Debug, Args)]
pub struct Explain {
    /// The workload, such as `deployment/cart` or `deployment/shop/cart`.
    #[arg(value_name = "KIND/NAME")]
    workload: WorkloadName,
    #[command(flatten)]
    args: ScanArgs,
}

impl Explain {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let settings = self.args.settings_for(&self.workload)?;
        let only = (self.workload.kind, self.workload.name);
        let config = context.configure(settings, Purpose::Look(Some(only.clone())))?;
        let scanned = context.scan(config)?;
        scanned.must_have(&only)?;
        let page = Page::of(context.console, scanned.form());
        scanned.print(context, |_| true, |report, redaction| explain::text(report, redaction, page))?;
        Ok(scanned.exit())
    }
}
