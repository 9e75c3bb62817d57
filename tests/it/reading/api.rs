//! `/api/v1`.

use std::collections::BTreeSet;

use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use sidecar_drift::{cli::Exit, core::io::Stop, http};

use super::{ask, fleet, get, published, reading, routes};
use crate::cli::{Fake, reports};
use crate::schema::mismatches;

const LISTS: [&str; 5] =
    ["/api/v1/status", "/api/v1/workloads", "/api/v1/generations", "/api/v1/rollouts", "/api/v1/plan"];

#[tokio::test]
async fn a_workload_has_the_same_shape_as_on_the_command_line() {
    let router = reading(reports::fleet());
    let listed = get(&router, "/api/v1/workloads?limit=1000").await.json();
    let ran = Fake::new(reports::fleet()).command("scan -o json", None);
    assert_eq!(ran.exit, Exit::Ok);
    let scanned: Value = serde_json::from_str(&ran.out).unwrap();
    // The two processes hide values by keys of their own.
    let hidden = |value: &Value| {
        let text = value.to_string();
        let parts: Vec<_> =
            text.split("<masked ").enumerate().map(|(i, part)| &part[if i == 0 { 0 } else { 8 }..]).collect();
        parts.join("<masked ")
    };
    assert_eq!(hidden(&listed["workloads"]), hidden(&scanned["workloads"]));
    assert_eq!(listed["total"], 9);
    assert_eq!((&listed["apiVersion"], &listed["kind"]), (&json!("sidecar-drift/v1"), &json!("WorkloadList")));

    let one = get(&router, "/api/v1/workloads/shop/Deployment/cart").await.json();
    let in_list = listed["workloads"].as_array().unwrap().iter().find(|w| w["name"] == "cart").unwrap();
    assert_eq!(&one["workload"], in_list);
    let status = get(&router, "/api/v1/status").await.json();
    assert_eq!(status["summary"], scanned["summary"]);
    assert_eq!(status["changes"], scanned["changes"]);
}

#[tokio::test]
async fn values_are_masked() {
    for path in ["/api/v1/workloads", "/api/v1/workloads/shop/deployment/cart"] {
        let answer = get(&reading(reports::fleet()), path).await;
        assert!(answer.body.contains("<masked ") && answer.body.contains("istio/proxyv2:1.27.1"), "{path}");
        assert!(!answer.body.contains("hunter2") && !answer.body.contains("default:warn"), "{path}");
    }
}

#[tokio::test]
async fn the_plan_says_what_holds_what() {
    let plan = get(&reading(fleet::of(460)), "/api/v1/plan").await.json();
    let groups: Vec<_> =
        plan["groups"].as_array().unwrap().iter().map(|g| (g["gate"].clone(), g["total"].clone())).collect();
    let gates: Vec<_> = groups.iter().map(|(gate, _)| gate.as_str()).collect();
    assert_eq!(gates, [None, Some("cooldown"), Some("pdb_headroom"), Some("rate_limit"), Some("canary")]);
    assert_eq!(groups.iter().map(|(_, n)| n.as_u64().unwrap()).sum::<u64>(), 80);
    assert_eq!(plan["rolling"].as_array().unwrap().len(), 1);
    assert_eq!(plan["rolloutsLeft"], 14);

    let reported = get(&reading(reports::fleet()), "/api/v1/plan").await.json();
    let pairs: Vec<_> = reported["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| (g["gate"].clone(), g["gateInEnforce"].clone()))
        .collect();
    assert!(pairs.contains(&(json!("report_only"), json!("difference_not_enabled"))), "{pairs:?}");
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_400_with_a_sentence() {
    let router = reading(reports::fleet());
    for path in
        ["/api/v1/workloads?verdict=blue", "/api/v1/status?page=1", "/api/v1/workloads/shop/deployment/cart?q=x"]
    {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["kind"], "Problem");
        assert!(answer.json()["message"].as_str().unwrap().starts_with('`'), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_known_yet_503() {
    let router = reading(reports::fleet());
    let answer = get(&router, "/api/v1/workloads/shop/deployment/nobody").await;
    assert_eq!(
        (answer.status, answer.json()["message"].as_str()),
        (404, Some("there is no deployment `nobody` in namespace `shop`"))
    );
    for path in ["/api/v1/nothing", "/api/v2/status", "/api"] {
        let answer = get(&router, path).await;
        assert_eq!((answer.status, answer.json()["kind"].as_str()), (404, Some("Problem")), "{path}");
    }
    let early = routes(published(), "127.0.0.1:1");
    for path in LISTS {
        assert_eq!(get(&early, path).await.status, 503, "{path}");
    }
    assert_eq!(get(&early, "/api/v1/openapi.json").await.status, 200);
}

#[tokio::test]
async fn nothing_can_be_written() {
    let router = reading(reports::fleet());
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let request = Request::builder().method(method).uri("/api/v1/status").body(Body::empty()).unwrap();
        assert_eq!(ask(&router, request).await.status, 405, "{method}");
    }
}

#[tokio::test]
async fn on_loopback_only_names_of_loopback_are_answered() {
    let published = published();
    published.publish(std::sync::Arc::new(reports::fleet()));
    let ask_as = async |address: &str, host: &str| {
        let request = Request::get("/api/v1/status").header("host", host).body(Body::empty()).unwrap();
        ask(&routes(published.clone(), address), request).await.status
    };
    for host in ["localhost", "localhost:8081", "LOCALHOST:1", "127.0.0.1:9000", "[::1]:8081", "[::1]"] {
        assert_eq!(ask_as("127.0.0.1:8081", host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:8081",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8081",
        "10.0.0.1:8081",
        "",
    ] {
        assert_eq!(ask_as("127.0.0.1:8081", host).await, 421, "{host}");
        assert_eq!(ask_as("[::1]:8081", host).await, 421, "{host}");
        assert_eq!(ask_as("0.0.0.0:8081", host).await, 200, "{host}");
    }
}

#[tokio::test]
async fn each_answer_is_as_the_openapi_document_says() {
    let mut stopped = fleet::of(230);
    stopped.paused = Some(Stop { reason: "upgrading".to_owned(), at: stopped.taken });
    stopped.breaker.clone_from(&stopped.paused);
    let document = http::document();
    let mut asked = BTreeSet::new();
    for report in [stopped, reports::fleet(), reports::empty(), reports::rolled()] {
        let some = report.workloads.first().map(|w| (w.namespace.clone(), w.kind.clone(), w.name.clone()));
        let router = reading(report);
        for (path, item) in document["paths"].as_object().unwrap() {
            let Some((namespace, kind, name)) =
                some.clone().or_else(|| (!path.contains('{')).then(|| ("".into(), "".into(), "".into())))
            else {
                continue;
            };
            let address = path.replace("{namespace}", &namespace).replace("{kind}", &kind).replace("{name}", &name);
            let answer = get(&router, &address).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{address}");
            let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
            let mut found = Vec::new();
            mismatches(&answer.json(), schema, &document, &address, &mut found);
            assert!(found.is_empty(), "{found:#?}");
            asked.insert(path.clone());
        }
    }
    assert_eq!(asked.len(), 6);
}

#[tokio::test]
async fn each_documented_parameter_is_taken_with_each_documented_value() {
    let router = reading(reports::fleet());
    let document = http::document();
    for parameter in document["paths"]["/api/v1/workloads"]["get"]["parameters"].as_array().unwrap() {
        let name = parameter["name"].as_str().unwrap();
        let schema =
            if parameter["schema"]["type"] == "array" { &parameter["schema"]["items"] } else { &parameter["schema"] };
        let values: Vec<String> = match schema["enum"].as_array() {
            Some(words) => words.iter().map(|word| word.as_str().unwrap().to_owned()).collect(),
            None if schema["type"] == "integer" => vec!["1".to_owned()],
            None => vec!["x".to_owned()],
        };
        for value in values {
            assert_eq!(get(&router, &format!("/api/v1/workloads?{name}={value}")).await.status, 200, "{name}={value}");
        }
    }
}
