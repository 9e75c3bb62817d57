//! JSON Schemas of the documents, and of the words: each vocabulary is an enumeration, under its own name.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::Value;

use super::API_VERSION;

use crate::core::{
    config::Mode,
    model::words::{Difference, Gate, Outcome, UndeterminedReason, Verdict, Word},
};

/// The JSON Schema (2020-12) of a document of this kind, made from its type.
pub fn schema<T: JsonSchema>(kind: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    schema["title"] = Value::from(format!("{API_VERSION} {kind}"));
    schema["properties"]["apiVersion"]["const"] = API_VERSION.into();
    schema["properties"]["kind"]["const"] = kind.into();
    schema
}

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
