//! `scan`

use insta::assert_snapshot;
use sidecar_drift::{
    cli::Exit,
    config::StopWhen,
    core::{policy::Mode, state::Stop},
};

use super::{Asked, Fake, reports};

#[test]
fn the_table_fits_80_columns() {
    let ran = Fake::new(reports::fleet()).command("scan", Some(80));
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
    assert_snapshot!(ran.golden());
}

#[test]
fn the_table_uses_120_columns() {
    assert_snapshot!(Fake::new(reports::fleet()).command("scan --all", Some(120)).golden());
}

#[test]
fn in_a_pipe_lines_are_never_broken() {
    assert_snapshot!(Fake::new(reports::fleet()).command("scan", None).golden());
}

#[test]
fn the_json_document_has_a_stable_shape_and_masked_values() {
    let ran = Fake::new(reports::fleet()).command("scan --output json", None);
    assert!(!ran.out.contains("hunter2"));
    assert_snapshot!(ran.golden());
}

#[test]
fn the_yaml_document_says_the_same_as_the_json_document() {
    let fake = Fake::new(reports::empty());
    let yaml = fake.command("scan -o yaml", None);
    let json = fake.command("scan -o json", None);
    let yaml: serde_json::Value = serde_saphyr::from_str(&yaml.out).unwrap();
    assert_eq!(yaml, serde_json::from_str::<serde_json::Value>(&json.out).unwrap());
}

#[test]
fn what_a_reader_must_know_is_said_under_the_table() {
    let mut report = reports::empty();
    report.complete = false;
    report.progress = (3, 40);
    report.unavailable = vec!["mutatingadmissionpolicies: this cluster does not serve them".to_owned()];
    report.paused = Some(Stop { reason: "upgrading".to_owned(), at: report.taken });
    report.breaker = Some(Stop { reason: "2 rollouts in a row went wrong".to_owned(), at: report.taken });
    assert_snapshot!(Fake::new(report).command("scan", Some(80)).golden());
}

#[test]
fn a_scan_never_enforces() {
    let fake = Fake::new(reports::fleet());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.yaml");
    std::fs::write(&file, "mode: enforce\n").unwrap();
    let ran = fake.command(&format!("scan --config {}", file.display()), None);
    assert_eq!(ran.exit, Exit::Ok);
    assert_eq!(ran.config().policy.mode, Mode::Report);
    assert!(matches!(ran.asked.as_slice(), [Asked::Run(_, StopWhen::Complete)]));
}
