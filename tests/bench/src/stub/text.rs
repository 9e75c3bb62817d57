//! Objects as text with holes: a million Pods of 17 KB each are written faster than they are read.

use serde_json::Value;

/// The text of an object in which a few words are filled in.
#[derive(Clone, Debug)]
pub(super) struct Text {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Fixed(String),
    /// The word of this number.
    Hole(usize),
}

impl Text {
    /// `object` as JSON; wherever one of `holes` stands, a word is filled in.
    pub(super) fn new(object: &Value, holes: &[&str]) -> Self {
        let mut parts = vec![Part::Fixed(object.to_string())];
        for (number, hole) in holes.iter().enumerate() {
            parts = parts.into_iter().flat_map(|part| part.cut(hole, number)).collect();
        }
        Self { parts }
    }

    /// Appends the text with these words, which need no escapes.
    pub(super) fn write(&self, words: &[&str], to: &mut Vec<u8>) {
        for part in &self.parts {
            let text = match part {
                Part::Fixed(text) => text,
                Part::Hole(number) => words.get(*number).copied().unwrap_or_default(),
            };
            to.extend_from_slice(text.as_bytes());
        }
    }
}

impl Part {
    fn cut(self, hole: &str, number: usize) -> Vec<Self> {
        let Self::Fixed(text) = self else { return vec![self] };
        let mut parts = Vec::new();
        for (at, piece) in text.split(hole).enumerate() {
            if at > 0 {
                parts.push(Self::Hole(number));
            }
            parts.push(Self::Fixed(piece.to_owned()));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_in_wherever_they_are_missing() {
        let object = serde_json::json!({"name": "@A@-@B@", "again": ["@A@"], "none": 1});
        let mut written = Vec::new();
        Text::new(&object, &["@A@", "@B@"]).write(&["x", "y"], &mut written);
        let read: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(read, serde_json::json!({"name": "x-y", "again": ["x"], "none": 1}));
    }
}
