//! What the stub has, made from numbers.

use http::{Method, Uri};
use serde_json::{Value, json};

use super::{Asked, FIRST_VERSION, text::Text};
use crate::fleet::{self, Fleet, NAMESPACES};

/// A kind that can be listed and watched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Collection {
    /// Its path, without a namespace.
    path: &'static str,
    pub(super) plural: &'static str,
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
}

const ADMISSION: &str = "admissionregistration.k8s.io/v1";

const fn core(path: &'static str, plural: &'static str, kind: &'static str) -> Collection {
    Collection { path, plural, api_version: "v1", kind }
}

const fn admission(path: &'static str, plural: &'static str, kind: &'static str) -> Collection {
    Collection { path, plural, api_version: ADMISSION, kind }
}

const fn apps(path: &'static str, plural: &'static str, kind: &'static str) -> Collection {
    Collection { path, plural, api_version: "apps/v1", kind }
}

/// Everything that sidecar-drift watches by default.
static COLLECTIONS: [Collection; 13] = [
    core("/api/v1/pods", "pods", "Pod"),
    core("/api/v1/namespaces", "namespaces", "Namespace"),
    core("/api/v1/nodes", "nodes", "Node"),
    core("/api/v1/serviceaccounts", "serviceaccounts", "ServiceAccount"),
    core("/api/v1/limitranges", "limitranges", "LimitRange"),
    apps("/apis/apps/v1/deployments", "deployments", "Deployment"),
    apps("/apis/apps/v1/statefulsets", "statefulsets", "StatefulSet"),
    apps("/apis/apps/v1/daemonsets", "daemonsets", "DaemonSet"),
    apps("/apis/apps/v1/replicasets", "replicasets", "ReplicaSet"),
    Collection {
        path: "/apis/policy/v1/poddisruptionbudgets",
        plural: "poddisruptionbudgets",
        api_version: "policy/v1",
        kind: "PodDisruptionBudget",
    },
    admission(
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
    ),
    admission(
        "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies",
        "mutatingadmissionpolicies",
        "MutatingAdmissionPolicy",
    ),
    admission(
        "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings",
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding",
    ),
];

/// The words that are filled into a text: application, its namespace, replica, uids, version.
const HOLES: [&str; 6] = ["@app@", "@namespace@", "@name@", "@uid@", "@owner@", "@version@"];

/// Uids of these kinds begin with these numbers.
const DEPLOYMENT: u32 = 1;
const REPLICA_SET: u32 = 2;
const POD: u32 = 3;

/// All objects.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) fleet: Fleet,
    pod: Text,
    deployment: Text,
    /// Metadata alone, as it is asked for.
    replica_set: Text,
}

impl Objects {
    pub(super) fn new(fleet: Fleet) -> Self {
        // Made once with the words of number 0, which are then cut out.
        let with_holes = |object: Value, name: &str, replaced: &[(&str, &str)]| -> Text {
            let mut object = object;
            object["metadata"]["name"] = json!(name);
            object["metadata"]["namespace"] = json!("@namespace@");
            object["metadata"]["uid"] = json!("@uid@");
            object["metadata"]["resourceVersion"] = json!("@version@");
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            let mut text = object.to_string();
            for (old, new) in replaced {
                text = text.replace(old, new);
            }
            Text::new(&serde_json::from_str(&text).unwrap_or_default(), &HOLES)
        };
        let app = fleet::app(0);
        let apps = [(app.as_str(), "@app@")];
        let mut pod = fleet::pod(0, 0, "@owner@");
        if let Some(containers) = pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut) {
            containers.push(fleet::sidecar("v1"));
        }
        pod["metadata"]["managedFields"] = managed_fields(&pod);
        pod["status"] = pod_status();
        let mut replica_set = fleet::replica_set(0, fleet.replicas, "@owner@");
        let metadata = replica_set["metadata"].take();
        let replica_set =
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata});
        let set_name = fleet::replica_set_name(0).replace(&app, "@app@");
        Self {
            fleet,
            pod: with_holes(pod, "@name@", &apps),
            deployment: with_holes(fleet::deployment(0, fleet.replicas), "@app@", &apps),
            replica_set: with_holes(replica_set, &set_name, &apps),
        }
    }

    /// What a request asks for.
    pub(super) fn asked(&self, method: &Method, uri: &Uri) -> Asked {
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        if *method == Method::POST {
            return match path {
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
                    Asked::Fixed(json!({"status": {"allowed": true}}))
                }
                _ if path.ends_with("/pods") && parameter("dryRun") == Some("All") => Asked::DryRun,
                _ => Asked::Nothing,
            };
        }
        if let Some(of) = COLLECTIONS.iter().find(|collection| collection.path == path) {
            if parameter("watch") != Some("true") {
                let number = |name| parameter(name).and_then(|text| text.parse().ok());
                return Asked::List { of, from: number("continue").unwrap_or(0), limit: number("limit") };
            }
            // Asked once, to see whether a watch can begin with a list.
            let nothing = parameter("fieldSelector").is_some();
            let initial = parameter("sendInitialEvents") == Some("true");
            let seconds = parameter("timeoutSeconds").and_then(|text| text.parse().ok()).unwrap_or(300);
            let of = if nothing { &NOTHING } else { of };
            return Asked::Watch { of, initial, seconds };
        }
        match path {
            "/version" => Asked::Fixed(json!({"major": "1", "minor": "37", "gitVersion": "v1.37.2"})),
            "/apis/admissionregistration.k8s.io/v1" => {
                let resources: Vec<_> = COLLECTIONS
                    .iter()
                    .filter(|collection| collection.api_version == ADMISSION)
                    .map(|collection| json!({"name": collection.plural, "kind": collection.kind, "verbs": ["watch"]}))
                    .collect();
                Asked::Fixed(json!({"kind": "APIResourceList", "groupVersion": ADMISSION, "resources": resources}))
            }
            _ => self.replica_set_at(path).map_or(Asked::Nothing, Asked::ReplicaSet),
        }
    }

    fn replica_set_at(&self, path: &str) -> Option<usize> {
        let (_, name) = path.strip_prefix("/apis/apps/v1/namespaces/")?.split_once("/replicasets/")?;
        let number = name.strip_prefix("app-")?.split('-').next()?.parse().ok()?;
        (number < self.fleet.deployments).then_some(number)
    }

    /// A ReplicaSet, whole.
    pub(super) fn replica_set(&self, number: usize) -> Value {
        let mut set = fleet::replica_set(number, self.fleet.replicas, &fleet::uid(DEPLOYMENT, number, 0));
        set["metadata"]["uid"] = json!(fleet::uid(REPLICA_SET, number, 0));
        set["metadata"]["resourceVersion"] = json!(FIRST_VERSION.to_string());
        set
    }

    /// How many there are of a kind.
    pub(super) fn count(&self, of: &Collection) -> usize {
        match of.plural {
            "pods" => self.fleet.pods(),
            "deployments" | "replicasets" => self.fleet.deployments,
            "namespaces" | "serviceaccounts" => NAMESPACES.min(self.fleet.deployments),
            "mutatingadmissionpolicies" | "mutatingadmissionpolicybindings" => 1,
            _ => 0,
        }
    }

    /// Appends the JSON of one object.
    pub(super) fn write(&self, of: &Collection, number: usize, version: u64, to: &mut Vec<u8>) {
        let version = version.to_string();
        let (app, namespace) = (fleet::app(number), fleet::namespace_of(number));
        let small = match of.plural {
            "pods" => return self.write_pod(number / self.fleet.replicas, number % self.fleet.replicas, &version, to),
            "deployments" => {
                let words = [&app, &namespace, "", &fleet::uid(DEPLOYMENT, number, 0), "", &version];
                return self.deployment.write(&words, to);
            }
            "replicasets" => {
                let (uid, owner) = (fleet::uid(REPLICA_SET, number, 0), fleet::uid(DEPLOYMENT, number, 0));
                return self.replica_set.write(&[&app, &namespace, "", &uid, &owner, &version], to);
            }
            "namespaces" => fleet::namespace_object(number),
            "serviceaccounts" => fleet::service_account(number),
            "mutatingadmissionpolicies" => fleet::policy("v1"),
            "mutatingadmissionpolicybindings" => fleet::binding(),
            _ => return,
        };
        let mut small = small;
        small["metadata"]["uid"] = json!(fleet::uid(8, number, 0));
        small["metadata"]["resourceVersion"] = json!(version);
        to.extend_from_slice(small.to_string().as_bytes());
    }

    fn write_pod(&self, deployment: usize, replica: usize, version: &str, to: &mut Vec<u8>) {
        let words = [
            &*fleet::app(deployment),
            &fleet::namespace_of(deployment),
            &fleet::pod_name(deployment, replica),
            &fleet::uid(POD, deployment, replica),
            &fleet::uid(REPLICA_SET, deployment, 0),
            version,
        ];
        self.pod.write(&words, to);
    }

    /// The line of a watch that says something of one Pod.
    pub(super) fn pod_line(&self, event: &str, deployment: usize, replica: usize, version: u64) -> Vec<u8> {
        let mut line = format!(r#"{{"type":"{event}","object":"#).into_bytes();
        self.write_pod(deployment, replica, &version.to_string(), &mut line);
        line.extend_from_slice(b"}\n");
        line
    }

    /// The line of a watch that tells how far it has come, or that its list is complete.
    pub(super) fn bookmark(of: &Collection, version: u64, list_ends: bool) -> Vec<u8> {
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if list_ends {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let partial = of.plural == "replicasets";
        let kind = if partial { "PartialObjectMetadata" } else { of.kind };
        let api_version = if partial { "meta.k8s.io/v1" } else { of.api_version };
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        let mut line = json!({"type": "BOOKMARK", "object": object}).to_string().into_bytes();
        line.push(b'\n');
        line
    }
}

static NOTHING: Collection = core("", "nothing", "Pod");

/// As the API server keeps it: every field that somebody set, once more.
fn managed_fields(pod: &Value) -> Value {
    fn fields(value: &Value) -> Value {
        match value {
            Value::Object(members) => members.iter().map(|(key, value)| (format!("f:{key}"), fields(value))).collect(),
            Value::Array(items) => {
                let named = items.iter().filter_map(|item| {
                    let key = json!({"name": item.get("name")?}).to_string();
                    let mut owned = fields(item);
                    owned["."] = json!({});
                    Some((format!("k:{key}"), owned))
                });
                named.collect()
            }
            _ => json!({}),
        }
    }
    let metadata = json!({"generateName": "", "ownerReferences": [], "annotations": pod["metadata"]["annotations"]});
    let owned = json!({"metadata": metadata, "spec": pod["spec"]});
    json!([{
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields(&owned),
    }])
}

fn pod_status() -> Value {
    let condition =
        |of_type: &str| json!({"type": of_type, "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"});
    let status = |name: &str| {
        json!({
            "name": name,
            "ready": true,
            "restartCount": 0,
            "image": "registry.example.com/image:tag",
            "imageID": "registry.example.com/image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "state": {"running": {"startedAt": "2026-01-01T00:00:03Z"}},
        })
    };
    json!({
        "phase": "Running",
        "podIP": "10.128.0.1",
        "hostIP": "10.64.0.1",
        "startTime": "2026-01-01T00:00:01Z",
        "conditions": [condition("PodScheduled"), condition("Initialized"), condition("ContainersReady"), condition("Ready")],
        "containerStatuses": [status("app"), status(fleet::SIDECAR)],
    })
}
