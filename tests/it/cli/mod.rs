//! The command line, from the arguments to what is written, with an engine that answers from a report made by hand.

mod bad;
mod binary;
mod debug;
mod diff;
mod documents;
mod explain;
mod file;
mod help;
mod listing;
mod migrating;
mod predecessor;
pub(crate) mod reports;
mod rollout;
mod run;
mod scan;
mod schemas;
mod settings;
mod status;
mod terminal;
mod usage;

use std::{
    ffi::OsString,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use http::Uri;
use jiff::Timestamp;
use sidecar_drift::{
    cli::{Console, DaemonStatus, Engine, Exit, NamedWorkload, Place, Progress, RunResult, Stopped, Told},
    config::{Config, StopWhen},
    core::{
        io::{Notice, WorkloadRef},
        model::WorkloadKey,
        report::Report,
    },
};

/// What a command wrote and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
    /// What the engine was asked for.
    pub(crate) asked: Vec<Asked>,
}

/// A call of the engine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    Run(Box<Config>, StopWhen),
    Pause(String),
    Resume,
    ResumeIn(String),
    Retry(String),
    Accept(String, String, String),
}

impl Ran {
    /// Everything, as one golden text.
    pub(crate) fn golden(&self) -> String {
        let Self { exit, out, err, asked: _ } = self;
        let masked = "<masked ........>";
        let mut text = String::new();
        for line in format!("{out}--- stderr\n{err}--- exit {}\n", *exit as u8).lines() {
            let mut rest = line;
            while let Some((before, after)) = rest.split_once("<masked ") {
                text.push_str(before);
                text.push_str(masked);
                rest = &after[9..];
            }
            text.push_str(rest);
            text.push('\n');
        }
        text
    }

    /// The configuration that the engine was given.
    pub(crate) fn config(&self) -> &Config {
        match self.asked.as_slice() {
            [Asked::Run(config, _)] => config,
            other => panic!("the engine was asked {other:?}; stderr: {}", self.err),
        }
    }
}

/// An engine that tells these notices and returns this report.
pub(crate) struct Fake {
    report: Arc<Report>,
    notices: Vec<Notice>,
    stopped: Option<Stopped>,
    status: Option<DaemonStatus>,
    /// Why the state ConfigMap cannot be read.
    unread: Option<String>,
    /// What a daemon serves, by a part of the address.
    served: Vec<(String, String)>,
    asked: Mutex<Vec<Asked>>,
}

impl Fake {
    pub(crate) fn new(report: Report) -> Self {
        Self {
            report: Arc::new(report),
            notices: Vec::new(),
            stopped: None,
            status: None,
            unread: None,
            served: Vec::new(),
            asked: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn telling(mut self, notices: Vec<Notice>) -> Self {
        self.notices = notices;
        self
    }

    /// What the daemon left behind.
    pub(crate) fn with_status(mut self, status: DaemonStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// A daemon serves this where the address has this in it.
    pub(crate) fn serving(mut self, address: &str, text: String) -> Self {
        self.served.push((address.to_owned(), text));
        self
    }

    /// Somebody stops it meanwhile.
    pub(crate) fn stopped(mut self, stopped: Stopped) -> Self {
        self.stopped = Some(stopped);
        self
    }

    /// Runs `sidecar-drift` with these arguments, separated by spaces, on a terminal of this width.
    pub(crate) fn command(&self, line: &str, width: Option<u16>) -> Ran {
        let line = std::iter::once("sidecar-drift").chain(line.split_whitespace());
        self.words(&line.map(str::to_owned).collect::<Vec<_>>(), width)
    }

    /// Runs a command line that is split already, the program's name first.
    pub(crate) fn words(&self, line: &[String], width: Option<u16>) -> Ran {
        let (out, err) = (Shared::default(), Shared::default());
        let mut console = Console::new(out.clone(), err.clone(), width);
        let args = line.iter().map(OsString::from);
        let exit = sidecar_drift::cli::main(args, &mut console, self);
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        Ran { exit, out: out.text(), err: err.text(), asked }
    }
}

impl Engine for Fake {
    fn run(&self, config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<RunResult> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked::Run(Box::new(config), stop));
        let place = Place { server: "https://10.0.0.1:6443".to_owned(), context: Some("prod".to_owned()) };
        progress(Told::Connected(&place));
        progress(Told::Moved(&self.report, &self.notices));
        Ok(RunResult { report: self.report.clone(), stopped: self.stopped })
    }

    fn pause(&self, _config: &Config, reason: &str) -> anyhow::Result<()> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked::Pause(reason.to_owned()));
        Ok(())
    }

    fn now(&self) -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn find(&self, _config: &Config, named: &NamedWorkload) -> anyhow::Result<WorkloadRef> {
        let NamedWorkload { kind, namespace, name } = named.clone();
        let namespace = namespace.unwrap_or_else(|| "default".into());
        Ok(WorkloadRef { key: WorkloadKey { namespace, kind, name }, uid: "uid".into() })
    }

    fn retry(&self, _config: &Config, workload: &WorkloadRef) -> anyhow::Result<()> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked::Retry(workload.key.to_string()));
        Ok(())
    }

    fn accept(&self, _config: &Config, workload: &WorkloadRef, until: &str, reason: &str) -> anyhow::Result<()> {
        let asked = Asked::Accept(workload.key.to_string(), until.to_owned(), reason.to_owned());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        Ok(())
    }

    fn status(&self, _config: &Config, _api: Option<&Uri>) -> anyhow::Result<DaemonStatus> {
        Ok(self.status.clone().expect("a status"))
    }

    fn fetch(&self, url: &Uri) -> anyhow::Result<String> {
        let found = self.served.iter().find(|(of, _)| url.to_string().contains(of));
        found.map(|(_, text)| text.clone()).ok_or_else(|| anyhow::anyhow!("nobody serves {url}"))
    }

    fn resume_in(&self, _config: &Config, namespace: &str) -> anyhow::Result<Option<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked::ResumeIn(namespace.to_owned()));
        Ok(self.unread.clone())
    }

    fn resume(&self, _config: &Config) -> anyhow::Result<Option<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked::Resume);
        Ok(self.unread.clone())
    }
}

/// A writer whose content can be read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn pause_and_resume_reach_the_engine() {
    let fake = Fake::new(reports::fleet());
    let paused = fake.command("pause --reason upgrading", None);
    assert_eq!((paused.exit, paused.asked), (Exit::Ok, vec![Asked::Pause("upgrading".to_owned())]));
    let resumed = fake.command("resume --quiet", None);
    assert_eq!((resumed.exit, resumed.asked), (Exit::Ok, vec![Asked::Resume]));
    assert_eq!(resumed.err, "");
}

#[test]
fn one_namespace_is_resumed_and_what_stops_it_all_the_same_is_said() {
    let mut fake = Fake::new(reports::fleet());
    let resumed = fake.command("resume -n shop", None);
    assert_eq!((resumed.exit, resumed.asked), (Exit::Ok, vec![Asked::ResumeIn("shop".to_owned())]));
    assert_eq!(resumed.err, "The breaker is closed in namespace shop.\n");
    fake.unread = Some("all rollouts are paused: incident".to_owned());
    let resumed = fake.command("resume -n shop", None);
    assert_eq!(resumed.err, "The breaker is closed in namespace shop; but all rollouts are paused: incident.\n");
}

#[test]
fn resume_says_what_it_could_not_read_also_when_quiet() {
    let mut fake = Fake::new(reports::fleet());
    fake.unread = Some("expected value at line 1 column 1".to_owned());
    let resumed = fake.command("resume --quiet", None);
    assert_eq!(
        (resumed.exit, &*resumed.err),
        (
            Exit::Ok,
            "The ConfigMap sidecar-drift-state could not be read (expected value at line 1 column 1) and was begun anew. What \
             was on record in it is gone: canaries, what was tried without success, and the words of `retry`.\n"
        )
    );
}

#[test]
fn retry_and_accept_do_nothing_without_yes() {
    let fake = Fake::new(reports::fleet());
    let asked = fake.command("retry deployment/cart -n shop", None);
    assert_eq!((asked.exit, asked.asked.len()), (Exit::Ok, 0));
    assert!(asked.err.contains("Nothing was done. Add `--yes`"), "{}", asked.err);
    let done = fake.command("retry deployment/cart -n shop --yes", None);
    assert_eq!((done.exit, done.asked), (Exit::Ok, vec![Asked::Retry("Deployment/shop/cart".to_owned())]));
    let accept = "accept sts/db --until 2026-03-31 --reason known";
    assert_eq!(fake.command(accept, None).asked, vec![]);
    let done = fake.command(&format!("{accept} --yes"), None);
    let written = Asked::Accept("StatefulSet/default/db".to_owned(), "2026-03-31".to_owned(), "known".to_owned());
    assert_eq!(done.asked, vec![written]);
}

#[test]
fn what_cannot_be_accepted_is_said() {
    let fake = Fake::new(reports::fleet());
    let over = fake.command("accept deploy/cart --until 2026-02-28 --reason known --yes", None);
    assert_eq!((over.exit, over.asked.len()), (Exit::Usage, 0));
    assert!(over.err.contains("`--until 2026-02-28` is over already"), "{}", over.err);
    let never = fake.command("accept deploy/cart --until soon --reason known --yes", None);
    assert_eq!((never.exit, never.asked.len()), (Exit::Usage, 0));
}
