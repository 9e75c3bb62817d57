//! Rules C2, C9, C13, C14, R3 and R8, and the words that a difference gets.

#![expect(clippy::needless_pass_by_value, reason = "`json!` reads better as an argument of its own")]

use std::sync::Arc;

use serde_json::{Value, json};

use crate::core::{
    compare::*,
    model::{
        Glob, Name,
        shape::{FieldSet, PodShape},
        words::Difference,
    },
};

/// A Pod with an app and, if given, a sidecar.
fn pod(sidecar: Option<Value>) -> PodShape {
    in_list("containers", sidecar)
}

fn in_list(list: &str, sidecar: Option<Value>) -> PodShape {
    let mut spec = json!({ "containers": [{ "name": "app", "image": "app:1" }] });
    match (spec.get_mut(list).and_then(Value::as_array_mut), sidecar) {
        (Some(containers), sidecar) => containers.extend(sidecar),
        (None, sidecar) => spec[list] = sidecar.into_iter().collect(),
    }
    PodShape::from_pod(&json!({ "spec": spec }))
}

fn proxy(image: &str, args: &[&str]) -> Value {
    json!({ "name": "proxy", "image": image, "args": args })
}

fn proxy_env(env: Value) -> PodShape {
    pod(Some(json!({ "name": "proxy", "image": "proxy:1", "env": env })))
}

fn rendering(rendered: &PodShape) -> Rendering {
    Rendering { template: Arc::new(pod(None)), rendered: Arc::new(rendered.clone()), ..Rendering::default() }
}

fn against(running: &PodShape, rendered: &PodShape) -> Comparison {
    compare(running, &rendering(rendered), &SidecarSelection::default(), &Mask::default(), None, &[])
}

fn changes(fields: &[FieldChange]) -> Vec<(&str, Option<&str>, Option<&str>)> {
    fields.iter().map(|f| (f.pointer.as_str(), f.running.as_deref(), f.rendered.as_deref())).collect()
}

fn kinds(comparison: &Comparison) -> Vec<Difference> {
    comparison.differences.iter().map(|d| d.difference).collect()
}

#[test]
fn equal_pods_do_not_differ() {
    let a = pod(Some(proxy("proxy:1", &["run"])));
    assert_eq!(against(&a, &a), Comparison::default());
    assert_eq!(title(&[]), "");
}

#[test]
fn changed_fields_are_named_one_by_one() {
    let a = pod(Some(proxy("proxy:1", &["run", "--level=info"])));
    let b = pod(Some(proxy("proxy:2", &["run", "--level=debug", "--more"])));
    let found = against(&a, &b);
    assert_eq!(kinds(&found), [Difference::Changed]);
    assert_eq!(
        changes(&found.differences[0].fields),
        [
            ("/args/1", Some("--level=info"), Some("--level=debug")),
            ("/args/2", None, Some("--more")),
            ("/image", Some("proxy:1"), Some("proxy:2")),
        ]
    );
    assert_eq!(title(&found.differences), "proxy image 1 → 2, args");
}

#[test]
fn what_is_empty_is_not_the_same_as_nothing() {
    let config = |value: &str| proxy_env(json!([{ "name": "CONFIG", "value": value }]));
    let found = |running: &str, rendered: &str| against(&config(running), &config(rendered));
    let left_out = |empty: &str, shown: &str| {
        let found = found(&format!(r#"{{"a":1,"b":{empty}}}"#), r#"{"a":1}"#);
        assert_eq!(changes(&found.differences[0].fields), [("/env/CONFIG/value/#3e2", Some(shown), None)]);
    };
    left_out("{}", "{}");
    left_out("[]", "[]");
    assert_eq!(kinds(&found(r#"{"a":{}}"#, r#"{"a":[]}"#)), [Difference::Changed]);
}

#[test]
fn pointers_follow_rfc_6901() {
    let a = proxy_env(json!([{ "name": "a/b~c", "value": "1" }]));
    let found = against(&a, &proxy_env(json!([])));
    assert_eq!(changes(&found.differences[0].fields), [("/env/a~1b~0c/value", Some("1"), None)]);
    assert_eq!(title(&found.differences), "proxy env a/b~c");
}

#[test]
fn c13_rendered_but_not_running_is_missing() {
    let found = against(&pod(None), &pod(Some(proxy("proxy:1", &[]))));
    assert_eq!(kinds(&found), [Difference::Missing]);
    assert_eq!(found.differences[0].fields, []);
    assert_eq!(title(&found.differences), "proxy missing");
}

#[test]
fn running_but_not_rendered_is_removed() {
    let found = against(&pod(Some(proxy("proxy:1", &[]))), &pod(None));
    assert_eq!(kinds(&found), [Difference::Removed]);
    assert_eq!(title(&found.differences), "proxy removed");
}

#[test]
fn c1_a_placeholder_that_is_not_filled_is_no_sidecar_yet_or_no_more() {
    let waiting = pod(Some(proxy("auto", &[])));
    let filled = pod(Some(proxy("x/y:1", &["run"])));
    let by = |running: &PodShape, rendered: &PodShape| {
        let rendering = Rendering { template: Arc::new(waiting.clone()), ..rendering(rendered) };
        compare(running, &rendering, &SidecarSelection::default(), &Mask::default(), None, &[])
    };
    assert_eq!(kinds(&by(&waiting, &filled)), [Difference::Missing]);
    assert_eq!(kinds(&by(&filled, &waiting)), [Difference::Removed]);
    assert_eq!(by(&waiting, &waiting), Comparison::default());
    let newer = pod(Some(proxy("x/y:2", &["run"])));
    assert_eq!(kinds(&by(&filled, &newer)), [Difference::Changed]);
}

#[test]
fn c2_a_move_between_the_lists_is_a_difference_of_its_own() {
    let ordinary = pod(Some(proxy("proxy:1", &[])));
    let mut native = proxy("proxy:1", &[]);
    native["restartPolicy"] = json!("Always");
    let native = in_list("initContainers", Some(native));
    let found = against(&ordinary, &native);
    assert_eq!(kinds(&found), [Difference::Placement]);
    assert_eq!(changes(&found.differences[0].fields), [("/placement", Some("ordinary"), Some("native"))]);
    assert_eq!(title(&found.differences), "proxy → native");
    assert_eq!(title(&against(&native, &ordinary).differences), "proxy → ordinary");

    let mut newer = proxy("proxy:2", &[]);
    newer["restartPolicy"] = json!("Always");
    let found = against(&ordinary, &in_list("initContainers", Some(newer)));
    assert_eq!(kinds(&found), [Difference::Changed, Difference::Placement]);
    assert_eq!(title(&found.differences), "proxy image 1 → 2 + proxy → native");
}

#[test]
fn c9_an_image_patched_live_is_told_apart_from_what_the_injector_changed() {
    let running = pod(Some(proxy("proxy:debug", &["run"])));
    let with = |rendered: &PodShape, patched: &[Name]| {
        compare(&running, &rendering(rendered), &SidecarSelection::default(), &Mask::default(), None, patched)
    };
    let rendered = pod(Some(proxy("proxy:1", &["run"])));
    let patched = [Name::from("proxy")];
    let found = with(&rendered, &patched);
    assert_eq!(kinds(&found), [Difference::MutatedLive]);
    assert_eq!(title(&found.differences), "proxy image debug → 1 (patched live)");
    assert_eq!(kinds(&with(&rendered, &[])), [Difference::Changed]);
    assert_eq!(kinds(&with(&rendered, &[Name::from("other")])), [Difference::Changed]);

    let more = pod(Some(proxy("proxy:1", &["run", "--more"])));
    let found = with(&more, &patched);
    assert_eq!(kinds(&found), [Difference::Changed, Difference::MutatedLive]);
    assert_eq!(changes(&found.differences[0].fields), [("/args/1", None, Some("--more"))]);
    assert_eq!(with(&running, &patched), Comparison::default(), "patched to what is rendered now");
}

#[test]
fn c14_changes_of_app_containers_are_collateral() {
    let app = |container: Value| PodShape::from_pod(&json!({ "spec": { "containers": [container] } }));
    let running = app(json!({
        "name": "app", "image": "app:1", "volumeMounts": [{ "name": "a", "mountPath": "/a" }],
        "securityContext": { "runAsUser": 1 },
    }));
    let rendered = app(json!({
        "name": "app", "image": "app:1@sha256:0123", "env": [{ "name": "REGION", "value": "eu" }],
        "volumeMounts": [{ "name": "b", "mountPath": "/b" }], "securityContext": { "runAsUser": 2 },
    }));
    let found = against(&running, &rendered);
    assert_eq!(found.differences, []);
    assert_eq!(
        changes(&found.collateral),
        [
            ("/app/env/REGION/value", None, Some("eu")),
            ("/app/image", Some("app:1"), Some("app:1@sha256:0123")),
            ("/app/securityContext/runAsUser", Some("1"), Some("2")),
            ("/app/volumeMounts/#73e/readOnly", None, Some("false")),
            ("/app/volumeMounts/#f1d/readOnly", Some("false"), None),
        ]
    );
    let gone = against(&running, &app(json!({ "name": "other" })));
    assert_eq!(changes(&gone.collateral), [("/app", Some("app:1"), None)]);
}

#[test]
fn c14_a_sidecars_own_security_context_is_not_compared() {
    let with = |user: u32| {
        let mut sidecar = proxy("proxy:1", &[]);
        sidecar["securityContext"] = json!({ "runAsUser": user });
        sidecar["readinessProbe"] = json!({ "periodSeconds": user });
        pod(Some(sidecar))
    };
    assert_eq!(against(&with(1), &with(2)), Comparison::default());
}

fn named(pod: &str, image: &str, peers: &str) -> PodShape {
    proxy_env(json!([
        { "name": "APP_ID", "value": pod },
        { "name": "HOST", "value": format!("{pod}.db.shop.svc:80") },
        { "name": "PEERS", "value": peers },
        { "name": "CONFIG", "value": format!("[{{\"name\":\"{pod}\",\"x\":\"long\"}},{{\"name\":\"b\",\"x\":\"other\"}}]") },
        { "name": "IMAGE", "value": image },
    ]))
}

#[test]
fn r3_a_field_that_only_follows_the_pods_name_is_equal() {
    let peers = "db-0,db-1,db-6,db-10";
    let names = NameMap { rendered: "db-6", running: "db-1", namespaces: None };
    let by = |running: &PodShape, rendered: &PodShape| {
        let (selection, mask) = (SidecarSelection::default(), Mask::default());
        compare(running, &rendering(rendered), &selection, &mask, Some(&names), &[])
    };
    assert_eq!(by(&named("db-1", "x", peers), &named("db-6", "x", peers)), Comparison::default());
    let found = by(&named("db-1", "x", peers), &named("db-6", "y", peers));
    assert_eq!(changes(&found.differences[0].fields), [("/env/IMAGE/value", Some("x"), Some("y"))]);
    let found = by(&named("db-1", "x", peers), &named("db-60", "x", peers));
    assert_eq!(found.differences[0].fields.len(), 2 + 4, "db-60 is another name: {found:?}");
}

#[test]
fn r3_a_list_that_names_all_pods_of_a_set_has_an_entry_for_each() {
    let peers = |six: &str| {
        proxy_env(json!([{
            "name": "PEERS",
            "value": format!(r#"[{{"name":"db-1","x":"the first"}},{{"name":"db-6","x":"{six}"}}]"#),
        }]))
    };
    let names = NameMap { rendered: "db-1", running: "db-6", namespaces: None };
    let by = |six: &str| {
        let (selection, mask) = (SidecarSelection::default(), Mask::default());
        compare(&peers("the sixth"), &rendering(&peers(six)), &selection, &mask, Some(&names), &[])
    };
    assert_eq!(by("the sixth"), Comparison::default());
    assert_eq!(
        changes(&by("another").differences[0].fields),
        [("/env/PEERS/value/#16c/#2d7", Some("\"the sixth\""), Some("\"another\""))]
    );
}

#[test]
fn r3_of_several_renderings_each_has_a_name_of_its_own_and_none_needs_no_name() {
    let running = named("db-1", "x", "");
    let rendered = |name: Option<&str>, image: &str| Rendering {
        pod_name: name.map(Into::into),
        ..rendering(&named(name.unwrap_or("db-1"), image, ""))
    };
    let found = |renderings: &[Rendering]| {
        let (selection, mask) = (SidecarSelection::default(), Mask::default());
        compare_all(&running, "db-1", renderings, &selection, &mask, &[])
    };
    assert_eq!(found(&[rendered(Some("db-6"), "y"), rendered(Some("db-7"), "x")]), Comparison::default());
    assert_eq!(found(&[rendered(None, "x")]), Comparison::default());
    assert_eq!(
        changes(&found(&[rendered(None, "y")]).differences[0].fields),
        [("/env/IMAGE/value", Some("x"), Some("y"))]
    );
}

#[test]
fn r8_a_mere_change_of_order_is_recognised_as_such() {
    let args = |args: &[&str]| pod(Some(proxy("proxy:1", args)));
    let reordered = |a: &[&str], b: &[&str]| against(&args(a), &args(b)).looks_reordered();
    assert!(reordered(&["--a=1", "--b=2"], &["--b=2", "--a=1"]));
    assert!(reordered(&["--hosts=a,b"], &["--hosts=b,a"]));
    assert!(!reordered(&["--a=1", "--b=2"], &["--b=2", "--a=3"]));
    assert!(!reordered(&["--a=1"], &["--a=1", "--b=2"]));
    assert!(!reordered(&["--a=1"], &["--a=1"]), "no difference at all");
    let other_image = against(&pod(Some(proxy("proxy:12", &[]))), &pod(Some(proxy("proxy:21", &[]))));
    assert!(!other_image.looks_reordered());
    assert!(!against(&pod(None), &args(&[])).looks_reordered(), "a missing sidecar");
}

#[test]
fn r3_an_image_does_not_follow_the_pods_name() {
    let names = NameMap { rendered: "db-6", running: "db-1", namespaces: None };
    let of = |tag: &str| pod(Some(proxy(&format!("proxy:{tag}"), &[])));
    let (selection, mask) = (SidecarSelection::default(), Mask::default());
    let found = compare(&of("db-1"), &rendering(&of("db-6")), &selection, &mask, Some(&names), &[]);
    assert_eq!(kinds(&found), [Difference::Changed]);
}

#[test]
fn a_target_fingerprint_is_the_same_for_every_pod_and_moves_with_the_injector() {
    let target = |pod: &str, image: &str, mask: &Mask| {
        let rendering = Rendering { pod_name: Some(pod.into()), ..rendering(&named(pod, image, "")) };
        target_fingerprint(&[rendering], &SidecarSelection::default(), mask, &[])
    };
    let none = Mask::default();
    assert!(target("db-6", "x", &none).starts_with("v1:"));
    assert_eq!(target("db-6", "x", &none), target("db-7", "x", &none));
    assert_ne!(target("db-6", "x", &none), target("db-6", "y", &none));
    let mask = Mask { pointers: [("proxy".into(), ["/env/IMAGE/value".into()].into())].into(), ..Mask::default() };
    assert_eq!(target("db-6", "x", &mask), target("db-6", "y", &mask));

    // What the site leaves out does not count, and nothing else is left out with it.
    let without = |image: &str, ignore: &[IgnoreRule]| {
        target_fingerprint(
            &[rendering(&named("db-6", image, ""))],
            &SidecarSelection::default(),
            &Mask::default(),
            ignore,
        )
    };
    let env = |name: &str| [IgnoreRule { sidecar: Glob::new("*"), what: Ignored::Env(Glob::new(name)) }];
    assert_eq!(without("x", &env("IMAGE")), without("y", &env("IMAGE")));
    assert_ne!(without("x", &env("PEERS")), without("y", &env("PEERS")));
    assert_ne!(without("x", &env("IMAGE")), without("x", &[]));

    // What is remembered is said of the same sidecars only, and of nobody who masks, leaves out or renames something.
    let targets = Targets::default();
    let selection = SidecarSelection::default();
    for _ in 0..2 {
        for image in ["x", "y", "z"] {
            for (mask, ignore) in [(&none, &[][..]), (&mask, &[]), (&none, &env("IMAGE")), (&none, &env("PEERS"))] {
                for pod_name in [None, Some("db-6".into())] {
                    let rendering = [Rendering { pod_name, ..rendering(&named("db-6", image, "")) }];
                    let expected = target_fingerprint(&rendering, &selection, mask, ignore);
                    assert_eq!(targets.of(&rendering, &selection, mask, ignore), expected);
                }
            }
        }
    }

    let moved = |list: &str| {
        let rendered = in_list(list, Some(proxy("proxy:1", &[])));
        targets.of(&[rendering(&rendered)], &selection, &none, &[])
    };
    assert_ne!(moved("containers"), moved("initContainers"));
}

/// The elements of a list that names them, as an injector writes it into an environment variable.
fn peers(elements: &[(&str, &str)]) -> PodShape {
    let elements = elements.iter().map(|(name, port)| format!(r#"{{"name":"{name}","port":"{port}"}}"#));
    let value = format!("[{}]", elements.collect::<Vec<_>>().join(","));
    proxy_env(json!([{ "name": "PEERS", "value": value }]))
}

fn ignoring(field: &str, running: &PodShape, rendered: &PodShape) -> (Comparison, Vec<String>) {
    let ignore = [IgnoreRule { sidecar: Glob::new("*"), what: Ignored::field(field).expect("no place") }];
    let (selection, mask, renderings) = (SidecarSelection::default(), Mask::default(), [rendering(rendered)]);
    let against =
        Against { renderings: &renderings, selection: &selection, mask: &mask, ignore: &ignore, namespaces: None };
    let (found, uses) = compare_against(running, PodIdentity { name: "web-x", node: None }, &[], &against);
    (found, uses.into_iter().map(|used| used.field).collect())
}

#[test]
fn a_rule_that_names_an_element_by_its_member_hides_no_other_once_one_is_added_before_it() {
    let running = peers(&[("b", "1"), ("c", "1")]);
    let rule = "env/PEERS/value/[name=c]/port";
    let (found, used) = ignoring(rule, &running, &peers(&[("b", "1"), ("c", "2")]));
    assert_eq!((found, used), (Comparison::default(), vec!["proxy/env/PEERS/value/#02f/#f8d".to_owned()]));
    // `a` comes before both, and `b` changes: neither is what the rule is about.
    let (found, used) = ignoring(rule, &running, &peers(&[("a", "9"), ("b", "2"), ("c", "2")]));
    let pointers: Vec<_> = found.differences[0].fields.iter().map(|f| f.pointer.as_str()).collect();
    assert_eq!(pointers, ["/env/PEERS/value/#113/#f8d", "/env/PEERS/value/#596/#82a", "/env/PEERS/value/#596/#f8d"]);
    assert_eq!(used.len(), 1);
}

#[test]
fn a_rule_for_any_element_covers_every_one_and_a_value_may_hold_separators() {
    let (running, rendered) = (peers(&[("/etc/a", "1"), ("/etc/b", "1")]), peers(&[("/etc/a", "2"), ("/etc/b", "2")]));
    for (rule, left) in [
        ("env/PEERS/value/[name *]/port", 0),
        ("env/PEERS/value/[name=*]/port", 0),
        ("env/PEERS/value/*/port", 0),
        ("env/PEERS/value/[name=/etc/a]", 1),
        ("env/PEERS/value/[name=~1etc~1b]/port", 1),
        ("env/PEERS/value/[name=/etc/c]/port", 2),
        ("env/PEERS/value/[port *]/port", 2),
    ] {
        let (found, _) = ignoring(rule, &running, &rendered);
        assert_eq!(found.differences.iter().map(|d| d.fields.len()).sum::<usize>(), left, "{rule}");
    }
    assert_eq!(Ignored::field("env/PEERS/value/[name 1]/port"), Err("[name 1]"));
}

#[test]
fn a_rule_by_member_leaves_it_out_of_the_target_too() {
    let target = |field: &str, rendered: &PodShape| {
        let ignore = [IgnoreRule { sidecar: Glob::new("*"), what: Ignored::field(field).expect("no place") }];
        target_fingerprint(&[rendering(rendered)], &SidecarSelection::default(), &Mask::default(), &ignore)
    };
    let (one, other) = (peers(&[("b", "1"), ("c", "1")]), peers(&[("b", "1"), ("c", "2")]));
    let (c, b) = ("env/PEERS/value/[name=c]/port", "env/PEERS/value/[name=b]/port");
    assert_eq!(target(c, &one), target(c, &other));
    assert_ne!(target(b, &one), target(b, &other));
}

/// Init containers in this order, beside an app, with every field compared or not.
fn in_order(fields: FieldSet, names: &[&str]) -> PodShape {
    let init: Vec<_> = names.iter().map(|name| json!({ "name": name, "image": format!("{name}:1") })).collect();
    let spec = json!({ "containers": [{ "name": "app", "image": "app:1" }], "initContainers": init });
    PodShape::with(&json!({ "spec": spec }), fields)
}

#[test]
fn c6_with_all_fields_the_order_of_init_containers_is_compared() {
    let all = |names: &[&str]| in_order(FieldSet::All, names);
    let found = against(&all(&["a", "b", "c"]), &all(&["a", "c", "b"]));
    assert_eq!(title(&found.differences), "b + c order");
    assert_eq!(changes(&found.differences[0].fields), [("/order", Some("after a"), Some("after a, c"))]);
    assert!(found.looks_reordered(), "an injector that draws the order anew is asked more often");
    assert_eq!(against(&all(&["a", "b"]), &all(&["a", "b"])), Comparison::default());
    // Where all fields are not compared, the order is not either.
    let default = |names: &[&str]| in_order(FieldSet::Default, names);
    assert_eq!(against(&default(&["a", "b"]), &default(&["b", "a"])), Comparison::default());
}

#[test]
fn one_that_came_or_went_moves_none_of_the_others() {
    let all = |names: &[&str]| in_order(FieldSet::All, names);
    assert_eq!(kinds(&against(&all(&["a", "c"]), &all(&["a", "b", "c"]))), [Difference::Missing]);
    assert_eq!(kinds(&against(&all(&["a", "b", "c"]), &all(&["a", "c"]))), [Difference::Removed]);
}

#[test]
fn r8_an_order_that_differs_between_renderings_is_masked() {
    let all = |names: &[&str]| in_order(FieldSet::All, names);
    let (one, other) = (rendering(&all(&["a", "b", "c"])), rendering(&all(&["b", "a", "c"])));
    let mask = volatile(&one, &other).expect("stable");
    assert_eq!(mask.shown(), ["a/order", "b/order"]);
    let by = |names: &[&str]| compare(&all(names), &one, &SidecarSelection::default(), &mask, None, &[]);
    assert_eq!(by(&["b", "a", "c"]), Comparison::default());
    assert_eq!(title(&by(&["c", "a", "b"]).differences), "c order");
    let default = |names: &[&str]| rendering(&in_order(FieldSet::Default, names));
    assert_eq!(volatile(&default(&["a", "b"]), &default(&["b", "a"])), Ok(Mask::default()));
}

#[test]
fn c6_with_all_fields_the_restart_policy_of_an_ordinary_container_is_compared() {
    let with = |fields, list: &str, policy: Option<&str>| {
        let mut proxy = json!({ "name": "proxy", "image": "proxy:1" });
        if let Some(policy) = policy {
            proxy["restartPolicy"] = json!(policy);
        }
        let mut spec = json!({ "containers": [{ "name": "app", "image": "app:1" }], "initContainers": [] });
        spec[list].as_array_mut().expect("a list").push(proxy);
        PodShape::with(&json!({ "spec": spec }), fields)
    };
    let title =
        |fields, list, from, to| title(&against(&with(fields, list, from), &with(fields, list, to)).differences);
    let (never, always) = (Some("Never"), Some("Always"));
    assert_eq!(title(FieldSet::All, "containers", None, never), "proxy restartPolicy");
    assert_eq!(title(FieldSet::All, "containers", always, never), "proxy restartPolicy");
    assert_eq!(title(FieldSet::All, "initContainers", never, Some("OnFailure")), "proxy restartPolicy");
    assert_eq!(title(FieldSet::Default, "containers", None, never), "");
    // A native sidecar is told by its placement alone, and its fingerprint is as it was.
    let native = with(FieldSet::All, "initContainers", always);
    assert_eq!(native.container("proxy").expect("it is there").projection.value(), json!({ "image": "proxy:1" }));
    assert_eq!(title(FieldSet::All, "initContainers", always, always), "");
}
