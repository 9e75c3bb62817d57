//! `sidecar-drift scan`

use clap::Args;

use super::{
    Context, Exit,
    look::Look,
    output::{scan, table::Page},
};
use crate::config::Purpose;

/// Looks once.
#[derive(Debug, Args)]
pub struct Scan {
    /// Lists workloads that are as they should be, too, which are only counted otherwise; JSON and YAML always hold them [default: false].
    #[arg(long)]
    all: Option<bool>,
    #[command(flatten)]
    look: Look,
}

impl Scan {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let looked = context.look(self.look, Purpose::Look(None))?;
        let (all, page) = (self.all.unwrap_or(false), Page::of(context.console));
        context.console.print(&looked.text(|report, _| scan::text(report, all, page))?)?;
        Ok(Exit::of(looked.report.complete))
    }
}
