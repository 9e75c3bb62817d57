//! What is asked of Prometheus, and how each answer is taken.

use axum::{Router, http::StatusCode, routing::get};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use super::Prometheus;
use crate::core::{config::AlertMatcher, io::AlertsAnswer};

/// The address of a server that gives this answer, below `/prometheus`, and the task that it lives in.
async fn server(status: StatusCode, body: String) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/prometheus/api/v1/alerts", get(move || async move { (status, body) }));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}/prometheus/"), tasks)
}

async fn asked(url: &str) -> AlertsAnswer {
    Prometheus::new(url).unwrap().ask(&[AlertMatcher::critical()]).await
}

fn unknown(message: &str) -> AlertsAnswer {
    AlertsAnswer::Unknown { message: message.to_owned() }
}

fn firing(name: &str, severity: &str) -> String {
    let alert = json!({ "labels": { "alertname": name, "severity": severity }, "annotations": {}, "state": "firing" });
    json!({ "status": "success", "data": { "alerts": [alert] } }).to_string()
}

#[tokio::test]
async fn what_fires_and_matches_is_named_and_the_rest_is_not() {
    let (url, _server) = server(StatusCode::OK, firing("EtcdDown", "critical")).await;
    assert_eq!(asked(&url).await, AlertsAnswer::Firing(["EtcdDown".into()].into()));
    let (url, _server) = server(StatusCode::OK, firing("DiskSlow", "warning")).await;
    assert_eq!(asked(&url).await, AlertsAnswer::Firing([].into()));
}

#[tokio::test]
async fn every_other_answer_and_none_at_all_mean_that_it_is_not_known() {
    let (url, _server) = server(StatusCode::OK, "<html>log in</html>".to_owned()).await;
    assert_eq!(asked(&url).await, unknown("the answer is no JSON of `/api/v1/alerts` as Prometheus gives it"));
    let (url, _server) = server(StatusCode::UNAUTHORIZED, firing("x", "warning")).await;
    assert_eq!(asked(&url).await, unknown("the answer was 401 Unauthorized"));
    let (url, _server) = server(StatusCode::FOUND, String::new()).await;
    assert_eq!(asked(&url).await, unknown("the answer was 302 Found"));
    // Nobody listens there any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(asked(&format!("http://{address}")).await, unknown("no connection"));
}

#[tokio::test]
async fn one_that_closes_the_connection_or_says_nothing_leaves_it_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = async {
        drop(listener.accept().await.unwrap());
    };
    let (answer, ()) = tokio::join!(asked(&url), server);
    assert_eq!(answer, unknown("the connection was lost"));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let prometheus = Prometheus::new(&url).unwrap();
    let mut question = JoinSet::new();
    question.spawn(async move { prometheus.ask(&[]).await });
    let connection = listener.accept().await.unwrap();
    tokio::time::pause();
    assert_eq!(question.join_next().await.unwrap().unwrap(), unknown("no answer within 10 s"));
    drop(connection);
}
