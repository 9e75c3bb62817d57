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
