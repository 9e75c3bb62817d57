//! Objects of which a part cannot be decoded.

use serde_json::{Value, json};

use super::{
    super::{Decoded, convert_rest, trigger_rest},
    kept, map,
};
use crate::core::{
    io::WatchKind,
    model::{ConfigKind, InjectorEntry, InjectorKind, Object, Selector},
};

/// What remains of an object whose members outside `metadata` could not be decoded.
fn rest(kind: WatchKind, metadata: &Value) -> Object {
    let rest = Decoded { object: json!({ "metadata": metadata }), lost: vec!["/spec".to_owned()] };
    convert_rest(kind, rest, &kept()).object.expect("an object")
}

#[test]
fn what_cannot_be_decoded_holds_and_moves_with_each_version() {
    let meta = |version: &str| json!({ "name": "mesh", "namespace": "ops", "resourceVersion": version });
    for kind in InjectorKind::ALL {
        let injector = |version: &str| match rest(WatchKind::Injectors(kind), &meta(version)) {
            Object::Injector(injector) => injector,
            other => panic!("{other:?}"),
        };
        let one = injector("1");
        assert_eq!(one.entries, [InjectorEntry::unknown()]);
        assert!(one.entries[0].ignores_failure && one.entries[0].namespaces.matches(&map(&[("any", "one")])));
        assert_eq!(one.hash, injector("1").hash);
        assert_ne!(one.hash, injector("2").hash);
    }
    for kind in ConfigKind::ALL {
        let hash = |version: &str| match rest(WatchKind::Configs(kind), &meta(version)) {
            Object::Config(config) => config.hash,
            other => panic!("{other:?}"),
        };
        assert!(hash("1") == hash("1") && hash("1") != hash("2"), "{kind:?}");
    }
    let hash = |version: &str| {
        let rest = Decoded { object: json!({ "metadata": meta(version) }), lost: vec!["/data".to_owned()] };
        trigger_rest(&rest).expect("a trigger").hash
    };
    assert!(hash("1") == hash("1") && hash("1") != hash("2"));
    let Object::DisruptionBudget(budget) = rest(WatchKind::DisruptionBudgets, &meta("1")) else { panic!("no budget") };
    assert_eq!((budget.selector, budget.allowed), (Some(Selector::default()), 0));
}

#[test]
fn a_namespace_that_cannot_be_decoded_may_have_opted_out() {
    let mode =
        |annotations: Value| match rest(WatchKind::Namespaces, &json!({ "name": "a", "annotations": annotations })) {
            Object::Namespace(namespace) => namespace.says["mode"].to_string(),
            other => panic!("{other:?}"),
        };
    assert_eq!(mode(Value::Null), "report");
    assert_eq!(mode(json!({ "sidecar-drift/mode": "enforce" })), "report");
    assert_eq!(mode(json!({ "sidecar-drift/mode": "ignore" })), "ignore");
}
