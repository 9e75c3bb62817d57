use std::path::PathBuf;

use http::{Method, Uri};
use kube::client::Body;
use serde_json::json;

use super::{
    Call, Connection, Error, Lost, connect,
    layer::{creates_pod, verb},
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
fn every_pod_that_can_be_created_is_a_dry_run() {
    let call = Call::dry_run_pod("shop", json!({}));
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
            source: Lost::TimedOut(std::time::Duration::from_secs(10)),
        },
    ];
    let sentences: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(sentences.join("\n"), @r#"
    the kubeconfig /nowhere/config cannot be read: name a readable file with --kubeconfig or the variable KUBECONFIG
    the kubeconfig makes no sense: correct it, or name another one with --kubeconfig
    the kubeconfig names no current context: there are no contexts in it, name another kubeconfig with --kubeconfig
    the kubeconfig names no current context: choose one of blue, green with --context
    the kubeconfig has no context "red": choose one of blue, green with --context
    the credentials of the kubeconfig cannot be used: log in again, or correct its certificates, keys and plugins
    the API server at http://127.0.0.1:1 does not answer: check the address, the network, and that the server is up
    there is no kubeconfig, and this is not a Pod of a cluster: name a kubeconfig with --kubeconfig or the variable KUBECONFIG
    the certificate of the API server at https://127.0.0.1:6443 is not trusted: check the certificate-authority and the address in the kubeconfig
    "#);
}

#[test]
fn an_untrusted_certificate_is_told_from_a_server_that_is_down() {
    let down = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let lost = Lost::Failed(Box::new(down));
    assert!(matches!(Error::of_lost("https://x", lost), Error::Unreachable { .. }));
    let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let lost = Lost::Failed(Box::new(std::io::Error::other(untrusted)));
    assert!(matches!(Error::of_lost("https://x", lost), Error::Tls { .. }));
}
