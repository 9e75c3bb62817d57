//! The configuration file.

use std::{fmt::Write, time::Duration};

use insta::assert_snapshot;
use sidecar_drift::{
    cli::Exit,
    config::WatchSet,
    core::{policy::Mode, shape::FieldSet, words::Difference},
};

use super::{Fake, Ran, reports};

fn with_file(yaml: &str, line: &str) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.yaml");
    std::fs::write(&file, yaml).unwrap();
    let mut ran = Fake::new(reports::fleet()).command(&format!("{line} --config {}", file.display()), None);
    ran.err = ran.err.replace(&directory.path().display().to_string(), "");
    ran
}

#[test]
fn flags_beat_the_file_and_the_file_beats_defaults() {
    let yaml = "mode: enforce\ntimeout: 10m\nparallel-rollouts: 3\nact-on: [changed, missing]\nnamespace: [shop]\n";
    let ran = with_file(yaml, "run --timeout 1h30m");
    let config = ran.config();
    assert_eq!(config.policy.mode, Mode::Enforce);
    assert_eq!(config.policy.timeout, Duration::from_mins(90));
    assert_eq!(config.policy.parallel_rollouts, 3);
    assert_eq!(config.policy.act_on, [Difference::Changed, Difference::Missing].into());
    assert_eq!(config.watch, WatchSet::Namespaces(["shop".into()].into()));
    assert_eq!(config.policy.daily_cap, 2);
}

#[test]
fn of_opposites_the_flag_wins() {
    assert_eq!(with_file("namespace: [shop]", "scan -A").config().watch, WatchSet::Cluster);
    let ran = with_file("exclude-namespace: [shop]", "scan --include-namespace shop");
    assert!(ran.config().policy.filter.takes_namespace("shop", None));
}

#[test]
fn an_empty_file_changes_nothing() {
    for yaml in ["", "# nothing yet\n", "{}\n"] {
        let ran = with_file(yaml, "run");
        assert_eq!(ran.exit, Exit::Ok, "{yaml:?}: {}", ran.err);
    }
}

#[test]
fn bad_files() {
    let files = [
        "parallel-rollout: 2",
        "mode: report\nparallelRollouts: 2",
        "colour: red",
        "mode: enforced",
        "timeout: 300",
        "timeout: [5m]",
        "mode: report\ncanary: -1",
        "canary: many",
        "allow-downtime: perhaps",
        "kinds: Deployment",
        "kinds: [Gadget]",
        "kinds: []",
        "act-on: []",
        "mode: report\nmode: enforce",
        "mode: [",
        "- mode",
        "just words",
        "include-namespace: [a]\nexclude-namespace: [b]",
        "namespace: [a]\nall-namespaces: true",
        "all-namespaces: false",
        "listen: 8080",
        "max-rollouts-per-hour: some",
        "request-timeout: 0s",
    ];
    let mut golden = String::new();
    for file in files {
        let ran = with_file(file, "run");
        assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0), "{file}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{file}: {}", ran.err);
        _ = write!(golden, "{file}\n    {}", ran.err);
    }
    assert_snapshot!(golden);
}

#[test]
fn fields_are_left_out_by_rules_in_the_file_alone() {
    let yaml = "ignore:\n  - env: DD_*\n  - {sidecar: vault-*, field: args/3}\nfields: resources\n";
    let ran = with_file(yaml, "scan");
    let policy = &ran.config().policy;
    let rules: Vec<_> = policy.ignore.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["env DD_* of *", "field args/3 of vault-*"]);
    assert_eq!(policy.fields, FieldSet::Resources);
    for wrong in ["- {env: A, field: b}", "- sidecar: proxy", "- env: ''", "- {env: A, pod: b}", "[{}]"] {
        let ran = with_file(&format!("ignore:\n  {wrong}\n"), "scan");
        assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0), "{wrong}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{wrong}: {}", ran.err);
    }
}
