//! Reading the one YAML file.

use std::path::Path;

use serde_saphyr::{Error, Location};

use super::{ConfigError, owners, settings::File, values::listed};
use crate::core::model::owner::Kind;

impl File {
    /// The kinds that it describes; they are known from now on.
    pub fn custom_kinds(&self) -> Result<Vec<Kind>, ConfigError> {
        owners::described(self.owners.as_deref().unwrap_or_default())
            .map_err(|message| ConfigError::Senseless { setting: "owners", message })
    }

    /// Reads the file at `path`. An empty file holds no settings.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses `text`; errors name `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        serde_saphyr::from_str::<Option<Self>>(text).map(Option::unwrap_or_default).map_err(|error| {
            let error = error.without_snippet();
            ConfigError::Malformed {
                path: path.to_owned(),
                place: error.location().filter(|at| *at != Location::UNKNOWN).map(|at| (at.line(), at.column())),
                message: message(error),
            }
        })
    }
}

/// The parser's finding as one clause that says what would be right.
fn message(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown setting `{field}`{}", suggestion(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("unknown value `{variant}`; {} is wanted", listed(expected, "or"))
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("{unexpected} stands here, but {expected} is wanted")
        }
        Error::Message { msg, .. } => msg.clone(),
        Error::InvalidScalar { ty: "boolean", .. } => "`true` or `false` is wanted".to_owned(),
        Error::Unexpected { expected: "string scalar", .. }
        | Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => {
            "one value is wanted here, not a list or a mapping".to_owned()
        }
        Error::Unexpected { expected: "sequence start", .. } => "a list is wanted here, such as `[a, b]`".to_owned(),
        Error::Unexpected { expected: "mapping start", .. } => "settings are wanted, each as `name: value`".to_owned(),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` is set twice"),
        other => without_place(&other.render()),
    }
}

/// The likeliest of the known names; the flags' parser measures likeness the same way.
fn suggestion(word: &str, known: &[&'static str]) -> String {
    let written = word.replace('_', "-").to_ascii_lowercase();
    known
        .iter()
        .map(|name| (strsim::jaro(&written, name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(
            || "; `sidecar-drift run --help` lists them".to_owned(),
            |(_, name)| format!("; did you mean `{name}`?"),
        )
}

/// The parser's own words without the place, which is said before them.
fn without_place(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or(line).trim_end_matches([':', '.']).to_owned()
}
