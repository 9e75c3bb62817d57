//! What is sent, when, and what is dropped.

use std::sync::{Arc, Mutex};

use axum::{Router, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time};

use super::{Message, Notifier, QUEUE_LENGTH, WINDOW, Webhook};
use crate::{
    config::{NotifyFormat, Outbound},
    core::{
        io::Notice,
        model::{
            WorkloadKey,
            owner::Kind,
            words::{Outcome, Verdict},
        },
        report::{Report, WorkloadReport},
    },
};

fn key(name: &str) -> WorkloadKey {
    WorkloadKey { namespace: "shop".into(), kind: Kind::DEPLOYMENT, name: name.into() }
}

fn drifted(name: &str, change: &str) -> Notice {
    Notice::VerdictChanged {
        workload: key(name),
        from: Verdict::InSync,
        to: Verdict::Drifted,
        reason: None,
        change: change.to_owned(),
    }
}

fn ended(name: &str, outcome: Outcome, message: &str) -> Notice {
    Notice::RolloutEnded { workload: key(name), outcome, message: message.to_owned(), seconds: 3 }
}

fn breaker() -> Notice {
    let at = "2026-03-01T12:00:00Z".parse().unwrap();
    Notice::BreakerOpened { workload: key("web"), namespace: None, reason: "2 failed in a row".to_owned(), at }
}

/// A notifier whose messages are kept.
fn recording_notifier() -> (Notifier, impl Future<Output = ()>, Arc<Mutex<Vec<Message>>>) {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let sink = messages.clone();
    let (notifier, work) = Notifier::new(move |message| {
        sink.lock().unwrap().push(message);
        std::future::ready(true)
    });
    (notifier, work, messages)
}

#[tokio::test(start_paused = true)]
async fn what_happens_together_is_one_message_by_change() {
    let (notifier, work, messages) = recording_notifier();
    for i in 0..30 {
        notifier.notice(&drifted(&format!("app-{i:02}"), "proxy image 1 → 2"), false);
    }
    notifier.notice(&drifted("vault", "agent missing"), false);
    notifier.notice(&ended("app-00", Outcome::Failed, "the new Pods crash"), false);
    drop(notifier);
    work.await;
    let messages = messages.lock().unwrap();
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    let text = message.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "1 workload drifted: agent missing (Deployment/shop/vault)");
    assert!(lines[1].starts_with("30 workloads drifted: proxy image 1 → 2 (Deployment/shop/app-00, "), "{text}");
    assert!(lines[1].ends_with("Deployment/shop/app-09 and 20 more)"), "{text}");
    assert_eq!(lines[2], "Rollout of Deployment/shop/app-00: failed, the new Pods crash");
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn what_differs_when_we_begin_is_one_line_and_what_differs_later_is_news() {
    let (notifier, work, messages) = recording_notifier();
    for i in 0..30 {
        notifier.notice(&drifted(&format!("app-{i:02}"), "proxy image 1 → 2"), true);
    }
    let workload = |name: &str, verdict| {
        let pending = WorkloadReport::pending("Deployment".into(), "shop".into(), name.into());
        Arc::new(WorkloadReport { verdict, reason: None, ..pending })
    };
    let workloads = vec![
        workload("app-00", Verdict::Drifted),
        workload("app-01", Verdict::Drifted),
        workload("db", Verdict::Rejected),
        workload("web", Verdict::InSync),
    ];
    let taken = "2026-03-01T12:00:00Z".parse().unwrap();
    notifier.first_scan(&Report { workloads, ..Report::empty(taken) });
    notifier.notice(&drifted("new", "proxy image 1 → 2"), false);
    drop(notifier);
    work.await;
    let messages = messages.lock().unwrap();
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(
        message.text(),
        "The first look is done; not as they should be are 3 workloads: 1 rejected, 2 drifted\n1 workload drifted: proxy \
         image 1 → 2 (Deployment/shop/new)"
    );
    assert_eq!(message.json()["standing"], json!({ "rejected": 1, "drifted": 2 }));
}

/// The workload that differed does not any more, or nobody knows.
fn to(to: Verdict) -> Notice {
    Notice::VerdictChanged { workload: key("cart"), from: Verdict::Drifted, to, reason: None, change: String::new() }
}

#[tokio::test]
async fn what_was_in_doubt_for_a_while_is_no_news_and_another_change_is() {
    let (notifier, work, messages) = recording_notifier();
    let known = |change: &str| notifier.notice(&drifted("cart", change), false);
    known("proxy image 1 → 2");
    notifier.notice(&to(Verdict::Undetermined), false);
    known("proxy image 1 → 2");
    known("proxy image 1 → 3");
    notifier.notice(&to(Verdict::InSync), false);
    known("proxy image 1 → 3");
    drop(notifier);
    work.await;
    let messages = messages.lock().unwrap();
    let text: Vec<_> = messages.iter().map(Message::text).collect();
    assert_eq!(
        text.concat().lines().collect::<Vec<_>>(),
        [
            "1 workload drifted: proxy image 1 → 2 (Deployment/shop/cart)",
            "1 workload drifted: proxy image 1 → 3 (Deployment/shop/cart)"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_breaker_does_not_wait_and_everything_else_does() {
    let (notifier, work, messages) = recording_notifier();
    let local = tokio::task::LocalSet::new();
    let work = local.run_until(async move {
        let work = tokio::task::spawn_local(work);
        notifier.notice(&drifted("cart", "proxy image 1 → 2"), false);
        time::sleep(WINDOW / 2).await;
        assert_eq!(messages.lock().unwrap().len(), 0);
        notifier.notice(&breaker(), false);
        time::sleep(WINDOW / 100).await;
        assert_eq!(messages.lock().unwrap().len(), 1);
        notifier.notice(&drifted("web", "proxy image 1 → 2"), false);
        time::sleep(WINDOW * 2).await;
        assert_eq!(messages.lock().unwrap().len(), 2);
        drop(notifier);
        work.await.unwrap();
    });
    work.await;
}

#[tokio::test]
async fn what_nobody_is_notified_of_is_nothing() {
    let (notifier, work, messages) = recording_notifier();
    notifier.notice(&to(Verdict::InSync), false);
    notifier.notice(&to(Verdict::Undetermined), false);
    notifier.notice(&Notice::Guard { in_force: true }, false);
    drop(notifier);
    work.await;
    assert!(messages.lock().unwrap().is_empty());
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        let (notifier, _work, _messages) = recording_notifier();
        for i in 0..QUEUE_LENGTH + 7 {
            notifier.notice(&drifted(&i.to_string(), "proxy image 1 → 2"), false);
        }
    });
    let text = recorder.handle().render();
    assert!(text.contains("sidecar_drift_notifications_total{fate=\"dropped\"} 7\n"), "{text}");
}

#[test]
fn slack_takes_text_and_no_markup_of_others() {
    let mut message = Message::default();
    message.add(super::Occurrence::Breaker { namespace: None, reason: "<!channel> & more".to_owned() });
    assert_eq!(
        message.slack(),
        json!({ "text": "*sidecar-drift*\n```\nThe breaker opened: &lt;!channel&gt; &amp; more. Nothing more is rolled out until \
                         'sidecar-drift resume'.\n```" })
    );
    assert_eq!(message.json()["breaker"], "<!channel> & more");
    let mut message = Message::default();
    message.add(super::Occurrence::Breaker {
        namespace: None,
        reason: "``` @channel *now* <https://evil.test>".to_owned(),
    });
    let text = message.slack()["text"].as_str().map(str::to_owned).unwrap_or_default();
    assert_eq!((text.matches("```").count(), text.ends_with("\n```")), (2, true), "the block has one end: {text}");
}

#[tokio::test]
async fn a_message_arrives_as_json() {
    let bodies = Arc::new(Mutex::new(Vec::<Value>::new()));
    let seen = bodies.clone();
    let routes = Router::new().route(
        "/hook",
        post(async move |axum::Json(body): axum::Json<Value>| {
            seen.lock().unwrap().push(body);
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async { axum::serve(listener, routes).await };
    let mut message = Message::default();
    message.add(super::Occurrence::of(&ended("cart", Outcome::Converged, "")).unwrap());
    let sending = async {
        let there = Webhook::new(&format!("http://{address}/hook"), NotifyFormat::Json, &Outbound::default()).unwrap();
        assert!(there.send(message.clone()).await);
        // A refusal is not repeated.
        let nowhere =
            Webhook::new(&format!("http://{address}/elsewhere"), NotifyFormat::Slack, &Outbound::default()).unwrap();
        assert!(!nowhere.send(message.clone()).await);
    };
    tokio::select! {
        _ = server => panic!("the server ended"),
        () = sending => {}
    }
    let bodies = bodies.lock().unwrap();
    assert_eq!(bodies.len(), 1);
    assert_eq!(
        bodies[0]["rollouts"],
        json!([{ "workload": "Deployment/shop/cart", "outcome": "converged", "message": "" }])
    );
}

#[test]
fn an_address_that_is_none_is_refused_without_being_repeated() {
    for url in ["hooks.example/secret", "ftp://hooks.example/secret", "https://", ""] {
        let refused = Webhook::new(url, NotifyFormat::Json, &Outbound::default()).unwrap_err().to_string();
        assert!(refused.contains("--notify-url") && !refused.contains("secret"), "{refused}");
    }
}
