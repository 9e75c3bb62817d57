//! What the webhook answers. Pure: knobs and a review in, an answer out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::knobs::{Failure, Knobs, Turn};
use crate::injector::{Placement, Sidecar};

/// One Pod that the injector was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Whether it was only asked for show.
    pub dry_run: bool,
    /// Who creates the Pod.
    pub user: String,
    /// Where.
    pub namespace: String,
    /// Under which name, or beginning of a name.
    pub pod: String,
    /// The whole Pod, as it came.
    pub object: Value,
}

impl Review {
    /// Reads what is of interest from the AdmissionReview.
    pub(super) fn of(review: &Value) -> Self {
        let request = &review["request"];
        let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text("/object/metadata/name");
        Self {
            dry_run: request["dryRun"] == true,
            user: text("/userInfo/username"),
            namespace: text("/namespace"),
            object: request["object"].clone(),
            pod: if name.is_empty() { text("/object/metadata/generateName") } else { name },
        }
    }
}

/// The answer to an AdmissionReview.
pub(super) fn answer(knobs: &Knobs, review: &Value, turn: Turn) -> Value {
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    let about = Review::of(review);
    if knobs.failure == Some(Failure::Denied) {
        response["allowed"] = json!(false);
        response["status"] = json!({"message": "no more of these"});
        return json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    }
    if knobs.failure != Some(Failure::Unpatched) && knobs.serves(&about.user) {
        let pod = &review["request"]["object"];
        let sidecar = knobs.sidecar_of(turn, about.dry_run);
        let mut container = sidecar.container();
        if knobs.copies_token_volume {
            copy_token_volume(&mut container, pod);
        }
        let patch = match &knobs.edits {
            Some(_) if knobs.spares.as_ref().is_some_and(|prefix| about.pod.starts_with(prefix)) => Vec::new(),
            Some((name, value)) => edit(name, value, pod),
            None => patch(&sidecar, &container, pod),
        };
        if !patch.is_empty() {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(BASE64.encode(Value::Array(patch).to_string()));
        }
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn patch(sidecar: &Sidecar, container: &Value, pod: &Value) -> Vec<Value> {
    // As most injectors do: a Pod that has one already is left alone.
    if sidecar.is_named_in(pod) {
        return Vec::new();
    }
    match sidecar.placement {
        Placement::Ordinary => vec![add("/spec/containers/-", container)],
        Placement::Native if pod["spec"]["initContainers"].is_array() => {
            vec![add("/spec/initContainers/0", container)]
        }
        Placement::Native => vec![add("/spec/initContainers", &json!([container]))],
    }
}

/// Adds an environment variable to every container, unless it is there.
fn edit(name: &str, value: &str, pod: &Value) -> Vec<Value> {
    let variable = json!({"name": name, "value": value});
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten().enumerate();
    let edits = containers.filter_map(|(at, container)| match container["env"].as_array() {
        Some(env) if env.iter().any(|known| known["name"] == name) => None,
        Some(_) => Some(add(&format!("/spec/containers/{at}/env/-"), &variable)),
        None => Some(add(&format!("/spec/containers/{at}/env"), &json!([variable]))),
    });
    edits.collect()
}

/// The API server has added the volume before webhooks are asked, under a name that it made up for this request.
fn copy_token_volume(container: &mut Value, pod: &Value) {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten().filter_map(|volume| volume["name"].as_str());
    let Some(name) = volumes.into_iter().find(|name| name.starts_with("kube-api-access-")) else { return };
    let mount = json!({
        "name": name,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        "readOnly": true,
    });
    container["volumeMounts"] = json!([mount]);
    if let Some(env) = container["env"].as_array_mut() {
        env.push(json!({"name": "TOKEN_VOLUME", "value": name}));
    }
}

fn add(path: &str, value: &Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(pod: &Value) -> Value {
        json!({"request": {
            "uid": "1", "dryRun": true, "namespace": "here", "userInfo": {"username": "me"}, "object": pod,
        }})
    }

    fn patch_of(answer: &Value) -> Value {
        let encoded = answer["response"]["patch"].as_str().unwrap();
        serde_json::from_slice(&BASE64.decode(encoded).unwrap()).unwrap()
    }

    fn answered(knobs: &Knobs, review: &Value) -> Value {
        answer(knobs, review, Turn::next(0, std::time::Duration::ZERO))
    }

    #[test]
    fn a_native_sidecar_comes_before_other_init_containers() {
        let knobs = Knobs::new(Sidecar::native("proxy"));
        let with = review(&json!({"spec": {"containers": [], "initContainers": [{"name": "first"}]}}));
        assert_eq!(patch_of(&answered(&knobs, &with))[0]["path"], "/spec/initContainers/0");
        let without = review(&json!({"spec": {"containers": []}}));
        assert_eq!(patch_of(&answered(&knobs, &without))[0]["path"], "/spec/initContainers");
    }

    #[test]
    fn a_pod_that_has_the_sidecar_is_left_alone() {
        let knobs = Knobs::new(Sidecar::new("proxy"));
        let injected = review(&json!({"spec": {"containers": [{"name": "proxy"}]}}));
        assert_eq!(answered(&knobs, &injected)["response"], json!({"uid": "1", "allowed": true}));
    }

    #[test]
    fn one_that_fails_open_and_one_that_knows_only_controllers_leave_our_pods_alone() {
        let untouched = json!({"uid": "1", "allowed": true});
        let ours = review(&json!({"spec": {"containers": []}}));
        let mut knobs = Knobs::new(Sidecar::new("proxy"));
        knobs.failure = Some(Failure::Unpatched);
        assert_eq!(answered(&knobs, &ours)["response"], untouched);
        knobs.failure = None;
        knobs.controllers_only = true;
        assert_eq!(answered(&knobs, &ours)["response"], untouched);
        let mut theirs = ours.clone();
        theirs["request"]["userInfo"]["username"] = json!("system:serviceaccount:kube-system:replicaset-controller");
        assert!(answered(&knobs, &theirs)["response"]["patch"].is_string());
    }

    #[test]
    fn one_that_edits_gives_a_variable_to_every_container_but_of_those_that_it_spares() {
        let mut knobs = Knobs::new(Sidecar::new("identity"));
        knobs.edits = Some(("ROLE".to_owned(), "reader".to_owned()));
        let containers = json!([{"name": "app"}, {"name": "agent", "env": [{"name": "A", "value": "1"}]}]);
        let pod = review(&json!({"metadata": {"generateName": "web-1-"}, "spec": {"containers": containers}}));
        let role = json!({"name": "ROLE", "value": "reader"});
        assert_eq!(
            patch_of(&answered(&knobs, &pod)),
            json!([add("/spec/containers/0/env", &json!([role])), add("/spec/containers/1/env/-", &role)])
        );
        knobs.spares = Some("web-".to_owned());
        assert_eq!(answered(&knobs, &pod)["response"], json!({"uid": "1", "allowed": true}));
    }

    #[test]
    fn the_token_volume_is_copied_by_its_generated_name() {
        let mut knobs = Knobs::new(Sidecar::new("proxy"));
        knobs.copies_token_volume = true;
        let pod = json!({"spec": {"containers": [], "volumes": [{"name": "kube-api-access-x2x4z"}]}});
        let container = patch_of(&answered(&knobs, &review(&pod)))[0]["value"].clone();
        assert_eq!(container["volumeMounts"][0]["name"], "kube-api-access-x2x4z");
        assert_eq!(container["env"][1], json!({"name": "TOKEN_VOLUME", "value": "kube-api-access-x2x4z"}));
    }

    #[test]
    fn a_review_is_named_after_the_beginning_of_a_generated_name() {
        let review = review(&json!({"metadata": {"generateName": "web-5d4f-"}}));
        let expected = Review {
            dry_run: true,
            user: "me".into(),
            namespace: "here".into(),
            pod: "web-5d4f-".into(),
            object: review["request"]["object"].clone(),
        };
        assert_eq!(Review::of(&review), expected);
    }
}
