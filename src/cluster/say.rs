//! What a person writes onto a workload with their own credentials: the annotations of its owner's say. Its Pod template is
//! not touched, so nothing is restarted by it.

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
pub async fn uid(cluster: &Cluster, key: &WorkloadKey) -> Result<Option<Name>, Error> {
    let answer =
        cluster.call(Call::get(paths::workload(key))).await.map_err(|lost| Error::of_lost(cluster.url(), lost))?;
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

/// Its owner accepts its drift until then. The uid is sent along, so that another one of the same name is refused.
pub async fn accept(cluster: &Cluster, workload: &WorkloadRef, until: &str, reason: &str) -> Result<(), Error> {
    let annotations = json!({ "sidecar-drift/accept-until": until, "sidecar-drift/accept-reason": reason });
    let fields = json!({ "metadata": { "uid": &*workload.uid, "annotations": annotations } });
    let path = format!("{}?fieldManager={FIELD_MANAGER}", paths::workload(&workload.key));
    let answer = cluster.call(Call::merge_patch(path, &fields)).await;
    let answer = answer.map_err(|lost| Error::of_lost(cluster.url(), lost))?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(Error::of_answer(cluster.url(), "annotate the workload", &answer))
}
