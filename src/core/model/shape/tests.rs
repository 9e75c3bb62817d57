//! Rules C2-C6: what of a Pod is kept, and in which form.

#![expect(clippy::needless_pass_by_value, reason = "`json!` reads better as an argument of its own")]

use serde_json::{Value, json};

use crate::core::compare::leaves;
use crate::core::model::{fingerprint::Fingerprint, shape::*, words::Placement};

fn pod(container: Value) -> PodShape {
    PodShape::from_pod(&json!({ "spec": { "containers": [container] } }))
}

fn with_env(env: Value) -> PodShape {
    pod(json!({ "name": "proxy", "image": "proxy:1", "env": env }))
}

fn fingerprint(shape: &PodShape) -> Fingerprint {
    shape.containers.first().expect("one container").fingerprint
}

fn same_env(a: Value, b: Value) -> bool {
    fingerprint(&with_env(a)) == fingerprint(&with_env(b))
}

#[test]
fn fingerprints_rely_on_sorted_keys() {
    // With serde_json's feature `preserve_order` two equal projections could have different bytes.
    let text = serde_json::from_str::<Value>(r#"{"b":1,"a":{"d":1,"c":2}}"#).unwrap().to_string();
    assert_eq!(text, r#"{"a":{"c":2,"d":1},"b":1}"#);
}

#[test]
fn c2_both_lists_are_read_and_the_placement_is_kept() {
    let shape = PodShape::from_template(&json!({ "spec": {
        "containers": [{ "name": "app" }],
        "initContainers": [{ "name": "setup" }, { "name": "proxy", "restartPolicy": "Always" }],
    }}));
    let placements: Vec<_> = shape.containers.iter().map(|c| (&*c.name, c.placement)).collect();
    assert_eq!(placements, [("setup", Placement::Init), ("proxy", Placement::Native), ("app", Placement::Ordinary)]);
    let moved = pod(json!({ "name": "proxy" }));
    assert_eq!(
        shape.container("proxy").map(|c| c.fingerprint),
        moved.container("proxy").map(|c| c.fingerprint),
        "the placement is no part of the projection"
    );
}

#[test]
fn c3_env_order_does_not_matter_and_the_last_of_a_name_wins() {
    let (a, b) = (json!({ "name": "A", "value": "1" }), json!({ "name": "B", "value": "2" }));
    let old = json!({ "name": "A", "value": "0" });
    assert!(same_env(json!([a, b]), json!([b, a])));
    assert!(same_env(json!([old, a, b]), json!([b, a])));
    assert!(!same_env(json!([a, old, b]), json!([a, b])));
}

#[test]
fn c3_env_order_matters_only_for_references() {
    let (a, b) = (json!({ "name": "A", "value": "1" }), json!({ "name": "B", "value": "x$(A)y" }));
    assert!(!same_env(json!([a, b]), json!([b, a])), "$(A) stays as it is where A comes later");
    let c = json!({ "name": "C", "value": "3" });
    assert!(same_env(json!([a, b, c]), json!([c, a, b])));
    let escaped = json!({ "name": "B", "value": "$$(A) $A $( $" });
    assert!(same_env(json!([a, escaped]), json!([escaped, a])), "not a reference");
    let foreign = json!({ "name": "B", "value": "$(HOSTNAME)" });
    assert!(same_env(json!([a, foreign]), json!([foreign, a])), "not a variable of this list");
    let escaped_dollar = json!({ "name": "B", "value": "$$$(A)" });
    assert!(!same_env(json!([a, escaped_dollar]), json!([escaped_dollar, a])), "a dollar, then a reference");
}

#[test]
fn c3_a_reference_sees_the_definition_before_it() {
    let old = json!({ "name": "A", "value": "0" });
    let new = json!({ "name": "A", "value": "1" });
    let b = json!({ "name": "B", "value": "$(A)" });
    assert!(!same_env(json!([old, b, new]), json!([old, new, b])), "B is 0, or 1");
    let other = json!({ "name": "A", "value": "7" });
    assert!(!same_env(json!([old, b, new]), json!([other, b, new])), "B is 0, or 7");
    assert!(same_env(json!([old, b, new]), json!([other, old, b, new])));
}

#[test]
fn c3_many_references_do_not_grow_without_bound() {
    let entries: Vec<_> =
        (0..200).map(|i| json!({ "name": if i % 2 == 0 { "A" } else { "B" }, "value": "$(A)$(B)" })).collect();
    assert!(with_env(json!(entries)).containers[0].projection.text().len() < 1000);
}

#[test]
fn c3_arguments_are_ordered_and_see_all_variables() {
    let args = |args: Value| fingerprint(&pod(json!({ "args": args, "env": [{ "name": "A" }] })));
    assert_ne!(args(json!(["--a", "--b"])), args(json!(["--b", "--a"])));
    let with = |env: Value| fingerprint(&pod(json!({ "args": ["$(A)"], "env": env })));
    let (a, b) = (json!({ "name": "A", "value": "1" }), json!({ "name": "B", "value": "2" }));
    assert_eq!(with(json!([a, b])), with(json!([b, a])));
}

fn token_volume(name: &str) -> Value {
    json!({ "name": name, "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } })
}

fn with_volumes(volumes: Value, args: Value, env: &str) -> PodShape {
    PodShape::from_pod(&json!({ "spec": {
        "volumes": volumes,
        "containers": [{ "name": "proxy", "args": args, "command": ["x"], "env": [{ "name": "MOUNT", "value": env }] }],
    }}))
}

#[test]
fn c4_token_volumes_have_canonical_names_wherever_they_are_copied_to() {
    let of = |suffix: &str| {
        let name = format!("kube-api-access-{suffix}");
        with_volumes(
            json!([token_volume(&name)]),
            json!([format!("--token=/v/{name}/token")]),
            &format!(r#"{{"mount":"{name}"}}"#),
        )
    };
    assert_eq!(of("abcde"), of("fghij"));
    let azure = |hash: &str| {
        let name = format!("azure-identity-token-{hash}");
        with_volumes(json!([token_volume(&name)]), json!([name]), &name)
    };
    assert_eq!(azure("0a1b2c3d4e"), azure("ffffffffff"));
}

#[test]
fn c4_a_users_volume_is_untouched() {
    let user =
        |name: &str| with_volumes(json!([{ "name": name, "emptyDir": {} }]), json!([format!("/v/{name}")]), name);
    assert_ne!(user("kube-api-access-notes"), user("kube-api-access-files"));
    let text = |name: &str| with_volumes(json!([]), json!([]), name);
    assert_ne!(text("kube-api-access-abcde"), text("kube-api-access-fghij"), "no volume of this Pod");
    let longer = |name: &str| with_volumes(json!([token_volume("kube-api-access-abcde")]), json!([]), name);
    assert_ne!(longer("kube-api-access-abcdef"), longer("kube-api-access-abcdeg"), "only whole names");
}

#[test]
fn c4_two_tokens_swapped_are_not_equal() {
    let of = |first: &str, second: &str, used: &str| {
        let (mut a, b) = (token_volume(first), token_volume(second));
        a["projected"]["sources"][0]["serviceAccountToken"]["audience"] = json!("vault");
        (with_volumes(json!([a, b]), json!([used]), ""), with_volumes(json!([b, a]), json!([used]), ""))
    };
    let names = ["kube-api-access-aaaaa", "kube-api-access-bbbbb"];
    let [a, b] = names;
    assert_ne!(of(a, b, a), of(a, b, b));
    assert_eq!(of(a, b, a), of(b, a, b), "the same volume by another name");
    assert_eq!(of(a, b, a).0, of(a, b, a).1, "volumes in another order");
}

#[test]
fn c6_the_api_servers_defaults_do_not_count() {
    let field_ref = |v: Value| json!([{ "name": "POD", "valueFrom": { "fieldRef": v } }]);
    assert!(same_env(
        field_ref(json!({ "fieldPath": "metadata.name" })),
        field_ref(json!({ "fieldPath": "metadata.name", "apiVersion": "v1" }))
    ));
    assert!(!same_env(
        field_ref(json!({ "fieldPath": "metadata.name" })),
        field_ref(json!({ "fieldPath": "metadata.uid" }))
    ));
    let resource = |v: Value| json!([{ "name": "CPU", "valueFrom": { "resourceFieldRef": v } }]);
    assert!(same_env(
        resource(json!({ "resource": "limits.cpu" })),
        resource(json!({ "resource": "limits.cpu", "divisor": "0" }))
    ));
    assert!(!same_env(
        resource(json!({ "resource": "limits.cpu" })),
        resource(json!({ "resource": "limits.cpu", "divisor": "1m" }))
    ));
    let secret = |v: Value| json!([{ "name": "S", "valueFrom": { "secretKeyRef": v } }]);
    assert!(same_env(
        secret(json!({ "name": "s", "key": "k", "optional": false })),
        secret(json!({ "name": "s", "key": "k" }))
    ));
    assert!(same_env(json!([{ "name": "E" }]), json!([{ "name": "E", "value": "" }])));
    assert!(!same_env(json!([{ "name": "E" }]), json!([])));
}

#[test]
fn c6_env_from_is_ordered() {
    let of = |list: Value| fingerprint(&pod(json!({ "envFrom": list })));
    let (a, b) = (json!({ "configMapRef": { "name": "a" } }), json!({ "secretRef": { "name": "b" } }));
    assert_ne!(of(json!([a, b])), of(json!([b, a])));
    let written_out = json!({ "prefix": "", "configMapRef": { "name": "a", "optional": false } });
    assert_eq!(of(json!([a, b])), of(json!([written_out, b])));
    assert_ne!(of(json!([a])), of(json!([{ "prefix": "P_", "configMapRef": { "name": "a" } }])));
}

#[test]
fn c6_only_the_default_fields_are_compared() {
    let plain = json!({ "name": "proxy", "image": "proxy:1" });
    let mut rich = plain.clone();
    for (field, value) in [
        ("resources", json!({ "limits": { "cpu": "1" } })),
        ("imagePullPolicy", json!("Always")),
        ("livenessProbe", json!({ "httpGet": { "port": 1 } })),
        ("volumeMounts", json!([{ "name": "v", "mountPath": "/v" }])),
        ("ports", json!([{ "containerPort": 1 }])),
        ("securityContext", json!({ "runAsUser": 1 })),
        ("args", json!([])),
        ("command", Value::Null),
        ("env", json!([])),
    ] {
        rich[field] = value;
    }
    assert_eq!(fingerprint(&pod(plain)), fingerprint(&pod(rich)));
}

#[test]
fn c14_the_security_context_is_kept_beside_the_projection() {
    let of =
        |context: Value| pod(json!({ "name": "app", "securityContext": context })).containers[0].collateral.clone();
    assert_eq!(
        of(json!({ "capabilities": { "drop": ["B", "A"] }, "runAsUser": null })),
        of(json!({ "capabilities": { "drop": ["A", "B"] } }))
    );
    assert_ne!(of(json!({ "runAsUser": 1 })), of(json!({ "runAsUser": 2 })));
    assert_eq!(of(json!({})), of(Value::Null));
}

#[test]
fn the_projection_looks_like_this() {
    let shape = pod(json!({
        "name": "proxy",
        "image": "proxy:1",
        "args": ["run", 5],
        "env": [
            { "name": "PLAIN", "value": "text" },
            { "name": "CONFIG", "value": "{\"port\": 80, \"hosts\": [\"a\"]}" },
            { "name": "POD", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } } },
            { "name": "LATE", "value": "$(LATER)" },
            { "name": "LATER", "value": true },
        ],
    }));
    let leaves: Vec<(String, String)> =
        leaves(&shape.containers[0].projection.value()).into_iter().map(|(p, t)| (p, t.to_string())).collect();
    let expected = [
        ("/args/0", "run"),
        ("/args/1", "5"),
        ("/env/CONFIG/value/hosts/0", "\"a\""),
        ("/env/CONFIG/value/port", "80"),
        ("/env/LATE/references/LATER", "undefined"),
        ("/env/LATE/value", "$(LATER)"),
        ("/env/LATER/value", "true"),
        ("/env/PLAIN/value", "text"),
        ("/env/POD/valueFrom/fieldRef/fieldPath", "metadata.name"),
        ("/image", "proxy:1"),
    ];
    assert_eq!(leaves, expected.map(|(p, t)| (p.to_owned(), t.to_owned())));
    // Another fingerprint of the same Pod means another canonical form, and that means another `fingerprint::VERSION`:
    // without it an upgrade would call every running sidecar drifted whose stamp was written before.
    assert_eq!(fingerprint(&shape).to_string(), "v1:a41a4451a5b3b3433805e1664892b69aff3e98b30f700902829bfca9118a07a7");
}

#[test]
fn odd_content_never_fails_and_is_told_apart() {
    for odd in [
        json!(null),
        json!(5),
        json!({ "spec": [] }),
        json!({ "spec": { "containers": {}, "initContainers": "x", "volumes": 3 } }),
        json!({ "spec": { "containers": [null, 1, "x", [], {}], "volumes": [null, { "name": 1 }] } }),
    ] {
        let _ = PodShape::from_pod(&odd);
    }
    let odd_fields = [
        json!({ "image": 1 }),
        json!({ "image": { "a": 1 } }),
        json!({ "args": "x" }),
        json!({ "args": { "a": 1 } }),
        json!({ "args": [null] }),
        json!({ "env": "x" }),
        json!({ "env": ["x"] }),
        json!({ "env": [{ "value": "x" }] }),
        json!({ "env": [{ "name": 1, "value": 2 }] }),
        json!({ "env": [{ "name": "A", "valueFrom": 3 }] }),
        json!({ "env": [{ "name": "A", "valueFrom": { "fieldRef": "x" } }] }),
        json!({ "envFrom": 1 }),
        json!({ "envFrom": ["x"] }),
    ];
    let prints: std::collections::BTreeSet<_> = odd_fields.iter().map(|c| fingerprint(&pod(c.clone()))).collect();
    assert_eq!(prints.len(), odd_fields.len());
}

#[test]
fn c7_annotations_and_labels_of_the_pod_are_not_compared() {
    let of = |metadata: Value| {
        PodShape::from_pod(
            &json!({ "metadata": metadata, "spec": { "containers": [{ "name": "proxy", "image": "p:1" }] } }),
        )
    };
    // Consul keeps the whole Pod as it was in one, Istio the status of its injection, others a time.
    let noted = json!({ "annotations": { "original-pod": "{...}", "injected-at": "10:00" }, "labels": { "rev": "a" } });
    assert_eq!(of(noted), of(json!({ "annotations": { "original-pod": "{ }" }, "generation": 7 })));
}
