//! Certificates in PEM: trust anchors, which tools like to wrap, indent and sort differently (rule C10).

use serde_json::{Map, Value};

use super::{base64, value::Canonical};
use crate::core::model::fingerprint::sha256_hex;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A text of nothing but certificates in PEM, as the set of their DER bytes: an object with the sha-256 of each as
/// key. White space and order do not matter then, another anchor does. Keys, mixed bundles and broken blocks are left
/// to the byte-wise comparison.
pub fn read(text: &str) -> Option<Canonical> {
    let mut certificates = Map::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (body, after) = rest.strip_prefix(BEGIN)?.split_once(END)?;
        let digits: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let der = base64::decode(&digits)?;
        if !is_sequence(&der) {
            return None;
        }
        certificates.insert(format!("sha256:{}", sha256_hex(&der)), Value::String("certificate".to_owned()));
        rest = after.trim_start();
    }
    (!certificates.is_empty()).then_some(Canonical { encoding: Some("pem"), value: Value::Object(certificates) })
}

/// Whether the bytes are one DER SEQUENCE, whole and with nothing behind it.
fn is_sequence(der: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = der else { return false };
    match (*first, rest) {
        (short @ ..=0x7f, content) => content.len() == usize::from(short),
        // 0x80 would be the indefinite form, which DER forbids; more than four bytes of length no certificate has.
        (long @ 0x81..=0x84, rest) => {
            let Some((length, content)) = rest.split_at_checked(usize::from(long & 0x7f)) else { return false };
            content.len() == length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
        }
        _ => false,
    }
}
