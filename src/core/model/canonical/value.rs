//! What a canonical form is.

use serde_json::Value;

/// A value in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// How the text stands for the value, where that is not plain from the value itself: `base64`, `pem`. Two texts
    /// that hold the same value in different encodings are not the same: their reader would notice.
    pub encoding: Option<&'static str>,
    /// The value. Text that has no known shape stays the string it is.
    pub value: Value,
}
