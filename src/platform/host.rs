//! This machine.

/// Its name, or what stands for it where it has none.
#[cfg(unix)]
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Its name, or what stands for it where it has none. Windows tells each process in its environment.
#[cfg(windows)]
#[expect(clippy::disallowed_methods, reason = "no configuration of ours")]
pub fn name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "windows".to_owned())
}
