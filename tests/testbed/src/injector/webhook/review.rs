//! What the webhook answers. Pure: knobs and a review in, an answer out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::injector::{Placement, Sidecar};

/// How the injector behaves; a test turns them while it runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Knobs {
    /// What is injected.
    pub sidecar: Sidecar,
}

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
            pod: if name.is_empty() { text("/object/metadata/generateName") } else { name },
        }
    }
}

/// The answer to an AdmissionReview.
pub(super) fn answer(knobs: &Knobs, review: &Value) -> Value {
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    let patch = patch(knobs, &review["request"]["object"]);
    if !patch.is_empty() {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(BASE64.encode(Value::Array(patch).to_string()));
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn patch(knobs: &Knobs, pod: &Value) -> Vec<Value> {
    let sidecar = &knobs.sidecar;
    // As most injectors do: a Pod that has one already is left alone.
    if sidecar.is_named_in(pod) {
        return Vec::new();
    }
    match sidecar.placement {
        Placement::Ordinary => vec![add("/spec/containers/-", &sidecar.container())],
        Placement::Native if pod["spec"]["initContainers"].is_array() => {
            vec![add("/spec/initContainers/0", &sidecar.container())]
        }
        Placement::Native => vec![add("/spec/initContainers", &json!([sidecar.container()]))],
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

    #[test]
    fn a_native_sidecar_comes_before_other_init_containers() {
        let knobs = Knobs { sidecar: Sidecar::native("proxy") };
        let with = review(&json!({"spec": {"containers": [], "initContainers": [{"name": "first"}]}}));
        assert_eq!(patch_of(&answer(&knobs, &with))[0]["path"], "/spec/initContainers/0");
        let without = review(&json!({"spec": {"containers": []}}));
        assert_eq!(patch_of(&answer(&knobs, &without))[0]["path"], "/spec/initContainers");
    }

    #[test]
    fn a_pod_that_has_the_sidecar_is_left_alone() {
        let knobs = Knobs { sidecar: Sidecar::new("proxy") };
        let injected = review(&json!({"spec": {"containers": [{"name": "proxy"}]}}));
        assert_eq!(answer(&knobs, &injected)["response"], json!({"uid": "1", "allowed": true}));
    }

    #[test]
    fn a_review_is_named_after_the_beginning_of_a_generated_name() {
        let review = review(&json!({"metadata": {"generateName": "web-5d4f-"}}));
        let expected = Review { dry_run: true, user: "me".into(), namespace: "here".into(), pod: "web-5d4f-".into() };
        assert_eq!(Review::of(&review), expected);
    }
}
