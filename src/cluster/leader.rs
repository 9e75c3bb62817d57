//! Who leads, as the Lease in the release namespace says it; only read here.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    client::{Call, Cluster, Error},
    paths,
};

/// The Lease that replicas of the daemon share.
const LEASE: &str = "sidecar-drift";

/// Who holds the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The replica.
    pub holder: String,
    /// When it said last that it is there.
    pub renewed: Option<Timestamp>,
    /// For how many seconds that holds.
    pub seconds: i64,
}

impl Leader {
    /// Nobody has said for too long that it is there.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.renewed.is_none_or(|renewed| now.duration_since(renewed).as_secs() > self.seconds)
    }
}

/// Read it; `None`: there is none, so there is one replica, or none.
pub async fn leader(cluster: &Cluster, namespace: &str) -> Result<Option<Leader>, Error> {
    let path = paths::lease(namespace, LEASE);
    let answer = cluster.call(Call::get(path)).await.map_err(|lost| Error::of_lost(cluster.url(), lost))?;
    match answer.status.as_u16() {
        200 => Ok(read(&answer.json())),
        404 => Ok(None),
        _ => Err(Error::of_answer(cluster.url(), "read the Lease sidecar-drift", &answer)),
    }
}

fn read(lease: &Value) -> Option<Leader> {
    let spec = lease.get("spec")?;
    let holder = spec.get("holderIdentity").and_then(Value::as_str).filter(|holder| !holder.is_empty())?;
    Some(Leader {
        holder: holder.to_owned(),
        renewed: spec.get("renewTime").and_then(Value::as_str).and_then(|time| time.parse().ok()),
        seconds: spec.get("leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_that_nobody_renews_is_gone() {
        let lease = json!({ "spec": {
            "holderIdentity": "sidecar-drift-0", "renewTime": "2026-03-01T12:00:00.000000Z", "leaseDurationSeconds": 15,
        } });
        let leader = read(&lease).unwrap();
        assert_eq!(leader.holder, "sidecar-drift-0");
        assert!(!leader.is_gone("2026-03-01T12:00:15Z".parse().unwrap()));
        assert!(leader.is_gone("2026-03-01T12:00:16Z".parse().unwrap()));
    }

    #[test]
    fn a_lease_that_was_given_back_names_nobody() {
        assert_eq!(read(&json!({ "spec": { "holderIdentity": "" } })), None);
        assert_eq!(read(&json!({})), None);
    }
}
