//! Credentials that are renewed while we run.
//!
//! kube asks a login plugin, and reads a certificate's file, once, and again only where a token says when it ends. A token may be
//! revoked before, or say nothing, and a client certificate ends. So, as kubectl does, we log in again when the API server no
//! longer knows us, and before a client certificate ends.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use kube::{Config, client::Body, config::AuthInfo};
use rustls::{ClientConfig, SignatureScheme};
use tower::{BoxError, Service, ServiceExt as _};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem, time::ASN1Time, x509::X509Version};

use super::{call::chain, error::find_cause};
use crate::clock::{self, ServerClock};

/// Where the API server does not know us, we log in again this often at most: a plugin may ask a person, or a server of others.
const SPACING: Duration = Duration::from_secs(10);

/// How long before its end a certificate is renewed, at most.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// When a client certificate is valid, in the API server's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl Validity {
    /// How long before its end it is to be renewed: for a short-lived one a fifth of its time.
    fn margin(self) -> SignedDuration {
        (self.until.duration_since(self.from) / 5).clamp(SignedDuration::ZERO, MARGIN)
    }

    fn ends_soon(self, now: Timestamp) -> bool {
        self.until.duration_since(now) <= self.margin()
    }

    /// How long a plugin that answers with the same certificate again is left alone.
    fn spacing(self) -> Duration {
        Duration::try_from(self.margin() / 5).unwrap_or_default().max(Duration::from_secs(1))
    }
}

/// A way to the API server with credentials in it.
#[derive(Clone)]
pub(super) struct Session<S> {
    pub(super) service: S,
    /// `None`: there is no client certificate.
    pub(super) certificate: Option<Validity>,
}

/// When the client certificate is valid that a connection would show.
pub(super) fn validity(tls: &ClientConfig) -> Option<Validity> {
    let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ED25519];
    let shown = tls.client_auth_cert_resolver.resolve(&[], &schemes)?;
    let (_, certificate) = parse_x509_certificate(shown.cert.first()?).ok()?;
    let valid = certificate.validity();
    let time = |time: ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    Some(Validity { from: time(valid.not_before)?, until: time(valid.not_after)? })
}

/// The subject of a client certificate that is older than X.509 version 3, which TLS libraries of today do not take.
pub(super) fn outdated(user: &AuthInfo) -> Option<String> {
    let pem = match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => STANDARD.decode(data).ok()?,
        (None, Some(file)) => std::fs::read(file).ok()?,
        (None, None) => return None,
    };
    let (_, pem) = parse_x509_pem(&pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    (certificate.version() != X509Version::V3).then(|| certificate.subject().to_string())
}

type LogIn<S> = dyn Fn() -> kube::Result<Session<S>> + Send + Sync;

struct State<S> {
    session: RwLock<Session<S>>,
    /// When we last logged in again, or tried, by [`clock::elapsed`]; locked while somebody does.
    tried: Mutex<Option<Duration>>,
    log_in: Box<LogIn<S>>,
    clock: ServerClock,
}

/// Requests go through the session that is in force; when it ends, another one is made beside them.
pub(super) struct Renewing<S>(Arc<State<S>>);

impl<S> Clone for Renewing<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Renewing<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewing").finish_non_exhaustive()
    }
}

/// Whether another look at the credentials can find others.
pub(super) fn renewable(config: &Config) -> bool {
    let user = &config.auth_info;
    user.exec.is_some()
        || user.auth_provider.is_some()
        || user.token_file.is_some()
        || user.client_certificate.is_some()
        || user.client_key.is_some()
}

impl<S: Clone + Send + Sync + 'static> Renewing<S> {
    /// The first session is made at once; `log_in` may block.
    pub(super) fn new(
        log_in: impl Fn() -> kube::Result<Session<S>> + Send + Sync + 'static,
        clock: ServerClock,
    ) -> kube::Result<Self> {
        let session = RwLock::new(log_in()?);
        Ok(Self(Arc::new(State { session, tried: Mutex::default(), log_in: Box::new(log_in), clock })))
    }

    fn session(&self) -> Session<S> {
        self.0.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs in again, beside the requests, unless somebody does or just did.
    fn renew(&self, spacing: Duration) {
        let state = Arc::clone(&self.0);
        // What a plugin does blocks.
        tokio::task::spawn_blocking(move || {
            let Ok(mut tried) = state.tried.try_lock() else { return };
            let now = clock::elapsed();
            if tried.is_some_and(|tried| now.saturating_sub(tried) < spacing) {
                return;
            }
            *tried = Some(now);
            match (state.log_in)() {
                Ok(session) => {
                    *state.session.write().unwrap_or_else(PoisonError::into_inner) = session;
                    tracing::info!("logged in again");
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot log in again: the credentials stay as they were");
                }
            }
        });
    }
}

impl<S, B> Service<Request<Body>> for Renewing<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let session = self.session();
        let now = self.0.clock.now().wall;
        if let Some(certificate) = session.certificate.filter(|certificate| certificate.ends_soon(now)) {
            self.renew(certificate.spacing());
        }
        let this = self.clone();
        Box::pin(async move {
            let answer = session.service.oneshot(request).await.map_err(Into::into);
            if unknown(&answer) {
                this.renew(SPACING);
            }
            answer
        })
    }
}

/// Whether the server does not, or no longer, take the credentials: by its answer, or while the connection is made.
fn unknown<B>(answer: &Result<Response<B>, BoxError>) -> bool {
    match answer {
        Ok(response) => response.status() == StatusCode::UNAUTHORIZED,
        Err(error) => {
            let alert = |cause: &(dyn StdError + 'static)| match cause.downcast_ref() {
                Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
                _ => None,
            };
            find_cause(&**error, &alert).is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU32, Ordering},
    };

    use axum::{Router, http::HeaderMap};
    use tokio::{net::TcpListener, task::JoinSet};
    use tower::util::BoxCloneSyncService;

    use super::*;
    use crate::cluster::client::{Connection, connect};

    type Counted = BoxCloneSyncService<Request<Body>, Response<u32>, Infallible>;

    /// The session after so many; the API server knows nobody but the one with this number.
    fn session(number: u32, known: u32) -> Session<Counted> {
        let status = if number == known { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        let service = tower::service_fn(move |_| async move {
            Ok(Response::builder().status(status).body(number).expect("an answer"))
        });
        Session { service: BoxCloneSyncService::new(service), certificate: None }
    }

    async fn ask(renewing: &Renewing<Counted>) -> StatusCode {
        renewing.clone().call(Request::new(Body::empty())).await.expect("an answer").status()
    }

    /// Runs a test with one thread for what blocks, so that it is done in order.
    fn run(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().max_blocking_threads(1).build().expect("a runtime").block_on(test);
    }

    /// Until nobody logs in any more.
    async fn settled() {
        tokio::task::spawn_blocking(|| ()).await.expect("no panic");
    }

    fn logged_in(known: u32) -> (Renewing<Counted>, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let log_in = move || Ok(session(counter.fetch_add(1, Ordering::Relaxed), known));
        (Renewing::new(log_in, ServerClock::default()).expect("a session"), asked)
    }

    #[test]
    fn who_is_not_known_any_more_logs_in_again() {
        run(async {
            let (renewing, asked) = logged_in(1);
            assert_eq!(ask(&renewing).await, StatusCode::UNAUTHORIZED);
            settled().await;
            assert_eq!(ask(&renewing).await, StatusCode::OK);
            settled().await;
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        });
    }

    #[test]
    fn who_stays_unknown_does_not_ask_the_plugin_again_and_again() {
        run(async {
            let (renewing, asked) = logged_in(99);
            for _ in 0..100 {
                assert_eq!(ask(&renewing).await, StatusCode::UNAUTHORIZED);
            }
            settled().await;
            assert_eq!(asked.load(Ordering::Relaxed), 2, "at the start, and once in ten seconds");
        });
    }

    #[test]
    fn a_certificate_is_renewed_before_its_end() {
        let time = |second| Timestamp::from_second(second).expect("a time");
        let day = Validity { from: time(0), until: time(86_400) };
        assert!(!day.ends_soon(time(86_099)) && day.ends_soon(time(86_100)) && day.ends_soon(time(90_000)));
        let short = Validity { from: time(0), until: time(25) };
        assert!(!short.ends_soon(time(19)) && short.ends_soon(time(20)));
        assert_eq!((day.spacing(), short.spacing()), (Duration::from_mins(1), Duration::from_secs(1)));
        // What ends before it begins is always at its end, and overflows nothing.
        assert!(Validity { from: Timestamp::MAX, until: Timestamp::MIN }.ends_soon(time(0)));
    }

    #[tokio::test]
    async fn a_plugin_that_says_nothing_of_an_end_is_asked_again_after_a_401() {
        let folder = tempfile::tempdir().expect("a folder");
        let count = folder.path().join("count");
        let script = format!(
            "echo x >> {count}; printf '{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \
             \"status\": {{\"token\": \"%s\"}}}}' \"$(wc -l < {count} | tr -d ' ')\"",
            count = count.display()
        );
        // At the start kube asks twice: for a token, and for a certificate.
        let known = |headers: HeaderMap| async move {
            let token = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let number: u32 = token.trim_start_matches("Bearer ").parse().unwrap_or(0);
            if number > 2 { (StatusCode::OK, "{}") } else { (StatusCode::UNAUTHORIZED, "{}") }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, Router::new().fallback(known)).await });

        let kubeconfig = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1",
                "interactiveMode": "Never", "command": "sh", "args": ["-c", script]}}}],
        });
        let file = folder.path().join("config");
        std::fs::write(&file, kubeconfig.to_string()).expect("written");
        let cluster =
            connect(&Connection { kubeconfig: Some(file), ..Connection::default() }).await.expect("a connection");
        let ask = || async {
            let request = Request::get("/version").body(Body::empty()).expect("a request");
            cluster.kube().send(request).await.expect("an answer").status()
        };
        assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
        let known = tokio::time::timeout(Duration::from_secs(30), async {
            while ask().await != StatusCode::OK {
                tokio::task::yield_now().await;
            }
        });
        known.await.expect("known again");
    }

    /// A client certificate of X.509 version 1 for `CN=admin`, made for this test, with its key; valid until 2126-11-06.
    const VERSION_1: [&str; 2] = [
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJUakNCOVFJVWV5alpWVTAwdmtFZnYrLzBDclNXSzZPTGpTTXdDZ1lJS29aSXpqMEVBd0\
        l3S1RFWE1CVUcKQTFVRUNnd09jM2x6ZEdWdE9tMWhjM1JsY25NeERqQU1CZ05WQkFNTUJXRmtiV2x1TUNBWERUSTJNVEV6TURFNQpNRGN6TjFv\
        WUR6SXhNall4TVRBMk1Ua3dOek0zV2pBcE1SY3dGUVlEVlFRS0RBNXplWE4wWlcwNmJXRnpkR1Z5CmN6RU9NQXdHQTFVRUF3d0ZZV1J0YVc0d1\
        dUQVRCZ2NxaGtqT1BRSUJCZ2dxaGtqT1BRTUJCd05DQUFUYkgwVHEKN0F0V3ZmblJROXloQllsY0hjNkQxSi9UYzlmc2dmSDB0VXNQTndLWUp4\
        S1J1Tm10MHZBdDVaNGRHR25SWWV0QgpxdGNRNmpXS1kreHgxdUhmTUFvR0NDcUdTTTQ5QkFNQ0EwZ0FNRVVDSUI3VU1FS2tZbmRvZ3Q2ZUdWeF\
        ltdjVnCmRxcTRpdXBTWHE3TTFIUHBIMWlWQWlFQW9FdVBxeUhKMFZvaExyMlRCV0paQlkyeTFUTittRkd2SEp3dW1NLzMKWUYwPQotLS0tLUVO\
        RCBDRVJUSUZJQ0FURS0tLS0tCg==",
        "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JR0hBZ0VBTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSEJHMHdhd0lCQVFRZ2ZvVWJnRj\
        BHM2pQZzA2RG0KbStBRVNhSlVUYko3bFhscWhjMzF4anp3d3ZlaFJBTkNBQVRiSDBUcTdBdFd2Zm5SUTl5aEJZbGNIYzZEMUovVApjOWZzZ2ZI\
        MHRVc1BOd0tZSnhLUnVObXQwdkF0NVo0ZEdHblJZZXRCcXRjUTZqV0tZK3h4MXVIZgotLS0tLUVORCBQUklWQVRFIEtFWS0tLS0tCg==",
    ];

    #[tokio::test]
    async fn a_client_certificate_of_version_1_is_named() {
        let [certificate, key] = VERSION_1;
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"client-certificate-data": certificate, "client-key-data": key}}],
        });
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), kubeconfig.to_string()).expect("written");
        let options = Connection { kubeconfig: Some(file.path().to_owned()), ..Connection::default() };
        let error = connect(&options).await.expect_err("refused").to_string();
        assert_eq!(
            error,
            "the client certificate of \"O=system:masters, CN=admin\" in the kubeconfig is not an X.509 version 3 \
             certificate: have it issued again as version 3"
        );
    }

    #[test]
    fn the_certificate_that_a_connection_shows_says_when_it_ends() {
        let pem = STANDARD.decode(VERSION_1[0]).expect("base64");
        let (_, pem) = parse_x509_pem(&pem).expect("PEM");
        let key = rustls::crypto::ring::sign::any_supported_type(&private_key()).expect("a key");
        let shown = rustls::sign::CertifiedKey::new(vec![pem.contents.into()], key);
        let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        assert_eq!(validity(&tls), None);
        tls.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
        assert_eq!(validity(&tls).expect("a certificate").until.to_string(), "2126-11-06T19:07:37Z");
    }

    fn private_key() -> rustls::pki_types::PrivateKeyDer<'static> {
        use rustls::pki_types::pem::PemObject as _;

        let pem = STANDARD.decode(VERSION_1[1]).expect("base64");
        rustls::pki_types::PrivateKeyDer::from_pem_slice(&pem).expect("a key")
    }
}
