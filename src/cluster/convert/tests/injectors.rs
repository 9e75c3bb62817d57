use serde_json::{Value, json};

use super::{injector, key, map};
use crate::core::model::{InjectorKind, InjectorSnapshot, Operator};

fn rule(operations: &[&str], resources: &[&str]) -> Value {
    json!([{ "apiGroups": [""], "apiVersions": ["v1"], "operations": operations, "resources": resources }])
}

fn webhook(rules: &Value) -> Value {
    json!({
        "name": "inject.mesh.io", "rules": rules, "sideEffects": "None", "failurePolicy": "Fail",
        "clientConfig": { "service": { "namespace": "mesh", "name": "injector" }, "caBundle": "QUJD" },
        "namespaceSelector": {
            "matchLabels": { "mesh": "on" },
            "matchExpressions": [
                { "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"] },
                { "key": "new", "operator": "Resembles" },
            ],
        },
    })
}

fn configuration(webhooks: &Value) -> InjectorSnapshot {
    let value = json!({ "metadata": { "name": "mesh" }, "webhooks": webhooks });
    injector(InjectorKind::MutatingWebhookConfiguration, &value)
}

#[test]
fn a_webhook_that_sees_pods_is_an_entry() {
    let snapshot = configuration(&json!([webhook(&rule(&["CREATE"], &["pods"]))]));
    let entry = &snapshot.entries[0];
    assert_eq!(entry.service, Some(key("mesh", "injector")));
    assert!(!entry.ignores_failure && !entry.refuses_dry_run);
    let operators: Vec<Operator> = entry.namespaces.requirements.iter().map(|r| r.operator).collect();
    assert_eq!(operators, [Operator::In, Operator::NotIn, Operator::Unknown]);
    assert!(entry.namespaces.matches(&map(&[("mesh", "on")])));
    assert!(!entry.namespaces.matches(&map(&[("mesh", "off")])));
    assert!(entry.objects.matches(&map(&[])));
}

#[test]
fn rules_are_read_as_the_api_server_reads_them() {
    let sees_pods = |rules: &Value| !configuration(&json!([webhook(rules)])).entries.is_empty();
    for resource in ["pods", "*", "*/*", "pods/*"] {
        assert!(sees_pods(&rule(&["UPDATE", "CREATE"], &["services", resource])), "{resource}");
    }
    assert!(sees_pods(&rule(&["*"], &["pods"])));
    assert!(!sees_pods(&rule(&["UPDATE"], &["pods"])));
    assert!(!sees_pods(&rule(&["CREATE"], &["pods/status", "deployments"])));
    assert!(!sees_pods(&json!([])));
    let edited = |field: &str, value: Value| {
        let mut rules = rule(&["CREATE"], &["pods"]);
        rules[0][field] = value;
        rules
    };
    assert!(sees_pods(&edited("apiGroups", json!(["*"]))));
    assert!(!sees_pods(&edited("apiGroups", json!(["apps"]))));
    assert!(sees_pods(&edited("scope", json!("Namespaced"))));
    assert!(!sees_pods(&edited("scope", json!("Cluster"))));
}

#[test]
fn only_a_promise_makes_a_webhook_dry_run_safe() {
    let refuses = |side_effects: Value| {
        let mut hook = webhook(&rule(&["CREATE"], &["pods"]));
        hook["sideEffects"] = side_effects;
        configuration(&json!([hook])).entries[0].refuses_dry_run
    };
    assert!(!refuses(json!("None")) && !refuses(json!("NoneOnDryRun")));
    assert!(refuses(json!("Some")) && refuses(json!("Unknown")) && refuses(Value::Null));
}

#[test]
fn a_new_certificate_is_no_change_of_a_webhook_and_a_new_path_is() {
    let hooks = json!([webhook(&rule(&["CREATE"], &["pods"]))]);
    let original = configuration(&hooks).hash;
    let hash = |pointer: &str, value: Value| {
        let mut hooks = hooks.clone();
        *hooks.pointer_mut(pointer).expect("a field") = value;
        configuration(&hooks).hash
    };
    assert_eq!(hash("/0/clientConfig/caBundle", json!("REVG")), original);
    assert_ne!(hash("/0/clientConfig/service/name", json!("other")), original);
    assert_ne!(hash("/0/failurePolicy", json!("Ignore")), original);
}

#[test]
fn a_policy_and_its_binding_are_entries() {
    let policy = injector(
        InjectorKind::MutatingAdmissionPolicy,
        &json!({
            "metadata": { "name": "sidecar" },
            "spec": {
                "failurePolicy": "Ignore",
                "matchConstraints": {
                    "resourceRules": rule(&["CREATE"], &["pods"]),
                    "excludeResourceRules": rule(&["CREATE"], &["pods"]),
                    "objectSelector": { "matchLabels": { "inject": "yes" } },
                },
            },
        }),
    );
    assert_eq!(policy.entries.len(), 1, "exclusions are left aside");
    assert!(policy.entries[0].ignores_failure && !policy.entries[0].refuses_dry_run);
    assert!(!policy.entries[0].objects.matches(&map(&[])));

    let binding = |spec: Value| {
        let value = json!({ "metadata": { "name": "b" }, "spec": spec });
        injector(InjectorKind::MutatingAdmissionPolicyBinding, &value)
    };
    let everywhere = binding(json!({ "policyName": "sidecar" }));
    assert_eq!((&*everywhere.policy, everywhere.entries.len()), ("sidecar", 1));
    let selected = json!({ "namespaceSelector": { "matchLabels": { "mesh": "on" } } });
    let somewhere = binding(json!({ "policyName": "sidecar", "matchResources": selected }));
    assert!(!somewhere.entries[0].namespaces.matches(&map(&[])));
    assert_ne!(somewhere.hash, everywhere.hash);
    let others = json!({ "resourceRules": rule(&["CREATE"], &["services"]) });
    assert_eq!(binding(json!({ "policyName": "sidecar", "matchResources": others })).entries, []);
}

#[test]
fn r7_a_condition_or_a_named_resource_may_match() {
    let mut hook = webhook(&rule(&["CREATE"], &["pods"]));
    hook["matchConditions"] = json!([{ "name": "some", "expression": "object.metadata.name == 'db-0'" }]);
    assert_eq!(configuration(&json!([hook])).entries.len(), 1);
    let mut rules = rule(&["CREATE"], &["pods"]);
    rules[0]["resourceNames"] = json!(["db-0"]);
    let spec = json!({
        "matchConstraints": { "resourceRules": rules },
        "matchConditions": [{ "name": "some", "expression": "has(object.metadata.generateName)" }],
    });
    let policy = json!({ "metadata": { "name": "sidecar" }, "spec": spec });
    assert_eq!(injector(InjectorKind::MutatingAdmissionPolicy, &policy).entries.len(), 1);
}
