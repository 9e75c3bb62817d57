//! An installation of the chart on a control plane.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;
use testbed::{TestNamespace, Testbed, eventually};

use super::helm;
use crate::support::{DEADLINE, Daemon};

/// The release's name, which is also the name of what it makes.
pub(crate) const RELEASE: &str = "sidecar-drift";

/// These make a daemon quick where its patience is not the point. Given as flags, as a user gives them.
const QUICK: [&str; 6] = [
    // A changed policy can take longer than a second to be in force on a busy machine.
    "--settle=3s",
    "--render-spacing=1s",
    "--min-pod-age=1s",
    "--guard-interval=2s",
    "--soak=1s",
    "--log-format=json",
];

/// The chart, rendered and applied as it is.
#[derive(Debug)]
pub(crate) struct Release<'t> {
    pub(crate) ns: TestNamespace<'t>,
    pub(crate) objects: Vec<Value>,
    kubeconfig: PathBuf,
}

impl<'t> Release<'t> {
    /// Installs it in this namespace, which enforces the strictest Pod Security Standard.
    pub(crate) async fn install(ns: &TestNamespace<'t>, values: &Value) -> Result<Self> {
        ns.set_label(("pod-security.kubernetes.io/enforce", "restricted")).await?;
        let objects = helm::objects(&helm::template(RELEASE, ns.name(), values)?)?;
        for object in &objects {
            apply(ns.testbed(), object).await?;
        }
        let kubeconfig = ns.testbed().service_account_kubeconfig(ns.name(), RELEASE).await?;
        Ok(Self { ns: ns.clone(), objects, kubeconfig })
    }

    /// The kubeconfig of the chart's ServiceAccount.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The name of what is cluster-wide.
    pub(crate) fn cluster_name(&self) -> String {
        format!("{RELEASE}.{}", self.ns.name())
    }

    /// One of its objects.
    pub(crate) fn object(&self, kind: &str) -> Result<&Value> {
        self.objects.iter().find(|object| object["kind"] == kind).with_context(|| format!("the chart has no {kind}"))
    }

    /// Starts the daemon as its Deployment does: with its arguments, and the configuration from its ConfigMap. It listens
    /// elsewhere, because there is one machine for all Pods.
    pub(crate) fn daemon(&self) -> Result<Daemon<'t>> {
        let testbed = self.ns.testbed();
        let file = testbed.directory().join(format!("{}.config.yaml", self.ns.name()));
        let config = self.object("ConfigMap")?["data"]["config.yaml"].as_str().context("no configuration")?;
        std::fs::write(&file, config)?;
        let file = format!("--config={}", file.display());
        let given = self.object("Deployment")?.pointer("/spec/template/spec/containers/0/args");
        let given = given.and_then(Value::as_array).context("no arguments")?;
        let arguments = given
            .iter()
            .filter_map(Value::as_str)
            .map(|argument| if argument.starts_with("--config=") { file.as_str() } else { argument });
        let arguments: Vec<&str> =
            arguments.chain(QUICK).chain(["--listen=127.0.0.1:0", "--api-listen=127.0.0.1:0"]).collect();
        let log = testbed.directory().join(format!("{}.log", self.ns.name()));
        Daemon::start(testbed, &self.kubeconfig, &log, &[], &arguments)
    }

    /// Waits until its Pods are ready: those that kwok plays, which proves that they are let in.
    pub(crate) async fn is_rolled_out(&self) -> Result<()> {
        self.ns.wait_for_rollout("Deployment", RELEASE).await
    }

    /// Takes away what does not go with the namespace.
    pub(crate) async fn uninstall(&self) -> Result<()> {
        for object in self.objects.iter().filter(|object| object["metadata"]["namespace"].is_null()) {
            let api = api(self.ns.testbed(), object).await?;
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            api.delete(name, &DeleteParams::default()).await.with_context(|| format!("cannot delete {name}"))?;
        }
        Ok(())
    }
}

/// Applies an object, and lets the server say no to any field that it does not know.
pub(crate) async fn apply(testbed: &Testbed, object: &Value) -> Result<Value> {
    send(testbed, object, false).await
}

/// The same as a dry run.
pub(crate) async fn validate(testbed: &Testbed, object: &Value) -> Result<Value> {
    send(testbed, object, true).await
}

async fn send(testbed: &Testbed, object: &Value, dry_run: bool) -> Result<Value> {
    let name = object["metadata"]["name"].as_str().context("an object without a name")?;
    let params = PatchParams { dry_run, ..PatchParams::apply("helm").validation_strict() };
    let applied = api(testbed, object).await?.patch(name, &params, &Patch::Apply(object)).await;
    let applied = applied.with_context(|| format!("cannot apply {} {name}", object["kind"]))?;
    Ok(serde_json::to_value(applied)?)
}

pub(crate) async fn api(testbed: &Testbed, object: &Value) -> Result<Api<DynamicObject>> {
    let api_version = object["apiVersion"].as_str().context("an object without apiVersion")?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = object["kind"].as_str().context("an object without kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let client = testbed.client().await?;
    Ok(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    })
}

/// Waits until the guard refuses its probe, for this ServiceAccount.
pub(crate) async fn until_guarded(release: &Release<'_>) -> Result<()> {
    use sidecar_drift::cluster::{
        client::{Connection, connect},
        guard::{Probe, probe},
    };
    let connection = Connection { kubeconfig: Some(release.kubeconfig.clone()), ..Connection::default() };
    let cluster = connect(&connection).await?;
    eventually("the guard is in force", DEADLINE, async || {
        Ok((probe(&cluster, release.ns.name()).await == Probe::Refused).then_some(()))
    })
    .await
}
