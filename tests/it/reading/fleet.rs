//! A large fleet.

use std::sync::Arc;

use sidecar_drift::core::{
    compare::{FieldChange, SidecarDifference},
    config::Mode,
    injection::ScopeMove,
    model::words::{Difference, Gate, Outcome, UndeterminedReason, Verdict},
    report::{Report, WorkloadReport},
    rollout::{AlertsReport, RolloutReport},
    verdict::PodGroup,
};

use crate::cli::reports;

const NAMESPACES: [&str; 8] =
    ["payments", "shop", "search", "identity", "ledger", "notifications", "recommendations", "warehouse"];
const APPS: [&str; 10] = [
    "api",
    "worker",
    "gateway",
    "scheduler",
    "indexer",
    "mailer",
    "frontend",
    "cache-warmer",
    "reconciler",
    "exporter",
];

/// In enforce mode, with this many workloads of nearly every kind and verdict; the same each time.
pub(super) fn of(n: usize) -> Report {
    let mut workloads: Vec<_> = (0..n).map(|i| Arc::new(workload(i))).collect();
    workloads.sort_by(|a, b| (&a.namespace, &a.kind, &a.name).cmp(&(&b.namespace, &b.kind, &b.name)));
    let empty = reports::empty();
    let at = |text: &str| text.parse().unwrap();
    let moved = |scope: &str, generation, cause: &str, time| ScopeMove {
        scope: scope.to_owned(),
        version: generation,
        cause: cause.to_owned(),
        at: at(time),
    };
    let rollout = |namespace: &str, name: &str, outcome, message: &str, seconds| RolloutReport {
        kind: "Deployment".into(),
        namespace: namespace.into(),
        name: name.into(),
        change: "istio-proxy image 1.27.0 → 1.27.1".to_owned(),
        started: at("2026-03-01T11:58:40Z"),
        outcome,
        watched: false,
        message: message.to_owned(),
        seconds,
    };
    Report {
        mode: Mode::Enforce,
        guard: Some(true),
        alerts: Some(AlertsReport { blocking: false, message: String::new() }),
        progress: (n, n),
        rollouts_left: Some(14),
        renders: 23_512,
        workloads,
        generations: vec![
            moved(
                "injector MutatingWebhookConfiguration/istio-sidecar-injector",
                3,
                "ConfigMap istio-system/istio-sidecar-injector, manager helm, 11:42",
                "2026-03-01T11:42:00Z",
            ),
            moved("namespace shop", 2, "Namespace shop, manager kubectl-label, 09:10", "2026-03-01T09:10:00Z"),
        ],
        rollouts: vec![
            rollout("payments", "gateway-2", None, "2 of 3 updated, 1 to go", 80),
            rollout("shop", "worker-1", Some(Outcome::Converged), "", 24),
            rollout("search", "indexer-4", Some(Outcome::Failed), "the new Pods crash", 61),
        ],
        ..empty
    }
}

/// The same fleet, with everything that differs held by one gate.
pub(super) fn held_by(mut report: Report, gate: Gate) -> Report {
    for w in report.workloads.iter_mut().filter(|w| w.verdict == Verdict::Drifted) {
        let w = Arc::make_mut(w);
        (w.gate, w.gate_in_enforce) = (Some(gate), Some(gate));
        w.gate_since = Some(report.taken);
    }
    report
}

fn workload(i: usize) -> WorkloadReport {
    let kind = ["Deployment", "Deployment", "Deployment", "StatefulSet", "DaemonSet"][i % 5];
    let name = format!("{}-{}", APPS[i % 10], i / 10);
    let base = WorkloadReport {
        verdict: Verdict::InSync,
        reason: None,
        last_confirmed: Some("2026-03-01T11:59:30Z".parse().unwrap()),
        sidecars: vec!["istio-proxy".into()],
        pods: 1 + i % 7,
        renders: 2,
        ..WorkloadReport::pending(kind.into(), NAMESPACES[(i * 7 + i / 10) % 8].into(), name.into())
    };
    let gates = [None, Some(Gate::RateLimit), Some(Gate::Canary), Some(Gate::PdbHeadroom), Some(Gate::RateLimit)];
    match i % 23 {
        0 | 5 | 11 => WorkloadReport {
            gate: gates[i % 5],
            gate_since: Some("2026-03-01T11:45:00Z".parse().unwrap()),
            gate_in_enforce: gates[i % 5],
            ..drifted(
                base,
                "istio-proxy",
                "istio-proxy image 1.27.0 → 1.27.1",
                "istio/proxyv2:1.27.0",
                "istio/proxyv2:1.27.1",
            )
        },
        3 => WorkloadReport {
            gate: Some(Gate::Cooldown),
            gate_in_enforce: Some(Gate::Cooldown),
            ..drifted(base, "vault-agent", "vault-agent image 1.20.2 → 1.21.0", "vault:1.20.2", "vault:1.21.0")
        },
        8 if i.is_multiple_of(2) => WorkloadReport {
            verdict: Verdict::Undetermined,
            reason: Some(UndeterminedReason::InjectorUnavailable),
            message: Some("the sidecar istio-proxy runs, but was not rendered".to_owned()),
            ..base
        },
        13 if i.is_multiple_of(3) => WorkloadReport {
            verdict: Verdict::Rejected,
            message: Some(
                "admission webhook \"policy.example.com\" denied the request: no privileged containers".to_owned(),
            ),
            ..base
        },
        17 => WorkloadReport { verdict: Verdict::NotInjected, sidecars: vec![], ..base },
        _ => base,
    }
}

fn drifted(base: WorkloadReport, sidecar: &str, change: &str, running: &str, rendered: &str) -> WorkloadReport {
    let field = |pointer: &str, running: Option<&str>, rendered: Option<&str>| FieldChange {
        pointer: pointer.to_owned(),
        running: running.map(Into::into),
        rendered: rendered.map(Into::into),
    };
    WorkloadReport {
        verdict: Verdict::Drifted,
        change: Some(change.to_owned()),
        cause: Some("ConfigMap istio-system/istio-sidecar-injector, manager helm, 11:42".to_owned()),
        first_seen: Some("2026-03-01T11:42:05Z".parse().unwrap()),
        differing: vec![PodGroup {
            pods: (0..base.pods).map(|n| format!("{}-6d8f9c-{n:05}", base.name).into()).collect(),
            differences: vec![SidecarDifference {
                sidecar: sidecar.into(),
                difference: Difference::Changed,
                fields: vec![
                    field("/env/PROXY_CONFIG/value/concurrency", Some("2"), Some("4")),
                    field("/env/TRUST_DOMAIN/value", None, Some("cluster.local")),
                    field("/image", Some(running), Some(rendered)),
                ],
            }],
            collateral: vec![field("/app/image", Some("shop:1.4.0"), Some("shop:1.4.0@sha256:9f2c"))],
        }],
        ..base
    }
}
