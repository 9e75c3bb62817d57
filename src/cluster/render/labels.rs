//! Whether a rendering has the labels that the Pods of a described kind have.
//!
//! What its controller gives its Pods beside the template nobody knows but whoever described it. An injector may go by such a
//! label: without it the rendering would be another Pod than the one that the controller would create.

use serde_json::Value;

use super::{Renderer, items, no_answer};
use crate::{
    cluster::paths,
    core::{
        io::{RenderOutcome, RenderRequest},
        model::words::UndeterminedReason,
    },
};

/// Labels of Pods that name what they were made from, or which one they are.
const TOLD_BY_CONTROLLERS: [&str; 4] = [
    "controller-revision-hash",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

impl Renderer {
    /// Fails if a Pod that runs has a label that the rendered one lacks.
    pub(super) async fn has_all_labels(&self, request: &RenderRequest, rendered: &Value) -> Result<(), RenderOutcome> {
        let Some(sample) = &request.sample else { return Ok(()) };
        let kind = request.workload.key.kind;
        let found = self.get(&paths::pod(&request.workload.key.namespace, sample).map_err(no_answer)?).await?;
        // One that is gone says nothing, and another one is asked.
        let pod = items(&found)?.first().ok_or(RenderOutcome::Gone)?;
        let revision = kind.described().and_then(|described| described.revision_label.as_deref());
        let labels =
            |pod: &Value| pod.pointer("/metadata/labels").and_then(Value::as_object).cloned().unwrap_or_default();
        let rendered = labels(rendered);
        let unexplained = labels(pod).into_iter().map(|(key, _)| key).find(|key| {
            !rendered.contains_key(key) && !TOLD_BY_CONTROLLERS.contains(&key.as_str()) && revision != Some(key)
        });
        let Some(label) = unexplained else { return Ok(()) };
        let message = format!(
            "Pod {sample} has the label {label}, which neither its template nor admission gave it; if the controller of \
             {kind} does, name it in `labels` of its description under `owners`"
        );
        Err(RenderOutcome::Undetermined { reason: UndeterminedReason::UnsupportedOwner, message, retry_after: None })
    }
}
