//! `testbed demo`: the story of the README, played on a control plane of its own.

mod checks;
mod enforce;
mod fleet;
mod ledger;
mod metrics;
mod program;
mod screen;
mod signals;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use clap::builder::FalseyValueParser;
use testbed::{Audit, Marker, Options, Testbed};

use checks::Checks;
use fleet::{Fate, Fleet, Snapshot};
use ledger::Ledger;
use program::Program;
use screen::Screen;
use signals::Signals;

/// Whatever differs is asked for twice; the demo does not wait ten seconds each time.
const SPACING: &str = "--render-spacing 3s";

/// The demo.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave control plane and daemon running at the end, until Ctrl-C.
    #[arg(long, env = "KEEP", value_parser = FalseyValueParser::new())]
    keep: bool,
}

impl Demo {
    /// Plays it; an error if anything did not hold.
    pub(crate) async fn play(self) -> Result<()> {
        let mut screen = Screen::new();
        let mut signals = Signals::new()?;
        screen.title("sidecar-drift on a real Kubernetes control plane. Whatever is marked \"ok\" was checked.");

        screen.step("Start a control plane");
        screen
            .say("etcd, kube-apiserver, kube-controller-manager, kube-scheduler; kwok plays the kubelets of 3 Nodes.");
        let testbed = signals.unless_asked(Testbed::start(Options::default())).await?;
        let shown = signals.unless_asked(Box::pin(show(&mut screen, &testbed))).await;
        let outcome = match &shown {
            Ok(shown) => shown.checks.verdict(&screen),
            Err(error) => Err(anyhow!("{error:#}")),
        };
        if self.keep && !signals.asked() {
            if let Err(error) = &outcome {
                screen.say(format_args!("{error:#}"));
            }
            keep(&mut screen, &testbed, shown.as_ref().ok(), &mut signals).await?;
        }
        drop(shown);
        testbed.stop().await?;
        outcome
    }
}

/// What is left when the demo is over.
struct Shown<'t> {
    program: Program<'t>,
    policy: String,
    checks: Checks,
}

async fn show<'t>(screen: &mut Screen, testbed: &'t Testbed) -> Result<Shown<'t>> {
    let audit = testbed.audit().context("the demo needs a control plane of its own; unset USE_EXISTING_CLUSTER")?;
    let mut checks = Checks::default();
    screen.aside(format_args!("{}  (logs, audit log: {})", testbed.api_url(), testbed.directory().display()));

    screen.step("Deploy workloads that get a sidecar injected");
    screen.say("The injectors are MutatingAdmissionPolicies: mesh-proxy (ordinary and native) and vault-agent.");
    let mut fleet = Fleet::install(testbed).await?;
    let deployed = fleet.deploy().await?;
    screen.table(["NAMESPACE", "WORKLOAD", "PODS", "SIDECAR", ""], &deployed);

    screen.step("Change the injector of mesh-proxy");
    for change in fleet.change().await? {
        screen.say(change);
    }
    screen.say("Deployment/shop/search is created after that. Every other Pod keeps what it was born with: the drift.");
    let before = fleet.snapshot().await?;
    let revisions = checks::revisions(&fleet).await?;

    let program = Program::install(testbed).await?;
    let since = audit.marker()?;
    screen.step("Who is out of date?");
    screen
        .aside("It runs as a ServiceAccount that may read, create Pods (it does so in dry runs only), patch workloads");
    screen.aside("and keep one ConfigMap. What differs is asked for twice: here 3 s apart, by default 10 s.");
    let scan = scan(screen, &program).await?;
    checks.check(
        screen,
        &format!("each of the {} workloads has the verdict that it should have", fleet::MEMBERS.len()),
        &checks::verdicts(&scan, false)?,
    );

    screen.step("What exactly differs?");
    diff(screen, &program, "statefulset/ledger --namespace payments").await?;

    screen.step("Let the daemon roll out what drifted, and nothing else");
    let story = enforce::enforce(screen, &mut checks, &program).await?;

    screen.step("Who is out of date now?");
    let scan = self::scan(screen, &program).await?;
    checks.check(screen, "nothing differs but what is opted out or cannot be rolled", &checks::verdicts(&scan, true)?);
    let gates: Vec<_> = story.held.iter().map(|(gate, count)| format!("{count} {gate}")).collect();
    screen.say(format_args!("    (held, in the daemon's own words: {})", gates.join(", ")));

    screen.step("Was anything else touched?");
    proof(screen, &mut checks, &fleet, &before, &revisions).await?;
    account(screen, &mut checks, &audit, since).await?;
    Ok(Shown { program, policy: fleet.policy().to_owned(), checks })
}

/// Shows a scan; returns the same as JSON.
async fn scan(screen: &Screen, program: &Program<'_>) -> Result<String> {
    screen.command(format_args!("sidecar-drift scan {SPACING}"));
    let (table, json) = (format!("scan {SPACING}"), format!("scan {SPACING} --output json"));
    let (table, json) = futures::future::try_join(program.run(&table), program.run(&json)).await?;
    screen.output(&table);
    Ok(json)
}

async fn diff(screen: &Screen, program: &Program<'_>, workload: &str) -> Result<()> {
    screen.command(format_args!("sidecar-drift diff {workload} {SPACING}"));
    let text = program.run(&format!("diff {workload} {SPACING}")).await?;
    screen.output(&text);
    ensure!(text.contains("1.27.1"), "the diff does not name the new image");
    screen.aside("Values that may be secrets are masked; equal ones look equal.");
    Ok(())
}

/// What became of the Pods.
async fn proof(
    screen: &Screen,
    checks: &mut Checks,
    fleet: &Fleet<'_>,
    before: &Snapshot,
    revisions: &BTreeMap<String, usize>,
) -> Result<()> {
    let after = fleet.snapshot().await?;
    let rolled = checks::rolled_once(fleet, revisions).await?;
    let holds = format!("{} drifted workloads: one new revision each, with the stamp that says why", checks::to_roll());
    checks.check(screen, &holds, &rolled);
    let (pods, wrong) = checks::up_to_date(fleet, before, &after);
    checks.check(screen, &format!("their {pods} Pods are new and run the new sidecar"), &wrong);
    for (fate, whose) in [
        (Fate::InSync, "Pods of workloads that were in sync"),
        (Fate::OptedOut, "Pods of the workload that opted out"),
        (Fate::Unsupported, "Pods that nothing can roll (the bare one and the Job's)"),
    ] {
        let (pods, wrong) = checks::untouched(before, &after, fate);
        checks.check(screen, &format!("{pods} {whose}: the same as before, by their uids"), &wrong);
    }
    Ok(())
}

/// What the API server has recorded.
async fn account(screen: &Screen, checks: &mut Checks, audit: &Audit, since: Marker) -> Result<()> {
    screen.gap();
    screen.say("All that sidecar-drift asked of the API server, in steps 4 to 7, from its audit log:");
    let ledger = Ledger::read(audit, since).await?;
    for line in ledger.lines() {
        screen.say(line);
    }
    screen.gap();
    let holds = format!("it changed nothing but {} Pod templates, each once, and its own ConfigMap", checks::to_roll());
    checks.check(screen, &holds, &ledger.wrong());
    checks.check(screen, "nothing was refused: these few rights are enough", &ledger.refusals());
    Ok(())
}

/// Leaves everything running, with a daemon at work, until somebody asks for the end.
async fn keep(screen: &mut Screen, testbed: &Testbed, shown: Option<&Shown<'_>>, signals: &mut Signals) -> Result<()> {
    screen.step("Play on; Ctrl-C ends everything");
    screen.say(format_args!("API server  {}", testbed.api_url()));
    screen.say(format_args!("files       {}", testbed.directory().display()));
    screen.gap();
    screen.say(format_args!("export KUBECONFIG={}", testbed.kubeconfig().display()));
    if let Some(assets) = testbed.assets() {
        screen.say(format_args!("alias kubectl={}", assets.kubectl.display()));
    }
    let Some(shown) = shown else {
        signals.wait().await;
        return Ok(());
    };
    screen
        .say(format_args!("kubectl edit mutatingadmissionpolicy {}   # another change of the injector", shown.policy));
    screen.gap();
    let mut daemon = enforce::start(&shown.program)?;
    screen.say("The daemon runs again. What it has just rolled it leaves alone for a day (gate `cooldown`).");
    tokio::select! {
        ended = enforce::watch_on(screen, &mut daemon) => ended,
        () = signals.wait() => Ok(()),
    }
}
