//! Rule C1: what is a sidecar, and what only looks like one.

#![expect(clippy::needless_pass_by_value, reason = "`json!` reads better as an argument of its own")]

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use crate::core::{compare::*, model::shape::PodShape};

fn shape(containers: Value) -> PodShape {
    PodShape::from_pod(&json!({ "spec": { "containers": containers } }))
}

fn is_injected(template: &str, rendered: &str) -> bool {
    let of = |image: &str| shape(json!([{ "name": "c", "image": image }]));
    !injected(&of(template), &of(rendered)).is_empty()
}

#[test]
fn c1_a_container_that_the_template_lacks_is_injected() {
    let template = shape(json!([{ "name": "app", "image": "app:1" }]));
    let rendered = PodShape::from_pod(&json!({ "spec": {
        "initContainers": [{ "name": "init", "image": "proxy:1" }],
        "containers": [{ "name": "app", "image": "app:1" }, { "name": "proxy", "image": "proxy:1" }],
    }}));
    assert_eq!(injected(&template, &rendered), BTreeSet::from(["init".into(), "proxy".into()]));
}

#[test]
fn c1_a_placeholder_is_left_to_admission() {
    assert!(is_injected("auto", "docker.io/istio/proxyv2:1.27.0"));
    assert!(is_injected("auto", "registry.corp:5000/proxy@sha256:0123"));
    assert!(is_injected(" ", "proxy:1"));
    assert!(is_injected("", "proxy:1"));
    assert!(is_injected("injected", "proxy"));
    assert!(is_injected("auto", "proxy:auto"), "a tag is no name");
}

#[test]
fn c1_a_pinned_digest_or_a_mirrored_registry_is_no_sidecar() {
    assert!(!is_injected("nginx", "nginx"));
    assert!(!is_injected("nginx", "nginx:1.29"));
    assert!(!is_injected("nginx", "nginx@sha256:0123"));
    assert!(!is_injected("nginx", "mirror.corp/library/nginx:latest@sha256:0123"));
    assert!(!is_injected("nginx", "mirror.corp/docker-hub-nginx"));
    assert!(!is_injected("nginx:1.29", "mirror.corp/cache/0123"));
    assert!(!is_injected("shop/app:2", "mirror.corp/shop/app:2"));
    assert!(!is_injected("auto", "auto"));
}

#[test]
fn c1_a_sidecar_baked_into_the_template_is_not_injected() {
    let baked = shape(json!([{ "name": "app", "image": "app:1" }, { "name": "proxy", "image": "proxy:1.0" }]));
    assert!(injected(&baked, &baked).is_empty());
}

fn rendering(template: &PodShape, rendered: &PodShape) -> Rendering {
    Rendering { template: Arc::new(template.clone()), rendered: Arc::new(rendered.clone()), ..Rendering::default() }
}

#[test]
fn c1_sidecars_are_found_in_the_running_pod_too() {
    let template = shape(json!([{ "name": "app", "image": "app:1" }, { "name": "p", "image": "auto" }]));
    let running = shape(json!([
        { "name": "app", "image": "app:1" },
        { "name": "p", "image": "x/proxy:1", "args": ["run"] },
        { "name": "agent", "image": "x/agent:1" },
    ]));
    let found = SidecarSelection::default().sidecars(&rendering(&template, &template), Some(&running));
    assert_eq!(found, BTreeSet::from(["agent".into(), "p".into()]));
}

#[test]
fn c1_a_patched_app_image_makes_no_sidecar() {
    let template = shape(json!([{ "name": "app", "image": "nginx", "args": ["serve"] }]));
    let running = shape(json!([{ "name": "app", "image": "corp/debug:1", "args": ["serve"] }]));
    let found = SidecarSelection::default().sidecars(&rendering(&template, &template), Some(&running));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn c1_a_person_may_name_the_sidecars() {
    let template = shape(json!([{ "name": "app", "image": "app:1" }, { "name": "baked", "image": "proxy:1" }]));
    let rendered = shape(json!([
        { "name": "app", "image": "app:1" },
        { "name": "baked", "image": "proxy:1" },
        { "name": "agent", "image": "agent:1" },
    ]));
    let selection = SidecarSelection { named: BTreeSet::from(["baked".into(), "gone".into(), "nowhere".into()]) };
    let running = shape(json!([{ "name": "gone", "image": "gone:1" }]));
    let found = selection.sidecars(&rendering(&template, &rendered), Some(&running));
    assert_eq!(found, BTreeSet::from(["baked".into(), "gone".into()]));
}
