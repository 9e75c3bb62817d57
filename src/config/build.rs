//! From [`Settings`] to [`Config`]: defaults, and the rules that no single setting can check.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use http::Uri;

use super::{
    Alerts, Config, ConfigError, Daemon, Display, File, Kinds, LeaderElection, Leadership, LeaseAt, LeaseId, Listing,
    Log, LogFormat, LogLevel, Notify, NotifyFormat, Outbound, OutputFormat, OutputOptions, Record, Recording,
    Rendering, Rollouts, Selection, Settings, State, Voice, WatchSet,
    address::{AdvertisedAddress, Listen},
    connection,
    selector::{AnnotationSelector, LabelSelector, NamespaceGlob, Time},
    values::{
        ActOn, Ceiling, DnsLabel, Fields, HourlyLimit, IgnoreEntry, KindName, Number, OwnWorkload, Period, Positive,
        Rate, TriggerName, WindowText, set,
    },
};
use crate::core::{
    config::{AlertMatcher, Filter, Mode, Policy},
    model::{Name, lease::LeaseTimes, owner::Kind, shape::FieldSet},
};

/// Loopback: opening the port to others is a decision.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Where the API and the web page are served, if nothing else is said: beside it, so that who may scrape metrics may not yet
/// read everything.
pub const API_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8081);
/// A day or so of a cluster with a thousand Pods.
const RECORD_LIMIT: u32 = 256;

const MEBIBYTE: u64 = 1024 * 1024;

/// The Lease's name, unless another one is given.
const LEASE: &str = "sidecar-drift";

/// Longer than any name of a Pod that is not made to be long, and short enough to be read.
const LONGEST_IDENTITY: usize = 200;

/// What the configuration is for. The daemon obeys all settings; a one-shot command is a person's, who watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The daemon.
    Run,
    /// Look once, at one workload if one is named; never roll, whatever the file says.
    Look(Option<(Kind, Name)>),
    /// Roll out once.
    Rollout {
        /// A person said so; else it is only shown.
        confirmed: bool,
        /// The kinds to roll.
        kinds: BTreeSet<Kind>,
        /// Whatever has a proven sidecar is rolled, drifted or not.
        regardless: bool,
    },
}

impl Config {
    /// The namespace of the state ConfigMap: the configured one, or `default`, that of the kubeconfig's context.
    pub fn state_namespace_or<'a>(&'a self, default: &'a str) -> &'a str {
        self.state_namespace.as_deref().unwrap_or(default)
    }

    /// Merges what was given over the file and validates the result.
    pub fn new(given: Settings, mut file: File, purpose: Purpose) -> Result<Self, ConfigError> {
        drop_conflicting(&given.selection, &mut file);
        let ignore = file.ignore.take().unwrap_or_default();
        let owners = file.custom_kinds()?;
        let Settings {
            client,
            voice,
            selection,
            kinds,
            rendering,
            rollouts,
            state,
            daemon,
            record,
            lease,
            leadership,
            display,
        } = given.or_from(&file);
        let daemon_runs = purpose == Purpose::Run;
        let plans_a_rollout = matches!(purpose, Purpose::Rollout { .. });
        let watch = watch_set(&selection)?;
        let Listen(listen) = daemon.listen.unwrap_or(Listen(Some(LISTEN)));
        let Listen(api_listen) = daemon.api_listen.unwrap_or(Listen(Some(API_LISTEN)));
        let api_advertise = daemon.api_advertise.map(|AdvertisedAddress(address)| address);
        let mut policy = Policy::default();
        apply_selection(&mut policy, selection)?;
        let render_as = rendering.render_as.clone().unwrap_or_default();
        apply_rendering(&mut policy, &rendering)?;
        apply_rollouts(&mut policy, rollouts, daemon_runs)?;
        let metrics_by_namespace = daemon.metrics_by_namespace.unwrap_or(true);
        let notify = notify(&daemon).filter(|_| daemon_runs);
        let alerts = alerts(&mut policy, &daemon)?.filter(|_| daemon_runs);
        let outbound = outbound(&daemon)?;
        apply_daemon(&mut policy, daemon)?;
        let rules = ignore.iter().map(IgnoreEntry::rule).collect::<Result<_, _>>();
        policy.ignore = rules.map_err(|message| invalid("ignore", &message))?;
        apply_purpose(&mut policy, kinds, &owners, purpose)?;
        let election = election(leadership, policy.mode)?.filter(|_| daemon_runs);
        let State { state_namespace } = state;
        let LeaseAt { lease_name, lease_namespace } = lease;
        let Voice { log_level, log_format, no_color, quiet } = voice;
        let Display { output, no_headers, sort_by, show_values } = display;
        let logged = log_format == Some(LogFormat::Json);
        Ok(Self {
            policy,
            owners,
            connection: connection::build(client)?,
            render_as,
            watch,
            listen: listen.filter(|_| daemon_runs),
            api_listen: api_listen.filter(|_| daemon_runs),
            api_advertise: api_advertise.filter(|_| daemon_runs),
            metrics_by_namespace,
            notify,
            alerts,
            outbound,
            recording: recording(record).filter(|_| daemon_runs),
            state_namespace: state_namespace.map(name),
            plans_a_rollout,
            lease: LeaseId {
                name: lease_name.map_or_else(|| Name::from(LEASE), name),
                namespace: lease_namespace.map(name),
            },
            election,
            log: Log {
                // Whoever wants a run as log lines wants all of it.
                level: log_level.unwrap_or(if daemon_runs || logged { LogLevel::Info } else { LogLevel::Warn }),
                format: log_format.unwrap_or(LogFormat::Text),
            },
            display: OutputOptions {
                format: output.as_ref().map_or(OutputFormat::Table, |output| output.format),
                headers: !no_headers.unwrap_or(false),
                values: show_values.unwrap_or(false),
                colour: !no_color.unwrap_or(false),
                quiet: quiet.unwrap_or(false),
                logged,
                as_lines: logged && output.is_none(),
            },
            listing: Listing { shape: output.and_then(|output| output.shape), sort_by },
            origin: None,
        })
    }
}

/// Of two settings that exclude each other, one that is given drops the other one in the file.
fn drop_conflicting(given: &Selection, file: &mut File) {
    if given.namespace.is_some() {
        file.all_namespaces = None;
    }
    if given.all_namespaces.is_some() {
        file.namespace = None;
    }
    if given.include_namespace.is_some() {
        file.exclude_namespace = None;
    }
    if given.exclude_namespace.is_some() {
        file.include_namespace = None;
    }
}

fn watch_set(selection: &Selection) -> Result<WatchSet, ConfigError> {
    match (&selection.namespace, selection.all_namespaces) {
        (Some(_), Some(true)) => Err(invalid("namespace", "and `all-namespaces` exclude each other; leave one out")),
        (Some(names), _) if !names.is_empty() => {
            Ok(WatchSet::Namespaces(names.iter().map(|label| Name::from(label.0.as_str())).collect()))
        }
        (_, Some(false)) => Err(invalid("all-namespaces", "is false, but `namespace` names none; name at least one")),
        _ => Ok(WatchSet::Cluster),
    }
}

fn recording(record: Record) -> Option<Recording> {
    let Record { record, record_limit, record_values } = record;
    let limit = u64::from(record_limit.map_or(RECORD_LIMIT, |Positive(n)| n)) * MEBIBYTE;
    Some(Recording { path: record?, limit, plain: record_values.unwrap_or(false) })
}

fn apply_selection(policy: &mut Policy, selection: Selection) -> Result<(), ConfigError> {
    let Selection {
        namespace: _,
        all_namespaces: _,
        include_namespace,
        exclude_namespace,
        namespace_selector,
        selector,
        include_annotation,
        exclude_annotation,
        only_started_before,
        sidecar_container_name,
        fields,
    } = selection;
    policy.filter = Filter {
        include_namespaces: set(include_namespace, |NamespaceGlob(glob)| glob).unwrap_or_default(),
        exclude_namespaces: set(exclude_namespace, |NamespaceGlob(glob)| glob).unwrap_or_default(),
        namespaces: namespace_selector.map(|LabelSelector(selector)| selector),
        workloads: selector.map(|LabelSelector(selector)| selector),
        include_annotations: set(include_annotation, |AnnotationSelector(one)| one).unwrap_or_default(),
        exclude_annotations: set(exclude_annotation, |AnnotationSelector(one)| one).unwrap_or_default(),
        started_before: only_started_before.map(|Time(time)| time),
        chosen: None,
    };
    if !policy.filter.include_namespaces.is_empty() && !policy.filter.exclude_namespaces.is_empty() {
        return Err(invalid("include-namespace", "and `exclude-namespace` exclude each other; leave one out"));
    }
    policy.sidecars = set(sidecar_container_name, name).unwrap_or_default();
    policy.fields = match fields {
        None | Some(Fields::Default) => FieldSet::Default,
        Some(Fields::Resources) => FieldSet::Resources,
        Some(Fields::All) => FieldSet::All,
    };
    Ok(())
}

fn apply_rendering(policy: &mut Policy, rendering: &Rendering) -> Result<(), ConfigError> {
    let &Rendering {
        max_renders_per_second,
        render_burst,
        renders_in_flight,
        settle,
        render_spacing,
        absence,
        render_as: _,
        min_pod_age,
    } = rendering;
    replace(&mut policy.renders_per_second, max_renders_per_second.map(|Rate(rate)| rate));
    replace(&mut policy.render_burst, render_burst.map(|Positive(n)| n));
    replace(&mut policy.renders_in_flight, size("renders-in-flight", renders_in_flight)?);
    replace(&mut policy.settle, settle.map(|Period(time)| time));
    replace(&mut policy.render_spacing, render_spacing.map(|Period(time)| time));
    replace(&mut policy.absence, absence.map(|Period(time)| time));
    replace(&mut policy.min_pod_age, min_pod_age.map(|Period(time)| time));
    Ok(())
}

fn apply_rollouts(policy: &mut Policy, rollouts: Rollouts, daemon_runs: bool) -> Result<(), ConfigError> {
    let Rollouts {
        act_on,
        parallel_rollouts,
        parallel_per_namespace,
        max_rollouts_per_hour,
        canary,
        soak,
        min_ready,
        cooldown,
        daily_cap,
        timeout,
        window,
        allow_downtime,
        allow_collateral,
        include_system,
        include_unhealthy,
        include_operated,
        evict_on_delete,
        annotation_prefix,
        rollout_reason,
    } = rollouts;
    if !daemon_runs {
        // A person watches: what paces a machine applies only if it is asked for.
        policy.canary = 0;
        policy.soak = Duration::ZERO;
        policy.max_rollouts_per_hour = None;
    }
    replace(&mut policy.act_on, set(act_on, |ActOn(difference)| difference));
    if policy.act_on.is_empty() {
        return Err(invalid("act-on", "is empty; name at least one difference, or use the mode `report`"));
    }
    replace(&mut policy.parallel_rollouts, size("parallel-rollouts", parallel_rollouts)?);
    replace(&mut policy.parallel_per_namespace, size("parallel-per-namespace", parallel_per_namespace)?);
    replace(&mut policy.max_rollouts_per_hour, max_rollouts_per_hour.map(|HourlyLimit(limit)| limit));
    replace(&mut policy.canary, canary.map(|Number(n)| n as usize));
    replace(&mut policy.soak, soak.map(|Period(time)| time));
    replace(&mut policy.min_ready, min_ready.map(|Period(time)| time));
    replace(&mut policy.cooldown, cooldown.map(|Period(time)| time));
    replace(&mut policy.daily_cap, daily_cap.map(|Positive(n)| n));
    replace(&mut policy.timeout, timeout.map(|period| nonzero("timeout", period)).transpose()?);
    policy.windows = window.into_iter().flatten().map(|WindowText(window)| window).collect();
    replace(&mut policy.allow_downtime, allow_downtime);
    replace(&mut policy.allow_collateral, allow_collateral);
    replace(&mut policy.include_system, include_system);
    replace(&mut policy.include_unhealthy, include_unhealthy);
    replace(&mut policy.include_operated, include_operated);
    replace(&mut policy.evict_on_delete, evict_on_delete);
    replace(&mut policy.annotation_prefix, annotation_prefix.map(|prefix| prefix.0));
    policy.rollout_reason = rollout_reason.filter(|reason| !reason.is_empty());
    Ok(())
}

fn notify(daemon: &Daemon) -> Option<Notify> {
    let url = daemon.notify_url.clone().filter(|url| !url.is_empty())?;
    Some(Notify { url, format: daemon.notify_format.unwrap_or(NotifyFormat::Json) })
}

/// How Prometheus and the webhook are reached.
fn outbound(daemon: &Daemon) -> Result<Outbound, ConfigError> {
    let ca = daemon.outbound_ca.clone().filter(|file| !file.as_os_str().is_empty());
    let proxy = daemon.outbound_proxy.clone().filter(|url| !url.is_empty());
    let no_proxy = daemon.outbound_no_proxy.clone().unwrap_or_default();
    match &proxy {
        None if !no_proxy.is_empty() => {
            return Err(invalid("outbound-no-proxy", "means nothing without `outbound-proxy`"));
        }
        // The address is not repeated: it may hold a password.
        Some(url) if !url.starts_with("http://") || url.parse::<Uri>().map_or(true, |url| url.host().is_none()) => {
            return Err(invalid("outbound-proxy", "is no address such as `http://proxy.example.com:3128`"));
        }
        _ => {}
    }
    Ok(Outbound { ca, proxy, no_proxy })
}

/// Who is asked which alerts fire, and in the policy which of them count.
fn alerts(policy: &mut Policy, daemon: &Daemon) -> Result<Option<Alerts>, ConfigError> {
    let token = daemon.block_on_alerts_token.clone().filter(|file| !file.as_os_str().is_empty());
    let Some(url) = daemon.block_on_alerts.clone().filter(|url| !url.is_empty()) else {
        let without = "means nothing without `block-on-alerts`, the address to ask";
        return match (&daemon.blocking_alert, token) {
            (Some(_), _) => Err(invalid("blocking-alert", without)),
            (None, Some(_)) => Err(invalid("block-on-alerts-token", without)),
            (None, None) => Ok(None),
        };
    };
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    // Whatever is before an `@` may be a password, and would be sent nowhere.
    if rest.is_empty() || rest.starts_with('/') || rest.contains(['@', '?', '#', ' ']) {
        let message =
            "is no address such as `http://prometheus.monitoring:9090`; credentials and queries have no place in it";
        return Err(invalid("block-on-alerts", message));
    }
    policy.blocking_alerts = daemon.blocking_alert.clone().unwrap_or_else(|| vec![AlertMatcher::critical()]);
    if policy.blocking_alerts.is_empty() {
        return Err(invalid("blocking-alert", "is empty; name the labels of at least one alert, or leave it out"));
    }
    if token.is_some() && !url.starts_with("https://") {
        let message = "would go over the network for all to read: `block-on-alerts` has to begin with `https://`";
        return Err(invalid("block-on-alerts-token", message));
    }
    Ok(Some(Alerts { url, token }))
}

fn apply_daemon(policy: &mut Policy, daemon: Daemon) -> Result<(), ConfigError> {
    let Daemon { mode, resync, trigger, without_guard, guard_interval, events, own_workload, .. } = daemon;
    policy.own = own_workload.map(|OwnWorkload(key)| key);
    replace(
        &mut policy.mode,
        mode.map(|mode| match mode {
            Ceiling::Report => Mode::Report,
            Ceiling::Enforce => Mode::Enforce,
        }),
    );
    policy.events = events.unwrap_or(policy.mode == Mode::Enforce);
    replace(&mut policy.resync, resync.map(|period| nonzero("resync", period)).transpose()?);
    let mut triggers: Vec<_> = trigger.into_iter().flatten().map(|TriggerName(trigger)| trigger).collect();
    triggers.sort();
    triggers.dedup();
    policy.triggers = triggers;
    replace(&mut policy.without_guard, without_guard);
    replace(&mut policy.guard_interval, guard_interval.map(|period| nonzero("guard-interval", period)).transpose()?);
    Ok(())
}

/// On in enforce mode, where two that do not know of each other do harm; in report mode nothing is written that was not
/// asked for.
fn election(leadership: Leadership, mode: Mode) -> Result<Option<LeaderElection>, ConfigError> {
    let Leadership { leader_election, lease_duration, lease_renew_deadline, lease_retry, identity } = leadership;
    let duration = match lease_duration {
        None => LeaseTimes::default().duration,
        Some(period) => nonzero("lease-duration", period)?,
    };
    if duration.subsec_nanos() != 0 || duration.as_secs() > i32::MAX.unsigned_abs().into() {
        return Err(invalid("lease-duration", "is not in whole seconds that a Lease can say, such as `15s`"));
    }
    let renew_deadline =
        lease_renew_deadline.map_or(Ok(duration * 2 / 3), |period| nonzero("lease-renew-deadline", period))?;
    if renew_deadline >= duration {
        let message = "must be less than `lease-duration`: a leader has to stop before another may start";
        return Err(invalid("lease-renew-deadline", message));
    }
    let retry = lease_retry.map_or(Ok(renew_deadline / 5), |period| nonzero("lease-retry", period))?;
    if retry >= renew_deadline {
        return Err(invalid("lease-retry", "must be less than `lease-renew-deadline`: no renewal would come in time"));
    }
    let too_long = |identity: &String| identity.is_empty() || identity.len() > LONGEST_IDENTITY;
    if identity.as_ref().is_some_and(too_long) {
        return Err(invalid("identity", "has 1 to 200 characters"));
    }
    let times = LeaseTimes { duration, renew_deadline, retry };
    Ok(leader_election.unwrap_or(mode == Mode::Enforce).then_some(LeaderElection { times, identity }))
}

/// What the command itself decides, whatever the settings say.
fn apply_purpose(policy: &mut Policy, kinds: Kinds, owners: &[Kind], purpose: Purpose) -> Result<(), ConfigError> {
    let Kinds { kinds } = kinds;
    policy.kinds.extend(owners);
    replace(&mut policy.kinds, set(kinds, |KindName(kind)| kind));
    if policy.kinds.is_empty() {
        return Err(invalid("kinds", "is empty; name at least one kind"));
    }
    policy.roll_kinds = policy.kinds.clone();
    match purpose {
        Purpose::Run => {}
        Purpose::Look(only) => {
            policy.mode = Mode::Report;
            if let Some((kind, _)) = &only {
                policy.kinds = BTreeSet::from([*kind]);
            }
            policy.only = only;
            policy.one_shot = true;
            policy.events = false;
        }
        Purpose::Rollout { confirmed, kinds, regardless } => {
            policy.regardless_of_drift = regardless;
            policy.mode = if confirmed { Mode::Enforce } else { Mode::Report };
            // What will not be rolled need not be asked for either.
            policy.kinds.clone_from(&kinds);
            policy.roll_kinds = kinds;
            // The guard binds the daemon's ServiceAccount; this runs with a person's own credentials.
            policy.without_guard = true;
            policy.one_shot = true;
            // That person sees it all, and may lack the right.
            policy.events = false;
        }
    }
    Ok(())
}

fn replace<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn size(setting: &'static str, number: Option<Positive>) -> Result<Option<usize>, ConfigError> {
    number.map(|Positive(n)| usize::try_from(n).map_err(|_| invalid(setting, "is too large"))).transpose()
}

pub(super) fn nonzero(setting: &'static str, Period(time): Period) -> Result<Duration, ConfigError> {
    if time.is_zero() { Err(invalid(setting, "cannot be zero")) } else { Ok(time) }
}

fn name(label: DnsLabel) -> Name {
    Name::from(label.0)
}

pub(super) fn invalid(setting: &'static str, message: &str) -> ConfigError {
    ConfigError::Senseless { setting, message: message.to_owned() }
}
