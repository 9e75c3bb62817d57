//! Manifests of the workloads that tests deploy, and what tests ask about them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::eventually::eventually;
use crate::namespace::TestNamespace;

/// Longer than any rollout of a test, on a busy machine.
const ROLLOUT_DEADLINE: Duration = Duration::from_mins(3);

/// A manifest under construction. It becomes JSON by `Value::from`, which [`TestNamespace::create`] does by itself.
#[derive(Debug, Clone)]
pub struct Workload {
    manifest: Value,
}

/// A Deployment of one container, `app`.
pub fn deployment(name: &str, replicas: u32) -> Workload {
    let mut workload = Workload::with_template("apps/v1", "Deployment", name);
    workload.manifest["spec"]["replicas"] = json!(replicas);
    workload
}

/// A StatefulSet of one container, `app`, whose Pods come at once instead of one after the other.
pub fn stateful_set(name: &str, replicas: u32) -> Workload {
    let mut workload = Workload::with_template("apps/v1", "StatefulSet", name);
    workload.manifest["spec"]["replicas"] = json!(replicas);
    workload.manifest["spec"]["serviceName"] = json!(name);
    workload.manifest["spec"]["podManagementPolicy"] = json!("Parallel");
    workload
}

/// A DaemonSet of one container, `app`: one Pod on every Node.
pub fn daemon_set(name: &str) -> Workload {
    Workload::with_template("apps/v1", "DaemonSet", name)
}

/// A Rollout of Argo Rollouts, of one container, `app`, without steps.
pub fn rollout(name: &str, replicas: u32) -> Workload {
    let mut workload = Workload::with_template("argoproj.io/v1alpha1", "Rollout", name);
    workload.manifest["spec"]["replicas"] = json!(replicas);
    workload.manifest["spec"]["strategy"] = json!({"canary": {"maxUnavailable": 1, "maxSurge": 0}});
    workload
}

/// A CloneSet of one container, `app`, that replaces its Pods one at a time. It has what OpenKruise's own admission would
/// write into it.
pub fn clone_set(name: &str, replicas: u32) -> Workload {
    let mut workload = Workload::with_template("apps.kruise.io/v1alpha1", "CloneSet", name);
    let spec = &mut workload.manifest["spec"];
    spec["replicas"] = json!(replicas);
    spec["revisionHistoryLimit"] = json!(10);
    spec["updateStrategy"] = json!({"type": "ReCreate", "partition": 0, "maxUnavailable": 1, "maxSurge": 0});
    workload
}

/// An Advanced StatefulSet of one container, `app`, whose Pods come at once. It has what OpenKruise's own admission would
/// write into it.
pub fn advanced_stateful_set(name: &str, replicas: u32) -> Workload {
    let mut workload = Workload::with_template("apps.kruise.io/v1beta1", "StatefulSet", name);
    let spec = &mut workload.manifest["spec"];
    spec["replicas"] = json!(replicas);
    spec["serviceName"] = json!(name);
    spec["podManagementPolicy"] = json!("Parallel");
    spec["revisionHistoryLimit"] = json!(10);
    spec["persistentVolumeClaimRetentionPolicy"] = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
    let rolling = json!({"partition": 0, "maxUnavailable": 1, "podUpdatePolicy": "ReCreate", "minReadySeconds": 0});
    spec["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": rolling});
    workload
}

/// A Job of one container, `app`, that does not end.
pub fn job(name: &str) -> Workload {
    let mut workload = Workload::with_template("batch/v1", "Job", name);
    if let Some(spec) = workload.manifest["spec"].as_object_mut() {
        // A Job chooses its own.
        spec.remove("selector");
    }
    workload.manifest["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    workload
}

/// A Pod that nobody owns.
pub fn bare_pod(name: &str) -> Workload {
    Workload {
        manifest: json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": pod_spec(),
        }),
    }
}

fn pod_spec() -> Value {
    json!({"containers": [{"name": "app", "image": "registry.test/app:1", "args": ["serve"]}]})
}

impl Workload {
    fn with_template(api_version: &str, kind: &str, name: &str) -> Self {
        Self {
            manifest: json!({
                "apiVersion": api_version,
                "kind": kind,
                "metadata": {"name": name, "labels": {"app": name}},
                "spec": {
                    "selector": {"matchLabels": {"app": name}},
                    "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec()},
                },
            }),
        }
    }

    /// Sets a label of the Pods.
    #[must_use]
    pub fn pod_label(mut self, (key, value): (&str, impl Into<String>)) -> Self {
        self.template()["metadata"]["labels"][key] = Value::String(value.into());
        self
    }

    /// Sets an annotation of the Pods.
    #[must_use]
    pub fn pod_annotation(mut self, key: &str, value: &str) -> Self {
        self.template()["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Sets an annotation of the workload itself.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.manifest["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Changes the manifest in any other way.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.manifest);
        self
    }

    /// The Pod template; of a bare Pod, the Pod.
    fn template(&mut self) -> &mut Value {
        if self.manifest["kind"] == "Pod" { &mut self.manifest } else { &mut self.manifest["spec"]["template"] }
    }
}

impl From<Workload> for Value {
    fn from(workload: Workload) -> Self {
        workload.manifest
    }
}

/// One ReplicaSet or ControllerRevision of a workload: one version of its Pod template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The object's name.
    pub name: String,
    /// Ascending in the order in which the templates became current.
    pub number: i64,
    /// The template's annotations, where stamps are.
    pub annotations: BTreeMap<String, String>,
}

impl TestNamespace<'_> {
    /// Creates a workload and waits until its Pods are ready.
    pub async fn deploy(&self, workload: impl Into<Value>) -> Result<()> {
        let created = self.create(workload).await?;
        let kind = match created["kind"].as_str().context("an object without a kind")? {
            "StatefulSet" if created["apiVersion"] == "apps.kruise.io/v1beta1" => "AdvancedStatefulSet",
            kind => kind,
        };
        let name = created["metadata"]["name"].as_str().context("an object without a name")?;
        self.wait_for_rollout(kind, name).await
    }

    /// Waits until the controller has seen the newest template and every Pod of it is ready; `kubectl rollout status`.
    pub async fn wait_for_rollout(&self, kind: &str, name: &str) -> Result<()> {
        let api = self.workloads(kind)?;
        eventually(format_args!("{kind} {name} is rolled out"), ROLLOUT_DEADLINE, async || {
            let workload = serde_json::to_value(api.get(name).await?)?;
            Ok(is_rolled_out(kind, &workload).then_some(()))
        })
        .await
    }

    /// The Pods that belong to a workload and are not on their way out.
    pub async fn pods_of(&self, kind: &str, name: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = self.api();
        if kind == "Pod" {
            return Ok(vec![pods.get(name).await?]);
        }
        let workload = self.workloads(kind)?.get(name).await?;
        let labels =
            workload.data["spec"]["selector"]["matchLabels"].as_object().context("a workload without labels")?;
        let selector: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        let found = pods.list(&ListParams::default().labels(&selector.join(","))).await?;
        Ok(found.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// All retained revisions of a Deployment, StatefulSet or DaemonSet, the oldest first.
    pub async fn revisions_of(&self, kind: &str, name: &str) -> Result<Vec<Revision>> {
        let owner = self.workloads(kind)?.get(name).await?.metadata.uid;
        let (revisions, template) = match kind {
            "Deployment" | "Rollout" => ("ReplicaSet", "/spec/template"),
            "StatefulSet" | "DaemonSet" | "CloneSet" | "AdvancedStatefulSet" => {
                ("ControllerRevision", "/data/spec/template")
            }
            _ => bail!("a {kind} has no revisions"),
        };
        let found = self.dynamic("apps", "v1", revisions).list(&ListParams::default()).await?;
        let of_this_workload = found
            .into_iter()
            .filter(|object| object.owner_references().iter().any(|by| Some(&by.uid) == owner.as_ref()));
        let mut revisions: Vec<Revision> = of_this_workload.map(|object| revision(&object, template)).collect();
        revisions.sort_by_key(|revision| revision.number);
        Ok(revisions)
    }

    /// Objects of one of the kinds that [`Workload`] makes. One of OpenKruise's is called `AdvancedStatefulSet`.
    pub fn workloads(&self, kind: &str) -> Result<Api<DynamicObject>> {
        Ok(match kind {
            "Deployment" | "StatefulSet" | "DaemonSet" => self.dynamic("apps", "v1", kind),
            "CloneSet" => self.dynamic("apps.kruise.io", "v1alpha1", kind),
            "AdvancedStatefulSet" => self.dynamic("apps.kruise.io", "v1beta1", "StatefulSet"),
            "Rollout" => self.dynamic("argoproj.io", "v1alpha1", kind),
            "Job" => self.dynamic("batch", "v1", kind),
            "Pod" => self.dynamic("", "v1", kind),
            _ => bail!("the testbed knows no workloads of kind {kind}"),
        })
    }
}

fn revision(object: &DynamicObject, template: &str) -> Revision {
    let number = object.data["revision"].as_i64().or_else(|| {
        object.annotations().get("deployment.kubernetes.io/revision").and_then(|revision| revision.parse().ok())
    });
    let annotations = object.data.pointer(template).map(|template| template["metadata"]["annotations"].clone());
    Revision {
        name: object.name_any(),
        number: number.unwrap_or_default(),
        annotations: annotations.and_then(|found| serde_json::from_value(found).ok()).unwrap_or_default(),
    }
}

fn is_rolled_out(kind: &str, workload: &Value) -> bool {
    let number = |pointer: &str| workload.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let observed = number("/status/observedGeneration") >= number("/metadata/generation");
    let wanted = workload.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    match kind {
        "Deployment" => {
            observed
                && number("/status/updatedReplicas") == wanted
                && number("/status/replicas") == wanted
                && number("/status/availableReplicas") == wanted
        }
        "StatefulSet" | "AdvancedStatefulSet" => {
            observed
                && number("/status/updatedReplicas") == wanted
                && number("/status/replicas") == wanted
                && number("/status/availableReplicas") == wanted
                // Where Pods wait to be deleted the controller never moves it.
                && (workload["spec"]["updateStrategy"]["type"] == "OnDelete"
                    || workload["status"]["currentRevision"] == workload["status"]["updateRevision"])
        }
        "DaemonSet" => {
            let wanted = number("/status/desiredNumberScheduled");
            observed
                && wanted > 0
                && number("/status/updatedNumberScheduled") == wanted
                && number("/status/numberAvailable") == wanted
        }
        "CloneSet" => {
            observed
                && number("/status/updatedReplicas") == wanted
                && number("/status/availableReplicas") == wanted
                && workload["status"]["currentRevision"] == workload["status"]["updateRevision"]
        }
        "Rollout" => {
            let generation = workload["metadata"]["generation"].as_i64().unwrap_or_default().to_string();
            workload["status"]["observedGeneration"] == generation.as_str() && workload["status"]["phase"] == "Healthy"
        }
        "Job" => number("/status/ready") + number("/status/succeeded") >= 1,
        _ => workload["status"]["conditions"]
            .as_array()
            .is_some_and(|conditions| conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_pod_takes_the_labels_that_a_template_would() {
        let manifest = Value::from(bare_pod("lonely").pod_label(("inject", "yes")));
        assert_eq!(manifest["metadata"]["labels"], json!({"app": "lonely", "inject": "yes"}));
    }

    #[test]
    fn a_deployment_that_its_controller_has_not_seen_is_not_rolled_out() {
        let status = json!({"observedGeneration": 1, "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1});
        let mut deployment = json!({"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status});
        assert!(!is_rolled_out("Deployment", &deployment));
        deployment["status"]["observedGeneration"] = json!(2);
        assert!(is_rolled_out("Deployment", &deployment));
    }
}
