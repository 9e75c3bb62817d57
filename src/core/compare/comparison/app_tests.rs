//! Rule C14: what becomes of the template's own containers.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::core::{compare::*, model::shape::PodShape};

fn changes(fields: &[FieldChange]) -> Vec<(&str, Option<&str>, Option<&str>)> {
    fields.iter().map(|f| (f.pointer.as_str(), f.running.as_deref(), f.rendered.as_deref())).collect()
}

#[test]
fn c14_what_becomes_of_init_containers_of_the_template_is_collateral() {
    let of = |init: Value| {
        let app = json!({ "name": "app", "image": "app:1" });
        PodShape::from_pod(&json!({ "spec": { "initContainers": init, "containers": [app] } }))
    };
    let (migrate, seed) = (json!({ "name": "migrate", "image": "m:1" }), json!({ "name": "seed", "image": "s:1" }));
    let proxy = json!({ "name": "proxy", "image": "proxy:1", "restartPolicy": "Always" });
    let mut native = migrate.clone();
    native["restartPolicy"] = json!("Always");
    let template = Arc::new(of(json!([migrate, seed])));
    let found = |running: Value, rendered: Value| {
        let rendered =
            Rendering { template: Arc::clone(&template), rendered: Arc::new(of(rendered)), ..Rendering::default() };
        compare(&of(running), &rendered, &SidecarSelection::default(), &Mask::default(), None, &[])
    };
    let as_sidecar = found(json!([migrate, seed, proxy]), json!([native, seed, proxy]));
    assert_eq!(as_sidecar.differences, []);
    assert_eq!(changes(&as_sidecar.collateral), [("/migrate/placement", Some("init"), Some("native"))]);
    let exchanged = found(json!([migrate, seed, proxy]), json!([seed, migrate, proxy]));
    assert_eq!(exchanged.differences, []);
    assert_eq!(
        changes(&exchanged.collateral),
        [("/migrate/order", Some("first"), Some("after seed")), ("/seed/order", Some("after migrate"), Some("first"))]
    );
    let earlier = found(json!([migrate, seed, proxy]), json!([proxy, migrate, seed]));
    assert_eq!(earlier.differences, []);
    assert_eq!(
        changes(&earlier.collateral),
        [
            ("/migrate/order", Some("first"), Some("after proxy")),
            ("/seed/order", Some("after migrate"), Some("after proxy, migrate"))
        ]
    );
    assert_eq!(found(json!([proxy, migrate, seed]), json!([proxy, migrate, seed])), Comparison::default());
    assert_eq!(found(json!([migrate, seed]), json!([proxy, migrate, seed])).collateral, [], "who came moves nobody");
}

#[test]
fn c14_what_a_restart_would_take_from_an_app_container_is_a_loss() {
    let probe = json!({ "httpGet": { "path": "/healthz", "port": 80 } });
    let with = |more: Value| {
        let mut app = json!({ "name": "app", "image": "app:1" });
        app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        PodShape::from_pod(&json!({ "spec": { "containers": [app] } }))
    };
    let all = json!({
        "livenessProbe": probe,
        "lifecycle": { "preStop": { "sleep": { "seconds": 5 } } },
        "ports": [{ "containerPort": 80 }],
        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
    });
    let rendered = Arc::new(with(json!({})));
    let rendering = Rendering { template: Arc::new(with(all.clone())), rendered, ..Rendering::default() };
    let found = compare(&with(all), &rendering, &SidecarSelection::default(), &Mask::default(), None, &[]);
    let pointers: Vec<_> = found.collateral.iter().map(|f| f.pointer.as_str()).collect();
    assert_eq!(pointers.len(), 5, "{pointers:?}");
    let split = split(&found.differences, &found.collateral);
    assert!(!split.beside && split.losses.len() == 4, "{split:?}");
}
