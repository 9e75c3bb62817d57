//! `sidecar-drift`: see the library's documentation.

use std::process::ExitCode;

use sidecar_drift::cli::{self, Console, Daemon};

/// Reading a Pod takes a thousand small pieces of memory, and musl's allocator, which the image would have otherwise, has one lock
/// for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(std::env::args_os(), &mut Console::standard(), &Daemon).into()
}
