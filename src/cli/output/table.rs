//! Tables without borders, as `kubectl` writes them, in sections with a heading each.

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets::NOTHING};

use super::text::{one_line, printable, wrap};
use crate::core::words::{Outcome, Verdict, Word};

/// What the place of a table can show.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// In characters; `None`: as wide as it needs to be.
    pub width: Option<u16>,
    /// Verdicts and outcomes are coloured.
    pub colour: bool,
}

impl Page {
    /// Of the console.
    pub fn of(console: &super::Console) -> Self {
        Self { width: console.width(), colour: console.has_colour() }
    }
}

/// A heading and the rows under it.
#[derive(Debug)]
pub struct Section {
    /// Says what the rows have in common.
    pub heading: String,
    /// What the columns are called.
    pub columns: &'static [&'static str],
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// Rows begin this far to the right of their heading.
const INDENT: u16 = 2;

/// All sections, those with the same columns in line with each other; empty ones left out.
pub fn sections(sections: &[Section], page: Page) -> String {
    let mut text = String::new();
    for section in sections.iter().filter(|section| !section.rows.is_empty()) {
        let alike = sections.iter().filter(|other| other.columns == section.columns);
        let widths = common_widths(section.columns, alike.flat_map(|section| &section.rows));
        text.push_str(&wrap(&printable(&section.heading), page.width, "    "));
        text.push('\n');
        text.push_str(&rows(section, &widths, page));
        text.push('\n');
    }
    text
}

/// How wide each column would like to be over all sections that have it.
fn common_widths<'a>(columns: &[&str], rows: impl Iterator<Item = &'a Vec<String>>) -> Vec<usize> {
    let mut widths: Vec<_> = columns.iter().map(|heading| heading.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn rows(section: &Section, widths: &[usize], page: Page) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if page.colour {
        table.enforce_styling()
    } else {
        table.force_no_tty()
    };
    let room = page.width.map_or(u16::MAX, |width| width.saturating_sub(INDENT));
    table.set_width(room);
    table.set_header(section.columns);
    for row in &section.rows {
        table.add_row(row.iter().map(|text| cell(&one_line(text), page.colour)));
    }
    let gaps = 2 * widths.len();
    let fits = widths.iter().sum::<usize>() + gaps <= usize::from(room);
    for (index, width) in widths.iter().enumerate() {
        let Some(column) = table.column_mut(index) else { continue };
        column.set_padding((0, 2));
        if fits {
            let width = u16::try_from(*width).unwrap_or(u16::MAX).saturating_add(2);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
    }
    let margin = " ".repeat(usize::from(INDENT));
    table.lines().map(|line| format!("{margin}{}", line.trim_end()).trim_end().to_owned() + "\n").collect()
}

/// A cell, coloured if its text is a word that has a colour.
fn cell(text: &str, colour: bool) -> Cell {
    let cell = Cell::new(text);
    match colour_of(text) {
        Some(hue) if colour => cell.fg(hue),
        _ => cell,
    }
}

fn colour_of(text: &str) -> Option<Color> {
    let verdict = Verdict::ALL.iter().find(|word| word.as_str() == text).map(|verdict| match verdict {
        Verdict::Rejected | Verdict::NonConvergent => Color::Red,
        Verdict::Removed | Verdict::Missing | Verdict::Drifted => Color::Yellow,
        Verdict::Undetermined => Color::Magenta,
        Verdict::InSync => Color::Green,
        Verdict::NoPods | Verdict::NotInjected => Color::DarkGrey,
    });
    let outcome = Outcome::ALL.iter().find(|word| word.as_str() == text).map(|outcome| match outcome {
        Outcome::Converged => Color::Green,
        Outcome::TimedOut | Outcome::Superseded => Color::Yellow,
        Outcome::Failed | Outcome::NonConvergent | Outcome::Reverted | Outcome::Conflict | Outcome::Denied => {
            Color::Red
        }
    });
    verdict.or(outcome)
}
