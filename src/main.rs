//! `sidecar-drift`: see the library's documentation.

use std::process::ExitCode;

use sidecar_drift::cli::{self, Console, Daemon};

fn main() -> ExitCode {
    cli::main(std::env::args_os(), &mut Console::standard(), &Daemon).into()
}
