//! Values that the chart refuses, each with a reason that a person can act on.

use anyhow::Result;
use serde_json::{Value, json};

use super::helm;

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
        ("outbound-ca", "caBundle"),
        ("block-on-alerts-token", "prometheusToken"),
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

fn config(key: &str, value: impl Into<Value>) -> Value {
    json!({ "config": { key: value.into() } })
}

fn each_is_refused(refused: &[(Value, &str)]) -> Result<()> {
    for (values, reason) in refused {
        let said = helm::refusal(values)?.replace(['‘', '’'], "'");
        assert!(said.contains(reason), "{values}: {said}, not {reason}");
    }
    Ok(())
}

#[test]
fn values_that_make_no_sense_are_refused_with_a_reason() -> Result<()> {
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
    each_is_refused(&refused)?;
    println!("{} sets of values refused", refused.len());
    Ok(())
}

#[test]
fn values_about_what_is_talked_to_are_refused_with_a_reason() -> Result<()> {
    let refused = [
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
        (json!({ "prometheusToken": { "secret": "a", "file": "b" } }), "additional properties 'file' not allowed"),
        (
            json!({ "prometheusToken": { "secret": "a" }, "config": { "block-on-alerts": "http://prometheus:9090" } }),
            "prometheusToken: it is shown to the Prometheus of config.block-on-alerts, and over https only",
        ),
        (
            config("outbound-proxy", json!("http://me:pass@proxy:3128")),
            "/config/outbound-proxy': 'http://me:pass@proxy",
        ),
        (config("outbound-no-proxy", json!(".svc")), "/config/outbound-no-proxy': got string, want array"),
        (json!({ "caBundle": { "file": "/ca.crt" } }), "/caBundle': additional properties 'file' not allowed"),
        (json!({ "caBundle": { "secret": "a", "configMap": "b" } }), "caBundle: name either a configMap or a secret"),
        (json!({ "caBundle": { "key": "ca.crt" } }), "caBundle: name either a configMap or a secret"),
        (json!({ "caBundle": { "secret": "a", "key": "../ca" } }), "/caBundle/key': '../ca' does not match pattern"),
        (
            json!({ "schedule": "@daily", "notifyUrl": { "secret": "chat" } }),
            "schedule and notifyUrl: a scheduled scan",
        ),
    ];
    each_is_refused(&refused)?;
    println!("{} sets of values refused", refused.len());
    Ok(())
}

#[test]
fn values_about_the_pod_are_refused_with_a_reason() -> Result<()> {
    let refused = [
        // They would be there twice, or select nothing.
        (
            json!({ "podLabels": { "app.kubernetes.io/name": "x" } }),
            "/podLabels/app.kubernetes.io~1name': value must be 'left to the chart, which sets this label itself'",
        ),
        (
            json!({ "commonLabels": { "helm.sh/chart": "x" } }),
            "/commonLabels/helm.sh~1chart': value must be 'left to the chart",
        ),
        (json!({ "podLabels": { "team": "of the Pod" } }), "/podLabels/team': 'of the Pod' does not match pattern"),
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
        (
            json!({ "extraVolumes": [{ "name": "config" }] }),
            "extraVolumes: the chart has a volume config of its own; name yours otherwise",
        ),
        (
            json!({ "extraVolumeMounts": [{ "name": "a", "mountPath": "b" }] }),
            "/extraVolumeMounts/0/mountPath': 'b' does not match pattern",
        ),
    ];
    each_is_refused(&refused)?;
    println!("{} sets of values refused", refused.len());
    Ok(())
}

#[test]
fn values_about_monitors_and_alerts_are_refused_with_a_reason() -> Result<()> {
    let refused = [
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
    each_is_refused(&refused)?;
    println!("{} sets of values refused", refused.len());
    Ok(())
}
