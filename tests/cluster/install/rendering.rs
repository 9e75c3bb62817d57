//! What the chart renders: golden texts, and what Helm and the API server say to them.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::Testbed;

use super::{helm, release::validate};

/// Sets of values that cover every template.
pub(super) fn sets(namespace: &str, another: &str) -> [(&'static str, Value); 8] {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    [
        ("defaults", json!({})),
        (
            "enforce",
            json!({
                "mode": "enforce", "injectorNamespaces": [another],
                "config": {
                    "kinds": ["deployments", "Rollout", "clonesets", "asts", "databases", "stack", "Shown"],
                    "owners": [
                        { "api": "db.example.com/v1", "kind": "Database", "template": "spec.server.pod" },
                        {
                            "api": "apps.example.com/v1beta1", "kind": "Stack", "plural": "stackz",
                            "restart": "spec.restartAt", "status": { "restarted": "status.restartedAt" },
                        },
                        { "api": "apps.example.com/v1", "kind": "Shown", "restart": "none" },
                        { "api": "apps.example.com/v1", "kind": "NotNamed" },
                    ],
                },
            }),
        ),
        (
            "namespaced",
            json!({
                "mode": "enforce", "namespaces": [namespace, another], "injectorNamespaces": [another],
                "config": { "evict-on-delete": true, "kinds": ["deployments", "replicasets", "RC"] },
            }),
        ),
        ("schedule", json!({ "schedule": "0 6 * * 1-5", "config": { "output": "json" }, "namespaces": [another] })),
        (
            "monitored",
            json!({
                "podMonitor": { "enabled": true, "labels": { "release": "prometheus" }, "interval": "30s" },
                "networkPolicy": {
                    "apiServerCIDRs": ["10.0.0.1/32"],
                    "metricsFrom": [{ "namespaceSelector": { "matchLabels": { "name": "monitoring" } } }],
                    "extraEgress": [{ "ports": [{ "port": 53, "protocol": "UDP" }] }],
                    "apiFrom": [{ "podSelector": { "matchLabels": { "app": "login" } } }],
                },
                "api": { "open": true },
                "prometheusRule": { "enabled": true, "labels": { "release": "prometheus" } },
            }),
        ),
        (
            "everything-else",
            json!({
                "config": { "resync": "12h", "annotation-prefix": "example.com/drift", "log-format": "json" },
                "triggers": [
                    { "resource": "secrets", "namespace": another, "name": "cacerts" },
                    { "group": "example.com", "resource": "meshes", "name": "default" },
                ],
                "extraArgs": ["--quiet"],
                "guard": { "enabled": true },
                "flowControl": { "enabled": false },
                "networkPolicy": { "enabled": false },
                "serviceAccount": { "create": false, "name": "theirs" },
                "serviceMonitor": { "enabled": true },
                "dashboard": { "enabled": true },
                "image": { "repository": "registry.test/drift", "tag": "v9", "digest": digest, "pullPolicy": "Always" },
                "imagePullSecrets": [{ "name": "registry" }],
                "fullnameOverride": "drift",
                "commonLabels": { "team": "platform" },
                "podLabels": { "pod": "label", "team": "of-the-pod" },
                "podAnnotations": { "pod": "annotation" },
                "resources": { "requests": { "cpu": "1" } },
                "priorityClassName": "system-cluster-critical",
                "nodeSelector": { "kubernetes.io/os": "linux" },
                "tolerations": [{ "operator": "Exists" }],
                "affinity": { "nodeAffinity": {} },
                "replicas": 3,
                "renderAs": "controllers",
                "extraEnv": [{ "name": "RUST_BACKTRACE", "value": "1" }],
                "events": "always",
                "podDisruptionBudget": { "enabled": false },
                "topologySpreadConstraints":
                    [{ "maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule" }],
            }),
        ),
        ("settings-of-the-pod", settings_of_the_pod(another)),
        (
            "settings-of-the-schedule",
            json!({
                "schedule": "@daily",
                "cronJob": {
                    "timeZone": "Europe/Berlin", "suspend": true, "successfulJobsHistoryLimit": 1,
                    "failedJobsHistoryLimit": 2, "ttlSecondsAfterFinished": 0, "backoffLimit": 0,
                    "activeDeadlineSeconds": 600,
                },
                "deploymentAnnotations": { "owner": "platform" },
                "extraEnv": [{ "name": "SIDECAR_DRIFT_LOG_LEVEL", "value": "info" }],
                // A scan asks nobody but the API server.
                "caBundle": { "configMap": "roots" },
            }),
        ),
    ]
}

fn settings_of_the_pod(another: &str) -> Value {
    let relabeling = json!([{ "sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node" }]);
    json!({
        "nameOverride": "finder",
        "namespaceOverride": another,
        "commonLabels": { "team": "platform" },
        "commonAnnotations": { "example.com/owner": "platform", "example.com/kind": "all" },
        "deploymentAnnotations": { "example.com/kind": "workload" },
        "serviceAccount": { "annotations": { "example.com/kind": "account" } },
        "podSecurityContext": { "runAsUser": 1001, "fsGroup": 1001 },
        "securityContext": { "capabilities": null, "privileged": false },
        "startupProbe": { "initialDelaySeconds": 1, "failureThreshold": 10 },
        "livenessProbe": { "timeoutSeconds": 5 },
        "readinessProbe": { "successThreshold": 2 },
        "revisionHistoryLimit": 2,
        "dnsPolicy": "None",
        "dnsConfig": { "nameservers": ["192.0.2.53"] },
        "hostNetwork": true,
        "extraVolumes": [{ "name": "more", "emptyDir": {} }],
        "extraVolumeMounts": [{ "name": "more", "mountPath": "/more" }],
        "notifyUrl": { "secret": "chat", "key": "webhook" },
        "caBundle": { "secret": "roots", "key": "bundle.pem" },
        "prometheusToken": { "secret": "prometheus" },
        "config": {
            "block-on-alerts": "https://prometheus.monitoring:9091",
            "outbound-proxy": "http://proxy.example.com:3128", "outbound-no-proxy": [".svc"],
        },
        "networkPolicy": { "extraEgress": [{ "ports": [{ "port": 443 }] }] },
        "serviceMonitor": {
            "enabled": true, "namespace": "monitoring", "interval": "1m", "scrapeTimeout": "10s",
            "relabelings": relabeling, "metricRelabelings": [{ "regex": "node", "action": "labeldrop" }],
        },
        "prometheusRule": {
            "enabled": true, "namespace": "monitoring",
            "alerts": {
                "SidecarDriftOld": { "threshold": 604_800, "for": "1h", "severity": "info" },
                "SidecarDriftUndetermined": { "threshold": 5 },
                "SidecarDriftRejected": { "enabled": false },
                "SidecarDriftAbsent": { "severity": "page" },
            },
            "additionalRules": [{ "record": "sidecar_drift:drifted", "expr": "sum(sidecar_drift_workloads)" }],
        },
    })
}

/// The documents of a rendering, by what they are.
fn documents(text: &str) -> Result<BTreeMap<String, String>> {
    let mut documents = BTreeMap::new();
    for document in text.split("\n---").map(|document| document.trim_start_matches("---").trim()) {
        for object in helm::objects(document)? {
            let (kind, meta) = (&object["kind"], &object["metadata"]);
            let namespace = meta["namespace"].as_str().unwrap_or("-");
            let name = meta["name"].as_str().context("no name")?;
            let id = format!("{} {namespace} {name}", kind.as_str().context("no kind")?);
            ensure!(documents.insert(id.clone(), document.to_owned()).is_none(), "twice: {id}");
        }
    }
    Ok(documents)
}

/// The defaults are shown whole, the others by what is different.
#[test]
fn the_chart_renders_as_it_did() -> Result<()> {
    let mut defaults = BTreeMap::new();
    for (name, values) in sets("drift", "shop") {
        let documents = documents(&helm::template("drift", "drift", &values)?)?;
        let mut golden = String::new();
        for (id, document) in &documents {
            let same = defaults.get(id) == Some(document);
            if same {
                writeln!(golden, "{id}: as by default")?;
            } else {
                writeln!(golden, "{id}:\n{document}\n")?;
            }
        }
        if name == "defaults" {
            defaults = documents;
        }
        insta::assert_snapshot!(name, golden);
    }
    Ok(())
}

#[test]
fn helm_finds_nothing_to_say_about_the_chart() -> Result<()> {
    for (name, values) in sets("drift", "shop") {
        let linted = helm::helm(&["lint", helm::CHART, "--strict"], &values)?;
        let said = String::from_utf8(linted.stdout)? + &String::from_utf8(linted.stderr)?;
        assert!(linted.status.success(), "{name}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn the_api_server_knows_every_field_of_every_object() -> Result<()> {
    let testbed = Testbed::shared().await?;
    testbed
        .with_namespace("chart-rendering", async |ns| {
            let another = ns.create_companion("shop").await?;
            let mut seen = 0;
            for (name, values) in sets(ns.name(), another.name()) {
                for object in helm::objects(&helm::template("drift", ns.name(), &values)?)? {
                    // Of the Prometheus operator, which is not here.
                    if object["apiVersion"] == "monitoring.coreos.com/v1" {
                        continue;
                    }
                    validate(testbed, &object).await.with_context(|| name)?;
                    seen += 1;
                }
            }
            println!("{seen} objects validated strictly");
            Ok(())
        })
        .await
}
