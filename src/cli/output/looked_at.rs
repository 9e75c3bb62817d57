//! Which cluster, and which namespaces of it, are looked at: the first line that a person reads.

use std::collections::BTreeSet;

use super::{summary::many, text::one_line};
use crate::{
    config::{WatchSet, values::listed},
    core::{config::Filter, model::Glob},
    daemon::Place,
};

/// `Looking at namespace shop of https://10.0.0.1:6443 (context prod).`
pub fn sentence(watch: &WatchSet, filter: &Filter, place: &Place) -> String {
    let Place { server, context } = place;
    let context = context.as_ref().map(|context| format!(" (context {context})")).unwrap_or_default();
    one_line(&format!("Looking at {} of {server}{context}.", namespaces(watch, filter)))
}

fn namespaces(watch: &WatchSet, filter: &Filter) -> String {
    let globs = |globs: &BTreeSet<Glob>| {
        let globs: Vec<_> = globs.iter().map(ToString::to_string).collect();
        listed(&globs.iter().map(String::as_str).collect::<Vec<_>>(), "and")
    };
    let watched = match watch {
        WatchSet::Cluster if filter.include_namespaces.is_empty() => "all namespaces".to_owned(),
        WatchSet::Cluster => "the namespaces".to_owned(),
        WatchSet::Namespaces(names) => {
            let names: Vec<_> = names.iter().map(|name| &**name).collect();
            match names.as_slice() {
                [name] => format!("namespace {name}"),
                names if names.len() > LISTED => many(names.len(), "namespace"),
                names => format!("namespaces {}", names.join(", ")),
            }
        }
    };
    let chosen = |chosen: &BTreeSet<Glob>, word: &str| {
        if chosen.is_empty() { String::new() } else { format!(" {word} {}", globs(chosen)) }
    };
    let (included, excluded) =
        (chosen(&filter.include_namespaces, "that match"), chosen(&filter.exclude_namespaces, "but"));
    let labels = if filter.namespaces.is_some() { " with the labels of --namespace-selector" } else { "" };
    format!("{watched}{included}{excluded}{labels}")
}

/// More names than these are counted.
const LISTED: usize = 8;
