//! What can be wrong with a configuration. All of it is the caller's to mend: exit code 2.

use std::path::PathBuf;

/// Why there is no [`super::Config`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file of `--config` cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of `--config` says something that means nothing.
    #[error("{}{}: {message}", path.display(), place.map_or_else(String::new, |(line, column)| format!(":{line}:{column}")))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line and column, from 1, if known.
        place: Option<(u64, u64)>,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A setting has a value that is well-formed and still makes no sense.
    #[error("`{setting}` {message}")]
    Senseless {
        /// The long name of its flag.
        setting: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
}
