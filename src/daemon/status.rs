//! What can be known of a daemon from outside: what it left in the cluster, who leads, and what that one says.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use jiff::Timestamp;
use serde_json::Value;

use super::{clock, connected, runtime, state_namespace};
use crate::{
    cluster::{
        client::{Call, Cluster},
        lease::LeaseStore,
        state::StateStore,
    },
    config::{API_LISTEN, Config, LeaseId},
    core::{
        io::StateRecord,
        model::lease::{LeaseSpec, Reply, Request as Ask},
    },
    http::{API_STATUS, fetch},
    outbound,
};

/// Where the API listens, if nothing else is said.
const API_PORT: u16 = API_LISTEN.port();

/// What the daemon left in the cluster.
#[derive(Clone, Debug)]
pub struct DaemonStatus {
    /// Where it is looked for.
    pub namespace: String,
    /// What the state ConfigMap holds; `None`: it is missing or makes no sense, which means paused.
    pub record: Option<StateRecord>,
    /// Who leads, if there is a Lease.
    pub leader: Option<Leader>,
    /// What the leader's API says of how things stand, or why that is not known, and what helps.
    pub api: Result<Value, String>,
    /// When this was asked.
    pub now: Timestamp,
}

/// Who holds the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The replica.
    pub holder: String,
    /// When it said last that it is there.
    pub renewed: Option<Timestamp>,
    /// For how long that holds.
    pub holds: Duration,
    /// The port at which its API is open to others; `None`: it is on loopback.
    pub port: Option<u16>,
}

impl Leader {
    /// `None`: it was given back, and nobody took it.
    fn of(spec: &LeaseSpec) -> Option<Self> {
        (!spec.holder.is_empty()).then(|| Self {
            holder: spec.holder.to_string(),
            renewed: spec.renewed.parse().ok(),
            holds: spec.duration,
            port: spec.api.rsplit_once(':').and_then(|(_, port)| port.parse().ok()),
        })
    }

    /// Nobody has said for too long that it is there.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        let holds = jiff::SignedDuration::try_from(self.holds).unwrap_or(jiff::SignedDuration::MAX);
        self.renewed.is_none_or(|renewed| now.duration_since(renewed) > holds)
    }
}

/// Reads what the daemon left in the cluster.
pub fn status(config: &Config, api: Option<&Uri>) -> anyhow::Result<DaemonStatus> {
    runtime()?.block_on(async {
        let cluster = connected(config).await?;
        let namespace = state_namespace(config, &cluster);
        let record = StateStore::new(cluster.clone(), &namespace).read().await?;
        let LeaseId { name: lease, namespace: its } = &config.lease;
        let its = its.as_deref().unwrap_or(&namespace);
        let leader = match LeaseStore::new(cluster.clone(), its, lease).ask(&Ask::Read).await {
            Reply::Is(lease) => Leader::of(&lease.spec),
            Reply::Missing => None,
            Reply::Conflict => anyhow::bail!("the Lease {its}/{lease} cannot be read"),
            Reply::Failed { message } => anyhow::bail!("the Lease {its}/{lease} cannot be read: {message}"),
        };
        let now = clock::now().wall;
        let present = leader.as_ref().filter(|leader| !leader.is_gone(now));
        let api = match (api, present) {
            (Some(address), _) => at(address).await,
            (None, Some(leader)) => of(leader, &namespace, &cluster).await,
            (None, None) => Err(format!(
                "not asked, because the Lease {its}/{lease} does not say which Pod to ask: name the right one by \
                 `--lease-name`, or forward the daemon's port, {API_PORT}, and give `--api`"
            )),
        };
        Ok(DaemonStatus { namespace, record, leader, api, now })
    })
}

impl Leader {
    /// Its Pod: the identity without the number that is new in each process.
    fn pod(&self) -> &str {
        self.holder.rsplit_once('_').map_or(&*self.holder, |(pod, _)| pod)
    }
}

/// Asks at an address that a person gave.
async fn at(address: &Uri) -> Result<Value, String> {
    let not = |why: &dyn std::fmt::Display| format!("{address} does not answer: {why}");
    let uri = outbound::at(address, API_STATUS).map_err(|error| not(&error))?;
    let request = Request::get(uri).body(Full::<Bytes>::default()).map_err(|error| not(&error))?;
    let answer = fetch(request).await.map_err(|why| not(&why))?;
    understood(answer.status().as_u16(), answer.body())
}

/// Asks by way of the API server, where the leader's API is open to others than its own Pod.
async fn of(leader: &Leader, namespace: &str, cluster: &Cluster) -> Result<Value, String> {
    let pod = leader.pod();
    // Anybody who may write the Lease chose it, and it is about to stand in a path, and in a line for a shell.
    let Some(call) = Call::through_pod(namespace, pod, leader.port.unwrap_or(API_PORT), API_STATUS) else {
        return Err("not asked: the holder of the Lease is called what no Pod can be called".to_owned());
    };
    let by_hand = format!(
        "`kubectl -n {namespace} port-forward pod/{pod} {API_PORT}`, then `sidecar-drift status --api \
         http://localhost:{API_PORT}`"
    );
    if leader.port.is_none() {
        return Err(format!("on loopback: {by_hand}"));
    }
    let answer = cluster.call(call).await.map_err(|lost| format!("not reached: {}; {by_hand}", lost.sentence()))?;
    match answer.status.as_u16() {
        200 | 503 => understood(answer.status.as_u16(), &answer.body),
        _ => Err(format!("not reached: {}; {by_hand}", answer.message())),
    }
}

fn understood(status: u16, body: &[u8]) -> Result<Value, String> {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    match document["kind"].as_str() {
        Some("Status") if status == 200 => Ok(document),
        Some("Problem") => Err(document["message"].as_str().unwrap_or_default().to_owned()),
        _ => Err("what answers there is not sidecar-drift".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_holder_that_is_no_pod_is_not_asked_and_not_put_into_a_command() {
        let nobody = tower::service_fn(|_| async { Err::<http::Response<String>, _>(std::io::Error::other("asked")) });
        let cluster = Cluster::from_service(nobody, "http://x", "ops");
        for holder in ["../../secrets_1", "x/../../../v1/secrets?a=_2", "x; rm -rf ~_3", "_4", "%2e%2e_5"] {
            let leader = Leader { holder: holder.to_owned(), renewed: None, holds: Duration::ZERO, port: Some(8081) };
            let why = of(&leader, "ops", &cluster).await.unwrap_err();
            assert_eq!(why, "not asked: the holder of the Lease is called what no Pod can be called", "{holder}");
        }
        let leader = Leader { holder: "sd-7d9f_1".to_owned(), renewed: None, holds: Duration::ZERO, port: Some(8081) };
        assert!(of(&leader, "ops", &cluster).await.unwrap_err().starts_with("not reached: "));
    }
}
