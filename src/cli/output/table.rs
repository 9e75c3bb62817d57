//! Tables without borders, as `kubectl` writes them, or as Markdown, in sections with a heading each.

use std::fmt::Write;

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets::NOTHING};

use super::text::{one_line, printable, wrap};
use crate::core::model::words::{Outcome, Verdict, Word};

/// What the place of a table can show.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// In characters; `None`: as wide as it needs to be.
    pub width: Option<u16>,
    /// Verdicts and outcomes are coloured.
    pub colour: bool,
    /// How tables are written.
    pub form: Form,
    /// Headings, titles and sentences stand around rows.
    pub headers: bool,
}

/// How tables are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// What fits, and what is alike in one row.
    #[default]
    Plain,
    /// All columns and all rows.
    Wide,
    /// All rows, as Markdown.
    Markdown,
}

impl Page {
    /// Of the console.
    pub fn of(console: &super::Console, form: Form) -> Self {
        let width = console.width().filter(|_| form == Form::Plain);
        Self { width, colour: console.has_colour() && form != Form::Markdown, form, headers: true }
    }

    /// Rows alone, if `headers` is false.
    #[must_use]
    pub fn with_headers(self, headers: bool) -> Self {
        // What reads rows alone reads them line by line.
        Self { headers, width: self.width.filter(|_| headers), ..self }
    }

    /// A sentence of its own.
    pub fn sentence(self, text: &str) -> String {
        if !self.headers {
            return String::new();
        }
        let text = printable(text);
        match self.form {
            Form::Markdown => format!("{text}\n\n"),
            Form::Plain | Form::Wide => wrap(&text, self.width, "  ") + "\n",
        }
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
        if page.form == Form::Markdown {
            markdown(&mut text, section, page.headers);
            continue;
        }
        let alike = sections.iter().filter(|other| other.columns == section.columns);
        let widths = common_widths(section.columns, alike.flat_map(|section| &section.rows));
        if !page.headers {
            text.push_str(&rows(section, &widths, page));
            continue;
        }
        text.push_str(&wrap(&one_line(&section.heading), page.width, "    "));
        text.push('\n');
        text.push_str(&rows(section, &widths, page));
        text.push('\n');
    }
    text
}

/// Whether Markdown would make more of it than text: a mention, a link, emphasis. In code it makes nothing.
fn is_live(cell: &str) -> bool {
    let emphasis = |(at, _): (usize, &str)| {
        let before = cell.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(char::is_alphanumeric)
    };
    cell.replace("\\|", "").contains(['@', '#', '*', '~', '<', '>', '&', '[', ']', '\\', '$', '`'])
        || ["://", "www.", "mailto:"].iter().any(|link| cell.to_ascii_lowercase().contains(link))
        || cell.match_indices('_').any(emphasis)
}

fn markdown(text: &mut String, section: &Section, headers: bool) {
    // Whoever wrote a message into the cluster shall not write into the ticket.
    let safe = |cell: &str| {
        let cell = one_line(cell).replace('|', "\\|");
        if is_live(&cell) { format!("`{}`", cell.replace('`', "'")) } else { cell }
    };
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    if headers {
        _ = write!(text, "### {}\n\n", safe(&section.heading));
        text.push_str(&line(section.columns.iter().map(|column| (*column).to_owned()).collect()));
        text.push_str(&line(section.columns.iter().map(|_| "---".to_owned()).collect()));
    }
    for row in &section.rows {
        text.push_str(&line(row.iter().map(|cell| safe(cell)).collect()));
    }
    text.push('\n');
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
    if page.headers {
        table.set_header(section.columns);
    }
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
    let margin = if page.headers { " ".repeat(usize::from(INDENT)) } else { String::new() };
    table.lines().map(|line| format!("{margin}{}", line.trim_end()).trim_end().to_owned() + "\n").collect()
}

/// A cell, coloured if its first word is one that has a colour.
fn cell(text: &str, colour: bool) -> Cell {
    let cell = Cell::new(text);
    match colour_of(text.split(' ').next().unwrap_or(text)) {
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
        Outcome::TimedOut | Outcome::Stalled | Outcome::Superseded => Color::Yellow,
        Outcome::Failed | Outcome::NonConvergent | Outcome::Reverted | Outcome::Conflict | Outcome::Denied => {
            Color::Red
        }
    });
    verdict.or(outcome)
}
