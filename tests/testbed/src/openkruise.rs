//! OpenKruise: its CRDs and its real controllers of CloneSets and Advanced StatefulSets.

use anyhow::{Context as _, Result};

use crate::process::{Process, Program};
use crate::{Assets, Testbed};

/// The one that no test names is looked up when the controllers start.
const CRDS: [(&str, &str); 3] = [
    ("apps.kruise.io_clonesets.yaml", "clonesets"),
    ("apps.kruise.io_statefulsets.yaml", "statefulsets"),
    ("apps.kruise.io_imagepulljobs.yaml", "imagepulljobs"),
];

/// The controllers of all CloneSets and Advanced StatefulSets of a testbed. They end with it.
#[derive(Debug)]
pub struct OpenKruise {
    process: Process,
}

impl Testbed {
    /// Lets the cluster serve CloneSets and Advanced StatefulSets, and runs their controllers: once, for all tests, because
    /// theirs cannot be kept to one namespace.
    pub async fn openkruise(&self) -> Result<&OpenKruise> {
        self.openkruise.get_or_try_init(|| self.start_openkruise()).await
    }

    async fn start_openkruise(&self) -> Result<OpenKruise> {
        let found = tokio::task::spawn_blocking(|| anyhow::Ok((Assets::openkruise()?, Assets::openkruise_sources()?)));
        let (binary, sources) = found.await??;
        let folder = sources.join("config/crd/bases");
        self.serve("apps.kruise.io/v1alpha1", &folder, &CRDS).await?;
        self.serve("apps.kruise.io/v1beta1", &folder, &CRDS[1..2]).await?;
        let arguments = vec![format!("--kubeconfig={}", self.kubeconfig().display())];
        let program = Program { name: "openkruise", binary, arguments };
        Ok(OpenKruise { process: Process::start(&program, self.directory())? })
    }
}

impl OpenKruise {
    /// An error if they have ended by themselves.
    pub fn check(&self) -> Result<()> {
        self.process.check().with_context(|| self.process.log_tail())
    }
}
