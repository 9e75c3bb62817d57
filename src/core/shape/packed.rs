//! JSON that is kept for long and seldom looked at.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON value, kept as its text: as a tree of [`Value`]s, each small object of which takes 600 bytes, an ordinary container
/// takes ten times the room. Keys are sorted, so values are equal when their texts are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Packed(Arc<str>);

impl Packed {
    /// This value.
    pub fn of(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    /// The value again. Takes as long as parsing does: look at the text first.
    pub fn value(&self) -> Value {
        // What was written can be read. If not, two that differ must still differ.
        serde_json::from_str(&self.0).unwrap_or_else(|_| Value::from(&*self.0))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether anybody else has this copy.
    pub(in crate::core) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
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
}
