//! Traces that workloads carry of what was done to them: stamps of rollouts, and patches by hand.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::rollouts::Rollouts;
use crate::core::{injection::View, model::WorkloadKey};

impl Rollouts {
    /// Notes what can be seen now, and could not be told later: rollouts of the last hour that others began, when stamps of
    /// the future were seen first, and since when a Pod is patched by hand.
    pub(super) fn note_traces(&mut self, key: &WorkloadKey, view: View<'_>) {
        let Some(workload) = view.index.workload(key) else { return };
        let now = view.now;
        let mut stamps: BTreeSet<_> = self.history(workload, view).iter().map(|tried| tried.stamp.timestamp).collect();
        // Somebody may have taken the stamp away: Pods keep what their template had.
        stamps.extend(view.index.pod_classes_of(workload).filter_map(|class| class.made.stamped));
        // What this process sent is counted, whichever of several tries was written.
        let sent = self.running.get(key).filter(|rollout| !rollout.adopted);
        let sent: Vec<_> = sent.iter().flat_map(|rollout| &rollout.stamps).map(|stamp| stamp.timestamp).collect();
        for stamp in stamps.iter().filter(|stamp| !sent.contains(stamp)) {
            self.starts.found(key, *stamp, now);
        }
        let patched = view
            .index
            .pod_classes_of(workload)
            .any(|class| !class.made.patched_images.is_empty() && !class.state.finished && !class.state.terminating);
        let known = self.ledger.get(key).map(|entry| (&entry.noted, entry.patched_since.is_some()));
        let future = stamps.iter().any(|stamp| *stamp > now.wall);
        if known.map_or(!future && !patched, |(noted, was)| !future && noted.is_empty() && was == patched) {
            return;
        }
        let entry = self.ledger.entry(key);
        entry.noted.retain(|stamp, _| stamps.contains(stamp));
        for stamp in stamps.into_iter().filter(|stamp| *stamp > now.wall) {
            entry.noted.entry(stamp).or_insert(now.wall);
        }
        if patched != entry.patched_since.is_some() {
            entry.patched_since = patched.then_some(now.wall);
            self.schedule.request();
        }
    }

    /// When a rollout with this stamp was made: what lies in the future counts from when it was seen first.
    pub(super) fn made(&self, key: &WorkloadKey, stamp: Timestamp) -> Timestamp {
        let noted = self.ledger.get(key).and_then(|entry| entry.noted.get(&stamp));
        noted.copied().unwrap_or(stamp)
    }
}
