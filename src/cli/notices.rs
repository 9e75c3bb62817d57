//! What the core tells people, as log lines and as lines of progress.

use tracing::{debug, error, info, warn};

use super::output::{
    summary::{breaker_opened, many},
    text::one_line,
};
use crate::core::{
    io::Notice,
    model::words::{Outcome, Word},
};

/// One structured log line.
pub(super) fn log(notice: &Notice) {
    match notice {
        Notice::ScopeMoved { scope, cause, workloads } => {
            info!(scope, cause, workloads, "something that injection depends on moved");
        }
        Notice::VerdictChanged { workload, from, to, reason, change } => {
            let reason = reason.map(Word::as_str);
            let change = Some(change).filter(|change| !change.is_empty());
            info!(%workload, %from, %to, reason, change, "verdict changed");
        }
        Notice::InjectorSlow { scope, seconds } => {
            warn!(scope, seconds, "answers slowly; it is not asked for a while, because real Pods come first");
        }
        Notice::RenderLimit { scope, limit } => {
            let scope = scope.as_deref().unwrap_or("the API server");
            debug!(scope, limit, "another number of dry runs at once is answered best");
        }
        Notice::RolloutStarted { workload, reason } => info!(%workload, reason, "rollout started"),
        Notice::RolloutProgress { workload, message } => debug!(%workload, status = message, "rollout moves on"),
        Notice::PodEvicted { workload, pod } => info!(%workload, pod = &**pod, "evicted a Pod"),
        Notice::RolloutEnded { workload, outcome, message, seconds } => match outcome {
            Outcome::Converged | Outcome::Superseded => {
                info!(%workload, %outcome, seconds, status = message, "rollout ended");
            }
            Outcome::TimedOut | Outcome::Stalled => {
                warn!(%workload, %outcome, seconds, status = message, "rollout is late and may still succeed");
            }
            Outcome::Failed | Outcome::NonConvergent | Outcome::Reverted | Outcome::Conflict | Outcome::Denied => {
                error!(%workload, %outcome, seconds, status = message, "rollout went wrong");
            }
        },
        Notice::RolloutHeld { workload, gate } => info!(%workload, %gate, "rollout held at the last moment"),
        Notice::Stopping { rollouts } => info!(rollouts, "stopping: nothing new is begun"),
        Notice::BreakerOpened { workload, namespace: None, reason, at } => {
            error!(%workload, reason, %at, "the breaker opened; nothing is rolled out until `sidecar-drift resume`");
        }
        Notice::BreakerOpened { workload, namespace: Some(namespace), reason, at } => {
            error!(
                %workload, %namespace, reason, %at,
                "the breaker opened in a namespace; nothing is rolled out there until `sidecar-drift resume -n`"
            );
        }
        Notice::Guard { in_force: true } => info!("the guard is in force: the API server holds us to dry runs"),
        Notice::Guard { in_force: false } => {
            error!(
                "the guard is missing: the API server does not hold us to dry runs, and in enforce mode nothing is rolled out"
            );
        }
        Notice::Alerts { blocking: true, message } => {
            warn!(reason = message, "nothing is rolled out because of alerts");
        }
        Notice::Alerts { blocking: false, .. } => info!("no alert holds rollouts"),
        Notice::WatchUnavailable { source, message } => {
            let namespace = source.namespace.as_deref();
            warn!(kind = source.kind.plural(), namespace, reason = message, "cannot be watched");
        }
        Notice::BadAnnotation { workload, message } => {
            warn!(%workload, reason = message, "an annotation means nothing; the workload is only reported");
        }
    }
}

/// One line for a person who watches a rollout; `None`: not worth one.
pub(super) fn line(notice: &Notice) -> Option<String> {
    let line = match notice {
        Notice::ScopeMoved { .. }
        | Notice::VerdictChanged { .. }
        | Notice::RenderLimit { .. }
        | Notice::Guard { in_force: true }
        | Notice::Alerts { blocking: false, .. }
        | Notice::Stopping { rollouts: 0 } => return None,
        Notice::InjectorSlow { scope, seconds } => format!("{scope} answers slowly: it is not asked for {seconds}s"),
        Notice::RolloutStarted { workload, reason } => format!("{workload}: started, {reason}"),
        Notice::RolloutProgress { workload, message } | Notice::BadAnnotation { workload, message } => {
            format!("{workload}: {message}")
        }
        Notice::RolloutEnded { workload, outcome, message, seconds } if message.is_empty() => {
            format!("{workload}: {outcome} after {seconds}s")
        }
        Notice::RolloutEnded { workload, outcome, message, seconds } => {
            format!("{workload}: {outcome} after {seconds}s, {message}")
        }
        Notice::PodEvicted { workload, pod } => format!("{workload}: evicted {pod}"),
        Notice::RolloutHeld { workload, gate } => format!("{workload}: held, {}", gate.meaning()),
        Notice::Stopping { rollouts } => format!(
            "Stopping: nothing new is begun, {} under way is followed to its end. Ctrl-C once more stops at once.",
            many(*rollouts, "rollout")
        ),
        Notice::BreakerOpened { reason, namespace, .. } => breaker_opened(namespace.as_ref(), reason),
        Notice::Guard { in_force: false } => "The guard is missing: nothing more is rolled out.".to_owned(),
        Notice::Alerts { message, .. } => format!("Nothing more is rolled out: {message}"),
        Notice::WatchUnavailable { message, .. } => format!("Not watched: {message}"),
    };
    Some(one_line(&line))
}
