//! What `k8s-sidecar-rollout` can do, each under its own flag: one test for each row of the table in `docs/migrating.md`.
//! What acts is shown on a real control plane, in `tests/cluster/predecessor`.

use std::{collections::BTreeSet, time::Duration};

use insta::assert_snapshot;
use sidecar_drift::{
    cli::{Exit, StopSignal, Stopped},
    config::{LogFormat, LogLevel, StopWhen},
    core::{
        config::{AnnotationMatch, Mode, Policy},
        model::{
            Glob, Name,
            owner::Kind,
            words::{Outcome, Verdict},
        },
        report::Report,
    },
};

use super::{Asked, Fake, Ran, reports};

/// Every command that takes what the predecessor took.
const ALL: [&str; 4] = ["scan", "diff", "rollout", "run"];

fn run(line: &str) -> Ran {
    let ran = Fake::new(reports::fleet()).command(line, None);
    assert_ne!(ran.exit, Exit::Usage, "{line}: {}", ran.err);
    ran
}

fn policy(line: &str) -> Policy {
    run(line).config().policy.clone()
}

fn names(names: &[&str]) -> BTreeSet<Name> {
    names.iter().map(|name| (*name).into()).collect()
}

fn globs(names: &[&str]) -> BTreeSet<Glob> {
    names.iter().map(|name| Glob::new(name)).collect()
}

#[test]
fn sidecar_container_name_is_repeatable_on_every_command() {
    for command in ALL {
        let policy = policy(&format!("{command} --sidecar-container-name=istio-proxy --sidecar-container-name=other"));
        assert_eq!(policy.sidecars, names(&["istio-proxy", "other"]), "{command}");
    }
}

#[test]
fn without_confirm_nothing_is_done_and_confirm_false_means_no() {
    for (flag, mode, stop) in [
        ("", Mode::Report, StopWhen::Complete),
        ("--confirm", Mode::Enforce, StopWhen::RolledOut),
        ("--confirm=true", Mode::Enforce, StopWhen::RolledOut),
        ("--confirm=false", Mode::Report, StopWhen::Complete),
    ] {
        let ran = run(&format!("rollout --sidecar-container-name=istio-proxy {flag}"));
        assert_eq!(ran.config().policy.mode, mode, "{flag}");
        assert!(matches!(ran.asked.as_slice(), [Asked::Run(_, how)] if *how == stop), "{flag}");
    }
}

#[test]
fn parallel_rollouts_is_one_unless_said() {
    assert_eq!(policy("rollout").parallel_rollouts, 1);
    assert_eq!(policy("rollout --parallel-rollouts 10").parallel_rollouts, 10);
}

#[test]
fn annotation_prefix_begins_the_stamp() {
    assert_eq!(policy("rollout").annotation_prefix, "sidecarRollout");
    for command in ["rollout", "run"] {
        assert_eq!(policy(&format!("{command} --annotation-prefix=myCompany")).annotation_prefix, "myCompany");
    }
}

#[test]
fn rollout_reason_is_made_from_the_sidecars_unless_said() {
    assert_eq!(policy("rollout").rollout_reason, None);
    assert_eq!(policy("rollout --rollout-reason=Upgrade").rollout_reason.as_deref(), Some("Upgrade"));
}

#[test]
fn timeout_is_any_duration() {
    assert_eq!(policy("rollout").timeout, Duration::from_mins(5));
    for command in ["rollout", "run"] {
        assert_eq!(policy(&format!("{command} --timeout=600s")).timeout, Duration::from_mins(10));
    }
    assert_eq!(policy("rollout --timeout 1h30m").timeout, Duration::from_mins(90));
}

#[test]
fn include_and_exclude_namespace_are_repeatable_and_exclude_each_other() {
    for command in ALL {
        let filter = policy(&format!("{command} --include-namespace=my-first-app --include-namespace=my-*")).filter;
        assert_eq!(filter.include_namespaces, globs(&["my-first-app", "my-*"]), "{command}");
        let filter = policy(&format!("{command} --exclude-namespace=kube-system --exclude-namespace=tmp-?")).filter;
        assert_eq!(filter.exclude_namespaces, globs(&["kube-system", "tmp-?"]), "{command}");
        let both = Fake::new(reports::fleet())
            .command(&format!("{command} --include-namespace a --exclude-namespace b"), None);
        assert_eq!((both.exit, both.asked.len()), (Exit::Usage, 0), "{command}");
        assert!(policy(&format!("{command} --namespace-selector team=a")).filter.namespaces.is_some(), "{command}");
    }
}

#[test]
fn include_daemonset_and_include_statefulset_and_exclude_deployment_choose_the_kinds() {
    for (flags, kinds) in [
        ("", vec![Kind::DEPLOYMENT]),
        ("--include-daemonset=true --include-statefulset=true", Kind::usual().collect()),
        ("--exclude-deployment --include-statefulset", vec![Kind::STATEFUL_SET]),
        ("--exclude-deployments=true --include-daemonset", vec![Kind::DAEMON_SET]),
        ("--exclude-deployments=false --include-daemonset=false", vec![Kind::DEPLOYMENT]),
    ] {
        assert_eq!(policy(&format!("rollout {flags}")).roll_kinds, BTreeSet::from_iter(kinds), "{flags}");
    }
    assert_eq!(policy("scan").kinds, Kind::usual().collect());
}

#[test]
fn only_started_before_is_in_utc() {
    for command in ALL {
        let time = policy(&[command, "--only-started-before=2022-05-01T13:00"].join(" ")).filter.started_before;
        assert_eq!(time.unwrap().to_string(), "2022-05-01T13:00:00Z", "{command}");
        assert_eq!(policy(command).filter.started_before, None, "{command}");
    }
}

#[test]
fn regardless_of_drift_is_a_word_for_rollout_confirm_only() {
    assert!(policy("rollout --confirm --regardless-of-drift").regardless_of_drift);
    assert!(
        policy("rollout --yes --regardless-of-drift").regardless_of_drift,
        "`--yes` is what the other commands call it"
    );
    for line in ["rollout", "rollout --confirm", "rollout --confirm --regardless-of-drift=false"] {
        assert!(!policy(line).regardless_of_drift, "{line}");
    }
    for line in [
        "rollout --regardless-of-drift",
        "rollout --confirm=false --regardless-of-drift",
        "scan --regardless-of-drift",
        "run --regardless-of-drift",
    ] {
        assert_eq!(Fake::new(reports::fleet()).command(line, None).exit, Exit::Usage, "{line}");
    }
}

#[test]
fn log_level_and_log_format_are_taken_by_every_command() {
    for command in ALL {
        let log = run(&format!("{command} --log-level=debug --log-format=json")).config().log;
        assert_eq!((log.level, log.format), (LogLevel::Debug, LogFormat::Json), "{command}");
    }
}

#[test]
fn as_log_lines_nothing_else_is_written() {
    for line in ["scan", "diff", "rollout", "rollout --confirm"] {
        let ran = run(&format!("{line} --log-format=json"));
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""), "{line}");
        // A document that was asked for is written all the same.
        let ran = run(&format!("{line} --log-format=json --output json"));
        serde_json::from_str::<serde_json::Value>(&ran.out).unwrap();
    }
}

#[test]
fn include_and_exclude_annotation_are_repeatable() {
    let one = |key: &str, value: Option<&str>| AnnotationMatch { key: key.into(), value: value.map(Into::into) };
    for command in ALL {
        let filter = policy(&format!("{command} --include-annotation a=1,2 --include-annotation b")).filter;
        assert_eq!(filter.include_annotations, [one("a", Some("1,2")), one("b", None)].into(), "{command}");
        let filter = policy(&format!("{command} --exclude-annotation example.com/x=y")).filter;
        assert_eq!(filter.exclude_annotations, [one("example.com/x", Some("y"))].into(), "{command}");
    }
}

#[test]
fn owners_that_cannot_be_rolled_are_an_anomaly_and_no_crash() {
    let report = reports::fleet();
    let stray = report.workloads.iter().find(|w| &*w.kind == "Job").unwrap().clone();
    assert_eq!(stray.verdict, Verdict::Undetermined);
    let ran = run("scan");
    assert!(ran.out.contains("Job/nightly-28731"), "{}", ran.out);
    let ran = run("rollout --confirm");
    let follow_ups = ran.out.split_once(" to follow up").expect("follow-ups").1;
    assert!(follow_ups.contains("Job/shop/nightly-28731"), "{}", ran.out);
}

#[test]
fn pods_that_crashed_before_are_reported_apart() {
    for line in ["scan", "rollout"] {
        let ran = run(line);
        let rest = ran.out.split_once("1 workload with Pods that crash or cannot start").expect(line).1;
        assert!(rest.contains("Deployment/frontend  in_sync  frontend-66f8-kkkkk"), "{line}: {}", ran.out);
    }
}

#[test]
fn at_the_end_stands_what_to_follow_up_and_the_sum() {
    let report = Report { workloads: reports::fleet().workloads, ..reports::rolled() };
    let ran = Fake::new(report).command("rollout --confirm", Some(100));
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.out.ends_with("with 1 error.\n"), "{}", ran.out);
    assert_snapshot!(ran.golden());
}

#[test]
fn a_time_out_is_a_warning() {
    let mut report = reports::rolled();
    for rollout in &mut report.rollouts {
        rollout.outcome = Some(Outcome::TimedOut);
    }
    let ran = Fake::new(report).command("rollout --confirm", None);
    assert_eq!(ran.exit, Exit::Ok);
    assert!(ran.out.ends_with("Completed after 0s with 0 errors and 2 warnings.\n"), "{}", ran.out);
}

#[test]
fn it_ends_with_1_on_errors_and_0_without() {
    let mut report = reports::rolled();
    assert_eq!(Fake::new(report.clone()).command("rollout --confirm", None).exit, Exit::Error);
    report.rollouts.retain(|rollout| rollout.outcome == Some(Outcome::Converged));
    assert_eq!(Fake::new(report).command("rollout --confirm", None).exit, Exit::Ok);
}

#[test]
fn stopped_by_ctrl_c_it_says_what_was_done_and_ends_with_130() {
    for at_once in [false, true] {
        let stopped = Stopped { by: StopSignal::Interrupt, at_once };
        let mut report = reports::rolled();
        report.rollouts[0].outcome = None;
        let ran = Fake::new(report).stopped(stopped).command("rollout --confirm", None);
        assert_eq!(ran.exit as u8, 130);
        assert!(ran.out.contains("under way"), "{}", ran.out);
        assert!(ran.out.ends_with("Stopped after 0s with 0 errors and 1 warning.\n"), "{}", ran.out);
    }
}

#[test]
fn interactive_needs_confirm_and_somebody_who_can_answer() {
    for line in ["rollout --interactive", "rollout --confirm --interactive"] {
        let ran = Fake::new(reports::fleet()).command(line, Some(80));
        assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0), "{line}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{line}: {}", ran.err);
    }
}

#[test]
fn rollout_confirm_says_first_that_the_guard_does_not_bind_a_person() {
    let ran = run("rollout --confirm");
    assert!(ran.err.starts_with("Rolling out with your own rights."), "{}", ran.err);
    assert!(!run("rollout").err.contains("guard"));
}
