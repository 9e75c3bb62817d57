//! The probe of the guard: which refusal is the guard's.

use serde_json::{Value, json};
use sidecar_drift::cluster::guard::{ANNOTATION, Probe, REFUSAL, probe};

use super::api::{Exchange, failure, pair};

async fn probed(server: impl FnOnce(Exchange)) -> Probe {
    let (cluster, mut api) = pair();
    let played = async {
        let exchange = api.expect("POST /api/v1/namespaces/ops/pods?dryRun=All&fieldManager=sidecar-drift").await;
        server(exchange);
        api.expect_silence().await;
    };
    tokio::join!(probe(&cluster, "ops"), played).0
}

/// As API servers from 1.33 to 1.37 refuse on behalf of a policy.
fn denial(words: &str) -> Value {
    let message = format!(
        "pods \"sidecar-drift-guard-probe-x\" is forbidden: ValidatingAdmissionPolicy 'drift-guard' with binding \
         'drift-guard' denied request: {words}"
    );
    let mut status = failure(422, "Invalid", &message);
    status["details"] = json!({ "kind": "pods", "causes": [{ "message": words }] });
    status
}

#[tokio::test]
async fn the_guard_s_own_words_are_its_refusal() {
    let outcome = probed(|exchange| {
        assert_eq!(exchange.body["metadata"]["annotations"], json!({ ANNOTATION: "" }));
        exchange.reply(422, &denial(REFUSAL));
    });
    assert_eq!(outcome.await, Probe::Refused);
}

#[tokio::test]
async fn a_pod_that_is_let_through_means_that_there_is_no_guard() {
    assert_eq!(probed(|exchange| exchange.reply(201, &json!({ "kind": "Pod" }))).await, Probe::Admitted);
}

#[tokio::test]
async fn every_other_refusal_and_no_answer_say_nothing_about_the_guard() {
    let older = "sidecar-drift guard v0: this is a probe and never created";
    let webhook = format!("admission webhook \"x\" denied the request: {REFUSAL}");
    let refusals = [
        (422, denial("another rule of another policy")),
        (422, denial(older)),
        (403, failure(403, "Forbidden", &webhook)),
        (403, failure(403, "Forbidden", "pods is forbidden: User \"x\" cannot create resource \"pods\"")),
        (403, failure(403, "Forbidden", "pods \"x\" is forbidden: exceeded quota: q")),
        (500, failure(500, "InternalError", "failed calling webhook \"x\"")),
        (404, failure(404, "NotFound", "namespaces \"ops\" not found")),
    ];
    for (code, status) in refusals {
        let said = status["message"].as_str().unwrap().to_owned();
        assert_eq!(probed(|exchange| exchange.reply(code, &status)).await, Probe::Unknown(said));
    }
    let Probe::Unknown(message) = probed(Exchange::break_off).await else { panic!("an answer") };
    assert!(message.starts_with("the connection to the API server failed"), "{message}");
}
