//! The guard on the real API server, for a ServiceAccount that RBAC lets do everything.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, stream};
use kube::Client;
use serde_json::{Value, json};
use testbed::{
    TestNamespace, Testbed,
    workload::{bare_pod, daemon_set, deployment, stateful_set},
};

use super::{
    fields::Schema,
    release::{RELEASE, Release, until_guarded},
};

const KINDS: [(&str, &str); 3] =
    [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")];

/// What the guard's messages begin with.
const GUARD: &str = "denied request: sidecar-drift guard v1: ";

/// What the API server moves by itself.
const MOVING: [&str; 3] = ["managedFields", "generation", "resourceVersion"];
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// The chart's ServiceAccount as an administrator of its namespace, in which one workload of each kind runs: from here on
/// only the guard is between it and anything. The workloads are called `web`.
async fn story(name: &str, test: impl AsyncFnOnce(&Account, &TestNamespace<'_>) -> Result<()>) -> Result<()> {
    story_with(name, json!({}), test).await
}

/// The same, of a daemon with this configuration.
pub(super) async fn story_with(
    name: &str,
    config: Value,
    test: impl AsyncFnOnce(&Account, &TestNamespace<'_>) -> Result<()>,
) -> Result<()> {
    let testbed = Testbed::shared().await?;
    testbed
        .with_namespace(name, async |ns| {
            let values = json!({ "mode": "enforce", "replicas": 0, "config": config });
            let release = Release::install(&ns, &values).await?;
            ns.create(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": { "name": "too-much" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
                "subjects": [{ "kind": "ServiceAccount", "name": RELEASE, "namespace": ns.name() }],
            }))
            .await?;
            ns.set_label(("pod-security.kubernetes.io/enforce", "privileged")).await?;
            for workload in [deployment("web", 1), stateful_set("web", 1), daemon_set("web")] {
                let with_more = workload
                    .annotation("example.com/theirs", "kept")
                    .pod_annotation("example.com/theirs", "kept")
                    .with(|manifest| fill(&mut manifest["spec"]["template"]["spec"]));
                ns.create(with_more).await?;
            }
            until_guarded(&release).await?;
            let account = Account::new(ns.name(), release.kubeconfig()).await?;
            test(&account, &ns).await?;
            release.uninstall().await
        })
        .await
}

/// Much of what a Pod can have, so that most fields can be changed in their place.
fn fill(spec: &mut Value) {
    let probe = json!({ "exec": { "command": ["true"] } });
    let container = |name: &str| {
        json!({
            "name": name,
            "image": "registry.test/app:1",
            "env": [{ "name": "ONE", "value": "1" }],
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "volumeMounts": [{ "name": "guard", "mountPath": "/mnt" }],
            "livenessProbe": &probe,
            "readinessProbe": &probe,
            "startupProbe": &probe,
            "lifecycle": { "preStop": { "exec": { "command": ["true"] } } },
        })
    };
    spec["containers"] = json!([container("app")]);
    spec["initContainers"] = json!([container("native")]);
    spec["initContainers"][0]["restartPolicy"] = json!("Always");
    spec["volumes"] = json!([{ "name": "guard", "emptyDir": {} }]);
    spec["tolerations"] = json!([{ "key": "guard", "operator": "Exists" }]);
}

/// Sends requests as the chart's ServiceAccount.
pub(super) struct Account {
    client: Client,
    pub(super) namespace: String,
}

/// Status code and body.
pub(super) type Answer = (u16, Value);

impl Account {
    async fn new(namespace: &str, kubeconfig: &Path) -> Result<Self> {
        Ok(Self { client: testbed::client(kubeconfig).await?, namespace: namespace.to_owned() })
    }

    pub(super) async fn send(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Result<Answer> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .header("accept", "application/json")
            .body(kube::client::Body::from(body.to_string().into_bytes()))?;
        let answer = self.client.send(request).await?;
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect_bytes().await?;
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
        Ok((code, body))
    }

    async fn create(&self, what: &str, body: &Value) -> Result<Answer> {
        self.send("POST", &format!("/api/v1/namespaces/{}/{what}", self.namespace), "application/json", body).await
    }

    fn path(&self, plural: &str, query: &str) -> String {
        format!("/apis/apps/v1/namespaces/{}/{plural}/web{query}", self.namespace)
    }

    async fn patch(&self, plural: &str, query: &str, patch: &Value) -> Result<Answer> {
        self.send("PATCH", &self.path(plural, query), "application/json-patch+json", patch).await
    }

    /// The answer to the first of these patches that would change something; else to one that was taken without effect;
    /// else to one that was refused for what it says.
    async fn attempt(&self, plural: &str, object: &Value, patches: &[Value]) -> Result<Answer> {
        let mut best = None;
        for patch in patches {
            let answer = self.patch(plural, "?dryRun=All", patch).await?;
            let changes = answer.0 == 200 && steady(&answer.1) != steady(object);
            if changes || message(&answer).contains(GUARD) {
                return Ok(answer);
            }
            if answer.0 == 200 || best.is_none() {
                best = Some(answer);
            }
        }
        best.context("no patch at all")
    }

    async fn read(&self, plural: &str) -> Result<Value> {
        let (code, object) = self.send("GET", &self.path(plural, ""), "application/json", &Value::Null).await?;
        if code != 200 {
            bail!("{object}");
        }
        Ok(object)
    }
}

fn message((_, status): &Answer) -> &str {
    status["message"].as_str().unwrap_or_default()
}

#[track_caller]
pub(super) fn denied(answer: &Answer, because: &str) {
    let expected = format!("{GUARD}{because}");
    assert!(matches!(answer.0, 403 | 422) && message(answer).ends_with(&expected), "{answer:?}, not {because:?}");
}

#[tokio::test]
async fn pods_may_be_created_in_dry_run_only_and_nothing_else_may_be_done_with_them() -> Result<()> {
    const NOTHING_ELSE: &str = "Pods may be created as a dry run, and nothing else may be done with them";
    story("guard-pods", async |account, ns| {
        let pod = Value::from(bare_pod("mine"));
        let (code, answer) = account.create("pods?dryRun=All", &pod).await?;
        assert_eq!(code, 201, "{answer}");
        denied(&account.create("pods", &pod).await?, NOTHING_ELSE);

        let probe = Value::from(bare_pod("probe").pod_annotation("sidecar-drift/guard-probe", "whatever"));
        denied(&account.create("pods?dryRun=All", &probe).await?, "this is a probe and never created");
        denied(&account.create("pods", &probe).await?, NOTHING_ELSE);

        // Somebody else's.
        ns.create(bare_pod("theirs")).await?;
        let path = format!("/api/v1/namespaces/{}/pods/theirs", account.namespace);
        let image = json!([{ "op": "replace", "path": "/spec/containers/0/image", "value": "mine" }]);
        denied(&account.send("PATCH", &path, "application/json-patch+json", &image).await?, NOTHING_ELSE);
        denied(&account.send("DELETE", &path, "application/json", &json!({})).await?, NOTHING_ELSE);
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": "theirs", "namespace": account.namespace },
        });
        denied(&account.create("pods/theirs/eviction", &eviction).await?, NOTHING_ELSE);
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "theirs" },
            "target": { "apiVersion": "v1", "kind": "Node", "name": "node-0" },
        });
        denied(&account.create("pods/theirs/binding", &binding).await?, NOTHING_ELSE);
        denied(&account.create("pods/theirs/exec?command=true&stdout=true", &Value::Null).await?, NOTHING_ELSE);
        Ok(())
    })
    .await
}

/// The twin of the test above: where the configuration allows evictions, Pods may be evicted, and only so.
#[tokio::test]
async fn pods_may_be_evicted_by_uid_where_that_is_configured_and_never_deleted() -> Result<()> {
    const NOTHING_ELSE: &str = "Pods may be created as a dry run, and nothing else may be done with them";
    const BY_UID: &str = "a Pod may be evicted by its uid only, and as gently as it wants";
    story_with("guard-evict", json!({ "evict-on-delete": true }), async |account, ns| {
        denied(&account.create("pods", &Value::from(bare_pod("mine"))).await?, NOTHING_ELSE);
        let theirs = ns.create(bare_pod("theirs")).await?;
        let path = format!("/api/v1/namespaces/{}/pods/theirs", account.namespace);
        denied(&account.send("DELETE", &path, "application/json", &json!({})).await?, NOTHING_ELSE);
        let uid = &theirs["metadata"]["uid"];
        let eviction = |options: Value| {
            json!({
                "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options,
                "metadata": { "name": "theirs", "namespace": account.namespace },
            })
        };
        let known = json!({ "preconditions": { "uid": uid } });
        for options in [
            Value::Null,
            json!({}),
            json!({ "preconditions": {} }),
            json!({ "preconditions": { "resourceVersion": "1" } }),
            json!({ "preconditions": { "uid": uid }, "gracePeriodSeconds": 0 }),
            json!({ "preconditions": { "uid": uid }, "propagationPolicy": "Orphan" }),
        ] {
            denied(&account.create("pods/theirs/eviction", &eviction(options)).await?, BY_UID);
        }
        let another = json!({ "preconditions": { "uid": "another" } });
        let (code, answer) = account.create("pods/theirs/eviction", &eviction(another)).await?;
        assert_eq!(code, 409, "{answer}");
        let (code, answer) = account.create("pods/theirs/eviction", &eviction(known)).await?;
        assert_eq!(code, 201, "{answer}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn workloads_may_be_stamped_and_nothing_else_may_be_done_with_them() -> Result<()> {
    const NOTHING_ELSE: &str = "workloads may be stamped, and nothing else may be done with them";
    const ONLY_THE_STAMP: &str = "of the Pod template's annotations only the stamp may be set, and none removed";
    story("guard-stamp", async |account, ns| {
        let annotation = |key: &str| format!("/spec/template/metadata/annotations/{}", key.replace('/', "~1"));
        for (kind, plural) in KINDS {
            let stamp: Vec<_> = ["timestamp", "reason", "fingerprint"]
                .map(|word| json!({ "op": "add", "path": annotation(&format!("sidecarRollout.rollout.{word}")), "value": "x" }))
                .to_vec();
            // Twice: as the first stamp, and over an earlier one.
            for value in ["1", "2"] {
                let stamp: Vec<_> = stamp.iter().map(|op| json!({ "op": "add", "path": op["path"], "value": value })).collect();
                for query in ["?dryRun=All", ""] {
                    let (code, answer) = account.patch(plural, query, &json!(stamp)).await?;
                    assert_eq!(code, 200, "{kind}: {answer}");
                }
            }
            for (operation, key) in [
                ("remove", "sidecarRollout.rollout.timestamp"),
                ("remove", "example.com/theirs"),
                ("replace", "example.com/theirs"),
                ("add", "example.com/mine"),
                ("add", "sidecarRollout.rollout.else"),
                ("add", "otherRollout.rollout.timestamp"),
            ] {
                let patch = json!([{ "op": operation, "path": annotation(key), "value": "mine" }]);
                denied(&account.patch(plural, "", &patch).await?, ONLY_THE_STAMP);
            }
            let all = json!([{ "op": "remove", "path": "/spec/template/metadata/annotations" }]);
            let (code, _) = account.patch(plural, "", &all).await?;
            assert_eq!(code, 403);

            denied(&account.send("DELETE", &account.path(plural, ""), "application/json", &json!({})).await?, NOTHING_ELSE);
            let status = json!([{ "op": "add", "path": "/status/observedGeneration", "value": 99 }]);
            let path = account.path(plural, "/status");
            denied(&account.send("PATCH", &path, "application/json-patch+json", &status).await?, NOTHING_ELSE);
            if kind != "DaemonSet" {
                let scale = json!({ "spec": { "replicas": 9 } });
                let path = account.path(plural, "/scale");
                denied(&account.send("PATCH", &path, "application/merge-patch+json", &scale).await?, NOTHING_ELSE);
            }
            let mut another = account.read(plural).await?;
            another["metadata"] = json!({ "name": "another", "labels": {} });
            let collection = format!("/apis/apps/v1/namespaces/{}/{plural}?dryRun=All", account.namespace);
            denied(&account.send("POST", &collection, "application/json", &another).await?, NOTHING_ELSE);
            // It is there for others.
            ns.workloads(kind)?.get("web").await?;
        }
        Ok(())
    })
    .await
}

/// How the patches of one kind ended.
#[derive(Debug, Default)]
struct Tally {
    by_guard: usize,
    /// The value makes no sense to the API server, or the field cannot be changed by anybody.
    by_validation: usize,
    without_effect: usize,
    changed: Vec<String>,
}

#[tokio::test]
async fn no_field_but_the_stamp_can_be_changed() -> Result<()> {
    story("guard-fields", async |account, _| {
        let (_, document) = account.send("GET", "/openapi/v3/apis/apps/v1", "application/json", &Value::Null).await?;
        for (kind, plural) in KINDS {
            let schema = Schema::of(&document, kind)?;
            let leaves = schema.leaves();
            let object = account.read(plural).await?;
            let mut attempts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for leaf in &leaves {
                let patches = schema.changed(&object, leaf).map(|changed| json_patch::diff(&object, &changed));
                let patches = patches.map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
                attempts.insert(format!("set {}", leaf.path()), patches);
            }
            for pointer in pointers(&object) {
                attempts.insert(format!("remove {pointer}"), vec![json!([{ "op": "remove", "path": pointer }])]);
            }
            let sent = attempts.len();
            let answers: Vec<(String, Result<Answer>)> = stream::iter(attempts)
                .map(async |(what, patches)| (what, account.attempt(plural, &object, &patches).await))
                .buffer_unordered(4)
                .collect()
                .await;
            let mut tally = Tally::default();
            for (what, answer) in answers {
                let answer = answer.with_context(|| what.clone())?;
                let message = message(&answer);
                match answer.0 {
                    200 if steady(&answer.1) == steady(&object) => tally.without_effect += 1,
                    200 => tally.changed.push(what),
                    400..500 if message.contains(GUARD) => tally.by_guard += 1,
                    400 | 403 | 409 | 422 => tally.by_validation += 1,
                    // A resourceVersion that is no number.
                    500 if message.contains("invalid syntax") => tally.by_validation += 1,
                    _ => bail!("{what}: {answer:?}"),
                }
            }
            let Tally { by_guard, by_validation, without_effect, changed } = tally;
            println!(
                "{kind}: {} fields, {sent} patches: {by_guard} denied by the guard, {by_validation} refused by validation, \
                 {without_effect} without effect, {} let through",
                leaves.len(),
                changed.len()
            );
            assert!(changed.is_empty(), "{kind}: {changed:#?}");
            // Else this shows what validation does, and not what the guard does.
            assert!(by_guard > 500, "{kind}: only {by_guard} of {sent} reached the guard");
        }
        Ok(())
    })
    .await
}

/// The object without what the API server itself moves.
fn steady(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in MOVING {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(TEMPLATE_GENERATION);
        }
    }
    // Controllers write it meanwhile.
    object["status"] = Value::Null;
    object
}

/// JSON pointers to everything in an object.
fn pointers(object: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, found: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(fields) => {
                fields.iter().map(|(key, v)| (key.replace('~', "~0").replace('/', "~1"), v)).collect()
            }
            Value::Array(items) => items.iter().enumerate().map(|(n, v)| (n.to_string(), v)).collect(),
            _ => Vec::new(),
        };
        for (key, child) in children {
            let pointer = format!("{at}/{key}");
            walk(child, &pointer, found);
            found.push(pointer);
        }
    }
    let mut found = Vec::new();
    walk(object, "", &mut found);
    found
}
