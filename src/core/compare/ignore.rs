//! What a site knows better: fields that are left out of the comparison by its configuration.
//!
//! A rule is applied to what was found, not to what is looked at, so that each use of it can be counted and shown.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{
    difference::{Comparison, FieldChange},
    identity::NameMap,
    redacted_pointer,
};
use crate::core::model::{Glob, words::Difference};

/// One rule: fields of sidecars that never make drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreRule {
    /// Which sidecars, by name.
    pub sidecar: Glob,
    /// Which fields of them.
    pub what: Ignored,
}

/// The fields that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// By their path: `args/3`, `resources`, `env/PROXY_CONFIG/value/concurrency`. What is below is meant, too. An element of
    /// a list is named by the member that identifies it: `env/VAULT/value/template/[destination=/etc/tls]`.
    Field(Glob),
    /// Environment variables by their name.
    Env(Glob),
}

/// `env DD_* of istio-proxy`
impl fmt::Display for IgnoreRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Ignored::Field(field) => write!(f, "field {field} of {}", self.sidecar),
            Ignored::Env(env) => write!(f, "env {env} of {}", self.sidecar),
        }
    }
}

impl Ignored {
    /// Fields by a pattern for their paths, as a person writes it; or the part of it that names an element of a list by a place,
    /// which another element may have next.
    pub fn field(pattern: &str) -> Result<Self, &str> {
        match redacted_pointer::by_place(pattern) {
            Some(part) => Err(part),
            None => Ok(Self::Field(Glob::new(&redacted_pointer::pattern(pattern)))),
        }
    }
}

impl IgnoreRule {
    /// Whether a field of this sidecar, by its pointer within the projection, is left out.
    pub fn covers(&self, sidecar: &str, pointer: &str) -> bool {
        let path = pointer.strip_prefix('/').unwrap_or(pointer);
        let begins = |path: &str, field: &Glob| {
            let ends = path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at).chain([path.len()]);
            ends.filter_map(|end| path.get(..end)).any(|begin| field.matches(begin))
        };
        self.sidecar.matches(sidecar)
            && match &self.what {
                Ignored::Field(field) => {
                    // `[name *]` stands for whichever element it is.
                    let any = || redacted_pointer::of_any_element(path).is_some_and(|path| begins(&path, field));
                    begins(path, field) || any()
                }
                Ignored::Env(env) => {
                    let name = path.strip_prefix("env/").map(|rest| rest.split('/').next().unwrap_or_default());
                    name.is_some_and(|name| env.matches(&name.replace("~1", "/").replace("~0", "~")))
                }
            }
    }
}

/// One use of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IgnoreUse {
    /// The rule's place in the configuration, from 1 on.
    pub rule: usize,
    /// What was left out, as `container/pointer`.
    pub field: String,
}

/// Takes out of what was found what the rules leave out, and returns the uses. The pointers of what was found still hold
/// values, those of the uses do not.
pub(super) fn leave_out(
    rules: &[IgnoreRule],
    found: &mut Comparison,
    names: Option<&NameMap<'_>>,
) -> BTreeSet<IgnoreUse> {
    let mut uses = BTreeSet::new();
    if rules.is_empty() {
        return uses;
    }
    for difference in &mut found.differences {
        // A whole sidecar that is missing or too many is no field.
        if matches!(difference.difference, Difference::Missing | Difference::Removed) {
            continue;
        }
        let sidecar = &difference.sidecar;
        difference.fields.retain(|FieldChange { pointer, .. }| {
            let Some(rule) = rules.iter().position(|rule| rule.covers(sidecar, pointer)) else { return true };
            uses.insert(IgnoreUse {
                rule: rule + 1,
                field: format!("{sidecar}{}", redacted_pointer::shown(pointer, names.and_then(NameMap::pod))),
            });
            false
        });
    }
    let whole = |difference| matches!(difference, Difference::Missing | Difference::Removed);
    found.differences.retain(|d| whole(d.difference) || !d.fields.is_empty());
    uses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::compare::SidecarDifference;

    fn rule(sidecar: &str, what: Ignored) -> IgnoreRule {
        IgnoreRule { sidecar: Glob::new(sidecar), what }
    }

    #[test]
    fn a_glob_matches_the_whole_text() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything/at all", true),
            ("istio-proxy", "istio-proxy", true),
            ("istio-*", "istio-proxy", true),
            ("istio-*", "istio", false),
            ("*proxy", "istio-proxy", true),
            ("*proxy", "istio-proxy-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("?d", "ad", true),
            ("?d", "d", false),
            ("a?", "a", false),
            ("**", "a", true),
            ("*a", "aaab", false),
            ("é?", "éß", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_rule_is_shown_as_it_is_meant() {
        assert_eq!(rule("istio-*", Ignored::Env(Glob::new("DD_*"))).to_string(), "env DD_* of istio-*");
        assert_eq!(rule("p", Ignored::Field(Glob::new("args/3"))).to_string(), "field args/3 of p");
    }

    #[test]
    fn a_field_covers_what_is_below_it_and_nothing_beside() {
        let covers = |field: &str, pointer: &str| rule("p", Ignored::Field(Glob::new(field))).covers("p", pointer);
        assert!(covers("resources", "/resources/limits/cpu"));
        assert!(covers("resources/*/cpu", "/resources/limits/cpu"));
        assert!(!covers("resources/limits/cpu", "/resources/limits"));
        assert!(!covers("args/1", "/args/10"));
        assert!(covers("args/*", "/args/10"));
        assert!(covers("image", "/image"));
        assert!(!covers("image", "/imagePullPolicy"));
        assert!(!rule("other", Ignored::Field(Glob::new("*"))).covers("p", "/image"));
    }

    #[test]
    fn an_environment_variable_is_meant_by_its_name() {
        let covers = |env: &str, pointer: &str| rule("*", Ignored::Env(Glob::new(env))).covers("p", pointer);
        assert!(covers("DD_*", "/env/DD_TAGS/value"));
        assert!(covers("DD_TAGS", "/env/DD_TAGS/valueFrom/fieldRef/fieldPath"));
        assert!(!covers("DD_TAGS", "/env/DD_TAGS_2/value"));
        assert!(!covers("*", "/args/0"));
        assert!(!covers("*", "/envFrom/0/configMapRef/name"));
        assert!(covers("a/b", "/env/a~1b/value"));
    }

    #[test]
    fn what_is_left_out_is_counted_and_a_missing_sidecar_is_not_left_out() {
        let field =
            |pointer: &str| FieldChange { pointer: pointer.to_owned(), plain: None, running: None, rendered: None };
        let difference = |sidecar: &str, difference, fields: &[&str]| SidecarDifference {
            sidecar: sidecar.into(),
            difference,
            fields: fields.iter().map(|pointer| field(pointer)).collect(),
        };
        let mut found = Comparison {
            differences: vec![
                difference("a", Difference::Changed, &["/env/X/value", "/image"]),
                difference("b", Difference::Changed, &["/env/X/value"]),
                difference("c", Difference::Missing, &[]),
            ],
            collateral: vec![field("/app/env/X/value")],
        };
        let rules = [rule("*", Ignored::Field(Glob::new("nothing"))), rule("*", Ignored::Env(Glob::new("X")))];
        let uses = leave_out(&rules, &mut found, None);
        let shown: Vec<_> = uses.iter().map(|u| (u.rule, u.field.as_str())).collect();
        assert_eq!(shown, [(2, "a/env/X/value"), (2, "b/env/X/value")]);
        let left: Vec<_> = found.differences.iter().map(|d| (&*d.sidecar, d.fields.len())).collect();
        assert_eq!(left, [("a", 1), ("c", 0)]);
        assert_eq!(found.collateral.len(), 1, "an app container is no sidecar");
        assert!(leave_out(&[], &mut found, None).is_empty());
    }
}
