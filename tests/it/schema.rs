//! Whether a document is as its JSON Schema says: no less, and nothing that the schema does not know.

use serde_json::{Value, json};

/// What a value has that its schema does not, and the reverse.
pub(crate) fn mismatches(value: &Value, schema: &Value, all: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        return mismatches(value, all.pointer(name.trim_start_matches('#')).expect(name), all, at, found);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = |choice: &&Value| if value.is_null() { choice["type"] == "null" } else { choice["type"] != "null" };
        return mismatches(value, choices.iter().find(fits).expect(at), all, at, found);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = &schema["type"];
    if !allowed.is_null() && allowed != kind && !allowed.as_array().is_some_and(|kinds| kinds.contains(&json!(kind))) {
        found.push(format!("{at}: {kind} is not {allowed}"));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at}: {value} is not {}", schema["const"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{at}: {value} is not in the list"));
    }
    if let (Some(members), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for (name, member) in members {
            match properties.get(name) {
                Some(property) => mismatches(member, property, all, &format!("{at}/{name}"), found),
                None if schema.get("additionalProperties").is_some() || schema.get("patternProperties").is_some() => {}
                None => found.push(format!("{at}/{name}: not in the schema")),
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        found
            .extend(required.filter(|name| !members.contains_key(*name)).map(|name| format!("{at}/{name}: not there")));
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        mismatches(item, &schema["items"], all, &format!("{at}/{i}"), found);
    }
}
