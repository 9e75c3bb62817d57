//! What is read beside the rendering right before a rollout: the workload, and what was tried on it before.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Renderer, is_controlled_by, items, no_answer, text, undetermined};
use crate::{
    cluster::{convert, paths},
    core::{
        io::{Confirmation, RenderOutcome, RenderRequest},
        model::{Attempt, Name, owner::RevisionKind},
    },
};

impl Renderer {
    /// The workload as it was read, and the stamps in all its revisions. They count, not the live annotations alone:
    /// GitOps tools strip those.
    pub(super) fn confirm(
        &self,
        request: &RenderRequest,
        workload: &Value,
        revisions: &[Value],
    ) -> Result<Confirmation, RenderOutcome> {
        let key = &request.workload.key;
        let snapshot = convert::workload(key.kind, workload, &self.keys)
            .ok_or_else(|| undetermined(format!("{key} was read without a name")))?;
        let template = match key.kind.row().revisions {
            RevisionKind::ReplicaSet | RevisionKind::Template => "/spec/template",
            RevisionKind::ControllerRevision => "/data/spec/template",
        };
        let live = &snapshot.template;
        let live = live.stamp.clone().map(|stamp| Attempt { stamp, template: live.hash.clone() });
        // One that cannot be read may be the very one that was tried.
        let template_of = |revision: &'_ Value| {
            let found = revision.pointer(template).filter(|template| template.is_object()).cloned();
            found.ok_or_else(|| undetermined(format!("revision {} has no template", text(revision, "/metadata/name"))))
        };
        let mut history: Vec<Attempt> = Vec::from_iter(live);
        for revision in revisions {
            history.extend(self.tried(&template_of(revision)?));
        }
        history.sort_by_cached_key(|a| (a.stamp.timestamp, a.stamp.fingerprint.clone(), a.template.clone()));
        history.dedup();
        let templates = match key.kind.row().revisions {
            RevisionKind::ReplicaSet | RevisionKind::Template => BTreeMap::new(),
            RevisionKind::ControllerRevision => {
                let hash = |revision: &Value| Some(self.hash(revision.pointer(template)?));
                let named = |revision| Some((Name::from(text(revision, "/metadata/name")), hash(revision)?));
                revisions.iter().filter_map(named).collect()
            }
        };
        Ok(Confirmation { workload: snapshot, history, templates })
    }

    /// What a revision's template says was tried.
    fn tried(&self, template: &Value) -> Option<Attempt> {
        let stamp = self.keys.stamp.read(template)?;
        Some(Attempt { stamp, template: self.hash(template) })
    }

    /// The hash of a revision's template without our stamp. Beside the template it holds what its controller put there,
    /// which does not count.
    fn hash(&self, template: &Value) -> Name {
        let mut template = template.clone();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove("pod-template-hash");
            labels.remove("rollouts-pod-template-hash");
        }
        if let Some(template) = template.as_object_mut() {
            template.remove("$patch");
        }
        self.keys.stamp.hash_without_stamp(&template)
    }

    /// All retained revisions of a workload.
    pub(super) async fn revisions(
        &self,
        request: &RenderRequest,
        workload: &Value,
    ) -> Result<Vec<Value>, RenderOutcome> {
        let key = &request.workload.key;
        let Some(plural) = key.kind.row().revisions.plural() else { return Ok(Vec::new()) };
        let selector = selector_text(workload.pointer("/spec/selector").unwrap_or(&Value::Null));
        let found = self.get(&paths::revisions(plural, &key.namespace, &selector).map_err(no_answer)?).await?;
        Ok(items(&found)?
            .iter()
            .filter(|revision| is_controlled_by(revision, &request.workload.uid))
            .cloned()
            .collect())
    }
}

/// A `LabelSelector` in the words of a query.
pub(super) fn selector_text(selector: &Value) -> String {
    let mut requirements = Vec::new();
    for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        requirements.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let text = |field| expression.get(field).and_then(Value::as_str).unwrap_or_default();
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        let values = values.filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        let key = text("key");
        requirements.push(match text("operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            // Left out, the selector selects more, and the owner's uid decides anyway.
            _ => continue,
        });
    }
    requirements.join(",")
}
