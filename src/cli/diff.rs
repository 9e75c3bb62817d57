//! `sidecar-drift diff`

use clap::Args;

use super::{
    cluster_scan::ScanArgs,
    context::Context,
    exit::Exit,
    output::{diff, table::Page},
    workload_name::WorkloadName,
};
use crate::{config::Purpose, document::summary::differs};

/// Looks once, closely.
#[derive(Debug, Args)]
pub struct Diff {
    /// Looks at this workload only, such as `deployment/cart` or `deployment/shop/cart` [default: all].
    #[arg(value_name = "KIND/NAME")]
    workload: Option<WorkloadName>,
    #[command(flatten)]
    args: ScanArgs,
}

impl Diff {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let settings = match &self.workload {
            Some(workload) => self.args.settings_for(workload)?,
            None => self.args.settings(),
        };
        let only = self.workload.map(|workload| (workload.kind, workload.name));
        let scanned = {
            let config = context.configure(settings, Purpose::Look(only.clone()))?;
            context.scan(config)?
        };
        if let Some(only) = &only {
            scanned.must_have(only)?;
        }
        let page = Page::of(context.console, scanned.form());
        let one = only.is_some();
        scanned.print(context, |w| one || differs(w), |report, redaction| diff::text(report, redaction, page))?;
        Ok(scanned.exit())
    }
}
