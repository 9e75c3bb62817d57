//! Reports made by hand.

use std::sync::Arc;

use sidecar_drift::core::{
    compare::{FieldChange, SidecarDifference},
    config::Mode,
    injection::ScopeMove,
    model::{
        Stamp,
        words::{Difference, Gate, Outcome, UndeterminedReason, Verdict},
    },
    report::{Dependency, Report, Story, WorkloadReport},
    rollout::RolloutReport,
    verdict::PodGroup,
};

const UPGRADE: &str = "istio-proxy image 1.27.0 → 1.27.1";

/// A small fleet with one workload of nearly every verdict.
pub(crate) fn fleet() -> Report {
    let workloads = vec![
        WorkloadReport {
            message: Some("admission webhook \"policy.example.com\" denied the request:\n\u{1b}[31mno privileged containers".to_owned()),
            ..workload("Deployment", "legacy", "importer", Verdict::Rejected)
        },
        drifted("Deployment", "payments", "ledger", Gate::ReportOnly, vec![upgraded(&["ledger-7c9f-abcde", "ledger-7c9f-fghij"])]),
        drifted("StatefulSet", "payments", "settlement-reconciliation-worker", Gate::OptedOut, vec![upgraded(&["settlement-reconciliation-worker-0"])]),
        WorkloadReport {
            reason: Some(UndeterminedReason::InjectorUnavailable),
            message: Some("the sidecar istio-proxy runs, but was not rendered; MutatingWebhookConfiguration/istio-sidecar-injector ignores failures".to_owned()),
            ..workload("Deployment", "shop", "basket", Verdict::Undetermined)
        },
        drifted("Deployment", "shop", "cart", Gate::ReportOnly, vec![hot_patched(), upgraded(&["cart-5d8f-aaaaa", "cart-5d8f-bbbbb", "cart-5d8f-ccccc", "cart-5d8f-ddddd", "cart-5d8f-eeeee", "cart-5d8f-fffff"])]),
        WorkloadReport {
            crashing: vec!["frontend-66f8-kkkkk".into()],
            ..workload("Deployment", "shop", "frontend", Verdict::InSync)
        },
        WorkloadReport {
            change: Some("vault-agent missing".to_owned()),
            gate: Some(Gate::ReportOnly),
            gate_in_enforce: Some(Gate::DifferenceNotEnabled),
            differing: vec![PodGroup {
                pods: vec!["mailer-0".into()],
                differences: vec![SidecarDifference { sidecar: "vault-agent".into(), difference: Difference::Missing, fields: vec![] }],
                collateral: vec![],
            }],
            ..workload("StatefulSet", "shop", "mailer", Verdict::Missing)
        },
        WorkloadReport {
            reason: Some(UndeterminedReason::UnsupportedOwner),
            message: None,
            ..workload("Job", "shop", "nightly-28731", Verdict::Undetermined)
        },
        workload("DaemonSet", "tools", "node-agent", Verdict::NotInjected),
    ];
    Report { workloads: workloads.into_iter().map(Arc::new).collect(), progress: (9, 9), ..empty() }
}

/// So many that nobody wants to read each: 500 that drifted alike in 25 namespaces, and 30 that cannot be asked.
pub(crate) fn large() -> Report {
    let mut workloads = Vec::new();
    for n in 0..500 {
        let namespace = format!("team-{:02}", n % 25);
        let pods = [format!("web-{n}-a"), format!("web-{n}-b")];
        let gate = if n % 7 == 0 { Gate::OptedOut } else { Gate::ReportOnly };
        let group = upgraded(&pods.each_ref().map(String::as_str));
        let mut w = drifted("Deployment", &namespace, &format!("web-{n}"), gate, vec![group]);
        w.gate_in_enforce = (n % 7 == 0).then_some(Gate::OptedOut);
        workloads.push(w);
    }
    for n in 0..30 {
        workloads.push(WorkloadReport {
            reason: Some(UndeterminedReason::Forbidden),
            ..workload("Deployment", "vault", &format!("closed-{n}"), Verdict::Undetermined)
        });
    }
    Report { workloads: workloads.into_iter().map(Arc::new).collect(), progress: (530, 530), ..empty() }
}

/// A story with everything in it.
pub(crate) fn story() -> Story {
    let at = |time: &str| time.parse().unwrap();
    Story {
        stands: "7 of 7 Pods available; rolls with at most 0 missing and 2 more".to_owned(),
        revision: Some("cart-5d8f".into()),
        renderings: 2,
        last_rendered: Some(at("2026-03-01T11:59:30Z")),
        depends_on: vec![
            Dependency {
                what: "ConfigMap istio-system/istio-sidecar-injector".to_owned(),
                by: Some("helm".into()),
                at: Some(at("2026-03-01T11:42:00Z")),
                note: None,
            },
            Dependency {
                what: "MutatingWebhookConfiguration istio-sidecar-injector".to_owned(),
                by: None,
                at: None,
                note: Some("it is ignored when it fails".to_owned()),
            },
        ],
        moves: vec![ScopeMove {
            scope: "injector MutatingWebhookConfiguration/istio-sidecar-injector".to_owned(),
            version: 2,
            cause: "ConfigMap istio-system/istio-sidecar-injector, manager helm, 11:42".to_owned(),
            at: at("2026-03-01T11:42:05Z"),
        }],
        stamps: vec![Stamp {
            timestamp: at("2026-02-27T08:00:00Z"),
            reason: "Update sidecars istio-proxy".to_owned(),
            fingerprint: Some("v1:00".to_owned()),
        }],
        says: vec!["this drift is accepted until 2026-03-02T00:00:00Z".to_owned()],
        next: vec!["a daemon would ask for it again at 2026-03-01T18:02:11Z".to_owned()],
        unseen: vec!["configuration that a running sidecar fetches by itself, from its control plane".to_owned()],
    }
}

/// The fleet after a rollout.
pub(crate) fn rolled() -> Report {
    let mut report = fleet();
    let rollout = |namespace: &str, name: &str, outcome, message: &str, seconds| RolloutReport {
        kind: "Deployment".into(),
        namespace: namespace.into(),
        name: name.into(),
        change: UPGRADE.to_owned(),
        started: "2026-03-01T11:58:00Z".parse().unwrap(),
        outcome,
        watched: false,
        message: message.to_owned(),
        seconds,
    };
    report.mode = Mode::Enforce;
    report.workloads.retain(|w| &*w.name == "settlement-reconciliation-worker" || &*w.name == "frontend");
    report.rollouts = vec![
        rollout("shop", "cart", Some(Outcome::Failed), "2 of 3 updated; the new Pods crash", 61),
        rollout("payments", "ledger", Some(Outcome::Converged), "", 24),
    ];
    report
}

/// No workloads.
pub(crate) fn empty() -> Report {
    let taken = "2026-03-01T12:00:00Z".parse().unwrap();
    Report { complete: true, synced: true, leader: true, renders: 12, ..Report::empty(taken) }
}

fn workload(kind: &str, namespace: &str, name: &str, verdict: Verdict) -> WorkloadReport {
    WorkloadReport {
        verdict,
        reason: None,
        last_confirmed: Some("2026-03-01T11:59:30Z".parse().unwrap()),
        sidecars: vec!["istio-proxy".into()],
        pods: 1,
        renders: 2,
        ..WorkloadReport::pending(kind.into(), namespace.into(), name.into())
    }
}

fn drifted(kind: &str, namespace: &str, name: &str, gate: Gate, differing: Vec<PodGroup>) -> WorkloadReport {
    WorkloadReport {
        gate: Some(gate),
        gate_since: Some("2026-03-01T11:59:30Z".parse().unwrap()),
        change: Some(UPGRADE.to_owned()),
        cause: Some("ConfigMap istio-system/istio-sidecar-injector, manager helm, 11:42".to_owned()),
        first_seen: Some("2026-03-01T11:42:05Z".parse().unwrap()),
        pods: differing.iter().map(|group| group.pods.len()).sum(),
        differing,
        ..workload(kind, namespace, name, Verdict::Drifted)
    }
}

fn upgraded(pods: &[&str]) -> PodGroup {
    let change = |pointer: &str, running: Option<&str>, rendered: Option<&str>| FieldChange {
        pointer: pointer.to_owned(),
        running: running.map(Into::into),
        rendered: rendered.map(Into::into),
    };
    PodGroup {
        pods: pods.iter().map(|pod| (*pod).into()).collect(),
        differences: vec![SidecarDifference {
            sidecar: "istio-proxy".into(),
            difference: Difference::Changed,
            fields: vec![
                change("/args/3", Some("--log_output_level=default:info"), Some("--log_output_level=default:warn")),
                change("/env/SECRET_TOKEN/value", None, Some("hunter2\nsecond line")),
                change("/image", Some("istio/proxyv2:1.27.0"), Some("istio/proxyv2:1.27.1")),
            ],
        }],
        collateral: vec![
            change("/app/env/BUILD/value", Some("41"), Some("42")),
            change("/app/image", Some("shop:1"), Some("shop@sha256:0")),
        ],
    }
}

fn hot_patched() -> PodGroup {
    PodGroup {
        pods: vec!["cart-5d8f-zzzzz".into()],
        differences: vec![SidecarDifference {
            sidecar: "istio-proxy".into(),
            difference: Difference::MutatedLive,
            fields: vec![FieldChange {
                pointer: "/image".to_owned(),
                running: Some("istio/proxyv2:debug".into()),
                rendered: Some("istio/proxyv2:1.27.1".into()),
            }],
        }],
        collateral: vec![],
    }
}
