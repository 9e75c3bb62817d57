//! The directory of one running control plane, or of one run of the benchmarks, and the watchdog that ends everything in it.
//!
//! Destructors do not run for a `static`, after `kill -9`, or when a test harness calls `exit`. So nothing relies on them:
//! a small shell process, the watchdog, reads from a pipe whose other end only this process holds. When this process is
//! gone, however it went, the kernel closes the pipe, and the watchdog kills the children and removes the directory.
//! Ending in order is the same thing on purpose: close the pipe and wait for the watchdog.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result};

/// What the name of each run's directory begins with, in the folder for temporary files.
const PREFIX: &str = "sidecar-drift-testbed-";

/// A child notes its own process id as an empty file before it becomes the program that was asked for. Creating the file
/// is atomic, and fails once the watchdog has moved the folder away, so no child can slip through while its parent dies.
const NOTE_PID_AND_EXEC: &str = r#": >"$0/$$" && exec "$@""#;

/// `$1` is the directory. Signals of a terminal must not end the watchdog before it has done its work.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
mv "$1/pids" "$1/ended" || exit 0
for pid in "$1"/ended/*; do
  [ -e "$pid" ] && kill -KILL "${pid##*/}"
done
[ -e "$1/keep" ] && exit 0
tries=0
until rm -rf "$1" || [ "$tries" -ge 50 ]; do
  tries=$((tries + 1))
  sleep 0.1
done
"#;

/// Where one control plane keeps its certificates, logs, data and sockets, and a run of the benchmarks its kubeconfigs.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    watchdog: Child,
    /// Open as long as this process lives: the watchdog acts when it is closed.
    lifeline: Option<ChildStdin>,
    /// Locked as long as this process lives, so that [`remove_stale`] of another process leaves the directory alone.
    _lock: File,
}

impl RunDirectory {
    /// Makes a new one, after removing what dead processes have left (after a power cut, say: the watchdog does the rest).
    pub fn create(keep: bool) -> Result<Self> {
        let temporary = std::env::temp_dir();
        remove_stale(&temporary);

        // Gets its real name when it is locked, or a process that starts now would take it for stale.
        let unlocked = tempfile::Builder::new()
            .prefix(".sidecar-drift-testbed-")
            // Keys and sockets are for nobody else on this machine.
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&temporary)?
            .keep();
        let lock = File::create(unlocked.join("lock"))?;
        lock.lock()?;
        fs::create_dir(unlocked.join("pids"))?;
        fs::create_dir(unlocked.join("logs"))?;
        if keep {
            File::create(unlocked.join("keep"))?;
        }
        let random = unlocked.file_name().and_then(OsStr::to_str).context("the temporary folder has no name")?;
        let path = temporary.join(random.trim_start_matches('.'));
        fs::rename(&unlocked, &path)?;

        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "testbed-watchdog"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start sh, the watchdog of the control plane")?;
        let lifeline = watchdog.stdin.take();
        Ok(Self { path, watchdog, lifeline, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of it is.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// A command that dies with this process. In its own process group, so that Ctrl-C in a terminal reaches this process
    /// only, which then ends the rest in order.
    pub fn command(&self, program: &Path) -> Command {
        Self::command_in(&self.path, program)
    }

    /// The same, for whoever knows no more of a run directory than where it is.
    pub(crate) fn command_in(path: &Path, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", NOTE_PID_AND_EXEC]).arg(path.join("pids")).arg(program).process_group(0);
        command
    }

    /// Forgets a child that has ended and been waited for: its process id may soon be another's.
    pub fn forget(path: &Path, pid: u32) {
        let _ = fs::remove_file(path.join("pids").join(pid.to_string()));
    }

    /// Ends everything and waits until it has ended. Blocks.
    pub fn end(mut self) -> Result<()> {
        self.lifeline.take();
        self.watchdog.wait().context("cannot wait for the watchdog")?;
        Ok(())
    }
}

/// Removes the directories of processes that are gone together with their watchdog, and what still runs in them.
fn remove_stale(temporary: &Path) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !ours || path.join("keep").exists() {
            continue;
        }
        let Ok(lock) = File::open(path.join("lock")) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        for folder in ["pids", "ended"] {
            kill_survivors(&path, &path.join(folder));
        }
        let _ = fs::remove_dir_all(&path);
    }
}

/// Kills the processes noted in `pids`, if they are still ours: each of ours names the directory in its arguments.
fn kill_survivors(directory: &Path, pids: &Path) {
    for entry in fs::read_dir(pids).into_iter().flatten().flatten() {
        let pid = entry.file_name();
        let arguments = Command::new("ps").args(["-o", "args=", "-p"]).arg(&pid).output();
        let ours = arguments
            .is_ok_and(|found| String::from_utf8_lossy(&found.stdout).contains(directory.to_string_lossy().as_ref()));
        if ours {
            let _ = Command::new("kill").arg("-KILL").arg(&pid).status();
        }
    }
}
