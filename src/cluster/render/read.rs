//! What is read of the objects that a rendering takes: of fourteen kilobytes a half is who wrote which field, and of the rest
//! of an answer another half says nothing that is compared.

use serde_json::Value;

use crate::{
    cluster::{
        client::Answer,
        convert::{Needed, SHAPE},
    },
    core::{model::shape::FieldSet, render::dry_run_pod::Template},
};
use Needed::{All, Each, Members, Text};

/// A ReplicaSet or a ControllerRevision: which one, whose it is, and the whole template, of which each member is text.
pub(super) const REVISION: Needed = Members(&[
    ("metadata", Members(&[("name", All), ("uid", All), ("ownerReferences", All)])),
    ("spec", TEMPLATE),
    ("data", Members(&[("spec", TEMPLATE)])),
]);

/// A list of them.
pub(super) const REVISIONS: Needed = Members(&[("items", Each(&REVISION))]);

const TEMPLATE: Needed = Members(&[("template", Members(&[("metadata", Text(&All)), ("spec", Text(&All))]))]);

/// The template of a [`REVISION`], wherever it stands.
pub(super) fn template(revision: &Value) -> Template {
    let holder = revision.pointer("/data/spec").or_else(|| revision.get("spec")).unwrap_or(&Value::Null);
    let text = |member| holder["template"][member].as_str().unwrap_or_default();
    Template::of_texts(text("metadata"), text("spec").to_owned())
}

/// A rendered Pod, where the default fields are compared; and what else such an answer may say.
const RENDERED: Needed = Members(&[
    ("kind", All),
    ("reason", All),
    ("message", All),
    ("details", All),
    ("metadata", Members(&[("labels", All)])),
    ("spec", SHAPE),
]);

/// What is judged of the answer to a dry run.
pub(super) fn compared_part(answer: &Answer, fields: FieldSet) -> Value {
    match (answer.status.as_u16(), fields) {
        (201, FieldSet::Default) => answer.said_of(RENDERED),
        _ => answer.said(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        cluster::convert,
        core::{io::api_response::classify_render, model::shape::PodShape},
    };

    fn answer(body: String) -> Answer {
        Answer { status: http::StatusCode::CREATED, retry_after: None, body: body.into(), what: String::new() }
    }

    /// A Pod with one of everything that is looked at.
    fn pod() -> Value {
        let container = json!({
            "name": "proxy", "image": "proxy:1", "command": ["run"], "args": ["/var/kube-api-access-abcde"],
            "env": [{ "name": "A", "value": "1" }, { "name": "B", "valueFrom": { "fieldRef": { "fieldPath": "x" } } }],
            "envFrom": [{ "configMapRef": { "name": "more" } }], "restartPolicy": "Always",
            "securityContext": { "runAsUser": 1 }, "resources": { "limits": { "cpu": "1" } }, "ports": [{ "name": "x" }],
        });
        let token = json!({ "sources": [{ "serviceAccountToken": { "path": "token" } }] });
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "p", "labels": { "app": "shop" }, "managedFields": [{ "manager": "m" }] },
            "spec": {
                "volumes": [{ "name": "kube-api-access-abcde", "projected": token }, { "name": "data", "emptyDir": {} }],
                "initContainers": [container], "containers": [container, { "name": "app" }], "nodeName": "",
            },
            "status": { "phase": "Pending" },
        })
    }

    /// The same with each place in turn of another type, or gone.
    fn spoiled(pod: &Value) -> Vec<Value> {
        fn places(value: &Value, place: &str, found: &mut Vec<String>) {
            let members: Vec<_> = match value {
                Value::Object(members) => members.iter().map(|(key, v)| (key.clone(), v)).collect(),
                Value::Array(items) => items.iter().enumerate().map(|(n, v)| (n.to_string(), v)).collect(),
                _ => Vec::new(),
            };
            for (key, value) in members {
                let place = format!("{place}/{key}");
                places(value, &place, found);
                found.push(place);
            }
        }
        let mut found = Vec::new();
        places(pod, "", &mut found);
        let wrong = [json!(7), json!("text"), json!([1]), json!([]), json!({ "x": 1 }), json!({}), Value::Null];
        let spoil = |place: &String| {
            wrong.clone().map(|wrong| {
                let mut spoiled = pod.clone();
                *spoiled.pointer_mut(place).unwrap() = wrong;
                spoiled
            })
        };
        found.iter().flat_map(spoil).collect()
    }

    #[test]
    fn nothing_that_is_judged_of_an_answer_is_left_out() {
        let template = Arc::new(PodShape::default());
        let refusal = json!({ "kind": "Status", "message": "admission webhook \"x\" denied the request: no", "code": 201,
            "reason": "r", "details": { "retryAfterSeconds": 3, "causes": [{ "reason": "c" }] } });
        let mut bodies = vec![pod(), refusal, json!("text"), json!([]), Value::Null];
        bodies.extend(spoiled(&pod()));
        assert!(bodies.len() > 300);
        for body in bodies {
            let answer = answer(body.to_string());
            for fields in [FieldSet::Default, FieldSet::Resources, FieldSet::All] {
                let part = compared_part(&answer, fields);
                let read_in_part = |pod: &Value| convert::shape(pod, fields);
                let read_whole = |pod: &Value| PodShape::with(pod, fields);
                let verdict = classify_render(&answer.as_core(&part), &template, None, read_in_part);
                assert_eq!(verdict, classify_render(&answer.as_core(&body), &template, None, read_whole), "{body}");
                assert_eq!(part.pointer("/metadata/labels"), body.pointer("/metadata/labels"), "{body}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_followed_by_something_is_no_object() {
        let text = pod().to_string();
        for wrong in [&text[..text.len() - 1], &format!("{text}x"), "", "no JSON"] {
            let answer = answer(wrong.to_owned());
            assert_eq!(compared_part(&answer, FieldSet::Default), Value::Null);
            assert!(answer.part(REVISION).is_err());
        }
    }

    #[test]
    fn of_a_revision_its_owner_and_its_template_are_read() {
        let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "any": [1, { "x": null }] } });
        let meta = json!({ "name": "n", "uid": "u", "ownerReferences": [{ "uid": "o", "controller": true }] });
        for whole in [
            json!({ "metadata": meta, "spec": { "template": template } }),
            json!({ "metadata": meta, "data": { "spec": { "template": template } } }),
        ] {
            let mut more = whole.clone();
            more["metadata"]["managedFields"] = json!([{ "manager": "m" }]);
            more["status"] = json!({ "replicas": 1 });
            let alone = answer(more.to_string()).part(REVISION).unwrap();
            let list = answer(json!({ "items": [more] }).to_string()).part(REVISIONS).unwrap();
            assert_eq!(list["items"], json!([alone]));
            assert_eq!(alone["metadata"], meta);
            assert_eq!(super::template(&alone), Template::of(&template));
        }
    }

    #[test]
    fn of_a_template_with_something_else_in_its_place_nothing_is_made() {
        for template in [json!(null), json!("x"), json!([]), json!({}), json!({ "metadata": 1, "spec": "{}" })] {
            let revision = answer(json!({ "spec": { "template": template } }).to_string()).part(REVISION).unwrap();
            assert_eq!(super::template(&revision).spec(), None, "{template}");
        }
        assert_eq!(super::template(&json!("no JSON")), Template::default());
    }
}
