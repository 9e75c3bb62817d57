//! `sidecar-drift rollout`

use std::collections::BTreeSet;

use clap::Args;
use jiff::Timestamp;

use super::{
    cluster_scan::form,
    confirm::{self, Chosen},
    context::Context,
    engine::{Told, run_expecting_workloads},
    exit::{Exit, UsageError},
    log_lines, notices,
    output::{
        document::RolloutDocument,
        listing,
        rollout::{self, End, Tally},
        table::{Form, Page},
        text::wrap,
    },
    progress::{Heading, ProgressDisplay},
};
use crate::{
    config::{Config, Display, OutputFormat, Purpose, Rendering, Rollouts, Selection, Settings, State, StopWhen},
    core::{config::Mode, model::owner::Kind, report::Report},
};

/// Rolls once, with a person watching.
#[derive(Debug, Args)]
pub struct Rollout {
    /// Rolls out; without this, or with `=false`, only the plan is shown [default: false].
    #[arg(long, visible_alias = "yes")]
    confirm: Option<bool>,
    /// Rolls StatefulSets, too [default: false].
    #[arg(long, alias = "include-statefulsets")]
    include_statefulset: Option<bool>,
    /// Rolls DaemonSets, too [default: false].
    #[arg(long, alias = "include-daemonsets")]
    include_daemonset: Option<bool>,
    /// Rolls no Deployments [default: false].
    #[arg(long, visible_alias = "exclude-deployments")]
    exclude_deployment: Option<bool>,
    /// Rolls workloads, too, whose sidecars are as they should be; every gate holds all the same. Needs `--confirm`
    /// [default: false].
    #[arg(long)]
    regardless_of_drift: Option<bool>,
    /// Asks before each workload: yes, no, all, diff, quit. Needs `--confirm` and a terminal [default: false].
    #[arg(long, short)]
    interactive: Option<bool>,
    #[command(flatten)]
    rollouts: Rollouts,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    rendering: Rendering,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    display: Display,
}

impl Rollout {
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        let kinds = self.kinds();
        if kinds.is_empty() {
            let why = "no kind is left to roll out: add `--include-statefulset` or `--include-daemonset`, \
                       or leave out `--exclude-deployment`";
            return Err(UsageError(why.to_owned()).into());
        }
        let confirmed = self.confirm.unwrap_or(false);
        let regardless = self.regardless_of_drift.unwrap_or(false);
        if regardless && !confirmed {
            let why = "`--regardless-of-drift` needs `--confirm`: without it nothing is rolled, and what drifted is \
                       shown; leave one out or add the other";
            return Err(UsageError(why.to_owned()).into());
        }
        let interactive = self.interactive.unwrap_or(false);
        if interactive && !confirmed {
            let why = "`--interactive` needs `--confirm`: without it nothing is rolled; add it, or leave both out";
            return Err(UsageError(why.to_owned()).into());
        }
        let Self { rollouts, selection, rendering, state, display, .. } = self;
        let given = Settings { selection, rendering, rollouts, state, display, ..Settings::default() };
        let config = context.configure(given, Purpose::Rollout { confirmed, kinds, regardless })?;
        if !confirmed {
            return plan(context, config);
        }
        if interactive && !context.console.can_ask() {
            let why = "`--interactive` needs a terminal to ask at; leave it out where nobody can answer";
            return Err(UsageError(why.to_owned()).into());
        }
        let own_rights = "Rolling out with your own rights. The guard, which holds the daemon to dry runs and to \
                          its stamp, does not bind you.";
        context.console.note(&wrap(own_rights, context.console.width(), ""));
        if interactive { ask_then_roll(context, config) } else { roll(context, config) }
    }

    fn kinds(&self) -> BTreeSet<Kind> {
        let mut kinds = BTreeSet::new();
        if self.exclude_deployment != Some(true) {
            kinds.insert(Kind::DEPLOYMENT);
        }
        if self.include_statefulset == Some(true) {
            kinds.insert(Kind::STATEFUL_SET);
        }
        if self.include_daemonset == Some(true) {
            kinds.insert(Kind::DAEMON_SET);
        }
        kinds
    }
}

fn plan(context: &mut Context<'_>, config: Config) -> anyhow::Result<Exit> {
    let scanned = context.scan(config)?;
    let page = scanned.page(context);
    scanned.print(context, rollout::ready, |report, _| rollout::plan(report, page))?;
    Ok(scanned.exit())
}

/// A person chooses from what could be rolled out now; what is chosen is looked at again before anything is done.
fn ask_then_roll(context: &mut Context<'_>, mut config: Config) -> anyhow::Result<Exit> {
    let mut look_first = config.clone();
    look_first.policy.mode = Mode::Report;
    let scanned = context.scan(look_first)?;
    if scanned.exit() != Exit::Ok {
        scanned.print(context, rollout::ready, |report, _| {
            rollout::plan(report, Page { width: None, colour: false, form: Form::Plain, headers: true })
        })?;
        return Ok(scanned.exit());
    }
    match confirm::choose(context, &scanned)? {
        Chosen::Interrupted => Ok(Exit::Interrupted),
        Chosen::Some(chosen) if chosen.is_empty() => Ok(confirm::nothing_chosen(context)),
        Chosen::Some(chosen) => {
            config.policy.filter.chosen = Some(chosen);
            roll(context, config)
        }
    }
}

fn roll(context: &mut Context<'_>, config: Config) -> anyhow::Result<Exit> {
    let (show, redaction, listing) = (config.display, Context::redaction(&config)?, config.listing.clone());
    let heading = Heading::of(&config);
    let mut bar = ProgressDisplay::new(context.console);
    let mut begun = None;
    let ended = run_expecting_workloads(context.engine, config, StopWhen::RolledOut, &mut |told| {
        let (report, notices) = match told {
            Told::Connected(place) => return bar.begins(heading.as_ref(), place),
            Told::Moved(report, notices) => (report, notices),
        };
        begun.get_or_insert(report.taken);
        if show.logged {
            notices.iter().for_each(notices::log);
        } else {
            bar.rolled(report, notices);
        }
    })?;
    drop(bar);
    let report = &ended.report;
    let end = End { seconds: elapsed(begun, report), interrupted: ended.stopped.is_some() };
    let tally = Tally::of(report);
    if show.as_lines {
        log_lines::rolled(report, end.seconds);
    } else {
        let text = match show.format {
            OutputFormat::Table | OutputFormat::Wide | OutputFormat::Markdown => {
                rollout::result(report, end, Page::of(context.console, form(show.format)))
            }
            _ => {
                let document = RolloutDocument::new(report, end, tally, &redaction);
                listing::text(&document, Some("rollouts"), show, &listing)?
            }
        };
        context.console.print(&text)?;
    }
    Ok(ended.stopped.map_or_else(|| Exit::of(tally.errors == 0 && report.complete), Exit::by))
}

/// Whole seconds between the first report and the last.
fn elapsed(begun: Option<Timestamp>, last: &Report) -> u64 {
    let time = begun.map(|begun| last.taken.duration_since(begun).as_secs());
    time.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0)
}
