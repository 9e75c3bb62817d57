//! An injector without a server: a MutatingAdmissionPolicy with its binding.

use anyhow::{Result, ensure};
use k8s_openapi::api::admissionregistration::v1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::injector::{Placement, Selection, Sidecar, until_a_pod};
use crate::namespace::TestNamespace;

/// A MutatingAdmissionPolicy that adds a sidecar. It goes when the namespace goes that it was installed from.
#[derive(Debug)]
pub struct PolicyInjector<'t> {
    namespace: TestNamespace<'t>,
    name: String,
    selection: Selection,
    sidecar: Sidecar,
}

impl<'t> PolicyInjector<'t> {
    /// Installs one for the Pods that carry [`label`](Self::label), in whatever namespace, and waits until it is in force.
    pub async fn install(namespace: &TestNamespace<'t>, sidecar: Sidecar) -> Result<Self> {
        Self::install_for(namespace, Selection::LabelledPods, sidecar).await
    }

    /// Installs one with another way to select Pods. One that goes by the namespace is in force when this returns only if
    /// the namespace it is installed from has the label.
    pub async fn install_for(namespace: &TestNamespace<'t>, selection: Selection, sidecar: Sidecar) -> Result<Self> {
        ensure!(
            namespace.testbed().supports_mutating_admission_policy(),
            "this cluster has no MutatingAdmissionPolicy v1; a test that needs it asks supports_mutating_admission_policy()"
        );
        // Unique in the cluster, because the namespace is.
        let name = format!("{}-{}", namespace.name(), sidecar.name);
        let injector = Self { namespace: namespace.clone(), name, selection, sidecar };
        let binding = serde_json::from_value(json!({
            "metadata": {"name": injector.name, "ownerReferences": [namespace.as_owner()]},
            "spec": {"policyName": injector.name},
        }))?;
        injector.policies().create(&PostParams::default(), &injector.policy()?).await?;
        injector.bindings().create(&PostParams::default(), &binding).await?;
        injector.wait_until_in_force().await?;
        Ok(injector)
    }

    /// The name of the policy, of its binding, and the value of the label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The label that asks for this sidecar.
    pub fn label(&self) -> (&'static str, String) {
        Selection::label(&self.name)
    }

    /// The sidecar as it is injected now.
    pub fn sidecar(&self) -> &Sidecar {
        &self.sidecar
    }

    /// Injects another version from now on, and waits until it is in force.
    pub async fn set_version(&mut self, version: &str) -> Result<()> {
        self.update(|sidecar| version.clone_into(&mut sidecar.version)).await
    }

    /// Changes the sidecar in any way, and waits until that is in force.
    pub async fn update(&mut self, change: impl FnOnce(&mut Sidecar)) -> Result<()> {
        self.change_at_once(change).await?;
        self.wait_until_in_force().await
    }

    /// Changes the sidecar and does not wait: for tests of what happens meanwhile.
    pub async fn change_at_once(&mut self, change: impl FnOnce(&mut Sidecar)) -> Result<()> {
        change(&mut self.sidecar);
        let patch = Patch::Merge(json!({"spec": self.spec()}));
        self.policies().patch(&self.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until a Pod that is created now gets the sidecar as it is.
    pub async fn wait_until_in_force(&self) -> Result<()> {
        until_a_pod("is in force", &self.namespace, &self.name, |pod| self.sidecar.is_in(pod)).await
    }

    /// Removes policy and binding, and waits until no Pod gets the sidecar any more.
    pub async fn uninstall(self) -> Result<()> {
        self.bindings().delete(&self.name, &DeleteParams::default()).await?;
        self.policies().delete(&self.name, &DeleteParams::default()).await?;
        until_a_pod("is no longer in force", &self.namespace, &self.name, |pod| !self.sidecar.is_named_in(pod)).await
    }

    fn policies(&self) -> Api<MutatingAdmissionPolicy> {
        Api::all(self.client())
    }

    fn bindings(&self) -> Api<MutatingAdmissionPolicyBinding> {
        Api::all(self.client())
    }

    fn client(&self) -> Client {
        self.namespace.client().clone()
    }

    fn policy(&self) -> Result<MutatingAdmissionPolicy> {
        Ok(serde_json::from_value(json!({
            "metadata": {"name": self.name, "ownerReferences": [self.namespace.as_owner()]},
            "spec": self.spec(),
        }))?)
    }

    fn spec(&self) -> Value {
        let mut constraints = self.selection.selectors(&self.name);
        constraints["resourceRules"] =
            json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]);
        json!({
            "matchConstraints": constraints,
            "matchConditions": [{"name": "not-injected-yet", "expression": not_injected_yet(&self.sidecar)}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": json_patch(&self.sidecar)}}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
        })
    }
}

fn not_injected_yet(sidecar: &Sidecar) -> String {
    let name = string(&sidecar.name);
    format!(
        "!object.spec.containers.exists(c, c.name == {name}) && \
         !(has(object.spec.initContainers) && object.spec.initContainers.exists(c, c.name == {name}))"
    )
}

/// JSON Patch and not an apply configuration, which refuses lists like `args`.
fn json_patch(sidecar: &Sidecar) -> String {
    match sidecar.placement {
        Placement::Ordinary => {
            format!(
                r#"[JSONPatch{{op: "add", path: "/spec/containers/-", value: {}}}]"#,
                container(sidecar, "containers")
            )
        }
        // In two steps: a list of containers as a value makes the API server (1.36.3) panic.
        Placement::Native => format!(
            r#"(has(object.spec.initContainers)
                 ? []
                 : [JSONPatch{{op: "add", path: "/spec/initContainers", value: []}}]) +
               [JSONPatch{{op: "add", path: "/spec/initContainers/0", value: {}}}]"#,
            container(sidecar, "initContainers")
        ),
    }
}

fn container(sidecar: &Sidecar, list: &str) -> String {
    let args: Vec<String> = sidecar.args.iter().map(|arg| string(arg)).collect();
    let env = sidecar
        .env
        .iter()
        .map(|(name, value)| format!("Object.spec.{list}.env{{name: {}, value: {}}}", string(name), string(value)));
    let mut fields = vec![
        format!("name: {}", string(&sidecar.name)),
        format!("image: {}", string(&sidecar.image())),
        format!("args: [{}]", args.join(", ")),
        format!("env: [{}]", env.collect::<Vec<_>>().join(", ")),
    ];
    if sidecar.placement == Placement::Native {
        fields.push(r#"restartPolicy: "Always""#.to_owned());
    }
    format!("Object.spec.{list}{{{}}}", fields.join(", "))
}

/// A string of CEL: JSON's escapes are a part of CEL's.
fn string(text: &str) -> String {
    json!(text).to_string()
}
