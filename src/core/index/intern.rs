//! What Pods have in common is kept once.

use std::sync::Arc;

use super::Index;
use crate::core::{
    io::Rendering,
    model::PodSnapshot,
    shape::{Name, Packed, PodShape},
};

impl Index {
    /// Replace what a Pod shares with others by the shared copy.
    pub(super) fn intern(&mut self, pod: &mut PodSnapshot) {
        self.share_shape(&mut pod.shape);
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
            if let Some(known) = self.owners.get(owner) {
                *owner = known.clone();
            } else {
                let new = Arc::make_mut(owner);
                [&mut new.api_version, &mut new.kind, &mut new.name, &mut new.uid].into_iter().for_each(share);
                self.owners.insert(owner.clone());
            }
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
        for container in &mut Arc::make_mut(shape).containers {
            for value in [&mut container.projection, &mut container.collateral] {
                if let Some(known) = self.values.get(value) {
                    *value = known.clone();
                } else {
                    self.values.insert(value.clone());
                }
            }
        }
        self.shapes.insert(shape.clone());
        true
    }

    /// Drop shapes and names that only the intern tables hold.
    pub(super) fn forget_unused(&mut self) {
        self.departed = 0;
        self.shapes.retain(|shape| Arc::strong_count(shape) > 1);
        self.values.retain(Packed::is_shared);
        self.owners.retain(|owner| Arc::strong_count(owner) > 1);
        self.names.retain(|name| Arc::strong_count(name) > 1);
    }
}
