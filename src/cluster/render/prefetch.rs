//! Reads the templates of a namespace with one request, because most of the API server's cost is per request.
//!
//! It is a cache: what it does not have, a rendering reads by itself.

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

/// The number of reads that are kept: a workload that differs is rendered again soon, from the same template.
const MAX_READS: usize = 4;
/// How long a read is kept. Only a person changes the template of a ReplicaSet, and a later rendering sees that.
const EXPIRY: Duration = Duration::from_secs(30);

/// Objects by their names, their templates as text: as trees of values they would take several times the room.
type Found = Arc<BTreeMap<String, Value>>;

/// The latest reads, finished or in flight.
#[derive(Default)]
pub(super) struct Prefetch {
    newest_last: Mutex<VecDeque<Read>>,
}

/// One request and its result.
struct Read {
    namespace: Name,
    began: Instant,
    /// Whoever awaits it drives it.
    found: Shared<BoxFuture<'static, Found>>,
}

impl fmt::Debug for Prefetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetch").finish_non_exhaustive()
    }
}

impl Prefetch {
    /// Starts to read the ReplicaSets of a namespace with these hashes.
    pub(super) fn start(&self, cluster: &Cluster, namespace: &Name, hashes: &[Name]) {
        let reading = fetch(cluster.clone(), namespace.clone(), hashes.to_vec());
        let read = Read { namespace: namespace.clone(), began: Instant::now(), found: reading.boxed().shared() };
        let mut reads = self.newest_last.lock().unwrap_or_else(PoisonError::into_inner);
        reads.push_back(read);
        if reads.len() > MAX_READS {
            reads.pop_front();
        }
    }

    /// The fields of a ReplicaSet that a rendering needs, if a read contains it.
    pub(super) async fn find(&self, namespace: &Name, name: &str) -> Option<Value> {
        let reads: Vec<_> = {
            let mut reads = self.newest_last.lock().unwrap_or_else(PoisonError::into_inner);
            reads.retain(|read| read.began.elapsed() < EXPIRY);
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

/// Reads what it can. A rendering that misses its template reads it by itself, and reports the error.
async fn fetch(cluster: Cluster, namespace: Name, hashes: Vec<Name>) -> Found {
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
