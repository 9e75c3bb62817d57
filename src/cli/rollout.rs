//! `sidecar-drift rollout`

use std::collections::BTreeSet;

use clap::Args;
use jiff::Timestamp;

use super::{
    Context, Exit, UsageError,
    engine::look,
    output::{
        document::{self, Document, RolloutDocument},
        rollout::{self, Tally},
        table::Page,
    },
    progress::Bar,
};
use crate::{
    config::{Config, Display, OutputFormat, Purpose, Rendering, Rollouts, Selection, Settings, State, StopWhen},
    core::{owner::Kind, report::Report},
};

/// Rolls once, with a person watching.
#[derive(Debug, Args)]
pub struct Rollout {
    /// Rolls out; without this, or with `=false`, only the plan is shown [default: false].
    #[arg(long)]
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
        let Self { rollouts, selection, rendering, state, display, .. } = self;
        let given = Settings { selection, rendering, rollouts, state, display, ..Settings::default() };
        let config = context.configure(given, Purpose::Rollout { confirmed, kinds })?;
        if confirmed { roll(context, config) } else { plan(context, config) }
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
    let (format, mask) = (config.display.format, Context::mask(&config)?);
    let mut bar = Bar::new(context.console);
    let report = look(context.engine, config, StopWhen::Complete, &mut |report, _| bar.judged(report))?;
    drop(bar);
    let text = match format {
        OutputFormat::Table => rollout::plan(&report, Page::of(context.console)),
        OutputFormat::Json | OutputFormat::Yaml => document::write(&Document::new(&report, &mask), format)?,
    };
    context.console.print(&text)?;
    Ok(Exit::of(report.complete, &report))
}

fn roll(context: &mut Context<'_>, config: Config) -> anyhow::Result<Exit> {
    let (format, mask) = (config.display.format, Context::mask(&config)?);
    let mut bar = Bar::new(context.console);
    let mut begun = None;
    let report = look(context.engine, config, StopWhen::RolledOut, &mut |report, told| {
        begun.get_or_insert(report.taken);
        bar.rolled(report, told);
    })?;
    drop(bar);
    let seconds = elapsed(begun, &report);
    let tally = Tally::of(&report);
    let text = match format {
        OutputFormat::Table => rollout::result(&report, seconds, Page::of(context.console)),
        OutputFormat::Json | OutputFormat::Yaml => {
            let held = rollout::held(&report);
            let document = RolloutDocument::new(&report, &held, seconds, tally, &mask);
            document::write(&document, format)?
        }
    };
    context.console.print(&text)?;
    Ok(Exit::of(tally.errors == 0 && report.complete, &report))
}

/// Whole seconds between the first report and the last.
fn elapsed(begun: Option<Timestamp>, last: &Report) -> u64 {
    let time = begun.map(|begun| last.taken.duration_since(begun).as_secs());
    time.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0)
}
