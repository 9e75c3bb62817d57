//! What `k8s-sidecar-rollout` does to a cluster, under its own flags; what it is asked without a cluster is in
//! `tests/it/cli/predecessor.rs`. Each row of `docs/migrating.md` that acts has its test, and a twin that is left alone.

use std::ffi::OsStr;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{
    Terminal, Testbed,
    injector::Sidecar,
    skip,
    workload::{Workload, bare_pod, daemon_set, deployment, stateful_set},
};

use crate::support::{Injector, Rights, Story, story};

/// Runs a test in which an injector gave `v1` to each of these and would give `v2` now.
async fn drifted(
    name: &str,
    workloads: impl FnOnce() -> Vec<Workload>,
    test: impl AsyncFnOnce(&Story<'_>) -> Result<()>,
) -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story(name, Rights::Enforce, async |story| {
        let mut injector = Injector::install(&story.ns, Sidecar::new("proxy")).await?;
        for workload in workloads() {
            story.ns.deploy(workload.pod_label(injector.label())).await?;
        }
        injector.set_version("v2").await?;
        test(story).await
    })
    .await
}

/// How often its template changed.
async fn rolled(story: &Story<'_>, kind: &str, name: &str) -> Result<usize> {
    story.ns.wait_for_rollout(kind, name).await?;
    Ok(story.ns.revisions_of(kind, name).await?.len() - 1)
}

/// New Pods of it count as available only after this many seconds.
async fn slow_down(story: &Story<'_>, name: &str, seconds: u32) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": {"minReadySeconds": seconds}}));
    story.ns.workloads("Deployment")?.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn confirm_acts_and_its_absence_does_not() -> Result<()> {
    drifted(
        "pre-confirm",
        || vec![deployment("web", 1)],
        async |story| {
            for flags in [&["rollout"][..], &["rollout", "--confirm=false"]] {
                let shown = story.run(flags).await?.success()?;
                ensure!(shown.out.contains("1 workload to roll out"), "{}", shown.out);
                assert_eq!(rolled(story, "Deployment", "web").await?, 0);
            }
            let done = story.run(&["rollout", "--sidecar-container-name=proxy", "--confirm=true"]).await?.success()?;
            ensure!(done.out.contains("with 0 errors."), "{}", done.out);
            assert_eq!(rolled(story, "Deployment", "web").await?, 1);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn another_sidecars_name_matches_nothing() -> Result<()> {
    drifted(
        "pre-name",
        || vec![deployment("web", 1)],
        async |story| {
            let done = story.run(&["rollout", "--sidecar-container-name=other", "--confirm"]).await?.success()?;
            ensure!(done.out.contains("Completed"), "{}", done.out);
            assert_eq!(rolled(story, "Deployment", "web").await?, 0);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn annotation_prefix_and_rollout_reason_are_on_the_template() -> Result<()> {
    drifted(
        "pre-stamp",
        || vec![deployment("web", 1)],
        async |story| {
            let flags =
                ["rollout", "--confirm", "--annotation-prefix=myCompany", "--rollout-reason=Upgrade of the mesh"];
            story.run(&flags).await?.success()?;
            let revisions = story.ns.revisions_of("Deployment", "web").await?;
            let stamp = &revisions.last().context("no revision")?.annotations;
            assert_eq!(stamp.get("myCompany.rollout.reason").map(String::as_str), Some("Upgrade of the mesh"));
            ensure!(
                stamp.contains_key("myCompany.rollout.timestamp")
                    && stamp.contains_key("myCompany.rollout.fingerprint")
            );
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn statefulsets_and_daemonsets_are_rolled_only_when_included_and_deployments_unless_excluded() -> Result<()> {
    let all = || vec![deployment("web", 1), stateful_set("db", 1), daemon_set("agent")];
    drifted("pre-kinds", all, async |story| {
        let flags =
            ["rollout", "--confirm", "--exclude-deployments=true", "--include-statefulset=true", "--allow-downtime"];
        story.run(&flags).await?.success()?;
        assert_eq!(rolled(story, "StatefulSet", "db").await?, 1);
        assert_eq!((rolled(story, "Deployment", "web").await?, rolled(story, "DaemonSet", "agent").await?), (0, 0));
        story.run(&["rollout", "--confirm", "--include-daemonset"]).await?.success()?;
        assert_eq!((rolled(story, "Deployment", "web").await?, rolled(story, "DaemonSet", "agent").await?), (1, 1));
        assert_eq!(rolled(story, "StatefulSet", "db").await?, 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn include_and_exclude_annotation_choose() -> Result<()> {
    let all = || {
        vec![
            deployment("yes", 1).annotation("example.com/roll", "yes"),
            deployment("template", 1).pod_annotation("example.com/roll", "yes"),
            deployment("no", 1).annotation("example.com/roll", "no"),
            deployment("silent", 1),
        ]
    };
    drifted("pre-annotation", all, async |story| {
        let flags = ["rollout", "--confirm", "--include-annotation=example.com/roll=yes"];
        story.run(&flags).await?.success()?;
        for (name, times) in [("yes", 1), ("template", 1), ("no", 0), ("silent", 0)] {
            assert_eq!(rolled(story, "Deployment", name).await?, times, "{name}");
        }
        story.run(&["rollout", "--confirm", "--exclude-annotation=example.com/roll"]).await?.success()?;
        for (name, times) in [("yes", 1), ("template", 1), ("no", 0), ("silent", 1)] {
            assert_eq!(rolled(story, "Deployment", name).await?, times, "{name}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn namespaces_and_labels_choose() -> Result<()> {
    let all =
        || vec![deployment("web", 1), deployment("db", 1).with(|o| o["metadata"]["labels"]["tier"] = json!("db"))];
    drifted("pre-select", all, async |story| {
        for flag in
            ["--exclude-namespace=*", "--include-namespace=elsewhere", "--namespace-selector=no.such/label=here"]
        {
            story.run(&["rollout", "--confirm", flag]).await?.success()?;
            let both = (rolled(story, "Deployment", "web").await?, rolled(story, "Deployment", "db").await?);
            assert_eq!(both, (0, 0), "{flag}");
        }
        story.run(&["rollout", "--confirm", "-l", "tier in (db)"]).await?.success()?;
        assert_eq!((rolled(story, "Deployment", "web").await?, rolled(story, "Deployment", "db").await?), (0, 1));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn only_started_before_leaves_younger_pods() -> Result<()> {
    drifted(
        "pre-before",
        || vec![deployment("web", 1)],
        async |story| {
            let flags = ["rollout", "--confirm", "--only-started-before=2022-05-01 13:00", "--output=json"];
            let done = story.run(&flags).await?.document()?;
            assert_eq!(done.0["held"][0]["gate"], "excluded");
            assert_eq!(rolled(story, "Deployment", "web").await?, 0);
            story.run(&["rollout", "--confirm", "--only-started-before=2999-01-01"]).await?.success()?;
            assert_eq!(rolled(story, "Deployment", "web").await?, 1);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn regardless_of_drift_restarts_what_is_in_sync_but_nothing_without_a_sidecar() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("pre-regardless", Rights::Enforce, async |story| {
        let injector = Injector::install(&story.ns, Sidecar::new("proxy")).await?;
        story.ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        story.ns.deploy(deployment("plain", 1)).await?;
        story.run(&["rollout", "--confirm"]).await?.success()?;
        assert_eq!(rolled(story, "Deployment", "web").await?, 0);
        let done = story.run(&["rollout", "--confirm", "--regardless-of-drift"]).await?.success()?;
        ensure!(done.out.contains("converged"), "{}", done.out);
        assert_eq!((rolled(story, "Deployment", "web").await?, rolled(story, "Deployment", "plain").await?), (1, 0));
        // Every gate holds: it was just restarted.
        story.run(&["rollout", "--confirm", "--regardless-of-drift"]).await?.success()?;
        assert_eq!(rolled(story, "Deployment", "web").await?, 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_time_out_is_a_warning_and_no_error() -> Result<()> {
    drifted(
        "pre-timeout",
        || vec![deployment("web", 1)],
        async |story| {
            slow_down(story, "web", 300).await?;
            let done = story.run(&["rollout", "--confirm", "--timeout=3s", "--include-unhealthy"]).await?.success()?;
            ensure!(
                done.out.contains("timed_out") && done.out.contains("with 0 errors and 1 warning."),
                "{}",
                done.out
            );
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn as_json_every_line_of_the_run_is_an_object_with_a_time() -> Result<()> {
    drifted(
        "pre-json",
        || vec![deployment("web", 1), bare_pod("alone")],
        async |story| {
            let done = story.run(&["rollout", "--confirm", "--log-format=json"]).await?.success()?;
            assert_eq!(done.out, "");
            let lines: Vec<Value> = done.err.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
            ensure!(
                lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()),
                "{}",
                done.err
            );
            let said: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
            for message in ["rollout started", "rollout ended", "rolled out", "to follow up", "completed"] {
                ensure!(said.contains(&message), "{message}: {said:?}");
            }
            Ok(())
        },
    )
    .await
}

/// The program at a terminal, rolling out what is slow.
fn at_a_terminal(story: &Story<'_>) -> Result<Terminal> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_sidecar-drift"));
    let kubeconfig = story.kubeconfig().to_str().context("a path that is no text")?;
    let arguments = [
        "rollout",
        "--confirm",
        "--include-unhealthy",
        "--no-color",
        "--kubeconfig",
        kubeconfig,
        "-n",
        story.ns.name(),
        "--settle",
        "1s",
        "--render-spacing",
        "1s",
        "--min-pod-age",
        "1s",
    ];
    Terminal::start((40, 100), program, arguments, [("HOME", OsStr::new("/nowhere"))])
}

#[tokio::test]
async fn ctrl_c_starts_nothing_new_and_waits_for_what_runs() -> Result<()> {
    drifted(
        "pre-ctrl-c",
        || vec![deployment("one", 1), deployment("two", 1)],
        async |story| {
            slow_down(story, "one", 15).await?;
            slow_down(story, "two", 15).await?;
            let terminal = at_a_terminal(story)?;
            terminal.until("a rollout", |screen| screen.contains("started, Update sidecars proxy"))?;
            terminal.send("\x03")?;
            terminal.until("that it stops", |screen| {
                screen.contains("Stopping: nothing new is begun, 1 rollout under way")
            })?;
            let (status, screen) = terminal.end()?;
            assert_eq!(status.code(), Some(130), "{screen}");
            ensure!(screen.contains("converged") && screen.contains("Stopped after"), "{screen}");
            let times = rolled(story, "Deployment", "one").await? + rolled(story, "Deployment", "two").await?;
            assert_eq!(times, 1);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn ctrl_c_twice_stops_at_once_and_says_what_is_under_way() -> Result<()> {
    drifted(
        "pre-ctrl-c-twice",
        || vec![deployment("web", 1)],
        async |story| {
            slow_down(story, "web", 300).await?;
            let terminal = at_a_terminal(story)?;
            terminal.until("a rollout", |screen| screen.contains("started, Update sidecars proxy"))?;
            terminal.send("\x03")?;
            terminal.until("that it stops", |screen| screen.contains("Stopping"))?;
            terminal.send("\x03")?;
            let (status, screen) = terminal.end()?;
            assert_eq!(status.code(), Some(130), "{screen}");
            ensure!(screen.contains("under way") && screen.contains("Stopped after"), "{screen}");
            Ok(())
        },
    )
    .await
}
