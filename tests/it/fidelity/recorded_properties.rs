//! What must hold of the Pods of real injectors, in ten thousand variations of each: nothing that means nothing is drift, and
//! nothing that means something is missed.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use sidecar_drift::core::model::shape::PodShape;

use super::recordings::recording_path;

const CASES: u64 = 10_000;

/// A recorded Pod, or nothing, which is said.
fn recorded(injector: &str) -> Option<Value> {
    let path = recording_path(injector)?;
    let text = fs::read_to_string(Path::new(&path).join("running-1.json")).expect("a recording");
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// Numbers that look drawn and are the same each time.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, n: usize) -> usize {
        // Knuth's multiplier for 64 bits.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(n.max(1)).expect("small")).expect("small")
    }

    fn shuffle(&mut self, list: &mut [Value]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }
}

fn fingerprints(pod: &Value) -> BTreeSet<(String, String)> {
    let shape = PodShape::from_pod(pod);
    shape.containers.iter().map(|c| (c.name.to_string(), format!("{} {:?}", c.fingerprint, c.placement))).collect()
}

/// Whether a variable's place may matter: another one refers to it, or it refers to others.
fn refers(env: &[Value]) -> bool {
    env.iter().any(|entry| entry["value"].as_str().is_some_and(|text| text.contains("$(")))
}

fn vary(pod: &mut Value, drawn: &mut Drawn) {
    let spec = &mut pod["spec"];
    for list in ["containers", "initContainers", "volumes"] {
        if let Some(list) = spec[list].as_array_mut() {
            drawn.shuffle(list);
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            if let Some(env) = container["env"].as_array_mut().filter(|env| !refers(env)) {
                drawn.shuffle(env);
            }
            for beside in ["volumeMounts", "ports"] {
                if let Some(list) = container[beside].as_array_mut() {
                    drawn.shuffle(list);
                }
            }
        }
    }
    // What is drawn for each Pod.
    pod["metadata"]["uid"] = json!(drawn.below(1_000_000).to_string());
    pod["metadata"]["annotations"]["noted"] = json!(drawn.below(1_000_000).to_string());
    pod["status"]["podIP"] = json!(format!("10.0.0.{}", drawn.below(250)));
    let token = pod["spec"]["volumes"].as_array().into_iter().flatten().find_map(|volume| {
        let suffix = volume["name"].as_str()?.strip_prefix("kube-api-access-")?;
        (suffix.len() == 5).then(|| suffix.to_owned())
    });
    if let Some(token) = token {
        let other: String = (0..5).map(|_| char::from(b"bcdfghjklm2456789"[drawn.below(17)])).collect();
        let text = pod.to_string().replace(&format!("kube-api-access-{token}"), &format!("kube-api-access-{other}"));
        *pod = serde_json::from_str(&text).expect("still JSON");
    }
}

/// The pointers of all leaves under the compared fields of all containers.
fn leaves(pod: &Value) -> Vec<String> {
    fn walk(value: &Value, pointer: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(key, member)| {
                walk(member, &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }),
            Value::Array(items) => items.iter().enumerate().for_each(|(n, v)| walk(v, &format!("{pointer}/{n}"), out)),
            _ => out.push(pointer.to_owned()),
        }
    }
    let mut out = Vec::new();
    for list in ["containers", "initContainers"] {
        let count = pod["spec"][list].as_array().map_or(0, Vec::len);
        for (n, field) in (0..count).flat_map(|n| ["image", "command", "args", "env", "envFrom"].map(|f| (n, f))) {
            let pointer = format!("/spec/{list}/{n}/{field}");
            if let Some(value) = pod.pointer(&pointer) {
                walk(value, &pointer, &mut out);
            }
        }
    }
    // Written out by the API server, and the same without.
    out.retain(|pointer| !pointer.ends_with("/apiVersion") && !pointer.ends_with("/divisor"));
    out
}

fn holds_whatever_means_nothing(injector: &str) {
    let Some(pod) = recorded(injector) else { return };
    let wanted = fingerprints(&pod);
    let mut drawn = Drawn(7);
    for case in 0..CASES {
        let mut other = pod.clone();
        vary(&mut other, &mut drawn);
        assert_eq!(fingerprints(&other), wanted, "{injector}, case {case}");
    }
}

fn shows_whatever_means_something(injector: &str) {
    let Some(pod) = recorded(injector) else { return };
    let wanted = fingerprints(&pod);
    let leaves = leaves(&pod);
    assert!(leaves.len() > 20, "{injector} has only {} leaves", leaves.len());
    let mut drawn = Drawn(11);
    for case in 0..CASES {
        // Each leaf in turn, changed in another way in each round.
        let pointer = &leaves[usize::try_from(case).expect("small") % leaves.len()];
        let mut other = pod.clone();
        let leaf = other.pointer_mut(pointer).expect("a leaf");
        let text = leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned);
        *leaf = match drawn.below(4) {
            0 => json!(format!("{text}x")),
            1 => json!(format!("x{text}")),
            2 => json!(format!("other-{}", drawn.below(1_000_000))),
            // White space is part of a text that is no JSON; a word between is part of any.
            _ => json!(text.replacen(|c: char| c.is_ascii_alphanumeric(), "Ω", 1) + "y"),
        };
        assert_ne!(fingerprints(&other), wanted, "{injector}, case {case}: {pointer} was changed and nothing shows it");
    }
}

#[test]
fn linkerd_varied_in_what_means_nothing_has_one_fingerprint() {
    holds_whatever_means_nothing("linkerd");
}

#[test]
fn vault_varied_in_what_means_nothing_has_one_fingerprint() {
    holds_whatever_means_nothing("vault");
}

#[test]
fn linkerd_changed_in_any_compared_leaf_has_another_fingerprint() {
    shows_whatever_means_something("linkerd");
}

#[test]
fn vault_changed_in_any_compared_leaf_has_another_fingerprint() {
    shows_whatever_means_something("vault");
}
