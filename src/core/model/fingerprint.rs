//! Fingerprints: a short name for a projection.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::model::shape::packed::Packed;

/// `v1:` + sha-256 of a projection's canonical JSON. The version says which canonical form, so that an upgrade of ours
/// never makes a fleet "drifted".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// The version of the canonical form that [`Fingerprint::of`] stands for.
pub const VERSION: &str = "v1";

/// The sha-256 of some bytes, as 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Hex(&Sha256::digest(bytes)).to_string()
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Fingerprint {
    /// The fingerprint of a canonical projection. `serde_json` keeps object keys sorted, so equal values give equal bytes.
    pub fn of(canonical: &Packed) -> Self {
        Self::of_text(&canonical.text())
    }

    /// The fingerprint of a value by its text, which is the canonical one: no white space, the keys of objects sorted.
    pub fn of_text(canonical: &str) -> Self {
        Self(Sha256::digest(canonical.as_bytes()).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}:{}", Hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bad = || serde::de::Error::custom(format!("not a {VERSION} fingerprint: {text:?}"));
        let digits = |hex: &&str| hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let hex = text.strip_prefix("v1:").filter(|hex| hex.len() == 64).filter(digits).ok_or_else(bad)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written_and_nothing_else_is() {
        let fingerprint = Fingerprint::of(&Packed::of(&json!({ "image": "proxy:1" })));
        let text = fingerprint.to_string();
        assert_eq!(format!("{fingerprint:?}"), text);
        let read = |text: &str| serde_json::from_value::<Fingerprint>(json!(text)).ok();
        assert_eq!(read(&text), Some(fingerprint));
        let hex = text.strip_prefix("v1:").expect("the version");
        let wrong = [
            String::new(),
            "v1:".to_owned(),
            "v1:00".to_owned(),
            hex.to_owned(),
            format!("v2:{hex}"),
            format!("v1:{}", &hex[1..]),
            format!("v1:{hex}0"),
            format!("v1:{}", hex.to_uppercase()),
            format!("v1:+{}", &hex[1..]),
            format!("v1:é{}", &hex[2..]),
        ];
        for wrong in wrong {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }
}
