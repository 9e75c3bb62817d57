//! What a person sees at a real pseudo-terminal, screen by screen. The program at the other side is this test binary, with
//! the real command line and console, and an engine that goes on when it is told to.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use insta::assert_snapshot;
use sidecar_drift::{
    cli::{self, Console, DaemonStatus, Engine, Exit, NamedWorkload, Progress, RunResult, Stopped, Told},
    config::{Config, StopWhen},
    core::{
        config::Mode,
        io::{Notice, WorkloadRef},
        model::{
            WorkloadKey,
            owner::Kind,
            words::{Gate, Outcome},
        },
        report::Report,
        rollout::RolloutReport,
    },
};
use testbed::Terminal;

use super::reports;

/// Names the folder in which the staged engine is told to go on, to the process at the other side.
const STAGE: &str = "SIDECAR_DRIFT_TEST_STAGE";

/// The command line of that process.
const LINE: &str = "SIDECAR_DRIFT_TEST_LINE";

/// An engine that plays a piece in scenes: the next one begins when a file of its number appears.
struct Staged {
    folder: PathBuf,
    asked: Mutex<Vec<Config>>,
}

impl Staged {
    fn scene(&self, number: usize) {
        while !self.folder.join(number.to_string()).exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn at(second: i64) -> jiff::Timestamp {
    "2026-03-01T12:00:00Z".parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(second)
}

fn cart() -> WorkloadKey {
    WorkloadKey { namespace: "shop".into(), kind: Kind::DEPLOYMENT, name: "cart".into() }
}

fn rollout(outcome: Option<Outcome>, message: &str, seconds: u64) -> RolloutReport {
    RolloutReport {
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "cart".into(),
        change: "istio-proxy image 1.27.0 → 1.27.1".to_owned(),
        started: at(10),
        outcome,
        watched: false,
        message: message.to_owned(),
        seconds,
    }
}

impl Engine for Staged {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn find(&self, _config: &Config, _named: &NamedWorkload) -> Result<WorkloadRef> {
        anyhow::bail!("there are no workloads here")
    }

    fn retry(&self, _config: &Config, _workload: &WorkloadRef) -> Result<()> {
        anyhow::bail!("there are no workloads here")
    }

    fn accept(&self, _config: &Config, _workload: &WorkloadRef, _until: &str, _reason: &str) -> Result<()> {
        anyhow::bail!("there are no workloads here")
    }

    fn run(&self, config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> Result<RunResult> {
        let mode = config.policy.mode;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(config);
        let fleet = reports::fleet();
        if stop == StopWhen::Never {
            progress(Told::Moved(&fleet, &[]));
            self.scene(1);
            let mut mended = Report { taken: at(60), ..fleet };
            mended.workloads.retain(|w| &*w.name != "cart");
            progress(Told::Moved(&mended, &[]));
            self.scene(2);
            let stopped = Some(Stopped { by: cli::StopSignal::Interrupt, at_once: false });
            return Ok(RunResult { report: Arc::new(mended), stopped });
        }
        if stop != StopWhen::RolledOut {
            return Ok(RunResult { report: Arc::new(fleet), stopped: None });
        }
        assert_eq!(mode, Mode::Enforce);
        let listing = Report { synced: false, complete: false, progress: (0, 0), ..reports::empty() };
        progress(Told::Moved(&listing, &[]));
        self.scene(1);
        let asking = Report { complete: false, progress: (3, 9), mode, ..fleet.clone() };
        progress(Told::Moved(&asking, &[]));
        self.scene(2);
        let started = Notice::RolloutStarted { workload: cart(), reason: "Update sidecars istio-proxy".to_owned() };
        let rolling = |message, seconds| Report {
            taken: at(i64::try_from(seconds).unwrap() + 10),
            mode,
            rollouts: vec![rollout(None, message, seconds)],
            ..fleet.clone()
        };
        progress(Told::Moved(&rolling("1 of 7 updated", 4), &[started]));
        self.scene(3);
        progress(Told::Moved(&rolling("6 of 7 updated Pods available", 31), &[]));
        self.scene(4);
        let message = "the new Pods are as rendered";
        let ended = Notice::RolloutEnded {
            workload: cart(),
            outcome: Outcome::Converged,
            message: message.to_owned(),
            seconds: 40,
        };
        let mut last = rolling("", 40);
        last.rollouts = vec![rollout(Some(Outcome::Converged), message, 40)];
        last.workloads.retain(|w| &*w.name != "cart");
        for w in &mut last.workloads {
            if w.gate == Some(Gate::ReportOnly) {
                Arc::make_mut(w).gate = w.gate_in_enforce;
            }
        }
        progress(Told::Moved(&last, &[ended]));
        Ok(RunResult { report: Arc::new(last), stopped: None })
    }

    fn status(&self, _: &Config, _: Option<&http::Uri>) -> Result<DaemonStatus> {
        anyhow::bail!("there is no daemon on a stage")
    }

    fn pause(&self, _: &Config, _: &str) -> Result<()> {
        anyhow::bail!("there is no daemon on a stage")
    }

    fn fetch(&self, url: &http::Uri) -> anyhow::Result<String> {
        anyhow::bail!("nobody serves {url}")
    }

    fn resume_in(&self, _config: &Config, _namespace: &str) -> Result<Option<String>> {
        anyhow::bail!("there is nothing to resume here")
    }

    fn resume(&self, _: &Config) -> Result<Option<String>> {
        anyhow::bail!("there is no daemon on a stage")
    }
}

/// The process at the other side of the terminal; no test.
#[test]
#[ignore = "is run by the tests of this file"]
#[expect(
    clippy::disallowed_methods,
    reason = "it is told by its environment, as the arguments belong to the test harness"
)]
fn stage() {
    let (Some(folder), Some(line)) = (env::var_os(STAGE), env::var_os(LINE)) else { return };
    // What the harness has written is none of ours.
    print!("\x1b[2J\x1b[H");
    std::io::stdout().flush().unwrap();
    let staged = Staged { folder: folder.into(), asked: Mutex::default() };
    let line = line.into_string().unwrap();
    let args = std::iter::once("sidecar-drift").chain(line.split_whitespace()).map(Into::into);
    let exit: Exit = cli::main(args, &mut Console::standard(), &staged);
    let asked = staged.asked.lock().unwrap();
    if let Some(chosen) = asked.last().and_then(|config| config.policy.filter.chosen.as_ref()) {
        fs::write(staged.folder.join("chosen"), format!("{chosen:?}")).unwrap();
    }
    std::process::exit(i32::from(exit as u8));
}

/// The program at a terminal of this width.
struct Play {
    terminal: Terminal,
    folder: tempfile::TempDir,
}

impl Play {
    fn begin(line: &str, columns: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let program = env::current_exe()?;
        let arguments = ["--ignored", "--exact", "cli::terminal::stage", "--nocapture", "--test-threads=1"];
        let environment = [(STAGE, folder.path().as_os_str()), (LINE, OsStr::new(line))];
        let terminal = Terminal::start((40, columns), &program, arguments, environment)?;
        Ok(Self { terminal, folder })
    }

    fn next(&self, scene: usize) -> Result<()> {
        Ok(fs::write(self.folder.path().join(scene.to_string()), "")?)
    }

    /// The screen with this on it, once all of it is drawn: this is on its last line.
    fn whole(&self, text: &str, last: &str) -> Result<String> {
        let drawn = |screen: &str| screen.trim_end().lines().last().is_some_and(|line| line.contains(last));
        self.terminal.until(text, |screen| screen.contains(text) && drawn(screen))
    }

    /// The screen with this question.
    fn question(&self, number: &str) -> Result<String> {
        self.whole(number, "quit]")
    }

    /// Plays the rest without looking.
    fn rest(&self) -> Result<()> {
        (1..=4).try_for_each(|scene| self.next(scene))
    }
}

fn chosen(folder: &Path) -> Result<String> {
    fs::read_to_string(folder.join("chosen")).context("nothing was chosen")
}

#[test]
fn interactive_asks_shows_differences_and_rolls_what_was_chosen() -> Result<()> {
    let play = Play::begin("rollout --confirm --interactive --include-statefulset --no-color", 80)?;
    assert_snapshot!("interactive_first_question", play.question("(1/2)")?);
    play.terminal.send("d\r")?;
    // It shows the differences, and asks again.
    let shown = play.question("+ ")?;
    assert!(shown.contains("Deployment/ledger in payments: drifted"), "{shown}");
    play.terminal.send("n\r")?;
    play.question("(2/2)")?;
    play.terminal.send("what\r")?;
    play.terminal.send("yes\r")?;
    play.rest()?;
    let folder = play.folder;
    let (status, screen) = play.terminal.end()?;
    assert_eq!(status.code(), Some(0), "{screen}");
    assert!(screen.ends_with("Completed after 50s with 0 errors."), "{screen}");
    let chosen = chosen(folder.path())?;
    assert!(chosen.contains("cart") && !chosen.contains("ledger"), "{chosen}");
    Ok(())
}

#[test]
fn a_question_fits_40_columns() -> Result<()> {
    let play = Play::begin("rollout --confirm --interactive --include-statefulset --no-color", 40)?;
    let screen = play.question("(1/2)")?;
    assert_snapshot!("interactive_at_40_columns", screen);
    play.terminal.send("q\r")?;
    let (status, screen) = play.terminal.end()?;
    assert_eq!(status.code(), Some(0), "{screen}");
    Ok(())
}

#[test]
fn a_scan_that_watches_is_redrawn_at_80_and_at_40_columns() -> Result<()> {
    // The second one fits into 80 columns, down to its last line.
    for (columns, last) in [(80, "difference_not_enabled"), (40, "more lines")] {
        let play = Play::begin("scan --watch --no-color", columns)?;
        let first = play.whole("12:00:00 UTC", "more lines")?;
        assert!(first.contains("12:00:00 UTC (Ctrl-C ends)") && first.contains("3 workloads: istio-proxy"), "{first}");
        play.next(1)?;
        let second = play.whole("12:01:00 UTC", last)?;
        assert!(
            !second.contains("12:00:00 UTC") && !second.contains("3 workloads:"),
            "it is redrawn, not written again: {second}"
        );
        for screen in [&first, &second] {
            assert!(screen.lines().all(|line| line.chars().count() <= usize::from(columns)), "{screen}");
        }
        assert_snapshot!(
            format!("watch_at_{columns}_columns"),
            format!("{first}\n{}\n{second}", "~".repeat(columns.into()))
        );
        play.next(2)?;
        let (status, screen) = play.terminal.end()?;
        assert_eq!(status.code(), Some(130), "{screen}");
    }
    Ok(())
}

#[test]
fn all_means_this_one_and_those_that_follow() -> Result<()> {
    let play = Play::begin("rollout --confirm --interactive --no-color", 80)?;
    play.question("(1/2)")?;
    play.terminal.send("all\r")?;
    play.rest()?;
    let folder = play.folder;
    let (status, screen) = play.terminal.end()?;
    assert_eq!(status.code(), Some(0), "{screen}");
    let chosen = chosen(folder.path())?;
    assert!(chosen.contains("cart") && chosen.contains("ledger"), "{chosen}");
    Ok(())
}

#[test]
fn quit_and_ctrl_c_at_the_question_do_nothing() -> Result<()> {
    for (keys, code, says) in [("q\r", 0, "nothing was done"), ("\x03", 130, "")] {
        let play = Play::begin("rollout --confirm --interactive --no-color", 80)?;
        play.question("(1/2)")?;
        play.terminal.send(keys)?;
        let folder = play.folder;
        let (status, screen) = play.terminal.end()?;
        assert_eq!(status.code(), Some(code), "{screen}");
        assert!(screen.contains(says), "{screen}");
        assert!(!folder.path().join("chosen").exists());
    }
    Ok(())
}

#[test]
fn progress_is_redrawn_at_80_and_at_40_columns() -> Result<()> {
    for columns in [80, 40] {
        let play = Play::begin("rollout --confirm --no-color", columns)?;
        let mut screens = vec![play.whole("listing", "0/0")?];
        play.next(1)?;
        screens.push(play.whole("asking", "3/9")?);
        play.next(2)?;
        screens.push(play.whole("rolling out", "1 of 7")?);
        play.next(3)?;
        screens.push(play.whole("rolling out", "6 of 7")?);
        for screen in &screens {
            assert!(screen.lines().all(|line| line.chars().count() <= usize::from(columns)), "{screen}");
        }
        assert!(!screens[3].contains("1 of 7"), "it is redrawn, not written again: {}", screens[3]);
        play.next(4)?;
        let (status, screen) = play.terminal.end()?;
        assert_eq!(status.code(), Some(0), "{screen}");
        screens.push(screen);
        let page = screens.join(&format!("\n{}\n", "~".repeat(usize::from(columns))));
        assert_snapshot!(format!("progress_at_{columns}_columns"), page);
    }
    Ok(())
}

#[test]
fn quiet_shows_the_result_only() -> Result<()> {
    let play = Play::begin("scan --quiet --no-color", 80)?;
    let (status, screen) = play.terminal.end()?;
    assert_eq!(status.code(), Some(0), "{screen}");
    assert!(screen.contains("9 workloads in 4 namespaces"), "{screen}");
    Ok(())
}
