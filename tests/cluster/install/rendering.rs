//! What the chart renders: golden texts, what it refuses, and what the API server says to it.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::Testbed;

use super::{helm, release::validate};

/// Sets of values that cover every template.
fn sets(namespace: &str, another: &str) -> [(&'static str, Value); 8] {
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
                "podLabels": { "pod": "label", "team": "of the Pod" },
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

/// The objects of a kind that these values make.
fn of_kind(values: &Value, kind: &str) -> Result<Vec<Value>> {
    let mut objects = helm::objects(&helm::template("drift", "drift", values)?)?;
    objects.retain(|object| object["kind"] == kind);
    Ok(objects)
}

fn one(values: &Value, kind: &str) -> Result<Value> {
    of_kind(values, kind)?.pop().with_context(|| format!("no {kind}"))
}

/// Whether all of these labels are among those.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().into_iter().flatten().all(|(key, value)| labels[key] == *value)
}

#[test]
fn a_monitor_finds_the_port_of_the_metrics_and_no_other() -> Result<()> {
    for open in [false, true] {
        let values =
            json!({ "serviceMonitor": { "enabled": true, "namespace": "monitoring" }, "api": { "open": open } });
        let monitor = one(&values, "ServiceMonitor")?;
        let (metadata, spec) = (&monitor["metadata"], &monitor["spec"]);
        assert_eq!(metadata["namespace"], "monitoring");
        assert_eq!(spec["namespaceSelector"]["matchNames"], json!(["drift"]));
        let mut found = of_kind(&values, "Service")?;
        assert_eq!(found.len(), if open { 2 } else { 1 });
        found.retain(|service| selects(&spec["selector"]["matchLabels"], &service["metadata"]["labels"]));
        let [service] = &found[..] else { anyhow::bail!("open: {open}: {found:#?}") };
        let port = &service["spec"]["ports"][0];
        assert_eq!(port["name"], spec["endpoints"][0]["port"], "open: {open}");

        let deployment = one(&values, "Deployment")?;
        let pod = &deployment["spec"]["template"];
        assert!(selects(&service["spec"]["selector"], &pod["metadata"]["labels"]));
        let ports = pod["spec"]["containers"][0]["ports"].as_array().context("no ports")?;
        let target = ports.iter().find(|target| target["name"] == port["targetPort"]).context("no such port")?;
        let config = one(&values, "ConfigMap")?;
        let config: Value = serde_saphyr::from_str(config["data"]["config.yaml"].as_str().context("no config")?)?;
        assert_eq!(config["listen"], format!("0.0.0.0:{}", target["containerPort"]), "open: {open}");
    }
    Ok(())
}

#[test]
fn alerts_are_as_they_are_unless_a_value_says_otherwise() -> Result<()> {
    let rules = |values: &Value| -> Result<Vec<Value>> {
        let rule = one(values, "PrometheusRule")?;
        Ok(rule["spec"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default())
    };
    let file = std::fs::read_to_string(helm::repository("deploy/alerts/rules.yaml"))?;
    let file: Value = serde_saphyr::from_str(&file)?;
    let mut wanted = file["groups"][0]["rules"].as_array().cloned().context("no rules")?;
    assert_eq!(rules(&json!({ "prometheusRule": { "enabled": true } }))?, wanted);

    // Every number can be another one, and nothing else of an expression changes.
    let mut alerts = json!({});
    for rule in &mut wanted {
        let name = rule["alert"].as_str().context("no name")?.to_owned();
        rule["labels"]["severity"] = json!("info");
        rule["for"] = json!("1d");
        alerts[&name] = json!({ "severity": "info", "for": "1d" });
        let expression = rule["expr"].as_str().context("no expression")?;
        let compared = expression.rsplit_once("> ").filter(|(_, number)| number.parse::<u64>().is_ok());
        if let Some((before, _)) = compared.filter(|(before, _)| !before.contains("sidecar_drift_stopped")) {
            rule["expr"] = json!(format!("{before}> 12345678901"));
            alerts[&name]["threshold"] = json!(12_345_678_901_u64);
        }
    }
    assert_eq!(rules(&json!({ "prometheusRule": { "enabled": true, "alerts": alerts } }))?, wanted);

    for alert in alerts.as_object_mut().context("no alerts")?.values_mut() {
        alert["enabled"] = json!(false);
    }
    let values = json!({ "prometheusRule": { "enabled": true, "alerts": alerts } });
    assert_eq!(rules(&values)?, [] as [Value; 0]);
    Ok(())
}

#[test]
fn every_object_has_the_annotations_labels_and_the_namespace_that_all_have() -> Result<()> {
    for (name, mut values) in sets("drift", "shop") {
        values["commonAnnotations"] = json!({ "example.com/owner": "platform" });
        values["commonLabels"] = json!({ "team": "platform" });
        values["namespaceOverride"] = json!("elsewhere");
        let mut text = helm::template("drift", "not-here", &values)?;
        for object in helm::objects(&text)? {
            let metadata = &object["metadata"];
            assert_eq!(metadata["annotations"]["example.com/owner"], "platform", "{name}: {object}");
            assert_eq!(metadata["labels"]["team"], "platform", "{name}: {object}");
        }
        text.retain(|c| !c.is_whitespace());
        assert!(text.contains("elsewhere") && !text.contains("not-here"), "{name}");
    }
    Ok(())
}

/// OpenShift's `restricted-v2` gives a Pod a user of the namespace's own, and refuses one that names another.
#[test]
fn the_pod_names_no_user_of_its_own_and_is_restricted_all_the_same() -> Result<()> {
    for (values, kind, pod) in [
        (json!({}), "Deployment", "/spec/template/spec"),
        (json!({ "schedule": "@daily" }), "CronJob", "/spec/jobTemplate/spec/template/spec"),
    ] {
        let object = one(&values, kind)?;
        let pod = object.pointer(pod).context("no Pod")?;
        assert_eq!(
            pod["securityContext"],
            json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } })
        );
        assert_eq!(
            pod["containers"][0]["securityContext"],
            json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            })
        );
    }
    let dockerfile = std::fs::read_to_string(helm::repository("Dockerfile"))?;
    // By number, or the kubelet could not tell that it is not root.
    assert!(dockerfile.lines().any(|line| line == "USER 65532:65532"));
    Ok(())
}

#[test]
fn metrics_are_for_the_namespace_of_the_release_unless_others_are_named() -> Result<()> {
    let from =
        |values: &Value| -> Result<Value> { Ok(one(values, "NetworkPolicy")?["spec"]["ingress"][0]["from"].clone()) };
    assert_eq!(from(&json!({}))?, json!([{ "podSelector": {} }]));
    let peer = json!({ "namespaceSelector": { "matchLabels": { "name": "monitoring" } } });
    assert_eq!(from(&json!({ "networkPolicy": { "metricsFrom": [peer] } }))?, json!([peer]));
    Ok(())
}

/// What a person reads after the installation.
fn notes(values: &Value) -> Result<String> {
    let arguments = ["install", "drift", helm::CHART, "--namespace", "drift", "--dry-run=client"];
    let output = helm::helm(&arguments, values)?;
    ensure!(output.status.success(), "{}", String::from_utf8(output.stderr)?);
    let said = String::from_utf8(output.stdout)?;
    Ok(said.split_once("NOTES:\n").context("no NOTES")?.1.to_owned())
}

#[test]
fn the_notes_lead_to_the_replica_that_knows_and_say_who_may_scrape() -> Result<()> {
    let said = notes(&json!({}))?;
    assert!(!said.contains("deploy/"), "{said}");
    assert!(
        said.contains("\"pod/$(kubectl -n drift get lease drift-sidecar-drift -o jsonpath='{.spec.holderIdentity}' | cut -d_ -f1)\" 8081"),
        "{said}"
    );
    assert!(said.contains("Metrics may be scraped by Pods of drift only."), "{said}");
    let said = notes(&json!({ "api": { "open": true }, "networkPolicy": { "metricsFrom": [{ "podSelector": {} }] } }))?;
    assert!(said.contains("port-forward service/drift-sidecar-drift-api 8081:80"), "{said}");
    assert!(!said.contains("Metrics may"), "{said}");
    let said = notes(&json!({ "schedule": "@daily", "cronJob": { "timeZone": "Asia/Tokyo" } }))?;
    assert!(said.contains("\"@daily\" (Asia/Tokyo)") && !said.contains("lease"), "{said}");
    Ok(())
}

#[test]
fn an_argument_or_a_variable_that_contradicts_a_value_is_refused() -> Result<()> {
    let decided = [
        ("mode", "mode"),
        ("namespace", "namespaces"),
        ("all-namespaces", "namespaces"),
        ("trigger", "triggers"),
        ("render-as", "renderAs"),
        ("events", "events"),
        ("listen", "podMonitor or serviceMonitor"),
        ("api-listen", "api.open"),
        ("api-advertise", "api.open"),
        ("leader-election", "replicas"),
        ("lease-name", "fullnameOverride"),
        ("lease-namespace", "namespaceOverride"),
        ("state-namespace", "namespaceOverride"),
        ("own-workload", "fullnameOverride"),
        ("config", "config"),
        ("notify-url", "notifyUrl"),
    ];
    for (flag, value) in decided {
        let why = format!("is decided by the chart, because rights and objects go with it; set the value {value}\n");
        for argument in [format!("--{flag}"), format!("--{flag}=x")] {
            let said = helm::refusal(&json!({ "extraArgs": ["--quiet", argument] }))?;
            assert!(said.contains(&format!("extraArgs: --{flag} {why}")), "{said}");
        }
        let variable = format!("SIDECAR_DRIFT_{}", flag.to_uppercase().replace('-', "_"));
        let said = helm::refusal(&json!({ "extraEnv": [{ "name": variable, "value": "x" }] }))?;
        assert!(said.contains(&format!("extraEnv: {variable} {why}")), "{said}");
    }
    // Flags that begin like one of them are others.
    helm::template("drift", "drift", &json!({ "extraArgs": ["--no-color", "--request-timeout=20s"] }))?;
    let secret = json!({ "secretKeyRef": { "name": "chat", "key": "url" } });
    let variable = json!([{ "name": "SIDECAR_DRIFT_NOTIFY_URL", "valueFrom": secret }]);
    helm::template("drift", "drift", &json!({ "extraEnv": variable }))?;
    Ok(())
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
        (
            config("notify-url", json!("https://hooks.example.com/T0/B0")),
            "/config/notify-url': value must be 'left out, because a ConfigMap is no place for a secret: put the address \
             into a Secret and name that in notifyUrl'",
        ),
        (
            json!({ "notifyUrl": { "secret": "chat" } }),
            "notifyUrl: the NetworkPolicy lets the Pod reach the API server only",
        ),
        (json!({ "notifyUrl": "https://hooks.example.com" }), "/notifyUrl': got string, want object"),
        (json!({ "notifyUrl": { "key": "url" } }), "/notifyUrl': properties 'secret' required, if 'key' exists"),
        (json!({ "caBundle": { "file": "/ca.crt" } }), "/caBundle': additional properties 'file' not allowed"),
        (json!({ "caBundle": { "secret": "a", "configMap": "b" } }), "/caBundle': 'not' failed"),
        (json!({ "caBundle": { "secret": "a", "key": "../ca" } }), "/caBundle/key': '../ca' does not match pattern"),
        (
            json!({ "schedule": "@daily", "notifyUrl": { "secret": "chat" } }),
            "schedule and notifyUrl: a scheduled scan",
        ),
        // They would be there twice, or select nothing.
        (
            json!({ "podLabels": { "app.kubernetes.io/name": "x" } }),
            "/podLabels/app.kubernetes.io~1name': value must be 'left to the chart, which sets this label itself'",
        ),
        (
            json!({ "commonLabels": { "helm.sh/chart": "x" } }),
            "/commonLabels/helm.sh~1chart': value must be 'left to the chart",
        ),
        (json!({ "extraEnv": [{ "value": "x" }] }), "/extraEnv/0': missing property 'name'"),
        (json!({ "cronJob": { "timezone": "UTC" } }), "/cronJob': additional properties 'timezone' not allowed"),
        (json!({ "cronJob": { "timeZone": "+02:00" } }), "/cronJob/timeZone': '+02:00' does not match pattern"),
        (json!({ "cronJob": { "suspend": "yes" } }), "/cronJob/suspend': got string, want boolean"),
        (json!({ "cronJob": { "ttlSecondsAfterFinished": -1 } }), "minimum: got -1, want 0"),
        (
            json!({ "cronJob": { "successfulJobsHistoryLimit": 1.5 } }),
            "successfulJobsHistoryLimit': got number, want integer",
        ),
        (json!({ "revisionHistoryLimit": -1 }), "/revisionHistoryLimit': minimum: got -1, want 0"),
        (json!({ "nameOverride": "My Name" }), "/nameOverride': 'My Name' does not match pattern"),
        (json!({ "namespaceOverride": "a.b" }), "/namespaceOverride': 'a.b' does not match pattern"),
        (json!({ "commonAnnotations": { "a": 1 } }), "/commonAnnotations/a': got number, want string"),
        (json!({ "deploymentAnnotations": ["a"] }), "/deploymentAnnotations': got array, want object"),
        (json!({ "podSecurityContext": "restricted" }), "/podSecurityContext': got string, want object"),
        (
            json!({ "livenessProbe": { "httpGet": { "path": "/" } } }),
            "/livenessProbe': additional properties 'httpGet' not allowed",
        ),
        (json!({ "startupProbe": { "periodSeconds": 0 } }), "/startupProbe/periodSeconds': minimum: got 0, want 1"),
        // Kubernetes demands 1 here.
        (json!({ "livenessProbe": { "successThreshold": 2 } }), "additional properties 'successThreshold' not allowed"),
        (json!({ "hostNetwork": "true" }), "/hostNetwork': got string, want boolean"),
        (json!({ "hostNetwork": true, "api": { "open": true } }), "hostNetwork and api.open: every process of a Node"),
        (json!({ "dnsPolicy": "Cluster" }), "/dnsPolicy': value must be one of"),
        (json!({ "extraVolumes": [{ "emptyDir": {} }] }), "/extraVolumes/0': missing property 'name'"),
        (json!({ "extraVolumes": [{ "name": "config" }] }), "/extraVolumes/0/name': 'not' failed"),
        (
            json!({ "extraVolumeMounts": [{ "name": "a", "mountPath": "b" }] }),
            "/extraVolumeMounts/0/mountPath': 'b' does not match pattern",
        ),
        (json!({ "serviceMonitor": { "scrapeTimeout": "10" } }), "/scrapeTimeout': '10' does not match pattern"),
        (json!({ "podMonitor": { "relabelings": {} } }), "/podMonitor/relabelings': got object, want array"),
        (json!({ "podMonitor": { "namespace": "Mon" } }), "/podMonitor/namespace': 'Mon' does not match pattern"),
        (
            json!({ "prometheusRule": { "alerts": { "SidecarDriftOl": {} } } }),
            "/prometheusRule/alerts': additional properties 'SidecarDriftOl' not allowed",
        ),
        (
            json!({ "prometheusRule": { "alerts": { "SidecarDriftAbsent": { "threshold": 1 } } } }),
            "/prometheusRule/alerts/SidecarDriftAbsent': additional properties 'threshold' not allowed",
        ),
        (
            json!({ "prometheusRule": { "alerts": { "SidecarDriftOld": { "threshold": "1d" } } } }),
            "/SidecarDriftOld/threshold': got string, want integer",
        ),
        (
            json!({ "prometheusRule": { "additionalRules": [{ "expr": "up" }] } }),
            "/prometheusRule/additionalRules/0': 'anyOf' failed",
        ),
    ];
    for (values, reason) in &refused {
        let said = helm::refusal(values)?.replace(['‘', '’'], "'");
        assert!(said.contains(reason), "{values}: {said}, not {reason}");
    }
    println!("{} sets of values refused", refused.len());
    Ok(())
}
