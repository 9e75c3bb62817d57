//! `scan --watch`: the result, again and again.

use super::{
    cluster_scan::{document, form},
    context::Context,
    engine::{Told, run_expecting_workloads},
    exit::Exit,
    log_lines,
    output::{Console, listing, redaction::Redaction, scan, table::Page},
    progress::Heading,
};
use crate::{
    config::{Config, Listing, OutputFormat, OutputOptions, StopWhen},
    core::report::Report,
};

/// Shows what is seen until somebody has seen enough. On a terminal the screen is drawn anew; elsewhere each result
/// follows the one before it, as soon as anything in it changes.
pub(super) fn watch(context: &mut Context<'_>, config: Config, all: bool) -> anyhow::Result<Exit> {
    let (show, redaction, listing) = (config.display, Context::redaction(&config)?, config.listing.clone());
    let mut shown = String::new();
    let mut failed = None;
    let heading = Heading::of(&config);
    let console = &mut *context.console;
    let ended = run_expecting_workloads(context.engine, config, StopWhen::Never, &mut |told| {
        let report = match told {
            Told::Connected(place) => return Heading::write(heading.as_ref(), place, console),
            Told::Moved(report, _) => report,
        };
        if failed.is_none() && report.synced {
            failed = refresh(console, report, &redaction, (show, &listing), all, &mut shown).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(ended.stopped.map_or(Exit::Ok, Exit::by))
}

fn refresh(
    console: &mut Console,
    report: &Report,
    redaction: &Redaction,
    (show, listing): (OutputOptions, &Listing),
    all: bool,
    shown: &mut String,
) -> anyhow::Result<()> {
    let page = Page::of(console, form(show.format)).with_headers(show.headers);
    let sorted = listing.sort_by.as_ref().map(|path| listing::sorted(report, path, redaction)).transpose()?;
    let report = sorted.as_ref().unwrap_or(report);
    // Without the times, which always move.
    let made = scan::text(&Report { taken: jiff::Timestamp::UNIX_EPOCH, ..report.clone() }, all, page);
    let changed = made != *shown;
    if changed {
        *shown = made;
    }
    match show.format {
        _ if show.as_lines && changed => log_lines::report(report),
        _ if show.as_lines => {}
        OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Name | OutputFormat::Shaped if changed => {
            console.print(&document(report, redaction, show, listing, |w| all || scan::is_listed(w))?)?;
        }
        OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Name | OutputFormat::Shaped => {}
        _ if console.is_terminal() => {
            let heading = format!("{} (Ctrl-C ends)\n\n", report.taken.strftime("%Y-%m-%d %H:%M:%S UTC"));
            console.redraw(&(heading + &scan::text(report, all, page)))?;
        }
        _ if changed => console.print(&format!("{}\n{}", report.taken, scan::text(report, all, page)))?,
        _ => {}
    }
    Ok(())
}
