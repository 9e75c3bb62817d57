//! JSON Schemas of the words: each vocabulary is an enumeration, under its own name.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::core::{
    policy::Mode,
    words::{Difference, Gate, Outcome, UndeterminedReason, Verdict, Word},
};

/// The words, each with its meaning.
fn words<W: Word>() -> Schema {
    let meanings: Vec<_> = W::ALL.iter().map(|w| format!("- `{}`: {}", w.as_str(), w.meaning())).collect();
    let words: Vec<_> = W::ALL.iter().map(|w| w.as_str()).collect();
    json_schema!({ "type": "string", "enum": words, "description": meanings.join("\n") })
}

macro_rules! vocabularies {
    ($($name:ident),+) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                words::<Self>()
            }
        }
    )+};
}

vocabularies!(Verdict, UndeterminedReason, Difference, Gate, Outcome);

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["ignore", "report", "enforce"] })
    }
}
