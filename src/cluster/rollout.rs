//! The one write to a workload: the stamp on its Pod template.
//!
//! It is sent twice, first as a dry run, in order to see what admission would make of it. Both are pinned to the uid and
//! the version that the decision was made on, so that of two writers one fails, and a workload that was changed
//! meanwhile is looked at again.

use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation, TestOperation, jsonptr::PointerBuf};
use serde_json::{Value, json};

use super::{
    client::{Call, Cluster},
    convert::{StampKeys, TEMPLATE_GENERATION},
    last_read::LastRead,
    paths,
};
use crate::core::{
    io::{PatchOutcome, PatchReply, PatchRequest, api_response},
    model::owner::Restart,
};

/// At most this many places are named of what admission would change beside the stamp.
const NAMED_CHANGES: usize = 5;

/// Carry out [`Effect::Patch`](crate::core::io::Effect::Patch).
///
/// `may_write` is asked right before each of the two attempts: it says whether we lead at this very moment.
pub async fn patch(
    cluster: &Cluster,
    stamp: &StampKeys,
    last_read: &LastRead,
    request: &PatchRequest,
    may_write: &(dyn Fn() -> bool + Send + Sync),
) -> PatchReply {
    let outcome = attempt(cluster, stamp, last_read, request, may_write).await.unwrap_or_else(|outcome| outcome);
    PatchReply { ticket: request.ticket, outcome }
}

async fn attempt(
    cluster: &Cluster,
    stamp: &StampKeys,
    last_read: &LastRead,
    request: &PatchRequest,
    may_write: &(dyn Fn() -> bool + Send + Sync),
) -> Result<PatchOutcome, PatchOutcome> {
    let object = match last_read.take(&request.workload.uid, &request.resource_version) {
        Some(object) => object,
        None => read(cluster, request).await?,
    };
    let patch = stamp_patch(stamp, request, &object);
    let mut expected = object;
    json_patch::patch(&mut expected, &patch).map_err(|error| failed(error.to_string()))?;
    let operations = serde_json::to_value(&patch).map_err(|error| failed(error.to_string()))?;

    if !may_write() {
        return Err(PatchOutcome::NotLeader);
    }
    let trial = Call::json_patch(paths::patch_workload(&request.workload.key, true), &operations);
    let answer = cluster.call(trial).await.map_err(|error| failed(error.sentence()))?;
    let json = answer.said();
    match api_response::classify_patch(&answer.as_core(&json)) {
        PatchOutcome::Patched { .. } => {}
        // Nothing was written by a dry run, whatever became of its answer.
        PatchOutcome::Unknown { message } => return Err(failed(message)),
        refused => return Err(refused),
    }
    if let Some(message) = altered(expected, json) {
        return Err(PatchOutcome::Denied { message });
    }

    if !may_write() {
        return Err(PatchOutcome::NotLeader);
    }
    let real = Call::json_patch(paths::patch_workload(&request.workload.key, false), &operations);
    let answer = cluster.call(real).await.map_err(|error| PatchOutcome::Unknown { message: error.sentence() })?;
    Ok(api_response::classify_patch(&answer.as_core(&answer.said())))
}

/// The workload as it is. It must be the one, and the version, that the decision was made on.
async fn read(cluster: &Cluster, request: &PatchRequest) -> Result<Value, PatchOutcome> {
    let path = paths::workload(&request.workload.key);
    let answer = cluster.call(Call::get(path)).await.map_err(|error| failed(error.sentence()))?;
    match answer.status.as_u16() {
        200 => {}
        404 => return Err(PatchOutcome::Gone),
        _ => return Err(PatchOutcome::Failed { message: answer.message(), retry_after: answer.retry_after }),
    }
    let object = answer.json().map_err(|error| failed(error.to_string()))?;
    let text = |pointer| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.ok_or_else(|| failed(answer.unreadable(&format_args!("it has no {pointer}")).to_string()))
    };
    if text("/metadata/uid")? != &*request.workload.uid {
        return Err(PatchOutcome::Gone);
    }
    if text("/metadata/resourceVersion")? != &*request.resource_version {
        return Err(PatchOutcome::Conflict);
    }
    Ok(object)
}

/// The patch: `test` of the uid, `replace` of the version (which the API server takes as the version that the patch
/// holds for), and the stamp's annotations.
fn stamp_patch(keys: &StampKeys, request: &PatchRequest, object: &Value) -> Patch {
    let at = |tokens: &[&str]| PointerBuf::from_tokens(tokens.iter().copied());
    let mut operations = vec![
        PatchOperation::Test(TestOperation { path: at(&["metadata", "uid"]), value: json!(&*request.workload.uid) }),
        PatchOperation::Replace(ReplaceOperation {
            path: at(&["metadata", "resourceVersion"]),
            value: json!(&*request.resource_version),
        }),
    ];
    let row = request.workload.key.kind.row();
    if let Restart::Field(field) = row.restart {
        let value = json!(request.stamp.timestamp.to_string());
        operations.push(PatchOperation::Add(AddOperation { path: at(field), value }));
        return Patch(operations);
    }
    let within = |more: &[&'static str]| at(&[row.template, more].concat());
    // Looked up in the object that was read, which is of the very version that the request names.
    for path in [within(&["metadata"]), within(&["metadata", "annotations"])] {
        if !object.pointer(path.as_str()).is_some_and(Value::is_object) {
            operations.push(PatchOperation::Add(AddOperation { path, value: json!({}) }));
        }
    }
    for (key, text) in keys.annotations(&request.stamp) {
        let mut path = within(&["metadata", "annotations"]);
        path.push_back(&*key);
        operations.push(PatchOperation::Add(AddOperation { path, value: json!(text) }));
    }
    Patch(operations)
}

/// What the dry run's reply has beside the stamp, in one sentence; `None`: nothing.
fn altered(mut expected: Value, mut reply: Value) -> Option<String> {
    for object in [&mut expected, &mut reply] {
        remove_what_moves_by_itself(object);
    }
    let changes = json_patch::diff(&expected, &reply);
    if changes.is_empty() {
        return None;
    }
    let mut places: Vec<&str> = changes.iter().map(|change| change.path().as_str()).collect();
    places.dedup();
    let more = places.len().saturating_sub(NAMED_CHANGES);
    places.truncate(NAMED_CHANGES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("admission would change more of the workload than the stamp: {}{more}", places.join(", ")))
}

/// The fields that the API server itself writes on each update.
fn remove_what_moves_by_itself(object: &mut Value) {
    let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for field in ["managedFields", "generation", "resourceVersion"] {
        meta.remove(field);
    }
    if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(TEMPLATE_GENERATION);
    }
}

fn failed(message: String) -> PatchOutcome {
    PatchOutcome::Failed { message, retry_after: None }
}
