//! Templates that are read together: of a request for one object the API server's greater part is what every request costs.
//!
//! It changes nothing but how they are read. What is not here when it is wanted is asked for by itself.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use serde_json::Value;
use tokio::time::Instant;

use super::read;
use crate::{
    cluster::{
        client::{Call, Cluster},
        paths,
    },
    core::model::Name,
};

/// So many reads are remembered: what differs is rendered a second time, and its template is still here if that is soon.
const READS: usize = 4;
/// For so long. Nobody but a person changes a ReplicaSet's template, and a later rendering would see that, too.
const HOLDS: Duration = Duration::from_secs(30);

/// Objects by their names, their templates as text: as trees of values they would take several times the room.
type Found = Arc<BTreeMap<String, Value>>;

/// What was read together of late, or is about to be.
#[derive(Default)]
pub(super) struct Ahead {
    newest_last: Mutex<VecDeque<Read>>,
}

/// One request, and what came of it.
struct Read {
    namespace: Name,
    began: Instant,
    /// Whoever waits for it drives it.
    found: Shared<BoxFuture<'static, Found>>,
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").finish_non_exhaustive()
    }
}

impl Ahead {
    /// Begins to read the ReplicaSets of a namespace with these hashes.
    pub(super) fn begin(&self, cluster: &Cluster, namespace: &Name, hashes: &[Name]) {
        let reading = read_together(cluster.clone(), namespace.clone(), hashes.to_vec());
        let read = Read { namespace: namespace.clone(), began: Instant::now(), found: reading.boxed().shared() };
        let mut reads = self.newest_last.lock().unwrap_or_else(PoisonError::into_inner);
        reads.push_back(read);
        if reads.len() > READS {
            reads.pop_front();
        }
    }

    /// The ReplicaSet of this name, as far as a rendering needs it, if it is among what is read together.
    pub(super) async fn find(&self, namespace: &Name, name: &str) -> Option<Value> {
        let reads: Vec<_> = {
            let mut reads = self.newest_last.lock().unwrap_or_else(PoisonError::into_inner);
            reads.retain(|read| read.began.elapsed() < HOLDS);
            reads.iter().rev().filter(|read| read.namespace == *namespace).map(|read| read.found.clone()).collect()
        };
        for read in reads {
            if let Some(revision) = read.await.get(name) {
                return Some(revision.clone());
            }
        }
        None
    }
}

/// All that can be had. Why something cannot is found out when it is asked for by itself.
async fn read_together(cluster: Cluster, namespace: Name, hashes: Vec<Name>) -> Found {
    let selector = format!("pod-template-hash in ({})", hashes.join(","));
    let Ok(path) = paths::cached_revisions("replicasets", &namespace, &selector) else { return Found::default() };
    let answer = match cluster.call(Call::get(path)).await {
        Ok(answer) if answer.status == http::StatusCode::OK => answer,
        Ok(_) | Err(_) => return Found::default(),
    };
    let Ok(mut list) = answer.part(read::REVISIONS) else { return Found::default() };
    let items = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
    let named = items.into_iter().flatten().map(|item| (super::text(&item, "/metadata/name").to_owned(), item));
    named.collect::<BTreeMap<_, _>>().into()
}
