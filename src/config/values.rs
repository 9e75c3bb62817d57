//! The values of settings, each parsed once from the text that a person wrote, on the command line, in the environment
//! or in the file. Every error is one clause that says what would be right.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use jiff::{SpanRelativeTo, Timestamp, fmt::friendly::SpanParser};
use serde::{Deserialize, Deserializer};

use crate::core::{
    compare::{IgnoreRule, Ignored},
    config::{Trigger, Window, owner_annotations},
    model::{
        Glob, Name, WorkloadKey,
        owner::Kind,
        words::{Difference, Word},
    },
};

/// Reads a value from YAML exactly as from a flag: any scalar, as text.
pub(super) fn from_scalar<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

macro_rules! read_as_text {
    ($($name:ident),+) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::values::from_scalar(deserializer)
            }
        }
    )+};
}
pub(super) use read_as_text;

read_as_text!(
    Period,
    Positive,
    Number,
    Rate,
    HourlyLimit,
    KindName,
    ActOn,
    DnsLabel,
    AnnotationPrefix,
    Caller,
    Token,
    TriggerName,
    WindowText,
    OwnWorkload
);

/// A bearer token, which is in no message and no log line.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The secret itself.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The longest duration.
const LONGEST: Duration = Duration::from_hours(3650 * 24);

/// A duration as people write it: `300s`, `10m`, `1h30m`, `1d`. A day has 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim();
        if number.parse::<f64>().is_ok() {
            return Err(format!("a duration needs a unit, and `{number}s` means {number} seconds"));
        }
        let wrong = || "a duration is written like `300s`, `10m`, `1h30m` or `1d`".to_owned();
        let span = SpanParser::new().parse_span(number).map_err(|_| wrong())?;
        let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        let duration = Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())?;
        // Far below what any sum of times could overflow at, and far above what anybody waits for.
        if duration > LONGEST {
            return Err("a duration is at most 3650d".to_owned());
        }
        Ok(Self(duration))
    }
}

/// A whole number, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Positive(pub u32);

impl FromStr for Positive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) | Err(_) => Err("a whole number of at least 1 is wanted".to_owned()),
            Ok(number) => Ok(Self(number)),
        }
    }
}

/// A whole number, 0 included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub u32);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "a whole number is wanted".to_owned())
    }
}

/// How often a second: more than 0, fractions allowed.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate <= 10_000.0 => Ok(Self(rate)),
            _ => Err("a number above 0 and up to 10000 is wanted, such as `10` or `0.5`".to_owned()),
        }
    }
}

/// How many in an hour, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourlyLimit(pub Option<u32>);

impl FromStr for HourlyLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unlimited" => Ok(Self(None)),
            _ => text.parse().map(|n| Self(Some(n))).map_err(|_| "a whole number or `unlimited` is wanted".to_owned()),
        }
    }
}

/// A kind of workload that can be rolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindName(pub Kind);

impl FromStr for KindName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Kind::from_name(text).map(Self).ok_or_else(|| {
            let known: Vec<_> = Kind::all().map(Kind::as_str).collect();
            format!("the kinds are {}, and those that `owners` in the file describes", listed(&known, "and"))
        })
    }
}

/// A difference that a rollout may be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActOn(pub Difference);

impl FromStr for ActOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Difference::ALL.iter().find(|difference| difference.as_str() == text);
        match found {
            Some(Difference::MutatedLive) => {
                Err("`mutated_live` is never acted on: somebody patched that Pod on purpose".to_owned())
            }
            Some(&difference) => Ok(Self(difference)),
            None => {
                let known: Vec<_> =
                    Difference::ALL.iter().filter(|d| **d != Difference::MutatedLive).map(|d| d.as_str()).collect();
                Err(format!("the differences are {}", listed(&known, "and")))
            }
        }
    }
}

/// The name of a namespace or a container: an RFC 1123 label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DnsLabel(pub String);

impl FromStr for DnsLabel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty()
            || text.len() > 63
            || !text.chars().all(inner)
            || text.starts_with('-')
            || text.ends_with('-')
        {
            return Err("a name has at most 63 lower-case letters, digits and inner dashes".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// What the keys of our stamp begin with: `<prefix>.rollout.timestamp` must be an annotation's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationPrefix(pub String);

impl FromStr for AnnotationPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LONGEST_SUFFIX: usize = ".rollout.fingerprint".len();
        let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
        let domain_fits = domain.is_none_or(|domain| {
            domain.len() <= 253 && domain.split('.').all(|label| label.parse::<DnsLabel>().is_ok())
        });
        let name_fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.len() + LONGEST_SUFFIX <= 63
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if domain_fits && name_fits {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "the begin of an annotation's key is wanted, such as `sidecarRollout` or `example.com/sidecar`: \
             at most {} letters, digits, `-`, `_` and `.` after an optional domain",
            63 - LONGEST_SUFFIX
        ))
    }
}

/// As whom Pods are created in dry run (rule R4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// As ourselves.
    #[default]
    Own,
    /// As the controller of each kind.
    Controllers,
    /// As this user.
    User(String),
}

impl FromStr for Caller {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "self" => Ok(Self::Own),
            "controllers" => Ok(Self::Controllers),
            // Whoever may do everything would be told by admission what nobody else is told.
            user if user.contains(':') && user.chars().all(|c| c.is_ascii_graphic()) => Ok(Self::User(user.to_owned())),
            _ => Err("`self`, `controllers` or a user such as `system:kube-controller-manager` is wanted".to_owned()),
        }
    }
}

/// An object that injection depends on: `Secret/istio-system/cacerts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerName(pub Trigger);

impl FromStr for TriggerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('/').collect();
        let (kind, namespace, name) = match parts.as_slice() {
            [kind, name] => (*kind, "", *name),
            [kind, namespace, name] if namespace.parse::<DnsLabel>().is_ok() => (*kind, *namespace, *name),
            _ => ("", "", ""),
        };
        let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
        let is_kind = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric());
        let is_group = group.is_none_or(|group| group.split('.').all(|label| label.parse::<DnsLabel>().is_ok()));
        // Path segments that the API server would not take.
        let is_name = !name.is_empty() && name.len() <= 253 && name.chars().all(|c| c.is_ascii_graphic() && c != '%');
        if !(is_kind && is_group && is_name) {
            return Err("KIND/NAMESPACE/NAME is wanted, such as `Secret/istio-system/cacerts`".to_owned());
        }
        Ok(Self(Trigger {
            group: group.map(Name::from),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        }))
    }
}

/// The workload that runs us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnWorkload(pub WorkloadKey);

impl FromStr for OwnWorkload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('/').collect();
        let [kind, namespace, name] = parts[..] else {
            return Err(
                "a workload is wanted as KIND/NAMESPACE/NAME, such as `deployment/tools/sidecar-drift`".to_owned()
            );
        };
        let KindName(kind) = kind.parse()?;
        let DnsLabel(namespace) = namespace.parse()?;
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if name.is_empty() || name.len() > 253 || !name.chars().all(letter) {
            return Err("a workload's name has at most 253 lower-case letters, digits, dashes and dots".to_owned());
        }
        Ok(Self(WorkloadKey { namespace: namespace.into(), kind, name: name.into() }))
    }
}

/// A day, to its end in UTC, or a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instant {
    /// When it is over.
    pub time: Timestamp,
    /// As it was written.
    pub text: String,
}

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = owner_annotations::date(text)
            .ok_or("a date is wanted, such as `2026-12-31`, or a time: `2026-12-31T18:00:00Z`")?;
        Ok(Self { time, text: text.to_owned() })
    }
}

/// A maintenance window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowText(pub Window);

impl FromStr for WindowText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// A rule under `ignore` as it is written in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct IgnoreEntry {
    /// A pattern for the names of sidecars; all, if none is given.
    pub sidecar: Option<String>,
    /// A pattern for a field's path.
    pub field: Option<String>,
    /// A pattern for the names of environment variables.
    pub env: Option<String>,
}

impl IgnoreEntry {
    /// The rule, or what would be right.
    pub(super) fn rule(&self) -> Result<IgnoreRule, String> {
        let wrong = "names `field` (such as `args/*`) or `env` (such as `DD_*`), one of the two, in each of its rules";
        let given = |text: &'_ String| Some(text.trim_start_matches('/').to_owned()).filter(|text| !text.is_empty());
        let by_place = |part: &str| {
            let right = if part.starts_with('[') {
                "name it by its member, such as `[name=value]`"
            } else {
                "name the whole list, such as `args`: its elements have no member that names them"
            };
            format!("names an element of a list by its place, `{part}`; {right}")
        };
        let what = match (&self.field, &self.env) {
            (Some(field), None) => given(field).map(|field| Ignored::field(&field).map_err(by_place)).transpose()?,
            (None, Some(env)) => given(env).map(|env| Ignored::Env(Glob::new(&env))),
            _ => None,
        };
        let sidecar = Glob::new(self.sidecar.as_deref().unwrap_or("*"));
        what.map(|what| IgnoreRule { sidecar, what }).ok_or_else(|| wrong.to_owned())
    }
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
        #[serde(rename_all = "lowercase")]
        #[value(rename_all = "lowercase")]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }
    )+};
}

choices! {
    /// What the daemon may do.
    Ceiling {
        /// Look and tell.
        Report,
        /// Look, tell and roll.
        Enforce,
    }

    /// Which fields of a sidecar are compared.
    Fields {
        /// Those that an injector means something by.
        Default,
        /// And the resources.
        Resources,
        /// All of them.
        All,
    }

    /// From which level on log lines are written.
    LogLevel {
        /// None at all.
        Off,
        /// What needs a person.
        Error,
        /// What may need a person.
        Warn,
        /// What was done.
        Info,
        /// Why it was done.
        Debug,
        /// Everything.
        Trace,
    }

    /// How log lines are written.
    LogFormat {
        /// For people.
        Text,
        /// One JSON object a line.
        Json,
    }

    /// How notifications are written.
    NotifyFormat {
        /// JSON of our own.
        Json,
        /// As Slack and what is like it take it.
        Slack,
    }
}

/// `a`, `b` and `c`, in backquotes, with that word before the last one.
pub(crate) fn listed(words: &[&str], before_last: &str) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {before_last} {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// The values of a list as a set of what they hold.
pub(super) fn set<T, U: Ord>(list: Option<Vec<T>>, inner: impl Fn(T) -> U) -> Option<BTreeSet<U>> {
    list.map(|list| list.into_iter().map(inner).collect())
}

impl fmt::Display for DnsLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
