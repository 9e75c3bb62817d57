//! Replicas are alike, and a list has them side by side: what was read of one is known of the next.

use std::{cell::RefCell, sync::Arc};

use serde::de::DeserializeSeed as _;
use serde_json::Value;

use super::{Converted, Decoded, SHAPE, pod_of_shape};
use crate::core::{
    model::{
        recent::Recent,
        shape::{FieldSet, PodShape, known::Known},
    },
    render::dry_run_pod::Template,
};

/// Pods of so many sorts may come by turns.
const SORTS: usize = 8;

thread_local! {
    /// What was read last. It changes nothing but how long reading takes, and Pods are decoded where nothing of ours is at
    /// hand: in the middle of kube's own decoding of an event.
    static LAST: RefCell<Replicas> = RefCell::default();
}

/// The containers that were read last, and what they were read as.
#[derive(Debug)]
struct Replicas {
    shapes: Recent<Texts, Arc<PodShape>>,
    containers: Known,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { shapes: Recent::of(SORTS), containers: Known::default() }
    }
}

/// A Pod's `initContainers` and `containers`, each container a string that holds its JSON.
type Texts = [Value; 2];

const LISTS: [&str; 2] = ["initContainers", "containers"];

/// A Pod, decoded as far as is [needed](super::Needed) when these fields are compared.
pub(in crate::cluster) fn decoded_pod(pod: Decoded, fields: FieldSet) -> Converted {
    let Decoded { object: mut pod, lost } = pod;
    let shape = match fields {
        FieldSet::Default => LAST.with_borrow_mut(|last| shape_of_replica(&mut pod, last)),
        FieldSet::Resources | FieldSet::All => PodShape::with(&pod, fields).into(),
    };
    let mut converted = pod_of_shape(&pod, shape);
    converted.lose(lost);
    converted
}

/// The shape of a Pod that was decoded as far as is needed for it: with the default fields, each container as text.
pub(in crate::cluster) fn shape(pod: &Value, fields: FieldSet) -> PodShape {
    match fields {
        FieldSet::Default => of_texts(pod.get("spec").unwrap_or(&Value::Null)),
        FieldSet::Resources | FieldSet::All => PodShape::with(pod, fields),
    }
}

/// The shape of a template; `None` without a `spec` that can be read.
pub(in crate::cluster) fn template_shape(template: &Template, fields: FieldSet) -> Option<PodShape> {
    let text = template.spec()?;
    if fields != FieldSet::Default {
        let template = template.json();
        return template.get("spec")?.is_object().then(|| PodShape::with(&template, fields));
    }
    let spec = SHAPE.deserialize(&mut serde_json::Deserializer::from_str(text));
    spec.ok().map(|spec| of_texts(&spec))
}

fn of_texts(spec: &Value) -> PodShape {
    let lists = LISTS.map(|list| &spec[list]);
    LAST.with_borrow_mut(|last| PodShape::of_texts(&spec["volumes"], lists, &mut last.containers))
}

/// The shape of a replica, of which the containers are taken.
fn shape_of_replica(pod: &mut Value, last: &mut Replicas) -> Arc<PodShape> {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else {
        return PodShape::default().into();
    };
    let texts: Texts = LISTS.map(|list| spec.remove(list).unwrap_or_default());
    // A volume with a name of its own in each Pod makes each Pod's text another one, but not its shape.
    let volumes = spec.get("volumes").unwrap_or(&Value::Null);
    let all = texts.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    let of_its_own = PodShape::depends_on(volumes, all);
    if !of_its_own && let Some(known) = last.shapes.get(&texts) {
        return known.clone();
    }
    let shape = Arc::new(PodShape::of_texts(volumes, texts.each_ref(), &mut last.containers));
    if !of_its_own {
        last.shapes.insert(texts, shape.clone());
    }
    shape
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::convert::needed_of_pod;

    fn pod(image: &str, args: &str, volume: &str) -> Value {
        json!({
            "metadata": {"name": "web-1", "namespace": "shop"},
            "spec": {
                "volumes": [{"name": volume, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
                "initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}],
                "containers": [{"name": "app", "image": image, "args": [args], "volumeMounts": [{"name": volume}]}],
            },
        })
    }

    fn read(pod: &Value, last: &mut Replicas) -> Arc<PodShape> {
        let needed = needed_of_pod(FieldSet::Default, false);
        let mut pruned = needed.deserialize(&mut serde_json::Deserializer::from_str(&pod.to_string())).unwrap();
        let shape = shape_of_replica(&mut pruned, last);
        assert_eq!(*shape, PodShape::from_pod(pod));
        shape
    }

    #[test]
    fn replicas_have_one_shape_though_each_has_a_token_volume_of_its_own() {
        let mut last = Replicas::default();
        let first = read(&pod("app:1", "--run", "kube-api-access-abcde"), &mut last);
        let other = read(&pod("app:2", "--run", "kube-api-access-fghij"), &mut last);
        let second = read(&pod("app:1", "--run", "kube-api-access-klmno"), &mut last);
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn where_a_container_names_the_volume_nothing_is_taken_from_another_pod() {
        let mut last = Replicas::default();
        let canonical = read(&pod("app:1", "--token=kube-api-access-abcde", "kube-api-access-abcde"), &mut last);
        let strange = read(&pod("app:1", "--token=kube-api-access-abcde", "kube-api-access-fghij"), &mut last);
        assert_ne!(canonical, strange);
        // Known as it is now, and still not what it means where it is the volume's name.
        assert_eq!(canonical, read(&pod("app:1", "--token=kube-api-access-abcde", "kube-api-access-abcde"), &mut last));
    }

    #[test]
    fn a_template_is_read_as_a_pod_is_and_one_that_cannot_be_read_has_no_shape() {
        let template = pod("app:1", "--token=kube-api-access-abcde", "kube-api-access-abcde");
        for fields in [FieldSet::Default, FieldSet::Resources, FieldSet::All] {
            let shape = |spec: &str| template_shape(&Template::of_texts("{}", spec.to_owned()), fields);
            assert_eq!(shape(&template["spec"].to_string()), Some(PodShape::with(&template, fields)));
            for unreadable in ["", "null", r#"{"containers": [{"args": "\ud800"}]}"#] {
                assert_eq!(shape(unreadable), None);
            }
        }
    }

    #[test]
    fn what_was_not_read_for_long_is_forgotten() {
        let mut last = Replicas::default();
        for number in 0..3 * SORTS {
            read(&pod(&format!("app:{number}"), "--run", "kube-api-access-abcde"), &mut last);
            assert!(last.shapes.len() <= SORTS);
        }
    }
}
