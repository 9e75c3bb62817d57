//! Connections of whoever can reach a listener: a few of them, each for a while, and a request no larger than ours are.
//!
//! No stranger can keep the kubelet out by holding connections: where there are as many as are allowed, the one that has
//! waited longest without a request gives way, of the address that holds most. And no answer is in memory for longer than
//! its reader takes it.

use std::{
    convert::Infallible,
    io::ErrorKind,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout, timeout_at},
};
use tower::ServiceExt as _;

/// What a listener bears.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time. The kubelet needs one, Prometheus a few, a browser six.
    pub(super) connections: usize,
    /// A connection without a request for this long is closed, as is one whose request is not complete.
    pub(super) request: Duration,
    /// An answer that is not read for this long is given up.
    pub(super) answer: Duration,
}

/// What each listener of ours bears.
pub(super) const LIMITS: Limits =
    Limits { connections: 64, request: Duration::from_secs(10), answer: Duration::from_secs(30) };

/// The head of a request, and what is read or written at once. hyper answers 431 to a longer head.
pub(super) const BUFFER: usize = 16 << 10;

/// A connection that answers gives way only after this long: whoever asked is slow, or is none.
const GRACE: Duration = Duration::from_secs(2);

/// So many long answers are in memory at a time.
pub(super) const LONG_ANSWERS: usize = 4;

/// A request that would need one more waits for this long.
const WAITS_FOR_AN_ANSWER: Duration = Duration::from_secs(2);

/// After the system would give no connection: most often it has no file descriptor left.
const OUT_OF_ORDER: Duration = Duration::from_secs(1);

/// What a connection is doing, and since when.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It waits for a request, or for the rest of one.
    Waits(Instant),
    /// A request is being answered.
    Answers(Instant),
}

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Strangers {
    limits: Limits,
    open: Vec<Open>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
struct Open {
    from: IpAddr,
    phase: watch::Receiver<Phase>,
    task: AbortHandle,
}

impl Strangers {
    /// None yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, open: Vec::new(), tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    /// Takes in whoever comes, for ever.
    pub(super) async fn take_in(&mut self, listener: &TcpListener, router: &Router) -> Infallible {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer.ip(), router),
                    Err(error) => if !is_of_the_peer(error.kind()) {
                        tracing::warn!(%error, "cannot take a connection in, trying again");
                        sleep(OUT_OF_ORDER).await;
                    },
                },
                Some(_) = self.tasks.join_next() => self.open.retain(|open| !open.task.is_finished()),
            }
        }
    }

    /// Lets requests in flight finish, and takes no more.
    pub(super) async fn end(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }

    fn admit(&mut self, stream: TcpStream, from: IpAddr, router: &Router) {
        let from = from.to_canonical();
        self.open.retain(|open| !open.task.is_finished());
        if self.open.len() >= self.limits.connections {
            let Some(gives_way) = self.gives_way() else {
                tracing::debug!(%from, "all connections are being answered: one more is refused");
                return;
            };
            self.open.swap_remove(gives_way).task.abort();
        }
        let (sender, phase) = watch::channel(Phase::Waits(Instant::now()));
        let talking = talk(stream, router.clone(), self.limits, sender, self.stop.subscribe());
        let task = self.tasks.spawn(talking);
        self.open.push(Open { from, phase, task });
    }

    /// Which connection is the least loss: one that waits before one that is answered, then one of whoever has most, then
    /// the one that has done so for longest.
    fn gives_way(&self) -> Option<usize> {
        let now = Instant::now();
        let of = |from: IpAddr| self.open.iter().filter(|open| open.from == from).count();
        let dispensable = self.open.iter().enumerate().filter_map(|(place, open)| match *open.phase.borrow() {
            Phase::Waits(since) => Some(((0, usize::MAX - of(open.from), since), place)),
            Phase::Answers(since) if now.duration_since(since) < GRACE => None,
            Phase::Answers(since) => Some(((1, usize::MAX - of(open.from), since), place)),
        });
        dispensable.min().map(|(_, place)| place)
    }
}

/// Whether the error is about one connection, and the next one may be fine.
fn is_of_the_peer(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

/// Answers what is asked through one connection, until its end or ours.
async fn talk(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    phase: watch::Sender<Phase>,
    mut stop: watch::Receiver<bool>,
) {
    let watched = phase.subscribe();
    let phase = Arc::new(phase);
    let service = service_fn(move |request| {
        let busy = Busy::begin(phase.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(answer(router, request, busy).await) }
    });
    let mut http = http1::Builder::new();
    let connection = http.max_buf_size(BUFFER).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut overdue = std::pin::pin!(overdue(watched, limits));
    let mut stopping = false;
    loop {
        tokio::select! {
            // What went wrong is the peer's to know.
            _ = connection.as_mut() => return,
            () = &mut overdue => return,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Waits until the connection has been doing the same for too long.
async fn overdue(mut phase: watch::Receiver<Phase>, limits: Limits) {
    loop {
        let until = match *phase.borrow_and_update() {
            Phase::Waits(since) => since + limits.request,
            Phase::Answers(since) => since + limits.answer,
        };
        match timeout_at(until, phase.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// Nobody here reads what a request brings beside its head; a connection that brings more is closed.
async fn answer(router: Router, request: Request<Incoming>, busy: Busy) -> Response<Pieces> {
    let (head, body) = request.into_parts();
    let brings_more = !body.is_end_stream();
    let Ok(mut answer) = router.oneshot(Request::from_parts(head, Body::empty())).await;
    if brings_more {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer.map(|body| Pieces { body, rest: Bytes::new(), _busy: busy })
}

/// While it lives, a request is being answered.
#[derive(Debug)]
struct Busy(Arc<watch::Sender<Phase>>);

impl Busy {
    fn begin(phase: Arc<watch::Sender<Phase>>) -> Self {
        phase.send_replace(Phase::Answers(Instant::now()));
        Self(phase)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_replace(Phase::Waits(Instant::now()));
    }
}

/// An answer in pieces of [`BUFFER`] at most. Given more at once, hyper takes the whole of it, and then nobody knows whether
/// it is being read.
#[derive(Debug)]
struct Pieces {
    body: Body,
    rest: Bytes,
    _busy: Busy,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
            }
        }
        let piece = self.rest.len().min(BUFFER);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (more, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(more.lower() + rest);
        if let Some(upper) = more.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Lets only [`LONG_ANSWERS`] be made and read at a time; health is not asked behind it.
pub(super) async fn few_at_a_time(State(answers): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(Ok(permit)) = timeout(WAITS_FOR_AN_ANSWER, answers.acquire_owned()).await else {
        let why = "too much is being read at this moment; ask again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], why).into_response();
    };
    // It is held until the answer was read, or given up.
    next.run(request).await.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &permit;
            frame
        }))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{SocketAddr, TcpStream as Socket},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use axum::{middleware::from_fn_with_state, routing::get};
    use tokio::{runtime::Runtime, sync::Notify};

    use super::*;

    const FEW: Limits = Limits { connections: 8, request: Duration::from_hours(1), answer: Duration::from_hours(1) };

    /// A listener of these limits, with a runtime of its own, so that a test may block.
    fn listening(limits: Limits, router: Router) -> (Runtime, SocketAddr) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { Strangers::new(limits).take_in(&listener, &router).await });
        (runtime, address)
    }

    fn ok() -> Router {
        Router::new().route("/", get(|| async { "ok" })).fallback(|| async { "nothing" })
    }

    fn says(address: SocketAddr, text: &[u8]) -> Socket {
        let mut socket = Socket::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        // Whoever is turned away may notice while writing.
        _ = socket.write_all(text);
        socket
    }

    fn asks(address: SocketAddr) -> String {
        all(says(address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    /// What comes until the end of the connection, however it ends.
    fn all(mut socket: Socket) -> String {
        let mut answer = Vec::new();
        if let Err(error) = socket.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the connection was left open");
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn half_open_connections_give_way_to_a_request() {
        let (_runtime, address) = listening(FEW, ok());
        let mut half_open: Vec<_> = (0..100).map(|_| says(address, b"GET / HTTP/1.1\r\nhost")).collect();
        assert!(asks(address).starts_with("HTTP/1.1 200"));
        // All but as many as are allowed were closed, the oldest first.
        for socket in half_open.drain(..100 - (FEW.connections - 1)) {
            assert_eq!(all(socket), "");
        }
        for mut socket in half_open {
            socket.write_all(b": x\r\nconnection: close\r\n\r\n").unwrap();
            assert!(all(socket).starts_with("HTTP/1.1 200"));
        }
    }

    #[test]
    fn a_request_that_is_not_completed_in_time_is_given_up() {
        let (_runtime, address) = listening(Limits { request: Duration::from_millis(20), ..FEW }, ok());
        assert_eq!(all(says(address, b"GET / HTTP/1.1\r\nhost")), "");
        assert_eq!(all(says(address, b"")), "");
        assert!(
            all(says(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")).ends_with("ok"),
            "nor is the next one awaited"
        );
    }

    #[test]
    fn a_head_larger_than_the_buffer_is_refused_while_it_comes() {
        let (_runtime, address) = listening(FEW, ok());
        let fits = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n", "x".repeat(BUFFER / 2));
        assert!(all(says(address, fits.as_bytes())).starts_with("HTTP/1.1 200"));
        // It has no end, so it is its length that is refused.
        let endless = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(400 << 10));
        let answer = all(says(address, endless.as_bytes()));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        assert!(asks(address).starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn what_a_request_brings_beside_its_head_is_not_read() {
        let (_runtime, address) = listening(FEW, ok());
        let large = "POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nxxx";
        let chunked = "GET /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nxxxxx";
        for request in [large, chunked] {
            let answer = all(says(address, request.as_bytes()));
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
        }
    }

    /// How much of an answer was taken by whoever writes it.
    #[derive(Debug)]
    struct Counted(Arc<AtomicUsize>, Arc<Notify>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
            self.1.notify_one();
        }
    }

    #[test]
    fn an_answer_that_is_not_read_is_given_up() {
        let (open, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let counter = (open.clone(), dropped.clone());
        let large = get(move || {
            counter.0.fetch_add(1, Ordering::SeqCst);
            let held = Counted(counter.0.clone(), counter.1.clone());
            // More than the kernel holds for a connection.
            let body = Body::from(vec![b'x'; 64 << 20]).map_frame(move |frame| {
                let _held = &held;
                frame
            });
            async { Response::new(Body::new(body)) }
        });
        let limits = Limits { answer: Duration::from_millis(20), ..FEW };
        let (runtime, address) = listening(limits, Router::new().route("/", large));
        let mut socket = says(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        // The answer has begun; only now it is not read.
        socket.read_exact(&mut [0; 12]).unwrap();
        runtime.block_on(dropped.notified());
        assert_eq!(open.load(Ordering::SeqCst), 0);
        let rest = all(socket);
        assert!(rest.len() < 64 << 20, "it was read in full");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_few_long_answers_are_in_memory_at_a_time() {
        let answers = Arc::new(Semaphore::new(LONG_ANSWERS));
        let router = ok().layer(from_fn_with_state(answers, few_at_a_time));
        let ask = || router.clone().oneshot(Request::get("/").body(Body::empty()).unwrap());
        let mut unread = Vec::new();
        for _ in 0..LONG_ANSWERS {
            unread.push(ask().await.unwrap());
        }
        assert!(unread.iter().all(|answer| answer.status() == StatusCode::OK));
        let refused = ask().await.unwrap();
        assert_eq!(
            (refused.status(), &refused.headers()["retry-after"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
        );
        unread.pop();
        assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_answered_gives_way_only_after_a_while_and_after_whoever_waits() {
        let mut strangers = Strangers::new(FEW);
        let now = Instant::now();
        let mut add = |from: [u8; 4], phase: Phase| {
            let task = strangers.tasks.spawn(std::future::pending());
            strangers.open.push(Open { from: from.into(), phase: watch::channel(phase).1, task });
            strangers.gives_way()
        };
        assert_eq!(add([10, 0, 0, 1], Phase::Answers(now)), None);
        assert_eq!(add([10, 0, 0, 2], Phase::Waits(now)), Some(1));
        // Of an address that holds more, though it waits for less long.
        assert_eq!(add([10, 0, 0, 3], Phase::Waits(now + Duration::from_millis(1))), Some(1));
        assert_eq!(add([10, 0, 0, 3], Phase::Waits(now + Duration::from_millis(2))), Some(2));
        tokio::time::advance(GRACE).await;
        assert_eq!(strangers.gives_way(), Some(2));
        strangers.open.truncate(1);
        assert_eq!(strangers.gives_way(), Some(0));
    }
}
