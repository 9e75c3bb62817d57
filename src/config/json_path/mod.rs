//! JSONPath as kubectl speaks it (`client-go/util/jsonpath`), which is not RFC 9535: templates with text, `{range}` and `{end}`,
//! keys with escaped dots. See decision 0003 for why it is our own.
//!
//! A template is parsed once, into [`Node`]s; they are walked with the values that are current, as kubectl does, so that what is
//! strange there is strange here in the same way.

mod find;
mod parse;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use serde_json::Value;

/// A template of `-o jsonpath=...`.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    nodes: Vec<Node>,
}

/// A single path, as columns and the order of rows take it: `.name`, `{.name}`, `name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

/// What a template is made of.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    /// What stands between braces.
    Action(Vec<Step>),
    /// For each value of the steps, the nodes.
    Range(Vec<Step>, Vec<Node>),
}

/// What leads from values to values.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    /// All members, or elements.
    All,
    /// The values themselves, and all below them that have members or elements.
    Below,
    Slice(Slice),
    Union(Vec<Vec<Step>>),
    Filter(Vec<Step>, Option<(Operator, Vec<Step>)>),
    /// A value of its own, whatever is current.
    Literal(Value),
}

/// `[first:last:step]`; an index is a slice of one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    first: Option<i64>,
    last: Option<i64>,
    /// The last one was not written.
    one: bool,
    step: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse::template(text).map(|nodes| Self { nodes })
    }
}

impl Template {
    /// What it makes of a document; an error where it asks for an element that is not there, or for elements of what has none.
    pub fn text(&self, document: &Value) -> Result<String, String> {
        let mut text = String::new();
        find::write(&self.nodes, Some(document), &mut text)?;
        Ok(text)
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse::path(text).map(|steps| Self { text: text.to_owned(), steps })
    }
}

impl Path {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The values that it leads to; none where something on the way is missing.
    pub fn values(&self, item: &Value) -> Result<Vec<Value>, String> {
        Ok(find::values(&self.steps, vec![item])?.into_iter().map(std::borrow::Cow::into_owned).collect())
    }
}

/// A value as it is printed: texts as they are, what has members or elements as JSON.
pub fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
