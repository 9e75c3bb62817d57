//! The stamp, and the hash of a template without it.

use super::*;

#[test]
fn the_template_hash_is_the_same_with_and_without_our_stamp() {
    let hash = |meta: Value| keys().hash_without_stamp(&json!({ "metadata": meta, "spec": { "containers": [] } }));
    let bare = hash(json!({ "labels": { "app": "web" } }));
    let stamp = json!({ "sidecarRollout.rollout.timestamp": "t", "sidecarRollout.rollout.reason": "r" });
    assert_eq!(hash(json!({ "labels": { "app": "web" }, "annotations": stamp, "creationTimestamp": null })), bare);
    let theirs = json!({ "a": "b" });
    let mut both = stamp.clone();
    json_patch::merge(&mut both, &theirs);
    let annotated = hash(json!({ "labels": { "app": "web" }, "annotations": theirs }));
    assert_ne!(annotated, bare);
    assert_eq!(hash(json!({ "labels": { "app": "web" }, "annotations": both })), annotated);
    let other = StampKeys::new("other").hash_without_stamp(&json!({ "metadata": { "annotations": stamp } }));
    assert_ne!(
        other,
        StampKeys::new("other").hash_without_stamp(&json!({ "metadata": {} })),
        "another's prefix counts"
    );
    assert_eq!(bare.len(), 64);
}

#[test]
fn the_template_hash_is_the_same_with_and_without_what_is_empty() {
    let hash = |template: &Value| keys().hash_without_stamp(template);
    let written = json!({
        "metadata": { "labels": { "app": "web" }, "annotations": {} },
        "spec": { "containers": [{ "name": "app", "args": [], "env": [{ "name": "A", "value": "" }] }] },
    });
    let kept = json!({
        "metadata": { "labels": { "app": "web" }, "creationTimestamp": null },
        "spec": { "containers": [{ "name": "app", "resources": {}, "env": [{ "name": "A" }] }], "volumes": null },
    });
    assert_eq!(hash(&written), hash(&kept), "the template, and what OpenKruise keeps of it");
    for (pointer, other) in [
        ("/spec/containers/0/args", json!([""])),
        ("/spec/containers/0/resources", json!({ "limits": { "cpu": 0 } })),
        ("/spec/hostNetwork", json!(false)),
    ] {
        let mut changed = written.clone();
        let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
        changed.pointer_mut(parent).expect("a parent")[member] = other;
        assert_ne!(hash(&changed), hash(&written), "{pointer}");
    }
}

#[test]
fn a_stamp_of_the_predecessor_has_no_fingerprint_and_one_without_a_time_is_none() {
    let read = |annotations: Value| keys().read(&json!({ "metadata": { "annotations": annotations } }));
    let stamp = read(json!({ "sidecarRollout.rollout.timestamp": "2026-05-01T10:00:00Z" })).expect("a stamp");
    assert_eq!((stamp.fingerprint, stamp.reason.as_str()), (None, ""));
    assert_eq!(read(json!({ "sidecarRollout.rollout.timestamp": "yesterday" })), None);
    assert_eq!(read(json!({ "sidecarRollout.rollout.reason": "x" })), None);
    assert_eq!(keys().read(&json!({})), None);
}
