//! `sidecar-drift`: see the library's documentation.

use std::process::ExitCode;

use sidecar_drift::cli::{self, Console, Daemon};

/// Reading a Pod takes a thousand small pieces of memory. That of musl, which the image would have otherwise, has one lock for
/// all threads; with that of glibc it is a third more work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(std::env::args_os(), &mut Console::standard(), &Daemon).into()
}
