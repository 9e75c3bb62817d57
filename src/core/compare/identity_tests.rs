use std::sync::Arc;

use serde_json::{Value, json};

use crate::core::{
    compare::{
        Against, Comparison, Mask, PodIdentity, Rendering, SidecarSelection, Targets, compare_against,
        target_fingerprint, volatile,
    },
    model::shape::{FieldSet, PodShape},
};

/// A Pod with an app and a sidecar whose fields are made for one Pod.
fn shape(app: Value, proxy: Value) -> PodShape {
    let container = |name: &str, image: &str, fields: Value| {
        let mut container = json!({ "name": name, "image": image });
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        container
    };
    let containers = [container("app", "app:1", app), container("proxy", "proxy:1", proxy)];
    PodShape::with(&json!({ "spec": { "containers": containers } }), FieldSet::Default)
}

fn env(value: &str) -> Value {
    json!({ "env": [{ "name": "X", "value": value }] })
}

fn arg(text: &str) -> Value {
    json!({ "args": [text] })
}

/// What a rendering for a StatefulSet's Pod says, with claims of another one.
fn for_ordinal(ordinal: u32, claims: u32, proxy: &dyn Fn(u32, u32) -> Value) -> Rendering {
    Rendering {
        template: Arc::new(PodShape::from_pod(
            &json!({ "spec": { "containers": [{ "name": "app", "image": "app:1" }] } }),
        )),
        rendered: Arc::new(shape(json!({}), proxy(ordinal, claims))),
        pod_name: Some(format!("db-{ordinal}").into()),
        claims: Some(claims),
        node: None,
    }
}

fn for_node(node: &str, proxy: &dyn Fn(&str) -> Value) -> Rendering {
    let rendering = for_ordinal(0, 0, &|_, _| proxy(node));
    Rendering { pod_name: None, claims: None, node: Some(node.into()), ..rendering }
}

fn found(running: &PodShape, name: &str, node: Option<&str>, renderings: &[Rendering], mask: &Mask) -> Comparison {
    let selection = SidecarSelection::default();
    let against = Against { renderings, selection: &selection, mask, ignore: &[], namespaces: None };
    compare_against(running, PodIdentity { name, node }, &[], &against).0
}

/// For each of three Pods, whether what runs is what would be injected, and what of it is masked.
fn in_sync(running: &dyn Fn(u32, u32) -> Value, rendered: &dyn Fn(u32, u32) -> Value) -> ([bool; 3], Vec<String>) {
    let renderings = [for_ordinal(3, 0, rendered), for_ordinal(8, 2, rendered)];
    let mask = volatile(&renderings[0], &renderings[1]).unwrap();
    let is_same = |n: u32| {
        let pod = shape(json!({}), running(n, n));
        found(&pod, &format!("db-{n}"), None, &renderings, &mask) == Comparison::default()
    };
    ([is_same(0), is_same(1), is_same(2)], mask.shown())
}

const NOTHING: Vec<String> = Vec::new();

#[test]
fn r3_what_two_ordinals_prove_to_follow_is_equal() {
    let follows: [&dyn Fn(u32, u32) -> Value; 9] = [
        &|n, _| arg(&format!("--shard={n}")),
        &|n, _| arg(&format!("--shard={n}/3")),
        &|n, _| arg(&format!("db-{n}.db.shop.svc:80")),
        &|_, claims| arg(&format!("/mnt/data-db-{claims}")),
        &|n, claims| arg(&format!("data-db-{claims} of shard {n}")),
        &|n, _| arg(&format!("--port={}", 9000 + n)),
        &|n, _| arg(&format!("shard-{n:03}")),
        &|n, _| env(&format!(r#"{{"shard":{n},"name":"db-{n}"}}"#)),
        &|n, _| env(&format!(r#"[{{"name":"shard-{n}","at":"10.0.0.{n}"}},{{"name":"any","at":"x"}}]"#)),
    ];
    for (number, value) in follows.iter().enumerate() {
        assert_eq!(in_sync(value, value), ([true; 3], NOTHING), "{number}");
    }
}

#[test]
fn r3_a_change_of_what_follows_is_found() {
    let of = |text: &str| {
        let text = text.to_owned();
        move |n: u32, claims: u32| {
            arg(&text
                .replace("{n}", &n.to_string())
                .replace("{n+1}", &(n + 1).to_string())
                .replace("{nn}", &format!("{n:02}"))
                .replace("{claims}", &claims.to_string()))
        }
    };
    for (running, rendered) in [
        ("--shard={n}", "--shard=shard-{n}"),
        ("--shard={n}", "--shard={n+1}"),
        ("--shard={n}", "--shard={nn}"),
        ("--shard={n}", "--shards={n}"),
        ("--shard={n}", "--shard=7"),
        ("--shard=7", "--shard={n}"),
        ("--shards=2", "--shards=4"),
        ("data-db-{claims}", "cache-db-{claims}"),
        ("{n}/3", "{n}/4"),
    ] {
        let (same, masked) = in_sync(&of(running), &of(rendered));
        assert_eq!((same, masked), ([false; 3], NOTHING), "{running} -> {rendered}");
    }
}

#[test]
fn r3_what_two_ordinals_have_in_common_follows_nothing_whatever_it_looks_like() {
    // As many shards as the first rendering's ordinal says; no Pod has its own ordinal there.
    let shards = |text: &'static str| move |_: u32, _: u32| arg(text);
    assert_eq!(in_sync(&shards("--shards=3"), &shards("--shards=3")).0, [true; 3]);
    for other in ["--shards=0", "--shards=1", "--shards=2", "--shards=8"] {
        assert_eq!(in_sync(&shards(other), &shards("--shards=3")).0, [false; 3], "{other}");
    }
    // Nor is the first Pod's name, or that of one that does not exist.
    assert_eq!(in_sync(&shards("--primary=db-0"), &shards("--primary=db-0")).0, [true; 3]);
    assert_eq!(in_sync(&shards("--last=db-3"), &shards("--last=db-3")).0, [true; 3]);
    // What runs is the first rendering's very text, which is for no Pod that is there.
    assert_eq!(in_sync(&shards("--shards=3"), &|n, _| arg(&format!("--shards={n}"))).0, [false; 3]);
}

#[test]
fn r3_a_hash_of_the_name_is_masked_and_nothing_beside_it() {
    let hashed = |n: u32| format!("{:x}", (u64::from(n) + 77).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let value =
        |beside: &'static str| move |n: u32, _: u32| json!({ "args": [hashed(n), beside, format!("--shard={n}")] });
    assert_eq!(in_sync(&value("a"), &value("a")), ([true; 3], vec!["proxy/args/0".to_owned()]));
    assert_eq!(in_sync(&value("a"), &value("b")).0, [false; 3]);
}

#[test]
fn r3_an_app_container_that_follows_the_ordinal_is_no_collateral() {
    let rendering = |n: u32, image: &str| {
        let rendered = shape(env(&format!("shard-{n}")), json!({ "image": image }));
        Rendering { rendered: Arc::new(rendered), ..for_ordinal(n, 0, &|_, _| json!({})) }
    };
    let running = |n: u32| shape(env(&format!("shard-{n}")), json!({}));
    let renderings = [rendering(3, "proxy:2"), rendering(8, "proxy:2")];
    let collateral = |running: PodShape| found(&running, "db-1", None, &renderings, &Mask::default()).collateral.len();
    assert_eq!(collateral(running(1)), 0);
    assert_eq!(collateral(running(2)), 1);
}

#[test]
fn r3_the_target_is_the_same_for_every_ordinal_and_any_number_of_replicas() {
    let selection = SidecarSelection::default();
    let target = |ordinals: [u32; 2], value: &dyn Fn(u32, u32) -> Value| {
        let renderings = ordinals.map(|n| for_ordinal(n, n % 3, value));
        let target = target_fingerprint(&renderings, &selection, &Mask::default(), &[]);
        assert_eq!(Targets::default().of(&renderings, &selection, &Mask::default(), &[]), target);
        target
    };
    let shard = |n: u32, _: u32| arg(&format!("--shard={n}"));
    for ordinals in [[8, 3], [3, 8], [17, 12], [104, 99]] {
        assert_eq!(target(ordinals, &shard), target([3, 8], &shard), "{ordinals:?}");
    }
    let others: [&dyn Fn(u32, u32) -> Value; 4] = [
        &|n, _| arg(&format!("--shard={}", n + 1)),
        &|n, _| arg(&format!("--shard={n:03}")),
        &|n, _| arg(&format!("--shards={n}")),
        &|_, _| arg("--shard=8"),
    ];
    for (number, other) in others.iter().enumerate() {
        assert_ne!(target([3, 8], other), target([3, 8], &shard), "{number}");
    }
    // What follows the name alone needs no second rendering.
    let named = |n: u32, _: u32| arg(&format!("db-{n}.svc"));
    let one = [for_ordinal(3, 0, &named)];
    assert_eq!(target_fingerprint(&one, &selection, &Mask::default(), &[]), target([3, 8], &named));
}

#[test]
fn r3_what_two_nodes_prove_to_follow_is_equal() {
    let own = |node: &str| env(&format!("on {node}"));
    let renderings = [for_node("worker", &own), for_node("ip-10-0-0-7", &own)];
    assert_eq!(volatile(&renderings[0], &renderings[1]), Ok(Mask::default()));
    let differs = |running: &str, node| {
        let running = shape(json!({}), env(running));
        found(&running, "agent-x", node, &renderings, &Mask::default()) != Comparison::default()
    };
    assert!(!differs("on worker", Some("worker")));
    assert!(!differs("on gpu-1", Some("gpu-1")));
    assert!(differs("on worker", Some("gpu-1")));
    assert!(differs("at gpu-1", Some("gpu-1")));

    // A Node that is called by a common word is nobody's word.
    let common = |_: &str| env("role: worker");
    let renderings = [for_node("worker", &common), for_node("ip-10-0-0-7", &common)];
    let running = |text: &str| shape(json!({}), env(text));
    let same = |text| found(&running(text), "agent-x", Some("gpu-1"), &renderings, &Mask::default());
    assert_eq!(same("role: worker"), Comparison::default());
    assert_ne!(same("role: gpu-1"), Comparison::default());

    let target = |nodes: [&str; 2], value: &dyn Fn(&str) -> Value| {
        let renderings = nodes.map(|node| for_node(node, value));
        target_fingerprint(&renderings, &SidecarSelection::default(), &Mask::default(), &[])
    };
    assert_eq!(target(["a", "b"], &own), target(["c", "a"], &own));
    assert_ne!(target(["a", "b"], &own), target(["a", "b"], &common));
}

#[test]
fn r3_a_number_that_is_too_great_or_would_be_negative_follows_nothing() {
    let great = |n: u32, _: u32| arg(&format!("{}{n}", "9".repeat(30)));
    assert_eq!(in_sync(&great, &great).1, ["proxy/args/0"]);
    let below = |n: u32, _: u32| arg(&format!("--left={}", i64::from(n) - 2));
    assert_eq!(in_sync(&below, &below).1, ["proxy/args/0"]);
}
