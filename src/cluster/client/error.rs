//! What can go wrong before any work starts, each in one sentence that also says what to do.

use std::{error::Error as StdError, io, path::PathBuf};

use http::StatusCode;
use kube::config::KubeconfigError;

use super::{
    call::{Answer, NoAnswer, Unreadable},
    plugin::PluginFailed,
};

/// Why there is no usable connection to an API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The named kubeconfig cannot be opened.
    #[error("the kubeconfig {} cannot be read: name a readable file with --kubeconfig or the variable KUBECONFIG", path.display())]
    KubeconfigUnreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No kubeconfig anywhere, and we do not run in a Pod.
    #[error(
        "there is no kubeconfig, and this is not a Pod of a cluster: name a kubeconfig with --kubeconfig or the variable KUBECONFIG"
    )]
    NoKubeconfig,
    /// The kubeconfig has no usable content.
    #[error("the kubeconfig makes no sense: correct it, or name another one with --kubeconfig")]
    KubeconfigInvalid(#[source] Box<dyn StdError + Send + Sync>),
    /// The context is not in the kubeconfig.
    #[error("the kubeconfig has no context {context:?}: {}", choose(known))]
    UnknownContext {
        /// The one that was asked for.
        context: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The kubeconfig names no current context and neither did the caller.
    #[error("the kubeconfig names no current context: {}", choose(known))]
    NoContext {
        /// Those that there are.
        known: Vec<String>,
    },
    /// The cluster that was asked for is not in the kubeconfig.
    #[error("the kubeconfig has no cluster {cluster:?}: {}", among(known, "--cluster"))]
    UnknownCluster {
        /// The one that was asked for.
        cluster: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The user that was asked for is not in the kubeconfig.
    #[error("the kubeconfig has no user {user:?}: {}", among(known, "--user"))]
    UnknownUser {
        /// The one that was asked for.
        user: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A group or a UID to act under, but no user.
    #[error("a group, a UID or more is given to act as, but no user: name one with --as-user")]
    ActsAsNobody,
    /// Two ways to say who we are.
    #[error(
        "there is a token, and a name with a password: leave one out, because only one can be shown to the API server"
    )]
    TwoCredentials,
    /// A certificate, key, token or login plugin of the kubeconfig does not work.
    #[error(
        "the credentials of the kubeconfig cannot be used: log in again, or correct its certificates, keys and plugins"
    )]
    Credentials(#[source] Box<dyn StdError + Send + Sync>),
    /// The certificates of the authorities that may vouch for the API server cannot be used.
    #[error("the certificate-authority of the kubeconfig cannot be used: correct it")]
    Authority(#[source] Box<dyn StdError + Send + Sync>),
    /// The client certificate is of X.509 version 1.
    #[error(
        "the client certificate of {subject:?} in the kubeconfig is not an X.509 version 3 certificate: have it issued again as version 3"
    )]
    CertificateOutdated {
        /// Whose it is.
        subject: String,
    },
    /// The ServiceAccount's files in our own Pod cannot be read.
    #[error(
        "the ServiceAccount of this Pod cannot be used: set automountServiceAccountToken, or name a kubeconfig with --kubeconfig"
    )]
    InCluster(#[source] Box<dyn StdError + Send + Sync>),
    /// Nobody answers.
    #[error("the API server at {url} does not answer: check the address, the network, and that the server is up")]
    Unreachable {
        /// Where we asked.
        url: String,
        /// Why.
        #[source]
        source: NoAnswer,
    },
    /// The server's certificate is not trusted.
    #[error(
        "the certificate of the API server at {url} is not trusted: check the certificate-authority and the address in the kubeconfig"
    )]
    Tls {
        /// Where we asked.
        url: String,
        /// Why.
        #[source]
        source: NoAnswer,
    },
    /// 401.
    #[error("the API server at {url} does not know us: log in again, or correct the user in the kubeconfig")]
    Unauthorized {
        /// Where we asked.
        url: String,
    },
    /// 403.
    #[error("the API server at {url} does not let us {what}: grant it by RBAC ({message})")]
    Forbidden {
        /// Where we asked.
        url: String,
        /// `read its version`
        what: &'static str,
        /// The server's words.
        message: String,
    },
    /// Any other refusal.
    #[error("the API server at {url} could not {what}: it answered {status} ({message})")]
    Refused {
        /// Where we asked.
        url: String,
        /// `read its version`
        what: &'static str,
        /// The HTTP status.
        status: StatusCode,
        /// The server's words.
        message: String,
    },
    /// A success whose body is not what was asked for.
    #[error("what the API server at {url} sent makes no sense: try again, and see what stands between it and us")]
    Unreadable {
        /// Where we asked.
        url: String,
        /// What is wrong with it.
        #[source]
        source: Unreadable,
    },
    /// Somebody answers, but not as an API server does.
    #[error("what answers at {url} is no Kubernetes API server: check the address in the kubeconfig")]
    NotKubernetes {
        /// Where we asked.
        url: String,
    },
}

fn choose(known: &[String]) -> String {
    if known.is_empty() {
        "there are no contexts in it, name another kubeconfig with --kubeconfig".to_owned()
    } else {
        among(known, "--context")
    }
}

fn among(known: &[String], flag: &str) -> String {
    if known.is_empty() {
        "name another kubeconfig with --kubeconfig".to_owned()
    } else {
        format!("choose one of {} with {flag}", known.join(", "))
    }
}

impl Error {
    /// Whether it lies in what was said on the command line or in a file: nothing was contacted.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::KubeconfigUnreadable { .. }
                | Self::KubeconfigInvalid(_)
                | Self::UnknownContext { .. }
                | Self::UnknownCluster { .. }
                | Self::UnknownUser { .. }
                | Self::NoContext { .. }
                | Self::Authority(_)
                | Self::ActsAsNobody
                | Self::TwoCredentials
        )
    }

    pub(super) fn of_kubeconfig(error: KubeconfigError, known: Vec<String>) -> Self {
        match error {
            KubeconfigError::CurrentContextNotSet => Self::NoContext { known },
            KubeconfigError::LoadContext(context) => Self::UnknownContext { context, known },
            KubeconfigError::ReadConfig(source, path) => Self::KubeconfigUnreadable { path, source },
            KubeconfigError::FindPath => Self::NoKubeconfig,
            error @ KubeconfigError::LoadCertificateAuthority(_) => Self::Authority(error.into()),
            KubeconfigError::Parse(error) => Self::KubeconfigInvalid(without_excerpt(&error.to_string()).into()),
            error => Self::KubeconfigInvalid(error.into()),
        }
    }

    pub(in crate::cluster) fn of_no_answer(url: &str, error: NoAnswer) -> Self {
        let url = url.to_owned();
        if chain_has::<rustls::Error>(&error) {
            Self::Tls { url, source: error }
        } else if chain_has::<kube::client::AuthError>(&error) || chain_has::<PluginFailed>(&error) {
            Self::Credentials(Box::new(error))
        } else {
            Self::Unreachable { url, source: error }
        }
    }

    pub(in crate::cluster) fn of_body(url: &str, source: Unreadable) -> Self {
        Self::Unreadable { url: url.to_owned(), source }
    }

    pub(in crate::cluster) fn of_answer(url: &str, what: &'static str, answer: &Answer) -> Self {
        let url = url.to_owned();
        match answer.status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized { url },
            StatusCode::FORBIDDEN => Self::Forbidden { url, what, message: answer.message() },
            status => Self::Refused { url, what, status, message: answer.message() },
        }
    }
}

/// The first line of a YAML error, which says what and where. Below it follows an excerpt of the file, and that may hold
/// a token or a key.
fn without_excerpt(error: &str) -> String {
    error.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Whether an error of this type is among the causes.
fn chain_has<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    find_cause(error, &|cause| cause.downcast_ref::<E>().map(drop)).is_some()
}

/// What is found in an error, or in one of its causes. An `io::Error` hides the error that it was made from, so that one is
/// opened.
pub(super) fn find_cause<T>(
    error: &(dyn StdError + 'static),
    find: &dyn Fn(&(dyn StdError + 'static)) -> Option<T>,
) -> Option<T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = find(error).or_else(|| inner.and_then(|inner| find_cause(inner, find)));
        if found.is_some() {
            return found;
        }
        cause = error.source();
    }
    None
}
