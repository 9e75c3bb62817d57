//! What an answer of the API server means (rule R6): to a dry-run creation, and to a patch.
//!
//! The same status code says very different things: 403 is a policy's refusal, a full quota, or our own missing right;
//! 422 is an invalid object or a JSON Patch whose `test` failed. What tells them apart is the wording of the API server
//! itself (Kubernetes 1.33 to 1.37), quoted at each rule.

mod quota;

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use crate::core::{
    compare::Rendering,
    io::{EvictOutcome, PatchOutcome, RenderOutcome},
    model::{Name, quoted::quoted, shape::PodShape, words::UndeterminedReason},
};

/// What came of a dry-run creation.
#[derive(Clone, Debug, PartialEq)]
pub enum RenderAnswer {
    /// An outcome.
    Outcome(RenderOutcome),
    /// The name is taken (409): try the next ordinal, a bounded number of times (rule R3).
    NameTaken {
        /// The API server's words.
        message: String,
    },
}

/// An answer as it came: status code, body (a Pod or a `metav1.Status`; a string for a body that is no JSON), and the
/// header `Retry-After`. The Status's own `retryAfterSeconds` counts where the header is missing.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status code.
    pub code: u16,
    /// The body.
    pub body: &'a Value,
    /// The header `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// Judges the answer to a dry-run creation of a Pod. `template` is the shape of the template that it was made from,
/// `pod_name` the name that it was given; `shape` reads the Pod.
///
/// Only 201 with a whole Pod is a rendering. Anything that would refuse the real Pod, too, is `rejected`; everything
/// else is `undetermined`.
pub fn classify_render(
    answer: &Answer<'_>,
    template: &Arc<PodShape>,
    pod_name: Option<&str>,
    shape: impl FnOnce(&Value) -> PodShape,
) -> RenderAnswer {
    use UndeterminedReason as Reason;

    let message = || answer.message();
    let rejected = || RenderAnswer::Outcome(RenderOutcome::Rejected { message: answer.message() });
    let undetermined = |reason| {
        let retry_after = answer.retry_after();
        RenderAnswer::Outcome(RenderOutcome::Undetermined { reason, message: answer.message(), retry_after })
    };
    match answer.code {
        201 if is_whole_pod(answer.body) => RenderAnswer::Outcome(RenderOutcome::Rendered(Rendering {
            template: Arc::clone(template),
            rendered: Arc::new(shape(answer.body)),
            pod_name: pod_name.map(Name::from),
            ..Rendering::default()
        })),
        _ if answer.is_webhook_denial() => match answer.code {
            // A webhook that answers "not allowed, 500" failed by itself; it did not decide against the Pod.
            500.. => undetermined(Reason::InjectorUnavailable),
            429 => undetermined(Reason::Throttled),
            _ => rejected(),
        },
        400 | 500 if answer.is_dry_run_unsupported() => undetermined(Reason::DryRunUnsupported),
        403 if answer.is_lack_of_rights() => undetermined(Reason::Forbidden),
        403 if answer.is_not_ready() => undetermined(Reason::ApiError),
        403 => match quota::verdict(answer.text()) {
            Some(quota::Verdict::Full) => undetermined(Reason::QuotaFull),
            Some(quota::Verdict::NeverFits) | None => rejected(),
        },
        404 if answer.is_namespace_gone() => RenderAnswer::Outcome(RenderOutcome::Gone),
        409 if answer.reason() == "AlreadyExists" => RenderAnswer::NameTaken { message: message() },
        422 => rejected(),
        429 => undetermined(Reason::Throttled),
        500 if answer.says("failed calling webhook") => undetermined(Reason::InjectorUnavailable),
        _ => undetermined(Reason::ApiError),
    }
}

/// Judges the answer to a JSON Patch of a workload that pins uid and resourceVersion, be it a dry run or the real one.
///
/// An answer after which the patch may or may not be written is `Unknown`, never `Failed`.
pub fn classify_patch(answer: &Answer<'_>) -> PatchOutcome {
    let denied = || PatchOutcome::Denied { message: answer.message() };
    let failed = || PatchOutcome::Failed { message: answer.message(), retry_after: answer.retry_after() };
    let unknown = || PatchOutcome::Unknown { message: answer.message() };
    match answer.code {
        200 => match answer.body.pointer("/metadata/generation").and_then(Value::as_i64) {
            Some(generation) => PatchOutcome::Patched { generation },
            None => unknown(),
        },
        // Admission comes before the write, so none of these has been written.
        _ if answer.is_refusal() => denied(),
        400 if answer.is_dry_run_unsupported() => denied(),
        403 if answer.is_lack_of_rights() => PatchOutcome::Failed {
            message: format!("we may not patch it, grant that by RBAC: {}", answer.message()),
            retry_after: None,
        },
        403 if answer.is_not_ready() => failed(),
        403 => denied(),
        404 => PatchOutcome::Gone,
        // A failed `test` has no causes; validation and policies always give some.
        422 if !answer.causes().is_empty() => denied(),
        409 | 422 => PatchOutcome::Conflict,
        500.. if answer.is_webhook_failure() => failed(),
        500.. => unknown(),
        400.. => failed(),
        _ => unknown(),
    }
}

/// Judges the answer to an eviction that pins the Pod's uid.
pub fn classify_eviction(answer: &Answer<'_>) -> EvictOutcome {
    let message = || answer.message();
    let denied = || EvictOutcome::Denied { message: message() };
    let failed = || EvictOutcome::Failed { message: message(), retry_after: answer.retry_after() };
    match answer.code {
        200..300 => EvictOutcome::Evicted,
        _ if answer.is_refusal() => denied(),
        403 if answer.is_lack_of_rights() => EvictOutcome::Failed {
            message: format!("we may not evict, grant that by RBAC: {}", message()),
            retry_after: None,
        },
        403 if answer.is_not_ready() => failed(),
        403 | 422 => denied(),
        // The uid is another one's: the Pod that was meant is gone.
        404 | 409 => EvictOutcome::Gone,
        429 if answer.has_cause("DisruptionBudget") => EvictOutcome::NoHeadroom { retry_after: answer.retry_after() },
        // Nobody but a person can resolve this one.
        500 if answer.says("more than one PodDisruptionBudget") => denied(),
        500.. if answer.is_webhook_failure() => failed(),
        500.. => EvictOutcome::Unknown { message: message() },
        400.. => failed(),
        _ => EvictOutcome::Unknown { message: message() },
    }
}

/// A Pod that was not cut off on its way.
fn is_whole_pod(body: &Value) -> bool {
    body.get("kind").and_then(Value::as_str) == Some("Pod")
        && body.get("metadata").is_some_and(Value::is_object)
        && body.pointer("/spec/containers").and_then(Value::as_array).is_some_and(|c| !c.is_empty())
}

impl Answer<'_> {
    fn text(&self) -> &str {
        self.body.as_str().or_else(|| self.body.get("message")?.as_str()).unwrap_or_default().trim()
    }

    /// The server's words, or what there is to say without any.
    fn message(&self) -> String {
        match (self.text(), self.code) {
            ("", 200..300) => format!("the API server answered {} with something that is no whole object", self.code),
            ("", code) => format!("the API server answered {code} without a word"),
            (text, _) => quoted(text).into_owned(),
        }
    }

    fn says(&self, words: &str) -> bool {
        self.text().contains(words)
    }

    fn reason(&self) -> &str {
        self.body.get("reason").and_then(Value::as_str).unwrap_or_default()
    }

    fn causes(&self) -> &[Value] {
        self.body.pointer("/details/causes").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn has_cause(&self, reason: &str) -> bool {
        self.causes().iter().filter_map(|cause| cause.get("reason")?.as_str()).any(|named| named == reason)
    }

    fn retry_after(&self) -> Option<Duration> {
        let seconds = || self.body.pointer("/details/retryAfterSeconds").and_then(Value::as_u64).filter(|&s| s > 0);
        self.retry_after.or_else(|| seconds().map(Duration::from_secs))
    }

    /// `admission webhook "x" denied the request: …`, under whatever code the webhook chose, 400 if it chose none.
    fn is_webhook_denial(&self) -> bool {
        self.text().starts_with("admission webhook \"") && self.says("\" denied the request")
    }

    /// A webhook decided against it; one that says 429 or 500 failed by itself.
    fn is_refusal(&self) -> bool {
        self.is_webhook_denial() && !matches!(self.code, 429 | 500..)
    }

    /// Admission failed, so nothing was written.
    fn is_webhook_failure(&self) -> bool {
        self.is_webhook_denial() || self.says("failed calling webhook")
    }

    /// `admission webhook "x" does not support dry run` (400), or, of a webhook from the days of v1beta1, `… failed
    /// calling webhook "x": Webhook SideEffects is nil` (500).
    fn is_dry_run_unsupported(&self) -> bool {
        self.says("does not support dry run") || self.says("Webhook SideEffects is nil")
    }

    /// RBAC: `pods is forbidden: User "x" cannot create resource "pods" in API group "" in the namespace "y"`; a denied
    /// impersonation reads alike. And `OwnerReferencesPermissionEnforcement`, which asks for a right of ours, not of the
    /// controller: `… is forbidden: cannot set blockOwnerDeletion …`.
    fn is_lack_of_rights(&self) -> bool {
        let by_authorizer =
            self.text().split_once("forbidden: User \"").is_some_and(|(_, rest)| rest.contains("\" cannot "));
        by_authorizer || self.says("is forbidden: cannot set blockOwnerDeletion")
    }

    /// Refusals of a moment, by parts of the API server that have not caught up yet: `not yet ready to handle request`,
    /// `unable to create pods at this time because there was an error enforcing limit ranges`, `status unknown for
    /// quota: x`, and a ServiceAccount that could not be looked up (one that does not exist is a refusal).
    fn is_not_ready(&self) -> bool {
        let account = || self.says("error looking up service account") && !self.says("not found");
        self.says("not yet ready to handle request")
            || self.says("at this time because there was an error enforcing limit ranges")
            || self.says("status unknown for quota: ")
            || account()
    }

    /// `namespaces "x" not found`
    fn is_namespace_gone(&self) -> bool {
        let kind = self.body.pointer("/details/kind").and_then(Value::as_str);
        self.reason() == "NotFound" && kind == Some("namespaces")
    }
}

#[cfg(test)]
mod tests;
