//! What of a container is looked at beside its projection, to tell what a restart would bring along (rule C14).
//!
//! Nothing that may change once a Pod is there is among it: not its resources (rule C6), nor the names of volumes, which some
//! injectors draw or number anew for each Pod. A value that the API server fills in is left out: it makes no difference
//! whether somebody wrote it.

use serde_json::{Map, Value};

use super::lenient;
use crate::core::model::words::Placement;

/// The fields. What the image, command, arguments and environment are is in the projection, and where the container stands is
/// its placement.
const FIELDS: [&str; 17] = [
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "restartPolicy",
    "restartPolicyRules",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
];

/// What of a mount is looked at. Its path tells it from others.
const MOUNT: [&str; 6] = ["mountPath", "readOnly", "recursiveReadOnly", "mountPropagation", "subPath", "subPathExpr"];

/// What of a mounted device is looked at: its path alone.
const DEVICE: [&str; 1] = ["devicePath"];

/// Of a container: always an object.
pub(super) fn of(container: &Value, placement: Placement) -> Value {
    let mut out = Map::new();
    for field in FIELDS {
        let Some(value) = container.get(field).map(lenient::without_nulls) else { continue };
        let value = match field {
            // A native sidecar is told by its placement.
            "restartPolicy" if placement == Placement::Native => continue,
            "securityContext" => security_context(Some(&value)),
            "volumeMounts" => paths(&value, &MOUNT),
            "volumeDevices" => paths(&value, &DEVICE),
            "ports" => ports(&value),
            "livenessProbe" | "readinessProbe" | "startupProbe" => probe(value),
            "lifecycle" => lifecycle(value),
            "terminationMessagePath" if value == "/dev/termination-log" => continue,
            "terminationMessagePolicy" if value == "File" => continue,
            "stdin" | "stdinOnce" | "tty" if value == false => continue,
            _ => value,
        };
        if !lenient::is_empty(&value) {
            out.insert(field.to_owned(), value);
        }
    }
    Value::Object(out)
}

/// A container's securityContext; capabilities are sets.
pub(super) fn security_context(value: Option<&Value>) -> Value {
    let mut context = lenient::without_nulls(value.unwrap_or(&Value::Null));
    for set in ["add", "drop"] {
        let list = context.get_mut("capabilities").and_then(|c| c.get_mut(set)).and_then(Value::as_array_mut);
        if let Some(list) = list {
            list.sort_by_cached_key(Value::to_string);
        }
    }
    if lenient::is_empty(&context) { Value::Null } else { context }
}

/// Mounts and devices by their paths, in no order.
fn paths(list: &Value, fields: &[&str]) -> Value {
    let one = |element: &Value| {
        let members = element.as_object()?;
        let [path, fields @ ..] = fields else { return None };
        let read_only = ("readOnly".to_owned(), Value::Bool(false));
        let known =
            members.iter().filter(|(field, value)| fields.contains(&field.as_str()) && !is_default(field, value));
        // So that a mount has a leaf, which can be lost (rule R7).
        let members = std::iter::once(read_only).chain(known.map(|(field, value)| (field.clone(), value.clone())));
        Some((text(element, path), Value::Object(members.collect())))
    };
    lenient::list(Some(list)).iter().filter_map(one).collect::<Map<_, _>>().into()
}

fn text(element: &Value, field: &str) -> String {
    element.get(field).map(lenient::text).unwrap_or_default()
}

fn ports(list: &Value) -> Value {
    let mut ports: Vec<Value> = lenient::list(Some(list)).iter().cloned().map(without_defaults).collect();
    ports.sort_by_cached_key(Value::to_string);
    Value::Array(ports)
}

fn probe(mut probe: Value) -> Value {
    handler(&mut probe);
    let probe = without_defaults(probe);
    // All that a probe says may be a default, and yet it is one.
    if probe == Value::Object(Map::new()) { Value::Bool(true) } else { probe }
}

fn lifecycle(mut hooks: Value) -> Value {
    hooks.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(handler);
    hooks
}

fn handler(of: &mut Value) {
    for action in ["httpGet", "grpc"] {
        if let Some(action) = of.get_mut(action) {
            *action = without_defaults(action.take());
        }
    }
}

/// Without what the API server fills in where nothing is said.
fn without_defaults(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|field, value| !is_default(field, value));
    }
    value
}

fn is_default(field: &str, value: &Value) -> bool {
    match field {
        "timeoutSeconds" | "successThreshold" => *value == 1,
        "periodSeconds" => *value == 10,
        "failureThreshold" => *value == 3,
        "initialDelaySeconds" | "hostPort" => *value == 0,
        "scheme" => *value == "HTTP",
        "protocol" => *value == "TCP",
        "mountPropagation" => *value == "None",
        "service" | "subPath" | "subPathExpr" => *value == "",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn app(more: &Value) -> Value {
        let mut app = json!({ "name": "app", "image": "app:1" });
        for (field, value) in more.as_object().expect("fields") {
            app[field] = value.clone();
        }
        of(&app, Placement::Ordinary)
    }

    #[expect(clippy::needless_pass_by_value, reason = "`json!` reads better as an argument of its own")]
    fn differ(one: Value, two: Value) -> bool {
        app(&one) != app(&two)
    }

    #[test]
    fn c14_each_field_counts() {
        for field in FIELDS {
            let value = match field {
                "volumeMounts" => json!([{ "name": "v", "mountPath": "/v" }]),
                "volumeDevices" => json!([{ "name": "v", "devicePath": "/v" }]),
                "ports" => json!([{ "containerPort": 80 }]),
                "stdin" | "stdinOnce" | "tty" => json!(true),
                _ => json!({ "some": "value" }),
            };
            assert!(differ(json!({ field: value }), json!({})), "{field}");
            assert!(!differ(json!({ field: value }), json!({ field: value })), "{field}");
            let table = include_str!("../../../../docs/fidelity.md");
            assert!(table.contains(&format!("`{field}`")), "docs/fidelity.md says nothing of {field}");
        }
        for field in MOUNT.iter().skip(1) {
            let with = json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v", *field: "x" }] });
            assert!(differ(with, json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] })), "{field}");
        }
        assert!(differ(json!({ "livenessProbe": {} }), json!({})), "a probe with all defaults is one");
    }

    #[test]
    fn c14_what_the_platform_fills_in_or_may_change_does_not_count() {
        let probe = json!({ "httpGet": { "path": "/", "port": 80 } });
        let filled = json!({
            "httpGet": { "path": "/", "port": 80, "scheme": "HTTP" },
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        });
        let hooks = json!({ "preStop": { "httpGet": { "port": 1 } } });
        let filled_hooks = json!({ "preStop": { "httpGet": { "port": 1, "scheme": "HTTP" } } });
        let mount = |name: &str| json!({ "name": name, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" });
        for (one, two) in [
            (json!({ "livenessProbe": probe }), json!({ "livenessProbe": filled })),
            (json!({ "lifecycle": hooks }), json!({ "lifecycle": filled_hooks })),
            (
                json!({}),
                json!({ "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File" }),
            ),
            (json!({}), json!({ "stdin": false, "tty": false, "ports": [], "volumeMounts": null })),
            (
                json!({ "ports": [{ "containerPort": 1 }] }),
                json!({ "ports": [{ "containerPort": 1, "protocol": "TCP" }] }),
            ),
            (
                json!({ "ports": [{ "containerPort": 1 }, { "containerPort": 2 }] }),
                json!({ "ports": [{ "containerPort": 2 }, { "containerPort": 1 }] }),
            ),
            (
                json!({ "volumeMounts": [mount("kube-api-access-abcde")] }),
                json!({ "volumeMounts": [mount("kube-api-access-fghij")] }),
            ),
            (
                json!({ "resources": { "requests": { "cpu": "1" } } }),
                json!({ "resizePolicy": [{ "resourceName": "cpu" }] }),
            ),
        ] {
            assert!(!differ(one.clone(), two.clone()), "{one} {two}");
        }
        let native = json!({ "name": "app", "restartPolicy": "Always" });
        assert_eq!(of(&native, Placement::Native), json!({}), "its placement says so");
    }
}
