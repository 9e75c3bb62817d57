//! What Pods have in common is kept once.

use std::sync::Arc;

use super::{
    compact::{Pod, ReplicaSet, SetOfUid},
    containers::share,
    index::Index,
};
use crate::core::{
    compare::Rendering,
    model::{Owner, WorkloadSnapshot, shape::PodShape},
};

impl Index {
    /// Replace what a Pod shares with others by the shared copy.
    pub(super) fn intern(&mut self, pod: &mut Pod) {
        share(&mut self.names, &mut pod.key.namespace);
        if let Some(known) = self.made.get(&pod.made) {
            pod.made = known.clone();
            return;
        }
        let made = Arc::make_mut(&mut pod.made);
        self.share_shape(&mut made.shape);
        share(&mut self.names, &mut made.revision);
        share(&mut self.names, &mut made.service_account);
        if let Some(owner) = &mut made.owner {
            self.share_owner(owner);
        }
        self.made_so_far += 1;
        made.set_number(self.made_so_far);
        self.made.insert(pod.made.clone());
    }

    fn share_owner(&mut self, owner: &mut Arc<Owner>) {
        if let Some(known) = self.owners.get(owner) {
            *owner = known.clone();
            return;
        }
        let new = Arc::make_mut(owner);
        for word in [&mut new.api_version, &mut new.kind] {
            share(&mut self.names, word);
        }
        // Its own object has the same texts.
        if let Some(SetOfUid(set)) = self.replica_set_by_uid.get(&new.uid) {
            (new.uid, new.name) = (set.uid.clone(), set.key.name.clone());
        } else if let Some((uid, key)) = self.workload_by_uid.get_key_value(&new.uid) {
            (new.uid, new.name) = (uid.clone(), key.name.clone());
        }
        self.owners.insert(owner.clone());
    }

    /// The same for a ReplicaSet, of which a workload has many.
    pub(super) fn intern_replica_set(&mut self, set: &mut ReplicaSet) {
        for word in [&mut set.key.namespace, &mut set.hash] {
            share(&mut self.names, word);
        }
        if let Some(owner) = &mut set.owner {
            self.share_owner(owner);
        }
    }

    /// The same for a workload.
    pub(super) fn intern_workload(&mut self, workload: &mut WorkloadSnapshot) {
        let names = &mut self.names;
        share(names, &mut workload.key.namespace);
        for word in [&mut workload.current_revision, &mut workload.update_revision] {
            share(names, word);
        }
        share(names, &mut workload.template.service_account);
        // Most labels have a word that many have, or the workload's own name.
        let labels = std::mem::take(&mut workload.template.labels).into_iter().map(|(mut label, mut text)| {
            share(names, &mut label);
            if text == workload.key.name {
                text = workload.key.name.clone();
            } else {
                share(names, &mut text);
            }
            (label, text)
        });
        workload.template.labels = labels.collect();
        if let Some(by) = &mut workload.changed_by {
            share(names, &mut by.manager);
        }
    }

    /// Replace what a rendering shares with Pods, or with other renderings, by the shared copy.
    pub fn share(&mut self, rendering: &mut Rendering) {
        for shape in [&mut rendering.template, &mut rendering.rendered] {
            if self.share_shape(shape) {
                // One more that nobody may have any more some day.
                self.departed += 1;
            }
        }
    }

    /// Whether it was not known before.
    fn share_shape(&mut self, shape: &mut Arc<PodShape>) -> bool {
        if let Some(known) = self.shapes.get(shape) {
            *shape = known.clone();
            return false;
        }
        let new = Arc::make_mut(shape);
        for container in &mut new.containers {
            self.containers.share(container, &mut self.names);
        }
        self.shapes.insert(shape.clone());
        true
    }

    /// What had shared parts went, or has others now: at times, those that nobody has any more are dropped. All of them are
    /// walked for it, so only after as many departures that each pays for a few.
    pub(super) fn note_departure(&mut self) {
        self.departed += 1;
        if self.departed > self.pods.len().max(self.parts_left / 8).max(256) {
            self.forget_unused();
        }
    }

    /// Drop shapes and names that only the intern tables hold.
    fn forget_unused(&mut self) {
        self.departed = 0;
        self.made.forget_unused();
        self.shapes.forget_unused();
        self.containers.forget_unused();
        self.owners.retain(|owner| Arc::strong_count(owner) > 1);
        self.names.retain(|name| Arc::strong_count(name) > 1);
        self.parts_left = self.made.len() + self.shapes.len() + self.owners.len() + self.names.len();
    }
}
