//! Injectors that people run: their own programs, with their own objects in the cluster.
//!
//! The objects are the project's manifests, read from its sources; nothing of them is kept here. The program runs once for
//! each Pod of the Deployment that these make, with the environment and arguments that the Pod says ([`kubelet`]). So what
//! changes an injector in a cluster changes it here: an edit of its Deployment, its ConfigMaps, its webhook configuration.

mod kubelet;
mod probe;
mod vault;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::eventually::eventually;
use crate::namespace::TestNamespace;
use crate::testbed::Testbed;

use kubelet::Kubelet;

pub use vault::VAULT;

/// A first start makes certificates and elects a leader.
const DEADLINE: Duration = Duration::from_mins(3);

/// How often it has to work before it counts as working.
const IN_A_ROW: usize = 20;

/// What there is to know of a project in order to run its injector.
#[derive(Debug)]
pub struct Product {
    /// As people call it.
    pub name: &'static str,
    /// What is built.
    pub version: &'static str,
    program: &'static str,
    binary: fn() -> Result<PathBuf>,
    sources: fn() -> Result<PathBuf>,
    /// A folder of the sources that `kubectl apply -k` takes.
    manifests: &'static str,
    namespace: &'static str,
    deployment: &'static str,
    service: &'static str,
    configuration: &'static str,
    /// Lets the program listen at this port of loopback, where several of them share one machine.
    listen: fn(&mut kubelet::Execution, u16),
}

/// An injector that is installed. Its webhook configuration is for the whole cluster, so it takes a testbed of its own.
#[derive(Debug)]
pub struct RealInjector<'t> {
    product: &'static Product,
    home: TestNamespace<'t>,
    kubelet: Kubelet,
}

impl<'t> RealInjector<'t> {
    /// Whether its programs can run here: they expect a Pod's files at places where only a mount namespace can put them.
    pub fn supported() -> bool {
        let tried = std::process::Command::new("unshare")
            .args(["--map-root-user", "--mount", "true"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    }

    /// Installs it and waits until its Pods are ready.
    pub async fn install(testbed: &'t Testbed, product: &'static Product) -> Result<Self> {
        let found = tokio::task::spawn_blocking(|| anyhow::Ok(((product.binary)()?, (product.sources)()?)));
        let (binary, sources) = found.await??;
        let home = testbed.create_namespace_named(product.namespace).await?;
        apply(&home, &sources.join(product.manifests)).await?;
        let service = home.dynamic("", "v1", "Service").get(product.service).await?;
        let address = service.data["spec"]["clusterIP"].as_str().context("a Service without an address")?;
        let port = service.data["spec"]["ports"][0]["port"].as_i64().context("a Service without a port")?;
        // A Pod is ready when its program is, as its readiness probe would find.
        let held = json!({"spec": {"template": {"metadata": {"annotations": {kubelet::READY: "never"}}}}});
        let deployments = home.workloads("Deployment")?;
        deployments.patch(product.deployment, &PatchParams::default(), &Patch::Merge(held)).await?;
        let kubelet = Kubelet::start(&home, product, binary, format!("{address}:{port}")).await?;
        home.wait_for_rollout("Deployment", product.deployment).await?;
        Ok(Self { product, home, kubelet })
    }

    /// What it is.
    pub fn product(&self) -> &'static Product {
        self.product
    }

    /// Where its Deployment, its Service and its configuration are.
    pub fn home(&self) -> &TestNamespace<'t> {
        &self.home
    }

    /// Changes its Deployment, as a new release of its chart does, and waits until that is rolled out.
    pub async fn edit_deployment(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let deployments = self.home.workloads("Deployment")?;
        let mut deployment = deployments.get(self.product.deployment).await?;
        deployment.metadata.resource_version = None;
        edit(&mut deployment.data["spec"]);
        deployments.replace(self.product.deployment, &PostParams::default(), &deployment).await?;
        self.home.wait_for_rollout("Deployment", self.product.deployment).await
    }

    /// Sets a variable in the environment of its program, or removes it, and waits until that is rolled out.
    pub async fn set(&self, variable: &str, value: Option<&str>) -> Result<()> {
        self.edit_deployment(|spec| {
            spec["paused"] = json!(false);
            set_variable(spec, variable, value);
        })
        .await
    }

    /// The same, but the rollout stops where one Pod is new and ready, and all that were there still are.
    pub async fn begin_to_set(&self, variable: &str, value: Option<&str>) -> Result<()> {
        let deployments = self.home.workloads("Deployment")?;
        let name = self.product.deployment;
        let mut deployment = deployments.get(name).await?;
        let before = self.kubelet.serving();
        set_variable(&mut deployment.data["spec"], variable, value);
        deployment.data["spec"]["strategy"] =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        deployments.replace(name, &PostParams::default(), &deployment).await?;
        eventually("one of its Pods is new", DEADLINE, async || {
            let status = deployments.get(name).await?.data["status"].clone();
            Ok((status["updatedReplicas"] == 1).then_some(()))
        })
        .await?;
        let paused = json!({"spec": {"paused": true}});
        deployments.patch(name, &PatchParams::default(), &Patch::Merge(paused)).await?;
        eventually("the new one answers, too", DEADLINE, async || Ok((self.kubelet.serving() > before).then_some(())))
            .await
    }

    /// Changes the entries of its MutatingWebhookConfiguration.
    pub async fn edit_webhooks(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.home.client().clone());
        let mut configuration = serde_json::to_value(configurations.get(self.product.configuration).await?)?;
        edit(&mut configuration["webhooks"]);
        let configuration = serde_json::from_value(configuration)?;
        configurations.replace(self.product.configuration, &PostParams::default(), &configuration).await?;
        Ok(())
    }

    /// Stops all its programs. Their Pods stay as they are: nothing in the cluster tells.
    pub async fn stop(&self) -> Result<()> {
        self.kubelet.hold(true);
        eventually("its programs end", DEADLINE, async || Ok((self.kubelet.serving() == 0).then_some(()))).await
    }

    /// Starts them again, and waits until they answer.
    pub async fn start(&self) -> Result<()> {
        self.kubelet.hold(false);
        eventually("its programs answer", DEADLINE, async || Ok((self.kubelet.serving() > 0).then_some(()))).await
    }

    /// Lets each of its answers come that much later.
    pub fn slow_down(&self, delay: Duration) {
        self.kubelet.slow_down(delay);
    }

    /// Waits until a Pod of this manifest would come out as it should, time after time: while its programs agree on their
    /// certificate, some calls fail.
    pub async fn until_a_pod(
        &self,
        namespace: &TestNamespace<'_>,
        pod: &Value,
        as_it_should: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        eventually(format_args!("{} is in force", self.product.name), DEADLINE, async || {
            for _ in 0..IN_A_ROW {
                if !as_it_should(&namespace.dry_run(pod.clone()).await?) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }
}

/// In the environment of the first container.
fn set_variable(deployment: &mut Value, variable: &str, value: Option<&str>) {
    let environment = &mut deployment["template"]["spec"]["containers"][0]["env"];
    let Some(environment) = environment.as_array_mut() else { return };
    environment.retain(|entry| entry["name"] != variable);
    environment.extend(value.map(|value| json!({"name": variable, "value": value})));
}

/// The project's own manifests; what says no namespace goes into its home.
async fn apply(home: &TestNamespace<'_>, folder: &std::path::Path) -> Result<()> {
    let testbed = home.testbed();
    let kubectl = &testbed.assets().context("an existing cluster's injectors are its owner's")?.kubectl;
    let mut command = testbed.command(kubectl);
    command.arg("--kubeconfig").arg(testbed.kubeconfig()).args(["--namespace", home.name()]);
    command.args(["apply", "--server-side", "-k"]).arg(folder).stdin(Stdio::null());
    let ran = tokio::process::Command::from(command).output().await?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}
