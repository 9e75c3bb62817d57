//! Watches: a list if it is asked for, then what happens, until their time is over.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use testbed::ServedBody;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, sleep_until},
};

use super::{
    Stub,
    objects::{Collection, Objects},
};

/// A chunk is sent when it is about so large.
pub(super) const CHUNK: usize = 128 * 1024;

/// How often an idle watch says how far it has come, as the API server does.
const BOOKMARK: Duration = Duration::from_mins(1);

/// One watch on its way.
struct Watch {
    stub: Stub,
    of: &'static Collection,
    /// The next object of its list; `None`: the list is over.
    next: Option<usize>,
    events: broadcast::Receiver<(&'static str, Bytes)>,
    ends: Instant,
    bookmark: Instant,
}

impl Stub {
    pub(super) fn watch(&self, of: &'static Collection, initial: bool, seconds: u64) -> Response<ServedBody> {
        let now = Instant::now();
        let watch = Watch {
            stub: self.clone(),
            of,
            next: initial.then_some(0),
            events: self.0.events.subscribe(),
            ends: now + Duration::from_secs(seconds),
            bookmark: now + BOOKMARK,
        };
        let chunks = stream::unfold(watch, |mut watch| async {
            let chunk = watch.chunk().await?;
            Some((Ok(Frame::data(chunk)), watch))
        });
        Response::new(StreamBody::new(chunks).boxed_unsync())
    }
}

impl Watch {
    /// What is sent next; `None`: its time is over.
    async fn chunk(&mut self) -> Option<Bytes> {
        if let Some(from) = self.next {
            return Some(self.list_from(from));
        }
        let ends = tokio::select! {
            () = sleep_until(self.ends) => return None,
            () = sleep_until(self.bookmark) => true,
            event = self.next_event() => return event,
        };
        debug_assert!(ends);
        self.bookmark += BOOKMARK;
        Some(Objects::bookmark(self.of, self.stub.version(), false).into())
    }

    async fn next_event(&mut self) -> Option<Bytes> {
        loop {
            match self.events.recv().await {
                Ok((plural, line)) if plural == self.of.plural => return Some(line),
                Ok(_) => {}
                // Whoever is that late is told nothing more, and lists again.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
            }
        }
    }

    fn list_from(&mut self, from: usize) -> Bytes {
        let objects = &self.stub.0.objects;
        let (count, version) = (objects.count(self.of), super::FIRST_VERSION);
        let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 4);
        let mut number = from;
        while number < count && chunk.len() < CHUNK {
            chunk.extend_from_slice(br#"{"type":"ADDED","object":"#);
            objects.write(self.of, number, version, &mut chunk);
            chunk.extend_from_slice(b"}\n");
            number += 1;
        }
        self.next = Some(number);
        if number == count {
            chunk.extend_from_slice(&Objects::bookmark(self.of, version, true));
            self.next = None;
        }
        chunk.into()
    }
}
