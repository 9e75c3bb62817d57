//! The ConfigMap that outlives the process.

use std::time::Duration;

use serde_json::{Value, json};
use sidecar_drift::{
    cluster::state::{Begins, StateStore, Unread},
    core::io::{Input, StateRecord, Stop},
};
use tokio::{sync::mpsc, task::JoinSet};

use super::api::{Api, pair};

const CONFIG_MAP: &str = "/api/v1/namespaces/ops/configmaps/sidecar-drift-state";

fn store() -> (StateStore, Api) {
    let (cluster, api) = pair();
    (StateStore::new(cluster, "ops"), api)
}

fn paused(version: &str) -> StateRecord {
    StateRecord {
        resource_version: Some(version.into()),
        paused: Some(Stop { reason: "maintenance".to_owned(), at: "2026-05-01T10:00:00Z".parse().expect("a time") }),
        ..StateRecord::default()
    }
}

fn config_map(version: &str, state: Option<&str>) -> Value {
    let mut object = json!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": { "name": "sidecar-drift-state", "namespace": "ops", "resourceVersion": version },
    });
    if let Some(state) = state {
        object["data"] = json!({ "state.json": state });
    }
    object
}

fn stored(state: &StateRecord) -> String {
    // The version is the object's own.
    serde_json::to_string(&StateRecord { resource_version: None, ..state.clone() }).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn a_write_holds_only_for_the_version_that_was_read() {
    let (store, mut api) = store();
    let state = paused("7");
    let server = async {
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &config_map("7", None));
        let exchange = api.expect(&format!("PATCH {CONFIG_MAP}?fieldManager=sidecar-drift")).await;
        assert_eq!(exchange.headers["content-type"], "application/merge-patch+json");
        assert_eq!(exchange.body["metadata"]["resourceVersion"], "7");
        let written = exchange.body["data"]["state.json"].as_str().expect("a text").to_owned();
        exchange.reply(200, &config_map("8", Some(&written)));
    };
    assert_eq!(tokio::join!(store.write(&state), server).0, Some(paused("8")));
}

/// What our own write made of it is not read again (B10); that somebody wrote since is told by the version.
#[tokio::test(start_paused = true)]
async fn a_write_after_one_of_ours_reads_nothing() {
    let (store, mut api) = store();
    let patch = format!("PATCH {CONFIG_MAP}?fieldManager=sidecar-drift");
    let server = async {
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &config_map("7", None));
        for (read, written) in [("7", "8"), ("8", "9")] {
            let exchange = api.expect(&patch).await;
            assert_eq!(exchange.body["metadata"]["resourceVersion"], read);
            let text = exchange.body["data"]["state.json"].as_str().expect("a text").to_owned();
            exchange.reply(200, &config_map(written, Some(&text)));
        }
        // Somebody was faster: the write is refused, and what they wrote is heard.
        api.expect(&patch).await.fail(409, "Conflict", "the object has been modified");
        let theirs = config_map("11", Some(&stored(&paused(""))));
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &theirs);
        // And what the core knows only by the watch is read before it is written over.
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &config_map("12", None));
        api.expect(&patch).await.reply(200, &config_map("13", None));
    };
    let client = async {
        for (state, version) in [("7", "8"), ("8", "9"), ("9", "11"), ("12", "13")] {
            let answer = store.write(&paused(state)).await.expect("a record");
            assert_eq!(answer.resource_version.as_deref(), Some(version));
        }
    };
    tokio::join!(client, server);
}

#[tokio::test(start_paused = true)]
async fn who_loses_gets_what_the_winner_wrote() {
    let winner = config_map("9", Some(&stored(&paused(""))));
    let loser = StateRecord { resource_version: Some("7".into()), ..StateRecord::default() };
    let (store, mut api) = store();
    let server = async {
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &winner);
        api.expect_silence().await;
    };
    assert_eq!(tokio::join!(store.write(&loser), server).0, Some(paused("9")), "faster than we read");

    let server = async {
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &config_map("7", None));
        api.next().await.fail(409, "Conflict", "the object has been modified");
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &winner);
    };
    assert_eq!(tokio::join!(store.write(&loser), server).0, Some(paused("9")), "faster than we write");
}

/// What a request writes, without a version.
fn written(body: &Value) -> StateRecord {
    let text = body["data"]["state.json"].as_str().expect("a text");
    StateRecord { resource_version: Some("".into()), ..serde_json::from_str(text).expect("a record") }
}

/// Words of a later version, at every level.
fn newer() -> Value {
    let workload = json!({ "namespace": "shop", "kind": "Deployment", "name": "web" });
    json!({
        "paused": { "reason": "maintenance", "at": "2026-05-01T10:00:00Z", "by": "alice" },
        "recent": ["converged", "failed"],
        "canaries": { "scope": {
            "workloads": [workload], "started": "2026-05-01T10:00:00Z", "converged": null, "share": 3,
        } },
        "retries": { "u1": { "workload": workload, "at": "2026-05-01T10:00:00Z", "by": "alice" } },
        "namespaces": { "evil": { "paused": true } },
        "scopes": ["a"],
    })
}

#[tokio::test(start_paused = true)]
async fn what_a_later_version_wrote_survives_every_write() {
    let found = config_map("7", Some(&newer().to_string()));
    let expect = async |api: &mut Api, expected: &Value| {
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &found);
        let exchange = api.next().await;
        let text = exchange.body["data"]["state.json"].as_str().expect("a text");
        let written: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(&written, expected);
        exchange.reply(200, &config_map("8", None));
    };

    let (store, mut api) = store();
    let unchanged = newer();
    let read = async { api.next().await.reply(200, &found) };
    let mut record = tokio::join!(store.read(), read).0.expect("an answer").expect("a record");
    tokio::join!(store.write(&record), expect(&mut api, &unchanged)).0.expect("a record");

    let mut expected = newer();
    expected["breaker"] = json!({ "reason": "three in a row", "at": "2026-05-01T10:00:00Z" });
    expected["canaries"]["scope"]["converged"] = json!("2026-05-01T10:00:00Z");
    expected.as_object_mut().expect("an object").remove("retries");
    let at = paused("").paused.expect("paused").at;
    record.breaker = Some(Stop { reason: "three in a row".to_owned(), at });
    record.canaries.get_mut("scope").expect("a canary").converged = Some(at);
    record.retries.clear();
    tokio::join!(store.write(&record), expect(&mut api, &expected)).0.expect("a record");

    let mut expected = newer();
    expected["paused"]["reason"] = json!("more of it");
    let pause = |state: &mut StateRecord| state.paused.as_mut().expect("paused").reason = "more of it".to_owned();
    tokio::join!(store.edit(Begins::Nothing, pause), expect(&mut api, &expected)).0.expect("written");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_never_read_replaces_nothing() {
    let (store, mut api) = store();
    let server = async {
        api.expect(&format!("GET {CONFIG_MAP}")).await.fail(404, "NotFound", "not found");
        api.expect_silence().await;
    };
    let unread = StateRecord::default();
    assert_eq!(tokio::join!(store.write(&unread), server).0, None);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_read_again() {
    let (store, mut api) = store();
    let server = async {
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &config_map("7", None));
        api.next().await.break_off();
        api.expect(&format!("GET {CONFIG_MAP}")).await.break_off();
    };
    let state = paused("7");
    assert_eq!(tokio::join!(store.write(&state), server).0, None);
}

/// What no word but `resume` may take the place of: not JSON, no object, of a later version.
const UNREADABLE: [&str; 8] = [
    "not JSON",
    "",
    "[]",
    "null",
    r#"{"paused":true}"#,
    r#"{"recent":["sealed"]}"#,
    r#"{"paused":{"reason":"x","at":"2026-05-01T10:00:00Z"}"#,
    r#"{"breaker":{"why":"x"}}"#,
];

#[tokio::test(start_paused = true)]
async fn no_word_but_resume_takes_the_place_of_what_cannot_be_read() {
    for text in UNREADABLE {
        let found = config_map("7", Some(text));
        for begins in [Begins::Nothing, Begins::Missing] {
            let (store, mut api) = store();
            let server = async {
                api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &found);
                api.expect_silence().await;
            };
            let error = tokio::join!(store.edit(begins, |_| ()), server).0.expect_err(text).to_string();
            assert!(error.contains("sidecar-drift-state in namespace ops cannot be read"), "{text}: {error}");
            assert!(error.contains("begin anew by `sidecar-drift resume`"), "{text}: {error}");
        }
        let (store, mut api) = store();
        let server = async {
            api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &found);
            let exchange = api.expect(&format!("PATCH {CONFIG_MAP}?fieldManager=sidecar-drift")).await;
            assert_eq!(exchange.body["metadata"]["resourceVersion"], "7");
            assert_eq!(written(&exchange.body), paused(""));
            exchange.reply(200, &config_map("8", None));
        };
        let edit = |state: &mut StateRecord| state.paused = paused("").paused;
        let unread = tokio::join!(store.edit(Begins::Anything, edit), server).0.expect("written");
        assert!(unread.is_some(), "{text}: begun anew without a word");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_begun_by_what_stops_and_by_resume_alone() {
    let (store, mut api) = store();
    let server = async {
        api.expect(&format!("GET {CONFIG_MAP}")).await.fail(404, "NotFound", "not found");
        api.expect_silence().await;
    };
    let error = tokio::join!(store.edit(Begins::Nothing, |_| ()), server).0.expect_err("missing").to_string();
    assert!(error.contains("(it is missing)"), "{error}");
    for begins in [Begins::Missing, Begins::Anything] {
        let server = async {
            api.expect(&format!("GET {CONFIG_MAP}")).await.fail(404, "NotFound", "not found");
            let exchange = api.expect("POST /api/v1/namespaces/ops/configmaps?fieldManager=sidecar-drift").await;
            assert_eq!(exchange.body["metadata"]["name"], "sidecar-drift-state");
            assert_eq!(
                written(&exchange.body),
                StateRecord { resource_version: Some("".into()), ..StateRecord::default() }
            );
            exchange.reply(201, &config_map("1", None));
        };
        let unread = tokio::join!(store.edit(begins, |_| ()), server).0.expect("written");
        assert_eq!(unread, Some(Unread::Missing));
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_who_loses_to_others_tries_again_and_hears_of_missing_rights_at_once() {
    let (store, mut api) = store();
    let server = async {
        api.expect(&format!("GET {CONFIG_MAP}")).await.fail(404, "NotFound", "not found");
        api.next().await.fail(409, "AlreadyExists", "already exists");
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &config_map("7", None));
        api.next().await.fail(409, "Conflict", "the object has been modified");
        api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &config_map("8", None));
        let exchange = api.next().await;
        assert_eq!(exchange.body["metadata"]["resourceVersion"], "8");
        exchange.fail(403, "Forbidden", "configmaps is forbidden");
        api.expect_silence().await;
    };
    let error = tokio::join!(store.edit(Begins::Missing, |_| ()), server).0.expect_err("refused").to_string();
    assert!(error.contains("does not let us write the ConfigMap sidecar-drift-state: grant it by RBAC"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_watch_tells_presence_absence_and_nonsense() {
    let (store, mut api) = store();
    let (sender, mut inputs) = mpsc::channel(8);
    let mut tasks = JoinSet::new();
    tasks.spawn(store.watch(true, sender));
    let mut next = async || match inputs.recv().await {
        Some(Input::State(state)) => state,
        other => panic!("{other:?}"),
    };

    let exchange = api.next().await;
    assert!(exchange.line.contains("fieldSelector=metadata.name%3Dsidecar-drift-state"), "{}", exchange.line);
    let events = exchange.stream();
    events.list_ends("3");
    assert_eq!(next().await, None, "no ConfigMap");
    events.send("ADDED", &config_map("4", None));
    let empty = StateRecord { resource_version: Some("4".into()), ..StateRecord::default() };
    assert_eq!(next().await, Some(empty), "a ConfigMap that holds nothing stops nothing");
    events.send("MODIFIED", &config_map("5", Some(&stored(&paused("")))));
    assert_eq!(next().await, Some(paused("5")));
    events.send("MODIFIED", &config_map("6", Some("not JSON")));
    assert_eq!(next().await, None, "unreadable");
    events.send("DELETED", &config_map("7", None));
    assert_eq!(next().await, None, "deleted");
}

#[tokio::test(start_paused = true)]
async fn what_the_watch_sees_late_undoes_nothing() {
    let (store, mut api) = store();
    let (sender, mut inputs) = mpsc::channel(8);
    let mut tasks = JoinSet::new();
    tasks.spawn(store.watch(true, sender.clone()));
    let mut next = async || match inputs.recv().await {
        Some(Input::State(Some(state))) => state.resource_version.expect("a version").to_string(),
        other => panic!("{other:?}"),
    };
    let events = api.next().await.stream();
    events.send("ADDED", &config_map("4", None));
    assert_eq!(next().await, "4");
    events.list_ends("4");

    let writer = store.clone();
    tasks.spawn(async move { writer.write_and_notify(&paused("4"), &|| true, &sender).await });
    api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &config_map("4", None));
    let exchange = api.next().await;
    let written = exchange.body["data"]["state.json"].as_str().expect("a text").to_owned();
    // The stream is ahead of the answer.
    events.send("MODIFIED", &config_map("5", Some(&written)));
    exchange.reply(200, &config_map("5", Some(&written)));
    events.send("MODIFIED", &config_map("6", None));
    assert_eq!(next().await, "5");
    assert_eq!(next().await, "6");
}

/// The API server refuses reads and writes for a while, and the watch hears of nothing: nothing changes, so nothing would ever
/// say again what the state is.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_after_a_write_is_listed_again() {
    let (store, api) = store();
    let mut api = api.patient(Duration::from_secs(30));
    let (sender, mut inputs) = mpsc::channel(8);
    let mut tasks = JoinSet::new();
    tasks.spawn(store.watch(true, sender.clone()));
    let mut next = async || match inputs.recv().await {
        Some(Input::State(state)) => state.map(|state| state.resource_version.expect("a version").to_string()),
        other => panic!("{other:?}"),
    };
    let events = api.next().await.stream();
    events.send("ADDED", &config_map("4", None));
    assert_eq!(next().await.as_deref(), Some("4"));
    events.list_ends("4");

    let writer = store.clone();
    tasks.spawn(async move { writer.write_and_notify(&paused("4"), &|| true, &sender).await });
    api.expect(&format!("GET {CONFIG_MAP}")).await.reply(200, &config_map("4", None));
    api.next().await.fail(503, "ServiceUnavailable", "busy");
    for _ in 0..5 {
        api.expect(&format!("GET {CONFIG_MAP}")).await.fail(503, "ServiceUnavailable", "busy");
    }
    assert_eq!(next().await, None);
    let exchange = api.next().await;
    assert!(exchange.line.contains("fieldSelector=metadata.name%3Dsidecar-drift-state"), "{}", exchange.line);
    let events = exchange.stream();
    events.send("ADDED", &config_map("4", None));
    events.list_ends("4");
    assert_eq!(next().await.as_deref(), Some("4"));
}
