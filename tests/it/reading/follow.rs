//! What a replica says that follows another one.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, http::Request};
use serde_json::{Value, json};
use sidecar_drift::{
    core::report::Report,
    http::{LeaderEndpoint, Published},
};
use tokio::net::TcpListener;

use super::{Answer, ask, get, published, routes};
use crate::cli::reports;

const NAME: &str = "sidecar-drift-7d9f_1a2b3c4d";
const OPEN: &str = "0.0.0.0:8081";
const LOOPBACK: &str = "127.0.0.1:8081";

/// A replica that follows one whose API is there, or on loopback; its report is as it was when it led last.
fn follower(api: Option<SocketAddr>) -> Published {
    let published = published();
    published.set_leader(Some(LeaderEndpoint { name: NAME.into(), api }));
    // As it was when it led: none of that is known any more.
    published.publish(Arc::new(Report { leader: false, ..reports::fleet() }));
    published
}

/// Serves these routes to the others.
async fn served(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// The replica that leads, and where it is.
async fn leader() -> SocketAddr {
    let published = published();
    published.publish(Arc::new(reports::fleet()));
    served(routes(published, OPEN)).await
}

fn named(answer: &Answer) -> &str {
    answer.header("x-sidecar-drift-leader")
}

#[tokio::test]
async fn where_the_api_is_open_the_leader_answers() {
    let leader = leader().await;
    let router = routes(follower(Some(leader)), OPEN);
    let status = get(&router, "/api/v1/status").await;
    assert_eq!((status.status, named(&status)), (200, NAME));
    assert_eq!((&status.json()["leader"], &status.json()["summary"]["workloads"]), (&json!(true), &json!(9)));
    let filtered = get(&router, "/api/v1/workloads?verdict=drifted&limit=1").await;
    assert_eq!(filtered.json()["workloads"].as_array().unwrap().len(), 1);
    let bad = get(&router, "/api/v1/workloads?verdict=blue").await;
    assert_eq!((bad.status, bad.header("content-type")), (400, "application/json"));
    // The page, with what lets a browser ask whether it has changed.
    let page = get(&router, "/").await;
    assert!(page.status == 200 && !page.body.contains("does not lead"), "{}", page.body);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    let again = Request::get("/").header("if-none-match", page.header("etag")).body(Body::empty()).unwrap();
    assert_eq!(ask(&router, again).await.status, 304);
}

#[tokio::test]
async fn on_loopback_a_follower_answers_for_itself_and_names_the_leader() {
    let leader = leader().await;
    let router = routes(follower(Some(leader)), LOOPBACK);
    let status = get(&router, "/api/v1/status").await;
    assert_eq!((status.status, named(&status)), (200, NAME));
    assert_eq!((&status.json()["leader"], &status.json()["leaderName"]), (&json!(false), &json!(NAME)));
    let page = get(&router, "/").await.body;
    assert!(page.contains("This replica does not lead") && page.contains(NAME), "{page}");
}

/// Neither "0 of 6 looked at" nor "nothing has drifted": that it looked at nothing is no finding (B12).
#[tokio::test]
async fn a_follower_says_that_it_does_not_know() {
    let router = routes(follower(None), LOOPBACK);
    let status = get(&router, "/api/v1/status").await.json();
    for unknown in ["progress", "summary", "changes", "rolloutsInFlight", "rolloutsLeft", "guard", "alerts"] {
        assert!(status.get(unknown).is_some_and(Value::is_null), "{unknown}: {status}");
    }
    assert_eq!((&status["complete"], &status["synced"]), (&json!(false), &json!(true)));
    let text = format!(
        "this replica follows {NAME}, which alone knows verdicts and rollouts: forward the port of that Pod (its name ends \
         at the _)"
    );
    for path in ["workloads", "workloads/shop/Deployment/cart", "workloads/shop/Deployment/none", "rollouts", "plan"] {
        let answer = get(&router, &format!("/api/v1/{path}")).await;
        assert_eq!((answer.status, &answer.json()["message"]), (503, &json!(text)), "{path}");
    }
    for path in ["/", "/workloads", "/workloads/shop/Deployment/cart", "/plan", "/activity"] {
        let page = get(&router, path).await.body;
        assert!(page.contains("<h1>This replica does not lead</h1>") && page.contains(NAME), "{path}: {page}");
        for claim in ["drifted", "No workload", "No such workload", "Nothing"] {
            assert!(!page.contains(claim), "{path}: {claim}: {page}");
        }
    }
    // What is no question of verdicts is answered as by everybody.
    assert_eq!(get(&router, "/api/v1/generations").await.status, 200);
    assert_eq!(get(&router, "/api/v1/workloads?verdict=blue").await.status, 400);
    assert_eq!(get(&router, "/nowhere").await.status, 404);

    // Its twin leads, and says all of it.
    let leads = published();
    leads.publish(Arc::new(reports::fleet()));
    let router = routes(leads, LOOPBACK);
    let status = get(&router, "/api/v1/status").await.json();
    assert_eq!((&status["progress"]["of"], &status["summary"]["workloads"]), (&json!(9), &json!(9)), "{status}");
    assert!(get(&router, "/").await.body.contains("have drifted"));
    assert_eq!(get(&router, "/api/v1/plan").await.status, 200);
}

#[tokio::test]
async fn a_leader_that_is_not_reached_is_said() {
    // A port at which nobody listens any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let router = routes(follower(Some(gone)), OPEN);
    let status = get(&router, "/api/v1/status").await;
    let text = format!("this replica follows {NAME}, which does not answer: no connection; ask again in a moment");
    assert_eq!((status.status, &status.json()["message"]), (503, &json!(text)));
    let page = get(&router, "/").await;
    assert!(page.status == 200 && page.body.contains("This replica does not lead"), "{}", page.body);
    let closed = get(&routes(follower(None), OPEN), "/api/v1/status").await;
    assert_eq!((closed.status, &closed.json()["leader"]), (200, &json!(false)));
}

#[tokio::test]
async fn two_that_take_each_other_for_the_leader_do_not_pass_a_question_to_and_fro() {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = first.local_addr().unwrap();
    let second = served(routes(follower(Some(address)), OPEN)).await;
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(first, routes(follower(Some(second)), OPEN)).await });
    let status = get(&routes(follower(Some(second)), OPEN), "/api/v1/status").await;
    assert_eq!((status.status, &status.json()["leader"]), (200, &json!(false)));
}

#[tokio::test]
async fn who_leads_answers_for_itself_and_a_new_leader_is_named_at_once() {
    let published = follower(None);
    let router = routes(published.clone(), LOOPBACK);
    published.set_leader(Some(LeaderEndpoint { name: "another_0".into(), api: None }));
    assert_eq!(get(&router, "/api/v1/status").await.json()["leaderName"], "another_0");
    published.set_leader(None);
    let page = get(&router, "/").await.body;
    assert!(page.contains("Nobody is known to lead"), "{page}");
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    published.set_leader(Some(LeaderEndpoint { name: NAME.into(), api: Some(gone) }));
    published.publish(Arc::new(reports::fleet()));
    assert_eq!(get(&routes(published, OPEN), "/api/v1/status").await.json()["leader"], true);
}
