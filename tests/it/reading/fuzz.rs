//! The API asked whatever its own document allows, and whatever it does not, by schemathesis.

use std::{fs, path::Path, process::Command, sync::Arc};

use serde_json::Value;
use sidecar_drift::{core::report::Report, http};
use testbed::tool;

use super::{fleet, published, serve};
use crate::cli::reports;

/// What must hold of every answer. Not among them is that each absurd question is refused: text to look for may be anything.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance,positive_data_acceptance";

/// Questions for each address, beside those that try each parameter: the whole is done in half a minute.
const QUESTIONS: &str = "80";

/// Asks whoever has this report what the document says; whether all answers were right, and what was said of them.
fn asked(schemathesis: &Path, document: &Value, report: Report) -> (bool, String) {
    let published = published();
    published.publish(Arc::new(report));
    let (_runtime, address) = serve(published, "127.0.0.1:0");
    // It keeps what it has learnt in a folder where it runs.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    fs::write(&file, document.to_string()).unwrap();
    let mut command = Command::new(schemathesis);
    command.arg("run").arg(&file).args(["--url", &format!("http://{address}"), "--checks", CHECKS]);
    command.args(["--max-examples", QUESTIONS, "--seed", "1", "--phases", "examples,coverage,fuzzing", "--no-color"]);
    let ran = command.current_dir(folder.path()).env("HOME", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    (ran.status.success(), said.into_owned())
}

/// The document, with a workload of the report as the example of one: names made up by chance hit none.
fn document(report: &Report) -> Value {
    let mut document = http::document();
    if let Some(w) = report.workloads.first() {
        let parameters = &mut document["paths"]["/api/v1/workloads/{namespace}/{kind}/{name}"]["get"]["parameters"];
        for (parameter, example) in parameters.as_array_mut().unwrap().iter_mut().zip([&w.namespace, &w.kind, &w.name])
        {
            parameter["example"] = Value::from(&**example);
        }
    }
    document
}

#[test]
fn no_question_makes_the_api_fail_or_answer_with_what_its_document_does_not_say() {
    let Some(schemathesis) = tool("schemathesis") else { return };
    for report in [fleet::of(300), reports::empty()] {
        let (right, said) = asked(&schemathesis, &document(&report), report);
        let all = said.lines().find(|line| line.contains(" generated, ")).unwrap_or_default().trim();
        let numbers: Vec<u32> = all.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        let [generated, passed] = numbers[..] else { panic!("{said}") };
        assert!(right && generated > 200 && generated == passed, "{said}");
        println!("{all}");
    }
}

#[test]
fn it_would_be_noticed_if_the_document_were_wrong() {
    let Some(schemathesis) = tool("schemathesis") else { return };
    let mut document = http::document();
    document["components"]["schemas"]["Progress"]["properties"]["judged"]["type"] = "string".into();
    document["paths"].as_object_mut().unwrap().retain(|path, _| path == "/api/v1/status");
    let (right, said) = asked(&schemathesis, &document, reports::fleet());
    assert!(!right && said.contains("Response violates schema"), "{said}");
}
