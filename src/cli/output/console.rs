//! The one place that prints: results to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

/// Where we speak to, and what it can show.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the terminal and the wishes of a person")]
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// The width of the terminal that results go to; `None`: a file or a pipe, where lines are as long as they need be.
    width: Option<u16>,
    /// Messages go to a terminal.
    live: bool,
    colour: bool,
    quiet: bool,
    /// Messages are log lines, for machines.
    logged: bool,
}

impl Console {
    /// The process's own stdout and stderr.
    pub fn standard() -> Self {
        let terminal = io::stdout().is_terminal();
        let width = terminal.then(|| terminal_size::terminal_size().map_or(80, |(width, _)| width.0));
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            width,
            live: io::stderr().is_terminal(),
            colour: terminal,
            quiet: false,
            logged: false,
        }
    }

    /// Any two writers, without colours. `width`: what a terminal of that width would show.
    pub fn new(out: impl Write + Send + 'static, err: impl Write + Send + 'static, width: Option<u16>) -> Self {
        Self { out: Box::new(out), err: Box::new(err), width, live: false, colour: false, quiet: false, logged: false }
    }

    /// What the configuration says about it.
    pub fn apply(&mut self, show: crate::config::OutputOptions) {
        self.colour &= show.colour;
        self.quiet = show.quiet;
        self.logged = show.logged;
    }

    /// The width that results must fit.
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// Results go to a person's eyes and not into a file.
    pub fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// Somebody is there who can answer a question.
    pub fn can_ask(&self) -> bool {
        self.live && io::stdin().is_terminal()
    }

    /// Messages may be redrawn.
    pub fn is_live(&self) -> bool {
        self.live && !self.quiet && !self.logged
    }

    /// Results may have colours.
    pub fn has_colour(&self) -> bool {
        self.colour
    }

    /// Writes a result, if there is one. A final line break is added where there is none.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }

    /// Draws a result over the one before it, as much as the screen holds.
    pub fn redraw(&mut self, text: &str) -> io::Result<()> {
        let rows = terminal_size::terminal_size().map_or(24, |(_, height)| usize::from(height.0)).max(2);
        let lines: Vec<_> = text.lines().collect();
        let fit = if lines.len() < rows { lines.len() } else { rows - 2 };
        let mut screen = "\u{1b}[H".to_owned();
        for line in &lines[..fit] {
            screen.push_str(line);
            screen.push_str("\u{1b}[K\r\n");
        }
        if fit < lines.len() {
            _ = std::fmt::Write::write_fmt(&mut screen, format_args!("... {} more lines\u{1b}[K", lines.len() - fit));
        }
        screen.push_str("\u{1b}[J");
        self.out.write_all(screen.as_bytes())?;
        self.out.flush()
    }

    /// Writes a message of progress, or a hint; nothing when quiet.
    pub fn note(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        if self.logged {
            tracing::info!("{text}");
        } else {
            _ = writeln!(self.err, "{text}");
        }
    }

    /// Writes a message that is said even when quiet. When stderr cannot be written to, there is nobody left to tell.
    pub fn print_error(&mut self, text: &str) {
        if self.logged {
            tracing::error!("{}", text.trim_start_matches("error: "));
        } else {
            _ = writeln!(self.err, "{text}");
        }
    }
}
