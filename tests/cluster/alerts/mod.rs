//! The alerts as they are shipped, in a real Prometheus that scrapes a real daemon: each fires in the state that it is for, and no
//! other does. In the same state the first command of its runbook prints what the page says.

mod prometheus;
mod runbook;

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    authorization::v1::SubjectAccessReview, coordination::v1::Lease, core::v1::ConfigMap, rbac::v1::Role,
};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::{
    Options, TestNamespace, Testbed, eventually,
    injector::{Failure, PolicyInjector, Reach, Sidecar, WebhookInjector, WebhookOptions},
    skip, tool,
    workload::{Workload, bare_pod, deployment},
};

use self::prometheus::Prometheus;
use crate::support::{ACCOUNT, DEADLINE, Daemon, Injector, Rights, create_beyond, story, story_on, web};

const OLDEST: &str = "sidecar_drift_oldest_drift_seconds";

/// Both of a daemon's listeners.
const LISTEN: [&str; 2] = ["--listen=127.0.0.1:0", "--api-listen=127.0.0.1:0"];

async fn metrics_of(daemon: &Daemon<'_>) -> Result<String> {
    daemon.address_of("/metrics").await
}

async fn api_of(daemon: &Daemon<'_>) -> Result<String> {
    daemon.address_of("the API").await
}

#[tokio::test]
async fn drift_fires_an_alert_that_its_rollout_resolves() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("alerts-drift", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("mesh-proxy")).await?;
        ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        let daemon = story.daemon(&[&LISTEN[..], &["--without-guard"]].concat())?;
        daemon.until_verdict("Deployment/web", "in_sync", None).await?;
        let address = metrics_of(&daemon).await?;
        let Some(prometheus) = Prometheus::start(ns, &[&address]).await? else { return Ok(()) };
        prometheus.until_scraped().await?;
        eventually("Prometheus knows that nothing differs", DEADLINE, async || {
            Ok((prometheus.value(OLDEST).await?.as_deref() == Some("0")).then_some(()))
        })
        .await?;
        prometheus.until_exactly(&[]).await?;

        injector.set_version("v2").await?;
        let firing = prometheus.until_exactly(&["SidecarDriftOld"]).await?;
        let said = firing[0]["annotations"]["description"].as_str().context("no description")?;
        ensure!(said.starts_with("The oldest difference has been known for "), "{said}");
        checked_by_promtool(&web::body(&address, "/metrics").await?)?;

        story.run(&["rollout", "--confirm"]).await?.success()?;
        prometheus.until_exactly(&[]).await?;
        ensure!(daemon.terminate().await?.success());
        prometheus.until_exactly(&["SidecarDriftAbsent"]).await.map(drop)
    })
    .await
}

/// `promtool check metrics`, of a scrape.
fn checked_by_promtool(scrape: &str) -> Result<()> {
    let Some(promtool) = tool("promtool") else { return Ok(()) };
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("no input")?.write_all(scrape.as_bytes())?;
    let ran = child.wait_with_output()?;
    let said = String::from_utf8(ran.stdout)? + &String::from_utf8(ran.stderr)?;
    ensure!(ran.status.success() && said.trim().is_empty(), "promtool check metrics: {said}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_workloads_is_told_apart() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !testbed.supports_mutating_admission_policy() || !testbed.supports_webhook_injectors() {
        return skip("it takes a policy and a webhook of our own");
    }
    story("alerts-workloads", Rights::Enforce, async |story| {
        let ns = &story.ns;
        story.create_state().await?;
        let mut mesh = PolicyInjector::install(ns, Sidecar::new("mesh-proxy").version("1.27.0")).await?;
        let vault = PolicyInjector::install(ns, Sidecar::new("vault-agent")).await?;
        let by_url = WebhookOptions { reach: Reach::Url, ..WebhookOptions::default() };
        let silent = WebhookInjector::install_with(ns, Sidecar::new("otel"), by_url).await?;
        tokio::try_join!(
            ns.deploy(deployment("cart", 2).pod_label(mesh.label())),
            ns.deploy(deployment("web", 1).pod_label(mesh.label())),
            ns.deploy(ledger(deployment("ledger", 1)).pod_label(mesh.label())),
            ns.deploy(deployment("mailer", 1).pod_label(vault.label())),
            ns.deploy(deployment("search", 1).pod_label(silent.label())),
        )?;
        let daemon = story.daemon(&[&LISTEN[..], &["--absence=3s", "--without-guard"]].concat())?;
        for name in ["cart", "web", "ledger", "mailer", "search"] {
            daemon.until_verdict(&format!("Deployment/{name}"), "in_sync", None).await?;
        }
        let address = metrics_of(&daemon).await?;
        let Some(prometheus) = Prometheus::start(ns, &[&address]).await? else { return Ok(()) };
        prometheus.until_scraped().await?;
        prometheus.until_exactly(&[]).await?;

        refuse_ledgers(ns).await?;
        mesh.set_version("1.27.1").await?;
        for name in ["cart", "web"] {
            daemon.until_verdict(&format!("Deployment/{name}"), "drifted", None).await?;
        }
        silent.set(|knobs| knobs.failure = Some(Failure::Unpatched));
        silent.edit_webhook(|webhook| webhook["timeoutSeconds"] = json!(7)).await?;
        vault.uninstall().await?;
        let wrong =
            ["SidecarDriftOld", "SidecarDriftRejected", "SidecarDriftRemoved", "SidecarDriftInjectorUnavailable"];
        prometheus.until_exactly(&wrong).await?;
        runbook::all_hold(&wrong, &api_of(&daemon).await?, ns).await?;
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

fn ledger(workload: Workload) -> Workload {
    workload.with(|manifest| {
        let pod = if manifest["kind"] == "Pod" { &mut *manifest } else { &mut manifest["spec"]["template"] };
        pod["spec"]["containers"][0]["image"] = json!("registry.test/ledger:1");
    })
}

/// No Pod with this image is let in from now on.
async fn refuse_ledgers(ns: &TestNamespace<'_>) -> Result<()> {
    let name = format!("{}-signed", ns.name());
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]);
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": ns.name()}});
    let expression = "!object.spec.containers.exists(c, c.image.contains('/ledger'))";
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules, "namespaceSelector": selector},
        "validations": [{"expression": expression, "message": "images of registry.test/ledger are not signed"}],
    });
    let group = "admissionregistration.k8s.io";
    create_beyond(ns, group, "ValidatingAdmissionPolicy", &name, json!({"spec": spec})).await?;
    let binding = json!({"spec": {"policyName": name, "validationActions": ["Deny"]}});
    create_beyond(ns, group, "ValidatingAdmissionPolicyBinding", &name, binding).await?;
    eventually("ledgers are refused", DEADLINE, async || {
        Ok(ns.dry_run(ledger(bare_pod("refused"))).await.is_err().then_some(()))
    })
    .await
}

#[tokio::test]
async fn what_may_not_be_seen_or_asked_is_told() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    // It may not even create a Pod as a dry run.
    story("alerts-rights", Rights::Look, async |story| {
        let ns = &story.ns;
        let injector = Injector::install(ns, Sidecar::new("mesh-proxy")).await?;
        ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        take_away(ns, "poddisruptionbudgets").await?;
        let daemon = story.daemon(&[&LISTEN[..], &["--without-guard"]].concat())?;
        let address = metrics_of(&daemon).await?;
        let Some(prometheus) = Prometheus::start(ns, &[&address]).await? else { return Ok(()) };
        let wrong = ["SidecarDriftUndetermined", "SidecarDriftWatchDown"];
        prometheus.until_exactly(&wrong).await?;
        runbook::all_hold(&wrong, &api_of(&daemon).await?, ns).await?;
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

/// Takes the right to watch something from the story's ServiceAccount, and waits until that is so.
async fn take_away(ns: &TestNamespace<'_>, resource: &str) -> Result<()> {
    let api = ns.api::<Role>();
    let mut role = api.get(ACCOUNT).await?;
    let rules = role.rules.as_mut().context("no rules")?;
    rules.retain(|rule| !rule.resources.as_ref().is_some_and(|named| named.iter().any(|name| name == resource)));
    api.replace(ACCOUNT, &PostParams::default(), &role).await?;
    let review = serde_json::from_value(json!({"spec": {
        "user": format!("system:serviceaccount:{}:{ACCOUNT}", ns.name()),
        "resourceAttributes": {"verb": "list", "group": "policy", "resource": resource, "namespace": ns.name()},
    }}))?;
    let reviews: Api<SubjectAccessReview> = Api::all(ns.client().clone());
    eventually("the right is gone", DEADLINE, async || {
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok((!answer.status.is_some_and(|status| status.allowed)).then_some(()))
    })
    .await
}

/// On a control plane of its own, because the guard is one for the cluster, and others test it.
#[tokio::test]
async fn a_daemon_that_may_not_act_does_not_lead_or_is_not_there_is_told() -> Result<()> {
    let testbed = Testbed::start(Options::default()).await?;
    if !Injector::supported(&testbed) {
        return skip("there is no injector that this cluster can have");
    }
    story_on(&testbed, "alerts-daemon", Rights::Enforce, async |story| {
        let ns = &story.ns;
        story.create_state().await?;
        let daemon = story.daemon(&[&LISTEN[..], &["--mode=enforce"]].concat())?;
        let address = metrics_of(&daemon).await?;
        let Some(prometheus) = Prometheus::start(ns, &[&address]).await? else { return Ok(()) };
        prometheus.until_exactly(&["SidecarDriftGuardMissing"]).await?;
        runbook::holds("SidecarDriftGuardMissing", None, ns).await?;
        // As rollouts that go wrong would open it.
        let breaker = |where_from: &str| {
            let reason = format!("2 of the last 2 rollouts {where_from}, Deployment/shop/web last: failed");
            json!({ "reason": reason, "at": "2026-11-22T15:20:11Z" })
        };
        let put = async |record: Value| {
            let state = Patch::Merge(json!({ "data": { "state.json": record.to_string() } }));
            ns.api::<ConfigMap>().patch("sidecar-drift-state", &PatchParams::default(), &state).await
        };
        put(json!({ "breakers": { "shop": breaker("in shop went wrong") } })).await?;
        prometheus.until_exactly(&["SidecarDriftGuardMissing", "SidecarDriftBreakerOpenInNamespace"]).await?;
        runbook::holds("SidecarDriftBreakerOpenInNamespace", Some(&api_of(&daemon).await?), ns).await?;
        put(json!({ "breaker": breaker("went wrong, in more than one namespace") })).await?;
        prometheus.until_exactly(&["SidecarDriftGuardMissing", "SidecarDriftBreakerOpen"]).await?;
        runbook::holds("SidecarDriftBreakerOpen", Some(&api_of(&daemon).await?), ns).await?;
        let here = ["resume", "--state-namespace", ns.name()];
        story.run_anywhere(story.kubeconfig(), &here).await?.success()?;
        prometheus.until_exactly(&["SidecarDriftGuardMissing"]).await?;
        ensure!(daemon.terminate().await?.success());
        prometheus.until_exactly(&["SidecarDriftAbsent"]).await?;
        runbook::holds("SidecarDriftAbsent", None, ns).await?;

        // Whoever holds it is gone, but it was promised to them for an hour.
        let lease = json!({ "spec": {
            "holderIdentity": "sidecar-drift-6d8f9c7b5d-x2z4k_d2ba0ebb", "leaseDurationSeconds": 3600,
            "renewTime": "2026-11-22T15:27:06.450005Z",
        }});
        ns.api::<Lease>().patch("sidecar-drift", &PatchParams::default(), &Patch::Merge(lease)).await?;
        let follower = story.daemon(&[&LISTEN[..], &["--leader-election"]].concat())?;
        let address = metrics_of(&follower).await?;
        let Some(second) = Prometheus::start(&ns.create_companion("second").await?, &[&address]).await? else {
            return Ok(());
        };
        second.until_exactly(&["SidecarDriftNotLeading"]).await?;
        runbook::holds("SidecarDriftNotLeading", None, ns).await?;
        ensure!(follower.terminate().await?.success());
        Ok(())
    })
    .await?;
    testbed.stop().await
}

#[tokio::test]
async fn what_does_not_converge_is_told() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return skip("it takes a webhook of our own");
    }
    story("alerts-in-vain", Rights::Enforce, async |story| {
        let ns = &story.ns;
        story.create_state().await?;
        let by_url = WebhookOptions { reach: Reach::Url, ..WebhookOptions::default() };
        let injector = WebhookInjector::install_with(ns, Sidecar::new("mesh-proxy"), by_url).await?;
        ns.deploy(deployment("cart", 1).pod_label(injector.label())).await?;
        injector.set(|knobs| knobs.in_dry_run = Some(Sidecar::new("mesh-proxy").version("v2")));
        // Until two minutes after its configuration changed, an injector may still give what it gave before, and nothing
        // that it gives is held against it.
        tokio::time::sleep(Duration::from_secs(125)).await;
        let enforce = ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--soak=1s"];
        let daemon = story.daemon(&[&LISTEN[..], &enforce].concat())?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "cart").await?;
        assert_eq!(ended.text("outcome"), "non_convergent", "{ended:?}");
        // Nothing is believed of that injector any more, until something of it moves.
        injector.edit_webhook(|webhook| webhook["timeoutSeconds"] = json!(7)).await?;
        let address = metrics_of(&daemon).await?;
        let Some(prometheus) = Prometheus::start(ns, &[&address]).await? else { return Ok(()) };
        let firing = prometheus.until_exactly(&["SidecarDriftOld", "SidecarDriftNonConvergent"]).await?;
        ensure!(firing.iter().all(|alert| alert["labels"]["severity"] == "warning"), "{firing:?}");
        runbook::holds("SidecarDriftNonConvergent", Some(&api_of(&daemon).await?), ns).await?;
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

#[test]
fn every_alert_and_its_runbook_are_here() -> Result<()> {
    // It fires of a daemon that is broken, and after 20 minutes: its rule has a test of its own, beside the rules.
    const BROKEN: &str = "SidecarDriftLoops";
    let rules: Value = serde_saphyr::from_str(&fs::read_to_string("deploy/alerts/rules.yaml")?)?;
    let here = include_str!("mod.rs");
    for rule in rules["groups"][0]["rules"].as_array().context("no rules")? {
        let name = rule["alert"].as_str().context("a rule without a name")?;
        ensure!(name == BROKEN || here.contains(&format!("\"{name}\"")), "{name} is not shown to fire");
    }
    Ok(())
}
