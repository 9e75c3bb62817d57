//! What is asked of Prometheus, and how each answer is taken.

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{Router, http::StatusCode, routing::get};
use http::Response;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use testbed::HttpServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{NotAnAddress, Prometheus};
use crate::{
    config::{Alerts, Outbound},
    core::{config::AlertMatcher, io::AlertsAnswer},
};

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
    prometheus(url).ask(&[AlertMatcher::critical()]).await
}

fn prometheus(url: &str) -> Prometheus {
    Prometheus::new(&Alerts { url: url.to_owned(), token: None }, &Outbound::default()).unwrap()
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
    let prometheus = prometheus(&url);
    let mut question = JoinSet::new();
    question.spawn(async move { prometheus.ask(&[]).await });
    let connection = listener.accept().await.unwrap();
    tokio::time::pause();
    assert_eq!(question.join_next().await.unwrap().unwrap(), unknown("no answer within 10 s"));
    drop(connection);
}

/// A Prometheus by TLS that wants to see this token, and a folder with `ca.pem`, by which it is known.
fn guarded(token: &'static str) -> (HttpServer, tempfile::TempDir) {
    let (server, authority) = HttpServer::tls(&["127.0.0.1", "prometheus.test"], move |request| async move {
        let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let wanted = format!("Bearer {token}");
        let (status, body) = match shown {
            Some(shown) if shown == wanted => (StatusCode::OK, firing("EtcdDown", "critical")),
            _ => (StatusCode::UNAUTHORIZED, String::new()),
        };
        let mut answer = Response::new(Full::from(body).map_err(|never| match never {}).boxed_unsync());
        *answer.status_mut() = status;
        answer
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.pem"), authority).unwrap();
    (server, folder)
}

#[tokio::test]
async fn a_token_is_read_for_each_question_and_shown_to_who_has_the_right_certificate() {
    let (server, folder) = guarded("second");
    let url = format!("https://{}", server.address());
    let file = folder.path().join("token");
    let alerts = Alerts { url: url.clone(), token: Some(file.clone()) };
    let by = Outbound { ca: Some(folder.path().join("ca.pem")), ..Outbound::default() };
    let prometheus = Prometheus::new(&alerts, &by).unwrap();
    let ask = async || prometheus.ask(&[AlertMatcher::critical()]).await;
    assert_eq!(ask().await, unknown("the bearer token cannot be read: No such file or directory (os error 2)"));
    fs::write(&file, "first").unwrap();
    assert_eq!(ask().await, unknown("the answer was 401 Unauthorized"));
    fs::write(&file, "second\n").unwrap();
    assert_eq!(ask().await, AlertsAnswer::Firing(["EtcdDown".into()].into()));
    fs::write(&file, "a\nb").unwrap();
    assert_eq!(ask().await, unknown("the bearer token cannot be read: it is no token"));

    // Whom nobody vouches for gets none.
    fs::write(&file, "second").unwrap();
    let stranger = Prometheus::new(&alerts, &Outbound::default()).unwrap();
    assert_eq!(stranger.ask(&[AlertMatcher::critical()]).await, unknown("no connection"));
}

#[test]
fn authorities_that_cannot_be_read_are_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let refused = |file: PathBuf| {
        let by = Outbound { ca: Some(file), ..Outbound::default() };
        Prometheus::new(&Alerts { url: "https://x".to_owned(), token: None }, &by).unwrap_err()
    };
    assert!(matches!(refused(file.clone()), NotAnAddress::Authorities(_)));
    fs::write(&file, "no certificate").unwrap();
    assert!(matches!(refused(file), NotAnAddress::NoAuthority));
}

/// A proxy, which reaches one server whatever it is asked for, and the heads of the requests that it gets.
async fn proxy(server: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>, JoinSet<io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let seen = heads.clone();
    tasks.spawn(async move {
        let mut tunnels = JoinSet::new();
        loop {
            let (mut client, _) = listener.accept().await?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await?);
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let mut server = TcpStream::connect(server).await?;
            tunnels.spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (address, heads, tasks)
}

#[tokio::test]
async fn a_proxy_opens_the_way_to_all_hosts_but_those_that_are_named() {
    let (server, folder) = guarded("secret");
    let (proxy, heads, _tasks) = proxy(server.address()).await;
    let token = folder.path().join("token");
    fs::write(&token, "secret").unwrap();
    let by = Outbound {
        ca: Some(folder.path().join("ca.pem")),
        proxy: Some(format!("http://me:pass@{proxy}")),
        no_proxy: vec!["127.0.0.1".to_owned(), ".svc".to_owned()],
    };
    let ask = async |url: String| {
        let alerts = Alerts { url, token: Some(token.clone()) };
        Prometheus::new(&alerts, &by).unwrap().ask(&[AlertMatcher::critical()]).await
    };
    let firing = AlertsAnswer::Firing(["EtcdDown".into()].into());
    // The proxy knows this name, we do not.
    assert_eq!(ask("https://prometheus.test".to_owned()).await, firing);
    let seen = std::mem::take(&mut *heads.lock().unwrap());
    let [head] = &seen[..] else { panic!("{seen:?}") };
    assert!(head.starts_with("CONNECT prometheus.test:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic bwu6cgfzcw=="), "{head}");
    // What is meant for Prometheus is not for the proxy.
    assert!(!head.contains("Bearer"), "{head}");

    assert_eq!(ask(format!("https://{}", server.address())).await, firing);
    assert_eq!(heads.lock().unwrap().len(), 0);
    assert!(!format!("{by:?}").contains("pass"), "{by:?}");
}
