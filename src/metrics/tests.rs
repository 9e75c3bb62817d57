//! The table and what is emitted agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{AlreadyInstalled, Metrics, TABLE, Type};
use crate::core::{
    compare::SidecarDifference,
    io::{Notice, RenderOutcome, WatchKind},
    model::{
        WorkloadKey,
        owner::Kind,
        words::{Difference, Gate, Outcome, Verdict},
    },
    render::Limits,
    report::{IgnoreReport, Report, WorkloadReport},
    rollout::{AlertsReport, RolloutReport},
    verdict::PodGroup,
};

/// A family of a scrape: its type, its help, and the sets of labels that its series have.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<Vec<String>>,
}

/// Reads the text of a scrape.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
            let labels: Vec<_> = labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le").collect();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
            families.entry(family.to_owned()).or_default().labels.insert(labels);
        }
    }
    families
}

fn report() -> Report {
    let taken = "2026-03-01T12:00:00Z".parse().unwrap();
    let workload = WorkloadReport {
        verdict: Verdict::Drifted,
        gate: Some(Gate::ReportOnly),
        first_seen: Some("2026-03-01T11:59:00Z".parse().unwrap()),
        sidecars: vec!["proxy".into(), "agent".into()],
        pods: 2,
        differing: vec![PodGroup {
            pods: vec!["cart-1".into(), "cart-2".into()],
            differences: vec![SidecarDifference {
                sidecar: "proxy".into(),
                difference: Difference::Changed,
                fields: vec![],
            }],
            collateral: vec![],
        }],
        ..WorkloadReport::pending("Deployment".into(), "shop".into(), "cart".into())
    };
    Report {
        complete: true,
        synced: true,
        progress: (1, 1),
        leader: true,
        workloads: vec![Arc::new(workload)],
        rollouts: vec![RolloutReport {
            kind: "Deployment".into(),
            namespace: "shop".into(),
            name: "cart".into(),
            change: String::new(),
            started: taken,
            outcome: None,
            watched: false,
            message: String::new(),
            seconds: 0,
        }],
        rollouts_left: Some(19),
        breakers: std::collections::BTreeMap::from([(
            "shop".into(),
            crate::core::io::Stop { reason: "2 failed".to_owned(), at: taken },
        )]),
        clock_ahead: Some(jiff::SignedDuration::from_millis(-12_500)),
        guard: Some(false),
        window_open: Some(false),
        ignore: vec![IgnoreReport { rule: "env A of *".to_owned(), fields: 3, workloads: 2 }],
        queued: 3,
        queued_seconds: 42,
        render_limits: Limits { api_server: 5, injector: Some(1) },
        ..Report::empty(taken)
    }
}

/// A recorder for one test; the global one belongs to the process.
fn local(record: impl FnOnce()) -> Metrics {
    let recorder = super::recorder();
    ::metrics::with_local_recorder(&recorder, || {
        super::start_at_zero();
        record();
    });
    Metrics { counters: recorder.handle(), by_namespace: true }
}

fn record_everything() {
    super::rendered(&RenderOutcome::Gone, Duration::from_millis(3));
    super::api_request("list", "watch", "200");
    super::api_request("create", "dry_run", "timeout");
    super::api_request("create", "event", "429");
    super::object_skipped(WatchKind::Pods);
    super::watch_restarted(WatchKind::Nodes);
    drop(super::Watches::default().health("pods"));
    super::notified("sent");
    super::reloaded(true);
    super::notice(&Notice::ScopeMoved {
        scope: "namespace shop".to_owned(),
        cause: "ConfigMap a/b".to_owned(),
        workloads: 1,
    });
    super::notice(&Notice::RolloutEnded {
        workload: WorkloadKey { namespace: "shop".into(), kind: Kind::DEPLOYMENT, name: "cart".into() },
        outcome: Outcome::Converged,
        message: String::new(),
        seconds: 1,
    });
}

#[test]
fn the_table_and_a_scrape_agree() {
    let emitted = families(&local(record_everything).render(Some(&report())));
    let names: BTreeSet<_> = emitted.keys().map(String::as_str).collect();
    assert_eq!(names, TABLE.iter().map(|metric| metric.name).collect());
    for metric in TABLE {
        let family = &emitted[metric.name];
        let kind = match metric.kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        assert_eq!(family.kind, kind, "{}", metric.name);
        assert_eq!(family.help, metric.help, "{}", metric.name);
        let labels = BTreeSet::from([metric.labels.iter().map(|&label| label.to_owned()).collect()]);
        assert_eq!(family.labels, labels, "{}", metric.name);
    }
}

#[test]
fn names_follow_the_conventions() {
    for metric in TABLE {
        let standard = metric.name.starts_with("process_");
        assert!(standard || metric.name.starts_with("sidecar_drift_"), "{}", metric.name);
        assert_eq!(metric.kind == Type::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn counters_start_at_zero() {
    let text = local(|| ()).render(None);
    assert!(text.contains("sidecar_drift_rollouts_total{outcome=\"failed\"} 0\n"), "{text}");
    assert!(text.contains("sidecar_drift_renders_total{result=\"injector_unavailable\"} 0\n"), "{text}");
    assert!(
        text.contains("sidecar_drift_generation_moves_total{scope=\"namespace\",cause=\"Namespace\"} 0\n"),
        "{text}"
    );
}

#[test]
fn gauges_say_what_the_report_says() {
    let text = local(|| ()).render(Some(&report()));
    for line in [
        "sidecar_drift_workloads{namespace=\"shop\",kind=\"Deployment\",verdict=\"drifted\"} 1",
        "sidecar_drift_held_workloads{gate=\"report_only\"} 1",
        "sidecar_drift_differing_pods{namespace=\"shop\"} 2",
        "sidecar_drift_oldest_drift_seconds 60",
        "sidecar_drift_queued_renders 3",
        "sidecar_drift_oldest_queued_seconds 42",
        "sidecar_drift_render_limit{who=\"api_server\"} 5",
        "sidecar_drift_render_limit{who=\"injector\"} 1",
        "sidecar_drift_rollouts_left 19",
        "sidecar_drift_sidecar_workloads{namespace=\"shop\",sidecar=\"agent\",verdict=\"drifted\"} 1",
        "sidecar_drift_sidecar_workloads{namespace=\"shop\",sidecar=\"proxy\",verdict=\"drifted\"} 1",
        "sidecar_drift_rollouts_in_flight 1",
        "sidecar_drift_stopped{by=\"breaker\"} 0",
        "sidecar_drift_breaker_open_namespaces{namespace=\"shop\"} 1",
        "sidecar_drift_stopped{by=\"alerts\"} 0",
        // In report mode the guard stops nothing, but it is missing all the same.
        "sidecar_drift_stopped{by=\"guard\"} 0",
        "sidecar_drift_guard_in_force 0",
        "sidecar_drift_leader 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn alerts_that_hold_all_rollouts_are_said() {
    let mut report = report();
    report.alerts = Some(AlertsReport { blocking: true, message: "EtcdDown is firing".to_owned() });
    let text = local(|| ()).render(Some(&report));
    assert!(text.contains("sidecar_drift_stopped{by=\"alerts\"} 1\n"), "{text}");
}

#[test]
fn a_follower_says_nothing_of_workloads() {
    let mut report = report();
    report.leader = false;
    report.complete = false;
    let text = local(|| ()).render(Some(&report));
    assert!(text.contains("sidecar_drift_leader 0\n"), "{text}");
    assert!(text.contains("sidecar_drift_stopped{by=\"pause\"} 0\n"), "{text}");
    for family in [
        "stopped{by=\"guard\"}",
        "stopped{by=\"alerts\"}",
        "workloads",
        "sidecar_workloads",
        "oldest_queued",
        "rollouts_left",
        "held_workloads",
        "differing_pods",
        "oldest_drift",
        "queued",
        "rollouts_in_flight",
        "report_complete",
    ] {
        assert!(!text.contains(&format!("sidecar_drift_{family}")), "{family}: {text}");
    }
}

#[test]
fn a_vanished_namespace_is_gone_at_the_next_scrape() {
    let metrics = local(|| ());
    let mut report = report();
    assert!(metrics.render(Some(&report)).contains("namespace=\"shop\""));
    report.workloads.clear();
    report.breakers.clear();
    assert!(!metrics.render(Some(&report)).contains("namespace=\"shop\""));
}

#[test]
fn the_label_namespace_can_be_left_out() {
    let metrics = Metrics { by_namespace: false, ..local(|| ()) };
    let mut report = report();
    let mut other = (*report.workloads[0]).clone();
    other.namespace = "pay".into();
    report.workloads.push(other.into());
    let text = metrics.render(Some(&report));
    assert!(!text.contains("namespace="), "{text}");
    assert!(text.contains("sidecar_drift_workloads{kind=\"Deployment\",verdict=\"drifted\"} 2\n"), "{text}");
    assert!(text.contains("sidecar_drift_differing_pods 4\n"), "{text}");
}

#[test]
fn a_watch_is_down_from_when_it_fails_until_it_is_up_or_ended() {
    let metrics = local(|| ());
    let recorder = super::recorder();
    let down = |n| format!("sidecar_drift_watches_down{{kind=\"pods\"}} {n}\n");
    let shown = || recorder.handle().render();
    ::metrics::with_local_recorder(&recorder, || {
        let watches = super::Watches::default();
        let (mut one, mut other) = (watches.health("pods"), watches.health("pods"));
        assert!(shown().contains(&down(0)));
        one.set(true);
        one.set(true);
        other.set(true);
        assert!(shown().contains(&down(2)));
        one.set(false);
        assert!(shown().contains(&down(1)));
        other.refused();
        assert!(shown().contains(&down(1)));
        drop((one, other));
        assert!(shown().contains(&down(0)));
    });
    drop(metrics);
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_down_for_as_long_as_it_has_no_connection() {
    let watches = super::Watches::default();
    let (mut pods, mut more_pods, mut nodes) =
        (watches.health("pods"), watches.health("pods"), watches.health("nodes"));
    let second = Duration::from_secs(1);
    pods.set(true);
    nodes.refused();
    tokio::time::advance(second).await;
    more_pods.set(true);
    pods.set(true);
    tokio::time::advance(second).await;
    // What is refused is told otherwise.
    assert_eq!(watches.down_for(Duration::ZERO), [("pods", 2 * second)].into());
    pods.set(false);
    assert_eq!(watches.down_for(Duration::ZERO), [("pods", second)].into());
    assert_eq!(watches.down_for(2 * second), [].into());
    nodes.set(true);
    assert_eq!(watches.down_for(Duration::ZERO), [("pods", second), ("nodes", Duration::ZERO)].into());
    drop((pods, more_pods, nodes));
    assert_eq!(watches.down_for(Duration::ZERO), [].into());
}

#[test]
fn a_rollout_that_is_late_has_no_duration_yet() {
    let ended = |outcome, seconds| Notice::RolloutEnded {
        workload: WorkloadKey { namespace: "shop".into(), kind: Kind::DEPLOYMENT, name: "cart".into() },
        outcome,
        message: String::new(),
        seconds,
    };
    let text = local(|| {
        super::notice(&ended(Outcome::TimedOut, 300));
        super::notice(&ended(Outcome::Converged, 420));
    })
    .render(None);
    assert!(text.contains("sidecar_drift_rollouts_total{outcome=\"timed_out\"} 1\n"), "{text}");
    assert!(!text.contains("duration_seconds_count{outcome=\"timed_out\"}"), "{text}");
    assert!(text.contains("sidecar_drift_rollout_duration_seconds_sum{outcome=\"converged\"} 420\n"), "{text}");
}

#[test]
fn the_process_says_how_much_it_uses() {
    if crate::platform::process::usage().is_none() {
        return;
    }
    let text = local(|| ()).render(None);
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"] {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect(name);
        assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() >= 0.0, "{line}");
    }
    assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"));
}

#[test]
fn metrics_are_installed_once() {
    let first = super::install(true);
    let second = super::install(true);
    assert!(first.is_ok());
    assert!(matches!(second, Err(AlreadyInstalled)));
}
