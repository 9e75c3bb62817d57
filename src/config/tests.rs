//! Values, defaults and the file.

use std::{path::Path, time::Duration};

use super::{
    Config, File, LeaseId, Log, LogFormat, LogLevel, Origin, Outbound, Purpose, Settings, WatchSet,
    values::{AnnotationPrefix, DnsLabel, OwnWorkload, Period, listed},
};
use crate::core::{
    config::{Mode, Policy},
    model::lease::LeaseTimes,
};

fn daemon(yaml: &str) -> Config {
    let file = File::parse(yaml, Path::new("test.yaml")).unwrap();
    Config::new(Settings::default(), file, Purpose::Run).unwrap()
}

#[test]
fn without_any_setting_the_policy_is_the_default_one() {
    let config = daemon("");
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.watch, WatchSet::Cluster);
    assert_eq!(config.log, Log { level: LogLevel::Info, format: LogFormat::Text });
    assert_eq!(config.listen, Some("127.0.0.1:8080".parse().unwrap()));
}

#[test]
fn a_file_may_hold_every_setting() {
    let yaml = "
        mode: enforce
        sidecar-container-name: [istio-proxy]
        max-renders-per-second: 0.5
        max-rollouts-per-hour: unlimited
        soak: 10s
        without-guard: true
        rollout-reason: Upgrade
        listen: off
        request-timeout: 1m
        state-namespace: tools
        show-values: false
        output: yaml
    ";
    let config = daemon(yaml);
    assert_eq!(config.policy.mode, Mode::Enforce);
    assert_eq!(config.policy.max_rollouts_per_hour, None);
    assert!((config.policy.renders_per_second - 0.5).abs() < f64::EPSILON);
    assert_eq!(config.listen, None);
    assert_eq!(config.connection.request_timeout, Duration::from_mins(1));
    assert_eq!(config.state_namespace.as_deref(), Some("tools"));
}

#[test]
fn enforcing_replicas_take_turns_unless_told_otherwise() {
    assert_eq!(daemon("").election, None);
    assert_eq!(daemon("mode: enforce").election.unwrap().times, LeaseTimes::default());
    let lease = |yaml: &str| daemon(yaml).lease;
    assert_eq!(lease(""), LeaseId { name: "sidecar-drift".into(), namespace: None });
    let other = LeaseId { name: "drift".into(), namespace: Some("tools".into()) };
    assert_eq!(lease("{lease-name: drift, lease-namespace: tools}"), other);
    assert_eq!(daemon("{mode: enforce, leader-election: false}").election, None);
    let times = daemon("{leader-election: true, lease-duration: 30s}").election.unwrap().times;
    let seconds = [times.duration, times.renew_deadline, times.retry].map(|time| time.as_secs());
    assert_eq!(seconds, [30, 20, 4]);
}

#[test]
fn who_acts_once_stands_for_no_election() {
    let file = || File::parse("{mode: enforce, leader-election: true}", Path::new("test.yaml")).unwrap();
    let rollout = Purpose::Rollout { confirmed: true, kinds: Policy::default().kinds, regardless: false };
    for purpose in [Purpose::Look(None), rollout] {
        assert_eq!(Config::new(Settings::default(), file(), purpose).unwrap().election, None);
    }
}

#[test]
fn durations_are_read_as_people_write_them() {
    for (text, seconds) in
        [("300s", 300), ("10m", 600), ("6h", 21_600), ("1h30m", 5_400), ("1d", 86_400), ("2 minutes", 120)]
    {
        assert_eq!(text.parse(), Ok(Period(Duration::from_secs(seconds))), "{text}");
    }
    assert_eq!("250ms".parse(), Ok(Period(Duration::from_millis(250))));
    for text in ["300", "", "m", "1 month", "-5s", "5s ago", "1h30", "99999999999999h"] {
        assert!(text.parse::<Period>().is_err(), "{text}");
    }
}

#[test]
fn names_are_those_that_kubernetes_takes() {
    assert!("a-1".parse::<DnsLabel>().is_ok());
    for text in ["", "A", "a_b", "-a", "a-", &"a".repeat(64)] {
        assert!(text.parse::<DnsLabel>().is_err(), "{text}");
    }
    for text in ["sidecarRollout", "example.com/side-car", "a"] {
        assert!(text.parse::<AnnotationPrefix>().is_ok(), "{text}");
    }
    for text in ["", "/", "a/", "/a", "-a", "a b", "Example.com/a", "a/b/c"] {
        assert!(text.parse::<AnnotationPrefix>().is_err(), "{text}");
    }
}

#[test]
fn our_own_workload_is_named_in_full() {
    let config = daemon("own-workload: deployment/tools/sidecar-drift");
    assert_eq!(config.policy.own.unwrap().to_string(), "Deployment/tools/sidecar-drift");
    for text in ["", "deployment/drift", "pod/tools/drift", "deployment//drift", "deployment/tools/", "deployment/a/B"]
    {
        assert!(text.parse::<OwnWorkload>().is_err(), "{text}");
    }
}

#[test]
fn lists_are_written_out() {
    assert_eq!(listed(&[], "or"), "");
    assert_eq!(listed(&["a"], "or"), "`a`");
    assert_eq!(listed(&["a", "b", "c"], "or"), "`a`, `b` or `c`");
}

#[test]
fn a_way_out_that_makes_no_sense_is_refused() {
    let with = |yaml: &str| {
        let file = File::parse(yaml, Path::new("test.yaml")).unwrap();
        Config::new(Settings::default(), file, Purpose::Run)
    };
    for (bad, says) in [
        ("outbound-no-proxy: [.svc]", "`outbound-no-proxy` means nothing without `outbound-proxy`"),
        ("outbound-proxy: proxy:3128", "`outbound-proxy` is no address such as `http://proxy.example.com:3128`"),
        (
            "outbound-proxy: socks5://me:pass@proxy",
            "`outbound-proxy` is no address such as `http://proxy.example.com:3128`",
        ),
        (
            "block-on-alerts-token: t",
            "`block-on-alerts-token` means nothing without `block-on-alerts`, the address to ask",
        ),
        (
            "block-on-alerts: http://prometheus:9090\nblock-on-alerts-token: t",
            "`block-on-alerts-token` would go over the network for all to read: `block-on-alerts` has to begin with \
             `https://`",
        ),
    ] {
        assert_eq!(with(bad).unwrap_err().to_string(), says);
    }
    let good = "outbound-proxy: http://proxy:3128\noutbound-no-proxy: [.svc]\noutbound-ca: ca.pem";
    let outbound = with(good).unwrap().outbound;
    let wanted = Outbound {
        ca: Some("ca.pem".into()),
        proxy: Some("http://proxy:3128".to_owned()),
        no_proxy: vec![".svc".to_owned()],
    };
    assert_eq!(outbound, wanted);
}

/// A daemon that was started with this file.
fn started_with(yaml: &str) -> Config {
    let path = std::path::PathBuf::from("test.yaml");
    let origin = Origin { path, given: Settings::default() };
    Config { origin: Some(Box::new(origin)), ..daemon(yaml) }
}

#[test]
fn a_changed_file_is_obeyed_and_a_bad_one_is_not() {
    let old = started_with("cooldown: 1h");
    let new = old.changed_to("cooldown: 2h\nexclude-namespace: [kube-*]").unwrap();
    assert_eq!(new.policy.cooldown, Duration::from_hours(2));
    assert!(!new.policy.filter.takes_namespace("kube-system", None));
    // And again, from there.
    assert_eq!(new.changed_to("").unwrap().policy, Policy::default());
    for (bad, says) in [
        ("cooldwon: 2h", "test.yaml:1:1: unknown setting `cooldwon`; did you mean `cooldown`?"),
        ("cooldown: 2", "test.yaml:1:11: a duration needs a unit, and `2s` means 2 seconds"),
        ("act-on: []", "`act-on` is empty; name at least one difference, or use the mode `report`"),
        ("mode: enforce", "`mode` can only change with a restart of the daemon"),
        ("listen: off", "`listen` can only change with a restart of the daemon"),
        ("api-listen: off", "`api-listen` can only change with a restart of the daemon"),
        ("notify-url: http://x", "`notify-url` can only change with a restart of the daemon"),
        ("outbound-ca: ca.pem", "`outbound-proxy` can only change with a restart of the daemon"),
        ("metrics-by-namespace: false", "`metrics-by-namespace` can only change with a restart of the daemon"),
        ("record: inputs.jsonl", "`record` can only change with a restart of the daemon"),
        ("lease-name: other", "`lease-name` can only change with a restart of the daemon"),
        ("namespace: [shop]", "`namespace` can only change with a restart of the daemon"),
    ] {
        assert_eq!(old.changed_to(bad).unwrap_err().to_string(), says);
    }
}
