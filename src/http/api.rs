//! `/api/v1`: what the newest report says, as JSON. It is only read: there is no method but GET and HEAD.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{
    Reader, openapi,
    query::{self, BadQuery, Query},
};
use crate::{
    core::{model::Name, report::Report},
    document::api::{GenerationList, OneWorkload, Plan, Problem, RolloutList, Status, WorkloadList},
};

/// The routes.
pub(super) fn router() -> Router<Reader> {
    Router::new()
        .route(openapi::STATUS, get(status))
        .route(openapi::WORKLOADS, get(workloads))
        .route(openapi::WORKLOAD, get(workload))
        .route(openapi::GENERATIONS, get(generations))
        .route(openapi::ROLLOUTS, get(rollouts))
        .route(openapi::PLAN, get(plan))
        .route(openapi::DOCUMENT, get(document))
        .route("/api", get(not_found))
        .route("/api/{*rest}", get(not_found))
        .method_not_allowed_fallback(method_not_allowed)
}

/// Why a question is not answered.
#[derive(Debug)]
enum Refusal {
    /// The question makes no sense.
    Bad(BadQuery),
    /// There is no such thing.
    NotFound(String),
    /// Nothing is known yet.
    NotYet,
    /// Another replica leads, and it alone knows; `None`: nobody is known to lead.
    Follows(Option<Name>),
}

impl From<BadQuery> for Refusal {
    fn from(bad: BadQuery) -> Self {
        Self::Bad(bad)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Bad(bad) => problem(StatusCode::BAD_REQUEST, bad.to_string()),
            Self::NotFound(message) => problem(StatusCode::NOT_FOUND, message),
            Self::NotYet => problem(StatusCode::SERVICE_UNAVAILABLE, "nothing is known yet; ask again in a moment"),
            Self::Follows(leader) => {
                problem(StatusCode::SERVICE_UNAVAILABLE, follower_knows_nothing(leader.as_deref()))
            }
        }
    }
}

pub(super) fn problem(status: StatusCode, message: impl Into<String>) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(Problem::new(message))).into_response()
}

fn answer(document: &impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(document)).into_response()
}

fn report(reader: &Reader) -> Result<Arc<Report>, Refusal> {
    reader.published.report().ok_or(Refusal::NotYet)
}

/// The report of the leader: what a follower would say of workloads and rollouts is only that it asked for none.
fn findings(reader: &Reader) -> Result<Arc<Report>, Refusal> {
    let report = report(reader)?;
    if report.leader { Ok(report) } else { Err(Refusal::Follows(report.led_by.clone())) }
}

/// What a follower says where it is asked for what only the leader knows.
fn follower_knows_nothing(leader: Option<&str>) -> String {
    match leader {
        Some(leader) => format!(
            "this replica follows {leader}, which alone knows verdicts and rollouts: forward the port of that Pod (its name \
             ends at the _)"
        ),
        None => "this replica does not lead, and nobody is known to: nobody renders, and nobody rolls out".to_owned(),
    }
}

async fn status(State(reader): State<Reader>, RawQuery(raw): RawQuery) -> Result<Response, Refusal> {
    query::reject_parameters(raw.as_deref())?;
    Ok(answer(&Status::of(&*report(&reader)?)))
}

async fn workloads(State(reader): State<Reader>, RawQuery(raw): RawQuery) -> Result<Response, Refusal> {
    let query = Query::parse(raw.as_deref())?;
    let report = findings(&reader)?;
    Ok(answer(&WorkloadList::of(&report, query.select(&report), &reader.redaction)))
}

async fn workload(
    State(reader): State<Reader>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Refusal> {
    query::reject_parameters(raw.as_deref())?;
    let report = findings(&reader)?;
    let found = find(&report, &namespace, &kind, &name);
    let w =
        found.ok_or_else(|| Refusal::NotFound(format!("there is no {kind} `{name}` in namespace `{namespace}`")))?;
    Ok(answer(&OneWorkload::of(&report, w, &reader.redaction)))
}

async fn generations(State(reader): State<Reader>, RawQuery(raw): RawQuery) -> Result<Response, Refusal> {
    query::reject_parameters(raw.as_deref())?;
    Ok(answer(&GenerationList::of(&*report(&reader)?)))
}

async fn rollouts(State(reader): State<Reader>, RawQuery(raw): RawQuery) -> Result<Response, Refusal> {
    query::reject_parameters(raw.as_deref())?;
    Ok(answer(&RolloutList::of(&*findings(&reader)?)))
}

async fn plan(State(reader): State<Reader>, RawQuery(raw): RawQuery) -> Result<Response, Refusal> {
    query::reject_parameters(raw.as_deref())?;
    Ok(answer(&Plan::of(&*findings(&reader)?)))
}

async fn document(RawQuery(raw): RawQuery) -> Result<Response, Refusal> {
    query::reject_parameters(raw.as_deref())?;
    Ok(answer(&openapi::document()))
}

async fn not_found() -> Response {
    let message = format!("there is nothing at this address; {} lists what there is", openapi::DOCUMENT);
    problem(StatusCode::NOT_FOUND, message)
}

async fn method_not_allowed() -> Response {
    let allow = (header::ALLOW, "GET, HEAD");
    ([allow], problem(StatusCode::METHOD_NOT_ALLOWED, "everything here is only read, by GET or HEAD")).into_response()
}

/// The workload of this name; its kind in upper or lower case.
pub(super) fn find<'r>(
    report: &'r Report,
    namespace: &str,
    kind: &str,
    name: &str,
) -> Option<&'r Arc<crate::core::report::WorkloadReport>> {
    let is = |w: &&Arc<crate::core::report::WorkloadReport>| {
        &*w.name == name && &*w.namespace == namespace && w.kind.eq_ignore_ascii_case(kind)
    };
    report.workloads.iter().find(is)
}
