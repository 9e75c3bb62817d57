//! Kinds of other projects: their CRDs, as their own sources have them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::Testbed;
use crate::eventually::eventually;

const DEADLINE: Duration = Duration::from_mins(2);

impl Testbed {
    /// Lets the cluster serve these kinds of one group and version, each a file in `folder` and its plural, and waits until
    /// it does.
    pub(crate) async fn serve(&self, group_version: &str, folder: &Path, crds: &[(&str, &str)]) -> Result<()> {
        let kubectl = self.assets().context("the CRDs of an existing cluster are its owner's")?.kubectl.clone();
        let served = self.served(group_version).await?;
        for (file, _) in crds.iter().filter(|(_, plural)| !served.contains(*plural)) {
            // By server-side apply, so that of two tests that come at once none fails.
            let mut command = self.command(&kubectl);
            command.arg("--kubeconfig").arg(self.kubeconfig());
            command.args(["apply", "--server-side", "-f"]).arg(folder.join(file));
            let child = tokio::process::Command::from(command).output().await?;
            ensure!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        }
        eventually(format_args!("the kinds of {group_version} are served"), DEADLINE, async || {
            let served = self.served(group_version).await?;
            Ok(crds.iter().all(|(_, plural)| served.contains(*plural)).then_some(()))
        })
        .await
    }

    /// The kinds of a group and version that the cluster serves by now.
    async fn served(&self, group_version: &str) -> Result<BTreeSet<String>> {
        let found = self.client().await?.list_api_group_resources(group_version).await;
        Ok(found.map(|list| list.resources.into_iter().map(|resource| resource.name).collect()).unwrap_or_default())
    }
}
