//! Progress: a bar and a line for each rollout on a terminal, plain lines elsewhere, nothing with `--quiet`.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    engine::Place,
    notices,
    output::{
        Console, looked_at,
        text::{one_line, wrap},
    },
};
use crate::{
    config::{Config, OutputFormat, WatchSet},
    core::{config::Filter, io::Notice, model::words::Gate, report::Report},
};

/// What the first line says beside the cluster.
pub(super) struct Heading {
    watch: WatchSet,
    filter: Filter,
}

impl Heading {
    /// `None`: the result is for a machine.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let people = matches!(config.display.format, OutputFormat::Table | OutputFormat::Wide | OutputFormat::Markdown);
        let Config { watch, policy, .. } = config;
        let for_people = people && !config.display.as_lines;
        for_people.then(|| Self { watch: watch.clone(), filter: policy.filter.clone() })
    }

    pub(super) fn write(heading: Option<&Self>, place: &Place, console: &mut Console) {
        let Some(Self { watch, filter }) = heading else { return };
        let sentence = looked_at::sentence(watch, filter, place);
        console.note(&wrap(&sentence, console.width(), ""));
    }
}

/// Shows progress on stderr.
pub(super) struct ProgressDisplay<'a> {
    console: &'a mut Console,
    /// `None`: messages do not go to a terminal.
    live: Option<Live>,
}

/// What is redrawn on a terminal.
struct Live {
    all: MultiProgress,
    bar: ProgressBar,
    /// One line for each rollout under way, by the workload.
    rollouts: BTreeMap<String, ProgressBar>,
}

impl<'a> ProgressDisplay<'a> {
    pub(super) fn new(console: &'a mut Console) -> Self {
        let live = console.is_live().then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let bar = all.add(ProgressBar::no_length());
            // A template that cannot be parsed leaves indicatif's own style.
            if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
                bar.set_style(style.progress_chars("━╸─"));
            }
            Live { all, bar, rollouts: BTreeMap::new() }
        });
        Self { console, live }
    }

    /// Says what is looked at.
    pub(super) fn begins(&mut self, heading: Option<&Heading>, place: &Place) {
        Heading::write(heading, place, self.console);
    }

    /// Shows how many workloads have been judged.
    pub(super) fn judged(&mut self, report: &Report) {
        let Some(Live { bar, .. }) = &self.live else { return };
        let (judged, all) = report.progress;
        bar.set_message(if report.synced { "asking" } else { "listing" });
        bar.set_length(all as u64);
        bar.set_position(judged as u64);
    }

    /// Shows how many rollouts ended and how the others stand, and says what happened.
    pub(super) fn rolled(&mut self, report: &Report, notices: &[Notice]) {
        if report.complete {
            self.ended(report);
        } else {
            self.judged(report);
        }
        for notice in notices {
            // Where there is a line that is redrawn, it says so.
            if self.live.is_some() && matches!(notice, Notice::RolloutProgress { .. }) {
                continue;
            }
            let Some(said) = notices::line(notice) else { continue };
            // UTC, as everything that we write.
            let said = format!("{} {said}", report.taken.strftime("%H:%M:%S"));
            match &self.live {
                Some(live) => live.all.suspend(|| self.console.note(&said)),
                None => self.console.note(&said),
            }
        }
        if let Some(live) = &mut self.live {
            live.follow(report);
        }
    }

    fn ended(&self, report: &Report) {
        let Some(Live { bar, .. }) = &self.live else { return };
        let ended = report.rollouts.iter().filter(|rollout| rollout.outcome.is_some()).count();
        let waiting = report.workloads.iter().filter(|w| w.gate.is_some_and(is_turn)).count();
        bar.set_message("rolling out");
        bar.set_length((report.rollouts.len() + waiting) as u64);
        bar.set_position(ended as u64);
    }
}

impl Live {
    /// One line for each rollout under way.
    fn follow(&mut self, report: &Report) {
        let mut running = BTreeSet::new();
        for rollout in report.rollouts.iter().filter(|rollout| rollout.outcome.is_none()) {
            let workload = format!("{}/{}/{}", rollout.kind, rollout.namespace, rollout.name);
            let line = self.rollouts.entry(workload.clone()).or_insert_with(|| {
                let line = self.all.add(ProgressBar::no_length());
                if let Ok(style) = ProgressStyle::with_template("  {wide_msg}") {
                    line.set_style(style);
                }
                line
            });
            line.set_message(one_line(&format!("{workload}: {}, {}s", rollout.message, rollout.seconds)));
            running.insert(workload);
        }
        self.rollouts.retain(|workload, line| {
            let goes_on = running.contains(workload);
            if !goes_on {
                line.finish_and_clear();
                self.all.remove(line);
            }
            goes_on
        });
    }
}

/// Takes all of it away, however the command ends.
impl Drop for ProgressDisplay<'_> {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            for line in live.rollouts.values() {
                line.finish_and_clear();
            }
            live.bar.finish_and_clear();
        }
    }
}

/// Gates that only say that others go first.
fn is_turn(gate: Gate) -> bool {
    matches!(gate, Gate::RateLimit | Gate::Concurrency | Gate::NamespaceConcurrency | Gate::Canary)
}
