//! `sidecar-drift replay`

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::{
    cluster_scan::{document, form},
    context::Context,
    exit::Exit,
    output::{listing, scan, table::Page},
};
use crate::{
    config::{Display, OutputFormat, Purpose, Settings},
    daemon::recording::{Replayed, replay},
};

/// Effects that differ are shown up to this length.
const MAX_SHOWN: usize = 600;

/// Plays a recording again.
#[derive(Debug, Args)]
pub struct Replay {
    /// The recording that `run --record` wrote.
    file: PathBuf,
    /// Stops at this time (RFC 3339, such as `2026-03-02T10:15:00Z`) and shows every workload as it stood then, with what
    /// held it.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    #[command(flatten)]
    display: Display,
}

impl Replay {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let Self { file, at, display } = self;
        let given = Settings { display, ..Settings::default() };
        let config = context.configure(given, Purpose::Look(None))?;
        let (format, redaction) = (config.display.format, Context::redaction(&config)?);
        let (show, listing) = (config.display, &config.listing);
        let replayed = replay(&file, at)?;
        if at.is_some() {
            let report = &replayed.report;
            let sorted = listing.sort_by.as_ref().map(|path| listing::sorted(report, path, &redaction)).transpose()?;
            let report = sorted.as_ref().unwrap_or(report);
            let text = match format {
                OutputFormat::Table | OutputFormat::Wide | OutputFormat::Markdown => {
                    scan::text(report, true, Page::of(context.console, form(format)).with_headers(show.headers))
                }
                _ => document(report, &redaction, show, listing, |_| true)?,
            };
            context.console.print(&text)?;
        }
        let Replayed { version, inputs, span: (from, to), differs, cut_off, report: _ } = replayed;
        if let Some((line, recorded, found)) = differs {
            let ours = env!("CARGO_PKG_VERSION");
            anyhow::bail!(
                "the input in line {line} has other effects now (recorded by version {version}, replayed by {ours}): \
                 recorded {}, now {}",
                truncated(&recorded),
                truncated(&found)
            );
        }
        context.console.note(&format!("{inputs} inputs from {from:.0} to {to:.0}: the same effects."));
        if let Some(line) = cut_off {
            anyhow::bail!("`{}` ends in the middle of line {line}; what is before it was replayed", file.display());
        }
        Ok(Exit::Ok)
    }
}

fn truncated(text: &str) -> String {
    let cut: String = text.chars().take(MAX_SHOWN).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}
