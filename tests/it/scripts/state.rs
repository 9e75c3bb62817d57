//! What others do to the state ConfigMap.

use anyhow::{Context, Result, bail};
use sidecar_drift::core::io::{Covered, Input, Retry, StateRecord, Stop};

use super::{
    line::{Line, duration},
    show,
    stage::Stage,
};

impl Stage {
    pub(super) fn change_state(&mut self, line: &mut Line) -> Result<()> {
        let at = self.now().wall;
        let state = self.state();
        match line.expect("how it changes")?.as_str() {
            "missing" => self.put_state(None),
            "empty" => self.put_state(Some(StateRecord::default())),
            // It was deleted, and made anew: by the chart, or by a person's `pause` or `resume`.
            "anew" => {
                let paused = line.text("paused").map(|reason| Stop { reason, at });
                let (incarnation, resumed) = (Some(at.to_string().into()), line.flag("by_resume").then_some(at));
                self.put_state(Some(StateRecord { incarnation, paused, resumed, ..StateRecord::default() }));
            }
            how @ ("paused" | "paused_unseen") => {
                let stop = Stop { reason: line.expect("why")?, at };
                self.put_state(Some(StateRecord { paused: Some(stop), ..state.unwrap_or_default() }));
                if how == "paused_unseen" {
                    return Ok(());
                }
            }
            "resumed" => {
                let mut state = state.unwrap_or_default();
                match line.name("in") {
                    Some(namespace) => state.resume_in(&namespace),
                    None => state.resume(at),
                }
                self.put_state(Some(state));
            }
            // A version wrote it that did not say what a canary is for.
            "of_before" => {
                let mut state = state.unwrap_or_default();
                state.canaries.values_mut().for_each(|canary| canary.covers = Covered::default());
                self.put_state(Some(state));
            }
            // Another replica saw the canary of a scope fail.
            "canary_failed" => {
                let whom = self.cluster.find(&line.expect("whose")?)?;
                let mut state = state.unwrap_or_default();
                state.register_canary(&line.expect("of what")?, &whom, 1, at);
                let failed = || Some(Stop { reason: format!("{whom} failed"), at });
                state.canaries.values_mut().for_each(|canary| canary.failed = failed());
                self.put_state(Some(state));
            }
            "retry" => {
                let whom = self.cluster.find(&line.expect("whose")?)?;
                let uid = self.cluster.workload(&whom).context("it was just found")?.uid.clone();
                let mut state = state.unwrap_or_default();
                state.retries.insert(uid, Retry { workload: whom, at });
                self.put_state(Some(state));
            }
            // Whoever wrote it last had a clock that is ahead.
            "ahead" => {
                let mut state = state.unwrap_or_default();
                let ahead = duration(&line.expect("by how much")?)?;
                state.locks.values_mut().for_each(|lock| lock.at += ahead);
                state.retries.values_mut().for_each(|retry| retry.at += ahead);
                for canary in state.canaries.values_mut() {
                    canary.started += ahead;
                    canary.converged = canary.converged.map(|at| at + ahead);
                    canary.too_early_until = canary.too_early_until.map(|at| at + ahead);
                }
                self.put_state(Some(state));
            }
            "lost" => {
                // What was to be written finds nothing there.
                self.hands.held_state = None;
                return self.reply_state(None);
            }
            "stale" => {
                let back: usize = line.expect("how many versions ago")?.parse()?;
                let at = self.states.len().checked_sub(back + 1).context("there was no such version")?;
                return self.reply_state(self.states[at].clone());
            }
            "held" => self.hands.holds_state = true,
            "refused" => self.hands.refuses_state = true,
            "written" => {
                (self.hands.holds_state, self.hands.refuses_state) = (false, false);
                if let Some(held) = self.hands.held_state.take() {
                    self.put_state(Some(held));
                }
            }
            other => bail!("the state cannot be {other:?}"),
        }
        if self.running() && !self.hands.holds_state {
            return self.reply_state(self.state());
        }
        Ok(())
    }

    fn reply_state(&mut self, state: Option<StateRecord>) -> Result<()> {
        self.core()?;
        let what = state.as_ref().map_or("missing".to_owned(), show::state);
        self.out.push(format!("< state: {what}"));
        self.send(Input::State(state));
        Ok(())
    }
}
