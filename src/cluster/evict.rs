//! The one thing that is done to a Pod: its eviction, where `--evict-on-delete` allows it.

use super::client::{Call, Cluster};
use crate::core::io::{EvictOutcome, EvictReply, EvictRequest, api_response};

/// Carry out [`Effect::Evict`](crate::core::io::Effect::Evict).
///
/// `may_write` is asked right before: it says whether we lead at this very moment.
pub async fn evict(
    cluster: &Cluster,
    request: &EvictRequest,
    may_write: &(dyn Fn() -> bool + Send + Sync),
) -> EvictReply {
    let reply = |outcome| EvictReply { ticket: request.ticket, outcome };
    if !may_write() {
        return reply(EvictOutcome::NotLeader);
    }
    let call = Call::eviction(&request.workload.key.namespace, &request.pod, &request.uid);
    reply(match cluster.call(call).await {
        Ok(answer) => api_response::classify_eviction(&answer.as_core(&answer.said())),
        Err(error) => EvictOutcome::Unknown { message: error.sentence() },
    })
}
