//! The listener for people and programs that read: the API and the web page.
//!
//! Everything it says is of the newest published report, values masked; nothing can be changed through it.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::{HeaderName, header},
    middleware::{from_fn_with_state, map_response},
    response::Response,
};
use tokio::sync::Semaphore;

use super::{
    Published, api, host, page, relay,
    strangers::{LONG_ANSWERS, few_at_a_time},
};
use crate::document::Redaction;

/// What every answer is made from.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The newest report.
    pub(super) published: Published,
    /// Hides values.
    pub(super) redaction: Redaction,
}

impl Reader {
    /// Answers from what is published, with values masked.
    pub fn new(published: Published, redaction: Redaction) -> Self {
        Self { published, redaction }
    }

    /// The routes, for a listener at `address`.
    pub fn router(self, address: SocketAddr) -> Router {
        let routes = Router::new().merge(api::router()).merge(page::router());
        let relay = (!address.ip().is_loopback(), self.published.clone());
        let routes = routes.fallback(page::not_found).with_state(self);
        // What the leader is asked for is in memory here, too.
        let routes = routes.layer(from_fn_with_state(relay, relay::forward_to_leader));
        let routes = routes.layer(from_fn_with_state(Arc::new(Semaphore::new(LONG_ANSWERS)), few_at_a_time));
        host::checked(routes.layer(map_response(add_security_headers)), address)
    }
}

/// A browser runs nothing and loads nothing but our own two files, shows the page in no frame, and tells nobody where it was.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

async fn add_security_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}
