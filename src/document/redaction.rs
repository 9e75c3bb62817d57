//! Values of args, command and env may be secrets. Output shows a short keyed hash instead, unless a person at a terminal
//! asks for the values.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::core::{compare::FieldChange, model::quoted::quoted};

/// Hides values that may be secrets. The key is new in each process: equal values look equal within one output, and nobody
/// can test a guess against a hash from an earlier one.
#[derive(Clone)]
pub struct Redaction {
    /// `None`: shows values as they are.
    hmac: Option<Hmac<Sha256>>,
}

impl Redaction {
    /// Shows values as they are.
    pub fn none() -> Self {
        Self { hmac: None }
    }

    /// Hashes values with this key.
    pub fn with_key(key: &[u8; 32]) -> Self {
        Self { hmac: Hmac::new_from_slice(key).ok() }
    }

    /// Hashes values with a random key.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self::with_key(&key))
    }

    /// A value that may be a secret: `<masked 1a2b3c4d>`.
    pub fn secret(&self, value: &str) -> String {
        let Some(hmac) = &self.hmac else { return value.to_owned() };
        let mut hmac = hmac.clone();
        hmac.update(value.as_bytes());
        let hash = hmac.finalize().into_bytes();
        let mut text = "<masked ".to_owned();
        for byte in hash.iter().take(4) {
            _ = write!(text, "{byte:02x}");
        }
        text + ">"
    }

    /// Where a change is: as it is only where values are shown, since what they are made of can be a secret as well.
    pub fn pointer<'c>(&self, change: &'c FieldChange) -> &'c str {
        change.plain.as_deref().filter(|_| self.hmac.is_none()).unwrap_or(&change.pointer)
    }

    /// Both sides of a change of a sidecar: running, rendered. Images and placement are nobody's secret.
    pub fn change(&self, change: &FieldChange) -> (Option<String>, Option<String>) {
        let open = matches!(change.pointer.as_str(), "/image" | "/placement");
        self.both(change, open)
    }

    /// Both sides of a change of an app container, whose pointer begins with the container's name.
    pub fn collateral(&self, change: &FieldChange) -> (Option<String>, Option<String>) {
        let field = change.pointer.trim_start_matches('/').split_once('/').map_or("", |(_, field)| field);
        self.both(change, matches!(field, "image" | "placement"))
    }

    fn both(&self, change: &FieldChange, open: bool) -> (Option<String>, Option<String>) {
        let show = |value: &str| if open { quoted(value).into_owned() } else { self.secret(value) };
        (change.running.as_deref().map(show), change.rendered.as_deref().map(show))
    }
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.hmac.is_some() { "Redaction(values hidden)" } else { "Redaction(values shown)" })
    }
}
