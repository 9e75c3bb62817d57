//! The first requests of a process.

use serde_json::{Value, json};
use sidecar_drift::cluster::client::{Call, Error, Server};

use super::api::{Api, Exchange, pair};

const V1: &str = "GET /apis/admissionregistration.k8s.io/v1";
const V1BETA1: &str = "GET /apis/admissionregistration.k8s.io/v1beta1";

fn resources(names: &[&str]) -> Value {
    json!({ "resources": names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() })
}

async fn version(api: &mut Api) -> Exchange {
    api.expect("GET /version").await
}

/// The watch that asks whether lists are streamed.
async fn streaming_probe(api: &mut Api) -> Exchange {
    let exchange = api.next().await;
    assert!(exchange.line.starts_with("GET /api/v1/namespaces/shop/pods?watch=true&sendInitialEvents=true"));
    exchange
}

#[tokio::test]
async fn a_new_server_has_policies_and_streaming_lists() {
    let (cluster, mut api) = pair();
    let server = async {
        version(&mut api).await.reply(200, &json!({ "gitVersion": "v1.37.2" }));
        api.expect(V1).await.reply(200, &resources(&["mutatingadmissionpolicies"]));
        streaming_probe(&mut api).await.stream().list_ends("5");
    };
    let (found, ()) = tokio::join!(cluster.probe(Some("shop")), server);
    let expected = Server { version: "v1.37.2".to_owned(), policies: Some("v1"), streaming_lists: true };
    assert_eq!(found.expect("a server"), expected);
}

#[tokio::test]
async fn policies_are_read_in_beta_and_lists_in_pages_where_the_server_has_no_more() {
    let (cluster, mut api) = pair();
    let server = async {
        version(&mut api).await.reply(200, &json!({ "gitVersion": "v1.34.1" }));
        api.expect(V1).await.reply(200, &resources(&["mutatingwebhookconfigurations"]));
        api.expect(V1BETA1).await.reply(200, &resources(&["mutatingadmissionpolicies"]));
        streaming_probe(&mut api).await.fail(422, "Invalid", "sendInitialEvents: Forbidden");
    };
    let (found, ()) = tokio::join!(cluster.probe(Some("shop")), server);
    let expected = Server { version: "v1.34.1".to_owned(), policies: Some("v1beta1"), streaming_lists: false };
    assert_eq!(found.expect("a server"), expected);
}

#[tokio::test]
async fn an_old_server_has_neither() {
    let (cluster, mut api) = pair();
    let server = async {
        version(&mut api).await.reply(200, &json!({ "gitVersion": "v1.33.0" }));
        api.expect(V1).await.reply(200, &resources(&[]));
        api.expect(V1BETA1).await.fail(404, "NotFound", "the server could not find the requested resource");
        // A server from before the parameter answers, but never marks the end of the list.
        drop(streaming_probe(&mut api).await.stream());
    };
    let (found, ()) = tokio::join!(cluster.probe(Some("shop")), server);
    let expected = Server { version: "v1.33.0".to_owned(), policies: None, streaming_lists: false };
    assert_eq!(found.expect("a server"), expected);
}

/// Something between us that holds back what it does not know the end of.
#[tokio::test(start_paused = true)]
async fn a_stream_that_never_begins_means_pages() {
    let (cluster, mut api) = pair();
    let server = async {
        version(&mut api).await.reply(200, &json!({ "gitVersion": "v1.37.2" }));
        api.expect(V1).await.reply(200, &resources(&["mutatingadmissionpolicies"]));
        streaming_probe(&mut api).await.stream()
    };
    let (found, _open) = tokio::join!(cluster.probe(Some("shop")), server);
    assert!(!found.expect("a server").streaming_lists);
}

#[tokio::test]
async fn whether_a_namespace_exists_is_asked_and_may_remain_unknown() {
    let (cluster, mut api) = pair();
    let server = async {
        api.expect("GET /api/v1/namespaces/shop").await.reply(200, &json!({}));
        api.next().await.fail(404, "NotFound", "namespaces \"shop\" not found");
        api.next().await.fail(403, "Forbidden", "no");
    };
    let client = async {
        let mut found = Vec::new();
        for _ in 0..3 {
            found.push(cluster.has_namespace("shop").await);
        }
        found
    };
    assert_eq!(tokio::join!(client, server).0, [Some(true), Some(false), None]);
}

async fn refusal(answer: impl FnOnce(Exchange)) -> Error {
    let (cluster, mut api) = pair();
    let server = async { answer(version(&mut api).await) };
    tokio::join!(cluster.probe(None), server).0.expect_err("a failure")
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_sentence() {
    let sentences = [
        refusal(|e| e.fail(401, "Unauthorized", "Unauthorized")).await,
        refusal(|e| e.fail(403, "Forbidden", "forbidden: User \"system:anonymous\" cannot get path \"/version\""))
            .await,
        refusal(|e| e.fail(503, "ServiceUnavailable", "apiserver is shutting down")).await,
        refusal(|e| e.reply_text(200, "<html>It works!</html>")).await,
        refusal(Exchange::break_off).await,
    ];
    let sentences: Vec<String> = sentences.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(sentences.join("\n"), @r#"
    the API server at https://cluster.example:6443 does not know us: log in again, or correct the user in the kubeconfig
    the API server at https://cluster.example:6443 does not let us read its version: grant it by RBAC (forbidden: User "system:anonymous" cannot get path "/version")
    the API server at https://cluster.example:6443 could not read its version: it answered 503 Service Unavailable (apiserver is shutting down)
    what answers at https://cluster.example:6443 is no Kubernetes API server: check the address in the kubeconfig
    the API server at https://cluster.example:6443 does not answer: check the address, the network, and that the server is up
    "#);
}

#[tokio::test]
async fn a_pod_is_asked_by_way_of_the_api_server_and_its_answer_comes_back_whatever_it_is() {
    let (cluster, mut api) = pair();
    for (code, body) in [(200, json!({ "kind": "Status" })), (503, json!({ "kind": "Problem" }))] {
        let call = Call::through_pod("ops", "drift-0", 8081, "/api/v1/status").expect("the name of a Pod");
        let server = async {
            let path = "GET /api/v1/namespaces/ops/pods/drift-0:8081/proxy/api/v1/status";
            api.expect(path).await.reply(code, &body);
        };
        let (answer, ()) = tokio::join!(cluster.call(call), server);
        let answer = answer.expect("an answer");
        assert_eq!((answer.status.as_u16(), serde_json::from_slice(&answer.body).ok()), (code, Some(body)));
    }
}
