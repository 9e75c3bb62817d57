//! What a reader may ask of the list of workloads: filter, order, page. The API and the web page take the same words.

use std::{cmp::Ordering, collections::BTreeSet};

use serde_json::{Value, json};

use crate::{
    config::values::listed,
    core::{
        model::words::{Gate, UndeterminedReason, Verdict, Word},
        report::{Report, WorkloadReport},
    },
    document::{api::Selected, summary::differing},
};

/// Workloads on a page, if nothing else is asked for.
const DEFAULT_LIMIT: usize = 100;
/// Workloads on a page at most: an answer stays below some megabytes.
const MAX_LIMIT: usize = 1000;

/// What was asked makes no sense; the text says what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadQuery(String);

/// One parameter of the list of workloads.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// The JSON Schema of its value, or of one of its values.
    pub schema: fn() -> Value,
    /// It may be given several times, or several values separated by commas; any of them may match.
    pub repeats: bool,
}

/// Every parameter.
pub const PARAMETERS: &[Parameter] = &[
    Parameter { name: "verdict", meaning: "Only workloads of this verdict.", schema: words::<Verdict>, repeats: true },
    Parameter {
        name: "reason",
        meaning: "Only undetermined workloads, for this reason.",
        schema: words::<UndeterminedReason>,
        repeats: true,
    },
    Parameter { name: "gate", meaning: "Only workloads held by this gate.", schema: words::<Gate>, repeats: true },
    Parameter {
        name: "kind",
        meaning: "Only workloads of this kind, such as `Deployment`.",
        schema: text,
        repeats: true,
    },
    Parameter { name: "namespace", meaning: "Only workloads of this namespace.", schema: text, repeats: true },
    Parameter { name: "sidecar", meaning: "Only workloads with this sidecar.", schema: text, repeats: true },
    Parameter {
        name: "change",
        meaning: "Only workloads that a rollout would change in exactly this way, such as `istio-proxy image 1.27.0 → \
                  1.27.1`.",
        schema: text,
        repeats: false,
    },
    Parameter {
        name: "q",
        meaning: "Only workloads that have this text in kind, namespace, name, change or message, in upper or lower case.",
        schema: text,
        repeats: false,
    },
    Parameter { name: "sort", meaning: "What the list is sorted by.", schema: Sort::schema, repeats: false },
    Parameter { name: "order", meaning: "Ascending or descending.", schema: order, repeats: false },
    Parameter { name: "page", meaning: "Which page, from 1.", schema: page, repeats: false },
    Parameter { name: "limit", meaning: "Workloads on a page.", schema: limit, repeats: false },
];

fn words<W: Word>() -> Value {
    json!({ "type": "string", "enum": W::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>() })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn order() -> Value {
    json!({ "type": "string", "enum": ["asc", "desc"], "default": "asc" })
}

fn page() -> Value {
    json!({ "type": "integer", "minimum": 1, "default": 1 })
}

fn limit() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT })
}

/// What the list is sorted by; workloads that are alike in it follow each other by namespace, kind and name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Namespace, kind, name.
    #[default]
    Name,
    /// Kind.
    Kind,
    /// Verdict, in the order of the vocabulary.
    Verdict,
    /// Pods that differ.
    Pods,
    /// Change.
    Change,
    /// Gate, in the order of the vocabulary; those without one last.
    Gate,
    /// When the difference was seen first; those without one last.
    Since,
}

impl Sort {
    /// All of them, as they are written.
    pub const ALL: [(&str, Self); 7] = [
        ("name", Self::Name),
        ("kind", Self::Kind),
        ("verdict", Self::Verdict),
        ("pods", Self::Pods),
        ("change", Self::Change),
        ("gate", Self::Gate),
        ("since", Self::Since),
    ];

    fn schema() -> Value {
        json!({ "type": "string", "enum": Self::ALL.map(|(word, _)| word), "default": "name" })
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, sort)| *sort == self).map_or("name", |(word, _)| word)
    }

    fn compare(self, a: &WorkloadReport, b: &WorkloadReport) -> Ordering {
        match self {
            Self::Name => Ordering::Equal,
            Self::Kind => a.kind.cmp(&b.kind),
            Self::Verdict => a.verdict.cmp(&b.verdict),
            Self::Pods => differing(a).cmp(&differing(b)),
            Self::Change => none_last(a.change.as_ref(), b.change.as_ref()),
            Self::Gate => none_last(a.gate, b.gate),
            Self::Since => none_last(a.first_seen, b.first_seen),
        }
    }
}

fn none_last<T: Ord>(a: Option<T>, b: Option<T>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// Which workloads, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Of one of these verdicts, if any is named.
    pub verdicts: BTreeSet<Verdict>,
    /// Undetermined for one of these reasons, if any is named.
    pub reasons: BTreeSet<UndeterminedReason>,
    /// Held by one of these gates, if any is named.
    pub gates: BTreeSet<Gate>,
    /// Of one of these kinds, if any is named; in upper or lower case.
    pub kinds: BTreeSet<String>,
    /// In one of these namespaces, if any is named.
    pub namespaces: BTreeSet<String>,
    /// With one of these sidecars, if any is named.
    pub sidecars: BTreeSet<String>,
    /// With exactly this change.
    pub change: Option<String>,
    /// With this text somewhere.
    pub text: Option<String>,
    /// The order.
    pub sort: Sort,
    /// The order is turned round.
    pub descending: bool,
    /// The page, from 1.
    pub page: usize,
    /// Workloads on a page.
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            verdicts: BTreeSet::new(),
            reasons: BTreeSet::new(),
            gates: BTreeSet::new(),
            kinds: BTreeSet::new(),
            namespaces: BTreeSet::new(),
            sidecars: BTreeSet::new(),
            change: None,
            text: None,
            sort: Sort::Name,
            descending: false,
            page: 1,
            limit: DEFAULT_LIMIT,
        }
    }
}

impl Query {
    /// Reads what stands behind the `?` of an address. An empty value is as good as none, because forms send them.
    pub fn parse(raw: Option<&str>) -> Result<Self, BadQuery> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            if value.is_empty() && PARAMETERS.iter().any(|p| p.name == name) {
                continue;
            }
            match &*name {
                "verdict" => add_words("verdict", &value, &mut query.verdicts)?,
                "reason" => add_words("reason", &value, &mut query.reasons)?,
                "gate" => add_words("gate", &value, &mut query.gates)?,
                "kind" => query.kinds.extend(parts(&value).map(str::to_lowercase)),
                "namespace" => query.namespaces.extend(parts(&value).map(str::to_owned)),
                "sidecar" => query.sidecars.extend(parts(&value).map(str::to_owned)),
                "change" => query.change = Some(value.into_owned()),
                "q" => query.text = Some(value.trim().to_lowercase()).filter(|text| !text.is_empty()),
                "sort" => query.sort = one_of("sort", &value, &Sort::ALL)?,
                "order" => query.descending = one_of("order", &value, &[("asc", false), ("desc", true)])?,
                "page" => query.page = number("page", &value, usize::MAX)?,
                "limit" => query.limit = number("limit", &value, MAX_LIMIT)?,
                unknown => return Err(no_parameter(unknown)),
            }
        }
        Ok(query)
    }

    /// Whether nothing is filtered out.
    pub fn is_unfiltered(&self) -> bool {
        let all = Self {
            sort: self.sort,
            descending: self.descending,
            page: self.page,
            limit: self.limit,
            ..Self::default()
        };
        *self == all
    }

    /// The workloads of a report that are asked for.
    pub fn select<'r>(&self, report: &'r Report) -> Selected<'r> {
        let mut found: Vec<_> = report.workloads.iter().filter(|w| self.matches(w)).collect();
        let total = found.len();
        // The report is sorted by name, and equal ones stay in order.
        if self.descending {
            found.reverse();
            found.sort_by(|a, b| self.sort.compare(b, a));
        } else {
            found.sort_by(|a, b| self.sort.compare(a, b));
        }
        let start = self.page.saturating_sub(1).saturating_mul(self.limit);
        let workloads = found.into_iter().skip(start).take(self.limit).collect();
        let pages = total.div_ceil(self.limit).max(1);
        Selected { total, page: self.page, pages, limit: self.limit, workloads }
    }

    fn matches(&self, w: &WorkloadReport) -> bool {
        let named = |wanted: &BTreeSet<String>, name: &str| wanted.is_empty() || wanted.contains(name);
        (self.verdicts.is_empty() || self.verdicts.contains(&w.verdict))
            && (self.reasons.is_empty() || w.reason.is_some_and(|reason| self.reasons.contains(&reason)))
            && (self.gates.is_empty() || w.gate.is_some_and(|gate| self.gates.contains(&gate)))
            && (self.kinds.is_empty() || self.kinds.contains(&w.kind.to_lowercase()))
            && named(&self.namespaces, &w.namespace)
            && (self.sidecars.is_empty() || w.sidecars.iter().any(|name| self.sidecars.contains(&**name)))
            && self.change.as_ref().is_none_or(|change| w.change.as_ref() == Some(change))
            && self.text.as_ref().is_none_or(|text| contains_text(w, text))
    }
}

/// Whether a text, in lower case, is somewhere in what people read about a workload.
fn contains_text(w: &WorkloadReport, text: &str) -> bool {
    let in_name = format!("{}/{}/{}", w.namespace, w.kind, w.name).to_lowercase().contains(text);
    let mut others = w.change.iter().chain(&w.message);
    in_name || others.any(|said| said.to_lowercase().contains(text))
}

/// An address that takes no parameters got some.
pub fn reject_parameters(raw: Option<&str>) -> Result<(), BadQuery> {
    match form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).next() {
        Some((name, _)) => Err(BadQuery(format!("`{name}` is no parameter here: this address takes none"))),
        None => Ok(()),
    }
}

fn no_parameter(unknown: &str) -> BadQuery {
    let known: Vec<_> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
    BadQuery(format!("`{unknown}` is no parameter here: the parameters are {}", listed(&known, "and")))
}

fn parts(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn add_words<W: Word>(parameter: &str, value: &str, words: &mut BTreeSet<W>) -> Result<(), BadQuery> {
    for part in parts(value) {
        let known: Vec<_> = W::ALL.iter().map(|word| (word.as_str(), *word)).collect();
        words.insert(one_of(parameter, part, &known)?);
    }
    Ok(())
}

fn one_of<T: Copy>(parameter: &str, value: &str, known: &[(&'static str, T)]) -> Result<T, BadQuery> {
    known.iter().find(|(word, _)| *word == value).map(|(_, meant)| *meant).ok_or_else(|| {
        let known: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        BadQuery(format!("`{parameter}` cannot be `{value}`: it is one of {}", listed(&known, "and")))
    })
}

fn number(parameter: &str, value: &str, most: usize) -> Result<usize, BadQuery> {
    value.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        let range = if most == usize::MAX { "from 1".to_owned() } else { format!("from 1 to {most}") };
        BadQuery(format!("`{parameter}` cannot be `{value}`: it is a whole number {range}"))
    })
}
