//! What a person sees while the testbed builds and starts.
//!
//! Written to the process's standard error and not with `eprintln!`, because a test harness captures the latter: a first
//! build of minutes would look like a hang.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Says one finished sentence.
pub(crate) fn say(line: impl Display) {
    write(format_args!("testbed: {line}\n"));
}

/// Says that a test did not test anything, and why; what it returns is what the test returns. To be seen even though the
/// test passes.
pub fn skip(why: impl Display) -> anyhow::Result<()> {
    let thread = std::thread::current();
    say(format_args!("skipped: {}: {why}", thread.name().unwrap_or("a test")));
    Ok(())
}

/// Begins a line that [`end`] finishes.
pub(crate) fn begin(line: impl Display) {
    write(format_args!("testbed: {line} ... "));
}

/// Finishes what [`begin`] began.
pub(crate) fn end(line: impl Display) {
    write(format_args!("{line}\n"));
}

fn write(line: std::fmt::Arguments<'_>) {
    let mut stderr = io::stderr().lock();
    // A closed stderr must not fail a test.
    let _ = stderr.write_fmt(line).and_then(|()| stderr.flush());
}
