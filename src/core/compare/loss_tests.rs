//! Rule R7: what is lost, and what is changed.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::core::{compare::Comparison, model::shape::PodShape};

fn rendering(fields: Value) -> Rendering {
    let mut agent = fields;
    agent["name"] = json!("agent");
    let pod = |containers: Value| {
        let pod = json!({ "spec": { "containers": containers } });
        Arc::new(PodShape::with(&pod, crate::core::model::shape::FieldSet::All))
    };
    Rendering {
        template: pod(json!([{ "name": "app", "image": "app:1" }])),
        rendered: pod(json!([{ "name": "app", "image": "app:1" }, agent])),
        ..Rendering::default()
    }
}

fn compared(running: Value, rendered: Value) -> Comparison {
    let (running, rendered) = (rendering(running), rendering(rendered));
    compare(&running.rendered, &rendered, &SidecarSelection::default(), &Mask::default(), None, &[])
}

/// What is lost, and whether there is more.
fn lost(running: Value, rendered: Value) -> (Vec<String>, bool) {
    let found = compared(running, rendered);
    let Split { rest, losses, .. } = split(&found.differences, &found.collateral);
    (losses.iter().map(Loss::to_string).collect(), !rest.is_empty())
}

fn env(list: &[(&str, &str)]) -> Value {
    list.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

#[test]
fn r7_a_field_that_is_gone_or_empty_is_lost_and_one_with_another_value_is_changed() {
    let (role, nothing) = (env(&[("ROLE", "x")]), json!([]));
    let of = |env: &Value| json!({ "image": "a:1", "env": env });
    let gone = (vec!["env/ROLE of agent".to_owned()], false);
    assert_eq!(lost(of(&role), of(&nothing)), gone);
    assert_eq!(lost(of(&role), of(&env(&[("ROLE", "")]))), gone);
    assert_eq!(lost(of(&role), of(&env(&[("ROLE", "y")]))), (vec![], true));
    assert_eq!(lost(of(&nothing), of(&role)), (vec![], true));
    let from = json!([{ "name": "ROLE", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }]);
    assert_eq!(lost(of(&role), of(&from)), (vec![], true), "another source of the same variable");
    assert_eq!(lost(of(&from), of(&nothing)), gone);
    // The image moved in the same rendering.
    let moved = json!({ "image": "a:2" });
    assert_eq!(lost(of(&role), moved), (vec!["env/ROLE of agent".to_owned()], true));
}

#[test]
fn r7_members_of_lists_are_lost_by_what_names_them() {
    let args = |args: &[&str]| json!({ "args": args });
    let gone = |more| (vec!["args of agent".to_owned()], more);
    assert_eq!(lost(args(&["a", "--role=x", "c"]), args(&["a", "c"])), gone(false));
    assert_eq!(lost(args(&["--role=x"]), args(&[])), gone(false));
    assert_eq!(lost(args(&["--role=x", "a"]), args(&["--new", "b"])), gone(true));
    assert_eq!(lost(args(&["a", "b"]), args(&["a"])), gone(false));
    assert_eq!(lost(args(&["--level", "info"]), args(&["--level", "debug"])), (vec![], true));
    assert_eq!(lost(args(&["--role=x"]), args(&["--role=y", "--new"])), (vec![], true));
    let source = |name: &str| json!({ "configMapRef": { "name": name } });
    let from = |names: &[&str]| json!({ "envFrom": names.iter().map(|name| source(name)).collect::<Value>() });
    let gone = (vec!["envFrom of agent".to_owned()], false);
    assert_eq!(lost(from(&["a", "b"]), from(&["b"])), gone);
    assert_eq!(lost(from(&["a"]), json!({})), gone);
}

#[test]
fn r7_mounts_limits_and_whole_fields_are_lost_too() {
    let mount = json!({ "volumeMounts": [{ "name": "token", "mountPath": "/var/token" }] });
    assert_eq!(lost(mount, json!({})).0, ["volumeMounts/#44c of agent"]);
    let limit = json!({ "resources": { "limits": { "cpu": "1", "memory": "1Gi" } } });
    let less = json!({ "resources": { "limits": { "cpu": "2" } } });
    assert_eq!(lost(limit, less), (vec!["resources/limits/memory of agent".to_owned()], true));
    let probe = |how: &str| json!({ "livenessProbe": { how: { "port": 80 } } });
    assert_eq!(lost(probe("httpGet"), json!({})).0, ["livenessProbe of agent"]);
    assert_eq!(lost(probe("httpGet"), probe("tcpSocket")), (vec![], true));
    assert_eq!(lost(json!({ "image": "a:1" }), json!({})), (vec![], true), "an image is changed");
}

#[test]
fn r7_what_an_app_container_loses_is_lost_too() {
    let of = |env: Value| {
        let mut rendering = rendering(json!({}));
        rendering.rendered = Arc::new(PodShape::from_pod(&json!({ "spec": { "containers": [
            { "name": "app", "image": "app:1", "env": env }, { "name": "agent" }
        ]}})));
        rendering
    };
    let (with, without) = (of(env(&[("ROLE", "x")])), of(json!([])));
    assert!(only_loses(&with, &without));
    assert!(!only_loses(&without, &with));
    assert!(!only_loses(&with, &of(env(&[("ROLE", "y")]))));
    assert!(!only_loses(&with, &of(env(&[("NEW", "y")]))));
    assert!(!only_loses(&with, &with));
}

#[test]
fn r7_who_is_given_a_thing_shows_that_its_giver_answers() {
    let running = json!({ "image": "a:1", "env": env(&[("ROLE", "x")]), "args": ["--role=x"] });
    let found = compared(running.clone(), json!({ "image": "a:1" }));
    let losses = split(&found.differences, &found.collateral).losses;
    assert_eq!(losses.len(), 2);
    let given = Given::of(&rendering(running));
    assert!(losses.iter().all(|loss| given.holds(loss)) && given.has_containers());
    let bare = Given::of(&rendering(json!({ "image": "a:1", "env": env(&[("ROLE", "")]) })));
    assert!(!losses.iter().any(|loss| bare.holds(loss)));
    // Another container with a variable of that name may have it from somebody else.
    let mut other = rendering(json!({ "image": "a:1" }));
    other.rendered = Arc::new(PodShape::from_pod(&json!({ "spec": { "containers": [
        { "name": "app", "image": "app:1" }, { "name": "agent", "image": "a:1" },
        { "name": "other", "env": env(&[("ROLE", "x")]), "args": ["--role=x"] },
    ]}})));
    assert!(!losses.iter().any(|loss| Given::of(&other).holds(loss)));
    // What a template has by itself nobody gave it.
    let mut own = rendering(json!({ "image": "a:1", "env": env(&[("ROLE", "x")]) }));
    own.template = own.rendered.clone();
    assert!(!losses.iter().any(|loss| Given::of(&own).holds(loss)));
}

#[test]
fn c11_a_lock_names_an_argument_by_itself_and_not_by_its_place() {
    let args = |args: &[&str]| json!({ "args": args });
    let lasting = |running: &[&str], rendered: &[&str]| {
        let found = compared(args(running), args(rendered));
        lasting_pointers(&found.differences[0].fields).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(lasting(&["a", "--nonce=1"], &["a", "--nonce=2"]), ["/args/[#814]"]);
    assert_eq!(lasting(&["a", "--nonce=1"], &["--new", "a", "--nonce=2"]), ["/args/[#814]", "/args/[#93b]"]);
    assert_eq!(lasting(&["secret"], &["other"]), ["/args/[]"]);
    let env = compared(json!({ "env": env(&[("A", "1")]) }), json!({ "env": env(&[("A", "2")]) }));
    assert_eq!(lasting_pointers(&env.differences[0].fields), BTreeSet::from(["/env/A/value".to_owned()]));
}
