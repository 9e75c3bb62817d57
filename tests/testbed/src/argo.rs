//! Argo Rollouts: its CRDs and its real controller.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::control_plane::free_ports;
use crate::eventually::eventually;
use crate::process::{Process, Program};
use crate::{Assets, TestNamespace};

const DEADLINE: Duration = Duration::from_mins(2);

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
        let kubectl = testbed.assets().context("the CRDs of an existing cluster are its owner's")?.kubectl.clone();
        let found = tokio::task::spawn_blocking(|| {
            anyhow::Ok((Assets::rollouts_controller()?, Assets::argo_rollouts_sources()?))
        });
        let (binary, sources) = found.await??;
        let served = self.argo_kinds().await;
        for (file, _) in CRDS.iter().filter(|(_, plural)| !served.contains(*plural)) {
            // By server-side apply, so that of two tests that come at once none fails.
            let mut command = testbed.command(&kubectl);
            command.arg("--kubeconfig").arg(testbed.kubeconfig());
            command.args(["apply", "--server-side", "-f"]).arg(sources.join("manifests/crds").join(file));
            let child = tokio::process::Command::from(command).output().await?;
            ensure!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        }
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
        eventually("Rollouts and what belongs to them are served", DEADLINE, async || {
            let served = self.argo_kinds().await;
            Ok(CRDS.iter().all(|(_, plural)| served.contains(*plural)).then_some(()))
        })
        .await?;
        Ok(ArgoRollouts { process: Process::start(&program, testbed.run_directory())? })
    }

    /// The kinds of Argo Rollouts that the cluster serves by now.
    async fn argo_kinds(&self) -> BTreeSet<String> {
        let found = self.client().list_api_group_resources("argoproj.io/v1alpha1").await;
        found.map(|list| list.resources.into_iter().map(|resource| resource.name).collect()).unwrap_or_default()
    }
}

impl ArgoRollouts {
    /// An error if it has ended by itself.
    pub fn check(&self) -> Result<()> {
        self.process.check().with_context(|| self.process.log_tail())
    }
}
