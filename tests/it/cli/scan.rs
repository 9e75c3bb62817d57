//! `scan`

use insta::assert_snapshot;
use sidecar_drift::{
    cli::Exit,
    config::StopWhen,
    core::{config::Mode, io::Stop, model::words::Word as _},
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

#[test]
fn with_exit_code_the_code_says_what_was_found() {
    let code = |verdicts: &[&str], complete: bool| {
        let mut report = reports::fleet();
        report.complete = complete;
        report.workloads.retain(|w| verdicts.contains(&w.verdict.as_str()));
        Fake::new(report).command("scan --exit-code", None).exit as u8
    };
    assert_eq!(code(&["rejected", "drifted"], false), 1);
    assert_eq!(code(&["rejected", "drifted", "undetermined"], true), 4);
    assert_eq!(code(&["drifted", "undetermined", "in_sync"], true), 3);
    assert_eq!(code(&["missing", "undetermined"], true), 3);
    assert_eq!(code(&["undetermined", "in_sync"], true), 5);
    assert_eq!(code(&["in_sync", "not_injected"], true), 0);
    assert_eq!(Fake::new(reports::fleet()).command("scan", None).exit, Exit::Ok, "only if it is asked for");
}

#[test]
fn wide_shows_every_column() {
    assert_snapshot!(Fake::new(reports::fleet()).command("scan -o wide", Some(80)).golden());
}

#[test]
fn markdown_is_for_a_ticket() {
    let ran = Fake::new(reports::fleet()).command("scan --all -o markdown", Some(80));
    assert!(!ran.out.contains('\u{1b}'));
    assert_snapshot!(ran.golden());
}

#[test]
fn what_tenants_wrote_is_no_line_mention_link_or_emphasis_of_ours() {
    let hostile =
        "mesh:v0\nThe breaker opened | @channel *now* [x](http://evil.test) `a` _b_ <!here> \u{202e}\u{9b}2J\u{1b}[2J";
    let mut report = reports::fleet();
    for w in &mut report.workloads {
        let w = std::sync::Arc::make_mut(w);
        w.change = Some(format!("proxy image 1 → {hostile}"));
        w.message = Some(hostile.to_owned());
        w.cause = Some(hostile.to_owned());
    }
    let fake = Fake::new(report);
    for line in ["scan", "scan --all", "scan -o wide", "scan --all -o markdown", "diff", "rollout"] {
        for width in [None, Some(80)] {
            let ran = fake.command(line, width);
            for text in [&ran.out, &ran.err] {
                assert!(
                    !text.lines().any(|line| line.trim_start().starts_with("The breaker opened")),
                    "{line}: {text}"
                );
                assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{line}: {text}");
            }
        }
    }
    let markdown = fake.command("scan --all -o markdown", None).out;
    for line in markdown.lines().filter(|line| line.contains("@channel")) {
        let outside: String = line.split('`').step_by(2).collect();
        assert_eq!(line.matches('`').count() % 2, 0, "{line}");
        assert!(!outside.contains(['@', '*', '[', '<', '_']) && !outside.contains("http"), "{line}");
    }
    assert!(markdown.contains("@channel"), "{markdown}");
}

#[test]
fn a_change_of_many_workloads_is_counted_by_namespace() {
    let fake = Fake::new(reports::large());
    assert_snapshot!(fake.command("scan", Some(80)).golden());
    for line in ["scan -o wide", "scan --all"] {
        let ran = fake.command(line, Some(200));
        assert_eq!(ran.out.matches("Deployment/web-").count(), 500, "{line}");
    }
}

#[test]
fn watched_elsewhere_than_on_a_terminal_each_new_result_follows_the_last() {
    let ran = Fake::new(reports::fleet()).command("scan --watch", None);
    assert!(matches!(ran.asked.as_slice(), [Asked::Run(_, StopWhen::Never)]));
    assert!(ran.out.starts_with("2026-03-01T12:00:00Z\n"), "{}", ran.out);
    assert_eq!(ran.out.matches("9 workloads in 4 namespaces").count(), 1);
}
