//! CloneSets of OpenKruise, with a small controller of our own: their real one cannot be built here (decision 0012).
//!
//! It does what its documentation says of an update: ControllerRevisions, Pods with the revision's label, one unavailable Pod
//! at a time, partition and pause respected, and, of the in-place policies, that a change of annotations replaces no Pod.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::{apps::v1::ControllerRevision, core::v1::Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::TestNamespace;
use crate::background::Task;
use crate::eventually::eventually;

const DEADLINE: Duration = Duration::from_mins(2);
/// Between two looks at everything.
const PERIOD: Duration = Duration::from_millis(200);
const REVISION: &str = "controller-revision-hash";

/// The controller of one namespace's CloneSets. It ends when this is dropped.
#[derive(Debug)]
pub struct CloneSets {
    _task: Task,
}

impl TestNamespace<'_> {
    /// Lets the cluster serve CloneSets, and plays their controller in this namespace.
    pub async fn clone_sets(&self) -> Result<CloneSets> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client().clone());
        let crd = Patch::Apply(crd());
        crds.patch("clonesets.apps.kruise.io", &PatchParams::apply("testbed").force(), &crd).await?;
        let api = self.dynamic("apps.kruise.io", "v1alpha1", "CloneSet");
        eventually("CloneSets are served", DEADLINE, async || {
            Ok(api.list(&ListParams::default()).await.ok().map(drop))
        })
        .await?;
        let controller = Controller { sets: api, pods: self.api(), revisions: self.api() };
        let task = Task::spawn(async move {
            loop {
                // Whatever was in the way, the next look finds things as they are.
                let _ = controller.look().await;
                tokio::time::sleep(PERIOD).await;
            }
        })?;
        Ok(CloneSets { _task: task })
    }
}

/// The names of the real one, and no schema.
fn crd() -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"spec": open, "status": open}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "clonesets.apps.kruise.io"},
        "spec": {
            "group": "apps.kruise.io",
            "scope": "Namespaced",
            "names": {"kind": "CloneSet", "plural": "clonesets", "singular": "cloneset", "shortNames": ["clone"]},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
            }],
        },
    })
}

struct Controller {
    sets: Api<DynamicObject>,
    pods: Api<Pod>,
    revisions: Api<ControllerRevision>,
}

impl Controller {
    async fn look(&self) -> Result<()> {
        for set in self.sets.list(&ListParams::default()).await? {
            self.reconcile(&set).await?;
        }
        Ok(())
    }

    async fn reconcile(&self, set: &DynamicObject) -> Result<()> {
        let (name, uid) = (set.name_any(), set.uid().context("no uid")?);
        let spec = &set.data["spec"];
        let replicas = usize::try_from(spec["replicas"].as_u64().unwrap_or(1))?;
        let strategy = &spec["updateStrategy"];
        let owner = json!([{
            "apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": name, "uid": uid,
            "controller": true, "blockOwnerDeletion": true,
        }]);
        let revision = self.revision(set, &owner).await?;
        let mine = |pod: &Pod| {
            pod.owner_references().iter().any(|by| by.uid == uid) && pod.metadata.deletion_timestamp.is_none()
        };
        let pods: Vec<Pod> = self.pods.list(&ListParams::default()).await?.into_iter().filter(mine).collect();
        for _ in pods.len()..replicas {
            self.create(set, &owner, &revision).await?;
        }
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let old: Vec<&Pod> = pods.iter().filter(|pod| pod.labels().get(REVISION) != Some(&revision)).collect();
        let kept = usize::try_from(strategy["partition"].as_u64().unwrap_or(0))?;
        let in_place = strategy["type"].as_str().is_some_and(|kind| kind.starts_with("InPlace"));
        if strategy["paused"] != true && old.len() > kept {
            let next = old[0].name_any();
            if in_place {
                let taken = json!({"metadata": {
                    "labels": {REVISION: revision}, "annotations": spec["template"]["metadata"]["annotations"],
                }});
                self.pods.patch(&next, &PatchParams::default(), &Patch::Merge(taken)).await?;
            } else if ready >= replicas {
                self.pods.delete(&next, &DeleteParams::default()).await?;
            }
        }
        let updated = pods.len() - old.len();
        let current = set.data["status"]["currentRevision"].as_str().filter(|_| !old.is_empty() || pods.is_empty());
        let status = json!({"status": {
            "observedGeneration": set.metadata.generation, "replicas": pods.len(), "readyReplicas": ready,
            "availableReplicas": ready, "updatedReplicas": updated,
            "currentRevision": current.unwrap_or(&revision), "updateRevision": revision,
        }});
        self.sets.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    /// The name of the present template's ControllerRevision, which is made if it is not there.
    async fn revision(&self, set: &DynamicObject, owner: &Value) -> Result<String> {
        let template = &set.data["spec"]["template"];
        let digest = Sha256::digest(template.to_string().as_bytes());
        let hash = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
        let name = format!("{}-{hash:x}", set.name_any());
        if self.revisions.get_opt(&name).await?.is_some() {
            return Ok(name);
        }
        let mut data = template.clone();
        data["$patch"] = json!("replace");
        let revision = serde_json::from_value(json!({
            "metadata": {
                "name": name, "ownerReferences": owner, "labels": set.data["spec"]["selector"]["matchLabels"],
            },
            "data": {"spec": {"template": data}},
            "revision": set.metadata.generation,
        }))?;
        self.revisions.create(&PostParams::default(), &revision).await?;
        Ok(name)
    }

    async fn create(&self, set: &DynamicObject, owner: &Value, revision: &str) -> Result<()> {
        let template = &set.data["spec"]["template"];
        let mut labels: BTreeMap<String, String> = serde_json::from_value(template["metadata"]["labels"].clone())?;
        labels.insert(REVISION.to_owned(), revision.to_owned());
        // Both, as the real one does: this one is short.
        let short = revision.rsplit('-').next().unwrap_or(revision);
        labels.insert("pod-template-hash".to_owned(), short.to_owned());
        let pod = serde_json::from_value(json!({
            "metadata": {
                "generateName": format!("{}-", set.name_any()), "labels": labels,
                "annotations": template["metadata"]["annotations"], "ownerReferences": owner,
            },
            "spec": template["spec"],
        }))?;
        self.pods.create(&PostParams::default(), &pod).await?;
        Ok(())
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
