//! The closed vocabularies: each word is reached, or says which work will reach it.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use sidecar_drift::core::{
    io::EventReason,
    model::words::{Difference, Gate, Outcome, Placement, UndeterminedReason, Verdict, Word},
    rollout::gate::CHECKS,
};

use crate::scripts;

/// One word of one vocabulary.
#[derive(Debug)]
struct Entry {
    vocabulary: &'static str,
    word: &'static str,
    meaning: &'static str,
    later: bool,
    /// As Rust spells it.
    path: String,
}

fn entries<W: Word>(of: &str) -> Vec<Entry> {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    let camel = |word: &str| word.split('_').map(capital).collect::<String>();
    let entry = |word: &W| Entry {
        vocabulary: W::VOCABULARY,
        word: word.as_str(),
        meaning: word.meaning(),
        later: word.arrives_with().is_some(),
        path: format!("{of}::{}", camel(word.as_str())),
    };
    W::ALL.iter().map(entry).collect()
}

fn all() -> Vec<Entry> {
    let mut all = entries::<Difference>("Difference");
    all.extend(entries::<Verdict>("Verdict"));
    all.extend(entries::<UndeterminedReason>("UndeterminedReason"));
    all.extend(entries::<Gate>("Gate"));
    all.extend(entries::<Outcome>("Outcome"));
    all.extend(entries::<Placement>("Placement"));
    all
}

#[test]
fn a_word_is_there_once_in_its_vocabulary_and_says_what_it_means() {
    let mut seen = BTreeSet::new();
    for entry in all() {
        assert!(seen.insert((entry.vocabulary, entry.word)), "{entry:?} is there twice");
        let plain = entry.word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(plain && !entry.meaning.is_empty(), "{entry:?}");
        assert!(!entry.meaning.ends_with('.'), "a meaning is part of a sentence: {entry:?}");
    }
}

#[test]
fn gates_are_looked_at_in_the_order_of_their_vocabulary() {
    let looked_at: Vec<_> = CHECKS.iter().map(|(gate, _)| *gate).collect();
    let in_order: Vec<_> = Gate::ALL.iter().copied().filter(|gate| looked_at.contains(gate)).collect();
    assert_eq!(looked_at, in_order);
}

/// The scripts show every word that is not of a later work. What no script shows is perhaps reached by nothing at all.
#[test]
fn the_scripts_reach_every_word_that_is_not_for_later() -> Result<()> {
    let reached = scripts::reached()?;
    let wrong = |entry: &Entry| {
        let shown = reached.contains(&(entry.vocabulary, entry.word));
        // Reports show changes of placement, not the placements themselves.
        entry.vocabulary != Placement::VOCABULARY && shown == entry.later
    };
    let wrong: Vec<_> = all().into_iter().filter(wrong).map(|e| format!("{} {}", e.vocabulary, e.word)).collect();
    assert!(wrong.is_empty(), "shown by no script, or marked `later` and shown: {wrong:?}");
    Ok(())
}

#[test]
fn a_word_for_later_is_used_nowhere_and_every_other_word_somewhere() -> Result<()> {
    let mut source = String::new();
    for file in files("src", "rs")? {
        if !file.ends_with("core/words.rs") {
            source.push_str(&fs::read_to_string(&file)?);
        }
    }
    let used = |path: &str| {
        source.match_indices(path).any(|(at, _)| !source[at + path.len()..].starts_with(|c: char| c.is_alphanumeric()))
    };
    let reasons_of_answers = |entry: &Entry| entry.path.replace("UndeterminedReason", "Reason");
    let wrong: Vec<_> = all()
        .into_iter()
        .filter(|entry| (used(&entry.path) || used(&reasons_of_answers(entry))) == entry.later)
        .map(|entry| entry.path)
        .collect();
    ensure!(wrong.is_empty(), "used nowhere, or marked `later` and used: {wrong:?}");
    Ok(())
}

/// A table whose first heading is a vocabulary's name lists its words and no others.
#[test]
fn tables_in_documents_use_words_that_exist() -> Result<()> {
    let words = all();
    let mut documents = files("docs", "md")?;
    documents.push(root().join("README.md"));
    for document in documents {
        let text = fs::read_to_string(&document)?;
        let mut vocabulary = None;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let heading = lines.peek().is_some_and(|next| next.starts_with("| -") || next.starts_with("|-"));
            let first =
                line.strip_prefix('|').and_then(|row| row.split('|').next()).map(|cell| cell.trim().trim_matches('`'));
            vocabulary = match (first, vocabulary) {
                (Some(cell), None) if heading => words.iter().map(|w| w.vocabulary).find(|v| *v == cell),
                (None, _) | (Some(_), None) => None,
                (Some(cell), Some(of)) => {
                    let known = cell.starts_with('-') || words.iter().any(|w| (w.vocabulary, w.word) == (of, cell));
                    ensure!(known, "{}: {cell:?} is no {of}", document.display());
                    Some(of)
                }
            };
        }
    }
    Ok(())
}

/// The reasons of Events are in the words of Kubernetes, so they are no vocabulary of ours; but no less closed.
#[test]
fn every_reason_of_an_event_is_shown_by_a_script_and_documented() -> Result<()> {
    let mut shown = String::new();
    for script in files("tests/it/scripts", "txt")? {
        shown.push_str(&fs::read_to_string(&script)?);
    }
    let documented = fs::read_to_string(root().join("docs/events.md"))?;
    for reason in EventReason::ALL {
        let written = format!("> write event {} {} about ", reason.kind(), reason.as_str());
        ensure!(shown.contains(&written), "no script shows {reason:?}");
        let row = format!("| `{}` | {} | {} |", reason.as_str(), reason.kind(), reason.meaning());
        ensure!(documented.contains(&row), "docs/events.md has no such row: {row}");
    }
    let rows = documented.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, EventReason::ALL.len());
    Ok(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &str, extension: &str) -> Result<Vec<std::path::PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(directory)]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    Ok(found)
}
