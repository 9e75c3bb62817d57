//! What a trial found, as a part of `docs/injectors.md`.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

/// Rows of one injector's table.
#[derive(Debug)]
pub(super) struct Findings {
    key: &'static str,
    rows: Vec<(String, String)>,
}

impl Findings {
    /// Those that stand in the page between the comments `<key>: begin` and `<key>: end`.
    pub(super) fn new(key: &'static str) -> Self {
        Self { key, rows: Vec::new() }
    }

    pub(super) fn add(&mut self, tried: impl Into<String>, result: impl Into<String>) {
        self.rows.push((tried.into(), result.into()));
    }

    /// Writes them into the page, and shows them.
    #[expect(clippy::print_stdout, reason = "the run's output is what a person asked for")]
    pub(super) fn write(&self, title: &str) -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/injectors.md");
        let page = fs::read_to_string(&path)?;
        let (begin, end) = (format!("<!-- {}: begin -->", self.key), format!("<!-- {}: end -->", self.key));
        let (before, rest) = page.split_once(&begin).with_context(|| format!("the page has no {begin}"))?;
        let (_, after) = rest.split_once(&end).with_context(|| format!("the page has no {end}"))?;
        let table = self.table(title);
        println!("{table}");
        Ok(fs::write(&path, format!("{before}{begin}\n\n{table}\n{end}{after}"))?)
    }

    fn table(&self, title: &str) -> String {
        let mut table = format!("| {title} | result |\n| --- | --- |\n");
        for (tried, result) in &self.rows {
            let _ = writeln!(table, "| {tried} | {result} |");
        }
        table
    }
}
