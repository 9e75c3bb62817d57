//! What the person before the screen sees.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal as _, Write as _};

use tokio::time::Instant;

/// Everything that belongs to a step stands under its title.
const INDENT: &str = "   ";

/// Standard output, as numbered steps.
#[derive(Debug)]
pub(super) struct Screen {
    out: io::Stdout,
    colour: bool,
    started: Instant,
    steps: usize,
}

/// What colours mean here.
#[derive(Debug, Clone, Copy)]
enum Style {
    Title,
    Command,
    Good,
    Bad,
    Aside,
}

impl Screen {
    /// In colour on a terminal, unless `NO_COLOR` is set.
    pub(super) fn new() -> Self {
        let out = io::stdout();
        let colour = out.is_terminal() && !testbed::no_color();
        Self { out, colour, started: Instant::now(), steps: 0 }
    }

    /// Seconds since the beginning.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Begins a step.
    pub(super) fn step(&mut self, title: impl Display) {
        self.steps += 1;
        let title = self.paint(Style::Title, format_args!("{}. {title}", self.steps));
        let time = self.paint(Style::Aside, format_args!("[{:.0} s]", self.seconds()));
        self.print(format_args!("\n{title}  {time}\n"));
    }

    /// A title without a number.
    pub(super) fn title(&self, title: impl Display) {
        self.print(format_args!("{}\n", self.paint(Style::Title, title)));
    }

    /// One or more lines.
    pub(super) fn say(&self, text: impl Display) {
        for line in text.to_string().lines() {
            self.print(format_args!("{}\n", format!("{INDENT}{line}").trim_end()));
        }
    }

    /// An empty line.
    pub(super) fn gap(&self) {
        self.print(format_args!("\n"));
    }

    /// Something that matters less.
    pub(super) fn aside(&self, text: impl Display) {
        self.print(format_args!("{INDENT}{}\n", self.paint(Style::Aside, text)));
    }

    /// A command line as a person would type it.
    pub(super) fn command(&self, command: impl Display) {
        self.print(format_args!("{INDENT}{}\n", self.paint(Style::Command, format_args!("$ {command}"))));
    }

    /// What a program has printed.
    pub(super) fn output(&self, text: &str) {
        self.gap();
        self.say(text.trim_end());
        self.gap();
    }

    /// Something that went well, or did not.
    pub(super) fn result(&self, good: bool, text: impl Display) {
        let mark = if good { self.paint(Style::Good, "ok") } else { self.paint(Style::Bad, "FAILED") };
        self.print(format_args!("{INDENT}{mark}  {text}\n"));
    }

    /// Rows under their heads, in columns.
    pub(super) fn table<const N: usize>(&self, heads: [&str; N], rows: &[[String; N]]) {
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain(heads.get(column).map(|head| head.len())).max().unwrap_or_default()
        });
        let line = |cells: [&str; N]| {
            let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ")
        };
        self.gap();
        self.say(line(heads));
        for row in rows {
            self.say(line(row.each_ref().map(String::as_str)));
        }
    }

    fn paint(&self, style: Style, text: impl Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match style {
            Style::Title => "1",
            Style::Command => "36",
            Style::Good => "32",
            Style::Bad => "1;31",
            Style::Aside => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Whoever closed the pipe has seen enough; the checks go on, because the exit code counts.
    fn print(&self, text: fmt::Arguments<'_>) {
        let mut out = self.out.lock();
        let _ = out.write_fmt(text).and_then(|()| out.flush());
    }
}
