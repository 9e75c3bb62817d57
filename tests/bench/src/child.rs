//! A process that is measured.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

/// The longest that anything measured takes, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(15);

/// What `/proc/<pid>/stat` counts in: a hundredth of a second on every Linux that we know of.
const TICK: Duration = Duration::from_millis(10);

/// Resident memory is taken when it has not moved by more than this between two looks.
const STILL_KIB: u64 = 256;

/// A process whose output is read line by line. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Measured {
    child: Child,
    pid: u32,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

/// What a process holds in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Resident now, in KiB.
    pub(crate) resident: u64,
    /// The most that was ever resident, in KiB.
    pub(crate) peak: u64,
}

impl Memory {
    pub(crate) fn mib(self) -> f64 {
        mib(self.resident)
    }

    pub(crate) fn peak_mib(self) -> f64 {
        mib(self.peak)
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^52")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

impl Measured {
    /// Starts it with an environment of its own.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its own process group: Ctrl-C reaches us, and we end it.
        let mut child = command.process_group(0).kill_on_drop(true).spawn().with_context(|| cannot_start(program))?;
        let pid = child.id().context("a process that has ended before it began")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        Ok(Self { child, pid, stdout: BufReader::new(stdout).lines(), stderr: BufReader::new(stderr).lines() })
    }

    /// Waits until it prints a line that begins like this.
    pub(crate) async fn until_it_prints(&mut self, begins: &str) -> Result<()> {
        let reading = async {
            while let Some(line) = self.stdout.next_line().await? {
                if line.starts_with(begins) {
                    return Ok(());
                }
            }
            bail!("it ended before it printed `{begins}`")
        };
        timeout(PATIENCE, reading).await.with_context(|| format!("`{begins}` was not printed"))?
    }

    /// The next line of its log, as JSON; what is none is passed over.
    pub(crate) async fn log_line(&mut self) -> Result<Value> {
        let mut last = String::new();
        let reading = async {
            while let Some(line) = self.stderr.next_line().await? {
                if let Ok(json) = serde_json::from_str(&line) {
                    return Ok(json);
                }
                last = line;
            }
            bail!("it ended by itself; its last words: {last}")
        };
        timeout(PATIENCE, reading).await.context("the log says nothing more")?
    }

    /// Reads its log until a line is as wanted.
    pub(crate) async fn until_it_says(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let line = self.log_line().await?;
            if wanted(&line) {
                return Ok(line);
            }
        }
    }

    /// What it holds now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).context("the process has ended")?;
        Ok(Memory { resident: kib(&status, "VmRSS:")?, peak: kib(&status, "VmHWM:")? })
    }

    /// What it holds once that does not move any more.
    pub(crate) async fn memory_at_rest(&self) -> Result<Memory> {
        let mut last = self.memory()?;
        // A moment for what is given back to the system late.
        for _ in 0..30 {
            sleep(Duration::from_secs(2)).await;
            let now = self.memory()?;
            if now.resident.abs_diff(last.resident) <= STILL_KIB {
                return Ok(now);
            }
            last = now;
        }
        Ok(last)
    }

    /// The processor time that it has used, all threads together.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).context("the process has ended")?;
        processor_time(&stat).context("/proc/<pid>/stat is not as expected")
    }

    /// Kills it and waits for its end.
    pub(crate) async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

fn cannot_start(program: &Path) -> String {
    format!("cannot start {}", program.display())
}

fn kib(status: &str, field: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// User and system time: fields 14 and 15, counted behind the name, which may hold anything.
fn processor_time(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let user: u32 = fields.nth(11)?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

/// Runs a program to its end; returns what it printed and how long that took.
pub(crate) async fn run(program: &Path, arguments: &[&str]) -> Result<(String, Duration)> {
    let began = Instant::now();
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.context("it takes too long")?;
    let output = output.with_context(|| cannot_start(program))?;
    let took = began.elapsed();
    if !output.status.success() {
        bail!(
            "{} {} failed: {}",
            program.display(),
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok((String::from_utf8(output.stdout)?, took))
}

/// The program that is measured: the release build, in the folder beside the profile that this one was built with.
pub(crate) fn sidecar_drift(named: Option<PathBuf>) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let target = here.parent().and_then(Path::parent).context("this program has no folder")?;
    let path = named.unwrap_or_else(|| target.join("release/sidecar-drift"));
    if !path.is_file() {
        bail!("{} is missing; `make bench` builds it", path.display());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processor_time_are_read_as_the_kernel_writes_them() {
        let status = "Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        assert_eq!(kib(status, "VmRSS:").unwrap(), 10240);
        let memory = Memory { resident: 10240, peak: kib(status, "VmHWM:").unwrap() };
        assert!((memory.mib() - 10.0).abs() < 1e-9 && (memory.peak_mib() - 20.0).abs() < 1e-9);
        assert!(kib(status, "VmSwap:").is_err());
        let stat = "17 (a name) with) S 1 17 17 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 3 0 100";
        assert_eq!(processor_time(stat), Some(Duration::from_secs(2)));
    }
}
