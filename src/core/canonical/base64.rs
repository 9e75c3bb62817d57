//! JSON in base64, as some injectors hand a whole configuration file to their sidecar.

use super::{Canonical, json};

/// JSON in standard, padded base64 (rule C5). The order of lists inside is then judged like that of plain JSON.
pub fn read(text: &str) -> Option<Canonical> {
    let bytes = decode(text.trim_end().as_bytes())?;
    let inner = json::read(std::str::from_utf8(&bytes).ok()?)?;
    Some(Canonical { encoding: Some("base64"), ..inner })
}

/// Standard base64 with padding (RFC 4648 section 4), nothing else: what another decoder might read differently is
/// compared byte by byte.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|&&c| c == b'=').count();
    if padding > 2 {
        return None;
    }
    let (digits, _) = text.split_at(text.len() - padding);
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in digits.chunks(4) {
        let mut bits = 0u32;
        for &digit in chunk {
            bits = bits << 6 | u32::from(value(digit)?);
        }
        bits <<= 6 * (4 - chunk.len());
        // Bits behind the last whole byte must be zero, or two texts would stand for the same bytes.
        let whole = chunk.len() * 6 / 8;
        let [_, bytes @ ..] = bits.to_be_bytes();
        let (used, unused) = bytes.split_at(whole);
        if unused.iter().any(|&b| b != 0) {
            return None;
        }
        out.extend_from_slice(used);
    }
    Some(out)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
