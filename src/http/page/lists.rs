//! The list of workloads.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;

use super::{
    format::{Row, list, many, number},
    frame::Frame,
};
use crate::{
    core::{
        model::words::{Gate, Verdict, Word},
        report::Report,
    },
    http::query::{Query, Sort},
};

/// `/workloads`
#[derive(Debug, Template)]
#[template(path = "workloads.html")]
pub(super) struct Workloads {
    frame: Frame,
    problem: Option<String>,
    text: String,
    selects: Vec<Select>,
    hidden: Vec<(&'static str, String)>,
    filtered: bool,
    complete: bool,
    found: String,
    change: Option<String>,
    columns: Vec<Column>,
    rows: Vec<Row>,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

/// A choice of the filter.
#[derive(Debug)]
struct Select {
    name: &'static str,
    title: &'static str,
    options: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    value: String,
    chosen: bool,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    href: String,
    sorted: Option<&'static str>,
    number: bool,
}

const COLUMNS: [(&str, Sort, bool); 7] = [
    ("Workload", Sort::Name, false),
    ("Kind", Sort::Kind, false),
    ("Verdict", Sort::Verdict, false),
    ("Change", Sort::Change, false),
    ("Pods", Sort::Pods, true),
    ("Held by", Sort::Gate, false),
    ("Since", Sort::Since, false),
];

impl Workloads {
    pub(super) fn of(report: &Arc<Report>, mut query: Query, problem: Option<String>) -> Self {
        let mut selected = query.select(report);
        if query.page > selected.pages {
            // The list grew shorter than the page that was open.
            query.page = selected.pages;
            selected = query.select(report);
        }
        let page_href = |page: usize| address(&query, query.sort, query.descending, page);
        let (page, pages) = (query.page, selected.pages);
        let columns = COLUMNS.map(|(title, sort, number)| {
            let here = sort == query.sort;
            // The most, first; otherwise from the beginning.
            let descending = if here { !query.descending } else { sort == Sort::Pods };
            let sorted = here.then_some(if query.descending { "descending" } else { "ascending" });
            Column { title, href: address(&query, sort, descending, 1), sorted, number }
        });
        let filtered = !query.is_unfiltered();
        let found = if filtered {
            format!("{} of {}", number(selected.total), many(report.workloads.len(), "workload"))
        } else {
            many(selected.total, "workload")
        };
        let mut hidden = Vec::new();
        if let Some(change) = &query.change {
            hidden.push(("change", change.clone()));
        }
        hidden.extend(query.reasons.iter().map(|reason| ("reason", reason.to_string())));
        if query.sort != Sort::Name {
            hidden.push(("sort", query.sort.as_str().to_owned()));
        }
        if query.descending {
            hidden.push(("order", "desc".to_owned()));
        }
        Self {
            frame: Frame::new(report, "Workloads", "/workloads"),
            problem,
            text: query.text.clone().unwrap_or_default(),
            selects: selects(report, &query),
            hidden,
            filtered,
            complete: report.complete,
            found,
            change: query.change.clone(),
            columns: columns.into(),
            rows: selected.workloads.iter().map(|w| Row::of(w, report.taken)).collect(),
            page,
            pages,
            previous: (page > 1).then(|| page_href(page - 1)),
            next: (page < pages).then(|| page_href(page + 1)),
        }
    }
}

/// What can be chosen is what there is, and what was chosen.
fn selects(report: &Report, query: &Query) -> Vec<Select> {
    let mut kinds = BTreeSet::new();
    let mut namespaces = BTreeSet::new();
    let mut sidecars = BTreeSet::new();
    let mut verdicts = query.verdicts.clone();
    let mut gates = query.gates.clone();
    for w in &report.workloads {
        kinds.insert(w.kind.to_string());
        namespaces.insert(w.namespace.to_string());
        sidecars.extend(w.sidecars.iter().map(ToString::to_string));
        verdicts.insert(w.verdict);
        gates.extend(w.gate);
    }
    let kinds: Vec<_> =
        kinds.into_iter().map(|kind| choice(&kind, query.kinds.contains(&kind.to_lowercase()))).collect();
    let named = |there: BTreeSet<String>, chosen: &BTreeSet<String>| {
        there.union(chosen).map(|name| choice(name, chosen.contains(name))).collect()
    };
    let verdicts = verdicts.iter().map(|v: &Verdict| choice(v.as_str(), query.verdicts.contains(v))).collect();
    let gates = gates.iter().map(|g: &Gate| choice(g.as_str(), query.gates.contains(g))).collect();
    let select = |name, title, options: Vec<Choice>| Select { name, title, options };
    vec![
        select("verdict", "Verdict", verdicts),
        select("namespace", "Namespace", named(namespaces, &query.namespaces)),
        select("kind", "Kind", kinds),
        select("sidecar", "Sidecar", named(sidecars, &query.sidecars)),
        select("gate", "Held by", gates),
    ]
}

fn choice(value: &str, chosen: bool) -> Choice {
    Choice { value: value.to_owned(), chosen }
}

/// The address of this list, sorted so, at this page.
fn address(query: &Query, sort: Sort, descending: bool, page: usize) -> String {
    let page = page.to_string();
    let limit = query.limit.to_string();
    let mut parameters: Vec<(&str, &str)> = Vec::new();
    parameters.extend(query.text.iter().map(|text| ("q", text.as_str())));
    parameters.extend(query.verdicts.iter().map(|word| ("verdict", word.as_str())));
    parameters.extend(query.reasons.iter().map(|word| ("reason", word.as_str())));
    parameters.extend(query.namespaces.iter().map(|name| ("namespace", name.as_str())));
    parameters.extend(query.kinds.iter().map(|name| ("kind", name.as_str())));
    parameters.extend(query.sidecars.iter().map(|name| ("sidecar", name.as_str())));
    parameters.extend(query.gates.iter().map(|word| ("gate", word.as_str())));
    parameters.extend(query.change.iter().map(|change| ("change", change.as_str())));
    if sort != Sort::Name {
        parameters.push(("sort", sort.as_str()));
    }
    if descending {
        parameters.push(("order", "desc"));
    }
    if query.limit != Query::default().limit {
        parameters.push(("limit", &limit));
    }
    if page != "1" {
        parameters.push(("page", &page));
    }
    list(&parameters)
}
