//! What is measured: Deployments that an injector gave a sidecar to, with Pods of about 17 KB of JSON each, as real ones have.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// The container that the injector adds.
pub(crate) const SIDECAR: &str = "mesh-proxy";
/// The policy that adds it, and its binding.
pub(crate) const POLICY: &str = "mesh-injector";
/// Namespaces of a fleet; workloads are spread evenly over them.
pub(crate) const NAMESPACES: usize = 50;
/// The hash of every template: a name is unique by its Deployment.
const HASH: &str = "5f7d8c9b6d";

/// So many Deployments with so many Pods each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fleet {
    pub(crate) deployments: usize,
    pub(crate) replicas: usize,
}

impl Fleet {
    /// So many Pods, twenty to a Deployment.
    pub(crate) fn of_pods(pods: usize) -> Self {
        Self { deployments: (pods / 20).max(1), replicas: 20 }
    }

    pub(crate) fn pods(self) -> usize {
        self.deployments * self.replicas
    }
}

/// `ns-07`
pub(crate) fn namespace(number: usize) -> String {
    format!("ns-{number:02}")
}

/// The namespace of a Deployment.
pub(crate) fn namespace_of(deployment: usize) -> String {
    namespace(deployment % NAMESPACES)
}

/// `app-00042`
pub(crate) fn app(deployment: usize) -> String {
    format!("app-{deployment:05}")
}

/// The Deployment's ReplicaSet.
pub(crate) fn replica_set_name(deployment: usize) -> String {
    format!("{}-{HASH}", app(deployment))
}

/// The name of a Pod, as the ReplicaSet controller would choose it: the same for the same Pod in each run.
pub(crate) fn pod_name(deployment: usize, replica: usize) -> String {
    format!("{}-{:05x}", replica_set_name(deployment), replica)
}

fn template(app: &str) -> Value {
    let text = |seed: &str, length: usize| format!("{seed}/{app}/{}", "0123456789".repeat(length / 10));
    let env: Vec<Value> =
        (0..36).map(|n| json!({"name": format!("SETTING_{n:02}"), "value": text("value", 60)})).collect();
    let mounts: Vec<Value> = (0..6)
        .map(
            |n| json!({"name": format!("config-{n}"), "mountPath": format!("/etc/{app}/config-{n}"), "readOnly": true}),
        )
        .collect();
    let volumes: Vec<Value> = (0..6)
        .map(|n| json!({"name": format!("config-{n}"), "configMap": {"name": format!("{app}-config-{n}"), "defaultMode": 420}}))
        .collect();
    let annotations: Value =
        (0..8).map(|n| (format!("example.com/note-{n}"), Value::from(text("note", 180)))).collect();
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": 8080}, "periodSeconds": 10, "timeoutSeconds": 2});
    json!({
        "metadata": {"labels": {"app": app, "pod-template-hash": HASH}, "annotations": annotations},
        "spec": {
            "containers": [{
                "name": "app",
                "image": format!("registry.example.com/shop/{app}:1.4.2"),
                "command": ["/bin/app"],
                "args": ["--listen=:8080", "--log-format=json"],
                "env": env,
                "ports": [{"name": "http", "containerPort": 8080}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                "livenessProbe": probe("/live"),
                "readinessProbe": probe("/ready"),
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        },
    })
}

/// What has a namespace, a name and, by the API server or by us, a uid.
fn metadata(namespace: &str, name: &str) -> Value {
    json!({"namespace": namespace, "name": name})
}

/// A uid that is the same in each run.
pub(crate) fn uid(kind: u32, number: usize, replica: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{:012x}", number * 10_000 + replica)
}

/// A Deployment, complete as far as its controller could make it.
pub(crate) fn deployment(number: usize, replicas: usize) -> Value {
    let app = app(number);
    let mut metadata = metadata(&namespace_of(number), &app);
    metadata["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
    metadata["generation"] = json!(1);
    let mut template = template(&app);
    template["metadata"]["labels"] = json!({"app": app});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template},
        "status": deployment_status(replicas),
    })
}

/// What its controller would have written.
pub(crate) fn deployment_status(replicas: usize) -> Value {
    json!({
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
        "conditions": [
            {"type": "Available", "status": "True"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        ],
    })
}

/// Its one ReplicaSet; `owner` is the Deployment's uid.
pub(crate) fn replica_set(number: usize, replicas: usize, owner: &str) -> Value {
    let app = app(number);
    let mut metadata = metadata(&namespace_of(number), &replica_set_name(number));
    metadata["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
    metadata["labels"] = json!({"app": app, "pod-template-hash": HASH});
    metadata["ownerReferences"] = owned("Deployment", &app, owner);
    let labels = json!({"app": app, "pod-template-hash": HASH});
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata,
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(&app)},
        "status": {"replicas": replicas, "readyReplicas": replicas, "observedGeneration": 1},
    })
}

fn owned(kind: &str, name: &str, uid: &str) -> Value {
    json!([{
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

/// A Pod as the ReplicaSet controller creates it, before admission; `owner` is the ReplicaSet's uid.
pub(crate) fn pod(number: usize, replica: usize, owner: &str) -> Value {
    let mut pod = template(&app(number));
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["namespace"] = json!(namespace_of(number));
    pod["metadata"]["name"] = json!(pod_name(number, replica));
    pod["metadata"]["generateName"] = json!(format!("{}-", replica_set_name(number)));
    pod["metadata"]["ownerReferences"] = owned("ReplicaSet", &replica_set_name(number), owner);
    pod["spec"]["nodeName"] = json!("node-1");
    pod
}

/// The sidecar of this version.
pub(crate) fn sidecar(version: &str) -> Value {
    let env: Vec<Value> = sidecar_env().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({"name": SIDECAR, "image": sidecar_image(version), "args": sidecar_args(), "env": env})
}

fn sidecar_image(version: &str) -> String {
    format!("registry.example.com/mesh/proxy:{version}")
}

fn sidecar_args() -> Vec<String> {
    let mut args = vec!["proxy".to_owned(), "sidecar".to_owned()];
    args.extend((0..10).map(|n| format!("--option-{n}=some-value-of-{n}")));
    args
}

fn sidecar_env() -> impl Iterator<Item = (String, String)> {
    (0..24).map(|n| (format!("PROXY_SETTING_{n:02}"), format!("what-setting-{n:02}-of-the-proxy-is-everywhere")))
}

/// The policy that injects the sidecar into whatever is created in a namespace of the fleet.
pub(crate) fn policy(version: &str) -> Value {
    let string = |text: &str| Value::from(text).to_string();
    let args: Vec<_> = sidecar_args().iter().map(|arg| string(arg)).collect();
    let mut env = String::new();
    for (name, value) in sidecar_env() {
        // Writing to a String cannot fail.
        _ = write!(env, "Object.spec.containers.env{{name: {}, value: {}}}, ", string(&name), string(&value));
    }
    let patch = format!(
        "[JSONPatch{{op: \"add\", path: \"/spec/containers/-\", value: Object.spec.containers{{name: {}, image: {}, \
         args: [{}], env: [{}]}}}}]",
        string(SIDECAR),
        string(&sidecar_image(version)),
        args.join(", "),
        env.trim_end_matches(", "),
    );
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"mesh": "on"}},
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
                ],
            },
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
        },
    })
}

/// The policy's binding.
pub(crate) fn binding() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": POLICY},
        "spec": {"policyName": POLICY},
    })
}

/// A namespace of the fleet.
pub(crate) fn namespace_object(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(number), "labels": {"mesh": "on"}}})
}

/// The ServiceAccount that each namespace has.
pub(crate) fn service_account(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(&namespace(number), "default")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_has_the_pods_that_were_asked_for() {
        assert_eq!(Fleet::of_pods(10_000), Fleet { deployments: 500, replicas: 20 });
        assert_eq!(Fleet::of_pods(1_000_000).pods(), 1_000_000);
    }

    #[test]
    fn names_and_uids_are_unique_and_the_same_each_time() {
        assert_ne!(uid(1, 1, 2), uid(1, 2, 1));
        assert_ne!(uid(1, 49_999, 19), uid(2, 49_999, 19));
        assert_ne!(pod_name(1, 2), pod_name(2, 1));
        assert_eq!(pod_name(1, 2), "app-00001-5f7d8c9b6d-00002");
    }

    #[test]
    fn a_pod_is_made_from_the_template_of_its_replica_set() {
        let (pod, replica_set) = (pod(3, 0, "uid"), replica_set(3, 1, "uid"));
        let container = "/spec/containers/0";
        assert_eq!(pod.pointer(container), replica_set.pointer(&format!("/spec/template{container}")));
        assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], replica_set["metadata"]["name"]);
    }
}
