//! Rule R6, with the API server's own words.

use serde_json::{Value, json};

use crate::core::io::api_response::*;

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message,
        "metadata": {},
    })
}

fn with_causes(mut status: Value) -> Value {
    status["details"] = json!({ "causes": [{ "message": "because" }] });
    status
}

fn render(code: u16, body: &Value) -> RenderAnswer {
    let template = Arc::new(PodShape::default());
    classify_render(&Answer { code, body, retry_after: None }, &template, None, PodShape::from_pod)
}

/// The word of an answer.
fn word(code: u16, reason: &str, message: &str) -> String {
    match render(code, &status(code, reason, message)) {
        RenderAnswer::NameTaken { .. } => "name taken".to_owned(),
        RenderAnswer::Outcome(RenderOutcome::Rejected { message: told }) => {
            assert_eq!(told, message, "the server's words are passed on");
            "rejected".to_owned()
        }
        RenderAnswer::Outcome(RenderOutcome::Undetermined { reason, .. }) => reason.to_string(),
        RenderAnswer::Outcome(RenderOutcome::Gone) => "gone".to_owned(),
        RenderAnswer::Outcome(RenderOutcome::Rendered(_)) => "rendered".to_owned(),
    }
}

#[test]
fn r6_only_201_with_a_whole_pod_is_a_rendering() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "db-6" },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
    });
    let template = Arc::new(PodShape::from_template(&pod));
    let answer = Answer { code: 201, body: &pod, retry_after: None };
    let RenderAnswer::Outcome(RenderOutcome::Rendered(rendering)) =
        classify_render(&answer, &template, Some("db-6"), PodShape::from_pod)
    else {
        panic!("not rendered");
    };
    assert_eq!(rendering.rendered, template);
    assert_eq!(rendering.pod_name.as_deref(), Some("db-6"));

    for body in [
        json!(null),
        json!("{\"kind\":\"Pod\",\"spec\":{\"cont"),
        json!({ "kind": "Pod" }),
        json!({ "kind": "Pod", "metadata": {}, "spec": {} }),
        json!({ "kind": "Pod", "metadata": {}, "spec": { "containers": [] } }),
        json!({ "kind": "Deployment", "metadata": {}, "spec": { "containers": [{}] } }),
    ] {
        let RenderAnswer::Outcome(RenderOutcome::Undetermined { reason, message, .. }) = render(201, &body) else {
            panic!("{body}");
        };
        assert_eq!(reason, UndeterminedReason::ApiError);
        assert!(!message.is_empty());
    }
    for code in [0, 200, 202, 204, 302] {
        assert!(matches!(render(code, &pod), RenderAnswer::Outcome(RenderOutcome::Undetermined { .. })), "{code}");
    }
}

#[test]
fn r6_400_is_undetermined_unless_a_webhook_denied() {
    assert_eq!(word(400, "BadRequest", "the API version in the data does not match"), "api_error");
    assert_eq!(word(400, "BadRequest", r#"admission webhook "a.b.c" does not support dry run"#), "dry_run_unsupported");
    assert_eq!(word(400, "", r#"admission webhook "a.b.c" denied the request: no"#), "rejected");
    assert_eq!(word(400, "", r#"admission webhook "a.b.c" denied the request without explanation"#), "rejected");
}

#[test]
fn r6_401_is_undetermined() {
    assert_eq!(word(401, "Unauthorized", "Unauthorized"), "api_error");
}

#[test]
fn r6_403_of_the_authorizer_is_about_us_and_not_about_the_pod() {
    let rbac = r#"pods is forbidden: User "system:serviceaccount:drift:drift" cannot create resource "pods" in API group "" in the namespace "shop""#;
    assert_eq!(word(403, "Forbidden", rbac), "forbidden");
    assert_eq!(word(403, "Forbidden", &format!("{rbac}: RBAC: role \"x\" not found")), "forbidden");
    let impersonation = r#"serviceaccounts "rs" is forbidden: User "drift" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "kube-system""#;
    assert_eq!(word(403, "Forbidden", impersonation), "forbidden");
    let owner = r#"pods "shop-abc-" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>"#;
    assert_eq!(word(403, "Forbidden", owner), "forbidden");
}

#[test]
fn r6_403_of_admission_is_a_refusal() {
    for message in [
        r#"pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true"#,
        r#"pods "x" is forbidden: error looking up service account shop/x: serviceaccount "x" not found"#,
        r#"pods "x" is forbidden: no PriorityClass with name high was found"#,
        r#"pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2"#,
        r#"pods "x" is forbidden: unable to create new content in namespace shop because it is being terminated"#,
        r#"pods "x" is forbidden: pod rejected: RuntimeClass "gvisor" not found"#,
        r#"pods "x" is forbidden: failed quota: q: must specify limits.cpu for: proxy"#,
        r#"pods "x" is forbidden: insufficient quota to consume: requests.nvidia.com/gpu"#,
        r#"pods "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: User "root" cannot be used"#,
        r#"admission webhook "a.b.c" denied the request: pods is forbidden: User "x" cannot create resource "pods""#,
    ] {
        assert_eq!(word(403, "Forbidden", message), "rejected", "{message}");
    }
}

#[test]
fn r6_403_of_a_moment_is_undetermined() {
    for message in [
        r#"pods "x" is forbidden: not yet ready to handle request"#,
        r#"pods "x" is forbidden: unable to CREATE pods at this time because there was an error enforcing limit ranges"#,
        r#"pods "x" is forbidden: status unknown for quota: q, resources: pods"#,
        r#"pods "x" is forbidden: error looking up service account shop/x: etcdserver: request timed out"#,
    ] {
        assert_eq!(word(403, "Forbidden", message), "api_error", "{message}");
    }
}

#[test]
fn r6_quota_is_full_if_the_pod_fits_once_its_predecessor_is_gone() {
    let quota =
        |amounts: &str| word(403, "Forbidden", &format!(r#"pods "x" is forbidden: exceeded quota: q, {amounts}"#));
    assert_eq!(quota("requested: pods=1, used: pods=10, limited: pods=10"), "quota_full");
    assert_eq!(
        quota("requested: cpu=300m,memory=64Mi, used: cpu=2,memory=1Gi, limited: cpu=2200m,memory=1Gi"),
        "quota_full"
    );
    assert_eq!(quota("requested: cpu=3, used: cpu=0, limited: cpu=2500m"), "rejected", "too small for one such Pod");
    assert_eq!(quota("requested: pods=1, used: pods=12, limited: pods=10"), "rejected", "overdrawn");
    assert_eq!(quota("requested: memory=1500M, used: memory=2Gi, limited: memory=2Gi"), "quota_full");
    assert_eq!(quota("requested: memory=1e3, used: memory=1.5k, limited: memory=2e3"), "quota_full");
    assert_eq!(quota("requested: what=1zz, used: what=9zz, limited: what=1zz"), "quota_full", "not understood");
    assert_eq!(quota("and nothing more"), "quota_full");
}

#[test]
fn r6_404_is_gone_only_for_the_namespace() {
    let mut gone = status(404, "NotFound", r#"namespaces "shop" not found"#);
    gone["details"] = json!({ "kind": "namespaces", "name": "shop" });
    assert_eq!(render(404, &gone), RenderAnswer::Outcome(RenderOutcome::Gone));
    assert_eq!(word(404, "NotFound", "the server could not find the requested resource"), "api_error");
}

#[test]
fn r6_409_is_a_taken_name_or_a_conflict_within() {
    let taken = r#"pods "db-6" already exists, the server was not able to generate a unique name for the object"#;
    assert_eq!(word(409, "AlreadyExists", taken), "name taken");
    assert_eq!(word(409, "Conflict", "Operation cannot be fulfilled on resourcequotas \"q\""), "api_error");
}

#[test]
fn r6_422_is_a_refusal() {
    assert_eq!(
        word(422, "Invalid", r#"Pod "x" is invalid: spec.containers[1].name: Duplicate value: "proxy""#),
        "rejected"
    );
    assert_eq!(
        word(422, "Invalid", r#"pods "x" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no"#),
        "rejected"
    );
}

#[test]
fn r6_429_is_throttled_and_says_for_how_long() {
    let mut body = status(429, "TooManyRequests", "slow down");
    body["details"] = json!({ "retryAfterSeconds": 7 });
    let told = |header| {
        let answer = Answer { code: 429, body: &body, retry_after: header };
        match classify_render(&answer, &Arc::default(), None, PodShape::from_pod) {
            RenderAnswer::Outcome(RenderOutcome::Undetermined { reason, retry_after, .. }) => (reason, retry_after),
            other => panic!("{other:?}"),
        }
    };
    let seconds = |s| Some(Duration::from_secs(s));
    assert_eq!(told(None), (UndeterminedReason::Throttled, seconds(7)));
    assert_eq!(told(seconds(2)), (UndeterminedReason::Throttled, seconds(2)));
    assert_eq!(
        render(429, &json!("Too many requests, please try again later.\n")),
        RenderAnswer::Outcome(RenderOutcome::Undetermined {
            reason: UndeterminedReason::Throttled,
            message: "Too many requests, please try again later.".to_owned(),
            retry_after: None,
        })
    );
}

#[test]
fn r6_5xx_is_undetermined() {
    let unreachable = r#"Internal error occurred: failed calling webhook "a.b.c": failed to call webhook: Post "https://x.y.svc:443/": dial tcp: connection refused"#;
    assert_eq!(word(500, "InternalError", unreachable), "injector_unavailable");
    let old = r#"Internal error occurred: failed calling webhook "a.b.c": Webhook SideEffects is nil"#;
    assert_eq!(word(500, "InternalError", old), "dry_run_unsupported");
    let errored = r#"admission webhook "a.b.c" denied the request: failed to get configuration"#;
    assert_eq!(word(500, "", errored), "injector_unavailable", "the webhook failed, it did not decide");
    assert_eq!(word(429, "", errored), "throttled");
    assert_eq!(
        word(500, "InternalError", "Internal error occurred: jsonpatch add operation does not apply"),
        "api_error"
    );
    assert_eq!(word(503, "ServiceUnavailable", "the server is currently unable to handle the request"), "api_error");
    assert_eq!(word(504, "Timeout", "Timeout: request did not complete within requested timeout"), "api_error");
    for code in [405, 406, 413, 415, 502] {
        assert_eq!(word(code, "", ""), "api_error");
    }
}

fn patch(code: u16, body: &Value) -> PatchOutcome {
    classify_patch(&Answer { code, body, retry_after: None })
}

#[test]
fn a_patch_is_written_when_the_server_says_so() {
    assert_eq!(patch(200, &json!({ "metadata": { "generation": 4 } })), PatchOutcome::Patched { generation: 4 });
    assert!(matches!(patch(200, &json!("{\"metadata\":")), PatchOutcome::Unknown { .. }));
}

#[test]
fn a_failed_test_is_a_conflict_and_a_refusal_is_a_denial() {
    let failed_test = status(422, "Invalid", "the server rejected our request due to an error in our request");
    assert_eq!(patch(422, &failed_test), PatchOutcome::Conflict);
    let mut without = failed_test.clone();
    without["details"] = json!({ "causes": [] });
    assert_eq!(patch(422, &without), PatchOutcome::Conflict);
    assert!(matches!(patch(422, &with_causes(failed_test)), PatchOutcome::Denied { .. }));
    let changed =
        status(409, "Conflict", "Operation cannot be fulfilled on deployments.apps: the object has been modified");
    assert_eq!(patch(409, &changed), PatchOutcome::Conflict);
    for code in [400, 403, 409, 422] {
        let denial = status(code, "", r#"admission webhook "a.b.c" denied the request: frozen"#);
        assert!(matches!(patch(code, &denial), PatchOutcome::Denied { .. }), "{code}");
    }
    let policy = status(
        403,
        "Forbidden",
        "deployments.apps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no",
    );
    assert!(matches!(patch(403, &policy), PatchOutcome::Denied { .. }));
}

#[test]
fn a_patch_that_was_surely_not_written_has_failed() {
    let failed = |code: u16, message: &str| {
        assert!(matches!(patch(code, &status(code, "", message)), PatchOutcome::Failed { .. }), "{code} {message}");
    };
    failed(401, "Unauthorized");
    failed(
        403,
        r#"deployments.apps "x" is forbidden: User "d" cannot patch resource "deployments" in API group "apps" in the namespace "n""#,
    );
    failed(403, "deployments.apps \"x\" is forbidden: not yet ready to handle request");
    failed(400, "error decoding patch");
    failed(429, "Too many requests");
    failed(429, r#"admission webhook "a.b.c" denied the request: slow down"#);
    failed(500, r#"Internal error occurred: failed calling webhook "a.b.c": timeout"#);
    assert_eq!(patch(404, &status(404, "NotFound", "deployments.apps \"x\" not found")), PatchOutcome::Gone);
}

#[test]
fn a_patch_that_may_have_been_written_is_unknown() {
    for (code, message) in [
        (500, "etcdserver: request timed out"),
        (503, "the server is currently unable to handle the request"),
        (504, "Timeout: request did not complete within requested timeout"),
        (302, ""),
    ] {
        assert!(matches!(patch(code, &status(code, "", message)), PatchOutcome::Unknown { .. }), "{code}");
    }
}

#[test]
fn a_patch_of_what_a_webhook_without_dry_runs_looks_at_is_denied() {
    let refused = status(400, "BadRequest", r#"admission webhook "a.b.c" does not support dry run"#);
    assert!(matches!(patch(400, &refused), PatchOutcome::Denied { .. }));
}

fn evict(code: u16, body: &Value) -> EvictOutcome {
    classify_eviction(&Answer { code, body, retry_after: None })
}

#[test]
fn an_eviction_is_done_when_the_server_says_so() {
    for code in [200, 201] {
        assert_eq!(evict(code, &json!({ "kind": "Status", "status": "Success" })), EvictOutcome::Evicted);
    }
    assert_eq!(evict(404, &status(404, "NotFound", r#"pods "db-0" not found"#)), EvictOutcome::Gone);
    let other = "the UID in the precondition (1) does not match the UID in record (2)";
    assert_eq!(evict(409, &status(409, "Conflict", other)), EvictOutcome::Gone, "another Pod has its name");
}

#[test]
fn a_budget_without_room_is_waited_for_and_any_other_429_is_a_failure() {
    let full = |seconds: u64, reason: &str| {
        let mut said =
            status(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.");
        said["details"] = json!({ "causes": [{ "reason": reason }], "retryAfterSeconds": seconds });
        evict(429, &said)
    };
    let wait = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(full(0, "DisruptionBudget"), EvictOutcome::NoHeadroom { retry_after: None });
    assert_eq!(full(1, "DisruptionBudget"), EvictOutcome::NoHeadroom { retry_after: wait(1) });
    assert!(matches!(full(10, "Throttled"), EvictOutcome::Failed { retry_after, .. } if retry_after == wait(10)));
    let header = Answer { code: 429, body: &json!("busy"), retry_after: wait(3) };
    assert!(matches!(classify_eviction(&header), EvictOutcome::Failed { retry_after, .. } if retry_after == wait(3)));
}

#[test]
fn an_eviction_is_denied_by_whoever_decides_and_fails_where_nobody_did() {
    let outcome = |code: u16, message: &str| match evict(code, &status(code, "", message)) {
        EvictOutcome::Denied { message: told } => {
            assert_eq!(told, message, "the server's words are passed on");
            "denied"
        }
        EvictOutcome::Failed { .. } => "failed",
        EvictOutcome::Unknown { .. } => "unknown",
        other => panic!("{code} {message}: {other:?}"),
    };
    let webhook = r#"admission webhook "a.b.c" denied the request: not now"#;
    let right = r#"pods "db-0" is forbidden: User "d" cannot create resource "pods/eviction" in API group "" in the namespace "n""#;
    for (code, message, expected) in [
        (400, webhook, "denied"),
        (403, webhook, "denied"),
        (403, r#"pods "db-0" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no"#, "denied"),
        (422, "Eviction is invalid", "denied"),
        (
            500,
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            "denied",
        ),
        (403, right, "failed"),
        (403, "pods \"db-0\" is forbidden: not yet ready to handle request", "failed"),
        (429, webhook, "failed"),
        (500, webhook, "failed"),
        (500, r#"Internal error occurred: failed calling webhook "a.b.c": timeout"#, "failed"),
        (400, "error decoding", "failed"),
        (401, "Unauthorized", "failed"),
        (500, "etcdserver: request timed out", "unknown"),
        (504, "Timeout: request did not complete within requested timeout", "unknown"),
        (302, "", "unknown"),
    ] {
        assert_eq!(outcome(code, message), expected, "{code} {message}");
    }
    let EvictOutcome::Failed { message, .. } = evict(403, &status(403, "Forbidden", right)) else { panic!("{right}") };
    assert!(message.starts_with("we may not evict, grant that by RBAC: "), "{message}");
}
