//! `sidecar-drift scan`

use clap::Args;

use super::{
    cluster_scan::{ScanArgs, ScanResult},
    context::Context,
    exit::Exit,
    output::scan,
    watch,
    what_if::WhatIfArgs,
};
use crate::{
    config::Purpose,
    core::{model::words::Verdict, report::WorkloadReport},
    document::summary::differs,
};

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
    /// Ends with a code that says what was found, the first that applies: 1 the result is not complete, 4 a workload is
    /// rejected, 3 one differs, 5 one is undetermined, 0 nothing of all that [default: false].
    #[arg(long)]
    exit_code: Option<bool>,
    /// Goes on looking and shows the result anew whenever it changes, until Ctrl-C [default: false].
    #[arg(long, short, conflicts_with = "exit_code")]
    watch: Option<bool>,
    #[command(flatten)]
    what_if: WhatIfArgs,
    #[command(flatten)]
    args: ScanArgs,
}

impl Scan {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { all, all_workloads, exit_code, watch, what_if, args } = self;
        let mut config = context.configure(args.settings(), Purpose::Look(None))?;
        config.policy.all_workloads = all_workloads.unwrap_or(false);
        config.policy.what_if = what_if.into();
        let all = all.unwrap_or(config.policy.all_workloads);
        if watch == Some(true) {
            return watch::watch(context, config, all);
        }
        let scanned = context.scan(config)?;
        let page = scanned.page(context);
        scanned.print(context, |w| all || scan::is_listed(w), |report, _| scan::text(report, all, page))?;
        Ok(if exit_code == Some(true) { found(&scanned) } else { scanned.exit() })
    }
}

/// What was found, as a code.
fn found(scanned: &ScanResult) -> Exit {
    match scanned.exit() {
        Exit::Ok => {}
        other => return other,
    }
    let any = |is: fn(&WorkloadReport) -> bool| scanned.report.workloads.iter().any(|w| is(w));
    if any(|w| w.verdict == Verdict::Rejected) {
        Exit::Rejected
    } else if any(differs) {
        Exit::Drift
    } else if any(|w| w.verdict == Verdict::Undetermined) {
        Exit::Undetermined
    } else {
        Exit::Ok
    }
}
