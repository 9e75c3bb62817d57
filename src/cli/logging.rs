//! Log lines on stderr, for people or for machines.

use tracing_subscriber::{
    Layer, filter::LevelFilter, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat, LogLevel};

/// A library's target that no level shows: kube logs there what it could not decode, whole lists with all their values.
const SILENCED: &str = "kube_client::client";

/// Starts logging, once for the process; in tests, where several commands run in one process, the first one decides.
///
/// The level holds for this program. What goes wrong in a library reaches us as an error, and we say it in one sentence;
/// its own lines are shown only to those who look for the cause.
pub(super) fn start(log: Log, colour: bool) {
    let ours = level(log.level);
    let theirs = match log.level {
        LogLevel::Trace => LevelFilter::DEBUG,
        LogLevel::Debug => LevelFilter::WARN,
        _ => LevelFilter::OFF,
    };
    let filter =
        Targets::new().with_default(theirs).with_target("sidecar_drift", ours).with_target(SILENCED, LevelFilter::OFF);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let layer = match log.format {
        LogFormat::Text => lines.with_ansi(colour).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    _ = tracing_subscriber::registry().with(layer).try_init();
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
