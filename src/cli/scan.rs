//! `sidecar-drift scan`

use clap::Args;

use super::{
    Context, Exit,
    look::Look,
    output::{scan, table::Page},
    what_if::What,
};
use crate::config::Purpose;

/// Looks once.
#[derive(Debug, Args)]
pub struct Scan {
    /// Lists workloads that are as they should be, too, which are only counted otherwise; JSON and YAML always hold them [default: false].
    #[arg(long)]
    all: Option<bool>,
    /// Asks of every workload whether a Pod of it would come back, also of those that run none now, and lists all [default:
    /// false].
    #[arg(long)]
    all_workloads: Option<bool>,
    #[command(flatten)]
    what_if: What,
    #[command(flatten)]
    look: Look,
}

impl Scan {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { all, all_workloads, what_if, look } = self;
        let mut config = context.configure(look.settings(), Purpose::Look(None))?;
        config.policy.all_workloads = all_workloads.unwrap_or(false);
        config.policy.what_if = what_if.into();
        let (all, page) = (all.unwrap_or(config.policy.all_workloads), Page::of(context.console));
        let looked = context.look_by(config)?;
        context.console.print(&looked.text(|report, _| scan::text(report, all, page))?)?;
        Ok(Exit::of(looked.report.complete))
    }
}
