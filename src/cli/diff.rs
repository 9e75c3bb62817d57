//! `sidecar-drift diff`

use clap::Args;

use super::{
    Context, Exit,
    args::WorkloadName,
    engine::look,
    output::{
        diff,
        document::{self, Document},
    },
    progress::Bar,
};
use crate::config::{Display, Kinds, OutputFormat, Purpose, Rendering, Selection, Settings, StopWhen};

/// Looks once, closely.
#[derive(Debug, Args)]
pub struct Diff {
    /// Looks at this workload only, such as `deployment/cart` [default: all].
    #[arg(value_name = "KIND/NAME")]
    workload: Option<WorkloadName>,
    #[command(flatten)]
    display: Display,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    kinds: Kinds,
    #[command(flatten)]
    rendering: Rendering,
}

impl Diff {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { workload, display, selection, kinds, rendering } = self;
        let given = Settings { selection, kinds, rendering, display, ..Settings::default() };
        let only = workload.map(|WorkloadName { kind, name }| (kind, name));
        let config = context.configure(given, Purpose::Look(only.clone()))?;
        let (format, mask) = (config.display.format, Context::mask(&config)?);
        let mut bar = Bar::new(context.console);
        let report = look(context.engine, config, StopWhen::Complete, &mut |report, _| bar.judged(report))?;
        drop(bar);
        if let (Some((kind, name)), true) = (only, report.workloads.is_empty()) {
            anyhow::ensure!(
                report.synced,
                "the cluster could not be listed in time: whether there is a {kind} `{name}` is not known"
            );
            anyhow::bail!("there is no {kind} `{name}` where we looked; name its namespace with `--namespace`");
        }
        let text = match format {
            OutputFormat::Table => diff::text(&report, &mask, context.console.width()),
            OutputFormat::Json | OutputFormat::Yaml => document::write(&Document::new(&report, &mask), format)?,
        };
        context.console.print(&text)?;
        Ok(Exit::of(report.complete, &report))
    }
}
