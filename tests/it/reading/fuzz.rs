//! The API asked whatever its own document allows, and whatever it does not, by schemathesis.

use std::{fs, process::Command, sync::Arc};

use testbed::tool;

use super::{fleet, published, serve};
use crate::cli::reports;

/// What must hold of every answer. Not among them is that each absurd question is refused: text to look for may be anything.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance,positive_data_acceptance";

/// Questions for each address; the whole is done in half a minute.
const QUESTIONS: &str = "150";

#[test]
fn no_question_makes_the_api_fail_or_answer_with_what_its_document_does_not_say() {
    let Some(schemathesis) = tool("schemathesis") else { return };
    for report in [fleet::of(300), reports::fleet(), reports::empty()] {
        let published = published();
        published.publish(Arc::new(report));
        let (runtime, address) = serve(published, "127.0.0.1:0");
        // It keeps what it has learnt in a folder where it runs.
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(&schemathesis);
        command.args(["run", &format!("http://{address}/api/v1/openapi.json"), "--checks", CHECKS]);
        command.args([
            "--max-examples",
            QUESTIONS,
            "--seed",
            "1",
            "--phases",
            "examples,coverage,fuzzing",
            "--no-color",
        ]);
        let ran = command.current_dir(folder.path()).env("HOME", folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.contains("No issues found"), "{said}");
        drop(runtime);
    }
}

#[test]
fn it_would_be_noticed_if_the_document_were_wrong() {
    let Some(schemathesis) = tool("schemathesis") else { return };
    let published = published();
    published.publish(Arc::new(reports::fleet()));
    let (_runtime, address) = serve(published, "127.0.0.1:0");
    let folder = tempfile::tempdir().unwrap();
    let mut document = sidecar_drift::http::document();
    document["components"]["schemas"]["Progress"]["properties"]["judged"]["type"] = "string".into();
    let file = folder.path().join("openapi.json");
    fs::write(&file, document.to_string()).unwrap();
    let mut command = Command::new(&schemathesis);
    command.arg("run").arg(&file).args(["--url", &format!("http://{address}"), "--checks", CHECKS]);
    command.args(["--include-path", "/api/v1/status", "--max-examples", "1", "--no-color"]);
    let ran = command.current_dir(folder.path()).env("HOME", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(!ran.status.success() && said.contains("Response violates schema"), "{said}");
}
