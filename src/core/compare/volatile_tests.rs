//! Rule R8: what two renderings say about the running Pod.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::core::{
    compare::*,
    model::{Name, shape::PodShape},
};

fn rendering(sidecar: Value) -> Rendering {
    let pod = |containers: Value| Arc::new(PodShape::from_pod(&json!({ "spec": { "containers": containers } })));
    let mut sidecar = sidecar;
    sidecar["name"] = json!("proxy");
    Rendering {
        template: pod(json!([{ "name": "app", "image": "app:1" }])),
        rendered: pod(json!([{ "name": "app", "image": "app:1" }, sidecar])),
        ..Rendering::default()
    }
}

fn env(value: &str) -> Rendering {
    rendering(json!({ "env": [{ "name": "X", "value": value }] }))
}

fn args(args: &[&str]) -> Rendering {
    rendering(json!({ "args": args }))
}

fn masked(mask: &Mask) -> Vec<&str> {
    mask.pointers.values().flatten().map(String::as_str).collect()
}

/// The running Pod against two renderings.
fn verdict(running: &Rendering, first: &Rendering, second: &Rendering) -> Comparison {
    let mask = volatile(first, second).expect("stable");
    let renderings = [first.clone(), second.clone()];
    compare_all(&running.rendered, "", &renderings, &SidecarSelection::default(), &mask, &[])
}

fn in_sync(running: &Rendering, first: &Rendering, second: &Rendering) -> bool {
    verdict(running, first, second).differences.is_empty()
}

#[test]
fn r8_what_differs_between_two_renderings_makes_no_drift() {
    let of = |nonce: &str, level: &str| {
        rendering(json!({ "env": [{ "name": "NONCE", "value": nonce }, { "name": "LEVEL", "value": level }] }))
    };
    let (first, second) = (of("1", "info"), of("2", "info"));
    assert_eq!(masked(&volatile(&first, &second).unwrap()), ["/env/NONCE/value"]);
    assert!(in_sync(&of("0", "info"), &first, &second));
    assert!(!in_sync(&of("0", "debug"), &first, &second));
    assert!(volatile(&first, &first).unwrap().is_empty());
}

#[test]
fn r8_a_nonce_inside_a_structured_value_hides_nothing_else_of_it() {
    let of = |nonce: u8, port: u16| env(&format!(r#"{{"nonce":{nonce},"port":{port}}}"#));
    assert!(in_sync(&of(0, 80), &of(1, 80), &of(2, 80)));
    assert!(!in_sync(&of(0, 81), &of(1, 80), &of(2, 80)));
}

#[test]
fn r8_an_order_that_two_renderings_show_to_be_volatile_does_not_count() {
    let (first, second) = (args(&["--a", "--b", "--c"]), args(&["--b", "--c", "--a"]));
    let mask = volatile(&first, &second).unwrap();
    assert_eq!(masked(&mask), [""; 0]);
    assert!(in_sync(&args(&["--c", "--b", "--a"]), &first, &second));
    assert!(!in_sync(&args(&["--c", "--b", "--d"]), &first, &second));
    assert!(!in_sync(&args(&["--c", "--b"]), &first, &second));
    assert!(!in_sync(&args(&["--c", "--b", "--a"]), &first, &first), "not shown to be volatile");
    let list = |list: &str| env(&format!(r#"{{"hosts":[{list}]}}"#));
    assert!(in_sync(&list(r#""c","b","a""#), &list(r#""a","b","c""#), &list(r#""b","a","c""#)));
}

#[test]
fn r8_a_list_that_grows_is_masked_as_a_whole() {
    let (first, second) = (args(&["run", "--a", "--b"]), args(&["run", "--x", "--a", "--b"]));
    assert_eq!(masked(&volatile(&first, &second).unwrap()), ["/args"]);
    assert!(in_sync(&args(&["run", "--y", "--z", "--a", "--b"]), &first, &second));
    assert!(in_sync(&args(&[]), &first, &second));
}

#[test]
fn r8_keys_that_are_drawn_anew_mask_their_object() {
    let of = |id: &str, port: u16| env(&format!(r#"{{"port":{port},"by_id":{{"{id}":1,"fixed":2}}}}"#));
    assert_eq!(masked(&volatile(&of("a", 1), &of("b", 1)).unwrap()), ["/env/X/value/by_id"]);
    assert!(in_sync(&of("c", 1), &of("a", 1), &of("b", 1)));
    assert!(!in_sync(&of("c", 2), &of("a", 1), &of("b", 1)));
    // A list whose elements are told apart by a member that is drawn anew.
    let list = |a: u8, b: u8| env(&format!(r#"[{{"id":{a},"what":"abc"}},{{"id":{b},"what":"def"}}]"#));
    assert!(in_sync(&list(1, 2), &list(3, 4), &list(5, 6)));
}

#[test]
fn r8_a_variable_that_comes_and_goes_is_masked_alone() {
    let of = |env: Value| rendering(json!({ "env": env }));
    let first = of(json!([{ "name": "A", "value": "1" }]));
    let second = of(json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }]));
    assert_eq!(masked(&volatile(&first, &second).unwrap()), ["/env/B"]);
    assert!(in_sync(&of(json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "3" }])), &first, &second));
    assert!(!in_sync(&of(json!([{ "name": "A", "value": "2" }])), &first, &second));
}

#[test]
fn r8_variables_of_different_names_mask_each_other_and_not_all_of_them() {
    let of = |name: &str, level: &str| {
        rendering(json!({ "env": [{ "name": name, "value": "1" }, { "name": "LEVEL", "value": level }] }))
    };
    let (first, second) = (of("ID_a", "info"), of("ID_b", "info"));
    assert_eq!(masked(&volatile(&first, &second).unwrap()), ["/env/ID_a", "/env/ID_b"]);
    assert!(in_sync(&of("ID_a", "info"), &first, &second));
    assert!(!in_sync(&of("ID_a", "debug"), &first, &second));
}

#[test]
fn r8_a_member_that_comes_or_goes_is_masked_alone() {
    let (with, without) = (env(r#"{"id":1,"port":80}"#), env(r#"{"port":80}"#));
    for (first, second) in [(&with, &without), (&without, &with)] {
        assert_eq!(masked(&volatile(first, second).unwrap()), ["/env/X/value/id"]);
        assert!(!in_sync(&env(r#"{"id":1,"port":81}"#), first, second));
    }
}

#[test]
fn r8_an_argument_that_changes_in_its_place_leaves_the_order_of_the_others() {
    let mask = volatile(&args(&["--a", "--b", "--n=1"]), &args(&["--a", "--b", "--n=2"])).unwrap();
    assert_eq!((masked(&mask), &mask.unordered), (vec!["/args/2"], &BTreeMap::new()));
}

#[test]
fn r8_another_type_masks_the_whole_value() {
    assert_eq!(masked(&volatile(&env("{}"), &env("text")).unwrap()), ["/env/X/value"]);
}

#[test]
fn r8_another_image_is_no_volatile_field() {
    let image = |image: &str| rendering(json!({ "image": image }));
    let unstable = volatile(&image("proxy:1"), &image("proxy:2")).unwrap_err();
    assert_eq!(unstable.to_string(), "two renderings differ in container proxy: proxy:1, then proxy:2");
    let none = Rendering { rendered: image("").template, ..image("") };
    assert!(volatile(&image("proxy:1"), &none).is_err());
    assert_eq!(
        volatile(&none, &image("proxy:1")).unwrap_err().to_string(),
        "two renderings differ in container proxy: no such container, then proxy:1"
    );
}

#[test]
fn r8_a_placement_that_flips_is_masked() {
    let ordinary = rendering(json!({ "image": "proxy:1" }));
    let spec = json!({ "spec": {
        "initContainers": [{ "name": "proxy", "image": "proxy:1", "restartPolicy": "Always" }],
        "containers": [{ "name": "app", "image": "app:1" }],
    }});
    let native = Rendering { rendered: Arc::new(PodShape::from_pod(&spec)), ..ordinary.clone() };
    assert_eq!(masked(&volatile(&ordinary, &native).unwrap()), ["/placement"]);
    assert!(in_sync(&native, &ordinary, &native));
}

#[test]
fn r8_app_containers_are_masked_alike() {
    let of = |nonce: &str, user: u8| {
        let mut of = rendering(json!({}));
        of.rendered = Arc::new(PodShape::from_pod(&json!({ "spec": { "containers": [
            { "name": "app", "image": "app:1", "env": [{ "name": "N", "value": nonce }],
              "securityContext": { "runAsUser": user } },
            { "name": "proxy" },
        ]}})));
        of
    };
    assert_eq!(verdict(&of("0", 1), &of("1", 1), &of("2", 1)).collateral, []);
    assert_eq!(verdict(&of("0", 0), &of("1", 1), &of("2", 2)).collateral, []);
    assert_eq!(verdict(&of("0", 0), &of("1", 1), &of("2", 1)).collateral.len(), 1);
}

#[test]
fn r8_another_name_for_the_second_rendering_is_not_volatile() {
    let of = |pod: &str| Rendering { pod_name: Some(pod.into()), ..env(&format!("{pod}.svc")) };
    assert!(volatile(&of("db-6"), &of("db-7")).unwrap().is_empty());
}

#[test]
fn r8_the_nearest_rendering_is_told() {
    let running = rendering(json!({ "args": ["a", "b"], "command": ["c"] }));
    let near = rendering(json!({ "args": ["a", "x"], "command": ["c"] }));
    let far = rendering(json!({ "args": ["y", "x"], "command": ["z"] }));
    let all = |renderings: &[Rendering]| {
        compare_all(&running.rendered, "", renderings, &SidecarSelection::default(), &Mask::default(), &[])
    };
    assert_eq!(all(&[near.clone(), far.clone()]), all(&[far, near]));
    assert_eq!(all(&[]), Comparison::default());
}

#[test]
fn what_is_shown_of_a_mask_holds_no_value() {
    let of =
        |secret: &str| env(&format!(r#"[{{"key":"{secret}","at":"2026-01-01"}},{{"key":"b","at":"2026-01-02"}}]"#));
    let moved = env(r#"[{"key":"s3cret","at":"2026-01-03"},{"key":"b","at":"2026-01-02"}]"#);
    let mask = volatile(&of("s3cret"), &moved).unwrap();
    assert_eq!(masked(&mask), ["/env/X/value/[key=s3cret]/at"]);
    assert_eq!(mask.shown(), ["proxy/env/X/value/#9bc/#b1d"]);
    let found = verdict(&of("s3cret"), &moved, &moved);
    assert_eq!(found.differences[0].fields[0].pointer, "/env/X/value/#9bc/#b1d");
}

#[test]
fn masks_add_up_and_survive_a_recording() {
    let mut mask = volatile(&env("1"), &env("2")).unwrap();
    mask.merge(volatile(&args(&["a", "b"]), &args(&["b", "a"])).unwrap());
    let text = serde_json::to_string(&mask).unwrap();
    assert_eq!(text, r#"{"pointers":{"proxy":["/env/X/value"]},"unordered":{"proxy":["/args"]}}"#);
    assert_eq!(serde_json::from_str::<Mask>(&text).unwrap(), mask);
    assert_eq!(serde_json::from_str::<Mask>(r#"{"pointers":{}}"#).unwrap(), Mask::default());
}

#[test]
fn a_mask_is_empty_only_where_nothing_is_masked_and_every_order_counts() {
    let one = || BTreeMap::from([(Name::from("proxy"), BTreeSet::from(["/args".to_owned()]))]);
    assert!(Mask::default().is_empty());
    assert!(!Mask { pointers: one(), unordered: BTreeMap::new() }.is_empty());
    assert!(!Mask { pointers: BTreeMap::new(), unordered: one() }.is_empty());
}
