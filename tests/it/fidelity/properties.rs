//! What must hold of every container: the order of unordered parts does not matter, and everything else does.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::select,
};
use serde_json::{Value, json};
use sidecar_drift::core::{
    compare::{Comparison, Mask, Rendering, SidecarSelection, compare_all, leaves, volatile},
    model::{canonical::canonical, shape::PodShape},
};

/// Text of the kinds that sidecars are given, with all that the canonical forms look for.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9 /:=~.-]{0,12}",
        1 => "[$()A-C]{0,8}",
        1 => json_text(),
        1 => any::<String>(),
    ]
}

fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z\"\\\\]{0,4}".prop_map(Value::from),
    ];
    scalar
        .prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                btree_map("[a-c]", inner, 0..4).prop_map(|m| m.into_iter().collect()),
            ]
        })
        .prop_map(|value| value.to_string())
}

/// Variables of distinct names, without references to each other: those make the order matter.
fn env() -> impl Strategy<Value = Vec<Value>> {
    let value = prop_oneof![
        3 => text().prop_filter("no reference", |t| !t.contains("$(")).prop_map(|t| json!({ "value": t })),
        1 => "[a-z.]{1,8}".prop_map(|path| json!({ "valueFrom": { "fieldRef": { "fieldPath": path } } })),
    ];
    btree_map("[A-Z]{1,3}", value, 0..6).prop_map(|entries| {
        let named = entries.into_iter().map(|(name, mut entry)| {
            entry["name"] = json!(name);
            entry
        });
        named.collect()
    })
}

prop_compose! {
    fn container()(
        image in "[a-z]{1,5}(:[0-9]{1,2})?",
        command in vec(text(), 0..3),
        args in vec(text(), 0..4),
        env in env(),
        env_from in vec("[a-z]{1,3}", 0..3),
    ) -> Value {
        let env_from: Vec<Value> = env_from.iter().map(|name| json!({ "secretRef": { "name": name } })).collect();
        json!({ "name": "proxy", "image": image, "command": command, "args": args, "env": env, "envFrom": env_from })
    }
}

/// A Pod with the container amid others, and with volumes.
fn pod(container: &Value, token: &str) -> Value {
    json!({ "spec": {
        "containers": [{ "name": "app", "image": "app:1" }, container],
        "volumes": [
            { "name": format!("kube-api-access-{token}"), "projected": { "sources": [{ "serviceAccountToken": {} }] } },
            { "name": "files", "emptyDir": {} },
        ],
    }})
}

fn proxy(pod: &Value) -> (String, PodShape) {
    let shape = PodShape::from_pod(pod);
    (shape.container("proxy").expect("a proxy").fingerprint.to_string(), shape)
}

/// The list at a pointer in another order, drawn by `seed`.
fn shuffle(value: &mut Value, pointer: &str, mut seed: u64) {
    let Some(list) = value.pointer_mut(pointer).and_then(Value::as_array_mut) else { return };
    for i in (1..list.len()).rev() {
        let choices = u64::try_from(i).expect("small") + 1;
        list.swap(i, usize::try_from(seed % choices).expect("small"));
        seed /= choices;
    }
}

fn rendering(rendered: PodShape) -> Rendering {
    let template = json!({ "spec": { "containers": [{ "name": "app", "image": "app:1" }] } });
    Rendering {
        template: Arc::new(PodShape::from_template(&template)),
        rendered: Arc::new(rendered),
        ..Rendering::default()
    }
}

fn against(running: &PodShape, renderings: &[Rendering], mask: &Mask) -> Comparison {
    compare_all(running, "", renderings, &SidecarSelection::default(), mask, &[])
}

/// The pointers of everything in the container that is a text.
fn texts(value: &Value, pointer: &str, out: &mut Vec<String>) {
    match value {
        Value::String(_) => out.push(pointer.to_owned()),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| texts(v, &format!("{pointer}/{i}"), out)),
        Value::Object(members) => members.iter().for_each(|(k, v)| texts(v, &format!("{pointer}/{k}"), out)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn the_order_of_unordered_parts_does_not_matter(container in container(), seed in any::<u64>()) {
        let mut other = container.clone();
        shuffle(&mut other, "/env", seed);
        let mut before = pod(&container, "aaaaa");
        let mut after = pod(&other, "bbbbb");
        shuffle(&mut after, "/spec/containers", seed);
        shuffle(&mut after, "/spec/volumes", seed);
        prop_assert_eq!(proxy(&before).0, proxy(&after).0);
        let (running, rendered) = (proxy(&before).1, rendering(proxy(&after).1));
        prop_assert_eq!(against(&running, &[rendered], &Mask::default()), Comparison::default());
        shuffle(&mut before, "/spec/volumes", seed);
        prop_assert_eq!(proxy(&before).1, running);
    }

    #[test]
    fn every_leaf_that_changes_is_a_difference_at_that_place(container in container()) {
        let (before, running) = proxy(&pod(&container, "aaaaa"));
        let mut pointers = Vec::new();
        texts(&container, "", &mut pointers);
        for pointer in pointers.iter().filter(|p| *p != "/name") {
            let mut changed = container.clone();
            let leaf = changed.pointer_mut(pointer).expect("a leaf");
            *leaf = json!(format!("{}changed", leaf.as_str().expect("a text")));
            let (after, rendered) = proxy(&pod(&changed, "aaaaa"));
            prop_assert_ne!(&before, &after, "{}", pointer);
            let found = against(&running, &[rendering(rendered)], &Mask::default());
            prop_assert_eq!(found.differences.len(), 1);
            let field = pointer.split('/').nth(1).expect("a field");
            for change in &found.differences[0].fields {
                prop_assert_eq!(change.pointer.split('/').nth(1), Some(field));
                prop_assert_ne!(&change.running, &change.rendered);
            }
        }
    }

    #[test]
    fn what_two_renderings_differ_in_never_makes_drift(
        first in container(), second in container(), third in container(), fields in vec(select(&["args", "command", "env", "envFrom"][..]), 0..4)
    ) {
        // Three Pods that differ in some fields only: each is one of the answers that the injector gives.
        let fields: BTreeSet<_> = fields.into_iter().collect();
        let of = |other: &Value| {
            let mut container = first.clone();
            for field in &fields {
                container[*field] = other[*field].clone();
            }
            proxy(&pod(&container, "aaaaa")).1
        };
        let renderings = [rendering(of(&first)), rendering(of(&second))];
        let mask = volatile(&renderings[0], &renderings[1]).expect("one image");
        for running in [of(&first), of(&second)] {
            prop_assert_eq!(against(&running, &renderings, &mask), Comparison::default());
            // The mask alone must do it: the next rendering may be either of them.
            for one in &renderings {
                prop_assert_eq!(against(&running, std::slice::from_ref(one), &mask), Comparison::default());
            }
        }
        // A third answer differs at most where these two do not.
        let found = against(&of(&third), &renderings, &mask);
        let masked: Vec<&String> = mask.pointers.values().flatten().collect();
        for change in found.differences.iter().flat_map(|d| &d.fields) {
            let hidden = masked.iter().any(|p| change.pointer.strip_prefix(*p).is_some_and(|r| r.is_empty() || r.starts_with('/')));
            prop_assert!(!hidden, "{:?} in spite of {:?}", change, masked);
        }
    }

    #[test]
    fn a_canonical_form_is_a_function_of_the_meaning(value in json_text()) {
        let spaced = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&value).expect("JSON")).expect("text");
        if value.starts_with(['{', '[']) {
            prop_assert_eq!(canonical(&value), canonical(&spaced));
        } else {
            prop_assert_eq!(canonical(&value).value, json!(value));
        }
    }

    #[test]
    fn nothing_that_a_pod_can_hold_makes_it_fail(text in any::<String>(), spec in json_text()) {
        let spec: Value = serde_json::from_str(&spec).expect("JSON");
        let odd = json!({ "spec": { "containers": [spec.clone(), { "env": spec, "args": spec, "name": text }], "volumes": spec } });
        let shape = PodShape::from_pod(&odd);
        for container in &shape.containers {
            let _ = leaves(&container.projection.value());
        }
        let _ = canonical(&text);
        let _ = against(&shape, &[rendering(shape.clone())], &Mask::default());
    }
}
