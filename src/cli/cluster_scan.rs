//! What the commands that look at the cluster have in common.

use std::sync::Arc;

use clap::Args;

use super::{
    context::Context,
    engine::{Stopped, run_expecting_workloads},
    exit::{Exit, UsageError},
    log_lines,
    output::{
        document::{self, Document},
        redaction::Redaction,
        table::Form,
    },
    progress::ProgressDisplay,
    workload_name::WorkloadName,
};
use crate::{
    config::{Config, Display, Kinds, OutputFormat, Rendering, Selection, Settings, Show, StopWhen},
    core::{
        model::{Name, owner::Kind},
        report::Report,
    },
};

/// What is looked at, how, and how the result is written.
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

    /// For one workload, which may say itself where it is.
    pub(super) fn settings_for(mut self, workload: &WorkloadName) -> Result<Settings, UsageError> {
        let flags = self.selection.namespace.as_deref().unwrap_or_default();
        if let Some(namespace) = workload.namespace(flags)? {
            self.selection.namespace = Some(vec![namespace.clone()]);
            self.selection.all_namespaces = None;
        }
        Ok(self.settings())
    }
}

/// What was seen, and how it is to be shown.
pub(super) struct ScanResult {
    pub(super) report: Arc<Report>,
    pub(super) redaction: Redaction,
    stopped: Option<Stopped>,
    show: Show,
}

/// How the tables of a format are written.
pub(super) fn form(format: OutputFormat) -> Form {
    match format {
        OutputFormat::Wide => Form::Wide,
        OutputFormat::Markdown => Form::Markdown,
        OutputFormat::Table | OutputFormat::Json | OutputFormat::Yaml => Form::Plain,
    }
}

impl ScanResult {
    pub(super) fn form(&self) -> Form {
        form(self.show.format)
    }

    /// Prints all of it as one document, or as log lines, or as what `table` makes of it.
    pub(super) fn print(
        &self,
        context: &mut Context<'_>,
        table: impl FnOnce(&Report, &Redaction) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.show.format {
            _ if self.show.as_lines => {
                log_lines::report(&self.report);
                return Ok(());
            }
            // There is nothing to show, and that is not to say that there is nothing.
            _ if self.stopped.is_some() && !self.report.synced => return Ok(()),
            OutputFormat::Table | OutputFormat::Wide | OutputFormat::Markdown => table(&self.report, &self.redaction),
            OutputFormat::Json | OutputFormat::Yaml => {
                document::write(&Document::new(&self.report, &self.redaction), self.show.format)?
            }
        };
        context.console.print(&text)?;
        Ok(())
    }

    /// Somebody asked about one workload: it must be there.
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

    /// Done, if nothing is missing.
    pub(super) fn exit(&self) -> Exit {
        self.stopped.map_or_else(|| Exit::of(self.report.complete), Exit::by)
    }
}

impl Context<'_> {
    /// Looks once.
    pub(super) fn scan(&mut self, config: Config) -> anyhow::Result<ScanResult> {
        let (show, redaction) = (config.display, Self::redaction(&config)?);
        let mut bar = ProgressDisplay::new(self.console);
        let ended =
            run_expecting_workloads(self.engine, config, StopWhen::Complete, &mut |report, _| bar.judged(report))?;
        drop(bar);
        if ended.stopped.is_some() && !ended.report.synced {
            self.console.print_error("error: stopped before the cluster was listed");
        }
        Ok(ScanResult { report: ended.report, redaction, stopped: ended.stopped, show })
    }
}
