use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use http::{Method, Uri};
use kube::client::Body;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};

use super::{
    Call, Connection, Error, NoAnswer, connect,
    layer::{creates_pod, purpose, verb},
};

fn verb_of(method: &Method, uri: &str) -> &'static str {
    verb(method, &uri.parse::<Uri>().expect("a URI"))
}

#[test]
fn requests_are_counted_by_the_verbs_of_rbac() {
    assert_eq!(verb_of(&Method::GET, "/version"), "get");
    assert_eq!(verb_of(&Method::GET, "/api/v1"), "get");
    assert_eq!(verb_of(&Method::GET, "/apis/admissionregistration.k8s.io/v1"), "get");
    assert_eq!(verb_of(&Method::GET, "/api/v1/namespaces"), "list");
    assert_eq!(verb_of(&Method::GET, "/api/v1/namespaces/shop"), "get");
    assert_eq!(verb_of(&Method::GET, "/api/v1/namespaces/shop/pods"), "list");
    assert_eq!(verb_of(&Method::GET, "/apis/apps/v1/replicasets?limit=500"), "list");
    assert_eq!(verb_of(&Method::GET, "/apis/apps/v1/namespaces/shop/replicasets/web"), "get");
    assert_eq!(verb_of(&Method::GET, "/api/v1/pods?&watch=true&timeoutSeconds=290"), "watch");
    assert_eq!(verb_of(&Method::POST, "/api/v1/namespaces/shop/pods?dryRun=All"), "create");
    assert_eq!(verb_of(&Method::PATCH, "/apis/apps/v1/namespaces/shop/deployments/web"), "patch");
    assert_eq!(verb_of(&Method::PUT, "/x"), "update");
    assert_eq!(verb_of(&Method::DELETE, "/x"), "delete");
}

#[test]
fn requests_are_counted_by_what_they_are_for() {
    let shop = "/api/v1/namespaces/shop";
    let apps = "/apis/apps/v1/namespaces/shop";
    for (method, uri, expected) in [
        (Method::GET, format!("{shop}/pods?watch=true"), "watch"),
        (Method::GET, "/api/v1/pods?limit=500".to_owned(), "watch"),
        (Method::GET, "/apis/apps/v1/replicasets?limit=500".to_owned(), "watch"),
        (Method::GET, format!("{apps}/replicasets?limit=500"), "watch"),
        (Method::GET, format!("{apps}/replicasets?&labelSelector=app%3Dweb"), "template"),
        (Method::GET, format!("{apps}/replicasets/web-5d?resourceVersion=0"), "template"),
        (Method::GET, format!("{apps}/deployments/web"), "template"),
        (Method::POST, format!("{shop}/pods?dryRun=All"), "dry_run"),
        (Method::POST, format!("{shop}/pods/web-1/eviction"), "rollout"),
        (Method::PATCH, format!("{apps}/deployments/web?dryRun=All"), "rollout"),
        (Method::PATCH, format!("{shop}/configmaps/sidecar-drift-state"), "state"),
        (Method::GET, format!("{shop}/configmaps/sidecar-drift-state"), "state"),
        (Method::PATCH, "/apis/coordination.k8s.io/v1/namespaces/ops/leases/sidecar-drift".to_owned(), "lease"),
        (Method::GET, "/apis/coordination.k8s.io/v1/namespaces/ops/leases/sidecar-drift".to_owned(), "lease"),
        (Method::POST, "/apis/events.k8s.io/v1/namespaces/shop/events".to_owned(), "event"),
        (Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(), "other"),
        (Method::GET, "/version".to_owned(), "other"),
    ] {
        let parsed = uri.parse::<Uri>().expect("a URI");
        let found = purpose(verb(&method, &parsed), &parsed);
        assert_eq!(found, expected, "{method} {uri}");
        assert!(crate::metrics::PURPOSES.contains(&found));
    }
}

#[test]
fn every_pod_that_can_be_created_is_a_dry_run() {
    let call = Call::dry_run_pod("shop", "{}".to_owned());
    assert!(format!("{call:?}").contains("/api/v1/namespaces/shop/pods?dryRun=All&"), "{call:?}");
}

#[tokio::test]
async fn a_pod_that_would_be_created_for_real_is_not_even_sent() {
    for uri in ["/api/v1/namespaces/shop/pods", "/api/v1/namespaces/shop/pods?dryRun=None&x=dryRun=All"] {
        assert!(creates_pod(&Method::POST, &uri.parse().expect("a URI")));
        let (service, mut handle) = tower_test::mock::pair::<_, http::Response<Body>>();
        let cluster = super::Cluster::from_service(service, "https://x", "ops");
        let request = http::Request::post(uri).body(Body::empty()).expect("a request");
        let error = cluster.kube().send(request).await.expect_err("refused");
        assert!(error.to_string().contains("refused to create a Pod for real"), "{error}");
        assert!(futures::poll!(std::pin::pin!(handle.next_request())).is_pending());
    }
}

/// Keeps what is counted as `verb purpose code`.
#[derive(Default)]
struct Counted(Arc<Mutex<Vec<String>>>);

impl metrics::Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        assert_eq!(key.name(), "sidecar_drift_api_requests_total");
        let labels: Vec<&str> = key.labels().map(metrics::Label::value).collect();
        self.0.lock().expect("not poisoned").push(labels.join(" "));
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn every_request_is_counted_by_verb_and_code() {
    let counted = Counted::default();
    let _recording = metrics::set_default_local_recorder(&counted);
    let (service, handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    let cluster = super::Cluster::from_service(service, "https://x", "ops");
    let mut handle = std::pin::pin!(handle);
    let answer = |code: u16| http::Response::builder().status(code).body(Body::empty()).expect("a response");

    let server = async {
        let (_, reply) = handle.next_request().await.expect("a request");
        reply.send_response(answer(201));
        let (_, reply) = handle.next_request().await.expect("a request");
        reply.send_error("broken");
        // Held back for longer than the client waits.
        handle.next_request().await.expect("a request")
    };
    let client = async {
        let created = cluster.call(Call::dry_run_pod("shop", "{}".to_owned())).await.expect("an answer");
        assert_eq!(created.message(), "201 Created");
        cluster.call(Call::get("/version")).await.expect_err("broken");
        let error = cluster.call(Call::get("/api/v1/namespaces")).await.expect_err("no answer");
        assert_eq!(error.sentence(), "the API server did not answer within 10 s");
    };
    let ((), _held_back) = tokio::join!(client, server);
    assert_eq!(
        *counted.0.lock().expect("not poisoned"),
        ["create dry_run 201", "get other error", "list watch timeout"]
    );
}

const KUBECONFIG: &str = r"
apiVersion: v1
kind: Config
clusters: [{ name: c, cluster: { server: 'http://127.0.0.1:1', certificate-authority: /nowhere/ca.crt } }]
contexts: [{ name: blue, context: { cluster: c, user: u } }, { name: green, context: { cluster: c, user: u } }]
users: [{ name: u, user: {} }]
";

async fn failure(kubeconfig: &str, context: Option<&str>) -> Error {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), kubeconfig).expect("written");
    let options = Connection {
        kubeconfig: Some(file.path().to_owned()),
        context: context.map(str::to_owned),
        ..Connection::default()
    };
    match connect(&options).await {
        Ok(cluster) => cluster.probe(None).await.expect_err("a failure"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn each_failure_says_what_is_wrong_and_what_to_do() {
    let missing = Connection { kubeconfig: Some(PathBuf::from("/nowhere/config")), ..Connection::default() };
    let reachable = KUBECONFIG.replace(", certificate-authority: /nowhere/ca.crt", "");
    let errors = [
        connect(&missing).await.expect_err("a failure"),
        failure("{ not: [ yaml", None).await,
        failure("", None).await,
        failure(KUBECONFIG, None).await,
        failure(KUBECONFIG, Some("red")).await,
        failure(KUBECONFIG, Some("blue")).await,
        failure(&reachable, Some("blue")).await,
        Error::NoKubeconfig,
        Error::Tls {
            url: "https://127.0.0.1:6443".to_owned(),
            source: NoAnswer::TimedOut(std::time::Duration::from_secs(10)),
        },
    ];
    let sentences: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(sentences.join("\n"), @r#"
    the kubeconfig /nowhere/config cannot be read: name a readable file with --kubeconfig or the variable KUBECONFIG
    the kubeconfig makes no sense: correct it, or name another one with --kubeconfig
    the kubeconfig names no current context: there are no contexts in it, name another kubeconfig with --kubeconfig
    the kubeconfig names no current context: choose one of blue, green with --context
    the kubeconfig has no context "red": choose one of blue, green with --context
    the certificate-authority of the kubeconfig cannot be used: correct it
    the API server at http://127.0.0.1:1 does not answer: check the address, the network, and that the server is up
    there is no kubeconfig, and this is not a Pod of a cluster: name a kubeconfig with --kubeconfig or the variable KUBECONFIG
    the certificate of the API server at https://127.0.0.1:6443 is not trusted: check the certificate-authority and the address in the kubeconfig
    "#);
}

#[tokio::test]
async fn a_broken_kubeconfig_is_not_quoted() {
    let error = failure("users:\n- name: u\n  user: { token: hunter2\n- name: v\n", None).await;
    let Error::KubeconfigInvalid(source) = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("line "), "{source}");
    assert!(!format!("{error:?} {source}").contains("hunter2"), "{error:?}");
}

#[test]
fn an_untrusted_certificate_is_told_from_a_server_that_is_down() {
    let down = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let error = NoAnswer::Failed(Box::new(down));
    assert!(matches!(Error::of_no_answer("https://x", error), Error::Unreachable { .. }));
    let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let error = NoAnswer::Failed(Box::new(std::io::Error::other(untrusted)));
    assert!(matches!(Error::of_no_answer("https://x", error), Error::Tls { .. }));
}
