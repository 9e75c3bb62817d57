//! How results are written: the forms, and what a person asks for in kubectl's words.

use std::{ffi::OsStr, str::FromStr};

use clap::{
    Arg, Command, ValueEnum,
    builder::{PossibleValue, StringValueParser, TypedValueParser, ValueParserFactory},
};

use super::{
    json_path::{Path, Template},
    values::{listed, read_as_text},
};

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum OutputFormat {
    /// For people.
    Table,
    /// For people with wide screens: each workload, and all that is known of it in short.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Tables for a ticket.
    Markdown,
    /// `deployment.apps/cart`, one a line.
    Name,
    /// As a template or columns say.
    #[value(skip)]
    Shaped,
}

/// What shapes the text of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Of the whole document.
    JsonPath(Template),
    /// A table with these columns.
    Columns(Vec<Column>),
}

/// A column of `custom-columns`.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// What stands above it.
    pub title: String,
    /// What stands in it, of each workload.
    pub path: Path,
}

/// The value of `--output`.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The form.
    pub format: OutputFormat,
    /// With [`OutputFormat::Shaped`] alone.
    pub shape: Option<Shape>,
}

read_as_text!(Output, Path);

/// What a list of workloads is made by, beside its form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// With [`OutputFormat::Shaped`] alone.
    pub shape: Option<Shape>,
    /// Workloads are in the order of what is there; `None`: of their names.
    pub sort_by: Option<Path>,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(format) = OutputFormat::from_str(text, false) {
            return Ok(Self { format, shape: None });
        }
        let shape = match text.split_once('=') {
            Some(("jsonpath", template)) if !template.is_empty() => Shape::JsonPath(template.parse()?),
            Some(("custom-columns", columns)) if !columns.is_empty() => Shape::Columns(self::columns(columns)?),
            Some(("jsonpath" | "custom-columns", _)) => return Err("nothing stands after the `=`".to_owned()),
            _ => {
                let mut known: Vec<_> = OutputFormat::value_variants().iter().copied().filter_map(name).collect();
                known.extend(["jsonpath=TEMPLATE", "custom-columns=TITLE:PATH,..."].map(str::to_owned));
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                return Err(format!("{} is wanted", listed(&known, "or")));
            }
        };
        Ok(Self { format: OutputFormat::Shaped, shape: Some(shape) })
    }
}

fn name(format: OutputFormat) -> Option<String> {
    format.to_possible_value().map(|value| value.get_name().to_owned())
}

/// `NAME:.name,PODS:.pods`; commas in brackets are part of a path.
fn columns(text: &str) -> Result<Vec<Column>, String> {
    let mut depth = 0_usize;
    let parts = text.split(|letter| {
        depth = match letter {
            '[' => depth + 1,
            ']' => depth.saturating_sub(1),
            _ => depth,
        };
        letter == ',' && depth == 0
    });
    let column = |part: &str| match part.split_once(':') {
        Some((title, path)) if !title.is_empty() && !path.is_empty() => {
            Ok(Column { title: title.to_owned(), path: path.parse()? })
        }
        _ => Err(format!("`{part}` is no column; one is written `TITLE:PATH`, such as `NAME:.name`")),
    };
    parts.map(column).collect()
}

impl ValueParserFactory for Output {
    type Parser = OutputParser;

    fn value_parser() -> OutputParser {
        OutputParser
    }
}

/// Reads [`Output`], and knows the forms for completions.
#[derive(Clone, Copy, Debug)]
pub struct OutputParser;

impl TypedValueParser for OutputParser {
    type Value = Output;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Output, clap::Error> {
        StringValueParser::new().try_map(|text| text.parse::<Output>()).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(OutputFormat::value_variants().iter().filter_map(ValueEnum::to_possible_value)))
    }
}
