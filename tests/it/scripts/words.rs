//! The words that a report uses, for the vocabulary's test.

use sidecar_drift::core::{model::words::Word, report::Report};

fn word<W: Word>(word: W) -> (&'static str, &'static str) {
    (W::VOCABULARY, word.as_str())
}

pub(crate) fn reached(report: &Report) -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<_> = report.rollouts.iter().filter_map(|r| r.outcome).map(word).collect();
    for w in &report.workloads {
        found.push(word(w.verdict));
        found.extend(w.reason.map(word));
        found.extend([w.gate, w.gate_in_enforce].into_iter().flatten().map(word));
        found.extend(w.differing.iter().flat_map(|g| &g.differences).map(|d| word(d.difference)));
    }
    found
}
