//! What the chart's values mean: not how it is written, but what follows from it.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{helm, rendering::sets};

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

/// The `restricted-v2` of `OpenShift` gives a Pod a user of the namespace's own, and refuses one that names another.
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
