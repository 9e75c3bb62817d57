//! It is the control plane that fails.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{
    Filter, Options, Testbed, eventually,
    injector::{Failure, Sidecar, WebhookInjector, WebhookOptions},
    skip,
};
use tokio::time::sleep;

use super::{ENFORCE, each_was_rolled_exactly_once, fleet, ledger::Ledger, names, with_ledger};
use crate::support::{DEADLINE, Daemon};

/// Longer than an API server that starts and thirty rollouts with interruptions take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// A control plane of its own, because it is broken: the API server dies three times, once with all versions of before
/// compacted away, so that a watch cannot be taken up where it broke; and the injector is down for a while, in the middle of rollouts.
#[tokio::test]
async fn api_server_restarted_three_times_etcd_compacted_and_the_injector_down() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return skip("there is no control plane of our own to break");
    }
    let testbed = Testbed::start(Options::default()).await?;
    let ns = testbed.create_namespace("chaos").await?;
    // A Pod that cannot be injected is refused, and tried again by its controller.
    let options = WebhookOptions { ignore_failures: false, ..WebhookOptions::default() };
    let injector = WebhookInjector::install_with(&ns, Sidecar::new("proxy"), options).await?;
    // On a busy machine it would be taken for slow, and left alone.
    injector.edit_webhook(|webhook| webhook["timeoutSeconds"] = serde_json::json!(30)).await?;
    fleet(&ns, &injector.label()).await?;
    injector.reconfigure("v2").await?;
    let metadata = serde_json::json!({"name": "sidecar-drift-state"});
    ns.create(serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await?;

    let log = testbed.directory().join("chaos.log");
    let here = ["--namespace", ns.name(), "--state-namespace", ns.name()];
    let quick = ["--settle=1s", "--render-spacing=1s", "--min-pod-age=1s", "--log-format=json", "--listen=off"];
    let arguments = [&["run"][..], &here, &quick, &ENFORCE, &["--lease-duration=5s"]].concat();
    let daemon = Daemon::start(&testbed, testbed.kubeconfig(), &log, &[], &arguments)?;
    let outcome = with_ledger(&ns, async |ledger| {
        until_rolled(ledger, 2).await?;
        testbed.kill_api_server().await?;
        testbed.restart_api_server().await?;

        until_rolled(ledger, 6).await?;
        testbed.kill_api_server().await?;
        testbed.compact_etcd().await?;
        testbed.restart_api_server().await?;

        until_rolled(ledger, 10).await?;
        injector.set(|knobs| knobs.failure = Some(Failure::InternalError));
        // A real outage, of some seconds.
        sleep(Duration::from_secs(5)).await;
        injector.set(|knobs| knobs.failure = None);

        until_rolled(ledger, 14).await?;
        testbed.restart_api_server().await?;

        until_rolled(ledger, names().count()).await?;
        for name in names() {
            daemon.until_verdict(&format!("Deployment/{name}"), "in_sync", None).await?;
        }
        let most = each_was_rolled_exactly_once(&ns, ledger).await?;
        println!("each was rolled exactly once, and at most {most} at once");
        Ok(())
    })
    .await;
    if outcome.is_err() {
        for line in daemon.lines()? {
            println!("{line:?}");
        }
    }
    outcome?;
    ensure!(daemon.terminate().await?.success());
    if let Some(audit) = testbed.audit() {
        let asked = audit.entries(&Filter::default().user_agent("sidecar-drift/")).await?;
        // By a list of its own, or, where the server can, as the beginning of a watch.
        let begins = |uri: &str| uri.contains("sendInitialEvents=true");
        let lists = asked.iter().filter(|entry| entry.resource == "pods" && entry.name.is_empty());
        let lists = lists.filter(|entry| entry.verb == "list" || begins(&entry.request_uri)).count();
        println!("Pods were listed {lists} times");
        ensure!(lists > 1, "what was compacted was not missed");
    }
    testbed.stop().await
}

async fn until_rolled(ledger: &Ledger, how_many: usize) -> Result<()> {
    eventually(format_args!("{how_many} are rolled"), PATIENCE.max(DEADLINE), async || {
        Ok((ledger.done() >= how_many).then_some(()))
    })
    .await
}
