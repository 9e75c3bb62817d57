//! What rollouts cost: requests each, and time beside a bare client that makes the same patches and waits for them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    api::{Api, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};
use testbed::{
    Filter, Options, TestNamespace, Testbed,
    injector::{PolicyInjector, Sidecar},
    workload::deployment,
};
use tokio::time::Instant;

use crate::{
    Settings,
    child::Measured,
    results::{Results, number},
    say,
};

/// Workloads that are being rolled out at once.
const AT_ONCE: usize = 10;

/// A Pod takes so long until it is ready, as fast ones do.
const READY_AFTER: &str = "2s";

/// Anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(10);

/// A hundred Deployments that drift, ten at once.
pub(crate) async fn measure(settings: &Settings, results: &mut Results) -> Result<()> {
    let count = settings.scaled(100);
    let testbed = Testbed::start(Options::default()).await?;
    if !testbed.supports_mutating_admission_policy() {
        say("no policies, so there is nothing that drifts");
        return testbed.stop().await;
    }
    let ns = testbed.create_namespace("rollouts").await?;
    let mut injector = PolicyInjector::install(&ns, Sidecar::new("proxy")).await?;
    let names: Vec<_> = (0..count).map(|n| format!("web-{n:03}")).collect();
    let all = names.iter().map(|name| {
        ns.deploy(
            deployment(name, 1)
                .pod_label(injector.label())
                .pod_annotation("testbed.sidecar-drift/ready-after", READY_AFTER),
        )
    });
    stream::iter(all).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    let before = bare(&ns, &names, "before").await?;
    let state = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "sidecar-drift-state" } });
    ns.create(state).await?;

    let mut daemon = start(settings, &testbed, ns.name())?;
    daemon.until_times(count, |line| line["to"] == "in_sync").await?;
    let audit = testbed.audit().context("no audit log")?;
    let marker = audit.marker()?;
    injector.update(|sidecar| "v2".clone_into(&mut sidecar.version)).await?;
    let began = daemon.until_times(1, |line| line["message"] == "rollout started").await?;
    let ended = daemon.until_times(count, |line| line["outcome"] == "converged").await?;
    daemon.process.end().await?;
    let asked = audit.entries(&Filter::default().since(marker).user_agent("sidecar-drift/")).await?;
    let requests = asked.iter().filter(|entry| entry.verb != "watch" && entry.resource != "leases").count();
    let after = bare(&ns, &names, "after").await?;
    let (ours, theirs) = (ended.duration_since(began).as_secs_f64(), before.midpoint(after));
    say(format_args!("{count} rollouts: {ours:.1} s, bare {before:.1} and {after:.1} s, {requests} requests"));
    results.note("requests_per_rollout", number(requests) / number(count))?;
    results.note("rollouts_100_seconds", ours)?;
    results.note("rollouts_100_ratio_to_bare", ours / theirs)?;
    testbed.stop().await
}

/// The same patches and waits by a client that does nothing else; in seconds.
async fn bare(ns: &TestNamespace<'_>, names: &[String], stamp: &str) -> Result<f64> {
    let api: Api<Deployment> = Api::namespaced(ns.client().clone(), ns.name());
    let began = Instant::now();
    let one = async |name: &String| {
        let annotations = json!({ "example.com/restarted": stamp });
        let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
        let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        let generation = patched.metadata.generation;
        let done = move |found: Option<&Deployment>| {
            let status = found.and_then(|found| found.status.as_ref());
            status.is_some_and(|status| {
                let counts = [status.updated_replicas, status.replicas, status.available_replicas];
                status.observed_generation >= generation && counts.iter().all(|count| *count == Some(1))
            })
        };
        await_condition(api.clone(), name, done).await?;
        anyhow::Ok(())
    };
    stream::iter(names.iter().map(one)).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(began.elapsed().as_secs_f64())
}

/// A daemon that enforces, and what is read of its log.
struct Enforcing {
    process: Measured,
}

fn start(settings: &Settings, testbed: &Testbed, namespace: &str) -> Result<Enforcing> {
    let kubeconfig = format!("--kubeconfig={}", testbed.kubeconfig().display());
    let at_once = [format!("--parallel-rollouts={AT_ONCE}"), format!("--parallel-per-namespace={AT_ONCE}")];
    let arguments = [
        "run",
        "--mode=enforce",
        "--log-format=json",
        "--without-guard",
        "--max-rollouts-per-hour=unlimited",
        "--canary=0",
        // A policy is in force a second after it was written; what is measured is the rollouts, not these pauses.
        "--settle=2s",
        "--render-spacing=1s",
        "--min-pod-age=1s",
        "--min-ready=1s",
        "--max-renders-per-second=1000",
        "--render-burst=1000",
        "--listen=off",
        "--api-listen=off",
        "--namespace",
        namespace,
        "--state-namespace",
        namespace,
        &kubeconfig,
        &at_once[0],
        &at_once[1],
    ];
    Ok(Enforcing { process: Measured::start(&settings.home, &settings.program, &arguments)? })
}

impl Enforcing {
    /// Reads its log until so many lines are as wanted; when the last of them came.
    async fn until_times(&mut self, count: usize, wanted: impl Fn(&Value) -> bool) -> Result<Instant> {
        let mut last = None;
        for _ in 0..count {
            let bad = |line: &Value| line["outcome"].is_string() && line["outcome"] != "converged";
            let either = |line: &Value| wanted(line) || bad(line);
            let (line, at) = self.process.until_it_says("how it goes", PATIENCE, either).await?;
            ensure!(!bad(&line), "{line}");
            last = Some(at);
        }
        last.context("nothing was waited for")
    }
}
