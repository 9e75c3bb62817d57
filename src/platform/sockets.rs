//! Connections.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;

/// Sets the TCP user timeout: a connection is lost when what we send is not acknowledged for this long.
///
/// Only Linux has such a time-out. Elsewhere it is for the system to say, which takes minutes, but requests have time-outs of
/// their own, and watches send nothing.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "there is none"))]
pub fn set_user_timeout(connector: &mut HttpConnector, limit: Duration) {
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(limit));
}
