//! JSON in a text (rule C5): white space, the order of members, and the order of lists that name their elements do
//! not matter.
//!
//! Scalars are kept as their JSON text (`"a"`, `1.50`, `true`), so that neither the type nor the digits of a number are
//! lost: `1` is not `"1"`, and 12345678901234567890123 not ...124.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::value::Canonical;

/// Deeper than any configuration, and shallow enough for any stack.
const DEPTH: usize = 64;

/// A JSON object or list. Scalars are left to the byte-wise comparison, and so is what is not strictly JSON or has a
/// member twice, where readers disagree.
pub fn read(text: &str) -> Option<Canonical> {
    let text = text.trim_matches(SPACE);
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let mut reader = Reader { rest: text };
    let value = reader.value(DEPTH)?;
    reader.rest.is_empty().then_some(Canonical { encoding: None, value })
}

/// White space as JSON knows it.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        self.space();
        match self.rest.as_bytes().first()? {
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.list(depth.checked_sub(1)?),
            _ => self.scalar().map(|text| Value::String(text.into_owned())),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        let mut members = Map::new();
        self.eat("{")?;
        self.space();
        if self.eat("}").is_some() {
            return Some(Value::Object(members));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.eat(":")?;
            if members.insert(key, self.value(depth)?).is_some() {
                return None;
            }
            self.space();
            if self.eat(",").is_none() {
                return self.eat("}").map(|()| Value::Object(members));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        let mut elements = Vec::new();
        self.eat("[")?;
        self.space();
        if self.eat("]").is_some() {
            return Some(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.space();
            if self.eat(",").is_none() {
                return self.eat("]").map(|()| by_identity(elements));
            }
        }
    }

    /// A string, number, `true`, `false` or `null`, as text; a string with its escapes in their shortest form.
    fn scalar(&mut self) -> Option<std::borrow::Cow<'t, str>> {
        if self.rest.starts_with('"') {
            return self.string().map(|s| Value::String(s).to_string().into());
        }
        let end = self.rest.find(|c| SPACE.contains(&c) || matches!(c, ',' | ']' | '}')).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        // serde_json knows the grammar of numbers and words; only their digits must not go through its types. What
        // does not fit those (1e999) is left to the byte-wise comparison.
        serde_json::from_str::<Value>(text).ok()?;
        self.rest = rest;
        Some(text.into())
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.rest.strip_prefix('"')?.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        })?;
        let (text, rest) = self.rest.split_at(end + 2);
        let string = serde_json::from_str(text).ok()?;
        self.rest = rest;
        Some(string)
    }

    fn eat(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches(SPACE);
    }
}

/// A list of objects that are told apart by one of their members (`destination`, `name`, `port`) is a set written down
/// in some order: it becomes an object with `[destination=/etc/tls]` as key. Any other list keeps its order.
///
/// Where several members would do, the one with the shortest values is taken: identities are short, contents long.
fn by_identity(elements: Vec<Value>) -> Value {
    let Some(member) = identity(&elements) else { return Value::Array(elements) };
    let keyed = elements.into_iter().filter_map(|element| {
        let text = element.get(&member)?.as_str()?;
        // The quotes of a string say nothing here.
        let text = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
        Some((format!("[{member}={text}]"), element))
    });
    Value::Object(keyed.collect())
}

fn identity(elements: &[Value]) -> Option<String> {
    if elements.len() < 2 {
        return None;
    }
    let first = elements.first()?.as_object()?;
    let candidates = first.keys().filter_map(|member| {
        let mut seen = BTreeSet::new();
        let mut length = 0;
        for element in elements {
            let text = element.as_object()?.get(member)?.as_str()?;
            // Booleans and null name nothing; a number that equals a string would make one key of two.
            if matches!(text, "true" | "false" | "null") || !seen.insert(text.trim_matches('"')) {
                return None;
            }
            length += text.len();
        }
        Some((length, member))
    });
    candidates.min().map(|(_, member)| member.clone())
}
