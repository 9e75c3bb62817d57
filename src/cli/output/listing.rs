//! Results as kubectl writes them on demand: names, a template's text, columns; and the order of workloads.

use std::{cmp::Ordering, sync::Arc};

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde_json::Value;

use super::{redaction::Redaction, text::one_line};
use crate::{
    config::{
        Column, Listing, OutputFormat, OutputOptions, Shape,
        json_path::{Path, printed},
        values::KindName,
    },
    core::{model::digit_runs, report::Report},
    document::Workload,
};

/// What stands in a column where there is nothing.
const NONE: &str = "<none>";

/// What separates columns, at least.
const GAP: usize = 3;

/// A column is this wide, at least.
const NARROWEST: usize = 6;

/// A document as it is asked for: as JSON or YAML, by a template, or, where it has a list under `items`, the names in it, or
/// columns.
pub fn text(
    document: &impl Serialize,
    items: Option<&str>,
    options: OutputOptions,
    listing: &Listing,
) -> anyhow::Result<String> {
    match (options.format, &listing.shape) {
        (OutputFormat::Yaml, _) => return Ok(serde_saphyr::to_string(document)?),
        (OutputFormat::Name | OutputFormat::Shaped, _) => {}
        _ => return Ok(serde_json::to_string_pretty(document)? + "\n"),
    }
    let document = serde_json::to_value(document)?;
    if let Some(Shape::JsonPath(template)) = &listing.shape {
        return template.text(&document).map_err(|why| anyhow!("`--output jsonpath`: {why}"));
    }
    let items = items.and_then(|key| document.get(key)?.as_array()).map(Vec::as_slice).unwrap_or_default();
    match &listing.shape {
        Some(Shape::Columns(wanted)) => columns(items, wanted, options.headers),
        _ => names(items),
    }
}

/// `deployment.apps/cart`
fn names(items: &[Value]) -> anyhow::Result<String> {
    let mut text = String::new();
    for item in items {
        let said = |key: &str| item.get(key).and_then(Value::as_str).context("an item has no name");
        let kind = said("kind")?;
        let line = format!("{}{}/{}", kind.to_lowercase(), group_of(kind), said("name")?);
        text += &one_line(&line);
        text.push('\n');
    }
    Ok(text)
}

/// `.apps` of a Deployment; what we cannot render, but may list, among them.
fn group_of(kind: &str) -> String {
    let known = kind.parse::<KindName>().ok();
    let group = known.and_then(|KindName(kind)| Some(kind.api_version().split_once('/')?.0.to_owned()));
    match (group, kind) {
        (Some(group), _) => format!(".{group}"),
        (None, "Job" | "CronJob") => ".batch".to_owned(),
        (None, _) => String::new(),
    }
}

fn columns(items: &[Value], columns: &[Column], headers: bool) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    if headers {
        rows.push(columns.iter().map(|column| column.title.clone()).collect::<Vec<_>>());
    }
    for item in items {
        let cell = |column: &Column| {
            let found = column.path.values(item).map_err(|why| anyhow!("`{}`: {why}", column.path.as_str()))?;
            let found: Vec<_> = found.iter().filter(|value| !value.is_null()).map(printed).collect();
            Ok(if found.is_empty() { NONE.to_owned() } else { one_line(&found.join(",")) })
        };
        rows.push(columns.iter().map(cell).collect::<anyhow::Result<_>>()?);
    }
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default() + GAP;
    let width = |at: usize| width(at).max(NARROWEST);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.concat().trim_end().to_owned() + "\n"
    };
    Ok(rows.iter().map(line).collect())
}

/// The report with its workloads in the order of what is at `path`: nothing first, numbers by their value, texts as people count.
pub fn sorted(report: &Report, path: &Path, redaction: &Redaction) -> anyhow::Result<Report> {
    let mut keyed = Vec::new();
    for workload in &report.workloads {
        let item = serde_json::to_value(Workload::of(workload, redaction))?;
        let found = path.values(&item).map_err(|why| anyhow!("`--sort-by {}`: {why}", path.as_str()))?;
        keyed.push((found.into_iter().next().filter(|value| !value.is_null()), Arc::clone(workload)));
    }
    anyhow::ensure!(
        keyed.is_empty() || keyed.iter().any(|(key, _)| key.is_some()),
        "`--sort-by {}`: no workload has anything there; `-o json` shows what they have",
        path.as_str()
    );
    keyed.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Some(a), Some(b)) => natural(&printed(a), &printed(b)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    let workloads = keyed.into_iter().map(|(_, workload)| workload).collect();
    Ok(Report { workloads, ..report.clone() })
}

/// `web-2` before `web-10`, as kubectl has it.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b) = (digit_runs(a), digit_runs(b));
    let is_number = |run: &str| run.starts_with(|c: char| c.is_ascii_digit());
    let short = |run: &str| run.trim_start_matches('0').len();
    let orders = a.iter().zip(&b).map(|(x, y)| {
        let numbers = is_number(x) && is_number(y);
        if numbers { short(x).cmp(&short(y)).then_with(|| x.cmp(y)) } else { x.cmp(y) }
    });
    orders.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_in_the_order_in_which_people_count() {
        let mut texts = ["web-10", "web-2", "web", "api", "web-2b", "10", "9", "web-02"];
        texts.sort_by(|a, b| natural(a, b));
        assert_eq!(texts, ["9", "10", "api", "web", "web-02", "web-2", "web-2b", "web-10"]);
    }
}
