//! One scan of the cluster: the flags, the run and the output that `scan`, `diff`, `explain` and `rollout` share.

use std::sync::Arc;

use clap::Args;

use super::{
    context::Context,
    engine::{Stopped, Told, run_expecting_workloads},
    exit::{Exit, UsageError},
    log_lines,
    output::{
        document::Document,
        listing,
        redaction::Redaction,
        table::{Form, Page},
    },
    progress::{Heading, ProgressDisplay},
    workload_name::WorkloadName,
};
use crate::{
    config::{
        Config, Display, Kinds, Listing, OutputFormat, OutputOptions, Rendering, Selection, Settings, Shape, StopWhen,
    },
    core::{
        model::{Name, owner::Kind},
        report::{Report, WorkloadReport},
    },
};

/// The flags of a scan: what to scan, how, and how to write the result.
#[derive(Debug, Args)]
pub(super) struct ScanArgs {
    #[command(flatten)]
    display: Display,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    kinds: Kinds,
    #[command(flatten)]
    rendering: Rendering,
}

impl ScanArgs {
    pub(super) fn settings(self) -> Settings {
        let Self { display, selection, kinds, rendering } = self;
        Settings { selection, kinds, rendering, display, ..Settings::default() }
    }

    /// The settings for one workload, whose name may contain its namespace.
    pub(super) fn settings_for(mut self, workload: &WorkloadName) -> Result<Settings, UsageError> {
        let flags = self.selection.namespace.as_deref().unwrap_or_default();
        if let Some(namespace) = workload.namespace(flags)? {
            self.selection.namespace = Some(vec![namespace.clone()]);
            self.selection.all_namespaces = None;
        }
        Ok(self.settings())
    }
}

/// The result of a scan, and how to write it.
pub(super) struct ScanResult {
    pub(super) report: Arc<Report>,
    pub(super) redaction: Redaction,
    stopped: Option<Stopped>,
    show: OutputOptions,
    listing: Listing,
}

/// The form of tables in an output format.
pub(super) fn form(format: OutputFormat) -> Form {
    match format {
        OutputFormat::Wide => Form::Wide,
        OutputFormat::Markdown => Form::Markdown,
        OutputFormat::Table | OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Name | OutputFormat::Shaped => {
            Form::Plain
        }
    }
}

/// A report as a document, or what of it is asked for.
pub(super) fn document(
    report: &Report,
    redaction: &Redaction,
    show: OutputOptions,
    listing: &Listing,
    listed: impl Fn(&WorkloadReport) -> bool,
) -> anyhow::Result<String> {
    let all = matches!(show.format, OutputFormat::Json | OutputFormat::Yaml)
        || matches!(listing.shape, Some(Shape::JsonPath(_)));
    if all {
        return listing::text(&Document::new(report, redaction), Some(WORKLOADS), show, listing);
    }
    let workloads = report.workloads.iter().filter(|w| listed(w)).cloned().collect();
    let listed = Report { workloads, ..report.clone() };
    listing::text(&Document::new(&listed, redaction), Some(WORKLOADS), show, listing)
}

/// Where a report's document has its workloads.
const WORKLOADS: &str = "workloads";

impl ScanResult {
    pub(super) fn form(&self) -> Form {
        form(self.show.format)
    }

    /// A page for its table.
    pub(super) fn page(&self, context: &Context<'_>) -> Page {
        Page::of(context.console, form(self.show.format)).with_headers(self.show.headers)
    }

    /// Prints the report as a document, as log lines, as the text that `table` makes, or as names or columns of what is `listed`.
    pub(super) fn print(
        &self,
        context: &mut Context<'_>,
        listed: impl Fn(&WorkloadReport) -> bool,
        table: impl FnOnce(&Report, &Redaction) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.show.format {
            _ if self.show.as_lines => {
                log_lines::report(&self.report);
                return Ok(());
            }
            // An empty table would say that there are no workloads, which is not known.
            _ if self.stopped.is_some() && !self.report.synced => return Ok(()),
            OutputFormat::Table | OutputFormat::Wide | OutputFormat::Markdown => table(&self.report, &self.redaction),
            _ => document(&self.report, &self.redaction, self.show, &self.listing, listed)?,
        };
        context.console.print(&text)?;
        Ok(())
    }

    /// Fails if the workload that was asked for is not in the report.
    pub(super) fn must_have(&self, (kind, name): &(Kind, Name)) -> anyhow::Result<()> {
        if self.report.workloads.is_empty() && self.stopped.is_none() {
            anyhow::ensure!(
                self.report.synced,
                "the cluster could not be listed in time: whether there is a {kind} `{name}` is not known"
            );
            anyhow::bail!("there is no {kind} `{name}` where we looked; name its namespace with `--namespace`");
        }
        Ok(())
    }

    /// `Ok`, if the report is complete.
    pub(super) fn exit(&self) -> Exit {
        self.stopped.map_or_else(|| Exit::of(self.report.complete), Exit::by)
    }
}

impl Context<'_> {
    /// Scans the cluster once.
    pub(super) fn scan(&mut self, config: Config) -> anyhow::Result<ScanResult> {
        let (show, redaction, listing) = (config.display, Self::redaction(&config)?, config.listing.clone());
        let heading = Heading::of(&config);
        let mut bar = ProgressDisplay::new(self.console);
        let ended = run_expecting_workloads(self.engine, config, StopWhen::Complete, &mut |told| match told {
            Told::Connected(place) => bar.begins(heading.as_ref(), place),
            Told::Moved(report, _) => bar.judged(report),
        })?;
        drop(bar);
        if ended.stopped.is_some() && !ended.report.synced {
            self.console.print_error("error: stopped before the cluster was listed");
        }
        let mut report = ended.report;
        if let Some(path) = &listing.sort_by {
            report = Arc::new(listing::sorted(&report, path, &redaction)?);
        }
        Ok(ScanResult { report, redaction, stopped: ended.stopped, show, listing })
    }
}
