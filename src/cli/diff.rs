//! `sidecar-drift diff`

use clap::Args;

use super::{
    context::Context,
    exit::Exit,
    look::Look,
    output::{diff, table::Page},
    workload_name::WorkloadName,
};
use crate::config::Purpose;

/// Looks once, closely.
#[derive(Debug, Args)]
pub struct Diff {
    /// Looks at this workload only, such as `deployment/cart` or `deployment/shop/cart` [default: all].
    #[arg(value_name = "KIND/NAME")]
    workload: Option<WorkloadName>,
    #[command(flatten)]
    look: Look,
}

impl Diff {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let settings = match &self.workload {
            Some(workload) => self.look.settings_for(workload)?,
            None => self.look.settings(),
        };
        let only = self.workload.map(|workload| (workload.kind, workload.name));
        let looked = {
            let config = context.configure(settings, Purpose::Look(only.clone()))?;
            context.look(config)?
        };
        if let Some(only) = &only {
            looked.must_have(only)?;
        }
        let page = Page::of(context.console, looked.form());
        looked.print(context, |report, redaction| diff::text(report, redaction, page))?;
        Ok(looked.exit())
    }
}
