//! The Vault Agent Injector of `HashiCorp`.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use testbed::{
    Options, TestNamespace, Testbed,
    injector::{RealInjector, VAULT},
    skip,
    workload::{Workload, bare_pod, daemon_set, deployment, stateful_set},
};

use super::{
    findings::Findings,
    trial::{Setting, Trial},
};
use crate::support::{Rights, story_on};

const WORKLOADS: [&str; 8] = [
    "DaemonSet/agent",
    "DaemonSet/collector",
    "Deployment/image",
    "Deployment/limits",
    "Deployment/many",
    "Deployment/one",
    "StatefulSet/db",
    "StatefulSet/once",
];

/// Its whole configuration, as JSON in base64.
const CONFIG: &[&str] = &["/env/VAULT_CONFIG/value"];

const IMAGE: Setting =
    Setting::new("AGENT_INJECT_VAULT_IMAGE", Some("hashicorp/vault:1.18.5"), "hashicorp/vault:1.19.0")
        .changes(&["/image"])
        .but_not_for(&["Deployment/image"]);

const PRE_STOP: &[&str] =
    &["/lifecycle/preStop/exec/command/0", "/lifecycle/preStop/exec/command/1", "/lifecycle/preStop/exec/command/2"];

const SECURITY: &[&str] = &[
    "/securityContext/allowPrivilegeEscalation",
    "/securityContext/capabilities/drop/0",
    "/securityContext/readOnlyRootFilesystem",
    "/securityContext/runAsGroup",
    "/securityContext/runAsNonRoot",
    "/securityContext/runAsUser",
];

const SETTINGS: [Setting; 22] = [
    Setting::new(
        "AGENT_INJECT_VAULT_ADDR",
        Some("https://vault.$(NAMESPACE).svc:8200"),
        "https://vault.example.com:8200",
    )
    .changes(CONFIG),
    Setting::new("AGENT_INJECT_VAULT_AUTH_PATH", None, "auth/elsewhere").changes(CONFIG),
    Setting::new("AGENT_INJECT_VAULT_AUTH_TYPE", None, "approle").changes(CONFIG),
    Setting::new("AGENT_INJECT_VAULT_NAMESPACE", None, "team").changes(CONFIG),
    Setting::new("AGENT_INJECT_VAULT_CACERT_BYTES", None, "-----BEGIN CERTIFICATE-----")
        .changes(&["/env/VAULT_CACERT_BYTES/value"]),
    Setting::new("AGENT_INJECT_PROXY_ADDR", None, "http://proxy.test:3128").changes(&["/env/HTTPS_PROXY/value"]),
    Setting::new("AGENT_INJECT_DEFAULT_TEMPLATE", Some("map"), "json")
        .changes(CONFIG)
        .but_not_for(&["DaemonSet/agent"]),
    Setting::new("AGENT_INJECT_TEMPLATE_CONFIG_EXIT_ON_RETRY_FAILURE", None, "false").changes(CONFIG),
    Setting::new("AGENT_INJECT_TEMPLATE_STATIC_SECRET_RENDER_INTERVAL", None, "7m").changes(CONFIG),
    Setting::new("AGENT_INJECT_TEMPLATE_MAX_CONNECTIONS_PER_HOST", None, "7").changes(CONFIG),
    Setting::new("AGENT_INJECT_AUTH_MIN_BACKOFF", None, "2s").changes(CONFIG),
    Setting::new("AGENT_INJECT_AUTH_MAX_BACKOFF", None, "9m").changes(CONFIG),
    Setting::new("AGENT_INJECT_DISABLE_IDLE_CONNECTIONS", None, "auto-auth").changes(CONFIG),
    Setting::new("AGENT_INJECT_DISABLE_KEEP_ALIVES", None, "auto-auth").changes(CONFIG),
    Setting::new("AGENT_INJECT_REVOKE_ON_SHUTDOWN", None, "true")
        .changes_beyond(PRE_STOP)
        .but_not_for(&["StatefulSet/once"]),
    Setting::new("AGENT_INJECT_RUN_AS_USER", None, "1234")
        .changes_beyond(&["/securityContext/runAsUser"])
        .but_not_for(&["DaemonSet/collector"]),
    Setting::new("AGENT_INJECT_RUN_AS_GROUP", None, "1234").changes_beyond(&["/securityContext/runAsGroup"]),
    Setting::new("AGENT_INJECT_SET_SECURITY_CONTEXT", None, "false")
        .changes_beyond(SECURITY)
        .but_not_for(&["DaemonSet/collector"]),
    Setting::new("AGENT_INJECT_RUN_AS_SAME_USER", None, "true").refuses_pods(),
    Setting::new("AGENT_INJECT_CPU_REQUEST", Some("250m"), "300m").changes_beyond(&["/resources/requests/cpu"]),
    Setting::new("AGENT_INJECT_MEM_LIMIT", Some("128Mi"), "256Mi")
        .changes_beyond(&["/resources/limits/memory"])
        .but_not_for(&["Deployment/limits"]),
    Setting::new("AGENT_INJECT_LOG_LEVEL", Some("info"), "debug"),
];

#[tokio::test]
#[ignore = "for make test-injectors"]
async fn vault_agent_injector() -> Result<()> {
    if !RealInjector::supported() {
        return skip("no mount namespace can be made here");
    }
    let testbed = Testbed::start(Options { ..Options::default() }).await?;
    let injector = RealInjector::install(&testbed, &VAULT).await?;
    story_on(&testbed, "vault", Rights::Enforce, async |story| {
        let probe = Value::from(asking(bare_pod("probe")));
        injector.until_a_pod(&story.ns, &probe, is_injected).await?;
        deploy(&story.ns).await?;
        story.create_state().await?;
        let mut trial =
            Trial { story, injector: &injector, workloads: &WORKLOADS, findings: Findings::new("vault-k8s") };
        trial.keep("vault-k8s-1.6.2-vault-1.18.5").await?;
        trial.sweeps().await?;
        for setting in [&IMAGE].into_iter().chain(&SETTINGS) {
            trial.setting(setting).await?;
        }
        trial.slow(Duration::from_secs(2)).await?;
        trial.down("Ignore", "injector_unavailable").await?;
        trial.down("Fail", "injector_unavailable").await?;
        trial.half_way(&IMAGE).await?;
        trial.enforced(&IMAGE).await?;
        trial.keep("vault-k8s-1.6.2-vault-1.19.0").await?;
        trial.findings.write(&format!("{} {}", VAULT.name, VAULT.version))
    })
    .await
}

fn is_injected(pod: &Value) -> bool {
    pod["spec"]["containers"].as_array().into_iter().flatten().any(|container| container["name"] == "vault-agent")
}

/// Asks for one secret.
fn asking(workload: Workload) -> Workload {
    workload
        .pod_annotation("vault.hashicorp.com/agent-inject", "true")
        .pod_annotation("vault.hashicorp.com/role", "web")
        .pod_annotation("vault.hashicorp.com/agent-inject-secret-password", "secret/data/password")
}

async fn deploy(ns: &TestNamespace<'_>) -> Result<()> {
    let with = |workload: Workload, annotations: &[(&str, &str)]| {
        annotations.iter().fold(asking(workload), |workload, (key, value)| {
            workload.pod_annotation(&format!("vault.hashicorp.com/{key}"), value)
        })
    };
    // Several come in another order each time.
    let many = [
        ("agent-inject-secret-a", "secret/data/a"),
        ("agent-inject-secret-b", "secret/data/b"),
        ("agent-inject-secret-c", "secret/data/c"),
        ("secret-volume-path-a", "/etc/a"),
        ("secret-volume-path-b", "/etc/b"),
    ];
    for workload in [
        with(deployment("one", 2), &[]),
        with(deployment("many", 2), &many),
        with(deployment("image", 2), &[("agent-image", "registry.test/vault:own")]),
        with(deployment("limits", 2), &[("agent-limits-cpu", "1"), ("agent-limits-mem", "1Gi")]),
        with(stateful_set("db", 3), &many[..2]),
        with(stateful_set("once", 2), &[("agent-pre-populate-only", "true")]),
        with(daemon_set("agent"), &[("log-level", "debug"), ("agent-inject-template-password", "{{ .Data }}")]),
        with(daemon_set("collector"), &[("agent-run-as-user", "1000"), ("agent-init-first", "true")]),
    ] {
        ns.create(workload).await?;
    }
    for name in WORKLOADS {
        let (kind, name) = name.split_once('/').unwrap_or_default();
        ns.wait_for_rollout(kind, name).await?;
        for pod in ns.pods_of(kind, name).await? {
            let pod = serde_json::to_value(&pod)?;
            ensure!(is_injected(&pod) || name == "once", "{name} was born without its sidecar");
        }
    }
    Ok(())
}
