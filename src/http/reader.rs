//! The listener for people and programs that read: the API and the web page.
//!
//! Everything it says is of the newest published report, values masked; nothing can be changed through it. On loopback it
//! answers only to names of loopback: otherwise any web page could read it through the browser of somebody who forwards
//! the port, by letting its own name point to 127.0.0.1 (DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, StatusCode, header},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
};

use super::{Published, api, page, relay};
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
        let routes =
            routes.layer(from_fn_with_state(relay, relay::forward_to_leader)).layer(map_response(add_security_headers));
        routes.layer(from_fn_with_state(address.ip().is_loopback(), require_known_host))
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

async fn require_known_host(State(loopback): State<bool>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    if loopback && host.is_some_and(|host| !names_loopback(host)) {
        let why = "this address answers to `localhost` only; to read it from elsewhere use `kubectl port-forward`, or \
                   open it with `--api-listen`\n";
        return (StatusCode::MISDIRECTED_REQUEST, why).into_response();
    }
    next.run(request).await
}

/// `localhost:8081`, `127.0.0.1:8081`, `[::1]:8081`
fn names_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
