//! How the API server is reached: the settings, checked as far as they can be without a kubeconfig.

use std::time::Duration;

use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;

use super::{
    Client, ConfigError, Connection, Overrides,
    build::{invalid, nonzero},
};

/// Reading from the API server that takes longer is given up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What is empty is not given: so kubectl has it, and so a script can pass on a variable that may be unset.
pub(super) fn build(client: Client) -> Result<Connection, ConfigError> {
    let Client {
        kubeconfig,
        context,
        cluster,
        user,
        server,
        token,
        tls_server_name,
        insecure_skip_tls_verify,
        as_user,
        as_group,
        as_uid,
        request_timeout,
    } = client;
    let request_timeout = request_timeout.map_or(Ok(REQUEST_TIMEOUT), |period| nonzero("request-timeout", period))?;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let overrides = Overrides {
        cluster: some(cluster),
        user: some(user),
        server: some(server),
        token: token.filter(|token| !token.secret().is_empty()),
        tls_server_name: some(tls_server_name),
        insecure_skip_tls_verify: insecure_skip_tls_verify.unwrap_or(false),
        as_user: some(as_user),
        as_groups: as_group.into_iter().flatten().filter(|group| !group.is_empty()).collect(),
        as_uid: some(as_uid),
    };
    check(&overrides)?;
    Ok(Connection { kubeconfig, context: some(context), overrides, request_timeout })
}

fn check(overrides: &Overrides) -> Result<(), ConfigError> {
    let Overrides { server, token, tls_server_name, as_user, as_groups, as_uid, .. } = overrides;
    let is_server = |text: &str| text.parse::<Uri>().is_ok_and(|url| url.host().is_some_and(|host| !host.is_empty()));
    if server.as_deref().is_some_and(|text| !is_server(text)) {
        return Err(invalid("server", "is no address such as `https://kubernetes.example.com:6443`"));
    }
    if tls_server_name.as_deref().is_some_and(|name| ServerName::try_from(name).is_err()) {
        return Err(invalid(
            "tls-server-name",
            "is no name that a certificate can have, such as `kubernetes.example.com`",
        ));
    }
    // A header cannot hold a line break. The value is not repeated: it may be a secret.
    let text = |text: &str| HeaderValue::from_str(text).is_ok();
    let sendable = [
        ("token", token.iter().all(|token| text(token.secret()) && !token.secret().contains(char::is_whitespace))),
        ("as-user", as_user.iter().all(|user| text(user))),
        ("as-group", as_groups.iter().all(|group| text(group))),
        ("as-uid", as_uid.iter().all(|uid| text(uid))),
    ];
    match sendable.into_iter().find(|(_, sendable)| !sendable) {
        Some((setting, _)) => Err(invalid(setting, "has characters that cannot be sent, such as a line break")),
        None => Ok(()),
    }
}
