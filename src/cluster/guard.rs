//! The probe of the guard: a dry-run creation of a Pod that the guard must refuse.
//!
//! The guard is the ValidatingAdmissionPolicy of the chart. It holds our ServiceAccount to dry runs and to the stamp,
//! and refuses the probe by name, so that we can tell its refusal from any other.

use serde_json::{Value, json};

use super::client::{Answer, Call, Cluster};

/// The annotation that makes a Pod a probe.
pub const ANNOTATION: &str = "sidecar-drift/guard-probe";

/// The guard's words for a probe, which are also what tells one version of its rules from another: a guard of rules that
/// we do not know holds us to we do not know what.
pub const REFUSAL: &str = "sidecar-drift guard v1: this is a probe and never created";

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The guard refused it: it is in force.
    Refused,
    /// Nobody refused it: there is no guard, or none for our ServiceAccount.
    Admitted,
    /// Somebody else refused it, or there was no answer.
    Unknown(String),
}

/// Carry out [`Effect::ProbeGuard`](crate::core::io::Effect::ProbeGuard) in this namespace, our own.
pub async fn probe(cluster: &Cluster, namespace: &str) -> Probe {
    match cluster.call(Call::dry_run_pod(namespace, pod().to_string())).await {
        Ok(answer) if answer.status.is_success() => Probe::Admitted,
        Ok(answer) if is_refusal(&answer) => Probe::Refused,
        Ok(answer) => Probe::Unknown(answer.message()),
        Err(error) => Probe::Unknown(error.sentence()),
    }
}

/// A Pod that nobody but the guard has a reason to refuse: it asks for next to nothing, and meets the strictest Pod
/// Security Standard.
fn pod() -> Value {
    let amounts = json!({ "cpu": "1m", "memory": "1Mi" });
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "sidecar-drift-guard-probe-",
            "annotations": { ANNOTATION: "" },
        },
        "spec": {
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "probe",
                "image": "sidecar-drift.invalid/guard-probe",
                "resources": { "requests": &amounts, "limits": &amounts },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    })
}

/// `pods "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: <our words>`, and the words by
/// themselves as a cause. The policy's name is its administrator's choice, so the words are what counts.
fn is_refusal(answer: &Answer) -> bool {
    let status = answer.said();
    let mut causes = status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
    let said = |text: Option<&Value>| text.and_then(Value::as_str).is_some_and(|text| text.ends_with(REFUSAL));
    let by_policy = answer.says("ValidatingAdmissionPolicy '");
    by_policy && said(status.get("message")) && causes.any(|cause| said(cause.get("message")))
}
