//! What is wrong with a command line, in one sentence, before anything is contacted.

use std::fmt::Write;

use insta::assert_snapshot;
use sidecar_drift::cli::Exit;

use super::{Fake, reports};

#[test]
fn bad_command_lines() {
    let lines = [
        "run --timeot 300s",
        "run --frobnicate",
        "scan stray",
        "frobnicate",
        "scna",
        "scan --timeout 300s",
        "run --timeout 300",
        "run --timeout 5minutesandabit",
        "run --timeout -5s",
        "run --timeout=0s",
        "run --resync 1mo",
        "run --timeout",
        "run --timeout 5m --timeout 6m",
        "run --parallel-rollouts 0",
        "run --parallel-rollouts many",
        "run --canary -1",
        "run --max-rollouts-per-hour none",
        "run --max-renders-per-second 0",
        "run --max-renders-per-second NaN",
        "run --mode enforc",
        "run --mode ignore",
        "run --act-on mutated_live",
        "run --act-on changed,lost",
        "run --kinds Deployment,Pod",
        "run --listen :8080",
        "run --listen localhost:8080",
        "run --annotation-prefix /x",
        "run --annotation-prefix waytoolongforthekeyofanannotationwhichtakessixtythree",
        "run --without-guard=perhaps",
        "run --lease-duration 1500ms",
        "run --lease-duration 0s",
        "run --lease-renew-deadline 15s",
        "run --lease-retry 10s",
        "run --lease-name Sidecar_Drift",
        "run --identity=",
        "scan --leader-election",
        "scan --namespace Shop",
        "scan --namespace shop -A",
        "scan --include-namespace a --exclude-namespace b",
        "scan --sidecar-container-name istio_proxy",
        "scan --output jsno",
        "scan --log-level loud",
        "scan --show-values",
        "diff cart",
        "diff deployment/",
        "diff gadget/cart",
        "rollout --confirm=yes",
        "rollout --exclude-deployments",
        "pause",
        "pause --reason=",
        "scan --what-if-label istio.io/rev",
        "scan --what-if-label a/b/c=d",
        "scan --what-if-label a=not,this",
        "scan --what-if-annotation =x",
        "scan --what-if-namespace Canary",
        "rollout --what-if-label istio.io/rev=canary",
        "run --what-if-namespace canary",
        "scan --fields some",
        "scan --render-as root",
        "run --trigger Secret",
        "run --trigger Secret/istio_system/ca",
        "status --api localhost:8081",
        "debug bundle --api https://drift.example",
        "debug bundle --metrics 127.0.0.1:8080",
        "scan --config /does/not/exist.yaml",
    ];
    let fake = Fake::new(reports::fleet());
    let mut golden = String::new();
    for line in lines {
        let ran = fake.command(line, None);
        assert_eq!((ran.exit, ran.out.as_str(), ran.asked.len()), (Exit::Usage, "", 0), "{line}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{line}: {}", ran.err);
        _ = write!(golden, "$ {line}\n{}", ran.err);
    }
    assert_snapshot!(golden);
}

#[test]
fn without_a_command_the_help_is_shown() {
    let ran = Fake::new(reports::fleet()).command("", None);
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains("Commands:"), "{}", ran.err);
}
