//! Programs that tests use and that Rust's registry does not have: what is on this machine, or what `.ci/tool` fetches.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::progress;

/// Where a tool is, or `None` after saying, so that it is seen in a test that passes, that and why the test tests nothing.
pub fn tool(name: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/tool");
    let ran = Command::new(script).arg(name).stdin(Stdio::null()).output();
    let why = match ran {
        Ok(ran) if ran.status.success() => {
            return Some(PathBuf::from(String::from_utf8_lossy(&ran.stdout).trim()));
        }
        // The last line is its own sentence; before that stands what the package manager said.
        Ok(ran) => String::from_utf8_lossy(&ran.stderr).trim().lines().last().unwrap_or_default().to_owned(),
        Err(error) => format!("cannot run .ci/tool: {error}"),
    };
    // That it was said is all that matters here.
    _ = progress::skip(why);
    None
}
