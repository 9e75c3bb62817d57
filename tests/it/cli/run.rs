//! `run`, as far as the command line decides it.

use sidecar_drift::{
    cli::{self, Exit, Stopped},
    config::{Config, StopWhen},
    core::{config::Mode, report::Report},
};

use super::{Asked, Fake, reports};

/// What the engine was asked for.
fn asked(line: &str) -> (StopWhen, Mode, bool) {
    let ran = Fake::new(reports::fleet()).command(line, None);
    match ran.asked.as_slice() {
        [Asked::Run(config, stop)] => (*stop, config.policy.mode, listens(config)),
        other => panic!("{other:?}"),
    }
}

/// Metrics and health at one address, the API at the other: both, or none.
fn listens(config: &Config) -> bool {
    assert_eq!(config.listen.is_some(), config.api_listen.is_some());
    config.listen.is_some()
}

#[test]
fn once_ends_when_all_is_known_and_in_enforce_mode_when_all_is_rolled() {
    assert_eq!(asked("run"), (StopWhen::Never, Mode::Report, true));
    // Nobody probes what ends by itself, and another one may be there on the port.
    assert_eq!(asked("run --once"), (StopWhen::Complete, Mode::Report, false));
    assert_eq!(asked("run --once=false"), (StopWhen::Never, Mode::Report, true));
    assert_eq!(asked("run --once --mode enforce"), (StopWhen::RolledOut, Mode::Enforce, false));
}

#[test]
fn once_ends_well_if_all_was_asked_and_nothing_went_wrong() {
    let exit = |report| Fake::new(report).command("run --once", None).exit;
    assert_eq!(exit(reports::fleet()), Exit::Ok);
    assert_eq!(exit(Report { complete: false, ..reports::fleet() }), Exit::Error);
    // One of these failed.
    assert_eq!(exit(reports::rolled()), Exit::Error);
    let stopped = Stopped { by: cli::StopSignal::Terminate, at_once: false };
    let ran = Fake::new(Report { complete: false, ..reports::fleet() }).stopped(stopped).command("run --once", None);
    assert_eq!(ran.exit, Exit::Ok);
}
