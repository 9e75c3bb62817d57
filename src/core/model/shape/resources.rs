//! A container's resources, as far as it was the injector that set them (rule C6).

use serde_json::{Map, Value};

use crate::core::model::shape::lenient;
use crate::core::model::words::Placement;

/// In the place of resources of which nobody can tell what they would be for a new Pod.
pub const UNKNOWN: &str = "(set by somebody else)";

/// By which the vertical autoscaler says what it did.
const AUTOSCALED: [&str; 2] = ["vpaUpdates", "vpaObservedContainers"];
/// By which the admission plugin says what it set: `LimitRanger plugin set: cpu, memory request for container app; cpu limit
/// for init container proxy`.
const LIMIT_RANGER: &str = "kubernetes.io/limit-ranger";

/// Who else than the injector set resources in a Pod.
pub(super) struct Resources<'a> {
    /// Recommendations come and go, and a resized Pod is no longer as it was born.
    moving: bool,
    /// What the plugin of the LimitRanges says that it set.
    limits: &'a str,
}

impl<'a> Resources<'a> {
    pub(super) fn of(pod: &'a Value) -> Self {
        let meta = pod.get("metadata").unwrap_or(&Value::Null);
        let annotation = |key: &str| meta.get("annotations").and_then(|all| all.get(key)).and_then(Value::as_str);
        Self {
            moving: AUTOSCALED.iter().any(|key| annotation(key).is_some()) || is_resized(pod, meta),
            limits: annotation(LIMIT_RANGER).unwrap_or_default(),
        }
    }

    /// A container's resources without what others set.
    pub(super) fn of_container(&self, container: &Value, placement: Placement) -> Value {
        if self.moving {
            return Value::from(UNKNOWN);
        }
        let mut resources = lenient::without_nulls(container.get("resources").unwrap_or(&Value::Null));
        let name = container.get("name").map(lenient::text).unwrap_or_default();
        let whose = if placement == Placement::Ordinary { "container" } else { "init container" };
        let text = self.limits.split_once("set: ").map_or("", |(_, text)| text);
        for part in text.split("; ") {
            for (word, member) in [(" request for ", "requests"), (" limit for ", "limits")] {
                let Some((names, of)) = part.split_once(word) else { continue };
                if of != format!("{whose} {name}") {
                    continue;
                }
                if let Some(amounts) = resources.get_mut(member).and_then(Value::as_object_mut) {
                    names.split(", ").for_each(|resource| drop(amounts.remove(resource)));
                }
            }
        }
        if let Some(members) = resources.as_object_mut() {
            members.retain(|_, amounts| !amounts.as_object().is_some_and(Map::is_empty));
        }
        resources
    }
}

/// By the record of who wrote; without one a later generation of the Pod may be that.
fn is_resized(pod: &Value, meta: &Value) -> bool {
    let by_status =
        pod.get("status").and_then(|s| s.get("resize")).and_then(Value::as_str).is_some_and(|r| !r.is_empty());
    let entries = lenient::list(meta.get("managedFields"));
    let resized = entries.iter().any(|entry| entry.get("subresource").and_then(Value::as_str) == Some("resize"));
    let later = meta.get("generation").and_then(Value::as_i64).is_some_and(|generation| generation > 1);
    by_status || resized || (entries.is_empty() && later)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "`json!` reads better as an argument of its own")]
mod tests {
    use serde_json::json;

    use crate::core::{
        compare::{Comparison, Mask, Rendering, SidecarSelection, compare_all},
        model::shape::{FieldSet, PodShape},
    };

    fn pod(annotations: serde_json::Value, cpu: &str) -> serde_json::Value {
        json!({ "metadata": { "annotations": annotations }, "spec": { "containers": [
            { "name": "app", "image": "app:1" },
            { "name": "proxy", "image": "proxy:1", "resources": { "limits": { "memory": "1Gi" }, "requests": { "cpu": cpu } } },
        ] } })
    }

    fn compared(running: &serde_json::Value, rendered: &serde_json::Value, fields: FieldSet) -> Comparison {
        let template = json!({ "spec": { "containers": [{ "name": "app", "image": "app:1" }] } });
        let rendering = Rendering {
            template: PodShape::with(&template, fields).into(),
            rendered: PodShape::with(rendered, fields).into(),
            ..Rendering::default()
        };
        let (selection, mask) = (SidecarSelection::default(), Mask::default());
        compare_all(&PodShape::with(running, fields), "", &[rendering], &selection, &mask, &[])
    }

    fn differs(running: &serde_json::Value, rendered: &serde_json::Value, fields: FieldSet) -> bool {
        !compared(running, rendered, fields).differences.is_empty()
    }

    #[test]
    fn c6_resources_count_only_where_they_are_asked_for() {
        let (old, new) = (pod(json!({}), "100m"), pod(json!({}), "200m"));
        assert!(!differs(&old, &new, FieldSet::Default));
        let found = compared(&old, &new, FieldSet::Resources);
        assert_eq!(found.differences[0].fields[0].pointer, "/resources/requests/cpu");
        assert!(differs(&old, &new, FieldSet::All));
    }

    #[test]
    fn c6_what_an_autoscaler_or_a_resize_set_is_no_drift() {
        let new = pod(json!({}), "200m");
        for key in ["vpaUpdates", "vpaObservedContainers"] {
            let scaled = pod(json!({ key: "proxy" }), "137m");
            assert!(!differs(&scaled, &new, FieldSet::Resources), "{key}");
            assert!(!differs(&new, &scaled, FieldSet::Resources), "{key}");
        }
        let mut resized = pod(json!({}), "137m");
        resized["metadata"]["managedFields"] = json!([{ "manager": "kubectl", "subresource": "resize" }]);
        assert!(!differs(&resized, &new, FieldSet::Resources));
        resized["metadata"]["managedFields"] = json!([{ "manager": "kubelet", "subresource": "status" }]);
        resized["metadata"]["generation"] = json!(2);
        assert!(differs(&resized, &new, FieldSet::Resources), "the record says that it was not resized");
        resized["metadata"]["managedFields"] = json!([]);
        assert!(!differs(&resized, &new, FieldSet::Resources), "there is no record");
        let mut other_image = resized.clone();
        other_image["spec"]["containers"][1]["image"] = json!("proxy:0");
        assert!(differs(&other_image, &new, FieldSet::Resources), "all else counts");
    }

    #[test]
    fn c6_what_a_limit_range_set_is_no_drift_and_the_rest_is() {
        let set = "LimitRanger plugin set: cpu, memory limit for container app; cpu request for container proxy";
        let by_limits = pod(json!({ "kubernetes.io/limit-ranger": set }), "50m");
        let mut without = pod(json!({}), "");
        without["spec"]["containers"][1]["resources"]["requests"] = json!({});
        assert!(!differs(&by_limits, &without, FieldSet::Resources));
        assert!(!differs(&without, &by_limits, FieldSet::Resources));
        let mut more = by_limits.clone();
        more["spec"]["containers"][1]["resources"]["limits"]["memory"] = json!("2Gi");
        assert!(differs(&by_limits, &more, FieldSet::Resources), "the plugin set the cpu alone");
        assert!(differs(&by_limits, &pod(json!({}), "50m"), FieldSet::Resources), "the injector sets it now");
        let other = set.replace("container proxy", "container proxy-2");
        assert!(differs(&pod(json!({ "kubernetes.io/limit-ranger": other }), "50m"), &without, FieldSet::Resources));
    }

    #[test]
    fn c6_all_fields_are_compared_in_no_order_that_means_nothing() {
        let of = |more: serde_json::Value| {
            let mut pod = pod(json!({}), "1");
            for (field, value) in more.as_object().expect("fields") {
                pod["spec"]["containers"][1][field] = value.clone();
            }
            pod
        };
        let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path });
        let (a, b) = (mount("a", "/a"), mount("b", "/b"));
        let same = |one: serde_json::Value, two: serde_json::Value| !differs(&of(one), &of(two), FieldSet::All);
        assert!(same(json!({ "volumeMounts": [a, b] }), json!({ "volumeMounts": [b, a] })));
        assert!(!same(json!({ "volumeMounts": [a] }), json!({ "volumeMounts": [mount("other", "/a")] })));
        assert!(same(json!({ "volumeMounts": [mount("v-1", "/a")] }), json!({ "volumeMounts": [mount("v-2", "/a")] })));
        assert!(!same(json!({ "imagePullPolicy": "Always" }), json!({ "imagePullPolicy": "Never" })));
        let port = |port: u16| json!({ "containerPort": port });
        assert!(same(json!({ "ports": [port(1), port(2)] }), json!({ "ports": [port(2), port(1)] })));
        assert!(!same(json!({ "livenessProbe": { "periodSeconds": 1 } }), json!({})));
        assert!(!same(json!({ "securityContext": { "runAsUser": 1 } }), json!({})));
    }

    #[test]
    fn c14_resources_of_an_app_container_hold_nothing() {
        let mut running = pod(json!({}), "1");
        running["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": "1" } });
        running["spec"]["containers"][0]["securityContext"] = json!({ "runAsUser": 1 });
        running["spec"]["containers"][1]["image"] = json!("proxy:0");
        let found = compared(&running, &pod(json!({}), "1"), FieldSet::All);
        let pointers: Vec<_> = found.collateral.iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(pointers, ["/app/securityContext/runAsUser"]);
    }
}
