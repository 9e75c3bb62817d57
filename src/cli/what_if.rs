//! What a scan supposes. No settings: a file or an environment that nobody thinks of must not make a scan tell of things
//! that are not so.

use std::{collections::BTreeMap, str::FromStr};

use clap::Args;

use crate::{
    config::{DnsLabel, is_key, is_label_value},
    core::{config::WhatIf, model::Name},
};

/// What is supposed.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
#[command(next_help_heading = "What if")]
pub(super) struct WhatIfArgs {
    /// Shows what would be injected if Pods had this label; repeatable. Nothing is changed.
    #[arg(long, value_name = "KEY=VALUE")]
    what_if_label: Vec<Label>,
    /// Shows what would be injected if Pods had this annotation; repeatable. Nothing is changed.
    #[arg(long, value_name = "KEY=VALUE")]
    what_if_annotation: Vec<Annotation>,
    /// Shows what would be injected if all Pods were created in this namespace, such as one with the label of a new
    /// revision; their ServiceAccounts must exist there, too. Nothing is changed.
    #[arg(long, value_name = "NAME")]
    what_if_namespace: Option<DnsLabel>,
}

impl From<WhatIfArgs> for WhatIf {
    fn from(what: WhatIfArgs) -> Self {
        let WhatIfArgs { what_if_label, what_if_annotation, what_if_namespace } = what;
        let labels: BTreeMap<_, _> = what_if_label.into_iter().map(|Label(key, value)| (key, value)).collect();
        let annotations = what_if_annotation.into_iter().map(|Annotation(key, value)| (key, value)).collect();
        Self { labels, annotations, namespace: what_if_namespace.map(|name| Name::from(name.0)) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Label(Name, Name);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Annotation(Name, Name);

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = pair(text, "istio.io/rev=canary")?;
        if !is_label_value(value) {
            return Err(format!("the value of a label has {NAME}"));
        }
        Ok(Self(key.into(), value.into()))
    }
}

impl FromStr for Annotation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        pair(text, "sidecar.istio.io/inject=true").map(|(key, value)| Self(key.into(), value.into()))
    }
}

const NAME: &str = "at most 63 letters, digits, `-`, `_` and `.`, the first and the last a letter or digit";

fn pair<'t>(text: &'t str, example: &str) -> Result<(&'t str, &'t str), String> {
    let (key, value) = text.split_once('=').ok_or(format!("KEY=VALUE is wanted, such as `{example}`"))?;
    if is_key(key) {
        return Ok((key, value));
    }
    Err(format!("a key has {NAME}, after an optional domain and `/`"))
}
