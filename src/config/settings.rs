//! Every setting, declared once: its flag, its help, its key in the file (the flag's long name) and its environment
//! variable (`SIDECAR_DRIFT_` and the flag's name).
//!
//! Settings come in groups, because not every command takes all of them; the file may hold all. The macro makes of
//! each group a `clap::Args` whose fields are all optional, of all groups together the [`File`], and the merge of the
//! two, so that a setting that is declared is also read, merged and documented.

use std::path::PathBuf;

use serde::Deserialize;

use super::{
    address::{AdvertisedAddress, Listen},
    json_path::Path,
    output::Output,
    owners::OwnerEntry,
    selector::{AnnotationSelector, LabelSelector, NamespaceGlob, Time},
    values::{
        ActOn, AnnotationPrefix, Caller, Ceiling, DnsLabel, Fields, HourlyLimit, IgnoreEntry, KindName, LogFormat,
        LogLevel, NotifyFormat, Number, OwnWorkload, Period, Positive, Rate, Token, TriggerName, WindowText,
    },
};
use crate::core::config::AlertMatcher;

macro_rules! settings {
    ($(
        $(#[doc = $group_doc:literal])+
        $group:ident as $member:ident, $heading:literal {
            $(
                $(#[doc = $doc:literal])+
                #[arg($($arg:tt)*)]
                $field:ident: $type:ty,
            )+
        }
    )+) => {
        $(
            $(#[doc = $group_doc])+
            #[derive(Clone, Debug, Default, PartialEq, clap::Args)]
            #[command(next_help_heading = $heading)]
            pub struct $group {
                $( $(#[doc = $doc])+ #[arg($($arg)*)] pub $field: Option<$type>, )+
            }

            impl $group {
                /// What is given here, else what the file says.
                #[must_use]
                pub fn or_from(self, file: &File) -> Self {
                    Self { $( $field: self.$field.or_else(|| file.$field.clone()), )+ }
                }
            }
        )+

        /// The configuration file: any of the settings, under the long name of its flag.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct File {
            $($( $(#[doc = $doc])+ pub $field: Option<$type>, )+)+
            /// Fields that never make drift. Only here: whoever leaves something out should have to write it down.
            pub ignore: Option<Vec<IgnoreEntry>>,
            /// Kinds of workloads that nobody knows but whoever runs this cluster. Only here: each takes some lines.
            pub owners: Option<Vec<OwnerEntry>>,
        }

        /// All settings. A command fills the groups that it takes and leaves the others empty.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Settings {
            $( $(#[doc = $group_doc])+ pub $member: $group, )+
        }

        impl Settings {
            /// What is given here, else what the file says.
            #[must_use]
            pub fn or_from(self, file: &File) -> Self {
                Self { $( $member: self.$member.or_from(file), )+ }
            }
        }

        /// The identifiers of all settings: the long names of their flags with `_` for `-`.
        pub const NAMES: &[&str] = &[$($( stringify!($field), )+)+];
    };
}

settings! {
    /// How the API server is reached.
    Client as client, "Connection" {
        /// Reads the cluster's address and credentials from this file [default: $KUBECONFIG, then ~/.kube/config, then
        /// the Pod's ServiceAccount].
        #[arg(long, global = true, value_name = "FILE")]
        kubeconfig: PathBuf,
        /// Uses this context of the kubeconfig [default: its current context].
        #[arg(long, global = true, value_name = "NAME")]
        context: String,
        /// Uses this cluster of the kubeconfig [default: that of the context].
        #[arg(long, global = true, value_name = "NAME")]
        cluster: String,
        /// Uses the credentials of this user of the kubeconfig [default: that of the context].
        #[arg(long, global = true, value_name = "NAME")]
        user: String,
        /// Reaches the API server at this address [default: that of the cluster].
        #[arg(long, short, global = true, value_name = "URL")]
        server: String,
        /// Authenticates to the API server with this bearer token. Others on this machine can read command lines: put it into
        /// the environment [default: the user's own].
        #[arg(long, global = true, value_name = "TOKEN")]
        token: Token,
        /// Expects this name in the API server's certificate [default: the host of its address].
        #[arg(long, global = true, value_name = "NAME")]
        tls_server_name: String,
        /// Accepts any certificate of the API server, so that whoever is between it and you can read and change everything
        /// [default: as the cluster says].
        #[arg(long, global = true)]
        insecure_skip_tls_verify: bool,
        /// Acts as this user, which takes the right to impersonate [default: the kubeconfig's own].
        #[arg(long, visible_alias = "as", global = true, value_name = "USER")]
        as_user: String,
        /// Acts as a member of this group, with --as-user; repeatable [default: the kubeconfig's own].
        #[arg(long, global = true, value_name = "GROUP")]
        as_group: Vec<String>,
        /// Acts under this UID, with --as-user [default: the kubeconfig's own].
        #[arg(long, global = true, value_name = "UID")]
        as_uid: String,
        /// Gives up on reading from the API server after this duration; dry runs and writes may take 35s regardless,
        /// because the server itself waits up to 34s for injectors [default: 10s].
        #[arg(long, global = true, value_name = "DURATION")]
        request_timeout: Period,
    }

    /// How we speak to people.
    Voice as voice, "Messages" {
        /// Writes log lines of this level and above to stderr [default: info for `run`, warn for the other commands].
        #[arg(long, global = true, value_name = "LEVEL")]
        log_level: LogLevel,
        /// Writes log lines in this format [default: text].
        #[arg(long, global = true, value_name = "FORMAT")]
        log_format: LogFormat,
        /// Writes no colours; `NO_COLOR` in the environment that is not empty does the same [default: colours on a
        /// terminal].
        #[arg(long, global = true)]
        no_color: bool,
        /// Writes results and errors only: no progress, no hints [default: false].
        #[arg(long, short, global = true)]
        quiet: bool,
    }

    /// What is looked at.
    Selection as selection, "What is looked at" {
        /// Looks at this namespace only, and needs rights in no other; repeatable [default: all namespaces].
        #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
        namespace: Vec<DnsLabel>,
        /// Looks at all namespaces, whatever the file says [default: true].
        #[arg(long, short = 'A', conflicts_with = "namespace")]
        all_namespaces: bool,
        /// Judges workloads of this namespace only, in which `*` stands for any letters; repeatable, excludes
        /// --exclude-namespace [default: all].
        #[arg(long, value_name = "GLOB", value_delimiter = ',', conflicts_with = "exclude_namespace")]
        include_namespace: Vec<NamespaceGlob>,
        /// Judges no workload of this namespace, in which `*` stands for any letters; repeatable, excludes
        /// --include-namespace [default: none].
        #[arg(long, value_name = "GLOB", value_delimiter = ',')]
        exclude_namespace: Vec<NamespaceGlob>,
        /// Judges workloads only of namespaces with these labels, such as `team=a` [default: all].
        #[arg(long, value_name = "SELECTOR")]
        namespace_selector: LabelSelector,
        /// Judges only workloads with these labels of their own, such as `app=web` [default: all].
        #[arg(long, short = 'l', value_name = "SELECTOR")]
        selector: LabelSelector,
        /// Judges only workloads with this annotation, on themselves or on their Pod template; repeatable, one of them is
        /// enough [default: all].
        #[arg(long, value_name = "KEY[=VALUE]")]
        include_annotation: Vec<AnnotationSelector>,
        /// Judges no workload with this annotation, on itself or on its Pod template; repeatable [default: none].
        #[arg(long, value_name = "KEY[=VALUE]")]
        exclude_annotation: Vec<AnnotationSelector>,
        /// Rolls a workload only if a Pod that differs was created before this time, in UTC where it names no zone
        /// [default: now, so that every Pod counts].
        #[arg(long, value_name = "TIME")]
        only_started_before: Time,
        /// Takes containers of this name as the sidecars; repeatable [default: every container that admission adds].
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        sidecar_container_name: Vec<DnsLabel>,
        /// Compares these fields of a sidecar: `default` (image, command, arguments, environment, placement), `resources`
        /// (as far as no autoscaler, resize or LimitRange set them) beside these, or `all` [default: default].
        #[arg(long, value_name = "FIELDS")]
        fields: Fields,
    }

    /// The kinds, where a command does not choose them itself.
    Kinds as kinds, "What is looked at" {
        /// Looks at workloads of this kind, one that `owners` in the file describes, too; repeatable, or separated by commas
        /// [default: deployments,statefulsets,daemonsets; and whatever `owners` describes].
        #[arg(long, value_name = "KIND", value_delimiter = ',')]
        kinds: Vec<KindName>,
    }

    /// How the API server is asked.
    Rendering as rendering, "How the cluster is asked" {
        /// Sends at most this many dry runs a second [default: 10].
        #[arg(long, value_name = "NUMBER")]
        max_renders_per_second: Rate,
        /// Sends at most this many dry runs at once after a pause [default: 20].
        #[arg(long, value_name = "NUMBER")]
        render_burst: Positive,
        /// Keeps at most this many dry runs in flight [default: 2].
        #[arg(long, value_name = "NUMBER")]
        renders_in_flight: Positive,
        /// Waits this duration after something that injection depends on moved, before asking [default: 5s].
        #[arg(long, value_name = "DURATION")]
        settle: Period,
        /// Waits at least this duration between the first dry run that finds a difference and the second that confirms
        /// it [default: 10s].
        #[arg(long, value_name = "DURATION")]
        render_spacing: Period,
        /// Takes a running sidecar that is not rendered for removed only after three dry runs over this duration; until
        /// then, and without a witness that its injector works, the workload is undetermined [default: 10m].
        #[arg(long, value_name = "DURATION")]
        absence: Period,
        /// Sends dry runs as `self`, as the `controllers` that create the Pods, or as a user such as
        /// `system:kube-controller-manager`: for an injector that looks at who asks. Takes the right to impersonate, and the
        /// guard does not see through it [default: self].
        #[arg(long, value_name = "WHOM")]
        render_as: Caller,
        /// Leaves out Pods younger than this duration [default: 5s].
        #[arg(long, value_name = "DURATION")]
        min_pod_age: Period,
    }

    /// What is rolled, and how carefully.
    Rollouts as rollouts, "What is rolled out" {
        /// Rolls for these differences; repeatable, or separated by commas: changed, missing, removed, placement
        /// [default: changed].
        #[arg(long, value_name = "DIFFERENCE", value_delimiter = ',')]
        act_on: Vec<ActOn>,
        /// Has at most this many rollouts under way [default: 1].
        #[arg(long, value_name = "NUMBER")]
        parallel_rollouts: Positive,
        /// Has at most this many rollouts under way in one namespace [default: 1].
        #[arg(long, value_name = "NUMBER")]
        parallel_per_namespace: Positive,
        /// Starts at most this many rollouts in any 60 minutes, or `unlimited` [default: 20; for `rollout`: unlimited].
        #[arg(long, value_name = "NUMBER")]
        max_rollouts_per_hour: HourlyLimit,
        /// Lets this many rollouts prove a change before others follow, 0 for none [default: 1; for `rollout`: 0].
        #[arg(long, value_name = "NUMBER")]
        canary: Number,
        /// Watches the canary for this duration after it converged [default: 10m].
        #[arg(long, value_name = "DURATION")]
        soak: Period,
        /// Calls a rollout converged only after its new Pods stayed ready, without a restart, for this duration; longer
        /// where `minReadySeconds` or a container's back-off is [default: 30s].
        #[arg(long, value_name = "DURATION")]
        min_ready: Period,
        /// Leaves a workload alone for this duration after a rollout of it [default: 24h].
        #[arg(long, value_name = "DURATION")]
        cooldown: Period,
        /// Rolls one workload at most this many times in 24 hours, whatever for [default: 2].
        #[arg(long, value_name = "NUMBER")]
        daily_cap: Positive,
        /// Calls a rollout timed out after this duration; it may still succeed [default: 300s].
        #[arg(long, value_name = "DURATION")]
        timeout: Period,
        /// Starts rollouts only in this maintenance window, such as `Mon-Fri 22:00-04:00 Europe/Berlin`: days (all if
        /// none are named), times, IANA time zone; repeatable, any of them will do [default: at any time].
        #[arg(long, value_name = "WINDOW")]
        window: Vec<WindowText>,
        /// Rolls workloads, too, whose Pods will be missing meanwhile: strategy Recreate, one replica without surge,
        /// all unavailable at once [default: false].
        #[arg(long)]
        allow_downtime: bool,
        /// Rolls workloads, too, whose app containers the rollout would change [default: false].
        #[arg(long)]
        allow_collateral: bool,
        /// Rolls system namespaces, the namespaces of injectors and our own workload, too [default: false].
        #[arg(long)]
        include_system: bool,
        /// Rolls workloads, too, whose Pods were not healthy before [default: false].
        #[arg(long)]
        include_unhealthy: bool,
        /// Rolls workloads, too, that an operator owns (an ownerReference with `controller: true`), which may take the
        /// stamp away again [default: false].
        #[arg(long)]
        include_operated: bool,
        /// Rolls workloads with the strategy OnDelete, too, and, where --kinds names them, `replicasets` and
        /// `replicationcontrollers` that nothing owns: after the stamp their Pods are evicted, one at a time, as far as
        /// PodDisruptionBudgets allow; Pods are never deleted [default: false].
        #[arg(long)]
        evict_on_delete: bool,
        /// Begins the annotations of a rollout with this: `<prefix>.rollout.timestamp` [default: sidecarRollout].
        #[arg(long, value_name = "PREFIX")]
        annotation_prefix: AnnotationPrefix,
        /// Writes this reason beside the timestamp [default: made from the names of the sidecars].
        #[arg(long, value_name = "TEXT")]
        rollout_reason: String,
    }

    /// Where pause and breaker are remembered.
    State as state, "Daemon" {
        /// Keeps the ConfigMap `sidecar-drift-state` in this namespace [default: the Pod's own, else that of the
        /// kubeconfig's context].
        #[arg(long, value_name = "NAME")]
        state_namespace: DnsLabel,
    }

    /// What only the daemon has.
    Daemon as daemon, "Daemon" {
        /// Lets the daemon only tell (report), or also roll out (enforce); a ceiling that owners can lower by
        /// annotation [default: report].
        #[arg(long, value_name = "MODE")]
        mode: Ceiling,
        /// Asks again for every workload after this duration, spread by 20 % [default: 6h].
        #[arg(long, value_name = "DURATION")]
        resync: Period,
        /// Takes a change of this object for a change of what is injected, such as `Secret/istio-system/cacerts`, or
        /// `Issuer.cert-manager.io/mesh/ca`; of a kind without namespaces KIND/NAME; repeatable. Only a hash of it is
        /// kept [default: none].
        #[arg(long, value_name = "KIND/NAMESPACE/NAME", value_delimiter = ',')]
        trigger: Vec<TriggerName>,
        /// Rolls out although no admission policy holds our ServiceAccount to dry runs [default: false].
        #[arg(long)]
        without_guard: bool,
        /// Asks this often whether the admission policy is still in force [default: 60s].
        #[arg(long, value_name = "DURATION")]
        guard_interval: Period,
        /// Begins no rollout while the Prometheus at this address says that an alert of --blocking-alert fires, or says
        /// nothing; asks `/api/v1/alerts` there every 15 seconds [default: none].
        #[arg(long, value_name = "URL")]
        block_on_alerts: String,
        /// Shows that Prometheus the bearer token in this file, which is read anew for each question; over https only
        /// [default: no credentials].
        #[arg(long, value_name = "FILE")]
        block_on_alerts_token: PathBuf,
        /// Takes alerts with these labels for a reason to begin no rollout, such as `severity=critical,team!=dev`: all must
        /// be so, `*` stands for any letters; repeatable, one of them is enough [default: severity=critical,
        /// but not our own: alertname!=SidecarDrift*].
        #[arg(long, value_name = "LABEL=VALUE")]
        blocking_alert: Vec<AlertMatcher>,
        /// Writes Kubernetes Events about workloads, which need the right to create and patch them [default: true with
        /// --mode=enforce, else false].
        #[arg(long)]
        events: bool,
        /// Leaves this workload alone, because it is our own, unless --include-system; the chart names it
        /// [default: none].
        #[arg(long, value_name = "KIND/NAMESPACE/NAME")]
        own_workload: OwnWorkload,
        /// Serves /healthz, /readyz and /metrics at this address and port, or `off` [default: 127.0.0.1:8080].
        #[arg(long, value_name = "ADDRESS")]
        listen: Listen,
        /// Serves the API and the web page at this address and port, or `off`. Nobody has to log in there: open it to
        /// others only behind something that asks who they are [default: 127.0.0.1:8081].
        #[arg(long, value_name = "ADDRESS")]
        api_listen: Listen,
        /// Tells the other replicas, in the Lease, that they reach the API of this one at this address and port, once it
        /// leads: they pass on what they are asked; the chart fills it in where the API is open [default: none].
        #[arg(long, value_name = "ADDRESS")]
        api_advertise: AdvertisedAddress,
        /// Gives metrics of workloads the label `namespace`; with very many namespaces switch it off by `=false`
        /// [default: true].
        #[arg(long)]
        metrics_by_namespace: bool,
        /// Sends new drift, rollouts that ended and an opened breaker to this webhook. Whoever knows the address can write
        /// there, so put it into the environment [default: none].
        #[arg(long, value_name = "URL")]
        notify_url: String,
        /// Writes notifications as JSON of our own (json), or as Slack and many others take them (slack) [default: json].
        #[arg(long, value_name = "FORMAT")]
        notify_format: NotifyFormat,
        /// Trusts the certificate authorities in this file (PEM), too, when it asks Prometheus or sends notifications; the
        /// API server is known by those of the kubeconfig [default: those of the system alone].
        #[arg(long, value_name = "FILE")]
        outbound_ca: PathBuf,
        /// Reaches Prometheus and the webhook of notifications by way of this proxy (`http://proxy.example.com:3128`), which
        /// has to allow CONNECT. Put an address with a password into the environment [default: none].
        #[arg(long, value_name = "URL")]
        outbound_proxy: String,
        /// Reaches these hosts without that proxy: names, endings (`.svc`), addresses, CIDRs, as in `NO_PROXY`; repeatable, or
        /// separated by commas [default: none].
        #[arg(long, value_name = "HOST", value_delimiter = ',')]
        outbound_no_proxy: Vec<String>,
    }

    /// What is written down, for the case that something goes wrong.
    Record as record, "Daemon" {
        /// Writes every input of the daemon into this file, so that `sidecar-drift replay` can play them again; values of
        /// env, args and commands are kept as hashes [default: none].
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
        /// Ends the recording, not the daemon, when it has grown to so many MiB [default: 256].
        #[arg(long, value_name = "NUMBER")]
        record_limit: Positive,
        /// Keeps values as they are in the recording; they may be secrets [default: false].
        #[arg(long)]
        record_values: bool,
    }

    /// Which of several replicas leads.
    Leadership as leadership, "Leader election" {
        /// Lets one of several replicas lead, by a Lease: it alone asks and writes, the others watch and wait [default:
        /// true with --mode=enforce, else false].
        #[arg(long)]
        leader_election: bool,
        /// Takes the lead over when its holder has not been heard of for this duration, in whole seconds [default: 15s].
        #[arg(long, value_name = "DURATION")]
        lease_duration: Period,
        /// Leads no longer when the Lease could not be renewed for this duration, which must be the shorter one [default:
        /// two thirds of --lease-duration].
        #[arg(long, value_name = "DURATION")]
        lease_renew_deadline: Period,
        /// Looks at the Lease, or renews it, this often [default: a fifth of --lease-renew-deadline].
        #[arg(long, value_name = "DURATION")]
        lease_retry: Period,
        /// Names this replica in the Lease, followed by a number that is new in each process [default: the host's name].
        #[arg(long, value_name = "NAME")]
        identity: String,
    }

    /// Which Lease says who leads.
    LeaseAt as lease, "Leader election" {
        /// Names the Lease; replicas with the same one take turns [default: sidecar-drift].
        #[arg(long, value_name = "NAME")]
        lease_name: DnsLabel,
        /// Keeps the Lease in this namespace [default: that of the state ConfigMap].
        #[arg(long, value_name = "NAME")]
        lease_namespace: DnsLabel,
    }

    /// How results are written.
    Display as display, "Output" {
        /// Writes the result as a table for people (table, wide), as one document (json, yaml), for a ticket (markdown), or in
        /// kubectl's forms: the workloads that the table lists as `name` or `custom-columns=TITLE:PATH,...`, the document by
        /// `jsonpath=TEMPLATE` [default: table].
        #[arg(long, short, value_name = "FORMAT")]
        output: Output,
        /// Writes rows without headings, column titles and sums [default: false].
        #[arg(long)]
        no_headers: bool,
        /// Sorts workloads by what is at this JSONPath of each, such as `.pods` [default: by namespace, kind and name].
        #[arg(long, value_name = "PATH")]
        sort_by: Path,
        /// Shows the values of args, command and env, which may be secrets; only on a terminal [default: false].
        #[arg(long)]
        show_values: bool,
    }
}
