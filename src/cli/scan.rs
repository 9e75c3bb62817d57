//! `sidecar-drift scan`

use clap::Args;

use super::{
    Context, Exit,
    engine::look,
    output::{
        document::{self, Document},
        scan,
        table::Page,
    },
    progress::Bar,
    what_if::What,
};
use crate::config::{Display, Kinds, OutputFormat, Purpose, Rendering, Selection, Settings, StopWhen};

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
    display: Display,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    kinds: Kinds,
    #[command(flatten)]
    rendering: Rendering,
}

impl Scan {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { all, all_workloads, what_if, display, selection, kinds, rendering } = self;
        let given = Settings { selection, kinds, rendering, display, ..Settings::default() };
        let mut config = context.configure(given, Purpose::Look(None))?;
        let all_workloads = all_workloads.unwrap_or(false);
        config.policy.all_workloads = all_workloads;
        config.policy.what_if = what_if.into();
        let (format, mask) = (config.display.format, Context::mask(&config)?);
        let mut bar = Bar::new(context.console);
        let report = look(context.engine, config, StopWhen::Complete, &mut |report, _| bar.judged(report))?;
        drop(bar);
        let text = match format {
            OutputFormat::Table => {
                scan::text(&report, all_workloads || all.unwrap_or(false), Page::of(context.console))
            }
            OutputFormat::Json | OutputFormat::Yaml => document::write(&Document::new(&report, &mask), format)?,
        };
        context.console.print(&text)?;
        Ok(Exit::of(report.complete, &report))
    }
}
