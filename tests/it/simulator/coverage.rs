//! What the histories reached: words of every vocabulary, and faults.

use std::collections::{BTreeMap, BTreeSet};

use sidecar_drift::core::{
    model::words::{Difference, Gate, Outcome, UndeterminedReason, Verdict, Word},
    report::Report,
};

use super::{fault, weather};
use crate::scripts::words;

/// The words that one history reached, each with its vocabulary.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached(BTreeSet<(&'static str, String)>);

impl Reached {
    pub(super) fn word(&mut self, vocabulary: &'static str, word: String) {
        self.0.insert((vocabulary, word));
    }

    pub(super) fn read(&mut self, report: &Report) {
        for (vocabulary, word) in words::reached(report) {
            if !self.0.iter().any(|(v, w)| *v == vocabulary && w == word) {
                self.0.insert((vocabulary, word.to_owned()));
            }
        }
    }
}

/// In how many histories each word was reached.
#[derive(Debug)]
pub(super) struct Coverage {
    histories: u64,
    reached: BTreeMap<(&'static str, String), u64>,
}

/// A word of which fewer histories than this, in a hundred, know is as good as untested.
const ENOUGH: u64 = 1;

impl Coverage {
    pub(super) fn new() -> Self {
        let mut reached = BTreeMap::new();
        let mut all = |vocabulary, words: Vec<&str>| {
            for word in words {
                reached.insert((vocabulary, word.to_owned()), 0);
            }
        };
        all(Verdict::VOCABULARY, here::<Verdict>());
        all(Difference::VOCABULARY, here::<Difference>());
        all(UndeterminedReason::VOCABULARY, here::<UndeterminedReason>());
        all(Gate::VOCABULARY, here::<Gate>());
        all(Outcome::VOCABULARY, here::<Outcome>());
        all("fault", fault::NAMES.to_vec());
        all("weather", weather::NAMES.to_vec());
        all("evictions", vec!["carried out", "no headroom"]);
        Self { histories: 0, reached }
    }

    pub(super) fn add(&mut self, history: &Reached) {
        self.histories += 1;
        for word in &history.0 {
            *self.reached.entry(word.clone()).or_default() += 1;
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.histories += other.histories;
        for (word, count) in other.reached {
            *self.reached.entry(word).or_default() += count;
        }
    }

    /// The words that too few histories reached.
    pub(super) fn missed(&self) -> Vec<String> {
        let few = |count: u64| count * 100 < self.histories * ENOUGH;
        let missed = self.reached.iter().filter(|(_, count)| few(**count));
        missed.map(|((v, w), count)| format!("{v} {w} ({count} of {})", self.histories)).collect()
    }

    /// The table, for people.
    pub(super) fn table(&self) -> String {
        let mut lines = vec![format!("reached in so many of {} histories:", self.histories)];
        for ((vocabulary, word), count) in &self.reached {
            let tenths = count * 1000 / self.histories.max(1);
            lines.push(format!("  {vocabulary:<11} {word:<26} {count:>8}  {:>3}.{} %", tenths / 10, tenths % 10));
        }
        lines.join("\n")
    }
}

/// The words that the code reaches today; the others name the work that will.
fn here<W: Word>() -> Vec<&'static str> {
    W::ALL.iter().filter(|word| word.arrives_with().is_none()).map(|word| word.as_str()).collect()
}
