//! `rollout --confirm --interactive`: one question for each workload.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::Context as _;
use inquire::{InquireError, Text};

use super::{
    cluster_scan::ScanResult,
    context::Context,
    exit::Exit,
    output::{
        diff::describe,
        rollout::ready,
        summary::{differing, many},
        text::one_line,
    },
};
use crate::core::{
    model::{WorkloadKey, owner::Kind},
    report::WorkloadReport,
};

/// What a person chose.
pub(super) enum Chosen {
    /// These.
    Some(BTreeSet<WorkloadKey>),
    /// To stop: nothing is to be done.
    Interrupted,
}

/// What can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    All,
    Diff,
    Quit,
}

impl Answer {
    /// The whole word, or how it begins; a bare Enter answers nothing.
    fn read(text: &str) -> Option<Self> {
        const ANSWERS: [(&str, Answer); 5] = [
            ("yes", Answer::Yes),
            ("no", Answer::No),
            ("all", Answer::All),
            ("diff", Answer::Diff),
            ("quit", Answer::Quit),
        ];
        let text = text.trim().to_ascii_lowercase();
        let found = ANSWERS.iter().find(|(word, _)| !text.is_empty() && word.starts_with(&text));
        found.map(|(_, answer)| *answer)
    }
}

/// Asks for each workload that could be rolled out now. `quit` leaves those out that were not asked about.
pub(super) fn choose(context: &mut Context<'_>, scanned: &ScanResult) -> anyhow::Result<Chosen> {
    let asked: Vec<_> = scanned.report.workloads.iter().filter(|w| ready(w)).collect();
    let mut chosen = BTreeSet::new();
    let mut rest = asked.iter().enumerate();
    while let Some((index, w)) = rest.next() {
        let answer = loop {
            match ask(w, index + 1, asked.len())? {
                None => return Ok(Chosen::Interrupted),
                Some(Answer::Diff) => show(context, w, scanned),
                Some(answer) => break answer,
            }
        };
        match answer {
            Answer::Yes => chosen.extend(key(w)),
            Answer::All => {
                chosen.extend(key(w));
                chosen.extend(rest.by_ref().filter_map(|(_, w)| key(w)));
            }
            Answer::No | Answer::Diff => {}
            Answer::Quit => break,
        }
    }
    Ok(Chosen::Some(chosen))
}

/// One question; `None`: Ctrl-C.
fn ask(w: &WorkloadReport, number: usize, of: usize) -> anyhow::Result<Option<Answer>> {
    loop {
        let mut question = format!("({number}/{of}) Roll out {}/{} in {}", w.kind, w.name, w.namespace);
        if let Some(change) = &w.change {
            _ = write!(question, ": {}", one_line(change));
        }
        let pods = if w.differing.is_empty() { w.pods } else { differing(w) };
        _ = write!(question, ", {}?", many(pods, "Pod"));
        let prompt = Text::new(&question).with_help_message("yes, no, all that follow, diff, quit");
        match prompt.prompt() {
            Ok(text) => {
                if let Some(answer) = Answer::read(&text) {
                    return Ok(Some(answer));
                }
            }
            Err(InquireError::OperationInterrupted) => return Ok(None),
            Err(InquireError::OperationCanceled) => return Ok(Some(Answer::Quit)),
            Err(error) => return Err(error).context("cannot ask at this terminal"),
        }
    }
}

fn show(context: &mut Context<'_>, w: &WorkloadReport, scanned: &ScanResult) {
    let mut text = String::new();
    describe(&mut text, w, &scanned.redaction, context.console.width());
    context.console.note(text.trim_end());
}

fn key(w: &WorkloadReport) -> Option<WorkloadKey> {
    let kind = Kind::from_name(&w.kind)?;
    Some(WorkloadKey { namespace: w.namespace.clone(), kind, name: w.name.clone() })
}

/// How a person ends who has chosen nothing.
pub(super) fn nothing_chosen(context: &mut Context<'_>) -> Exit {
    context.console.note("Nothing was chosen, and nothing was done.");
    Exit::Ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_word_or_how_it_begins() {
        for (text, answer) in [
            ("y", Some(Answer::Yes)),
            ("YES", Some(Answer::Yes)),
            (" n ", Some(Answer::No)),
            ("a", Some(Answer::All)),
            ("di", Some(Answer::Diff)),
            ("quit", Some(Answer::Quit)),
            ("", None),
            ("yep", None),
            ("x", None),
        ] {
            assert_eq!(Answer::read(text), answer, "{text:?}");
        }
    }
}
