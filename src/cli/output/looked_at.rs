//! Which cluster, and which namespaces of it, are looked at: the first line that a person reads.

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
    let globs = |globs: &std::collections::BTreeSet<Glob>| {
        let globs: Vec<_> = globs.iter().map(ToString::to_string).collect();
        listed(&globs.iter().map(String::as_str).collect::<Vec<_>>(), "and")
    };
    let mut said = match watch {
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
    if !filter.include_namespaces.is_empty() {
        said += &format!(" that match {}", globs(&filter.include_namespaces));
    }
    if !filter.exclude_namespaces.is_empty() {
        said += &format!(" but {}", globs(&filter.exclude_namespaces));
    }
    if filter.namespaces.is_some() {
        said += " with the labels of --namespace-selector";
    }
    said
}

/// More names than these are counted.
const LISTED: usize = 8;
