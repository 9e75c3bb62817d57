//! The daemon is asked to stop, as Kubernetes does it.

use anyhow::{Result, ensure};
use http::Method;
use testbed::{Matcher, Testbed, When, injector::Sidecar, skip, workload::deployment};

use crate::support::{ACCOUNT, Injector, Rights, story};

#[tokio::test]
async fn an_idle_daemon_ends_with_exit_code_0() -> Result<()> {
    story("shutdown-idle", Rights::Report, async |story| {
        let daemon = story.daemon(&[])?;
        daemon.until_it_says("connected", |line| line.is("connected")).await?;
        let status = daemon.terminate().await?;
        ensure!(status.code() == Some(0), "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_patch_in_flight_is_finished_and_no_other_rollout_is_begun() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) {
        return skip("there is no injector that this cluster can have");
    }
    story("shutdown-patch", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let names = ["one", "two"];
        for name in names {
            ns.deploy(deployment(name, 1).pod_label(injector.label())).await?;
        }
        injector.set_version("v2").await?;
        story.create_state().await?;

        let proxy = testbed.api_proxy().await?;
        let kubeconfig = proxy.service_account_kubeconfig(ns.name(), ACCOUNT).await?;
        let a_patch = Matcher::method(Method::PATCH).path_contains("/deployments/").not_query_contains("dryRun");
        let held = proxy.hold(a_patch, When::After);
        let enforce = ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0"];
        let daemon = story.daemon_as(&kubeconfig, &enforce)?;
        held.reached().await?;
        daemon.ask_to_stop()?;
        daemon.until_it_says("stopping", |line| line.is("stopping: nothing new is begun")).await?;
        held.release();
        let status = daemon.end().await?;
        ensure!(status.code() == Some(0), "{status}");

        let mut rolled = 0;
        for name in names {
            ns.wait_for_rollout("Deployment", name).await?;
            rolled += ns.revisions_of("Deployment", name).await?.len() - 1;
        }
        assert_eq!(rolled, 1);
        Ok(())
    })
    .await
}
