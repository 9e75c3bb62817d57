//! What the API server answers, and what it was asked.

use anyhow::{Context, Result, bail, ensure};
use sidecar_drift::core::{
    io::{EvictOutcome, Input, PatchOutcome, PatchReply, RenderOutcome},
    model::{
        WorkloadKey,
        words::{UndeterminedReason, Word as _},
    },
};

use super::{line::Line, stage::Stage, verbs::containers};

impl Stage {
    pub(super) fn answer_render(&mut self, line: &mut Line) -> Result<()> {
        let whom = self.cluster.find(&line.expect("whose")?)?;
        let read = !line.flag("unread");
        if !line.flag("->") {
            return self.render(&whom, None, read);
        }
        let outcome = match line.word().as_deref() {
            None | Some("nothing") => {
                let request = self.renders.iter().find(|r| r.workload.key == whom).context("nothing was asked for")?;
                RenderOutcome::Rendered(self.cluster.rendering(&whom, &containers(line), request))
            }
            Some(word) => refusal(word, line)?,
        };
        self.render(&whom, Some(outcome), read)
    }

    pub(super) fn answer_patch(&mut self, line: &mut Line) -> Result<()> {
        let whom = self.cluster.find(&line.expect("whose")?)?;
        let answer = line.expect("how it ends")?;
        let message = line.word().unwrap_or_else(|| "no reason given".to_owned());
        let outcome = match answer.as_str() {
            "ok" => return self.accept_patch(&whom),
            "conflict" => PatchOutcome::Conflict,
            "denied" => PatchOutcome::Denied { message },
            "gone" => PatchOutcome::Gone,
            "not_leader" => PatchOutcome::NotLeader,
            "failed" => PatchOutcome::Failed { message, retry_after: line.duration("retry")? },
            "unknown" => PatchOutcome::Unknown { message },
            // Written, and the answer is lost; or written later (`land`).
            "lost" | "late" => return self.lose_answer(&whom, answer == "late", message),
            // Written, and the answer is still to come: `answered`, or one of the others.
            "seen" => return self.write_unanswered(&whom),
            "answered" => self.answer_of_written(&whom)?,
            other => bail!("a patch cannot end as {other:?}"),
        };
        let request = self.take_patch(&whom)?;
        self.send(Input::Patched(PatchReply { ticket: request.ticket, outcome }));
        Ok(())
    }

    pub(super) fn answer_evict(&mut self, line: &mut Line) -> Result<()> {
        let whom = self.cluster.find(&line.expect("whose Pod")?)?;
        let answer = line.expect("how it ends")?;
        let message = line.word().unwrap_or_else(|| "no reason given".to_owned());
        let retry_after = line.duration("retry")?;
        let (outcome, done) = match answer.as_str() {
            "ok" => (EvictOutcome::Evicted, true),
            "no_headroom" => (EvictOutcome::NoHeadroom { retry_after }, false),
            "gone" => (EvictOutcome::Gone, false),
            "denied" => (EvictOutcome::Denied { message }, false),
            "not_leader" => (EvictOutcome::NotLeader, false),
            "failed" => (EvictOutcome::Failed { message, retry_after }, false),
            // The answer is lost; the Pod is on its way out, or not.
            "lost" => (EvictOutcome::Unknown { message }, true),
            "unknown" => (EvictOutcome::Unknown { message }, false),
            other => bail!("an eviction cannot end as {other:?}"),
        };
        self.answer_eviction(&whom, outcome, done)
    }

    /// `rendered since=2h at_most=30`: so many renderings were asked for since then, of all workloads or of those named.
    pub(super) fn count_renderings(&mut self, line: &mut Line) -> Result<()> {
        let since = line.duration("since")?.unwrap_or_default();
        let most: Option<usize> = line.parsed("at_most")?;
        let least: Option<usize> = line.parsed("at_least")?;
        let whose: Vec<_> = std::iter::from_fn(|| line.word()).collect();
        let of = |key: &WorkloadKey| whose.is_empty() || whose.contains(&format!("{}/{}", key.namespace, key.name));
        let count = self.rendered.iter().filter(|(at, key)| *at >= since && of(key)).count();
        ensure!(most.is_none_or(|most| count <= most), "{count} renderings");
        ensure!(least.is_none_or(|least| count >= least), "{count} renderings");
        self.out.push(format!("| {count} renderings"));
        Ok(())
    }
}

/// What a rendering comes to that is none: `rejected "why"`, `gone`, or `api_error "why" retry=5s`.
pub(super) fn refusal(word: &str, line: &mut Line) -> Result<RenderOutcome> {
    let message = |line: &mut Line| line.word().unwrap_or_else(|| "no reason given".to_owned());
    Ok(match word {
        "rejected" => RenderOutcome::Rejected { message: message(line) },
        "gone" => RenderOutcome::Gone,
        word => {
            let reason = UndeterminedReason::ALL.iter().find(|r| r.as_str() == word);
            let reason = *reason.with_context(|| format!("a rendering cannot come back as {word:?}"))?;
            let retry_after = line.duration("retry")?;
            RenderOutcome::Undetermined { reason, message: message(line), retry_after }
        }
    })
}
