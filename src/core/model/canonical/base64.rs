//! JSON in base64, as some injectors hand a whole configuration file to their sidecar.

use ::base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{json, value::Canonical};

/// JSON in standard, padded base64 (rule C5). The order of lists inside is then judged like that of plain JSON.
pub fn read(text: &str) -> Option<Canonical> {
    let bytes = decode(text.trim_end().as_bytes())?;
    let inner = json::read(std::str::from_utf8(&bytes).ok()?)?;
    Some(Canonical { encoding: Some("base64"), ..inner })
}

/// Standard base64 with padding and nothing behind its end (RFC 4648 section 4): what another decoder might read
/// differently is compared byte by byte.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
