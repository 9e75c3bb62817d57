//! A process that is measured.

use std::{
    ffi::OsStr,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use testbed::RunDirectory;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc::{self, UnboundedReceiver},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

/// The longest that a program may take that runs to its end, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(15);

/// What `/proc/<pid>/stat` counts in: a hundredth of a second on every Linux that we know of.
const TICK: Duration = Duration::from_millis(10);

/// Resident memory is taken when it has not moved by more than this between two looks.
const STILL_KIB: u64 = 256;

/// A process whose output is read line by line. Dropping it kills it, and so does the end of this process, however it comes.
#[derive(Debug)]
pub(crate) struct Measured {
    child: Child,
    pid: u32,
    /// Where it is noted as long as it lives.
    home: PathBuf,
    stdout: UnboundedReceiver<Line>,
    stderr: UnboundedReceiver<Line>,
    /// Those who read both.
    _readers: JoinSet<()>,
}

/// A line, and when it was read.
#[derive(Debug)]
struct Line {
    at: Instant,
    text: String,
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
    pub(crate) fn start(home: &RunDirectory, program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = command(home, program, arguments);
        let mut child = command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pid = child.id().context("a process that has ended before it began")?;
        let mut readers = JoinSet::new();
        let stdout = lines(child.stdout.take().context("no standard output")?, &mut readers);
        let stderr = lines(child.stderr.take().context("no standard error")?, &mut readers);
        Ok(Self { child, pid, home: home.path().to_owned(), stdout, stderr, _readers: readers })
    }

    /// Waits until it prints a line that begins like this.
    pub(crate) async fn until_it_prints(&mut self, begins: &str, patience: Duration) -> Result<()> {
        let wanted = |line: &Line| line.text.starts_with(begins).then_some(());
        first(&mut self.stdout, &format!("it prints `{begins}`"), Instant::now() + patience, wanted).await
    }

    /// Reads its log, which is JSON, until a line is as wanted; returns that, and when it came. `what` the line would say.
    pub(crate) async fn until_it_says(
        &mut self,
        what: impl Display,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<(Value, Instant)> {
        let wanted = |line: &Line| {
            let json = serde_json::from_str(&line.text).ok()?;
            wanted(&json).then_some((json, line.at))
        };
        first(&mut self.stderr, &format!("it says {what}"), Instant::now() + patience, wanted).await
    }

    /// What it has said so far is not looked at any more.
    pub(crate) fn forget_log(&mut self) {
        while self.stderr.try_recv().is_ok() {}
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

impl Drop for Measured {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.start_kill();
        RunDirectory::forget(&self.home, self.pid);
    }
}

/// A command that dies with this process.
fn command(home: &RunDirectory, program: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::from(home.command(program));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What is written there is read at once, whether anybody waits for it or not: a program whose pipe is full stands still,
/// and would be measured standing.
fn lines(from: impl AsyncRead + Send + Unpin + 'static, readers: &mut JoinSet<()>) -> UnboundedReceiver<Line> {
    let (sender, receiver) = mpsc::unbounded_channel();
    readers.spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(text)) = lines.next_line().await {
            // Nobody may care any more; it is read all the same.
            _ = sender.send(Line { at: Instant::now(), text });
        }
    });
    receiver
}

/// What `wanted` makes of the first line that is as wanted.
async fn first<T>(
    lines: &mut UnboundedReceiver<Line>,
    what: &str,
    deadline: Instant,
    wanted: impl Fn(&Line) -> Option<T>,
) -> Result<T> {
    let mut last = String::from("nothing");
    loop {
        match timeout_at(deadline, lines.recv()).await {
            Ok(Some(line)) => match wanted(&line) {
                Some(found) => return Ok(found),
                None => last = line.text,
            },
            Ok(None) => bail!("it ended before this was seen: {what}; its last words: {last}"),
            Err(_) => bail!("not in time: {what}; its last words: {last}"),
        }
    }
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

/// Runs a program to its end, with an environment of its own; returns what it printed and how long that took.
pub(crate) async fn run(home: &RunDirectory, program: &Path, arguments: &[&str]) -> Result<(String, Duration)> {
    let mut command = command(home, program, arguments);
    let began = Instant::now();
    let printed = finish(home, command.env_clear()).await;
    let took = began.elapsed();
    Ok((printed.with_context(|| format!("{} {}", program.display(), arguments.join(" ")))?, took))
}

/// Runs a program of this machine to its end, as a person would.
pub(crate) async fn run_as_here(home: &RunDirectory, program: &Path, arguments: &[&str]) -> Result<()> {
    let printed = finish(home, &mut command(home, program, arguments)).await;
    printed.map(drop).with_context(|| format!("{} {}", program.display(), arguments.join(" ")))
}

async fn finish(home: &RunDirectory, command: &mut Command) -> Result<String> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = child.id();
    let output = timeout_at(Instant::now() + PATIENCE, child.wait_with_output()).await;
    pid.inspect(|pid| RunDirectory::forget(home.path(), *pid));
    let output = output.with_context(|| format!("it has not ended after {} s", PATIENCE.as_secs()))??;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The program that is measured: the release build, in the folder beside the profile that this one was built with.
pub(crate) fn sidecar_drift(named: Option<PathBuf>) -> Result<PathBuf> {
    let path = named.map_or_else(|| released("sidecar-drift"), Ok)?;
    if !path.is_file() {
        bail!("{} is missing; `make bench` builds it", path.display());
    }
    Ok(path)
}

/// The program that measures the core in itself.
pub(crate) fn engine() -> Result<PathBuf> {
    released("bench-engine")
}

fn released(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let target = here.parent().and_then(Path::parent).context("this program has no folder")?;
    Ok(target.join("release").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that does this.
    fn shell(home: &RunDirectory, script: &str) -> Measured {
        Measured::start(home, Path::new("/bin/sh"), &["-c", script]).unwrap()
    }

    #[tokio::test]
    async fn a_program_is_never_held_up_by_what_it_says() {
        let home = RunDirectory::create(false).unwrap();
        // More than fits into a pipe, and then a word on the other one.
        let mut child =
            shell(&home, "i=0; while [ $i -lt 20000 ]; do echo '{\"n\":'$i'}' >&2; i=$((i+1)); done; echo done");
        child.until_it_prints("done", PATIENCE).await.unwrap();
        let (line, _) = child.until_it_says("19999", PATIENCE, |line| line["n"] == 19_999).await.unwrap();
        assert_eq!(line["n"], 19_999);
    }

    #[tokio::test]
    async fn a_wait_that_is_in_vain_says_for_what() {
        let home = RunDirectory::create(false).unwrap();
        let mut child = shell(&home, "echo no >&2; exit");
        let failure = child.until_it_says("yes", PATIENCE, |_| true).await.unwrap_err().to_string();
        assert_eq!(failure, "it ended before this was seen: it says yes; its last words: no");
        let mut child = shell(&home, "exec sleep 1000");
        let failure = child.until_it_prints("yes", Duration::ZERO).await.unwrap_err().to_string();
        assert_eq!(failure, "not in time: it prints `yes`; its last words: nothing");
    }

    #[tokio::test]
    async fn what_is_measured_dies_with_us() {
        let home = RunDirectory::create(false).unwrap();
        let mut child = shell(&home, "echo here; exec sleep 1000");
        child.until_it_prints("here", PATIENCE).await.unwrap();
        // Closes the pipe by which the watchdog knows that we live, as the kernel does when we are killed.
        tokio::task::spawn_blocking(|| home.end()).await.unwrap().unwrap();
        let status = child.child.wait().await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }

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
