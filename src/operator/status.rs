//! The status of a daemon as seen from outside: the state ConfigMap, the Lease, and the API of the leader.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use jiff::Timestamp;
use serde_json::Value;

use super::Installation;
use crate::{
    cluster::{
        client::{Call, Cluster},
        lease::LeaseStore,
    },
    config::{API_LISTEN, LeaseId},
    core::{
        io::StateRecord,
        model::lease::{LeaseSpec, Reply, Request as Ask},
    },
    http::API_STATUS,
    outbound::{self, Client, Limits},
};

/// The default port of the API.
const API_PORT: u16 = API_LISTEN.port();

/// The status of a daemon.
#[derive(Clone, Debug)]
pub struct DaemonStatus {
    /// The namespace of the state ConfigMap.
    pub namespace: String,
    /// The state ConfigMap; `None`: it is missing or invalid, so all rollouts are paused.
    pub record: Option<StateRecord>,
    /// The holder of the Lease, if there is one.
    pub leader: Option<LeaseHolder>,
    /// The status document of the leader's API, or why it is unknown and what helps.
    pub api: Result<Value, String>,
    /// When the Lease was read.
    pub now: Timestamp,
}

/// The holder of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    /// The identity of the replica.
    pub holder: String,
    /// When it renewed the Lease last.
    pub renewed: Option<Timestamp>,
    /// For how long a renewal is valid.
    pub holds: Duration,
    /// The port of its API; `None`: it listens on loopback only.
    pub port: Option<u16>,
}

impl LeaseHolder {
    /// `None`: the Lease was released, and nobody took it.
    fn of(spec: &LeaseSpec) -> Option<Self> {
        (!spec.holder.is_empty()).then(|| Self {
            holder: spec.holder.to_string(),
            renewed: spec.renewed.parse().ok(),
            holds: spec.duration,
            port: spec.api.rsplit_once(':').and_then(|(_, port)| port.parse().ok()),
        })
    }

    /// Whether the Lease has expired.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        let holds = jiff::SignedDuration::try_from(self.holds).unwrap_or(jiff::SignedDuration::MAX);
        self.renewed.is_none_or(|renewed| now.duration_since(renewed) > holds)
    }

    /// Its Pod: the identity without the random number of the process.
    fn pod(&self) -> &str {
        self.holder.rsplit_once('_').map_or(&*self.holder, |(pod, _)| pod)
    }

    /// How to ask it by hand. Anybody who may write the Lease chose its name, which is about to stand in a path, and in a line
    /// for a shell: `None`, if no Pod can be called that.
    fn by_hand(&self, namespace: &str) -> Option<String> {
        let pod = self.pod();
        Call::through_pod(namespace, pod, API_PORT, API_STATUS)?;
        Some(format!(
            "`kubectl -n {namespace} port-forward pod/{pod} {API_PORT}`, then `sidecar-drift status --api \
             http://localhost:{API_PORT}`"
        ))
    }
}

impl Installation {
    /// Reads what the daemon left in the cluster, and asks the leader's API: at `api`, if a person gave an address.
    pub async fn status(&self, api: Option<&Uri>) -> anyhow::Result<DaemonStatus> {
        let Self { cluster, namespace, state, lease: LeaseId { name: lease, namespace: its } } = self;
        let record = state.read().await?;
        let its = its.as_deref().unwrap_or(namespace);
        let leader = match LeaseStore::new(cluster.clone(), its, lease).ask(&Ask::Read).await {
            Reply::Is(lease) => LeaseHolder::of(&lease.spec),
            Reply::Missing => None,
            Reply::Conflict => anyhow::bail!("the Lease {its}/{lease} cannot be read"),
            Reply::Failed { message } => anyhow::bail!("the Lease {its}/{lease} cannot be read: {message}"),
        };
        let now = self.now();
        let present = leader.as_ref().filter(|leader| !leader.is_gone(now));
        let api = match (api, present) {
            (Some(address), _) => ask_address(address, present.and_then(|leader| leader.by_hand(namespace))).await,
            (None, Some(leader)) => ask_leader(leader, namespace, cluster).await,
            (None, None) => Err(format!(
                "not asked, because the Lease {its}/{lease} does not say which Pod to ask: name the right one by \
                 `--lease-name`, or forward the daemon's port, {API_PORT}, and give `--api`"
            )),
        };
        Ok(DaemonStatus { namespace: namespace.clone(), record, leader, api, now })
    }
}

/// Asks the API at an address that a person gave, which may be that of a replica that does not lead.
async fn ask_address(address: &Uri, leader_by_hand: Option<String>) -> Result<Value, String> {
    let not = |why: &dyn std::fmt::Display| format!("{address} does not answer: {why}");
    let uri = outbound::at(address, API_STATUS).map_err(|error| not(&error))?;
    let request = Request::get(uri).body(Full::<Bytes>::default()).map_err(|error| not(&error))?;
    let answer = Client::plain(Limits::REPLICA).ask(request).await.map_err(|why| not(&why))?;
    let document = understood(answer.status().as_u16(), answer.body())?;
    if leads(&document) {
        return Ok(document);
    }
    let who =
        document["leaderName"].as_str().map_or("nobody is known to lead".to_owned(), |who| format!("{who} leads"));
    let help = leader_by_hand.map(|by_hand| format!(": {by_hand}")).unwrap_or_default();
    Err(format!("the replica at {address} does not lead, so it knows neither verdicts nor rollouts; {who}{help}"))
}

/// Asks the API of the leader through the API server's proxy, if it does not listen on loopback only.
async fn ask_leader(leader: &LeaseHolder, namespace: &str, cluster: &Cluster) -> Result<Value, String> {
    let call = Call::through_pod(namespace, leader.pod(), leader.port.unwrap_or(API_PORT), API_STATUS);
    let Some((call, by_hand)) = call.zip(leader.by_hand(namespace)) else {
        return Err("not asked: the holder of the Lease is called what no Pod can be called".to_owned());
    };
    if leader.port.is_none() {
        return Err(format!("on loopback: {by_hand}"));
    }
    let answer = cluster.call(call).await.map_err(|error| format!("not reached: {}; {by_hand}", error.sentence()))?;
    match answer.status.as_u16() {
        200 | 503 => {
            let document = understood(answer.status.as_u16(), &answer.body)?;
            let gone = || format!("{} does not lead any more; ask again in a moment", leader.holder);
            leads(&document).then_some(document).ok_or_else(gone)
        }
        _ => Err(format!("not reached: {}; {by_hand}", answer.message())),
    }
}

/// What a replica says that follows another one is its ignorance.
fn leads(document: &Value) -> bool {
    document["leader"] == true
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
            let leader =
                LeaseHolder { holder: holder.to_owned(), renewed: None, holds: Duration::ZERO, port: Some(8081) };
            let why = ask_leader(&leader, "ops", &cluster).await.unwrap_err();
            assert_eq!(why, "not asked: the holder of the Lease is called what no Pod can be called", "{holder}");
        }
        let leader =
            LeaseHolder { holder: "sd-7d9f_1".to_owned(), renewed: None, holds: Duration::ZERO, port: Some(8081) };
        assert!(ask_leader(&leader, "ops", &cluster).await.unwrap_err().starts_with("not reached: "));
    }

    /// What it would say of workloads is its ignorance: nobody is told "nothing has drifted" by it.
    #[tokio::test]
    async fn a_replica_that_does_not_lead_any_more_is_not_believed() {
        let leader =
            LeaseHolder { holder: "sd-7d9f_1".to_owned(), renewed: None, holds: Duration::ZERO, port: Some(8081) };
        let says = |body: &'static str| {
            let service =
                tower::service_fn(
                    move |_| async move { Ok::<_, std::io::Error>(http::Response::new(body.to_owned())) },
                );
            Cluster::from_service(service, "http://x", "ops")
        };
        let follows = says(r#"{"kind":"Status","leader":false,"leaderName":"sd-other_2","summary":null}"#);
        let why = ask_leader(&leader, "ops", &follows).await.unwrap_err();
        assert_eq!(why, "sd-7d9f_1 does not lead any more; ask again in a moment");
        let leads = says(r#"{"kind":"Status","leader":true,"summary":{"workloads":6}}"#);
        assert_eq!(ask_leader(&leader, "ops", &leads).await.unwrap()["summary"]["workloads"], 6);
    }
}
