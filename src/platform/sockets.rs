//! Connections.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;

/// What we send and nobody takes is lost after this long.
///
/// Only Linux has such a time-out. Elsewhere it is for the system to say, which takes minutes, but requests have time-outs of
/// their own, and watches send nothing.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "there is none"))]
pub fn lose_what_is_not_taken_within(limit: Duration, connector: &mut HttpConnector) {
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(limit));
}
