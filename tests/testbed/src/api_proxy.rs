//! A proxy before the API server that can hold a request back, for tests that kill a client at a chosen moment.
//!
//! Plain HTTP on loopback towards the client, TLS towards the API server. A request with a token is forwarded with that
//! token, any other one with the administrator's certificate.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use kube::Client;
use kube::config::AuthInfo;
use tokio::sync::watch;

use crate::background;
use crate::http_server::{Body, HttpServer, answer};
use crate::kubeconfig::{self, User};
use crate::testbed::Testbed;

/// How long [`Held::reached`] waits.
const REACHED_DEADLINE: Duration = Duration::from_mins(1);

/// A proxy of a test's own. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct ApiProxy<'t> {
    testbed: &'t Testbed,
    kubeconfig: PathBuf,
    state: Arc<State>,
    server: HttpServer,
}

/// A request as the proxy saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxiedRequest {
    /// `PATCH`, ...
    pub method: Method,
    /// Without the query.
    pub path: String,
    /// What follows the question mark; empty if there is none.
    pub query: String,
    /// The client's name for itself.
    pub user_agent: String,
    /// What was sent.
    pub body: Bytes,
    /// The API server's answer; none as long as there is none.
    pub status: Option<u16>,
}

/// Which request a rule is about.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    method: Option<Method>,
    path_contains: Option<String>,
    query_contains: Option<String>,
    not_query_contains: Option<String>,
}

/// When a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the API server sees it. If the client goes away meanwhile, the API server never does.
    Before,
    /// After the API server has carried it out, before the client gets the answer.
    After,
}

/// The one request that a rule has caught, or is going to catch. Dropping it lets the request go.
#[derive(Debug)]
#[must_use = "dropping it lets the request go"]
pub struct Held {
    reached: watch::Receiver<Option<ProxiedRequest>>,
    hold: watch::Sender<Option<Duration>>,
}

struct State {
    administrator: Client,
    anybody: Client,
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<ProxiedRequest>>,
}

struct Rule {
    matcher: Matcher,
    when: When,
    reached: watch::Sender<Option<ProxiedRequest>>,
    /// Closed when the request may go; or says when it may come again.
    hold: watch::Receiver<Option<Duration>>,
}

impl Matcher {
    /// Requests with this method.
    pub fn method(method: Method) -> Self {
        Self { method: Some(method), ..Self::default() }
    }

    /// And with this in the path.
    #[must_use]
    pub fn path_contains(mut self, part: impl Into<String>) -> Self {
        self.path_contains = Some(part.into());
        self
    }

    /// And with this in the query.
    #[must_use]
    pub fn query_contains(mut self, part: impl Into<String>) -> Self {
        self.query_contains = Some(part.into());
        self
    }

    /// And without this in the query.
    #[must_use]
    pub fn not_query_contains(mut self, part: impl Into<String>) -> Self {
        self.not_query_contains = Some(part.into());
        self
    }

    fn matches(&self, request: &ProxiedRequest) -> bool {
        self.method.as_ref().is_none_or(|method| request.method == *method)
            && self.path_contains.as_ref().is_none_or(|part| request.path.contains(part))
            && self.query_contains.as_ref().is_none_or(|part| request.query.contains(part))
            && self.not_query_contains.as_ref().is_none_or(|part| !request.query.contains(part))
    }
}

impl Held {
    /// Waits until a request has come to where it is held, and returns it.
    pub async fn reached(&self) -> Result<ProxiedRequest> {
        let mut reached = self.reached.clone();
        let waiting = tokio::time::timeout(REACHED_DEADLINE, reached.wait_for(Option::is_some));
        let request = waiting.await.context("no request came to where it would be held")?;
        request.context("the proxy is gone")?.clone().context("a held request without a request")
    }

    /// Whether the request that was held has been dropped, because its client has gone away.
    pub fn is_gone(&self) -> bool {
        self.hold.is_closed()
    }

    /// Lets the request go.
    pub fn release(self) {}

    /// Answers it as an API server that has too much to do: 429, and when to come again. For one that is held before.
    pub fn refuse(self, retry_after: Duration) {
        // Fails only if the client has gone away.
        let _ = self.hold.send(Some(retry_after));
    }
}

impl Testbed {
    /// Starts a proxy before the API server, with no rules.
    pub async fn api_proxy(&self) -> Result<ApiProxy<'_>> {
        let administrator = self.client_config().await?;
        let mut anybody = administrator.clone();
        anybody.auth_info = AuthInfo::default();
        // A client belongs to the runtime that it is made in.
        let state = {
            let _background = background::enter()?;
            Arc::new(State {
                administrator: Client::try_from(administrator)?,
                anybody: Client::try_from(anybody)?,
                rules: Mutex::default(),
                requests: Mutex::default(),
            })
        };
        let server = HttpServer::start(None, {
            let state = state.clone();
            move |request| handle(state.clone(), request)
        })?;
        let kubeconfig = self.directory().join(format!("proxy-{}.kubeconfig", server.address().port()));
        kubeconfig::write(&kubeconfig, &kubeconfig::render(&url(&server), None, &User::Nobody))?;
        Ok(ApiProxy { testbed: self, kubeconfig, state, server })
    }
}

fn url(server: &HttpServer) -> String {
    format!("http://{}", server.address())
}

impl ApiProxy<'_> {
    /// Where it listens.
    pub fn url(&self) -> String {
        url(&self.server)
    }

    /// A kubeconfig with which everything goes through the proxy, in the name of the administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig with which everything goes through the proxy, in the name of a ServiceAccount.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.testbed.service_account_token(namespace, name).await?;
        let path = self.kubeconfig.with_extension(format!("{namespace}.{name}.kubeconfig"));
        kubeconfig::write(&path, &kubeconfig::render(&self.url(), None, &User::Token(&token)))?;
        Ok(path)
    }

    /// Holds the first request that comes from now on and matches; the ones after it pass.
    pub fn hold(&self, matcher: Matcher, when: When) -> Held {
        let (reached_sender, reached) = watch::channel(None);
        let (hold_sender, hold) = watch::channel(None);
        lock(&self.state.rules).push(Rule { matcher, when, reached: reached_sender, hold });
        Held { reached, hold: hold_sender }
    }

    /// What has come so far, the oldest first.
    pub fn requests(&self) -> Vec<ProxiedRequest> {
        lock(&self.state.requests).clone()
    }
}

impl State {
    /// Notes a request; the number under which its answer is noted.
    fn note(&self, request: ProxiedRequest) -> usize {
        let mut requests = lock(&self.requests);
        requests.push(request);
        requests.len() - 1
    }

    fn note_answer(&self, number: usize, status: StatusCode) {
        if let Some(request) = lock(&self.requests).get_mut(number) {
            request.status = Some(status.as_u16());
        }
    }

    /// The rule for this request at this moment, which is thereby used up.
    fn take_rule(&self, request: &ProxiedRequest, when: When) -> Option<Rule> {
        let mut rules = lock(&self.rules);
        let index = rules.iter().position(|rule| rule.when == when && rule.matcher.matches(request))?;
        Some(rules.remove(index))
    }
}

impl Rule {
    /// When it may come again, if it is not to be carried out now.
    async fn hold(mut self, request: &ProxiedRequest) -> Option<Duration> {
        let _ = self.reached.send(Some(request.clone()));
        // This ends when the other side is dropped, or has said something.
        while self.hold.borrow().is_none() && self.hold.changed().await.is_ok() {}
        *self.hold.borrow()
    }
}

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Response<Body> {
    match forward(&state, request).await {
        Ok(response) => response,
        Err(error) => answer(StatusCode::BAD_GATEWAY, format!("{error:#}")),
    }
}

/// Dropped when the client goes away, and with it a request that is held; one that is being carried out is not.
async fn forward(state: &Arc<State>, request: Request<Incoming>) -> Result<Response<Body>> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut seen = ProxiedRequest {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        user_agent: parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned(),
        body: body.clone(),
        status: None,
    };
    let number = state.note(seen.clone());
    // Both are about the next server, not about this one.
    parts.headers.remove(HOST);
    parts.headers.remove(CONNECTION);

    if let Some(rule) = state.take_rule(&seen, When::Before)
        && let Some(retry_after) = rule.hold(&seen).await
    {
        let mut refusal = answer(StatusCode::TOO_MANY_REQUESTS, "too many requests, please try again later");
        refusal.headers_mut().insert(RETRY_AFTER, retry_after.as_secs().into());
        state.note_answer(number, refusal.status());
        return Ok(refusal);
    }
    let upstream = if parts.headers.contains_key(AUTHORIZATION) { &state.anybody } else { &state.administrator };
    let upstream = upstream.clone();
    let request = Request::from_parts(parts, kube::client::Body::from(body));
    let response = background::spawn(async move { upstream.send(request).await })?.await??;
    state.note_answer(number, response.status());
    seen.status = Some(response.status().as_u16());
    if let Some(rule) = state.take_rule(&seen, When::After) {
        rule.hold(&seen).await;
    }
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").finish_non_exhaustive()
    }
}
