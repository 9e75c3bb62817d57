//! What can be had of an object whose text cannot be decoded as a whole.
//!
//! Its members are told apart without being understood, and each is decoded by itself: those of the object, and those of its
//! `metadata` and the like, one level down. So a strange value costs itself and nothing else. The text may end anywhere.

use serde_json::{Map, Value};

use super::{Decoded, Needed};

/// Members are looked for so deep: of the object, and of each of its members.
const LEVELS: usize = 2;

/// No object has more of them that are worth naming.
const NAMED: usize = 5;

/// Each part of what is needed that can be decoded.
pub(super) fn recover(needed: Needed, text: &[u8]) -> Decoded {
    let mut lost = Vec::new();
    let object = parts(needed, text, LEVELS, "", &mut lost);
    Decoded { object: object.unwrap_or_default(), lost }
}

fn parts(needed: Needed, text: &[u8], levels: usize, place: &str, lost: &mut Vec<String>) -> Option<Value> {
    let mut give_up = || {
        if lost.len() < NAMED {
            lost.push(if place.is_empty() { "/".to_owned() } else { place.to_owned() });
        }
    };
    let apart = levels > 0 && !matches!(needed, Needed::Text(_));
    let Some((members, to_the_end)) = members(text).filter(|_| apart) else {
        give_up();
        return None;
    };
    if !to_the_end {
        give_up();
    }
    let mut known = Map::new();
    for (key, value) in members {
        let Ok(key) = serde_json::from_slice::<String>(key) else { continue };
        let Some(needed) = needed.of_member(&key) else { continue };
        let there = format!("{place}/{key}");
        let value = needed.read(value).ok().or_else(|| parts(needed, value, levels - 1, &there, lost));
        if let Some(value) = value {
            known.insert(key, value);
        }
    }
    Some(Value::Object(known))
}

/// A member's name with its quotes, and its value.
type Member<'t> = (&'t [u8], &'t [u8]);

/// The members of an object, and whether they go on until its end; `None`: it is no object.
fn members(text: &[u8]) -> Option<(Vec<Member<'_>>, bool)> {
    let mut members = Vec::new();
    let mut rest = trimmed(text).strip_prefix(b"{")?;
    let mut to_the_end = false;
    loop {
        let key_begins = trimmed(rest);
        if key_begins.first() != Some(&b'"') {
            to_the_end = members.is_empty() && key_begins.first() == Some(&b'}');
            break;
        }
        let (key, after) = key_begins.split_at(string(key_begins));
        let Some(value) = trimmed(after).strip_prefix(b":") else { break };
        let (value, after) = value.split_at(end(value));
        members.push((key, value));
        let Some(more) = after.strip_prefix(b",") else {
            to_the_end = trimmed(after).first() == Some(&b'}');
            break;
        };
        rest = more;
    }
    Some((members, to_the_end))
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// How long the string is that begins here.
fn string(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// Where the value ends that begins here: at a comma or a bracket that is not its own, or with the text.
fn end(text: &[u8]) -> usize {
    let (mut at, mut open) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += string(text.get(at..).unwrap_or_default());
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' | b',' if open == 0 => return at,
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{All, pod};
    use crate::core::model::shape::FieldSet;

    const NAME: &str = r#"{"name":"web-1","namespace":"shop","uid":"u","resourceVersion":"7""#;

    /// What JSON text can be and is not decoded: numbers that are too large, halves of characters, bytes that are none.
    const STRANGE: [&[u8]; 7] =
        [b"1e999", b"\"\\ud800\"", b"\"\xff\"", b"[1e999]", b"nonsense", b"{\"a\": \"\\x\"}", b"\"\x01\""];

    fn text(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn a_value_that_cannot_be_decoded_costs_itself_only() {
        for strange in STRANGE {
            let in_status =
                text(&[b"{\"metadata\":", NAME.as_bytes(), b"},\"status\":", strange, b",\"spec\":{\"x\":1}}"]);
            let found = All.read_or_recover(&in_status);
            assert_eq!((&found.object["metadata"]["name"], &found.object["spec"]), (&json!("web-1"), &json!({"x": 1})));
            assert!(found.lost[0].starts_with("/status"), "{:?}", found.lost);

            let in_metadata = text(&[
                b"{\"metadata\":",
                NAME.as_bytes(),
                b",\"labels\":{\"a\":\"b\"},\"managedFields\":",
                strange,
                b"}}",
            ]);
            let found = All.read_or_recover(&in_metadata);
            assert_eq!(found.object["metadata"]["labels"], json!({"a": "b"}));
            assert_eq!(found.object["metadata"]["resourceVersion"], "7");
        }
    }

    #[test]
    fn what_is_not_needed_is_not_missed() {
        let text = text(&[b"{\"metadata\":", NAME.as_bytes(), b"},\"beside\":1e999}"]);
        let found = pod(FieldSet::Default, false).read_or_recover(&text);
        assert_eq!((found.object["metadata"]["name"].as_str(), found.lost), (Some("web-1"), vec![]));
    }

    #[test]
    fn what_is_no_object_has_no_parts() {
        for no_object in [&b""[..], b"7", b"nonsense", b"[1e999]", b"\xff"] {
            let found = All.read_or_recover(no_object);
            assert!(found.object.is_null() || found.lost.is_empty(), "{found:?}");
        }
    }

    proptest! {
        /// Any bytes: no panic. And with any bytes as a value behind it, the name is still there.
        #[test]
        fn whatever_has_a_readable_name_is_found(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            All.read_or_recover(&bytes);
            pod(FieldSet::Default, true).read_or_recover(&bytes);
            let text = text(&[b"{\"metadata\":", NAME.as_bytes(), b"},\"spec\":", &bytes]);
            for needed in [All, pod(FieldSet::Default, false), pod(FieldSet::All, true)] {
                let found = needed.read_or_recover(&text);
                prop_assert_eq!(&found.object["metadata"]["name"], "web-1");
                prop_assert_eq!(&found.object["metadata"]["namespace"], "shop");
            }
        }

        /// The same with the text of an object that was cut off, or of which some bytes are others.
        #[test]
        fn a_spoiled_object_keeps_its_name(cut in 78_usize..400, at in 78_usize..400, other: u8) {
            let spec = json!({"containers": [{"name": "a", "env": [{"name": "A", "value": "x\"\\y"}], "args": ["}", "]"]}]});
            let mut text = format!(r#"{{"metadata":{NAME}}},"spec":{spec},"status":{{"phase":"Running"}}}}"#).into_bytes();
            text.truncate(cut);
            if let Some(byte) = text.get_mut(at) {
                *byte = other;
            }
            let found = pod(FieldSet::Default, false).read_or_recover(&text);
            prop_assert_eq!(&found.object["metadata"]["name"], "web-1", "{}", String::from_utf8_lossy(&text));
        }
    }
}
