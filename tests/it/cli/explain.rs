//! `explain`, and what else is made from the command line's definition.

use insta::assert_snapshot;
use sidecar_drift::{
    cli::{self, Exit},
    core::report::Report,
};

use super::{Fake, reports};

fn cart() -> Fake {
    let mut report = Report { story: Some(Box::new(reports::story())), ..reports::fleet() };
    report.workloads.retain(|w| &*w.name == "cart");
    Fake::new(report)
}

#[test]
fn the_whole_story_of_one_workload() {
    let ran = cart().command("explain deploy/cart -n shop", Some(100));
    assert!(!ran.out.contains("hunter2"));
    assert_snapshot!(ran.golden());
}

#[test]
fn of_a_workload_that_is_not_there_it_says_so() {
    let ran = Fake::new(reports::empty()).command("explain sts/nowhere", None);
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.err.contains("there is no StatefulSet `nowhere`"), "{}", ran.err);
}

#[test]
fn every_command_has_a_manual_page_and_every_shell_its_completions() {
    let fake = Fake::new(reports::empty());
    for command in cli::definition().get_subcommands() {
        let ran = fake.command(&format!("man {}", command.get_name()), None);
        assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
        assert!(ran.out.contains(&format!(".TH sidecar-drift-{}", command.get_name())), "{}", ran.out);
    }
    for shell in ["bash", "zsh", "fish"] {
        let ran = fake.command(&format!("completions {shell}"), None);
        assert!(ran.exit == Exit::Ok && ran.out.contains("regardless-of-drift"), "{shell}");
    }
}

#[test]
fn the_kubectl_plugin_is_of_this_version() {
    let manifest = include_str!("../../../deploy/krew/sidecar-drift.yaml");
    let manifest: serde_json::Value = serde_saphyr::from_str(manifest).unwrap();
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&manifest["metadata"]["name"], &manifest["spec"]["version"]),
        (&"sidecar-drift".into(), &version.into())
    );
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    for platform in platforms {
        let uri = platform["uri"].as_str().unwrap();
        assert_eq!(uri.matches(version).count(), 2, "{uri}");
    }
    assert_eq!(platforms.len(), 4);
}
