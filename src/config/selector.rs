//! Values that choose workloads: globs, label selectors, annotations, a point in time.

use std::str::FromStr;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::values::read_as_text;
use crate::core::{
    config::AnnotationMatch,
    model::{Glob, Operator, Requirement, Selector},
};

read_as_text!(NamespaceGlob, LabelSelector, AnnotationSelector, Time);

/// The name of a namespace in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespaceGlob(pub Glob);

impl FromStr for NamespaceGlob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '*' | '?');
        if text.is_empty() || text.len() > 63 || !text.chars().all(known) {
            return Err("the name of a namespace is wanted, in which `*` may stand for any letters and `?` for one, \
                        such as `shop` or `team-*`"
                .to_owned());
        }
        Ok(Self(Glob::new(text)))
    }
}

/// A label selector as `kubectl -l` takes it: `app=web,tier!=db,zone in (a,b),!legacy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector(pub Selector);

impl FromStr for LabelSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("a selector is wanted, such as `app=web` or `tier in (a,b),!legacy`".to_owned());
        }
        let parts = outside_parentheses(text)?;
        let requirements = parts.into_iter().map(|part| requirement(part.trim())).collect::<Result<_, _>>()?;
        Ok(Self(Selector { requirements }))
    }
}

/// Splits at the commas that are not inside parentheses.
fn outside_parentheses(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut begin, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' if inside => return Err("parentheses in parentheses mean nothing in a selector".to_owned()),
            '(' => inside = true,
            ')' if !inside => return Err("a parenthesis is closed that was not opened".to_owned()),
            ')' => inside = false,
            ',' if !inside => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err("a parenthesis is not closed".to_owned());
    }
    parts.push(&text[begin..]);
    Ok(parts)
}

/// What would be right.
const EXAMPLES: &str = "a selector is written like `app=web`, `tier in (a,b)` or `!legacy`";

fn requirement(text: &str) -> Result<Requirement, String> {
    let made = |key: &str, operator, values: Vec<&str>| {
        if key.is_empty() {
            return Err(format!("the name of a label is missing; {EXAMPLES}"));
        }
        if !is_key(key) {
            return Err(format!("`{key}` cannot be the name of a label; {EXAMPLES}"));
        }
        if let Some(value) = values.iter().find(|value| !is_label_value(value)) {
            return Err(format!("`{value}` cannot be the value of a label; {EXAMPLES}"));
        }
        Ok(Requirement { key: key.into(), operator, values: values.into_iter().map(Into::into).collect() })
    };
    if let Some((before, list)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let values = list.split(',').map(str::trim).collect();
        let mut words = before.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => made(key, Operator::In, values),
            (Some(key), Some("notin"), None) => made(key, Operator::NotIn, values),
            _ => Err(format!("`{text}` is written like `tier in (a,b)` or `tier notin (a,b)`")),
        };
    }
    if let Some((key, value)) = text.split_once("!=") {
        return made(key.trim(), Operator::NotIn, vec![value.trim()]);
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return made(key.trim(), Operator::In, vec![value.trim()]);
    }
    match text.strip_prefix('!') {
        Some(key) => made(key.trim(), Operator::DoesNotExist, vec![]),
        None => made(text, Operator::Exists, vec![]),
    }
}

/// `name` or `example.com/name`, as labels and annotations are called.
pub fn is_key(text: &str) -> bool {
    let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-');
    let domain_fits = domain.is_none_or(|domain| domain.len() <= 253 && domain.split('.').all(is_label));
    domain_fits && !name.is_empty() && is_label_value(name)
}

/// What the value of a label can be: at most 63 letters, digits, `-`, `_` and `.`, the first and the last a letter or digit;
/// or nothing.
pub fn is_label_value(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.chars().all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
        && text.starts_with(edge) != text.is_empty()
        && text.ends_with(edge) != text.is_empty()
}

/// An annotation, with any value or with this one: `example.com/team` or `example.com/team=a`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnnotationSelector(pub AnnotationMatch);

impl FromStr for AnnotationSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
        // The API server reads the name of an annotation without regard to case, and so keeps it as it was written.
        if !is_key(&key.to_ascii_lowercase()) {
            return Err("an annotation is wanted, such as `example.com/team` or `example.com/team=a`".to_owned());
        }
        Ok(Self(AnnotationMatch { key: key.into(), value: value.map(Into::into) }))
    }
}

/// A point in time: `2022-05-01 13:00` is in UTC, `2022-05-01T13:00:00+02:00` says itself where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Timestamp);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a time is written like `2022-05-01 13:00` (in UTC) or `2022-05-01T13:00:00+02:00`".to_owned();
        let text = text.trim();
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self(time));
        }
        // A bracket would name a time zone, which would be passed over.
        let local = text.parse::<DateTime>().ok().filter(|_| !text.contains('[')).ok_or_else(wrong)?;
        local.to_zoned(TimeZone::UTC).map(|zoned| Self(zoned.timestamp())).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(text: &str) -> Result<Vec<(String, Operator, Vec<String>)>, String> {
        let Selector { requirements } = text.parse::<LabelSelector>()?.0;
        let plain =
            |r: Requirement| (r.key.to_string(), r.operator, r.values.iter().map(ToString::to_string).collect());
        Ok(requirements.into_iter().map(plain).collect())
    }

    #[test]
    fn selectors_are_read_as_kubectl_does() {
        let one = |key: &str, operator, values: &[&str]| {
            (key.to_owned(), operator, values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>())
        };
        let expected = vec![
            one("app", Operator::In, &["web"]),
            one("tier", Operator::In, &["a"]),
            one("env", Operator::NotIn, &["prod"]),
            one("example.com/zone", Operator::In, &["a", "b"]),
            one("x", Operator::NotIn, &["y"]),
            one("there", Operator::Exists, &[]),
            one("legacy", Operator::DoesNotExist, &[]),
            one("empty", Operator::In, &[""]),
        ];
        let text = "app=web, tier == a,env!=prod,example.com/zone in (a, b),x notin (y),there,!legacy,empty=";
        assert_eq!(selector(text), Ok(expected));
        for text in ["", " ", "a=b,", "a in b", "a in (b", "a)", "a in ((b))", "a of (b)", "-a", "a=b c", "a=-b", "!"] {
            assert!(selector(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_in_utc() {
        for (text, time) in [
            ("2022-05-01 13:00", "2022-05-01T13:00:00Z"),
            ("2022-05-01T13:00:30", "2022-05-01T13:00:30Z"),
            ("2022-05-01", "2022-05-01T00:00:00Z"),
            ("2022-05-01T13:00:00+02:00", "2022-05-01T11:00:00Z"),
            ("2022-05-01T13:00Z", "2022-05-01T13:00:00Z"),
        ] {
            assert_eq!(text.parse(), Ok(Time(time.parse().unwrap())), "{text}");
        }
        for text in ["", "yesterday", "13:00", "2022-05-01 25:00", "2022-13-01", "2022-05-01 13:00[Europe/Oslo]"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_annotation_may_have_a_value_with_anything_in_it() {
        let read = |text: &str| text.parse::<AnnotationSelector>().map(|choice| choice.0);
        assert_eq!(read("a/b"), Ok(AnnotationMatch { key: "a/b".into(), value: None }));
        assert_eq!(read("a/b=c=d, e"), Ok(AnnotationMatch { key: "a/b".into(), value: Some("c=d, e".into()) }));
        for text in ["", "=a", "a b", "a/b/c", "/a", "-a"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
