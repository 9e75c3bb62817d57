//! Containers that were read of late, by their JSON: a template's are in its Pod, too, and a sidecar is in many Pods.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use super::{ContainerShape, FieldSet, List, View, resources::Resources, token_volumes::TokenVolumes};

/// The containers of a few Pods.
const CONTAINERS: usize = 16;

/// What was read last. It changes nothing but how long reading takes.
#[derive(Debug, Default)]
pub struct Known {
    newest_first: VecDeque<(List, Box<str>, Arc<ContainerShape>)>,
}

impl Known {
    /// The container that this string holds.
    pub(super) fn container(&mut self, text: &Value, list: List, volumes: &TokenVolumes) -> Arc<ContainerShape> {
        let text = text.as_str().unwrap_or_default();
        // What names a volume with a name of its own in each Pod is not what it is in another Pod.
        if volumes.stand_in(text) {
            return read(text, list, volumes);
        }
        let found = self.newest_first.iter().position(|(l, t, _)| *l == list && **t == *text);
        if let Some((_, _, shape)) = found.and_then(|found| {
            self.newest_first.swap(0, found);
            self.newest_first.front()
        }) {
            return shape.clone();
        }
        let shape = read(text, list, volumes);
        self.newest_first.truncate(CONTAINERS - 1);
        self.newest_first.push_front((list, text.into(), shape.clone()));
        shape
    }
}

fn read(text: &str, list: List, volumes: &TokenVolumes) -> Arc<ContainerShape> {
    let container: Value = serde_json::from_str(text).unwrap_or_default();
    let view = View { fields: FieldSet::Default, resources: Resources::of(&Value::Null) };
    ContainerShape::of(&container, list, volumes, &view).into()
}
