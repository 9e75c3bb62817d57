//! Templates of Deployments that are rendered in a row.

use std::time::Duration;

use serde_json::{Value, json};
use sidecar_drift::core::{
    io::{RenderOutcome, RenderRequest},
    model::owner::Kind,
};

use super::{
    api::Api,
    render::{CREATE, deny_blocking, rendered, renderer, replica_set, request, up_to_the_dry_run},
};

/// Those of these hashes, as the API server's cache has them.
fn together(hashes: &str) -> String {
    format!(
        "GET /apis/apps/v1/namespaces/shop/replicasets?&labelSelector=pod-template-hash+in+%28{hashes}%29\
         &resourceVersion=0&resourceVersionMatch=NotOlderThan"
    )
}

/// One of several Deployments that are rendered in a row.
fn one_of_many(name: &str) -> RenderRequest {
    request(Kind::DEPLOYMENT, name, &format!("{name}-5d"))
}

fn named(name: &str) -> Value {
    let mut set = replica_set();
    set["metadata"]["name"] = json!(format!("{name}-5d"));
    set["spec"]["template"]["metadata"]["labels"]["app"] = json!(name);
    set
}

/// Play the server for a dry run, whose Pod has this label.
async fn rendered_from(api: &mut Api, app: &str) {
    let exchange = api.expect(CREATE).await;
    assert_eq!(exchange.body["metadata"]["labels"]["app"], app);
    exchange.reply(201, &rendered());
}

#[tokio::test]
async fn templates_of_deployments_that_are_rendered_in_a_row_are_read_in_one_request() {
    let (renderer, mut api) = renderer();
    let first = RenderRequest { together: vec!["5c".into(), "5d".into()], ..one_of_many("a") };
    let server = async {
        let line = together("5c%2C5d");
        api.expect(&line).await.reply(200, &json!({ "items": [named("b"), named("a")] }));
        deny_blocking(&mut api).await;
        rendered_from(&mut api, "a").await;
    };
    tokio::join!(renderer.render(&first), server);
    // The next one and the same one again have theirs.
    for name in ["b", "a"] {
        let request = one_of_many(name);
        let (reply, ()) = tokio::join!(renderer.render(&request), rendered_from(&mut api, name));
        assert!(matches!(reply.outcome, RenderOutcome::Rendered(_)), "{reply:?}");
    }
    // One that was not among them is read by itself, and so is one that a rollout waits for.
    let server = async {
        let path = "GET /apis/apps/v1/namespaces/shop/replicasets/c-5d?resourceVersion=0";
        api.expect(path).await.reply(200, &named("c"));
        rendered_from(&mut api, "c").await;
    };
    let request = one_of_many("c");
    tokio::join!(renderer.render(&request), server);
    let confirmed = RenderRequest { confirm: true, ..one_of_many("a") };
    let server = async {
        let workload = "GET /apis/apps/v1/namespaces/shop/deployments/a";
        let selector = json!({ "matchLabels": { "app": "a" } });
        let read = json!({ "metadata": { "name": "a", "uid": "owner-uid" }, "spec": { "selector": selector } });
        api.expect(workload).await.reply(200, &read);
        let all = "GET /apis/apps/v1/namespaces/shop/replicasets?&labelSelector=app%3Da";
        api.expect(all).await.reply(200, &json!({ "items": [named("b")] }));
    };
    assert_eq!(tokio::join!(renderer.render(&confirmed), server).0.outcome, RenderOutcome::Gone);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_together_is_no_word_on_what_is_asked_for_later_or_belongs_to_another() {
    let (renderer, mut api) = renderer();
    let first = RenderRequest { together: vec!["5d".into()], ..one_of_many("a") };
    let mut others = named("b");
    others["metadata"]["ownerReferences"][0]["uid"] = json!("another");
    let server = async {
        let line = together("5d");
        api.expect(&line).await.reply(200, &json!({ "items": [named("a"), others] }));
        deny_blocking(&mut api).await;
        rendered_from(&mut api, "a").await;
    };
    tokio::join!(renderer.render(&first), server);
    for (name, later) in [("b", Duration::ZERO), ("a", Duration::from_secs(30))] {
        tokio::time::advance(later).await;
        let path = format!("GET /apis/apps/v1/namespaces/shop/replicasets/{name}-5d?resourceVersion=0");
        let server = async {
            api.expect(&path).await.reply(200, &named(name));
            rendered_from(&mut api, name).await;
        };
        let request = one_of_many(name);
        tokio::join!(renderer.render(&request), server);
    }
}

#[tokio::test]
async fn where_templates_cannot_be_read_together_each_is_read_by_itself() {
    let refusals = [(403, json!({ "message": "no" })), (200, json!("no list")), (200, json!({ "items": [{}, 7] }))];
    for (status, answer) in refusals {
        let (renderer, mut api) = renderer();
        let first = RenderRequest { together: vec!["5d".into()], ..one_of_many("web") };
        let server = async {
            let line = together("5d");
            api.expect(&line).await.reply(status, &answer);
            up_to_the_dry_run(&mut api).await.reply(201, &rendered());
        };
        let (reply, ()) = tokio::join!(renderer.render(&first), server);
        assert!(matches!(reply.outcome, RenderOutcome::Rendered(_)), "{reply:?}");
    }
}
