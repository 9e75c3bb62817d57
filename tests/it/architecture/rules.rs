//! The rules about purity and layers. Each is a function of a module's name and its text, so that it can be shown to fail
//! (`rules_can_fail.rs`).

use anyhow::Result;

use super::source::{Reference, Tests, conditions, references};

/// Crates that compute and do nothing else, so that `core` may use them. Any other dependency is barred from it.
const PURE_CRATES: &[&str] = &[
    "anyhow",
    "base64",
    "bytes",
    "jiff",
    "json_patch",
    "jsonptr",
    "lz4_flex",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
];

/// Crates for tests that may stand in a `tests.rs` inside `core`.
const TEST_CRATES: &[&str] = &["insta", "proptest"];

/// Never, even if they are no direct dependency today.
const IMPURE_CRATES: &[&str] = &["kube", "k8s_openapi", "tokio", "futures", "rand", "getrandom"];

/// What the standard library and jiff offer that is not a function of its arguments.
const IMPURE_PATHS: &[(&str, &str)] = &[
    ("std::time::Instant", "a clock"),
    ("std::time::SystemTime", "a clock"),
    ("std::time::UNIX_EPOCH", "a clock"),
    ("std::env", "the environment"),
    ("std::fs", "the file system"),
    ("std::net", "the network"),
    ("std::os", "the operating system"),
    ("std::process", "other processes"),
    ("std::thread", "threads"),
    ("std::io::stdin", "the terminal"),
    ("std::io::stdout", "the terminal"),
    ("std::io::stderr", "the terminal"),
    ("std::hash::RandomState", "randomness"),
    ("std::collections::hash_map::RandomState", "randomness"),
    ("jiff::tz::db", "the file system (the time zone database)"),
];

/// The last two segments of a path, whatever stands before them.
const IMPURE_ITEMS: &[(&str, &str, &str)] = &[
    ("TimeZone", "system", "the environment"),
    ("TimeZone", "try_system", "the environment"),
    ("TimeZone", "get", "the file system (the time zone database)"),
];

/// Each layer and the layers it may name. A layer may always name itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &[
            "daemon", "operator", "cluster", "clock", "http", "notify", "outbound", "metrics", "document", "config",
            "core", "platform",
        ],
    ),
    (
        "daemon",
        &["cluster", "clock", "http", "notify", "outbound", "metrics", "document", "config", "core", "platform"],
    ),
    ("operator", &["cluster", "clock", "http", "outbound", "config", "core"]),
    ("cluster", &["clock", "metrics", "config", "core", "platform"]),
    ("notify", &["outbound", "metrics", "document", "config", "core"]),
    ("outbound", &["config", "core"]),
    ("http", &["outbound", "metrics", "document", "config", "core"]),
    ("metrics", &["document", "config", "core", "platform"]),
    ("document", &["core"]),
    ("config", &["core"]),
    ("clock", &["core", "platform"]),
    ("core", &[]),
    ("platform", &[]),
];

/// What there is on one kind of system alone: crates, modules of others, and conditions.
const PLATFORM_CRATES: &[&str] = &["libc", "nix", "procfs", "rustix", "windows_sys"];
const PLATFORM_PATHS: &[&str] =
    &["std::os", "tokio::net::unix", "tokio::net::windows", "tokio::signal::unix", "tokio::signal::windows"];
const PLATFORM_CONDITIONS: &[&str] = &["target_family", "target_os", "unix", "windows"];

/// Where `source`, no module of `platform`, names an operating system.
pub(super) fn platform_names(module: &[String], source: &str) -> Result<Vec<String>> {
    let of_one = |reference: &Reference| {
        let segments: Vec<&str> = reference.segments.iter().map(String::as_str).collect();
        let starts = |path: &&str| segments.starts_with(&path.split("::").collect::<Vec<_>>());
        PLATFORM_CRATES.iter().chain(PLATFORM_PATHS).any(starts)
    };
    let named = references(module, source, Tests::LeftOut)?.into_iter().filter(of_one);
    let mut found: Vec<_> = named
        .map(|reference| format!("line {}: `{}` belongs into platform", reference.line, reference.text()))
        .collect();
    for (word, line) in conditions(source, Tests::LeftOut)? {
        if PLATFORM_CONDITIONS.contains(&word.as_str()) {
            found.push(format!("line {line}: a condition on `{word}` belongs into platform"));
        }
    }
    Ok(found)
}

/// What makes `source`, a module of `core`, more than a function of its arguments. `dependencies` are the crates that the
/// manifest names.
pub(super) fn impurities(module: &[String], source: &str, dependencies: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for reference in references(module, source, Tests::Included)? {
        if let Some(what) = impurity(&reference, dependencies) {
            found.push(format!("line {}: `{}` is {what}", reference.line, reference.text()));
        }
    }
    Ok(found)
}

fn impurity(reference: &Reference, dependencies: &[String]) -> Option<String> {
    let segments: Vec<&str> = reference.segments.iter().map(String::as_str).collect();
    let head = *segments.first()?;
    if head == "crate" {
        return None;
    }
    let known = IMPURE_CRATES.contains(&head) || dependencies.iter().any(|dependency| dependency == head);
    if known && !PURE_CRATES.contains(&head) && !TEST_CRATES.contains(&head) {
        return Some("a crate that does more than compute (PURE_CRATES lists those that only compute)".to_owned());
    }
    if segments.len() > 1 && segments.last() == Some(&"now") {
        return Some("a clock: `now` is an argument".to_owned());
    }
    if let [.., owner, item] = segments[..]
        && let Some((.., what)) = IMPURE_ITEMS.iter().find(|(o, i, _)| *o == owner && *i == item)
    {
        return Some((*what).to_owned());
    }
    for (path, what) in IMPURE_PATHS {
        let path: Vec<&str> = path.split("::").collect();
        if segments.starts_with(&path) {
            return Some((*what).to_owned());
        }
        let imported = segments.strip_suffix(&["*"]).unwrap_or(&segments);
        if reference.import && path.starts_with(imported) {
            return Some(format!("an import through which {what} can be reached; import the item itself"));
        }
    }
    None
}

/// Where `source`, the text of `module`, names a layer that it may not name.
pub(super) fn upward_references(module: &[String], source: &str) -> Result<Vec<String>> {
    let Some(layer) = module.first() else {
        return Ok(Vec::new()); // lib.rs declares the layers
    };
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| name == layer) else {
        return Ok(vec![format!("`{layer}` is no layer; give it a place in LAYERS and in docs/architecture.md")]);
    };
    let mut found = Vec::new();
    for reference in references(module, source, Tests::Included)? {
        let named = match reference.segments.as_slice() {
            [head, named, ..] if head == "crate" => named.as_str(),
            [head] if head == "crate" => "*",
            _ => continue,
        };
        if named == layer || below.contains(&named) {
            continue;
        }
        let complaint = if LAYERS.iter().any(|(name, _)| *name == named) {
            format!("{layer} may not name {named}")
        } else {
            "only modules stand at the root of the crate".to_owned()
        };
        found.push(format!("line {}: `{}`: {complaint}", reference.line, reference.text()));
    }
    Ok(found)
}
