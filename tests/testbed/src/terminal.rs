//! A program at a real pseudo-terminal, and the screen that a person would see there.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    num::NonZeroU16,
    path::Path,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use pty_process::blocking::{Command, Pty};

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// So often the screen is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What a program asks when it wants to know where the cursor is; terminals answer.
const WHERE_IS_THE_CURSOR: &[u8] = b"\x1b[6n";

/// A program that runs at a terminal.
pub struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
}

#[expect(clippy::disallowed_methods, reason = "a screen is waited for, with a deadline")]
impl Terminal {
    /// Starts the program at a terminal of this size, with this environment and nothing else in it.
    pub fn start<'e>(
        (rows, columns): (u16, u16),
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: impl IntoIterator<Item = (&'e str, &'e OsStr)>,
    ) -> Result<Self> {
        let (pty, pts) = pty_process::blocking::open().context("no pseudo-terminal")?;
        pty.resize(pty_process::Size::new(rows, columns))?;
        let command = Command::new(program).args(arguments).env_clear().env("TERM", "xterm-256color").envs(environment);
        let child = command.spawn(pts).with_context(|| program.display().to_string())?;
        let of_size = |n: u16| NonZeroU16::new(n).context("a terminal without room");
        let parser = vt100::Parser::new(of_size(rows)?, of_size(columns)?, 0);
        let (pty, screen) = (Arc::new(pty), Arc::new(Mutex::new(parser)));
        let reader = std::thread::spawn({
            let (pty, screen) = (pty.clone(), screen.clone());
            move || read(&pty, &screen)
        });
        Ok(Self { pty, child, screen, reader: Some(reader) })
    }

    /// Types.
    pub fn send(&self, keys: &str) -> Result<()> {
        Ok((&*self.pty).write_all(keys.as_bytes())?)
    }

    /// What is on the screen now, without spaces at the ends of lines and empty lines at the end.
    pub fn screen(&self) -> String {
        let parser = lock(&self.screen);
        let (_, columns) = parser.screen().size();
        let lines: Vec<_> = parser.screen().rows(0, columns.into()).map(|row| row.trim_end().to_owned()).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// Waits until the screen is as `is_it` wants it.
    pub fn until(&self, what: &str, is_it: impl Fn(&str) -> bool) -> Result<String> {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if is_it(&screen) {
                return Ok(screen);
            }
            if begun.elapsed() > DEADLINE {
                bail!("the screen never showed {what}:\n{screen}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until the program ends, and returns the last screen.
    pub fn end(mut self) -> Result<(ExitStatus, String)> {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if begun.elapsed() > DEADLINE {
                bail!("it does not end:\n{}", self.screen());
            }
            std::thread::sleep(LOOK);
        };
        if let Some(reader) = self.reader.take() {
            // It ends with the last handle of the other side, which the program had.
            _ = reader.join();
        }
        Ok((status, self.screen()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn read(pty: &Pty, screen: &Mutex<vt100::Parser>) {
    let mut buffer = [0; 4096];
    // An error is how Linux says that nobody is at the other side any more.
    while let Ok(length @ 1..) = (&mut &*pty).read(&mut buffer) {
        let bytes = &buffer[..length];
        lock(screen).process(bytes);
        if bytes.windows(WHERE_IS_THE_CURSOR.len()).any(|window| window == WHERE_IS_THE_CURSOR) {
            let (row, column) = lock(screen).screen().cursor_position();
            _ = (&mut &*pty).write_all(format!("\x1b[{};{}R", row + 1, column + 1).as_bytes());
        }
    }
}

fn lock(screen: &Mutex<vt100::Parser>) -> MutexGuard<'_, vt100::Parser> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}
