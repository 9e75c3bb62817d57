//! What the chart renders: golden texts, what it refuses, and what the API server says to it.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::Testbed;

use super::{helm, release::validate};

/// Sets of values that cover every template.
fn sets(namespace: &str, another: &str) -> [(&'static str, Value); 6] {
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
                "config": { "evict-on-delete": true },
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
                "podLabels": { "pod": "label" },
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
    ]
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

#[test]
fn values_that_make_no_sense_are_refused_with_a_reason() -> Result<()> {
    let config = |key: &str, value: Value| json!({ "config": { key: value } });
    let refused = [
        (json!({ "mode": "observe" }), "/mode': value must be one of 'report', 'enforce'"),
        (json!({ "Mode": "report" }), "additional properties 'Mode' not allowed"),
        (json!({ "replicas": 20 }), "/replicas': maximum: got 20, want 5"),
        (json!({ "podDisruptionBudget": { "minAvailable": 1 } }), "additional properties 'minAvailable' not allowed"),
        (config("leader-election", json!(false)), "/config': additional properties 'leader-election' not allowed"),
        (json!({ "namespaces": "shop" }), "/namespaces': got string, want array"),
        (json!({ "namespaces": ["Shop"] }), "/namespaces/0': 'Shop' does not match pattern"),
        (json!({ "namespaces": ["shop", "shop"] }), "/namespaces': items at 0 and 1 are equal"),
        (json!({ "events": true }), "/events': value must be one of 'enforce', 'always', 'never'"),
        (json!({ "guard": { "enable": false } }), "/guard': additional properties 'enable' not allowed"),
        (json!({ "guard": { "enabled": "no" } }), "/guard/enabled': got string, want boolean"),
        (json!({ "flowControl": { "nominalConcurrencyShares": 0 } }), "minimum: got 0, want 1"),
        (json!({ "image": { "digest": "sha256:abc" } }), "/image/digest': 'sha256:abc' does not match pattern"),
        (json!({ "image": { "pullPolicy": "Sometimes" } }), "/image/pullPolicy': value must be one of"),
        (json!({ "extraArgs": ["run"] }), "/extraArgs/0': 'run' does not match pattern"),
        (json!({ "schedule": "daily" }), "/schedule': 'daily' does not match pattern"),
        (json!({ "networkPolicy": { "apiServerPorts": [] } }), "minItems: got 0, want 1"),
        (json!({ "podMonitor": { "interval": "often" } }), "/podMonitor/interval': 'often' does not match pattern"),
        (json!({ "renderAs": "admin" }), "/renderAs': 'admin' does not match pattern"),
        (config("render-as", json!("controllers")), "/config': additional properties 'render-as' not allowed"),
        (config("mode", json!("enforce")), "/config': additional properties 'mode' not allowed"),
        (config("namespace", json!(["shop"])), "/config': additional properties 'namespace' not allowed"),
        (config("resync", json!(6)), "/config/resync': got number, want string"),
        (config("act-on", json!(["mutated_live"])), "/config/act-on/0': value must be one of"),
        (config("owners", json!([{ "kind": "Database" }])), "/config/owners/0': missing property 'api'"),
        (config("owners", json!([{ "api": "a.b/v1", "kind": "A", "colour": "red" }])), "'colour' not allowed"),
        (config("parallel-rollouts", json!(0)), "/config/parallel-rollouts': minimum: got 0, want 1"),
        (config("annotation-prefix", json!("my own")), "/config/annotation-prefix': 'my own' does not match pattern"),
        (json!({ "config": { "include-namespace": ["a"], "exclude-namespace": ["b"] } }), "/config': 'not' failed"),
        (
            json!({ "podMonitor": { "enabled": true }, "serviceMonitor": { "enabled": true } }),
            "podMonitor.enabled and serviceMonitor.enabled: every series would be scraped twice",
        ),
        (
            json!({ "mode": "enforce", "schedule": "@daily" }),
            "schedule and mode=enforce: a scheduled scan only reports",
        ),
        (
            json!({ "mode": "enforce", "guard": { "enabled": false } }),
            "mode=enforce and guard.enabled=false: the daemon would roll nothing out",
        ),
        (
            config("block-on-alerts", json!("prometheus:9090")),
            "/config/block-on-alerts': 'prometheus:9090' does not match pattern",
        ),
        (
            config("block-on-alerts", json!("http://prometheus:9090")),
            "config.block-on-alerts: the NetworkPolicy lets the Pod reach the API server only",
        ),
        (json!({ "serviceAccount": { "create": false } }), "serviceAccount.create=false: name the one that exists"),
    ];
    for (values, reason) in &refused {
        let said = helm::refusal(values)?.replace(['‘', '’'], "'");
        assert!(said.contains(reason), "{values}: {said}, not {reason}");
    }
    println!("{} sets of values refused", refused.len());
    Ok(())
}
