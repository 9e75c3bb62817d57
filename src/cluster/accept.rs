//! Accepts the drift of a workload: writes the annotations that say until when and why, with the credentials of whoever
//! asks. The Pod template stays as it is, so nothing restarts.

use serde_json::{Value, json};

use super::{
    client::{Call, Cluster, Error, FIELD_MANAGER},
    paths,
};
use crate::core::{
    io::WorkloadRef,
    model::{Name, WorkloadKey},
};

/// The uid of a workload; `None`: there is none of that name.
pub async fn workload_uid(cluster: &Cluster, key: &WorkloadKey) -> Result<Option<Name>, Error> {
    let answer = cluster
        .call(Call::get(paths::workload(key)))
        .await
        .map_err(|error| Error::of_no_answer(cluster.url(), error))?;
    match answer.status.as_u16() {
        200 => {
            let json = answer.json();
            let uid = json.and_then(|json| {
                let uid = json.pointer("/metadata/uid").and_then(Value::as_str).map(Name::from);
                uid.ok_or_else(|| answer.unreadable(&"it has no uid"))
            });
            uid.map(Some).map_err(|error| Error::of_body(cluster.url(), error))
        }
        404 => Ok(None),
        _ => Err(Error::of_answer(cluster.url(), "read the workload", &answer)),
    }
}

/// Accepts its drift until then. The request carries the uid, so the API server refuses another workload of the same name.
pub async fn accept_drift(cluster: &Cluster, workload: &WorkloadRef, until: &str, reason: &str) -> Result<(), Error> {
    let annotations = json!({ "sidecar-drift/accept-until": until, "sidecar-drift/accept-reason": reason });
    let fields = json!({ "metadata": { "uid": &*workload.uid, "annotations": annotations } });
    let path = format!("{}?fieldManager={FIELD_MANAGER}", paths::workload(&workload.key));
    let answer = cluster.call(Call::merge_patch(path, &fields)).await;
    let answer = answer.map_err(|error| Error::of_no_answer(cluster.url(), error))?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(Error::of_answer(cluster.url(), "annotate the workload", &answer))
}
