//! What a controller gives each Pod and no other, and what injectors copy of it, is no drift (rule R3).

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{
    TestNamespace, Testbed, eventually, skip,
    workload::{bare_pod, daemon_set, stateful_set},
};

use crate::support::{DEADLINE, INJECT, Rights, Story, create_beyond, resource_of, story};

/// Whose injectors copy a name or a hash.
const SETS: usize = 4;

const GROUP: &str = "admissionregistration.k8s.io";
const POLICY: &str = "MutatingAdmissionPolicy";

/// What a policy writes into its sidecar, in CEL.
struct Copies {
    name: &'static str,
    arg: String,
    /// It puts that into the app's container, too.
    into_app: bool,
}

const INDEX: &str = r#"object.metadata.labels["apps.kubernetes.io/pod-index"]"#;
const NODE: &str = "object.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution\
                    .nodeSelectorTerms[0].matchFields[0].values[0]";

fn copies() -> [Copies; 4] {
    let of = |name, arg: String, into_app| Copies { name, arg, into_app };
    let dns = r#"object.spec.hostname + "." + object.spec.subdomain + ".svc of " + object.metadata.name"#;
    [
        of("shard", format!(r#""--shard=" + {INDEX}"#), true),
        of("name", dns.to_owned(), false),
        of("hash", format!("string((int({INDEX}) + 17) * 7919 % 104729)"), false),
        of("node", format!(r#""--node=" + {NODE}"#), true),
    ]
}

impl Copies {
    fn policy(&self, ns: &TestNamespace<'_>) -> String {
        format!("{}-{}", ns.name(), self.name)
    }

    fn label(&self, ns: &TestNamespace<'_>) -> (&'static str, String) {
        (INJECT, self.policy(ns))
    }

    fn spec(&self, ns: &TestNamespace<'_>, version: &str, prefix: &str) -> Value {
        let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
        let arg = format!(r#""{prefix}" + {}"#, self.arg);
        let app = if self.into_app {
            format!(
                r#"JSONPatch{{op: "add", path: "/spec/containers/0/env/-", value: Object.spec.containers.env{{name: "COPY", value: {arg}}}}}, "#
            )
        } else {
            String::new()
        };
        let patch = format!(
            r#"[{app}JSONPatch{{op: "add", path: "/spec/containers/-", value: Object.spec.containers{{
                name: "proxy", image: "registry.test/proxy:{version}", args: [{arg}]}}}}]"#
        );
        let selector = json!({"matchLabels": {INJECT: self.policy(ns)}});
        json!({
            "matchConstraints": {"resourceRules": [rule], "objectSelector": selector, "namespaceSelector": {}},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
        })
    }

    async fn install(&self, ns: &TestNamespace<'_>) -> Result<()> {
        let (name, spec) = (self.policy(ns), self.spec(ns, "1", ""));
        create_beyond(ns, GROUP, POLICY, &name, json!({ "spec": spec })).await?;
        let binding = json!({"spec": {"policyName": name}});
        create_beyond(ns, GROUP, "MutatingAdmissionPolicyBinding", &name, binding).await?;
        self.until(ns, "1", "").await
    }

    async fn set(&self, ns: &TestNamespace<'_>, version: &str, prefix: &str) -> Result<()> {
        let api: Api<DynamicObject> = Api::all_with(ns.client().clone(), &resource_of(GROUP, POLICY));
        let patch = Patch::Merge(json!({ "spec": self.spec(ns, version, prefix) }));
        api.patch(&self.policy(ns), &PatchParams::default(), &patch).await?;
        self.until(ns, version, prefix).await
    }

    /// Waits until that is in force.
    async fn until(&self, ns: &TestNamespace<'_>, version: &str, prefix: &str) -> Result<()> {
        let probe = bare_pod("probe-3").pod_label(self.label(ns)).with(|pod| {
            pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!("3");
            pod["spec"]["hostname"] = json!("probe-3");
            pod["spec"]["subdomain"] = json!("probe");
            add_env(pod, "/spec");
            let field = json!({"key": "metadata.name", "operator": "In", "values": ["node-1"]});
            let required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
            pod["spec"]["affinity"] =
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        });
        eventually(format_args!("{} is in force", self.name), DEADLINE, async || {
            let pod = ns.dry_run(probe.clone()).await?;
            let proxy = &pod["spec"]["containers"][1];
            let arg = proxy["args"][0].as_str().unwrap_or_default();
            let image = format!("registry.test/proxy:{version}");
            Ok((proxy["image"] == image.as_str() && arg.starts_with(prefix)).then_some(()))
        })
        .await
    }
}

/// Gives the app something to which a policy can add: one that adds a list of objects makes the API server 1.36.3 panic.
fn add_env(object: &mut Value, pod: &str) {
    if let Some(app) = object.pointer_mut(&format!("{pod}/containers/0")) {
        app["env"] = json!([{ "name": "MODE", "value": "plain" }]);
    }
}

/// What a scan says of each of these, and which fields of the sidecar differ.
async fn said(story: &Story<'_>, names: &[String]) -> Result<Vec<String>> {
    let report = story.run(&["scan", "--output=json"]).await?.document()?;
    ensure!(report.0["complete"] == true, "{:#}", report.0);
    let one = |name: &String| {
        let found = report.workload(name)?;
        let groups = found["groups"].as_array().into_iter().flatten();
        let sidecars = groups.flat_map(|group| group["sidecars"].as_array().into_iter().flatten());
        let fields = sidecars.flat_map(|sidecar| sidecar["fields"].as_array().into_iter().flatten());
        let mut fields: Vec<_> = fields.filter_map(|field| field["pointer"].as_str()).collect();
        fields.sort_unstable();
        fields.dedup();
        let collateral = |group: &Value| group["collateral"].as_array().is_some_and(|fields| !fields.is_empty());
        let collateral = found["groups"].as_array().is_some_and(|groups| groups.iter().any(collateral));
        let collateral = if collateral { " and collateral" } else { "" };
        Ok(format!("{} {}{collateral}", found["verdict"].as_str().context("no verdict")?, fields.join(" ")))
    };
    names.iter().map(one).collect()
}

#[tokio::test]
async fn r3_what_follows_the_ordinal_or_the_node_is_no_drift_and_the_rest_is() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return skip("it takes a policy that injects");
    }
    story("identity", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let copies = copies();
        let [shard, name, hash, node] = &copies;
        try_join_all(copies.iter().map(|copies| copies.install(ns))).await?;
        // Four sets whose injectors write the hostname and the DNS name, or a hash; one with an index, and a DaemonSet.
        let sets = (0..SETS).map(|n| {
            let injector = if n % 2 == 0 { name } else { hash };
            ns.deploy(stateful_set(&format!("set-{n}"), 2).pod_label(injector.label(ns)))
        });
        let shards = ns.deploy(
            stateful_set("shard", 3).pod_label(shard.label(ns)).with(|set| add_env(set, "/spec/template/spec")),
        );
        let agent =
            ns.deploy(daemon_set("agent").pod_label(node.label(ns)).with(|set| add_env(set, "/spec/template/spec")));
        tokio::try_join!(try_join_all(sets), shards, agent)?;

        let mut all: Vec<_> = (0..SETS).map(|n| format!("StatefulSet/set-{n}")).collect();
        all.extend(["StatefulSet/shard".to_owned(), "DaemonSet/agent".to_owned()]);
        assert_eq!(said(story, &all).await?, vec!["in_sync "; all.len()]);

        // The twins: the same in another form is drift, and the image beside what follows.
        shard.set(ns, "1", "--of").await?;
        node.set(ns, "1", "--of").await?;
        let few = &all[SETS..];
        assert_eq!(said(story, few).await?, ["drifted /args/0 and collateral", "drifted /args/0 and collateral"]);
        shard.set(ns, "2", "").await?;
        node.set(ns, "2", "").await?;
        name.set(ns, "2", "").await?;
        hash.set(ns, "2", "").await?;
        assert_eq!(said(story, &all).await?, vec!["drifted /image"; all.len()]);

        let arguments = ["rollout", "--confirm", "--include-statefulset", "--include-daemonset", "--output=json"];
        let limits = ["--canary=0", "--min-ready=1s", "--parallel-rollouts=20", "--parallel-per-namespace=20"];
        let done = story.run(&[&arguments[..], &limits].concat()).await?.document()?;
        let rolled = done.0["rollouts"].as_array().context("no rollouts")?;
        ensure!(rolled.len() == all.len(), "{:#}", done.0);
        ensure!(rolled.iter().all(|rollout| rollout["outcome"] == "converged"), "{:#}", done.0);
        assert_eq!(said(story, &all).await?, vec!["in_sync "; all.len()]);
        Ok(())
    })
    .await
}
