//! Rules R1-R3: golden bodies, field by field what the controllers send.

use serde_json::{Value, json};

use crate::core::render::dry_run_pod::*;

fn owner(kind: &str, name: &str) -> OwnerIdentity {
    OwnerIdentity { api_version: "apps/v1".into(), kind: kind.into(), name: name.into(), uid: "uid-1".into() }
}

fn template() -> Value {
    json!({
        "metadata": {
            "labels": { "app": "shop" },
            "annotations": { "inject": "yes", "sidecarRollout.rollout.reason": "ours, too" },
            "finalizers": ["example.com/wait"],
            "creationTimestamp": null,
            "name": "ignored by controllers",
        },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }], "subdomain": "own" },
    })
}

struct Set<'a> {
    owner: &'a OwnerIdentity,
    workload: &'a Value,
    template: &'a Value,
}

/// Without its template.
fn owned(body: Body<'_>) -> Body<'static> {
    Body { spec: body.spec.into_owned().into(), metadata: body.metadata, pod_name: body.pod_name, claims: body.claims }
}

impl Set<'_> {
    fn body(&self, ordinals: Option<(u32, u32)>, attempt: u32) -> Result<Body<'static>, BodyError> {
        let template = Template::of(self.template);
        let body = pod_body(&BodyRequest {
            kind: Kind::STATEFUL_SET,
            owner: self.owner,
            workload: Some(self.workload),
            template: &template,
            revision: "db-5d4f",
            ordinals,
            other_than: None,
            existing: false,
            node: None,
            attempt,
            block_owner_deletion: true,
            what_if: &WhatIf::default(),
        });
        body.map(owned)
    }
}

fn build(
    kind: Kind,
    owner: &OwnerIdentity,
    workload: Option<&Value>,
    template: &Value,
    block: bool,
) -> Result<Body<'static>, BodyError> {
    let template = Template::of(template);
    let body = pod_body(&BodyRequest {
        kind,
        owner,
        workload,
        template: &template,
        revision: "agent-7c9",
        ordinals: None,
        other_than: None,
        existing: false,
        node: None,
        attempt: 0,
        block_owner_deletion: block,
        what_if: &WhatIf::default(),
    });
    body.map(owned)
}

#[test]
fn r2_what_the_template_says_is_sent_as_it_stands_there() {
    let spec = r#"{"z": 1.50, "a": "\u00e9", "containers": [ {"name": "app"} ]}"#;
    let template = Template::of_texts(r#"{"labels": {"app": "shop"}}"#, spec.to_owned());
    let sent = |kind| {
        let owner = owner("ReplicaSet", "shop-abc");
        let what_if = WhatIf::default();
        let request = BodyRequest {
            kind,
            owner: &owner,
            workload: None,
            template: &template,
            revision: "agent-7c9",
            ordinals: None,
            other_than: None,
            existing: false,
            node: None,
            attempt: 0,
            block_owner_deletion: false,
            what_if: &what_if,
        };
        pod_body(&request).unwrap().text()
    };
    assert!(sent(Kind::DEPLOYMENT).ends_with(&format!(r#","spec":{spec}}}"#)), "{}", sent(Kind::DEPLOYMENT));
    let (text, body): (Value, _) = (serde_json::from_str(spec).unwrap(), sent(Kind::DAEMON_SET));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["spec"]["z"], &body["spec"]["a"]), (&text["z"], &text["a"]));
    assert_eq!(template, Template::of_texts(r#"{"labels":{"app":"shop"}}"#, spec.to_owned()));
    assert_eq!(template.json()["spec"], text);
    let unreadable = Template::of_texts("{}", r#"{"a": 1e999}"#.to_owned());
    assert_eq!(unreadable.json()["spec"], Value::Null);
    for nothing in ["", "null", "[]", "\"{}\""] {
        assert_eq!(Template::of_texts("{}", nothing.to_owned()).spec(), None);
    }
}

#[test]
fn r2_a_replica_sets_pod() {
    let template = json!({
        "metadata": { "labels": { "app": "shop", "pod-template-hash": "abc" }, "annotations": {}, "finalizers": null },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
    });
    let body = build(Kind::DEPLOYMENT, &owner("ReplicaSet", "shop-abc"), None, &template, true).unwrap();
    assert_eq!(body.pod_name, None);
    assert_eq!(
        body.json(),
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": "shop-abc-",
                "labels": { "app": "shop", "pod-template-hash": "abc" },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-abc", "uid": "uid-1",
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
        })
    );
}

#[test]
fn what_is_written_is_the_pod() {
    let template = template();
    for kind in [Kind::DEPLOYMENT, Kind::DAEMON_SET] {
        let body = build(kind, &owner("ReplicaSet", "shop-abc"), None, &template, true).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&body.text()).unwrap(), body.json());
        assert_eq!(body.json()["spec"]["containers"], template["spec"]["containers"]);
    }
}

#[test]
fn r2_the_templates_metadata_is_sent_as_it_is() {
    let template = template();
    let body = build(Kind::DEPLOYMENT, &owner("ReplicaSet", "shop-abc"), None, &template, false).unwrap();
    assert_eq!(
        body.json()["metadata"],
        json!({
            "generateName": "shop-abc-",
            "labels": { "app": "shop" },
            "annotations": { "inject": "yes", "sidecarRollout.rollout.reason": "ours, too" },
            "finalizers": ["example.com/wait"],
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-abc", "uid": "uid-1", "controller": true,
            }],
        }),
        "without the right to the owner's finalizers, blockOwnerDeletion is left out"
    );
}

#[test]
fn r1_a_daemon_sets_pod_tolerates_what_the_controller_says_and_names_no_node() {
    let workload = json!({ "metadata": { "annotations": { "deprecated.daemonset.template.generation": "3" } } });
    let mut template = template();
    template["spec"]["hostNetwork"] = json!(true);
    template["spec"]["tolerations"] = json!([
        { "key": "mine", "operator": "Exists" },
        { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 },
    ]);
    let body = build(Kind::DAEMON_SET, &owner("DaemonSet", "agent"), Some(&workload), &template, true).unwrap();
    assert_eq!(body.json()["metadata"]["generateName"], "agent-");
    assert_eq!(
        body.json()["metadata"]["labels"],
        json!({ "app": "shop", "controller-revision-hash": "7c9", "pod-template-generation": "3" })
    );
    let toleration = |key: &str, effect: &str| json!({ "key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect });
    assert_eq!(
        body.json()["spec"]["tolerations"],
        json!([
            { "key": "mine", "operator": "Exists" },
            toleration("not-ready", "NoExecute"),
            toleration("unreachable", "NoExecute"),
            toleration("disk-pressure", "NoSchedule"),
            toleration("memory-pressure", "NoSchedule"),
            toleration("pid-pressure", "NoSchedule"),
            toleration("unschedulable", "NoSchedule"),
            toleration("network-unavailable", "NoSchedule"),
        ])
    );
    assert_eq!(body.json()["spec"].get("nodeName"), None);
    assert_eq!(body.json()["spec"].get("affinity"), None);
    assert_eq!(body.pod_name, None);
}

#[test]
fn r1_a_daemon_sets_odd_generation_is_left_out() {
    let workload = json!({ "metadata": { "annotations": { "deprecated.daemonset.template.generation": "x" } } });
    let template = template();
    let body = build(Kind::DAEMON_SET, &owner("DaemonSet", "agent"), Some(&workload), &template, true).unwrap();
    assert_eq!(body.json()["metadata"]["labels"].get("pod-template-generation"), None);
    assert_eq!(body.json()["spec"]["tolerations"].as_array().map(Vec::len), Some(6));
}

#[test]
fn r3_a_stateful_sets_pod_has_a_free_name_and_existing_claims() {
    let owner = owner("StatefulSet", "db");
    let workload = json!({ "spec": {
        "serviceName": "db-headless",
        "replicas": 3,
        "volumeClaimTemplates": [{ "metadata": { "name": "data" } }, { "metadata": { "name": "wal" } }],
    }});
    let mut template = template();
    template["$patch"] = json!("replace");
    template["spec"]["volumes"] = json!([
        { "name": "tmp", "emptyDir": {} },
        { "name": "data", "emptyDir": {} },
    ]);
    let set = Set { owner: &owner, workload: &workload, template: &template };
    let body = set.body(Some((1, 2)), 0).unwrap();
    assert_eq!(body.pod_name.as_deref(), Some("db-3"));
    assert_eq!(
        body.json(),
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "db-3",
                "generateName": "db-",
                "labels": {
                    "app": "shop",
                    "statefulset.kubernetes.io/pod-name": "db-3",
                    "apps.kubernetes.io/pod-index": "3",
                    "controller-revision-hash": "db-5d4f",
                },
                "annotations": { "inject": "yes", "sidecarRollout.rollout.reason": "ours, too" },
                "finalizers": ["example.com/wait"],
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "uid-1",
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "containers": [{ "name": "app", "image": "app:1" }],
                "hostname": "db-3",
                "subdomain": "db-headless",
                "volumes": [
                    { "name": "data", "persistentVolumeClaim": { "claimName": "data-db-1" } },
                    { "name": "wal", "persistentVolumeClaim": { "claimName": "wal-db-1" } },
                    { "name": "tmp", "emptyDir": {} },
                ],
            },
        })
    );
}

#[test]
fn r3_the_ordinal_is_above_every_live_one_and_every_one_to_come() {
    let owner = owner("StatefulSet", "db");
    let template = template();
    let name = |spec: Value, ordinals, attempt| {
        let workload = json!({ "spec": spec });
        Set { owner: &owner, workload: &workload, template: &template }
            .body(ordinals, attempt)
            .unwrap()
            .pod_name
            .unwrap()
    };
    assert_eq!(name(json!({ "replicas": 3 }), Some((0, 5)), 0), "db-6", "Pods 0, 1 and 5");
    assert_eq!(name(json!({ "replicas": 3, "ordinals": { "start": 3 } }), Some((0, 5)), 0), "db-6");
    assert_eq!(name(json!({ "replicas": 9 }), Some((0, 2)), 0), "db-9", "3 to 8 may be created at any moment");
    assert_eq!(name(json!({ "replicas": 3 }), Some((0, 2)), 2), "db-5", "two names were taken");
    assert_eq!(name(json!({ "ordinals": { "start": 4 } }), None, 0), "db-5", "no Pod at all; one replica by default");
    assert_eq!(name(json!({ "replicas": u32::MAX }), None, 1), format!("db-{}", u32::MAX), "no overflow");
}

#[test]
fn r3_the_second_rendering_is_for_another_ordinal_with_other_claims() {
    let owner = owner("StatefulSet", "db");
    let workload = json!({ "spec": { "replicas": 3, "volumeClaimTemplates": [{ "metadata": { "name": "data" } }] } });
    let template = Template::of(&template());
    let body = |other_than, existing, attempt| {
        let what_if = WhatIf::default();
        let body = pod_body(&BodyRequest {
            kind: Kind::STATEFUL_SET,
            owner: &owner,
            workload: Some(&workload),
            template: &template,
            revision: "db-5d4f",
            ordinals: Some((0, 2)),
            other_than,
            existing,
            node: None,
            attempt,
            block_owner_deletion: true,
            what_if: &what_if,
        });
        let body = body.map(owned).unwrap();
        let claim = body.json()["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"].clone();
        assert_eq!(claim, format!("data-db-{}", body.claims.unwrap()));
        assert_eq!(body.json()["spec"]["hostname"], body.pod_name.clone().unwrap());
        (body.pod_name.unwrap(), body.claims.unwrap())
    };
    let of = |name: &str, claims| (name.to_owned(), claims);
    assert_eq!(body(None, false, 0), of("db-3", 0));
    // Whichever attempt the first one was, and whichever the second one is, they are two.
    assert_eq!(body(Some(3), false, 0), of("db-8", 2));
    assert_eq!(body(Some(7), false, 4), of("db-12", 2));
    assert_eq!(body(Some(8), false, 0), of("db-3", 0));
    assert_eq!(body(Some(12), false, 4), of("db-7", 0));
    assert_eq!(body(Some(1), false, 0), of("db-3", 0), "it was scaled up");
    assert_eq!(body(Some(3), true, 0), of("db-0", 0), "whether admission has something against those that exist");
}

#[test]
fn r3_a_daemon_sets_pod_is_for_a_node() {
    let plain = template();
    let mut template = plain.clone();
    let preferred = json!([{ "weight": 1, "preference": {} }]);
    template["spec"]["affinity"] = json!({
        "podAffinity": {},
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchExpressions": [] }] },
        },
    });
    let affinity = |template: &Value, node| {
        let (owner, template, what_if) = (owner("DaemonSet", "agent"), Template::of(template), WhatIf::default());
        let body = pod_body(&BodyRequest {
            kind: Kind::DAEMON_SET,
            owner: &owner,
            workload: None,
            template: &template,
            revision: "agent-7c9",
            ordinals: None,
            other_than: None,
            existing: false,
            node,
            attempt: 0,
            block_owner_deletion: true,
            what_if: &what_if,
        });
        body.map(owned).unwrap().json()["spec"]["affinity"].clone()
    };
    // As `ReplaceDaemonSetPodNodeNameNodeAffinity` of Kubernetes has it.
    let field = json!({ "key": "metadata.name", "operator": "In", "values": ["node-1"] });
    let required = json!({ "nodeSelectorTerms": [{ "matchFields": [field] }] });
    assert_eq!(
        affinity(&template, Some("node-1")),
        json!({
            "podAffinity": {},
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": preferred,
                "requiredDuringSchedulingIgnoredDuringExecution": required,
            },
        })
    );
    let only = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } });
    assert_eq!(affinity(&plain, Some("node-1")), only);
    assert_eq!(affinity(&plain, None), Value::Null);
}

#[test]
fn r3_a_set_without_a_service_has_no_subdomain() {
    let owner = owner("StatefulSet", "db");
    let (workload, template) = (json!({ "spec": { "serviceName": "" } }), template());
    let body = Set { owner: &owner, workload: &workload, template: &template }.body(None, 0).unwrap();
    assert_eq!(body.json()["spec"].get("subdomain"), None);
    assert_eq!(body.json()["spec"].get("volumes"), None);
}

#[test]
fn r3_a_name_that_only_the_rendering_would_find_too_long_is_no_refusal() {
    let (workload, template) = (json!({ "spec": { "replicas": 10 } }), template());
    let body = |name: &str| {
        let owner = owner("StatefulSet", name);
        Set { owner: &owner, workload: &workload, template: &template }.body(Some((0, 9)), 0).map(|b| b.pod_name)
    };
    let longest = "x".repeat(61);
    assert_eq!(body(&longest), Err(BodyError::NoFreeName { name: longest.clone() }), "x…-9 fits, x…-10 does not");
    assert!(body(&"x".repeat(60)).is_ok());
    assert!(body(&"x".repeat(62)).is_ok(), "no Pod of this set can be created: let the server say so");
}

#[test]
fn r2_what_cannot_be_built_says_why() {
    let owner = owner("StatefulSet", "db");
    let template = template();
    let error = |kind, template: &Value| build(kind, &owner, None, template, true).unwrap_err();
    assert_eq!(error(Kind::STATEFUL_SET, &template), BodyError::NoWorkload { name: "db".into() });
    let broken = json!({ "metadata": { "labels": { "a": "b" } } });
    assert_eq!(error(Kind::DEPLOYMENT, &broken).to_string(), "the Pod template of StatefulSet db has no spec");
    let bare = json!({ "spec": { "containers": [] } });
    assert_eq!(error(Kind::DEPLOYMENT, &bare).to_string(), "the Pod template of StatefulSet db has no labels");
}

#[test]
fn r2_a_very_long_owner_name_is_generated_from_without_a_dash() {
    assert_eq!(generate_name("shop"), "shop-");
    assert_eq!(generate_name(&"x".repeat(252)).len(), 253);
    assert_eq!(generate_name(&"x".repeat(253)).len(), 253);
}
