//! How far we are: a bar on a terminal, plain lines elsewhere, nothing when quiet.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Console, notices};
use crate::core::{io::Notice, report::Report, words::Gate};

/// The bar, or what stands for it.
pub(super) struct Bar<'a> {
    console: &'a mut Console,
    /// `None`: messages do not go to a terminal.
    bar: Option<ProgressBar>,
}

impl<'a> Bar<'a> {
    pub(super) fn new(console: &'a mut Console) -> Self {
        let bar = console.is_live().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // A template that cannot be parsed leaves indicatif's own style.
            if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar
        });
        Self { console, bar }
    }

    /// Shows how many workloads have been judged.
    pub(super) fn judged(&mut self, report: &Report) {
        let Some(bar) = &self.bar else { return };
        let (judged, all) = report.progress;
        bar.set_message(if report.synced { "asking" } else { "listing" });
        bar.set_length(all as u64);
        bar.set_position(judged as u64);
    }

    /// Shows how many rollouts ended, and says what happened.
    pub(super) fn rolled(&mut self, report: &Report, told: &[Notice]) {
        if report.complete {
            self.ended(report);
        } else {
            self.judged(report);
        }
        for line in told.iter().filter_map(notices::line) {
            // UTC, as everything that we write.
            let line = format!("{} {line}", report.taken.strftime("%H:%M:%S"));
            match &self.bar {
                Some(bar) => bar.suspend(|| self.console.note(&line)),
                None => self.console.note(&line),
            }
        }
    }

    fn ended(&self, report: &Report) {
        let Some(bar) = &self.bar else { return };
        let ended = report.rollouts.iter().filter(|rollout| rollout.outcome.is_some()).count();
        let waiting = report.workloads.iter().filter(|w| w.gate.is_some_and(is_turn)).count();
        bar.set_message("rolling out");
        bar.set_length((report.rollouts.len() + waiting) as u64);
        bar.set_position(ended as u64);
    }
}

/// Takes the bar away, however the command ends.
impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Gates that only say that others go first.
fn is_turn(gate: Gate) -> bool {
    matches!(gate, Gate::RateLimit | Gate::Concurrency | Gate::NamespaceConcurrency | Gate::Canary)
}
