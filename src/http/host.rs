//! What a listener on loopback is called.
//!
//! It answers only to names of loopback: otherwise any web page could read it through the browser of somebody who forwards
//! the port, by letting its own name point to 127.0.0.1 (DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};

/// These routes, behind the check where the listener's address needs it.
pub(super) fn checked(routes: Router, address: SocketAddr) -> Router {
    if address.ip().is_loopback() { routes.layer(from_fn(known_host)) } else { routes }
}

async fn known_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    if host.is_some_and(|host| !names_loopback(host)) {
        let why = "this address answers to `localhost` only; to read it from elsewhere use `kubectl port-forward`, or \
                   open it with `--listen` or `--api-listen`\n";
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
