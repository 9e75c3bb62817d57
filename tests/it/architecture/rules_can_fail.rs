//! A rule that cannot fail guards nothing: each is shown a snippet that it must refuse, and one that it must let pass.

use super::rules::{impurities, upward_references};

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
        ("cluster::watch", "fn f() { crate::daemon::clock::now(); }"),
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
