//! The web page: rendered here, from the newest report, by the templates in `templates/`. The style and the one script are
//! files of our own, so that a browser may be forbidden everything else.

mod format;
mod frame;
mod lists;
mod overview;
mod workload;

use std::{
    fmt::Write,
    sync::{Arc, LazyLock},
};

use askama::Template;
use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};

use self::frame::{Frame, Message};
use super::{Reader, api, query::Query};
use crate::core::report::Report;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// A part of the addresses of our files that changes with their content, so that a browser may keep them.
static ASSETS: LazyLock<String> = LazyLock::new(|| short_hash([STYLE, SCRIPT, ICON]));

/// When the report was made that a page is of: the script shows it without reading the page.
const TAKEN: HeaderName = HeaderName::from_static("x-report-taken");

/// The routes.
pub(super) fn router() -> Router<Reader> {
    Router::new()
        .route("/", get(overview))
        .route("/workloads", get(workloads))
        .route("/workloads/{namespace}/{kind}/{name}", get(workload))
        .route("/plan", get(plan))
        .route("/activity", get(activity))
        .route("/assets/style.css", get(async || asset("text/css; charset=utf-8", STYLE)))
        .route("/assets/page.js", get(async || asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/assets/icon.svg", get(async || asset("image/svg+xml", ICON)))
}

fn asset(kind: &'static str, content: &'static str) -> Response {
    let keep = "public, max-age=31536000, immutable";
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], content).into_response()
}

async fn overview(State(reader): State<Reader>, headers: HeaderMap) -> Response {
    show(&reader, &headers, StatusCode::OK, overview::Overview::of)
}

async fn plan(State(reader): State<Reader>, headers: HeaderMap) -> Response {
    show(&reader, &headers, StatusCode::OK, overview::PlanPage::of)
}

async fn activity(State(reader): State<Reader>, headers: HeaderMap) -> Response {
    show(&reader, &headers, StatusCode::OK, overview::Activity::of)
}

async fn workloads(State(reader): State<Reader>, headers: HeaderMap, RawQuery(raw): RawQuery) -> Response {
    match Query::parse(raw.as_deref()) {
        Ok(query) => show(&reader, &headers, StatusCode::OK, |report| lists::Workloads::of(report, query, None)),
        Err(bad) => show(&reader, &headers, StatusCode::BAD_REQUEST, |report| {
            lists::Workloads::of(report, Query::default(), Some(bad.to_string()))
        }),
    }
}

async fn workload(
    State(reader): State<Reader>,
    headers: HeaderMap,
    Path((namespace, kind, name)): Path<(String, String, String)>,
) -> Response {
    let Some(report) = reader.published.report() else { return not_yet() };
    if !report.leader {
        return render(&headers, StatusCode::OK, &report, &Message::of_follower(&report));
    }
    if let Some(w) = api::find(&report, &namespace, &kind, &name) {
        return render(&headers, StatusCode::OK, &report, &workload::WorkloadPage::of(&report, w, &reader.redaction));
    }
    let text = format!("There is no {kind} `{name}` in namespace `{namespace}`; it may have been deleted.");
    render(&headers, StatusCode::NOT_FOUND, &report, &Message::new(&report, "No such workload", text))
}

/// There is nothing at this address.
pub(super) async fn not_found(State(reader): State<Reader>, headers: HeaderMap) -> Response {
    let Some(report) = reader.published.report() else { return not_yet() };
    let text = "There is nothing at this address.".to_owned();
    render(&headers, StatusCode::NOT_FOUND, &report, &Message::new(&report, "Not found", text))
}

/// The page that `make` makes of the newest report, if this replica leads: a follower's says only that it looked at nothing.
fn show<T: Template>(
    reader: &Reader,
    headers: &HeaderMap,
    status: StatusCode,
    make: impl FnOnce(&Arc<Report>) -> T,
) -> Response {
    match reader.published.report() {
        Some(report) if report.leader => render(headers, status, &report, &make(&report)),
        Some(report) => render(headers, StatusCode::OK, &report, &Message::of_follower(&report)),
        None => not_yet(),
    }
}

/// Before the first report.
fn not_yet() -> Response {
    let page = Message {
        frame: Frame::empty(),
        headline: "Starting",
        text: "Nothing is known yet; this page renews itself.".to_owned(),
    };
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, page.render().unwrap_or_default()).into_response()
}

/// The page, or 304 where the reader has just this one. When the report was made is no part of that question: it changes
/// with each report, whatever the page shows.
fn render(headers: &HeaderMap, status: StatusCode, report: &Report, page: &impl Template) -> Response {
    let Ok(html) = page.render() else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "this page cannot be shown\n").into_response();
    };
    let (before, rest) = html.split_once("<!--taken-->").unwrap_or((&html, ""));
    let after = rest.split_once("<!--/taken-->").map_or("", |(_, after)| after);
    let tag = format!("\"{}\"", short_hash([before, after, status.as_str()]));
    let taken = report.taken.to_string();
    let common = [(header::CACHE_CONTROL, "no-store"), (header::ETAG, tag.as_str()), (TAKEN, taken.as_str())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (status, common, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

fn short_hash<const N: usize>(parts: [&str; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    let mut text = String::new();
    for byte in hash.finalize().iter().take(8) {
        _ = write!(text, "{byte:02x}");
    }
    text
}
