//! Report mode, the default: the cluster is asked, and never changed.

use anyhow::{Result, ensure};
use testbed::{
    AuditEntry, Testbed,
    injector::Sidecar,
    skip,
    workload::{daemon_set, deployment, stateful_set},
};

use crate::support::{Injector, Rights, story};

/// Whether this request is one that report mode may make.
fn is_harmless(entry: &AuditEntry) -> bool {
    match (entry.verb.as_str(), entry.resource.as_str()) {
        ("get" | "list" | "watch", _) | ("create", "selfsubjectaccessreviews") => true,
        ("create", "pods") => entry.is_dry_run() && entry.subresource.is_empty(),
        _ => false,
    }
}

/// With all rights of enforce mode, so that nothing but our own restraint holds us back.
#[tokio::test]
async fn nothing_but_reads_and_dry_runs_is_asked_of_the_api_server() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if testbed.audit().is_none() || !Injector::supported(testbed) {
        return skip("this cluster's audit log cannot be read");
    }
    story("report-mode", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let Some(beginning) = story.marker()? else { return skip("no audit log") };
        story.create_state().await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        ns.deploy(stateful_set("db", 2).pod_label(injector.label())).await?;
        ns.deploy(daemon_set("agent").pod_label(injector.label())).await?;
        let all = ["Deployment/web", "StatefulSet/db", "DaemonSet/agent"];

        let daemon = story.daemon(&["--mode", "report"])?;
        for workload in all {
            daemon.until_verdict(workload, "in_sync", None).await?;
        }
        injector.set_version("v2").await?;
        for workload in all {
            daemon.until_verdict(workload, "drifted", None).await?;
        }
        // Commands that only look are no different.
        for command in [&["scan"][..], &["diff"], &["rollout", "--include-statefulset", "--include-daemonset"]] {
            story.run(command).await?.success()?;
        }
        ensure!(daemon.terminate().await?.success());

        let asked = story.asked(beginning).await?;
        let harmful: Vec<_> = asked.iter().filter(|entry| !is_harmless(entry)).collect();
        assert!(harmful.is_empty(), "{harmful:#?}");
        // The log is the right one: three workloads were asked for by the daemon, and by each of the commands.
        let dry_runs = asked.iter().filter(|entry| entry.verb == "create" && entry.resource == "pods").count();
        assert!(dry_runs >= 3 * 4, "{dry_runs}");
        Ok(())
    })
    .await
}
