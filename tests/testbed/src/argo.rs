//! Argo Rollouts: its CRDs and its real controller.

use anyhow::{Context as _, Result};

use crate::control_plane::free_ports;
use crate::process::{Process, Program};
use crate::{Assets, TestNamespace};

/// The controller does not start before it can list each of these.
const CRDS: [(&str, &str); 5] = [
    ("rollout-crd.yaml", "rollouts"),
    ("experiment-crd.yaml", "experiments"),
    ("analysis-run-crd.yaml", "analysisruns"),
    ("analysis-template-crd.yaml", "analysistemplates"),
    ("cluster-analysis-template-crd.yaml", "clusteranalysistemplates"),
];

/// The controller of one namespace's Rollouts. It ends when this is dropped.
#[derive(Debug)]
pub struct ArgoRollouts {
    process: Process,
}

impl TestNamespace<'_> {
    /// Lets the cluster serve Rollouts, and runs their controller for this namespace.
    pub async fn argo_rollouts(&self) -> Result<ArgoRollouts> {
        let testbed = self.testbed();
        let found = tokio::task::spawn_blocking(|| {
            anyhow::Ok((Assets::rollouts_controller()?, Assets::argo_rollouts_sources()?))
        });
        let (binary, sources) = found.await??;
        testbed.serve("argoproj.io/v1alpha1", &sources.join("manifests/crds"), &CRDS).await?;
        let ports: [u16; 2] = free_ports()?;
        let program = Program {
            name: "rollouts-controller",
            binary,
            arguments: vec![
                format!("--kubeconfig={}", testbed.kubeconfig().display()),
                format!("--namespace={}", self.name()),
                "--namespaced".to_owned(),
                "--leader-elect=false".to_owned(),
                format!("--metricsPort={}", ports[0]),
                format!("--healthzPort={}", ports[1]),
            ],
        };
        Ok(ArgoRollouts { process: Process::start(&program, testbed.directory())? })
    }
}

impl ArgoRollouts {
    /// An error if it has ended by itself.
    pub fn check(&self) -> Result<()> {
        self.process.check().with_context(|| self.process.log_tail())
    }
}
