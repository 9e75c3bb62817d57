//! The `OpenAPI` document of the API, made from its types.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::query::{PARAMETERS, Parameter};
use crate::document::api::{GenerationList, OneWorkload, Plan, Problem, RolloutList, Status, WorkloadList};

/// How things stand.
pub const STATUS: &str = "/api/v1/status";
/// Workloads, filtered, sorted and in pages.
pub(super) const WORKLOADS: &str = "/api/v1/workloads";
/// One workload.
pub(super) const WORKLOAD: &str = "/api/v1/workloads/{namespace}/{kind}/{name}";
/// What moved.
pub(super) const GENERATIONS: &str = "/api/v1/generations";
/// Rollouts.
pub(super) const ROLLOUTS: &str = "/api/v1/rollouts";
/// The plan.
pub(super) const PLAN: &str = "/api/v1/plan";
/// This document.
pub(super) const DOCUMENT: &str = "/api/v1/openapi.json";

/// The whole document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = reference::<Problem>(&mut schemas);
    let filters: Vec<_> = PARAMETERS.iter().map(in_query).collect();
    let named = vec![
        in_path("namespace", "The namespace."),
        in_path("kind", "The kind, in upper or lower case."),
        in_path("name", "The name."),
    ];
    let mut paths = Map::new();
    let mut add = |path: &str, id: &str, summary: &str, parameters: &[Value], answer: Value| {
        let mut responses = json!({
            "200": response("What was asked for.", &answer),
            "400": response("The question makes no sense.", &problem),
            "503": response("Nothing is known: the process has just started, or another replica leads.", &problem),
        });
        if path.contains('{') {
            responses["404"] = response("There is no such workload.", &problem);
        }
        let operation =
            json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": responses });
        paths.insert(path.to_owned(), json!({ "get": operation }));
    };
    add(STATUS, "status", "How things stand.", &[], reference::<Status>(&mut schemas));
    add(
        WORKLOADS,
        "workloads",
        "Workloads: filtered, sorted, in pages.",
        &filters,
        reference::<WorkloadList>(&mut schemas),
    );
    add(WORKLOAD, "workload", "One workload, with every difference.", &named, reference::<OneWorkload>(&mut schemas));
    add(
        GENERATIONS,
        "generations",
        "What injection depends on and moved, with its cause.",
        &[],
        reference::<GenerationList>(&mut schemas),
    );
    add(ROLLOUTS, "rollouts", "Rollouts of this process.", &[], reference::<RolloutList>(&mut schemas));
    add(
        PLAN,
        "plan",
        "What is rolled, what would be next, what is held by which gate.",
        &[],
        reference::<Plan>(&mut schemas),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sidecar-drift",
            "version": "v1",
            "description": "What sidecar-drift knows of the cluster. Read only. Values of args, command and env are masked: \
                            equal ones look equal as long as the process lives.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas.take_definitions(true) },
    })
}

fn reference<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    Schema::to_value(schemas.subschema_for::<T>())
}

fn response(description: &str, schema: &Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn in_query(parameter: &Parameter) -> Value {
    let one = (parameter.schema)();
    let schema = if parameter.repeats { json!({ "type": "array", "items": one }) } else { one };
    json!({ "name": parameter.name, "in": "query", "description": parameter.meaning, "schema": schema })
}

fn in_path(name: &str, meaning: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": meaning, "schema": { "type": "string", "minLength": 1 } })
}
