//! From a report to what people and programs read. Pure, but for [`Console`], which prints.

mod console;
pub mod diff;
pub mod rollout;
pub mod scan;
pub mod table;
pub mod text;

pub use self::console::Console;

use serde::Serialize;

use crate::config::OutputFormat;

/// Writes a document in a format that is not a table.
pub fn write(document: &impl Serialize, format: OutputFormat) -> anyhow::Result<String> {
    Ok(match format {
        OutputFormat::Yaml => serde_saphyr::to_string(document)?,
        OutputFormat::Json | OutputFormat::Table => serde_json::to_string_pretty(document)? + "\n",
    })
}
