//! What Pods have in common is kept once.

use std::sync::Arc;

use super::Index;
use crate::core::{model::PodSnapshot, shape::Name};

impl Index {
    /// Replace what a Pod shares with others by the shared copy.
    pub(super) fn intern(&mut self, pod: &mut PodSnapshot) {
        if let Some(shape) = self.shapes.get(&pod.shape) {
            pod.shape = shape.clone();
        } else {
            self.shapes.insert(pod.shape.clone());
        }
        let names = &mut self.names;
        let mut share = |name: &mut Name| match names.get(name) {
            Some(known) => *name = known.clone(),
            None => {
                names.insert(name.clone());
            }
        };
        share(&mut pod.key.namespace);
        share(&mut pod.revision);
        share(&mut pod.service_account);
        if let Some(owner) = &mut pod.owner {
            share(&mut owner.api_version);
            share(&mut owner.kind);
            share(&mut owner.name);
            share(&mut owner.uid);
        }
    }

    /// Drop shapes and names that only the intern tables hold.
    pub(super) fn forget_unused(&mut self) {
        self.departed = 0;
        self.shapes.retain(|shape| Arc::strong_count(shape) > 1);
        self.names.retain(|name| Arc::strong_count(name) > 1);
    }
}
