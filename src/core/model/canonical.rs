//! Values that mean the same although their bytes differ (rules C5 and C10).
//!
//! A value is brought into canonical form by its *shape*, never by the name of an injector or a variable, so that an
//! injector which nobody here knows is served too. Each shape is one row of [`SHAPES`] and one file.

pub mod base64;
pub mod json;
pub mod pem;
mod value;
pub mod whole_word;

use serde_json::Value;

pub use self::value::Canonical;

/// One shape of values.
pub struct Shape {
    /// For people and tests.
    pub name: &'static str,
    /// Recognises the shape and brings it into canonical form; `None`: the text has another shape.
    pub read: fn(&str) -> Option<Canonical>,
}

/// The shapes, tried in this order.
pub const SHAPES: &[Shape] = &[
    Shape { name: "json", read: json::read },
    Shape { name: "pem", read: pem::read },
    Shape { name: "base64 of json", read: base64::read },
];

/// The canonical form of a text: by the first shape that it has, else byte by byte.
pub fn canonical(text: &str) -> Canonical {
    SHAPES
        .iter()
        .find_map(|shape| (shape.read)(text))
        .unwrap_or_else(|| Canonical { encoding: None, value: Value::String(text.to_owned()) })
}

#[cfg(test)]
mod tests;
