//! Login plugins of kubeconfigs, when they fail.
//!
//! kube's errors quote all that a plugin wrote and all that it was started with, and in that there may be a token. What we
//! say of such an error must not.

use std::error::Error as StdError;

use kube::client::AuthError;

use super::error::find_cause;

/// A login plugin did not give us credentials.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct PluginFailed(String);

impl PluginFailed {
    /// What can be said of the plugin's failure among the causes of an error, if there is one.
    pub(super) fn find(error: &(dyn StdError + 'static)) -> Option<Self> {
        find_cause(error, &|cause| cause.downcast_ref::<AuthError>().and_then(Self::of))
    }

    fn of(error: &AuthError) -> Option<Self> {
        Some(Self(match error {
            AuthError::AuthExecStart(error) => format!("the login plugin cannot be started: {error}"),
            AuthError::AuthExecRun { out, .. } => {
                // A plugin writes credentials to stdout, and to stderr what people should read.
                let said = String::from_utf8_lossy(&out.stderr);
                let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
                format!("the login plugin ended with {}: {}", out.status, last.unwrap_or("it did not say why"))
            }
            AuthError::AuthExecParse(_) => "what the login plugin answered is no ExecCredential".to_owned(),
            AuthError::AuthExec(_) => "the login plugin, or its answer, cannot be used".to_owned(),
            _ => return None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::client::{Connection, Error, connect};

    const KUBECONFIG: &str = r"
apiVersion: v1
kind: Config
clusters: [{ name: c, cluster: { server: 'https://127.0.0.1:1' } }]
contexts: [{ name: c, context: { cluster: c, user: u } }]
current-context: c
users: [{ name: u, user: { exec: { apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never,
  command: sh, args: ['-c', 'SCRIPT'], env: [{ name: PASSWORD, value: hunter2 }] } } }]
";

    async fn failure(script: &str) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), KUBECONFIG.replace("SCRIPT", script)).expect("written");
        let options = Connection { kubeconfig: Some(file.path().to_owned()), ..Connection::default() };
        let error = match connect(&options).await {
            Ok(cluster) => cluster.probe(None).await.expect_err("a failure"),
            Err(error) => error,
        };
        assert!(matches!(error, Error::Credentials(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        format!("{:#}", anyhow::Error::from(error))
    }

    #[tokio::test]
    async fn what_a_login_plugin_writes_is_not_repeated() {
        let ended = failure("echo hunter2; echo log in again >&2; exit 3").await;
        assert!(ended.ends_with(": the login plugin ended with exit status: 3: log in again"), "{ended}");
        let nonsense = failure("echo status: [hunter2").await;
        assert!(nonsense.ends_with(": what the login plugin answered is no ExecCredential"), "{nonsense}");
        let empty = failure("echo {}").await;
        assert!(!empty.contains("hunter2"), "{empty}");
    }

    #[test]
    fn nor_is_it_in_a_log_line() {
        let parse = serde_saphyr::from_str::<Vec<u8>>("token: hunter2\nx: [").expect_err("nonsense");
        let error = kube::Error::Auth(AuthError::AuthExecParse(Box::new(parse)));
        assert_eq!(super::super::chain(&error), "what the login plugin answered is no ExecCredential");
    }
}
