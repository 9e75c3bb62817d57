//! What must hold of each eviction, by what the process that wants it was told of the workload and its Pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use sidecar_drift::core::{
    io::{EvictOutcome, EvictRequest, Input, WatchEvent, WatchKind},
    model::{Name, Object, ObjectKey, PodSnapshot, Strategy, WorkloadKey, WorkloadSnapshot, owner::Kind, time::Now},
};

use super::{fault, truth::speaks_for_it, world::at_of_history};

/// A budget that left no room is not asked again sooner.
const NO_ROOM: Duration = Duration::from_secs(10);

/// What one process was told of the workloads that wait for deletions.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    workloads: BTreeMap<WorkloadKey, WorkloadSnapshot>,
    pods: BTreeMap<ObjectKey, PodSnapshot>,
    /// Named by a list that is not at its end.
    listed: Option<BTreeSet<ObjectKey>>,
    asked: BTreeMap<u64, WorkloadKey>,
    /// When a budget refused.
    refused: BTreeMap<WorkloadKey, Duration>,
}

impl Waiting {
    pub(super) fn hear(&mut self, input: &Input, now: Now) {
        match input {
            Input::Watch { source, event } if source.kind == WatchKind::Pods => self.hear_of_pods(event),
            Input::Watch { event: WatchEvent::Apply(Object::Workload(w)), .. } => self.learn(w),
            Input::Rendered(reply) => {
                if let Some(read) = &reply.confirmation {
                    self.learn(&read.workload);
                }
            }
            Input::Evicted(reply) => {
                let whose = self.asked.remove(&reply.ticket);
                if let (Some(key), EvictOutcome::NoHeadroom { .. }) = (whose, &reply.outcome) {
                    self.refused.insert(key, now.elapsed);
                }
            }
            _ => {}
        }
    }

    fn hear_of_pods(&mut self, event: &WatchEvent) {
        match event {
            WatchEvent::Apply(Object::Pod(pod)) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(pod.key.clone());
                }
                self.pods.insert(pod.key.clone(), pod.clone());
            }
            WatchEvent::Delete(key) => drop(self.pods.remove(key)),
            WatchEvent::ResetStarted => self.listed = Some(BTreeSet::new()),
            WatchEvent::ResetDone => {
                if let Some(listed) = self.listed.take() {
                    self.pods.retain(|key, _| listed.contains(key));
                }
            }
            _ => {}
        }
    }

    /// The newest that was heard, by whatever way.
    fn learn(&mut self, w: &WorkloadSnapshot) {
        let version = |w: &WorkloadSnapshot| w.resource_version.parse::<u64>().unwrap_or_default();
        if self.workloads.get(&w.key).is_none_or(|known| version(known) < version(w)) {
            self.workloads.insert(w.key.clone(), w.clone());
        }
    }

    pub(super) fn check(&mut self, request: &EvictRequest, now: Now) -> Result<()> {
        let (key, name) = (&request.workload.key, &request.pod);
        let w = self.workloads.get(key).filter(|w| w.uid == request.workload.uid);
        let w = w.with_context(|| format!("{name} of {key} is evicted, and the workload was not seen"))?;
        ensure!(w.strategy == Strategy::OnDelete, "{name} of {key} is evicted, whose controller replaces its Pods");
        ensure!(speaks_for_it(&w.says), "{name} of {key} is evicted against its owner's word {:?}", w.says);
        let window: Option<&Name> = w.says.get("window");
        let open = window.is_none_or(|window| fault::is_open(window, at_of_history(now), Duration::ZERO));
        ensure!(open, "{name} of {key} is evicted outside its window {window:?}");
        let of = |pod: &&PodSnapshot| pod.owner.as_ref().is_some_and(|owner| owner.uid == w.uid);
        let (those, others): (Vec<_>, Vec<_>) =
            self.pods.values().filter(of).partition(|pod| pod.uid == request.uid && pod.key.name == *name);
        let pod = those.first().with_context(|| format!("{name} of {key} is evicted by a uid that was not seen"))?;
        let old = match key.kind {
            Kind::DAEMON_SET => pod.template_generation < w.template_generation,
            _ => pod.revision != w.update_revision,
        };
        ensure!(old, "{name} of {key} is evicted though it is of the newest revision");
        let up = others.iter().all(|pod| pod.state.ready && !pod.state.terminating);
        let whole = up && others.len() + 1 >= w.counts.desired as usize;
        ensure!(whole, "{name} of {key} is evicted while another Pod of it is down");
        let rested = self.refused.get(key).is_none_or(|at| now.elapsed >= *at + NO_ROOM);
        ensure!(rested, "{name} of {key} is evicted again too soon after its budget left no room");
        self.asked.insert(request.ticket, key.clone());
        Ok(())
    }
}
