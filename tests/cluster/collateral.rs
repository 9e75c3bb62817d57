//! What a restart would bring along beside the sidecars (rule C14): all of it is shown and held, and of Pods that nobody's
//! admission changed there is none.

use anyhow::{Context as _, Result, ensure};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    TestNamespace, Testbed, eventually,
    injector::{PolicyInjector, Sidecar},
    skip,
    workload::{Workload, bare_pod, daemon_set, deployment, stateful_set},
};

use crate::support::{DEADLINE, INJECT, Rights, Story, create_beyond, story};

const KINDS: [&str; 3] = ["DaemonSet/agent", "Deployment/web", "StatefulSet/db"];

/// Gives a Pod's specification what the comparison has to get right, some of it in the API server's defaults.
fn enrich(spec: &mut Value) {
    spec["initContainers"] = json!([
        { "name": "migrate", "image": "registry.test/migrate:1" },
        { "name": "seed", "image": "registry.test/seed:1", "terminationMessagePolicy": "FallbackToLogsOnError" },
    ]);
    spec["volumes"] = json!([{ "name": "data", "emptyDir": {} }]);
    let app = &mut spec["containers"][0];
    app["livenessProbe"] = json!({ "httpGet": { "path": "/healthz", "port": 80 } });
    app["readinessProbe"] = json!({ "grpc": { "port": 81 }, "periodSeconds": 7 });
    app["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 1 } } });
    app["ports"] = json!([{ "containerPort": 81, "name": "grpc" }, { "containerPort": 80 }]);
    app["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data", "subPathExpr": "$(MODE)" }]);
    app["env"] = json!([{ "name": "MODE", "value": "plain" }]);
    app["securityContext"] = json!({ "capabilities": { "drop": ["ALL"] } });
}

fn rich(workload: Workload) -> Workload {
    workload.with(|object| enrich(&mut object["spec"]["template"]["spec"]))
}

/// What a scan says of each: the pointers of its collateral, and the gate.
async fn collateral(story: &Story<'_>) -> Result<Vec<(Vec<String>, String)>> {
    let report = story.run(&["scan", "--output=json"]).await?.document()?;
    ensure!(report.0["complete"] == true, "{:#}", report.0);
    let one = |name: &&str| {
        let found = report.workload(name)?;
        ensure!(found["verdict"] == "drifted", "{found:#}");
        let groups = found["groups"].as_array().into_iter().flatten();
        let fields = groups.flat_map(|group| group["collateral"].as_array().into_iter().flatten());
        let mut fields: Vec<_> = fields.filter_map(|field| field["pointer"].as_str().map(str::to_owned)).collect();
        fields.dedup();
        Ok((fields, found["gateInEnforce"].as_str().unwrap_or_default().to_owned()))
    };
    KINDS.iter().map(one).collect()
}

/// A workload of each kind, and what injects into all of them.
async fn deployed<'t>(ns: &TestNamespace<'t>) -> Result<PolicyInjector<'t>> {
    let injector = PolicyInjector::install(ns, Sidecar::new("proxy")).await?;
    tokio::try_join!(
        ns.deploy(rich(deployment("web", 2)).pod_label(injector.label())),
        ns.deploy(rich(stateful_set("db", 2)).pod_label(injector.label())),
        ns.deploy(rich(daemon_set("agent")).pod_label(injector.label())),
    )?;
    Ok(injector)
}

/// A policy that takes the app's probe away, and makes a sidecar of its first init container.
async fn meddle(ns: &TestNamespace<'_>, injector: &str) -> Result<()> {
    let name = format!("{}-meddles", ns.name());
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let patch = r#"[
        JSONPatch{op: "remove", path: "/spec/containers/0/livenessProbe"},
        JSONPatch{op: "add", path: "/spec/initContainers/0/restartPolicy", value: "Always"}
    ]"#;
    let selector = json!({"matchLabels": {INJECT: injector}});
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": [rule], "objectSelector": selector, "namespaceSelector": {}},
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    }});
    let group = "admissionregistration.k8s.io";
    create_beyond(ns, group, "MutatingAdmissionPolicy", &name, policy).await?;
    let binding = json!({"spec": {"policyName": name}});
    create_beyond(ns, group, "MutatingAdmissionPolicyBinding", &name, binding).await?;
    let probe = bare_pod("probe").pod_label((INJECT, injector)).with(|pod| enrich(&mut pod["spec"]));
    eventually("the probe is taken away", DEADLINE, async || {
        let pod = ns.dry_run(probe.clone()).await?;
        Ok(pod["spec"]["containers"][0].get("livenessProbe").is_none().then_some(()))
    })
    .await
}

/// What happens to a Pod while it runs, and does not come from admission.
async fn live_on(ns: &TestNamespace<'_>) -> Result<()> {
    let pod = ns.pods_of("Deployment", "web").await?.first().context("no Pod")?.name_any();
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "debugger", "image": "registry.test/app:1"}]}});
    let pods = ns.api::<k8s_openapi::api::core::v1::Pod>();
    pods.patch_ephemeral_containers(&pod, &PatchParams::default(), &Patch::Strategic(debugger)).await?;
    let defaults = json!([{"type": "Container", "defaultRequest": {"memory": "32Mi"}, "default": {"memory": "64Mi"}}]);
    ns.create(json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {"limits": defaults},
    }))
    .await
    .map(|_| ())
}

#[tokio::test]
async fn c14_untouched_workloads_have_no_collateral() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return skip("it takes policies");
    }
    story("untouched", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = deployed(ns).await?;
        live_on(ns).await?;
        story.create_state().await?;
        injector.set_version("v2").await?;
        for (fields, gate) in collateral(story).await? {
            ensure!(fields.is_empty() && gate != "collateral_change", "{fields:?}, {gate}");
        }
        let rolled = story.run(&["rollout", "--confirm", "--canary=0", "--output=json"]).await?.document()?;
        let ended = rolled.0["rollouts"].as_array().into_iter().flatten();
        ensure!(ended.filter(|rollout| rollout["outcome"] == "converged").count() > 0, "{:#}", rolled.0);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn c14_what_a_restart_would_do_to_the_app_is_shown_and_held() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return skip("it takes policies");
    }
    story("meddled", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = deployed(ns).await?;
        story.create_state().await?;
        injector.set_version("v2").await?;
        meddle(ns, injector.name()).await?;
        let probe = ["/app/livenessProbe/httpGet/path", "/app/livenessProbe/httpGet/port"];
        for (fields, gate) in collateral(story).await? {
            ensure!(fields == [probe[0], probe[1], "/migrate/placement"], "{fields:?}");
            ensure!(gate == "collateral_change", "{gate}");
        }
        let held = story.run(&["rollout", "--confirm", "--output=json"]).await?.document()?;
        ensure!(held.0["rollouts"] == json!([]), "{:#}", held.0);
        let rolled = story.run(&["rollout", "--confirm", "--allow-collateral", "--output=json"]).await?.document()?;
        ensure!(rolled.0["rollouts"][0]["outcome"] == "converged", "{:#}", rolled.0);
        Ok(())
    })
    .await
}
