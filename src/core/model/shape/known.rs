//! Containers that were read of late, by their JSON: a template's are in its Pod, too, and a sidecar is in many Pods.

use std::sync::Arc;

use serde_json::Value;

use crate::core::model::{
    recent::Recent,
    shape::{
        container::{ContainerShape, FieldSet, List, View},
        resources::Resources,
        token_volumes::TokenVolumes,
    },
};

/// The containers of a few Pods.
const CONTAINERS: usize = 16;

/// What was read last.
#[derive(Debug)]
pub struct Known(Recent<(List, Box<str>), Arc<ContainerShape>>);

impl Default for Known {
    fn default() -> Self {
        Self(Recent::of(CONTAINERS))
    }
}

impl Known {
    /// The container that this string holds.
    pub(super) fn container(&mut self, text: &Value, list: List, volumes: &TokenVolumes) -> Arc<ContainerShape> {
        let text = text.as_str().unwrap_or_default();
        // What names a volume with a name of its own in each Pod is not what it is in another Pod.
        if volumes.stand_in(text) {
            return read(text, list, volumes);
        }
        if let Some(shape) = self.0.find(|(l, known)| *l == list && **known == *text) {
            return shape.clone();
        }
        let shape = read(text, list, volumes);
        self.0.insert((list, text.into()), shape.clone());
        shape
    }
}

fn read(text: &str, list: List, volumes: &TokenVolumes) -> Arc<ContainerShape> {
    let container: Value = serde_json::from_str(text).unwrap_or_default();
    let view = View { fields: FieldSet::Default, resources: Resources::of(&Value::Null) };
    ContainerShape::of(&container, list, volumes, &view).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::model::shape::PodShape;

    fn shape(known: &mut Known, volume: &str, init: &[Value], ordinary: &[Value]) -> PodShape {
        let token = json!({ "sources": [{ "serviceAccountToken": { "path": "token" } }] });
        let volumes = json!([{ "name": volume, "projected": token }]);
        let texts = |list: &[Value]| list.iter().map(Value::to_string).collect::<Value>();
        let shape = PodShape::of_texts(&volumes, [&texts(init), &texts(ordinary)], known);
        let pod = json!({ "spec": { "volumes": volumes, "initContainers": init, "containers": ordinary } });
        assert_eq!(shape, PodShape::from_pod(&pod));
        shape
    }

    #[test]
    fn what_is_in_another_pod_again_is_not_read_again() {
        let (app, proxy) = (json!({ "name": "app", "image": "app:1" }), json!({ "name": "proxy", "image": "proxy:1" }));
        let native = json!({ "name": "proxy", "image": "proxy:1", "restartPolicy": "Always" });
        let mut known = Known::default();
        let template = shape(&mut known, "kube-api-access-abcde", &[], std::slice::from_ref(&app));
        let rendered = shape(&mut known, "kube-api-access-fghij", &[], &[app.clone(), proxy.clone()]);
        assert!(Arc::ptr_eq(&template.containers[0], &rendered.containers[0]));
        // In the other list it is another one, though its text is the same.
        let other = shape(&mut known, "kube-api-access-klmno", &[app, native.clone()], &[proxy, native]);
        assert!(!Arc::ptr_eq(&template.containers[0], &other.containers[0]));
        assert!(Arc::ptr_eq(&rendered.containers[1], &other.containers[2]));
    }

    #[test]
    fn what_names_a_volume_of_its_own_pod_is_neither_remembered_nor_taken_from_another() {
        let app = json!({ "name": "app", "image": "app:1", "args": ["--token=/run/kube-api-access-abcde/token"] });
        let mut known = Known::default();
        for _ in 0..2 {
            shape(&mut known, "kube-api-access-abcde", &[], std::slice::from_ref(&app));
            assert!(known.0.is_empty());
        }
        let strange = shape(&mut known, "kube-api-access-fghij", &[], std::slice::from_ref(&app));
        let own = shape(&mut known, "kube-api-access-abcde", &[], &[app]);
        assert_ne!(strange, own);
    }

    #[test]
    fn what_was_not_read_for_long_is_forgotten() {
        let mut known = Known::default();
        for number in 0..3 * CONTAINERS {
            let proxy = json!({ "name": "proxy", "image": "proxy:1" });
            let app = json!({ "name": "app", "image": format!("app:{number}") });
            let first = known.0.find(|(_, text)| text.contains("proxy")).cloned();
            let shape = shape(&mut known, "kube-api-access-abcde", &[], &[app, proxy]);
            assert!(known.0.len() <= CONTAINERS);
            assert!(
                first.is_none_or(|first| Arc::ptr_eq(&first, &shape.containers[1])),
                "what is met all the time stays"
            );
        }
    }

    #[test]
    fn what_is_no_container_is_read_as_one_without_anything() {
        let mut known = Known::default();
        let shape = shape(&mut known, "data", &[json!(7)], &[json!("text"), json!(null), json!([1]), json!({})]);
        assert_eq!(shape.containers.len(), 5);
    }
}
