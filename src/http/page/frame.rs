//! What every page has: title, tabs, what stops the rollouts in large letters.

use askama::Template;

use super::{
    ASSETS,
    format::{many, number},
};
use crate::core::{config::Mode, report::Report};

/// Around every page.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) assets: &'static str,
    pub(super) tabs: Vec<Tab>,
    pub(super) taken: String,
    pub(super) taken_short: String,
    pub(super) banners: Vec<Banner>,
    pub(super) mode: &'static str,
    pub(super) version: &'static str,
}

/// A page to go to.
#[derive(Debug)]
pub(super) struct Tab {
    pub(super) href: &'static str,
    pub(super) title: &'static str,
    pub(super) here: bool,
}

/// What a reader must know before anything else.
#[derive(Debug)]
pub(super) struct Banner {
    pub(super) tone: &'static str,
    pub(super) title: &'static str,
    pub(super) text: String,
    pub(super) command: Option<&'static str>,
}

const TABS: [(&str, &str); 4] =
    [("/", "Overview"), ("/workloads", "Workloads"), ("/plan", "Plan"), ("/activity", "Activity")];

impl Frame {
    /// For the page at `here`.
    pub(super) fn new(report: &Report, title: impl Into<String>, here: &str) -> Self {
        Self {
            title: title.into(),
            assets: &ASSETS,
            tabs: TABS.map(|(href, title)| Tab { href, title, here: href == here }).into(),
            taken: report.taken.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            taken_short: report.taken.strftime("%H:%M:%S UTC").to_string(),
            banners: banners(report),
            mode: match report.mode {
                Mode::Ignore => "ignore",
                Mode::Report => "report",
                Mode::Enforce => "enforce",
            },
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Before there is a report.
    pub(super) fn empty() -> Self {
        Self {
            title: "Starting".to_owned(),
            assets: &ASSETS,
            tabs: TABS.map(|(href, title)| Tab { href, title, here: false }).into(),
            taken: String::new(),
            taken_short: "–".to_owned(),
            banners: Vec::new(),
            mode: "–",
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// The worst first.
fn banners(report: &Report) -> Vec<Banner> {
    let mut banners = Vec::new();
    let mut add = |tone, title, text, command| banners.push(Banner { tone, title, text, command });
    if let Some(stop) = &report.breaker {
        let text = format!("Nothing is rolled out since {}: {}", stop.at.strftime("%F %H:%M UTC"), stop.reason);
        add("bad", "The breaker is open", text, Some("sidecar-drift resume"));
    }
    if report.guard == Some(false) {
        let (tone, text) = if report.mode == Mode::Enforce {
            ("bad", "Nothing is rolled out, because the API server does not hold us to dry runs.")
        } else {
            ("warn", "The API server does not hold us to dry runs. In enforce mode nothing would be rolled out.")
        };
        let text = format!("{text} Install the chart's admission policies, or find out who removed them.");
        add(tone, "The guard is missing", text, Some("kubectl get validatingadmissionpolicies"));
    }
    if let Some(alerts) = report.alerts.as_ref().filter(|alerts| alerts.blocking) {
        add("warn", "Alerts hold all rollouts", alerts.message.clone(), None);
    }
    if let Some(stop) = &report.paused {
        let text = format!("By a person, since {}: {}", stop.at.strftime("%F %H:%M UTC"), stop.reason);
        add("warn", "All rollouts are paused", text, Some("sidecar-drift resume"));
    }
    if !report.unavailable.is_empty() {
        let text = report.unavailable.join("; ");
        add("warn", "Some of the cluster cannot be seen", text, None);
    }
    if report.leader && !report.complete {
        let (judged, of) = report.progress;
        let text = if report.synced {
            format!("{} of {} have been asked for so far.", number(judged), many(of, "workload"))
        } else {
            "The watches are not synced yet, so the list of workloads may be short.".to_owned()
        };
        add("dim", "The first look is not complete", text, None);
    }
    banners
}

/// A page that says one thing.
#[derive(Debug, Template)]
#[template(path = "message.html")]
pub(super) struct Message {
    pub(super) frame: Frame,
    pub(super) headline: &'static str,
    pub(super) text: String,
}

impl Message {
    pub(super) fn new(report: &Report, headline: &'static str, text: String) -> Self {
        Self { frame: Frame::new(report, headline, ""), headline, text }
    }

    /// Instead of what only the leader knows.
    pub(super) fn of_follower(report: &Report) -> Self {
        let text = match &report.led_by {
            Some(leader) => format!(
                "{leader} leads: it alone knows verdicts and rollouts. Forward the port of that Pod (its name ends at the _)."
            ),
            None => "Nobody is known to lead: nobody renders, and nobody rolls out.".to_owned(),
        };
        Self::new(report, "This replica does not lead", text)
    }
}
