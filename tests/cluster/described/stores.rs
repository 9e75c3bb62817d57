//! A kind that nobody knows but whoever described it: its CRD, and its controller, which this test plays.
//!
//! The controller makes Pods of its own from `spec.server.pod`, gives them a label that is in no template, and exchanges them
//! one at a time when the template changes. Nothing in the cluster says which Pod is of which template.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::{
    api::core::v1::Pod, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    ResourceExt as _,
    api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testbed::{TestNamespace, eventually};
use tokio::task::JoinSet;

use crate::support::{ACCOUNT, DEADLINE, until_it_may};

/// Between two looks at everything.
const PERIOD: Duration = Duration::from_millis(200);
/// What a Pod was made from; for the controller alone, and no label.
const MADE_FROM: &str = "made-from";

/// The kind in a group of the test's own: a CRD is everybody's.
pub(crate) struct Stores<'t> {
    ns: &'t TestNamespace<'t>,
    group: String,
}

impl<'t> Stores<'t> {
    pub(crate) fn new(ns: &'t TestNamespace<'t>) -> Self {
        Self::in_group(ns, &format!("{}.example.com", ns.name()))
    }

    pub(crate) fn in_group(ns: &'t TestNamespace<'t>, group: &str) -> Self {
        Self { ns, group: group.to_owned() }
    }

    /// As a person describes it; the label that its controller adds is told, or kept secret.
    pub(crate) fn description(&self, labels: bool) -> String {
        let labels = if labels { "    labels: {store: '{name}'}\n" } else { "" };
        let group = &self.group;
        format!(
            "owners:\n  - api: {group}/v1\n    kind: Store\n    template: spec.server.pod\n{labels}    \
             paused: [spec.suspended]\n    status:\n      observed-generation: status.seen\n      \
             desired: spec.server.count\n      replicas: status.pods\n      updated: status.newPods\n      \
             ready: status.readyPods\n"
        )
    }

    /// Lets the cluster serve it.
    pub(crate) async fn serve(&self) -> Result<()> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.ns.client().clone());
        let (open, count) =
            (json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), json!({"type": "integer"}));
        let server = json!({"type": "object", "properties": {"count": count, "pod": open}});
        let spec = json!({"type": "object", "properties": {"suspended": {"type": "boolean"}, "server": server}});
        let status = json!({"type": "object", "properties": {"seen": count, "pods": count, "newPods": count, "readyPods": count}});
        let schema = json!({"type": "object", "properties": {"spec": spec, "status": status}});
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.crd()},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": {"kind": "Store", "plural": "stores", "singular": "store"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
                }],
            },
        });
        crds.create(&PostParams::default(), &serde_json::from_value(crd)?).await?;
        eventually("the kind is served", DEADLINE, async || {
            Ok(self.api().list(&ListParams::default()).await.ok().map(drop))
        })
        .await
    }

    /// Serves it no more, and with it everything of it is gone.
    pub(crate) async fn serve_no_more(&self) -> Result<()> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.ns.client().clone());
        crds.delete(&self.crd(), &DeleteParams::default()).await?;
        Ok(())
    }

    /// Gives the story's account what the chart would give it.
    pub(crate) async fn grant(&self) -> Result<()> {
        let rbac = "rbac.authorization.k8s.io";
        let verbs = ["get", "list", "watch", "patch"];
        self.ns
            .create(json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": "stores"},
                "rules": [{"apiGroups": [self.group], "resources": ["stores"], "verbs": verbs}],
            }))
            .await?;
        self.ns
            .create(json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": "stores"},
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "stores"},
                "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.ns.name()}],
            }))
            .await?;
        let user = format!("system:serviceaccount:{}:{ACCOUNT}", self.ns.name());
        let watch = json!({"verb": "watch", "group": self.group, "resource": "stores", "namespace": self.ns.name()});
        until_it_may(self.ns, &user, watch, true).await
    }

    /// Creates one of them, whose Pods have this label, too.
    pub(crate) async fn create(&self, name: &str, label: Option<(&str, String)>, suspended: bool) -> Result<()> {
        let mut labels = json!({"app": name});
        if let Some((key, text)) = label {
            labels[key] = json!(text);
        }
        let containers = json!([{"name": "app", "image": "registry.test/app:1", "args": ["serve"]}]);
        let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": containers}});
        self.ns
            .create(json!({
                "apiVersion": format!("{}/v1", self.group), "kind": "Store", "metadata": {"name": name},
                "spec": {"suspended": suspended, "server": {"count": 2, "pod": pod}},
            }))
            .await?;
        Ok(())
    }

    /// Plays the controller, until what comes back is dropped.
    pub(crate) fn control(&self) -> JoinSet<()> {
        let controller = Controller { api: self.api(), pods: self.ns.api(), group: self.group.clone() };
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                // Whatever was in the way, the next look finds things as they are.
                let _ = controller.look().await;
                tokio::time::sleep(PERIOD).await;
            }
        });
        task
    }

    /// Its Pods, all ready.
    pub(crate) async fn pods(&self, name: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = self.ns.api();
        eventually(format_args!("the Pods of {name} are ready"), DEADLINE, async || {
            let found = pods.list(&ListParams::default().labels(&format!("store={name}"))).await?.items;
            let whole = found.len() == 2 && found.iter().all(|pod| is_ready(pod) && is_alive(pod));
            Ok(whole.then_some(found))
        })
        .await
    }

    /// The uids of its Pods.
    pub(crate) async fn uids(&self, name: &str) -> Result<Vec<String>> {
        let mut uids: Vec<_> = self.pods(name).await?.iter().filter_map(kube::ResourceExt::uid).collect();
        uids.sort();
        Ok(uids)
    }

    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    fn crd(&self) -> String {
        format!("stores.{}", self.group)
    }

    fn api(&self) -> Api<DynamicObject> {
        self.ns.dynamic(&self.group, "v1", "Store")
    }
}

struct Controller {
    api: Api<DynamicObject>,
    pods: Api<Pod>,
    group: String,
}

impl Controller {
    async fn look(&self) -> Result<()> {
        for store in self.api.list(&ListParams::default()).await? {
            self.reconcile(&store).await?;
        }
        Ok(())
    }

    async fn reconcile(&self, store: &DynamicObject) -> Result<()> {
        let (name, uid) = (store.name_any(), store.uid().context("no uid")?);
        let template = &store.data["spec"]["server"]["pod"];
        let wanted = usize::try_from(store.data["spec"]["server"]["count"].as_u64().unwrap_or(0))?;
        let mine = |pod: &Pod| pod.owner_references().iter().any(|by| by.uid == uid) && is_alive(pod);
        let pods: Vec<Pod> = self.pods.list(&ListParams::default()).await?.into_iter().filter(mine).collect();
        let made_from = template.to_string();
        let is_old = |pod: &&Pod| pod.annotations().get(MADE_FROM) != Some(&made_from);
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let status = json!({"status": {
            "seen": store.metadata.generation, "pods": pods.len(), "readyPods": ready,
            "newPods": pods.len() - pods.iter().filter(is_old).count(),
        }});
        self.api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        for _ in pods.len()..wanted {
            let mut pod = template.clone();
            pod["metadata"]["generateName"] = json!(format!("{name}-"));
            pod["metadata"]["labels"]["store"] = json!(name);
            pod["metadata"]["annotations"][MADE_FROM] = json!(made_from);
            pod["metadata"]["ownerReferences"] = json!([{
                "apiVersion": format!("{}/v1", self.group), "kind": "Store", "name": name, "uid": uid, "controller": true,
            }]);
            self.pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        }
        if let Some(old) =
            pods.iter().find(is_old).filter(|_| ready >= wanted && store.data["spec"]["suspended"] != true)
        {
            self.pods.delete(&old.name_any(), &DeleteParams::default()).await?;
        }
        Ok(())
    }
}

fn is_alive(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The manifest of a Pod, for a look at what was injected.
pub(crate) fn manifest(pod: &Pod) -> Result<Value> {
    Ok(serde_json::to_value(pod)?)
}
