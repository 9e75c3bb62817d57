use serde_json::{Value, json};

use super::{Path, Template};

/// As in the Kubernetes documentation of JSONPath, and a little more.
fn document() -> Value {
    json!({
        "kind": "List",
        "items": [
            { "kind": "None", "metadata": { "name": "127.0.0.1", "labels": { "kubernetes.io/hostname": "here" } },
              "status": { "capacity": { "cpu": "4" }, "addresses": [{ "type": "LegacyHostIP", "address": "127.0.0.1" }] } },
            { "kind": "None", "metadata": { "name": "127.0.0.2" },
              "status": { "capacity": { "cpu": "8" }, "addresses": [
                  { "type": "LegacyHostIP", "address": "127.0.0.2" }, { "type": "another", "address": "127.0.0.3" }] } },
        ],
        "users": [
            { "name": "myself", "user": {}, "age": 3 },
            { "name": "e2e", "user": { "username": "admin", "password": "secret" }, "age": 30 },
        ],
        "nothing": null, "ready": true,
    })
}

fn made(template: &str) -> String {
    let template: Template = template.parse().unwrap_or_else(|error| panic!("{template}: {error}"));
    template.text(&document()).unwrap_or_else(|error| format!("error: {error}"))
}

#[test]
fn a_template_makes_what_kubectl_makes_of_it() {
    for (template, wanted) in [
        ("kind is {.kind}", "kind is List"),
        ("{.kind}", "List"),
        ("{['kind']}", "List"),
        ("{$.kind}{@.ready}", "Listtrue"),
        (".kind", ".kind"),
        ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{.items[*]['metadata.name', 'status.capacity']}", "127.0.0.1 127.0.0.2 {\"cpu\":\"4\"} {\"cpu\":\"8\"}"),
        ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
        ("{.users[?(@.name==\"e2e\")].user.password}", "secret"),
        ("{.users[?(@.age>=10)].name}", "e2e"),
        ("{.users[?(@.user.username)].name}", "e2e"),
        ("{.users[?(@.name!='e2e')].name}", "myself"),
        ("{range .items[*]}[{.metadata.name}, {.status.capacity.cpu}] {end}", "[127.0.0.1, 4] [127.0.0.2, 8] "),
        (
            "{range .items[*]}{.metadata.name}{'\\t'}{range .status.addresses[*]}{.type}{\",\"}{end}{\"\\n\"}{end}",
            "127.0.0.1\tLegacyHostIP,\n127.0.0.2\tLegacyHostIP,another,\n",
        ),
        ("{.items[0].metadata.labels.kubernetes\\.io/hostname}", "here"),
        ("{.items[0].metadata.labels['kubernetes\\.io/hostname']}", "here"),
        ("{.items[-1].metadata.name}", "127.0.0.2"),
        (
            "{.items[0:1].metadata.name}|{.items[:2].metadata.name}|{.items[::2].metadata.name}|{.items[-1:].metadata.name}",
            "127.0.0.1|127.0.0.1 127.0.0.2|127.0.0.1|127.0.0.2",
        ),
        ("{.items[0,1].kind}", "None None"),
        ("{.nowhere}|{.nowhere.below[3].x}|{.nothing.x}|{.nothing[0]}|{range .nowhere[*]}x{end}", "||||"),
        ("{.nothing}{.users[0].user}{.users[1].age}", "null{}30"),
        ("{.items[5].kind}", "error: there is no element 5, but 2 elements"),
        ("{.kind[0]}", "error: \"List\" is no list, and has no elements"),
        ("{.users[?(@.age>\"x\")].name}", "error: 3 and \"x\" cannot be compared"),
        ("", ""),
    ] {
        assert_eq!(made(template), wanted, "{template}");
    }
}

#[test]
fn what_is_no_template_is_told() {
    for (template, wanted) in [
        ("{.kind", "a `{` is not closed"),
        ("{kind}", "`kind` means nothing here; a path begins with a dot: `.kind`"),
        ("{range .items[*]}{.kind}", "`{range}` has no `{end}`"),
        ("{.kind}{end}", "`{end}` ends nothing: there is no `{range}` before it"),
        ("{.items[}", "a `[` is not closed"),
        ("{.items[]}", "nothing stands between `[` and `]`"),
        ("{.items[name]}", "`name` is no index; a key is written `['name']`"),
        ("{.items[1:2:3:4]}", "`1:2:3:4` is no slice; it has the form `first:last:step`"),
        ("{.items[?(@.kind=~\"x\")]}", "`=` compares nothing; ==, !=, <, <=, > and >= do"),
        ("{.items[?(@.kind=\"x\")]}", "`=` compares nothing; ==, !=, <, <=, > and >= do"),
        ("{.items[?(@.kind==\"x\"]}", "a filter is not closed by `)]`"),
        ("{\"open}", "a quoted text is not closed"),
        ("{....x}", "`..` after `..` leads nowhere else"),
        ("{.items[0].kind | .x}", "`|` means nothing here"),
    ] {
        let error = template.parse::<Template>().map(drop);
        assert_eq!(error, Err(wanted.to_owned()), "{template}");
    }
    assert!("{range .a}".repeat(100).parse::<Template>().is_err());
}

#[test]
fn a_path_may_be_written_without_braces_and_dot() {
    let user = document()["users"][1].clone();
    for path in [".name", "{.name}", "name", "{name}", "$.name"] {
        assert_eq!(path.parse::<Path>().unwrap().values(&user), Ok(vec![json!("e2e")]), "{path}");
    }
    assert_eq!(".user.nobody".parse::<Path>().unwrap().values(&user), Ok(vec![]));
    for path in ["", "{}", "{.a}{.b}", ".a}", "{.a"] {
        assert!(path.parse::<Path>().is_err(), "{path}");
    }
}

#[test]
fn a_deep_document_and_a_long_template_end() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({ "a": [deep] });
    }
    assert_eq!("{..a[0]}".parse::<Template>().unwrap().text(&deep).unwrap().matches("\"a\"").count(), 100 * 99 / 2);
    assert!("[".repeat(10_000).parse::<Path>().is_err());
}
