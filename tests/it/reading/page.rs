//! The web page, as it leaves the program.

use axum::{body::Body, http::Request};
use sidecar_drift::core::{io::Stop, report::Report, rollout::AlertsReport};

use super::{ask, fleet, get, published, reading, routes};
use crate::cli::reports;

const PAGES: [&str; 5] = ["/", "/workloads", "/workloads/shop/Deployment/cart", "/plan", "/activity"];

#[tokio::test]
async fn every_page_is_there_and_hides_values() {
    let router = reading(reports::fleet());
    for path in PAGES {
        let page = get(&router, path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert!(!page.body.contains("hunter2") && !page.body.contains("default:warn"), "{path}");
    }
    assert!(get(&router, PAGES[2]).await.body.contains("&#60;masked "));
}

#[tokio::test]
async fn a_browser_may_run_and_load_nothing_but_our_own_files() {
    let router = reading(reports::fleet());
    for path in PAGES.into_iter().chain(["/api/v1/status", "/nothing", "/assets/page.js"]) {
        let page = get(&router, path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        for forbidden in [" style=", " onclick=", "<style", "http://", "https://", "javascript:"] {
            let body = page.body.replace("http://www.w3.org/2000/svg", "");
            assert!(!body.contains(forbidden), "{path}: {forbidden}");
        }
    }
}

#[tokio::test]
async fn what_the_cluster_says_is_text_and_never_markup() {
    let mut report = reports::fleet();
    let mut w = (*report.workloads[0]).clone();
    w.message = Some("<script>alert(1)</script>\" onload='x'".to_owned());
    w.change = Some("<img src=x>".to_owned());
    report.workloads[0] = w.into();
    let router = reading(report);
    for (path, shown) in [
        ("/workloads?q=%3Cscript%3E", "value=\"&#60;script&#62;\""),
        ("/workloads", "&#60;img src=x&#62;"),
        ("/workloads/legacy/Deployment/importer", "&#60;script&#62;alert(1)&#60;/script&#62;&#34; onload=&#39;x&#39;"),
    ] {
        let body = get(&router, path).await.body;
        assert!(!body.contains("<script>") && !body.contains("<img"), "{path}");
        assert!(body.contains(shown), "{path}: {body}");
    }
}

#[tokio::test]
async fn pause_and_breaker_are_on_every_page() {
    let at = reports::empty().taken;
    let stop = |reason: &str| Some(Stop { reason: reason.to_owned(), at });
    let router = reading(Report {
        paused: stop("upgrading the mesh"),
        breaker: stop("2 failed in a row"),
        guard: Some(false),
        alerts: Some(AlertsReport { blocking: true, message: "EtcdDown is firing".to_owned() }),
        ..reports::fleet()
    });
    let calm = reading(reports::fleet());
    for path in PAGES {
        let page = get(&router, path).await.body;
        for text in [
            "All rollouts are paused",
            "upgrading the mesh",
            "The breaker is open",
            "2 failed in a row",
            "The guard is missing",
            "Alerts hold all rollouts",
            "EtcdDown is firing",
        ] {
            assert!(page.contains(text), "{path}: {text}");
        }
        assert!(!get(&calm, path).await.body.contains("class=\"banner"), "{path}");
    }
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again_whenever_the_report_was_made() {
    let published = published();
    let router = routes(published.clone(), "127.0.0.1:8081");
    let ask_again = async |tag: &str| {
        let request = Request::get("/").header("if-none-match", tag).body(Body::empty()).unwrap();
        ask(&router, request).await
    };
    published.publish(reports::fleet().into());
    let first = get(&router, "/").await;
    let tag = first.header("etag");
    let later = Report { taken: "2026-03-01T12:00:01Z".parse().unwrap(), ..reports::fleet() };
    published.publish(later.into());
    let second = ask_again(tag).await;
    assert_eq!((second.status, second.body.as_str()), (304, ""));
    assert_eq!(second.header("x-report-taken"), "2026-03-01T12:00:01Z");
    let mut other = reports::fleet();
    other.workloads.pop();
    published.publish(other.into());
    let third = ask_again(tag).await;
    assert_eq!(third.status, 200);
    assert_ne!(third.header("etag"), tag);
}

#[tokio::test]
async fn filters_and_pages_of_the_list_work_without_a_script() {
    let router = reading(fleet::of(1000));
    let page = get(&router, "/workloads?verdict=drifted&sort=pods&order=desc&limit=20").await.body;
    assert_eq!(page.matches("<tr data-key=").count(), 20);
    assert!(page.contains("aria-sort=\"descending\""));
    assert!(
        page.contains("href=\"/workloads?verdict=drifted&#38;sort=pods&#38;order=desc&#38;limit=20&#38;page=2\""),
        "{page}"
    );
    let beyond = get(&router, "/workloads?page=9999").await;
    assert!(beyond.body.contains("Page 10 of 10"));
    let wrong = get(&router, "/workloads?sort=colour").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("`sort` cannot be `colour`"));
}

#[tokio::test]
async fn before_the_first_report_and_at_wrong_addresses_there_is_a_page_too() {
    let early = get(&routes(published(), "127.0.0.1:1"), "/").await;
    assert_eq!(early.status, 503);
    assert!(early.body.contains("Nothing is known yet"));
    let router = reading(reports::fleet());
    for path in ["/nothing", "/workloads/shop/Deployment/nobody"] {
        let page = get(&router, path).await;
        assert_eq!((page.status, page.header("content-type")), (404, "text/html; charset=utf-8"), "{path}");
    }
}
