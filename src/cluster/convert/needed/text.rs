//! What is needed of a place, as its JSON: no tree of values in between.

use std::fmt;

use serde::{
    Deserialize as _, Serialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Needed;

/// The containers of a Pod are seldom shorter.
const USUAL: usize = 4096;

/// The JSON of what is needed of what comes now. Read again, it gives what a tree would have been. What is needed whole is
/// taken as it stands there, for which it must come out of JSON.
pub(super) fn read<'de, D: Deserializer<'de>>(needed: Needed, deserializer: D) -> Result<String, D::Error> {
    if let Needed::All = needed {
        return Box::<RawValue>::deserialize(deserializer).map(|text| <Box<str>>::from(text).into());
    }
    let mut out = Vec::with_capacity(USUAL);
    Writer { needed, follows: false, out: &mut out }.deserialize(deserializer)?;
    String::from_utf8(out).map_err(D::Error::custom)
}

struct Writer<'a> {
    needed: Needed,
    /// Another item of the same list stands before it.
    follows: bool,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// A scalar. What JSON cannot say, an infinite number, becomes null.
    fn put<E: Error>(self, scalar: impl Serialize) -> Result<(), E> {
        serde_json::to_writer(self.out, &scalar).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.follows {
            self.out.push(b',');
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.put(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.put(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.put(value)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.put(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let Self { needed, out, .. } = self;
        out.push(b'[');
        if let Some(needed) = needed.of_item() {
            let mut follows = false;
            while sequence.next_element_seed(Writer { needed, follows, out })?.is_some() {
                follows = true;
            }
        } else {
            while sequence.next_element::<IgnoredAny>()?.is_some() {}
        }
        out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { needed, out, .. } = self;
        out.push(b'{');
        let mut follows = false;
        while let Some(member) = map.next_key_seed(Key { needed, follows, out })? {
            match member {
                Some(needed) => {
                    follows = true;
                    map.next_value_seed(Writer { needed, follows: false, out })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        out.push(b'}');
        Ok(())
    }
}

/// Writes a member's name, if the member is needed.
struct Key<'a> {
    needed: Needed,
    /// Another member of the same object stands before it.
    follows: bool,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<Needed>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<Needed>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let needed = self.needed.of_member(key);
        if needed.is_some() {
            if self.follows {
                self.out.push(b',');
            }
            serde_json::to_writer(&mut *self.out, key).map_err(E::custom)?;
            self.out.push(b':');
        }
        Ok(needed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::{All, Each, Members},
        *,
    };

    const CONTAINER: Needed = Members(&[("name", All), ("args", All), ("env", Each(&Members(&[("value", All)])))]);

    fn text(json: &str, needed: Needed) -> String {
        read(needed, &mut serde_json::Deserializer::from_str(json)).unwrap()
    }

    #[test]
    fn what_is_needed_is_written_and_nothing_else() {
        let containers = json!([
            {"image": "x", "name": "a\"\n\u{1f980}", "args": [1, -2, 1.5, true, null, {"b": {}}, []], "z": [[{}]]},
            {"tty": true},
            {"env": [{"name": "A", "value": "1"}, {}, {"value": "2"}], "args": []},
        ]);
        let expected = json!([
            {"name": "a\"\n\u{1f980}", "args": [1, -2, 1.5, true, null, {"b": {}}, []]},
            {},
            {"env": [{"value": "1"}, {}, {"value": "2"}], "args": []},
        ]);
        let text = text(&containers.to_string(), Each(&CONTAINER));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn what_is_needed_whole_is_taken_as_it_stands_there() {
        let json = r#"{"b": [1.50, "\u00e9"], "a":{}}"#;
        assert_eq!(text(json, All), json);
        let items = Each(&super::super::Text(&All));
        let mut reader = serde_json::Deserializer::from_str("[ 7 ,{\"x\" :1}]");
        assert_eq!(items.deserialize(&mut reader).unwrap(), json!(["7", "{\"x\" :1}"]));
    }

    #[test]
    fn what_is_of_another_type_is_told() {
        for (json, expected) in [("[[1], 2]", "[[],2]"), ("7", "7"), ("null", "null"), ("\"x\"", "\"x\""), ("{}", "{}")]
        {
            assert_eq!(text(json, Each(&CONTAINER)), expected);
        }
    }
}
