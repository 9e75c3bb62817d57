//! `explain`, and what else is made from the command line's definition.

use std::{fs, process::Command};

use insta::assert_snapshot;
use sha2::{Digest, Sha256};
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
fn a_workload_may_be_named_as_we_name_it() {
    let plain = cart().command("explain deploy/cart -n shop", Some(100));
    for line in
        ["explain Deployment/shop/cart", "explain Deployment/shop/cart -n bank,shop", "explain deploy/shop/cart -A"]
    {
        let ran = cart().command(line, Some(100));
        assert_eq!(ran.golden(), plain.golden(), "{line}");
        assert_eq!(ran.config().watch, plain.config().watch, "{line}");
    }
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
    assert_eq!(platforms.len(), 2);
}

#[test]
fn the_release_puts_the_checksums_of_its_archives_into_the_plugins_manifest() {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let folder = tempfile::tempdir().unwrap();
    let krew = |version: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/krew");
        Command::new(script).arg(version).arg(folder.path()).output().unwrap()
    };
    let missing = krew(version);
    assert!(!missing.status.success() && String::from_utf8_lossy(&missing.stderr).starts_with("there is no "));
    for target in ["x86_64", "aarch64"] {
        let archive = format!("sidecar-drift-{version}-{target}-unknown-linux-musl.tar.gz");
        fs::write(folder.path().join(archive), target).unwrap();
    }
    let written = String::from_utf8(krew(version).stdout).unwrap();
    let manifest: serde_json::Value = serde_saphyr::from_str(&written).unwrap();
    for (platform, content) in manifest["spec"]["platforms"].as_array().unwrap().iter().zip(["x86_64", "aarch64"]) {
        let sum = Sha256::digest(content).iter().fold(String::new(), |sum, byte| format!("{sum}{byte:02x}"));
        assert_eq!(platform["sha256"], sum, "{written}");
    }
    assert!(!krew("v9.9.9").status.success());
}
