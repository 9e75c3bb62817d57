//! The configuration file changes while the daemon runs.

use anyhow::Result;
use testbed::{Testbed, injector::Sidecar, skip, workload::deployment};

use crate::support::{Injector, Rights, story};

#[tokio::test]
async fn a_changed_file_is_obeyed_and_a_bad_one_leaves_the_old_in_force() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) {
        return skip("there is no injector that this cluster can have");
    }
    story("reload", Rights::Report, async |story| {
        let ns = &story.ns;
        let injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        let file = testbed.directory().join(format!("{}.yaml", ns.name()));
        std::fs::write(&file, "sidecar-container-name: [elsewhere]\n")?;
        let path = file.to_string_lossy();
        let daemon = story.daemon(&["--config", &path])?;
        daemon.until_verdict("Deployment/web", "not_injected", None).await?;

        std::fs::write(&file, "sidecar-container-nam: [proxy]\n")?;
        let refused = "the configuration file changed and is refused; the old one stays in force";
        let line = daemon.until_it_says(refused, |line| line.is(refused)).await?;
        assert!(line.text("error").contains("did you mean `sidecar-container-name`?"), "{line:?}");

        std::fs::write(&file, "sidecar-container-name: [proxy]\n")?;
        daemon.until_verdict("Deployment/web", "in_sync", None).await?;
        assert!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}
