//! A rule that cannot fail guards nothing: each is shown a snippet that it must refuse, and one that it must let pass.

use std::path::PathBuf;

use super::{
    imports::Imports,
    rules::{impurities, platform_names, upward_references},
};

fn module(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

fn dependencies() -> Vec<String> {
    ["kube", "axum", "serde", "jiff", "insta"].map(str::to_owned).to_vec()
}

#[test]
fn each_way_out_of_core_is_found() -> anyhow::Result<()> {
    let snippets = [
        "use kube::Client;",
        "use ::kube::Client;",
        "use axum as web;",
        "extern crate tokio;",
        "fn f(pod: &k8s_openapi::api::core::v1::Pod) {}",
        "#[tokio::test] async fn t() {}",
        "fn f() -> impl futures::Stream<Item = u8> { loop {} }",
        "fn f() { let at = std::time::Instant::now(); }",
        "use std::{collections::BTreeMap, time::{Duration, SystemTime}};",
        "use std::time;",
        "use std::time::{self, Duration};",
        "use std::time::*;",
        "use std as s;",
        "fn f() { vec![Timestamp::now()]; }",
        "fn f() { let t = <jiff::Timestamp>::now(); }",
        "fn f(clock: fn() -> Timestamp) {} fn g() { f(jiff::Timestamp::now) }",
        "fn f() { assert_eq!(std::env::var(\"HOME\"), Ok(String::new())); }",
        "use std::fs::File;",
        "use std::net::IpAddr;",
        "fn f() { std::thread::sleep(d); }",
        "fn f() { std::process::exit(1) }",
        "fn f() -> u8 { rand::random::<u8>() }",
        "fn f() { let zone = TimeZone::get(\"Europe/Berlin\"); }",
        "mod inner { pub fn f() { r#std::r#env::args(); } }",
    ];
    for snippet in snippets {
        let found = impurities(&module("core::plan"), snippet, &dependencies())?;
        assert!(!found.is_empty(), "not found: {snippet}");
    }
    Ok(())
}

#[test]
fn each_name_of_an_operating_system_is_found() -> anyhow::Result<()> {
    for snippet in [
        "use rustix::time::ClockId;",
        "use std::{fs::File, os::unix::fs::OpenOptionsExt as _};",
        "use tokio::{signal::unix::{Signal, signal}, task::JoinSet};",
        "#[cfg(target_os = \"linux\")] fn f() {}",
        "#[cfg(not(any(windows, test)))] fn f() {}",
        "fn f() { if cfg!(unix) {} }",
        "#[cfg_attr(windows, allow(dead_code))] fn f() {}",
    ] {
        assert!(!platform_names(&module("daemon::signals"), snippet)?.is_empty(), "not found: {snippet}");
    }
    let other = "fn f(policy: &Policy) -> usize { policy.windows.len() } #[cfg(test)] mod tests { use rustix::net; }";
    assert!(platform_names(&module("core::plan"), other)?.is_empty());
    Ok(())
}

#[test]
fn what_only_computes_may_stand_in_core() -> anyhow::Result<()> {
    let source = r##"
        //! Calls no std::time::Instant::now() and no kube::Client.
        /* tokio::spawn, std::env::var */
        use std::collections::BTreeMap;
        use std::time::Duration;
        use jiff::{SignedDuration, Timestamp};
        use serde::Deserialize;
        use super::words::Verdict;
        use crate::core::snapshot::Snapshot;
        /// Not `std::fs::read`.
        fn f<T: Into<String>>(now: Timestamp) -> Option<Vec<T>> {
            let text = "tokio::time::sleep";
            let more = r#"std::thread::spawn"#;
            let parsed = text.parse::<Timestamp>().ok()?.checked_add(SignedDuration::from_secs(1));
            insta::assert_snapshot!(text);
            let kube = now.as_second();
            (kube > 0).then(Vec::<T>::new)
        }
        mod tests { use super::*; }
    "##;
    let found = impurities(&module("core::plan"), source, &dependencies())?;
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}

#[test]
fn each_way_upwards_is_found() -> anyhow::Result<()> {
    let snippets = [
        ("core", "use crate::config::Config;"),
        ("core::plan", "use super::super::cluster::watch;"),
        ("core::plan", "use crate::{core::words, daemon::Engine as E};"),
        ("core::plan", "use crate::*;"),
        ("core::plan", "use crate as root;"),
        ("core::plan", "use crate::Reexported;"),
        ("core::plan", "mod inner { use super::super::super::http::serve; }"),
        ("core::plan", "fn f() { self::super::super::cli::run() }"),
        ("cluster::watch", "fn f() { crate::daemon::run(); }"),
        ("cluster", "use crate::http;"),
        ("http", "use crate::cluster::client;"),
        ("metrics", "use crate::cluster;"),
        ("config", "use crate::cli::Args;"),
        ("daemon::engine", "macro_rules! m { () => { $crate::cli::output::line() } }"),
        ("main", "use sidecar_drift::cluster;"),
        ("novel", "fn f() {}"),
    ];
    for (name, snippet) in snippets {
        assert!(!upward_references(&module(name), snippet)?.is_empty(), "not found in {name}: {snippet}");
    }
    Ok(())
}

#[test]
fn a_layer_may_name_itself_and_what_lies_below() -> anyhow::Result<()> {
    let snippets = [
        ("core::plan", "use super::words; use crate::core::inventory; fn f() { super::gate::g(self::inner::h()) }"),
        ("core", "mod tests { use super::*; }"),
        (
            "cluster::watch::tests",
            "use super::super::client; use crate::core::model::words::Reason; use crate::metrics::table;",
        ),
        ("config", "use crate::core::model::words::Mode;"),
        ("daemon", "use crate::{cluster::client, config::Config, core, http, metrics::{self, Table}};"),
        ("cli::scan", "use crate::daemon; // not crate::main"),
        ("main", "fn main() { sidecar_drift::cli::run(); }"),
    ];
    for (name, snippet) in snippets {
        let found = upward_references(&module(name), snippet)?;
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
    assert!(upward_references(&[], "pub mod core; pub mod cluster;")?.is_empty(), "lib.rs declares the layers");
    Ok(())
}

fn imports(sources: &[(&str, &str)]) -> anyhow::Result<Imports> {
    let sources: Vec<_> = sources.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect();
    Imports::read(&sources)
}

#[test]
fn each_circle_is_found() -> anyhow::Result<()> {
    let planted = [
        vec![("cli/a.rs", "use super::b::B;"), ("cli/b.rs", "use crate::cli::a::A;")],
        vec![("cli/mod.rs", "mod a; pub use self::a::A;"), ("cli/a.rs", "use super::UsageError;")],
        vec![("cli/mod.rs", "mod a; fn f() { a::start(); }"), ("cli/a.rs", "fn f(_: super::Context<'_>) {}")],
        vec![("cli/mod.rs", "mod a; use a::A;"), ("cli/a.rs", "use super::*;")],
        vec![
            ("cli/a.rs", "fn f() { super::b::g::<u8>() }"),
            ("cli/b.rs", "use crate::{cli::out::{table::Form}, core};"),
            ("cli/out/table.rs", "impl super::super::a::Look for Form {}"),
        ],
        vec![
            ("cli/a.rs", "#[cfg(test)] use super::c::C; use super::b::B;"),
            ("cli/b.rs", "mod inner { use super::super::a::A; }"),
        ],
    ];
    for sources in planted {
        let found = imports(&sources)?.circles();
        assert!(found.len() == 1, "not found in {sources:#?}: {found:#?}");
        for (file, _) in &sources {
            assert!(found[0].contains(&format!("\n  {file} → ")), "{file} is not named in {}", found[0]);
        }
    }
    Ok(())
}

#[test]
fn imports_in_one_direction_are_no_circle() -> anyhow::Result<()> {
    let found = imports(&[
        ("cli/mod.rs", "mod a; mod b; #[cfg(test)] mod samples; #[cfg(test)] mod tests; pub use self::a::A;"),
        ("cli/a.rs", "use super::b::{B, C}; // not super::A\nfn f() { self::g(); Self::h(); other::i() } mod inner {}"),
        ("cli/b.rs", "#[cfg(test)] mod tests { use super::super::a::A; } #[cfg(test)] use super::{a::A, A}; struct B;"),
        ("cli/samples.rs", "use super::a::A;"),
        ("cli/tests.rs", "use super::{samples, A};"),
        ("cli/b/tests.rs", "use crate::cli::a::A;"),
    ])?;
    let found = found.circles();
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}

#[test]
fn a_folder_that_names_a_later_one_is_found() -> anyhow::Result<()> {
    let order = ["model", "compare", "render", "step", "mod"];
    let one = |file: &str, text: &str| -> anyhow::Result<Vec<String>> {
        let rest = [("core/mod.rs", ""), ("core/model/mod.rs", ""), ("core/model/key.rs", ""), ("core/step.rs", "")];
        let rest = rest.into_iter().filter(|(other, _)| *other != file);
        let all: Vec<_> = rest.chain([("core/compare/mask.rs", ""), (file, text)]).collect();
        Ok(imports(&all)?.against_order("core", &order))
    };
    for (file, text) in [
        ("core/model/name.rs", "use crate::core::compare::mask::Mask;"),
        ("core/model/name.rs", "use super::super::step::Core;"),
        ("core/model/name.rs", "use super::super::Reexported;"),
        ("core/compare/shape.rs", "fn f() { crate::core::step::step() }"),
        ("core/step.rs", "use super::*;"),
        ("core/novel/mod.rs", ""),
    ] {
        assert_eq!(one(file, text)?.len(), 1, "not found in {file}: {text}");
    }
    for (file, text) in [
        (
            "core/model/name.rs",
            "use super::key::Key; use std::fmt; #[cfg(test)] mod tests { use crate::core::step::Core; }",
        ),
        ("core/compare/shape.rs", "use crate::core::model::{self, key}; use super::mask::Mask;"),
        ("core/step.rs", "use super::{compare::mask::Mask, model::key::Key};"),
        ("core/mod.rs", "pub mod step; pub use self::step::Core;"),
    ] {
        let found = one(file, text)?;
        assert!(found.is_empty(), "{file}: {found:#?}");
    }
    Ok(())
}
