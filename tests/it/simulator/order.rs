//! One first, then the others: since a true change of what is injected, no second rollout before a Pod that was born since has
//! matched.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use sidecar_drift::core::model::{Name, WorkloadKey};

use super::{
    cluster::Cluster,
    injection::{Asked, Injector},
    truth::{Truth, Write},
    world::true_wall,
};

/// A rollout that was confirmed may reach the cluster so much later, and who is told of a change may be told so much later.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// What changed, and what proved itself since.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// When what Pods are given changed last: everywhere, and by namespace.
    moved: BTreeMap<Option<Name>, Duration>,
    /// When a Pod that was born since was seen to match, in a namespace.
    proven: BTreeMap<Name, Duration>,
    /// When the injector gave each Pod something else last, or nothing was certain of it.
    wild: Duration,
}

impl Order {
    fn last_move(&self, namespace: &Name) -> Duration {
        let of = |scope: Option<&Name>| self.moved.get(&scope.cloned()).copied().unwrap_or_default();
        of(None).max(of(Some(namespace)))
    }
}

impl Truth {
    /// From now on Pods are given something else: in this namespace, or everywhere.
    pub(super) fn moved(&mut self, namespace: Option<&str>, at: Duration) {
        self.order.moved.insert(namespace.map(Name::from), at);
    }

    /// Whether some Pod proves what the injector gives now.
    pub(super) fn note_proof(&mut self, cluster: &Cluster, injector: &Injector, key: &WorkloadKey, at: Duration) {
        if !injector.is_plain() {
            self.order.wild = at;
            return;
        }
        let moved = self.order.last_move(&key.namespace);
        let matches = |pod: &sidecar_drift::core::model::ObjectKey| {
            let (Some(record), Some(pod)) = (cluster.pods.get(pod), cluster.pod(pod)) else { return false };
            let wanted = injector.wanted(Asked { key, app: 0, ordinal: record.ordinal, at });
            pod.created + Duration::from_secs(1) >= true_wall(moved)
                && wanted.is_some_and(|wanted| wanted.sidecar == record.content.sidecar)
        };
        if cluster.pods_of(key).iter().any(matches) {
            self.order.proven.insert(key.namespace.clone(), at);
        }
    }

    /// One that stalled before any Pod of it was born went first in vain: it says nothing of the change, and gave up its place.
    fn came_to_nothing(&self, write: &Write, cluster: &Cluster) -> bool {
        let key = &write.request.workload.key;
        let mut pods = cluster.pods_of(key).into_iter().filter_map(|pod| cluster.pod(&pod));
        self.stalled.contains(key) && !pods.any(|pod| pod.created >= true_wall(write.at))
    }

    /// Another one went first, and has proven itself.
    pub(super) fn is_its_turn(&self, write: &Write, cluster: &Cluster, plain: bool) -> Result<()> {
        let key = &write.request.workload.key;
        let moved = self.order.last_move(&key.namespace);
        let fresh = moved + ON_ITS_WAY > write.at || self.order.wild + Duration::from_mins(30) > write.at;
        if self.policy.canary == 0 || !plain || fresh {
            return Ok(());
        }
        // A change of one namespace's labels is proven there.
        let everywhere = self.order.moved.get(&None).copied().unwrap_or_default() >= moved;
        let concerned = |other: &WorkloadKey| everywhere || other.namespace == key.namespace;
        let since = self.writes.iter().filter(|w| w.at >= moved + ON_ITS_WAY && concerned(&w.request.workload.key));
        let since = since.filter(|w| !self.came_to_nothing(w, cluster));
        let mut first: Vec<_> = since.map(|w| &w.request.workload.key).filter(|other| *other != key).collect();
        first.sort();
        first.dedup();
        let proven = self.order.proven.iter().any(|(ns, at)| *at >= moved && (everywhere || *ns == key.namespace));
        ensure!(
            first.len() < self.policy.canary || proven,
            "{key} is rolled after {first:?}, and no Pod that was born since the change at {}s has matched",
            moved.as_secs()
        );
        Ok(())
    }

    /// A rollout converged: one new Pod at least matched, and has been ready for as long as that takes.
    pub(super) fn stayed_well(&self, cluster: &Cluster, key: &WorkloadKey, at: Duration) -> Result<()> {
        let second = at.as_secs();
        let least = self.policy.min_ready.as_secs().saturating_sub(4);
        let pods = cluster.pods_of(key);
        let newest = cluster.workloads.get(key).and_then(|w| w.revisions.iter().max_by_key(|r| r.number));
        let Some(newest) = newest else { return Ok(()) };
        let stayed = |pod: &sidecar_drift::core::model::ObjectKey| {
            let record = cluster.pods.get(pod).filter(|record| record.revision == newest.name);
            record.and_then(|record| record.ready_since).is_some_and(|since| since + least <= second)
        };
        ensure!(pods.iter().any(stayed), "{key} converged, and none of its new Pods has been ready for {least}s");
        Ok(())
    }
}
