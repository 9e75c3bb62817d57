//! What only the real process shows: the environment, the exit code, a closed pipe.

use std::process::Stdio;

use assert_cmd::Command;

fn sidecar_drift() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sidecar-drift"));
    command.env_clear();
    command
}

#[test]
fn a_bad_value_in_the_environment_is_named_by_its_variable() {
    sidecar_drift().arg("run").env("SIDECAR_DRIFT_TIMEOUT", "300").assert().code(2).stderr(
        "error: `SIDECAR_DRIFT_TIMEOUT` cannot be `300`: a duration needs a unit, and `300s` means 300 seconds\n",
    );
}

#[test]
fn the_version_is_printed() {
    let version = concat!("sidecar-drift ", env!("CARGO_PKG_VERSION"), "\n");
    sidecar_drift().arg("version").assert().success().stdout(version);
    sidecar_drift().arg("--version").assert().success().stdout(version);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("sidecar-drift"))
        .arg("version")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_flag_beats_its_opposite_in_the_environment() {
    for (variable, flags) in [
        ("SIDECAR_DRIFT_NAMESPACE", ["--all-namespaces", "--quiet"]),
        ("SIDECAR_DRIFT_EXCLUDE_NAMESPACE", ["--include-namespace", "shop"]),
    ] {
        let run = || {
            let mut command = sidecar_drift();
            command.arg("scan").args(["--kubeconfig", "/nowhere/config"]).env(variable, "shop");
            command
        };
        // It gets as far as the kubeconfig.
        for flags in [&flags[..], &[]] {
            let output = run().args(flags).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(stderr.contains("/nowhere/config cannot be read"), "{stderr}");
        }
    }
    let mut both = sidecar_drift();
    both.args(["scan", "--namespace", "shop", "--all-namespaces"]).assert().code(2);
}
