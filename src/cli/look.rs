//! What the commands that look at the cluster once have in common.

use std::sync::Arc;

use clap::Args;

use super::{
    Context,
    engine::look,
    output::{
        document::{self, Document},
        mask::Mask,
    },
    progress::Bar,
};
use crate::{
    config::{Config, Display, Kinds, OutputFormat, Purpose, Rendering, Selection, Settings, StopWhen},
    core::report::Report,
};

/// What is looked at, how, and how the result is written.
#[derive(Debug, Args)]
pub(super) struct Look {
    #[command(flatten)]
    display: Display,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    kinds: Kinds,
    #[command(flatten)]
    rendering: Rendering,
}

impl Look {
    pub(super) fn settings(self) -> Settings {
        let Self { display, selection, kinds, rendering } = self;
        Settings { selection, kinds, rendering, display, ..Settings::default() }
    }
}

/// What was seen, and how it is to be shown.
pub(super) struct Looked {
    pub(super) report: Arc<Report>,
    pub(super) format: OutputFormat,
    pub(super) mask: Mask,
}

impl Looked {
    /// The whole of it as one document, or, if it is to be a table, what `table` makes of it.
    pub(super) fn text(&self, table: impl FnOnce(&Report, &Mask) -> String) -> anyhow::Result<String> {
        match self.format {
            OutputFormat::Table => Ok(table(&self.report, &self.mask)),
            OutputFormat::Json | OutputFormat::Yaml => {
                document::write(&Document::new(&self.report, &self.mask), self.format)
            }
        }
    }
}

impl Context<'_> {
    /// Looks once, at what `look` chooses.
    pub(super) fn look(&mut self, look: Look, purpose: Purpose) -> anyhow::Result<Looked> {
        let config = self.configure(look.settings(), purpose)?;
        self.look_by(config)
    }

    /// Looks once.
    pub(super) fn look_by(&mut self, config: Config) -> anyhow::Result<Looked> {
        let (format, mask) = (config.display.format, Self::mask(&config)?);
        let mut bar = Bar::new(self.console);
        let report = look(self.engine, config, StopWhen::Complete, &mut |report, _| bar.judged(report))?;
        Ok(Looked { report, format, mask })
    }
}
