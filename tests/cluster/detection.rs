//! A person asks which Pods carry a sidecar that is out of date.

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{
    Testbed,
    injector::Sidecar,
    skip,
    workload::{bare_pod, daemon_set, deployment, job, stateful_set},
};

use crate::support::{Document, INJECT, Injector, Rights, Story, story};

/// Every kind of workload, born before its injector, before the injector's last change, and after it.
async fn fleet<'t>(story: &Story<'t>) -> Result<[Injector<'t>; 2]> {
    let ns = &story.ns;
    ns.deploy(deployment("early", 1).pod_label((INJECT, format!("{}-proxy", ns.name())))).await?;

    let mut ordinary = Injector::install(ns, Sidecar::new("proxy").env("TOKEN", "hunter2")).await?;
    let mut native = Injector::install(ns, Sidecar::native("mesh")).await?;
    let opted_out = deployment("private", 1).annotation("sidecar-drift/mode", "report");
    tokio::try_join!(
        ns.deploy(deployment("web", 2).pod_label(ordinary.label())),
        ns.deploy(stateful_set("db", 2).pod_label(ordinary.label())),
        ns.deploy(daemon_set("agent").pod_label(ordinary.label())),
        ns.deploy(deployment("meshed", 2).pod_label(native.label())),
        ns.deploy(opted_out.pod_label(ordinary.label())),
        ns.deploy(job("once").pod_label(ordinary.label())),
        ns.deploy(bare_pod("lonely").pod_label(ordinary.label())),
        ns.deploy(deployment("plain", 1)),
    )?;

    ordinary.change(|sidecar| *sidecar = sidecar.clone().version("v2").env("TOKEN", "hunter3")).await?;
    native.set_version("v2").await?;
    tokio::try_join!(
        ns.deploy(deployment("fresh", 2).pod_label(ordinary.label())),
        ns.deploy(stateful_set("fresh-db", 1).pod_label(ordinary.label())),
        ns.deploy(deployment("fresh-meshed", 1).pod_label(native.label())),
    )?;
    Ok([ordinary, native])
}

/// One line per workload: what it is, how many of its Pods differ, how, and what would hold it if we might act.
fn lines(report: &Document) -> Result<Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |name: String| {
        let found = report.workload(&name)?;
        let [verdict, reason, change, gate] =
            ["verdict", "reason", "change", "gateInEnforce"].map(|field| text(&found[field]));
        Ok(format!("{name} {verdict} {reason} {} of {} | {change} | {gate}", found["podsDiffering"], found["pods"]))
    };
    report.names().into_iter().map(line).collect()
}

#[tokio::test]
async fn what_is_out_of_date_is_told_from_what_is_not_and_secrets_are_masked() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("detection", Rights::Report, async |story| {
        let _injectors = fleet(story).await?;

        let json = story.run(&["scan", "--output", "json"]).await?;
        assert!(!json.out.contains("hunter"), "{}", json.out);
        let report = json.document()?;
        let proxy = "proxy image v1 → v2, env TOKEN";
        assert_eq!(
            lines(&report)?,
            [
                format!("DaemonSet/agent drifted - 3 of 3 | {proxy} | -"),
                "Deployment/early missing - 1 of 1 | proxy missing | difference_not_enabled".to_owned(),
                "Deployment/fresh in_sync - 0 of 2 | - | -".to_owned(),
                "Deployment/fresh-meshed in_sync - 0 of 1 | - | -".to_owned(),
                "Deployment/meshed drifted - 2 of 2 | mesh image v1 → v2 | -".to_owned(),
                "Deployment/plain not_injected - 0 of 1 | - | -".to_owned(),
                format!("Deployment/private drifted - 1 of 1 | {proxy} | opted_out"),
                format!("Deployment/web drifted - 2 of 2 | {proxy} | -"),
                "Job/once undetermined unsupported_owner 0 of 1 | - | unsupported_owner".to_owned(),
                "Pod/lonely undetermined unsupported_owner 0 of 1 | - | unsupported_owner".to_owned(),
                format!("StatefulSet/db drifted - 2 of 2 | {proxy} | -"),
                "StatefulSet/fresh-db in_sync - 0 of 1 | - | -".to_owned(),
            ]
        );
        assert_eq!(report.0["complete"], true);

        let diff = story.run(&["diff", "deployment/web"]).await?.success()?.out;
        for shown in ["registry.test/proxy:v1", "registry.test/proxy:v2", "TOKEN", "<masked "] {
            assert!(diff.contains(shown), "{shown} is not in {diff}");
        }
        for hidden in ["hunter", "meshed", "agent"] {
            assert!(!diff.contains(hidden), "{hidden} is in {diff}");
        }

        let table = story.run(&["scan"]).await?.success()?.out;
        let heading = table.lines().find(|line| line.contains(proxy)).context("no heading for the change")?;
        assert!(heading.starts_with("4 workloads: "), "{table}");
        Ok(())
    })
    .await
}
