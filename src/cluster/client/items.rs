//! A list of objects on its way, written anew as the events of a watch: an item is passed on while it comes in, and neither
//! the list nor an item is ever in memory as a whole.

use std::mem;

use memchr::memchr2;
use serde_json::{Value, json};

/// Everything of a list but its items: kind, version and `metadata`. Longer, it is none.
const FRAME: usize = 64 << 10;

/// What stands before and behind an item to make it an event.
const EVENT: (&[u8], &[u8]) = (br#"{"type":"ADDED","object":"#, b"}\n");

/// The text is no valid list.
#[derive(Debug, thiserror::Error)]
#[error("the list {0}")]
pub(super) struct InvalidList(&'static str);

const NOT_A_LIST: InvalidList = InvalidList("of objects is none");

/// Takes the text of a list in, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Items {
    place: Position,
    /// Braces and brackets that are open.
    depth: usize,
    text: StringState,
    /// What is no item.
    frame: Vec<u8>,
    /// Where in the frame the last string of the list's own members begins.
    word: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    /// Before the items, or behind them.
    #[default]
    Frame,
    /// Between two items, or before the first.
    Between,
    /// In one.
    Item,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StringState {
    /// Not in a string.
    #[default]
    No,
    /// In one.
    Yes,
    /// In one, behind a `\`.
    Escaped,
}

/// The metadata of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListMeta {
    /// From here on a watch goes on.
    pub(super) version: String,
    /// There are more items than were asked for.
    pub(super) more: bool,
}

impl Items {
    /// Takes in what comes next, and writes lines for what it has of items.
    pub(super) fn take(&mut self, piece: &[u8], lines: &mut Vec<u8>) -> Result<(), InvalidList> {
        // What of the piece is not written yet.
        let mut from = 0;
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            if self.text != StringState::No {
                at = self.string(piece, at);
                continue;
            }
            match (self.place, byte) {
                (_, b'"') => {
                    self.text = StringState::Yes;
                    if self.place == Position::Frame && self.depth == 1 {
                        self.word = self.frame.len() + (at - from);
                    }
                }
                (Position::Frame, b'[') if self.depth == 1 => {
                    self.frame.extend_from_slice(piece.get(from..=at).unwrap_or_default());
                    from = at + 1;
                    self.depth += 1;
                    if self.last_word_is_items() {
                        self.place = Position::Between;
                    }
                }
                (Position::Between, b'{') => {
                    lines.extend_from_slice(EVENT.0);
                    from = at;
                    self.place = Position::Item;
                    self.depth += 1;
                }
                (Position::Between, b']') => {
                    from = at;
                    self.place = Position::Frame;
                    self.depth -= 1;
                }
                (Position::Between, b',' | b' ' | b'\t' | b'\r' | b'\n') => from = at + 1,
                (Position::Between, _) => return Err(NOT_A_LIST),
                (_, b'{' | b'[') => self.depth += 1,
                (_, b'}' | b']') => {
                    self.depth = self.depth.checked_sub(1).ok_or(NOT_A_LIST)?;
                    if self.place == Position::Item && self.depth == 2 {
                        lines.extend_from_slice(piece.get(from..=at).unwrap_or_default());
                        lines.extend_from_slice(EVENT.1);
                        from = at + 1;
                        self.place = Position::Between;
                    }
                }
                // Between values it says nothing, and would end the event's line.
                (Position::Item, b'\n' | b'\r') => {
                    lines.extend_from_slice(piece.get(from..at).unwrap_or_default());
                    from = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        let rest = piece.get(from..).unwrap_or_default();
        match self.place {
            Position::Frame => self.frame.extend_from_slice(rest),
            Position::Item => lines.extend_from_slice(rest),
            Position::Between => {}
        }
        if self.frame.len() > FRAME { Err(NOT_A_LIST) } else { Ok(()) }
    }

    /// Passes over what there is of a string; where to go on.
    fn string(&mut self, piece: &[u8], at: usize) -> usize {
        if self.text == StringState::Escaped {
            self.text = StringState::Yes;
            return at + 1;
        }
        let rest = piece.get(at..).unwrap_or_default();
        let Some(found) = memchr2(b'"', b'\\', rest) else { return piece.len() };
        self.text = if rest.get(found) == Some(&b'"') { StringState::No } else { StringState::Escaped };
        at + found + 1
    }

    fn last_word_is_items(&self) -> bool {
        self.frame.get(self.word..).is_some_and(|end| end.starts_with(br#""items""#))
    }

    /// Whether the items begin, or are over: then [`Items::about`] may know something.
    pub(super) fn begun(&self) -> bool {
        self.place != Position::Frame || self.depth == 0 && !self.frame.is_empty()
    }

    /// What is known by now of the whole list. The API server says it before the items.
    pub(super) fn about(&self) -> Option<ListMeta> {
        let mut frame = self.frame.clone();
        if self.place != Position::Frame {
            frame.extend_from_slice(b"]}");
        }
        let list: Value = serde_json::from_slice(&frame).ok()?;
        let metadata = list.get("metadata")?;
        let text = |member| metadata.get(member).and_then(Value::as_str).unwrap_or_default();
        Some(ListMeta { version: text("resourceVersion").to_owned(), more: !text("continue").is_empty() })
    }

    /// The list is over: what it says of itself.
    pub(super) fn end(&mut self) -> Result<ListMeta, InvalidList> {
        let ended = mem::take(self);
        if ended.place != Position::Frame || ended.depth != 0 || ended.text != StringState::No {
            return Err(InvalidList("ends in the middle"));
        }
        ended.about().filter(|about| !about.version.is_empty()).ok_or(NOT_A_LIST)
    }
}

/// The line that tells that all objects were listed as of this version.
pub(super) fn listed(version: &str) -> String {
    let metadata = json!({"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}, "creationTimestamp": null});
    format!("{}\n", json!({"type": "BOOKMARK", "object": {"kind": "", "apiVersion": "", "metadata": metadata}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events, however the text is cut into pieces.
    fn events(text: &str) -> Result<(Vec<Value>, ListMeta), String> {
        let whole = read(text, text.len().max(1));
        for size in 1..text.len() {
            assert_eq!(read(text, size), whole, "in pieces of {size} bytes");
        }
        whole
    }

    fn read(text: &str, size: usize) -> Result<(Vec<Value>, ListMeta), String> {
        let (mut items, mut lines) = (Items::default(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            items.take(piece, &mut lines).map_err(|error| error.to_string())?;
        }
        let about = items.end().map_err(|error| error.to_string())?;
        let lines = String::from_utf8(lines).map_err(|error| error.to_string())?;
        let events: Result<_, _> = lines.lines().map(serde_json::from_str).collect();
        Ok((events.map_err(|error| error.to_string())?, about))
    }

    #[test]
    fn each_item_is_an_event_whatever_its_strings_hold() {
        let objects = [
            json!({"metadata": {"name": "a"}, "spec": {"containers": [{"args": ["}", "]", "{[", "\"}", "\\", "\\\"", "\n"]}]}}),
            json!({}),
            json!({"items": [{"x": []}], "metadata": {"name": "ü}\u{1f980}"}}),
        ];
        let metadata = json!({"resourceVersion": "7", "remainingItemCount": 1, "labels": ["items"]});
        for layout in [Value::to_string, |value: &Value| serde_json::to_string_pretty(value).unwrap()] {
            // In the API server's order, and in that of a proxy that sorts members.
            for text in [
                format!(r#"{{"kind":"PodList","metadata":{},"items":{}}}"#, layout(&metadata), layout(&json!(objects))),
                format!(
                    r#"{{ "items" : {},"kind":"items","metadata":{}}}"#,
                    layout(&json!(objects)),
                    layout(&metadata)
                ),
            ] {
                let (events, about) = events(&text).unwrap();
                assert_eq!(events, objects.clone().map(|object| json!({"type": "ADDED", "object": object})));
                assert_eq!(about, ListMeta { version: "7".to_owned(), more: false });
            }
        }
    }

    #[test]
    fn a_list_without_items_is_one() {
        for items in ["[]", "null", "[ ]"] {
            let text = format!(r#"{{"metadata":{{"resourceVersion":"7"}},"items":{items}}}"#);
            assert_eq!(events(&text).unwrap(), (Vec::new(), ListMeta { version: "7".to_owned(), more: false }));
        }
    }

    #[test]
    fn what_ends_early_or_is_no_list_is_told() {
        let whole = r#"{"metadata":{"resourceVersion":"7"},"items":[{"a":"b"}]}"#;
        for end in 0..whole.len() {
            assert!(read(&whole[..end], 7).is_err(), "{}", &whole[..end]);
        }
        for text in
            ["[]", "7", "}", "{}", r#"{"items":[7]}"#, r#"{"items":[]}"#, r#"{"metadata":{},"items":[]}"#, "<html>"]
        {
            assert!(events(text).is_err(), "{text}");
        }
        let endless = format!("{{\"kind\":\"{}\"}}", "x".repeat(FRAME));
        assert_eq!(read(&endless, 1000), Err("the list of objects is none".to_owned()));
    }

    #[test]
    fn that_there_is_more_is_known_before_the_first_item() {
        let mut items = Items::default();
        let mut lines = Vec::new();
        items.take(br#"{"metadata":{"resourceVersion":"7","continue":"abc"}"#, &mut lines).unwrap();
        assert!(!items.begun());
        items.take(br#","items":["#, &mut lines).unwrap();
        assert!(items.begun() && lines.is_empty());
        assert_eq!(items.about(), Some(ListMeta { version: "7".to_owned(), more: true }));
    }

    #[test]
    fn the_mark_at_the_end_is_what_a_watch_takes_for_it() {
        let event = serde_json::from_str(&listed("7")).unwrap();
        let kube::core::WatchEvent::<Value>::Bookmark(mark) = event else { panic!("no bookmark") };
        assert_eq!(mark.metadata.resource_version, "7");
        assert!(mark.metadata.annotations.contains_key("k8s.io/initial-events-end"));
    }
}
