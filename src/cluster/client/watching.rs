//! What a watch's requests and answers pass, so that it is neither a hot loop nor blind.
//!
//! kube's watcher asks again at once when a watch ends, and waits for the next event for as long as the watch was asked to
//! last. So each watch asks through a [`Pace`] of its own: how often it asks depends on how long its watches live, whatever
//! they ended by, and one that shows no sign of life is ended by us.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use kube::{
    client::Body,
    runtime::{utils::Backoff as _, watcher::DefaultBackoff},
};
use memchr::memmem;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tower::{BoxError, Service};

use super::{first_list::failure, layer::verb};
use crate::metrics::{WatchHealth, Watches};

/// A watch that has lived for this long was none of those that end at once, and what failed before it does not count any more.
const STEADY: Duration = Duration::from_secs(10);

/// The API server sends a bookmark each minute, however quiet the kind is. One that is late by half a minute does not come.
const SILENCE: Duration = Duration::from_secs(90);

/// Of failures in a row, the second is told, the first having been mended at once; and then every twentieth, which is one
/// in about ten minutes.
const TOLD_AGAIN: u32 = 20;

/// How one watch fares. All its requests and answers pass it.
#[derive(Debug)]
pub(in crate::cluster) struct Pace {
    kind: String,
    namespace: Option<String>,
    state: Mutex<State>,
}

struct State {
    /// Something has ended or failed since the last request.
    trouble: bool,
    /// How often in a row.
    failures: u32,
    /// What was wrong the last time.
    why: Option<String>,
    backoff: DefaultBackoff,
    /// The watch that is open was answered then.
    since: Option<Instant>,
    /// This watch was ever sent a bookmark, so it will be again.
    bookmarked: bool,
    /// The last watch ended without a sign of life.
    silent: bool,
    health: WatchHealth,
    /// For how long nothing was heard when it lost its connection; `None`: it has one.
    down: watch::Sender<Option<Duration>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("failures", &self.failures).field("since", &self.since).finish_non_exhaustive()
    }
}

impl Pace {
    /// Of a watch that is about to begin; it is counted as `counted_as` when it is down.
    pub(in crate::cluster) fn new(
        kind: &str,
        namespace: Option<&str>,
        watches: &Watches,
        counted_as: &'static str,
    ) -> Self {
        let state = State {
            trouble: false,
            failures: 0,
            why: None,
            backoff: DefaultBackoff::default(),
            since: None,
            bookmarked: false,
            silent: false,
            health: watches.health(counted_as),
            down: watch::Sender::new(None),
        };
        Self { kind: kind.to_owned(), namespace: namespace.map(str::to_owned), state: Mutex::new(state) }
    }

    /// Tells when the watch loses its connection, and when it has one again.
    pub(in crate::cluster) fn connection(&self) -> watch::Receiver<Option<Duration>> {
        self.state().down.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever reads the answers found this wrong with them; whether the watch had been steady until then.
    pub(in crate::cluster) fn failed(&self, why: String) -> bool {
        let mut state = self.state();
        state.ended();
        state.why = Some(why);
        state.failures == 0
    }

    /// Only a person can mend it. The next request has nothing to do with those before.
    pub(in crate::cluster) fn unavailable(&self) {
        let mut state = self.state();
        state.ended();
        (state.trouble, state.failures, state.silent, state.why) = (false, 0, false, None);
        state.backoff.reset();
        state.health.refused();
    }

    /// Waits until there may be another request.
    async fn turn(&self) {
        let delay = {
            let mut state = self.state();
            if !std::mem::take(&mut state.trouble) {
                return;
            }
            state.failures = state.failures.saturating_add(1);
            let down = state.down();
            state.tell(down);
            let why = state.why.take();
            self.tell(state.failures, why.as_deref().unwrap_or("the watch ended"));
            // The first one is retried at once: most often the server just closed the connection, and that is all.
            if state.failures == 1 { Duration::ZERO } else { state.backoff.next().unwrap_or_default() }
        };
        sleep(delay).await;
    }

    fn tell(&self, failures: u32, error: &str) {
        let (kind, namespace) = (&*self.kind, self.namespace.as_deref());
        if failures == 2 || failures.is_multiple_of(TOLD_AGAIN) {
            tracing::warn!(kind, namespace, error, failures, "cannot watch, trying again");
        } else {
            tracing::debug!(kind, namespace, error, failures, "watch interrupted, taking it up again");
        }
    }

    /// A watch was answered.
    fn began(&self) {
        self.state().since = Some(Instant::now());
    }

    /// Something came, or nothing for a while.
    fn lives(&self, came: Option<&[u8]>) {
        let mut state = self.state();
        if let Some(came) = came {
            state.silent = false;
            // The mark at the end of a list comes once, and from some who send no others.
            let has = |text: &str| memmem::find(came, text.as_bytes()).is_some();
            state.bookmarked = state.bookmarked || has(r#""BOOKMARK""#) && !has("k8s.io/initial-events-end");
        }
        if state.is_steady() && !state.silent {
            if state.failures > 1 {
                tracing::info!(kind = &*self.kind, namespace = self.namespace.as_deref(), "watching again");
            }
            state.calm();
        }
        if !state.down() {
            state.tell(false);
        }
    }

    /// Nothing has come for so long that something should have.
    fn silent(&self) {
        let mut state = self.state();
        state.silent = state.bookmarked;
        state.why = Some(format!("no sign of life for {} s", SILENCE.as_secs()));
    }
}

impl State {
    fn is_steady(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= STEADY)
    }

    fn calm(&mut self) {
        self.failures = 0;
        self.backoff.reset();
    }

    /// The first failure is retried at once, and most often that is all.
    fn down(&self) -> bool {
        self.failures > 1 || self.silent
    }

    /// Whoever counts the watches, and whoever follows this one, learns whether it is down.
    fn tell(&mut self, down: bool) {
        self.health.set(down);
        let quiet = if self.silent { SILENCE } else { Duration::ZERO };
        self.down.send_if_modified(|told| {
            let news = told.is_some() != down;
            if news {
                *told = down.then_some(quiet);
            }
            news
        });
    }

    fn ended(&mut self) {
        if self.is_steady() {
            self.calm();
        }
        (self.since, self.trouble) = (None, true);
    }
}

/// Asks as a kube client does, at a watch's pace.
#[derive(Clone)]
pub(super) struct Paced {
    client: kube::Client,
    pace: Arc<Pace>,
}

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

impl Paced {
    pub(super) fn new(client: kube::Client, pace: Arc<Pace>) -> Self {
        Self { client, pace }
    }

    async fn send(self, request: Request<Body>) -> Result<Answer, kube::Error> {
        let watches = verb(request.method(), request.uri()) == "watch";
        let goes_on = request.uri().query().is_some_and(|query| query.contains("continue="));
        if !goes_on {
            self.pace.turn().await;
        }
        let response = self.client.send(request).await.inspect_err(|_| self.pace.state().ended())?;
        if !response.status().is_success() {
            self.pace.state().ended();
            let (head, body) = response.into_parts();
            let said = failure(head.status, &body.collect_bytes().await?).to_string();
            return Ok(Response::from_parts(head, Body::from(said.into_bytes()).map_err(Into::into).boxed_unsync()));
        }
        if !watches {
            return Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()));
        }
        self.pace.began();
        Ok(response.map(|body| {
            let open = Open { body, pace: self.pace, heard: Instant::now() };
            let pieces = stream::try_unfold(open, |mut open| async move {
                let next = open.next().await?;
                Ok::<_, BoxError>(next.map(|frame| (frame, open)))
            });
            UnsyncBoxBody::new(StreamBody::new(pieces))
        }))
    }
}

/// A watch that is open; when it is dropped, it has ended.
struct Open {
    body: Body,
    pace: Arc<Pace>,
    /// When something came last.
    heard: Instant,
}

impl Open {
    /// What comes next; `None`: it is over, or nothing comes any more.
    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, BoxError> {
        let silence = self.heard + SILENCE;
        let mut until = silence.min(self.pace.state().since.unwrap_or(self.heard) + STEADY);
        if until <= Instant::now() {
            until = silence;
        }
        loop {
            match timeout_at(until, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => {
                    let frame = frame?;
                    self.heard = Instant::now();
                    self.pace.lives(frame.data_ref().map(|data| &**data));
                    return Ok(Some(frame));
                }
                Err(_) if until < silence => {
                    self.pace.lives(None);
                    until = silence;
                }
                Err(_) => {
                    self.pace.silent();
                    return Ok(None);
                }
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.pace.state().ended();
    }
}

impl Service<Request<Body>> for Paced {
    type Response = Answer;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}
