//! The chart and the image, installed as users install them, where the program's own containers really run.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{
    AuditEntry, Filter, ImageRoot, Marker, RealNode, Testbed, eventually,
    injector::{PolicyInjector, Sidecar},
    skip,
    workload::{daemon_set, deployment, stateful_set},
};

use super::{WORKLOADS, on_a_node_with};
use crate::{
    install::helm::{CHART, helm},
    support::DEADLINE,
};

/// Says where the root of the image is.
const ROOT: &str = "SIDECAR_DRIFT_IMAGE_ROOT";

/// The release, its namespace and what it makes.
const RELEASE: &str = "sidecar-drift";

/// These make it quick where its patience is not the point.
const QUICK: [&str; 6] = [
    "--settle=3s",
    "--render-spacing=1s",
    "--min-pod-age=1s",
    "--soak=1s",
    "--min-ready=5s",
    "--max-rollouts-per-hour=unlimited",
];

#[tokio::test]
#[ignore = "for make test-node"]
#[expect(clippy::disallowed_methods, reason = "which image is shown is nothing that the product is told")]
async fn the_chart_reports_then_enforces_behind_its_guard_and_rolls_each_workload_once() -> Result<()> {
    let Some(folder) = std::env::var_os(ROOT) else { return skip("there is no image: make test-node") };
    let image = ImageRoot {
        name: "registry.test/sidecar-drift:built",
        folder: PathBuf::from(folder),
        entrypoint: vec!["/usr/local/bin/sidecar-drift"],
        user: "65532:65532",
    };
    on_a_node_with(&[image], async |testbed, node| {
        let home = testbed.create_namespace_named(RELEASE).await?;
        home.set_label(("pod-security.kubernetes.io/enforce", "restricted")).await?;
        testbed
            .with_namespace("installed", async |ns| {
                let mut injector = PolicyInjector::install(&ns, Sidecar::new("proxy")).await?;
                tokio::try_join!(
                    ns.deploy(deployment("web", 2).pod_label(injector.label())),
                    ns.deploy(stateful_set("db", 2).pod_label(injector.label())),
                    ns.deploy(daemon_set("agent").pod_label(injector.label())),
                )?;
                let beginning = testbed.audit().context("our own audit log")?.marker()?;
                install(testbed, "install", &json!({ "extraArgs": QUICK }))?;
                home.wait_for_rollout("Deployment", RELEASE).await?;
                injector.set_version("v2").await?;
                for (kind, name) in WORKLOADS {
                    until_told(node, &format!("{kind}/{}/{name}", ns.name()), "drifted").await?;
                }
                let asked = asked(testbed, beginning).await?;
                let writes: Vec<_> = asked.iter().filter(|e| is_write(e)).collect();
                ensure!(writes.is_empty(), "it writes in report mode: {writes:#?}");
                for (pid, resident) in resident()? {
                    let idle = share_of_a_core(pid, Duration::from_mins(1)).await?;
                    println!(
                        "process {pid}: {:.1} MiB resident, {:.2} % of a core while idle",
                        resident / 1024.0,
                        idle * 100.0
                    );
                }

                install(testbed, "upgrade", &json!({ "extraArgs": QUICK, "mode": "enforce" }))?;
                for (kind, name) in WORKLOADS {
                    until_told(node, &format!("{kind}/{}/{name}", ns.name()), "in_sync").await?;
                    ensure!(is_everywhere(&ns.pods_of(kind, name).await?, injector.sidecar())?, "{kind} {name}");
                }
                let asked = self::asked(testbed, beginning).await?;
                for (_, name) in WORKLOADS {
                    let patches =
                        asked.iter().filter(|e| e.verb == "patch" && e.name == name && !e.is_dry_run()).count();
                    ensure!(patches == 1, "{name} was patched {patches} times");
                }
                let refused: Vec<_> =
                    asked.iter().filter(|entry| entry.code == Some(403) && !entry.is_dry_run()).collect();
                ensure!(refused.is_empty(), "a right is missing: {refused:#?}");
                Ok(())
            })
            .await?;
        home.delete().await
    })
    .await
}

/// Helm, as a user runs it: it waits until all is ready.
fn install(testbed: &Testbed, verb: &str, more: &Value) -> Result<()> {
    let mut values = json!({
        "image": { "repository": "registry.test/sidecar-drift", "tag": "built", "pullPolicy": "Never" },
        "mode": "report",
    });
    json_patch::merge(&mut values, more);
    let kubeconfig = testbed.kubeconfig().display().to_string();
    let arguments =
        [verb, RELEASE, CHART, "--namespace", RELEASE, "--kubeconfig", &kubeconfig, "--wait", "--timeout=3m"];
    let said = helm(&arguments, &values)?;
    ensure!(said.status.success(), "helm {verb}: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// Waits until one of its containers has said that the verdict on a workload is this one, and nothing else since.
async fn until_told(node: &RealNode, workload: &str, verdict: &str) -> Result<()> {
    eventually(format_args!("{workload} is {verdict}"), DEADLINE, async || {
        let logs = node.logs(RELEASE, RELEASE)?;
        let last = |log: &String| {
            let told = log.lines().rfind(|line| line.contains("verdict changed") && line.contains(workload));
            told.is_some_and(|line| {
                line.contains(&format!("to={verdict}")) || line.contains(&format!("\"to\":\"{verdict}\""))
            })
        };
        Ok(logs.iter().any(last).then_some(()))
    })
    .await
    .with_context(|| node.logs(RELEASE, RELEASE).unwrap_or_default().join("\n---\n"))
}

async fn asked(testbed: &Testbed, since: Marker) -> Result<Vec<AuditEntry>> {
    let audit = testbed.audit().context("our own audit log")?;
    audit.entries(&Filter::default().since(since).service_account(RELEASE, RELEASE)).await
}

/// Leases are how two replicas agree on who leads, and what one may do is a question.
fn is_write(entry: &AuditEntry) -> bool {
    let asks = ["get", "list", "watch"].contains(&entry.verb.as_str()) || entry.api_group == "authorization.k8s.io";
    !asks && !entry.is_dry_run() && entry.resource != "leases"
}

fn is_everywhere(pods: &[k8s_openapi::api::core::v1::Pod], sidecar: &Sidecar) -> Result<bool> {
    let pods: Vec<Value> = pods.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    Ok(!pods.is_empty() && pods.iter().all(|pod| sidecar.is_in(pod)))
}

/// The program's processes on this machine, and the KiB that each has resident.
fn resident() -> Result<Vec<(u32, f64)>> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
        // One that has ended meanwhile has nothing to read.
        let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        if line.starts_with("/usr/local/bin/sidecar-drift\0") {
            found.extend(kib.map(|kib| (pid, kib)));
        }
    }
    ensure!(!found.is_empty(), "none of its processes was found");
    Ok(found)
}

/// How much of a core a process takes.
async fn share_of_a_core(pid: u32, during: Duration) -> Result<f64> {
    let ticks = || -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(')').context("no name")?.1.split_whitespace();
        let times: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(times.iter().sum())
    };
    let before = ticks()?;
    tokio::time::sleep(during).await;
    Ok((ticks()? - before) / 100.0 / during.as_secs_f64())
}
