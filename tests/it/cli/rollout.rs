//! `rollout`

use std::collections::BTreeSet;

use insta::assert_snapshot;
use sidecar_drift::{
    cli::{Exit, StopSignal, Stopped},
    config::StopWhen,
    core::{
        config::Mode,
        io::Notice,
        model::{
            WorkloadKey,
            owner::Kind,
            words::{Gate, Outcome},
        },
    },
};

use super::{Asked, Fake, reports};

#[test]
fn without_confirm_the_plan_is_shown_and_nothing_is_done() {
    let ran = Fake::new(reports::fleet()).command("rollout", Some(100));
    assert_eq!(ran.config().policy.mode, Mode::Report);
    assert!(matches!(ran.asked.as_slice(), [Asked::Run(_, StopWhen::Complete)]));
    assert_snapshot!(ran.golden());
}

#[test]
fn confirm_means_what_it_says() {
    let fake = Fake::new(reports::empty());
    for (flag, mode) in [
        ("", Mode::Report),
        ("--confirm", Mode::Enforce),
        ("--confirm=true", Mode::Enforce),
        ("--confirm=false", Mode::Report),
    ] {
        let ran = fake.command(&format!("rollout {flag}"), None);
        assert_eq!(ran.config().policy.mode, mode, "{flag}");
    }
}

#[test]
fn deployments_only_unless_more_is_asked_for() {
    let fake = Fake::new(reports::empty());
    for (flags, kinds) in [
        ("", vec![Kind::DEPLOYMENT]),
        ("--include-statefulset", vec![Kind::DEPLOYMENT, Kind::STATEFUL_SET]),
        ("--include-daemonset=true --include-statefulset=false", vec![Kind::DEPLOYMENT, Kind::DAEMON_SET]),
        ("--exclude-deployments --include-daemonset", vec![Kind::DAEMON_SET]),
    ] {
        let ran = fake.command(&format!("rollout {flags}"), None);
        assert_eq!(ran.config().policy.roll_kinds, BTreeSet::from_iter(kinds), "{flags}");
    }
    assert_snapshot!(fake.command("rollout --exclude-deployment", None).golden());
}

#[test]
fn what_paces_a_machine_applies_to_a_person_only_on_request() {
    let fake = Fake::new(reports::empty());
    let policy = fake.command("rollout --confirm", None).config().policy.clone();
    assert_eq!((policy.canary, policy.max_rollouts_per_hour, policy.soak.as_secs()), (0, None, 0));
    assert!(policy.one_shot);
    let policy = fake.command("rollout --canary 2 --soak 1m --max-rollouts-per-hour 5", None).config().policy.clone();
    assert_eq!((policy.canary, policy.max_rollouts_per_hour, policy.soak.as_secs()), (2, Some(5), 60));
}

#[test]
fn each_rollout_is_followed_and_summed_up() {
    let key = |namespace: &str, name: &str| WorkloadKey {
        namespace: namespace.into(),
        kind: Kind::DEPLOYMENT,
        name: name.into(),
    };
    let notices = vec![
        Notice::RolloutStarted {
            workload: key("payments", "ledger"),
            reason: "Update sidecars istio-proxy".to_owned(),
        },
        Notice::RolloutProgress { workload: key("payments", "ledger"), message: "1 of 2 updated".to_owned() },
        Notice::RolloutEnded {
            workload: key("payments", "ledger"),
            outcome: Outcome::Converged,
            message: String::new(),
            seconds: 24,
        },
        Notice::RolloutHeld { workload: key("shop", "basket"), gate: Gate::Unhealthy },
        Notice::RolloutEnded {
            workload: key("shop", "cart"),
            outcome: Outcome::Failed,
            message: "the new Pods crash".to_owned(),
            seconds: 61,
        },
    ];
    let ran = Fake::new(reports::rolled()).telling(notices).command("rollout --confirm", Some(100));
    assert_eq!(ran.exit, Exit::Error);
    assert!(matches!(ran.asked.as_slice(), [Asked::Run(_, StopWhen::RolledOut)]));
    assert_snapshot!(ran.golden());
}

#[test]
fn the_result_as_json() {
    assert_snapshot!(Fake::new(reports::rolled()).command("rollout --confirm -o json --quiet", None).golden());
}

#[test]
fn a_late_rollout_is_a_warning() {
    let mut report = reports::rolled();
    for rollout in &mut report.rollouts {
        rollout.outcome = Some(Outcome::TimedOut);
    }
    let ran = Fake::new(report).command("rollout --confirm", None);
    assert_eq!(ran.exit, Exit::Ok);
    assert!(ran.out.ends_with("with 0 errors and 2 warnings.\n"), "{}", ran.out);
}

#[test]
fn one_that_was_interrupted_is_no_success() {
    let stopped = Stopped { by: StopSignal::Interrupt, at_once: false };
    let interrupted = Fake::new(reports::empty()).stopped(stopped);
    assert_eq!(interrupted.command("rollout --confirm", None).exit, Exit::Interrupted);
    assert_eq!(interrupted.command("scan", None).exit, Exit::Interrupted);
    assert_eq!(Fake::new(reports::empty()).command("rollout --confirm", None).exit, Exit::Ok);
}
