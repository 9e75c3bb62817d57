//! JSON that is kept for long and seldom looked at.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use lz4_flex::block::{compress, compress_with_dict, decompress, decompress_with_dict};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::core::model::name::Name;

/// A JSON value, kept as its text: as a tree of [`Value`]s, each small object of which takes 600 bytes, an ordinary container
/// takes ten times the room. Keys are sorted, so values are equal when their texts are.
#[derive(Clone)]
pub struct Packed(Form);

#[derive(Clone)]
enum Form {
    Plain(Name),
    Squeezed(Arc<Squeezed>),
}

/// A text in the block format of LZ4.
struct Squeezed {
    /// A text that parts of it are taken from.
    like: Option<Packed>,
    /// How long it is when it is plain.
    length: usize,
    bytes: Box<[u8]>,
}

/// Shorter texts stay as they are.
const WORTH_IT: usize = 192;
/// What a squeezed text takes beside its bytes.
const OVERHEAD: usize = size_of::<Squeezed>() + 2 * size_of::<usize>();
/// So many texts may be needed to read one.
const DEEPEST: usize = 3;

impl Packed {
    /// This value.
    pub fn of(value: &Value) -> Self {
        Self(Form::Plain(value.to_string().into()))
    }

    /// The value again. Takes as long as parsing does: look at the fingerprint first.
    pub fn value(&self) -> Value {
        let text = self.text();
        // What was written can be read. If not, two that differ must still differ.
        serde_json::from_str(&text).unwrap_or_else(|_| Value::from(&*text))
    }

    /// Its text.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Form::Plain(text) => Cow::Borrowed(text),
            Form::Squeezed(squeezed) => squeezed.text(),
        }
    }

    /// Keep it in less room, if that can be had; by what it has in common with one of these, where that is less still.
    pub fn squeeze<'a>(&mut self, like: impl Iterator<Item = &'a Self>) {
        let Form::Plain(text) = &self.0 else { return };
        if text.len() < WORTH_IT {
            return;
        }
        let like = like.filter(|other| other.depth() < DEEPEST);
        let like = like.map(|other| (compress_with_dict(text.as_bytes(), other.text().as_bytes()), Some(other)));
        let alone = (compress(text.as_bytes()), None);
        let Some((bytes, like)) = like.chain([alone]).min_by_key(|(bytes, _)| bytes.len()) else { return };
        if bytes.len() + OVERHEAD < text.len() {
            let squeezed = Squeezed { like: like.cloned(), length: text.len(), bytes: bytes.into() };
            self.0 = Form::Squeezed(Arc::new(squeezed));
        }
    }

    /// Replace a plain text by the shared copy.
    pub fn share(&mut self, texts: &mut HashSet<Name>) {
        let Form::Plain(text) = &mut self.0 else { return };
        if let Some(known) = texts.get(text) {
            *text = known.clone();
        } else {
            texts.insert(text.clone());
        }
    }

    /// How many other texts it takes to read this one.
    fn depth(&self) -> usize {
        match &self.0 {
            Form::Plain(_) => 0,
            Form::Squeezed(squeezed) => squeezed.like.as_ref().map_or(0, |like| 1 + like.depth()),
        }
    }
}

impl Squeezed {
    fn text(&self) -> Cow<'_, str> {
        let bytes = match &self.like {
            Some(like) => decompress_with_dict(&self.bytes, self.length, like.text().as_bytes()),
            None => decompress(&self.bytes, self.length),
        };
        // What was squeezed can be had again. If not, two that differ must still differ.
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.map_or_else(|| String::from_utf8_lossy(&self.bytes), Cow::Owned)
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Squeezed(one), Form::Squeezed(two)) if Arc::ptr_eq(one, two) => true,
            _ => self.text() == other.text(),
        }
    }
}

impl Eq for Packed {}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self::of(&value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_packed_is_what_comes_out_and_is_written_as_the_value_that_it_is() {
        let value = json!({"b": [1, 2.5, "x\n\"y\""], "a": {"c": null, "d": true}});
        let packed = Packed::of(&value);
        assert_eq!(packed.value(), value);
        assert_eq!(packed.text(), r#"{"a":{"c":null,"d":true},"b":[1,2.5,"x\n\"y\""]}"#);
        assert_eq!(serde_json::to_value(&packed).unwrap(), value);
        assert_eq!(serde_json::from_value::<Packed>(value).unwrap(), packed);
    }

    #[test]
    fn the_order_of_keys_makes_no_difference_and_everything_else_does() {
        let packed = |text: &str| serde_json::from_str::<Packed>(text).unwrap();
        assert_eq!(packed(r#"{"a": 1, "b": 2}"#), packed(r#"{"b":2,"a":1}"#));
        assert_ne!(packed(r#"{"a": 1}"#), packed(r#"{"a": "1"}"#));
        assert_ne!(packed("[1, 2]"), packed("[2, 1]"));
    }

    fn settings(of: &str) -> Packed {
        let entry = |n: usize| (format!("SETTING_{n}"), json!({ "value": format!("http://{of}-{n}.svc:8080/é") }));
        Packed::of(&json!({ "env": (0..20).map(entry).collect::<serde_json::Map<_, _>>() }))
    }

    fn room(packed: &Packed) -> usize {
        match &packed.0 {
            Form::Plain(text) => text.len(),
            Form::Squeezed(squeezed) => squeezed.bytes.len() + OVERHEAD,
        }
    }

    #[test]
    fn a_squeezed_text_is_the_same_text_in_less_room() {
        let plain = settings("orders");
        let mut squeezed = plain.clone();
        squeezed.squeeze([].into_iter());
        assert!(room(&squeezed) < room(&plain) / 2, "{} of {}", room(&squeezed), room(&plain));
        assert_eq!((squeezed.text(), squeezed.value()), (plain.text(), plain.value()));
        assert_eq!(squeezed, plain);
        assert_ne!(squeezed, settings("order"));
    }

    #[test]
    fn what_is_like_another_text_takes_hardly_any_room_however_many_are_like_it() {
        let mut known = vec![settings("orders")];
        for of in ["prices", "returns", "stock", "customers", "ledger"] {
            let plain = settings(of);
            let mut squeezed = plain.clone();
            squeezed.squeeze(known.iter());
            let mut alone = plain.clone();
            alone.squeeze([].into_iter());
            assert!(room(&squeezed) < room(&alone), "{of}");
            assert!(squeezed.depth() <= DEEPEST, "{of}: {}", squeezed.depth());
            assert_eq!(squeezed.text(), plain.text());
            known.push(squeezed);
        }
        let again = known.clone();
        drop(known);
        assert_eq!(again.last(), Some(&settings("ledger")), "what it was taken from is kept with it");
    }

    #[test]
    fn what_would_gain_nothing_stays_plain() {
        let hash: String = (0..4).map(|n| crate::core::model::fingerprint::sha256_hex(&[n])).collect();
        for value in [json!(null), json!({ "runAsNonRoot": true }), json!(hash)] {
            let mut packed = Packed::of(&value);
            packed.squeeze([].into_iter());
            assert_eq!(room(&packed), packed.text().len());
            assert_eq!(packed.value(), value);
        }
    }
}
