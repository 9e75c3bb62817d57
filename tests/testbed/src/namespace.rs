//! One namespace per test: a corner of the shared control plane in which nobody else works.

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::BuildHasher as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::eventually::eventually;
use crate::progress;
use crate::testbed::Testbed;

/// Long enough for a busy machine; a new namespace usually takes a tenth of a second.
const DEADLINE: Duration = Duration::from_mins(2);

/// What is shown when a test fails, in this order.
const DUMPED: [(&str, &str, &str); 9] = [
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("batch", "v1", "Job"),
    ("apps", "v1", "ReplicaSet"),
    ("apps", "v1", "ControllerRevision"),
    ("", "v1", "Pod"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Event"),
];

/// A namespace of a test's own, with an administrator's client.
#[derive(Clone)]
pub struct TestNamespace<'t> {
    testbed: &'t Testbed,
    client: Client,
    namespace: Namespace,
}

impl Testbed {
    /// Runs a test in a namespace of its own, named after it.
    ///
    /// The namespace has its ServiceAccount when `test` begins. If the test fails, by an error or by a panic, what is in
    /// the namespace is printed. Then the namespace is deleted (and with it the injectors that were installed from it),
    /// unless `TESTBED_KEEP` is set.
    pub async fn with_namespace<T>(
        &self,
        test_name: &str,
        test: impl AsyncFnOnce(TestNamespace<'_>) -> Result<T>,
    ) -> Result<T> {
        let namespace = self.create_namespace(test_name).await?;
        let outcome = AssertUnwindSafe(test(namespace.clone())).catch_unwind().await;
        if !matches!(outcome, Ok(Ok(_))) {
            print(&namespace.dump().await);
            if let Err(broken) = self.check() {
                print(&format!("{broken:#}"));
            }
        }
        if self.keeps() {
            progress::say(format_args!("the namespace {} stays", namespace.name()));
        } else {
            namespace.delete().await?;
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// A namespace with a random suffix that nobody deletes: for the demo and the benchmarks.
    pub async fn create_namespace(&self, name: &str) -> Result<TestNamespace<'_>> {
        let namespace = serde_json::from_value(json!({
            "metadata": {
                "name": format!("{}-{}", label(name), random_suffix()),
                "labels": {"testbed.sidecar-drift/test": label(name)},
            },
        }))?;
        self.adopt(namespace).await
    }

    /// A namespace with exactly this name.
    pub async fn create_namespace_named(&self, name: &str) -> Result<TestNamespace<'_>> {
        self.adopt(serde_json::from_value(json!({"metadata": {"name": name}}))?).await
    }

    async fn adopt(&self, namespace: Namespace) -> Result<TestNamespace<'_>> {
        let client = self.client().await?;
        let created = Api::all(client.clone()).create(&PostParams::default(), &namespace).await;
        let namespace = created.with_context(|| format!("cannot create the namespace {}", namespace.name_any()))?;
        let name = namespace.name_any();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
        // Without it every Pod of the namespace is refused.
        eventually(format_args!("namespace {name} has its default ServiceAccount"), DEADLINE, async || {
            Ok(accounts.get_opt("default").await?)
        })
        .await?;
        Ok(TestNamespace { testbed: self, client, namespace })
    }
}

impl<'t> TestNamespace<'t> {
    /// Its name.
    pub fn name(&self) -> &str {
        self.namespace.metadata.name.as_deref().unwrap_or_default()
    }

    /// The control plane it is in.
    pub fn testbed(&self) -> &'t Testbed {
        self.testbed
    }

    /// An administrator's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Objects of one kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.name())
    }

    /// Objects of one kind in this namespace, by its name.
    pub fn dynamic(&self, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), self.name(), &resource)
    }

    /// Creates an object from its manifest, in this namespace.
    pub async fn create(&self, manifest: impl Into<Value>) -> Result<Value> {
        let manifest = manifest.into();
        let api = self.api_of(&manifest)?;
        let object: DynamicObject = serde_json::from_value(manifest)?;
        let created = api.create(&PostParams::default(), &object).await;
        let created = created.with_context(|| format!("cannot create {}", object.name_any()))?;
        Ok(serde_json::to_value(created)?)
    }

    /// What the API server makes of an object, without creating it.
    pub async fn dry_run(&self, manifest: impl Into<Value>) -> Result<Value> {
        let manifest = manifest.into();
        let api = self.api_of(&manifest)?;
        let params = PostParams { dry_run: true, ..PostParams::default() };
        Ok(serde_json::to_value(api.create(&params, &serde_json::from_value(manifest)?).await?)?)
    }

    /// Creates a ServiceAccount and returns a kubeconfig for it.
    pub async fn service_account(&self, name: &str) -> Result<PathBuf> {
        self.create(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})).await?;
        self.testbed.service_account_kubeconfig(self.name(), name).await
    }

    /// Sets a label of the namespace itself.
    pub async fn set_label(&self, (key, value): (&str, impl Into<String>)) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"labels": {key: value.into()}}}));
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.patch(self.name(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Another namespace, which goes when this one goes.
    pub async fn create_companion(&self, suffix: &str) -> Result<TestNamespace<'t>> {
        let name = format!("{}-{suffix}", self.name());
        let namespace = json!({"metadata": {"name": name, "ownerReferences": [self.as_owner()]}});
        self.testbed.adopt(serde_json::from_value(namespace)?).await
    }

    /// A reference that makes this namespace the owner of something cluster-wide, which then goes when it goes.
    pub fn as_owner(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "name": self.name(),
            "uid": self.namespace.metadata.uid,
        })
    }

    /// Deletes it and, in the background, everything in it.
    pub async fn delete(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(self.name(), &DeleteParams::background()).await?;
        Ok(())
    }

    /// Everything of interest in it, for a person who wants to know why a test has failed.
    pub async fn dump(&self) -> String {
        let mut text = format!("--- namespace {} ---\n", self.name());
        for (group, version, kind) in DUMPED {
            match self.dynamic(group, version, kind).list(&ListParams::default()).await {
                Ok(objects) => {
                    for object in objects {
                        describe(&mut text, kind, &object);
                    }
                }
                Err(error) => {
                    let _ = writeln!(text, "{kind}: {error}");
                }
            }
        }
        text.push_str("--- end ---\n");
        text
    }

    fn api_of(&self, manifest: &Value) -> Result<Api<DynamicObject>> {
        let api_version = manifest["apiVersion"].as_str().context("a manifest without apiVersion")?;
        let kind = manifest["kind"].as_str().context("a manifest without kind")?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Ok(self.dynamic(group, version, kind))
    }
}

impl std::fmt::Debug for TestNamespace<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("TestNamespace").field(&self.name()).finish()
    }
}

/// One line per object, but for what decides most failures: Pods with their containers, Events with their messages.
fn describe(text: &mut String, kind: &str, object: &DynamicObject) {
    let name = object.name_any();
    let status = &object.data["status"];
    let _ = match kind {
        "ConfigMap" if name == "kube-root-ca.crt" => Ok(()),
        "ConfigMap" => writeln!(text, "{kind} {name}: {}", object.data["data"]),
        "ControllerRevision" => writeln!(text, "{kind} {name}: revision {}", object.data["revision"]),
        "Event" => writeln!(
            text,
            "{kind} {}/{} {}: {}",
            object.data["involvedObject"]["kind"].as_str().unwrap_or_default(),
            object.data["involvedObject"]["name"].as_str().unwrap_or_default(),
            object.data["reason"].as_str().unwrap_or_default(),
            object.data["message"].as_str().unwrap_or_default(),
        ),
        "Pod" => writeln!(
            text,
            "{kind} {name}: {} {:?} initContainers {} containers {}",
            status["phase"].as_str().unwrap_or_default(),
            object.metadata.deletion_timestamp.as_ref().map(|_| "terminating"),
            images(&object.data["spec"]["initContainers"]),
            images(&object.data["spec"]["containers"]),
        ),
        _ => writeln!(text, "{kind} {name}: generation {:?} status {status}", object.metadata.generation),
    };
}

fn images(containers: &Value) -> String {
    let images = containers.as_array().into_iter().flatten().map(|container| {
        let part = |key: &str| container[key].as_str().unwrap_or_default().to_owned();
        format!("{}={}", part("name"), part("image"))
    });
    format!("[{}]", images.collect::<Vec<_>>().join(" "))
}

/// What is left of a test's name in the name of a namespace: 30 characters, so that suffixes still fit.
fn label(name: &str) -> String {
    let clean: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    clean.chars().take(30).collect::<String>().trim_matches('-').to_owned()
}

/// Five letters and digits, like those of `generateName`.
pub(crate) fn random_suffix() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    // The one source of randomness in the standard library.
    let mut random = RandomState::new().hash_one(());
    let mut next = || {
        let index = usize::try_from(random % 32).unwrap_or_default();
        random /= 32;
        ALPHABET.get(index).map_or('a', |byte| char::from(*byte))
    };
    (0..5).map(|_| next()).collect()
}

#[expect(clippy::print_stderr, reason = "the test harness shows it with the test that failed")]
fn print(dump: &str) {
    eprintln!("{dump}");
}
