//! The JSON Schemas in `docs/schema`: made from the types, and kept by what the commands write.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use sidecar_drift::{
    cli,
    core::{
        compare::IgnoreUse,
        config::WhatIf,
        io::Stop,
        report::{IgnoreReport, Report},
    },
};

use super::{Fake, documents, reports, status};
use crate::schema::mismatches;

/// A report with everything in it that can be left out.
pub(super) fn with_everything() -> Report {
    let mut report = reports::fleet();
    report.paused = Some(Stop { reason: "upgrading".to_owned(), at: report.taken });
    report.breaker.clone_from(&report.paused);
    report.breakers.extend(report.paused.clone().map(|stop| ("shop".into(), stop)));
    report.story = Some(Box::new(reports::story()));
    let supposed = |key: &str| BTreeMap::from([(key.into(), "yes".into())]);
    report.what_if = WhatIf { labels: supposed("a"), annotations: supposed("b"), namespace: Some("next".into()) };
    report.ignore = vec![IgnoreReport { rule: "env A of *".to_owned(), fields: 1, workloads: 1 }];
    if let Some(workload) = report.workloads.first_mut() {
        Arc::make_mut(workload).ignored = vec![IgnoreUse { rule: 1, field: "proxy/env/A/value".to_owned() }];
    }
    report
}

#[test]
fn the_schemas_in_the_docs_are_those_of_the_types() {
    for (name, schema) in cli::schemas() {
        documents::check(&format!("schema/{name}.json"), &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
    }
}

#[test]
fn what_the_commands_write_is_as_its_schema_says() {
    let schemas = BTreeMap::from(cli::schemas());
    let check = |name: &str, fake: &Fake, line: &str| {
        let ran = fake.command(line, None);
        let document: Value =
            serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{line}: {error}: {}", ran.err));
        let mut found = Vec::new();
        mismatches(&document, &schemas[name], &schemas[name], line, &mut found);
        assert!(found.is_empty(), "{found:#?}");
    };
    for report in [with_everything(), reports::fleet(), reports::empty()] {
        check("report", &Fake::new(report.clone()), "scan -o json");
        check("report", &Fake::new(report), "rollout -o json");
    }
    check("report", &Fake::new(reports::fleet()), "diff -o json");
    check("rollout", &Fake::new(reports::rolled()), "rollout --confirm -o json");
    check("status", &Fake::new(reports::empty()).with_status(status::status()), "status -o json");
}

#[test]
fn a_document_that_is_not_as_its_schema_says_is_noticed() {
    let schemas = BTreeMap::from(cli::schemas());
    let ran = Fake::new(with_everything()).command("scan -o json", None);
    let whole: Value = serde_json::from_str(&ran.out).unwrap();
    let wrong = |pointer: &str, value: Value| {
        let mut document = whole.clone();
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not there")) = value;
        let mut found = Vec::new();
        mismatches(&document, &schemas["report"], &schemas["report"], "", &mut found);
        assert!(!found.is_empty(), "{pointer}");
    };
    wrong("/kind", json!("Rollout"));
    wrong("/workloads/0/verdict", json!("fine"));
    wrong("/workloads/0/pods", json!("3"));
    wrong("/summary", json!({}));
    wrong("/story/dependsOn/0", json!({ "what": "x", "by": null, "at": null, "note": null, "more": 1 }));
}
