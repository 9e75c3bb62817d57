//! When a sidecar that is not rendered any more is believed to be removed.

use anyhow::Result;
use testbed::{
    injector::{Failure, PolicyInjector, Sidecar, WebhookInjector},
    workload::deployment,
};

use super::bystanders::{BY_URL, supported};
use crate::support::{Rights, story};

#[tokio::test]
async fn r7_absence_is_believed_where_nothing_is_left_that_injects_and_not_where_something_is() -> Result<()> {
    if !supported().await? {
        return testbed::skip("it takes a policy and a webhook of our own");
    }
    story("absence", Rights::Report, async |story| {
        let ns = &story.ns;
        let gone = PolicyInjector::install(ns, Sidecar::new("gone")).await?;
        let silent = WebhookInjector::install_with(ns, Sidecar::new("silent"), BY_URL).await?;
        tokio::try_join!(
            ns.deploy(deployment("left", 1).pod_label(gone.label())),
            ns.deploy(deployment("waits", 1).pod_label(silent.label())),
        )?;
        gone.uninstall().await?;
        silent.set(|knobs| knobs.failure = Some(Failure::Unpatched));

        let daemon = story.daemon(&["--absence=3s"])?;
        daemon.until_verdict("Deployment/left", "removed", None).await?;
        daemon.until_verdict("Deployment/waits", "undetermined", None).await?;
        assert!(daemon.terminate().await?.success());

        // Without the flag it takes ten minutes.
        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        for name in ["Deployment/left", "Deployment/waits"] {
            let found = report.workload(name)?;
            assert_eq!(found["reason"], "injector_unavailable", "{found:#}");
        }
        Ok(())
    })
    .await
}
