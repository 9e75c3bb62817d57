//! Lists: written object by object, as the API server does, so that none of them takes room.

use std::ops::Range;

use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use testbed::ServedBody;

use super::{Stub, objects::Collection, watch::CHUNK};

/// A list on its way.
struct List {
    stub: Stub,
    of: &'static Collection,
    version: u64,
    /// What stands before the next object.
    before: String,
    /// The objects that are still to be written; `None`: the list is over.
    rest: Option<Range<usize>>,
}

impl Stub {
    pub(super) fn list(&self, of: &'static Collection, from: usize, limit: Option<usize>) -> Response<ServedBody> {
        let (count, version) = (self.0.objects.count(of), self.version());
        let end = limit.map_or(count, |limit| from.saturating_add(limit).min(count));
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if end < count {
            metadata["continue"] = json!(end.to_string());
            metadata["remainingItemCount"] = json!(count - end);
        }
        // In the order of the API server, which says first what there is to be said of the whole.
        let before =
            format!(r#"{{"kind":"{}List","apiVersion":"{}","metadata":{metadata},"items":["#, of.kind, of.api_version);
        let list = List { stub: self.clone(), of, version, before, rest: Some(from.min(end)..end) };
        let chunks =
            stream::unfold(list, |mut list| async { list.chunk().map(|chunk| (Ok(Frame::data(chunk)), list)) });
        Response::new(StreamBody::new(chunks).boxed_unsync())
    }
}

impl List {
    fn chunk(&mut self) -> Option<Bytes> {
        let rest = self.rest.as_mut()?;
        let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 4);
        while chunk.len() < CHUNK
            && let Some(number) = rest.next()
        {
            chunk.extend_from_slice(self.before.as_bytes());
            ",".clone_into(&mut self.before);
            self.stub.0.objects.write(self.of, number, self.version, &mut chunk);
        }
        if rest.start >= rest.end {
            if self.before != "," {
                chunk.extend_from_slice(self.before.as_bytes());
            }
            chunk.extend_from_slice(b"]}");
            self.rest = None;
        }
        Some(chunk.into())
    }
}
