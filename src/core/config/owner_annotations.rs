//! The owners' say: annotations on a workload or its Namespace. They can only restrict, never widen.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

use crate::core::{
    config::{
        policy::Mode,
        window::{self, Window},
    },
    model::{Name, quoted::quoted},
};

/// What the annotations of a workload and its Namespace say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerAnnotations {
    /// The most restrictive mode that either names; `enforce` if neither does.
    pub mode: Mode,
    /// One of them says `paused`.
    pub paused: bool,
    /// Known drift is accepted until then; the later one, if both say.
    pub accepted_until: Option<Timestamp>,
    /// The maintenance windows of each of the two that names any; all have to be open.
    pub windows: Vec<Vec<Window>>,
    /// Each bad value: where, what is wrong and what would be right.
    pub bad: Vec<String>,
}

/// Reads the `sidecar-drift/…` annotations (prefix removed) of a workload and of its Namespace.
///
/// An annotation that is not known is as bad as a value that means nothing: somebody wanted to restrict us, and we do not
/// know how.
pub fn read(workload: &BTreeMap<Name, Name>, namespace: Option<&BTreeMap<Name, Name>>) -> OwnerAnnotations {
    let mut said = OwnerAnnotations::default();
    let sources = [("the workload", Some(workload)), ("its Namespace", namespace)];
    for (place, annotations) in sources.into_iter().filter_map(|(place, a)| Some((place, a?))) {
        for (key, value) in annotations {
            if let Err(right) = take(&mut said, key, value) {
                said.bad.push(format!("annotation sidecar-drift/{key} on {place} is {:?}; {right}", quoted(value)));
            }
        }
    }
    said
}

/// Whether the owner of a workload, or of its Namespace, wants it to be left alone altogether.
pub fn ignored(workload: &BTreeMap<Name, Name>, namespace: Option<&BTreeMap<Name, Name>>) -> bool {
    let ignored = |says: &BTreeMap<Name, Name>| says.get("mode").is_some_and(|mode| &**mode == "ignore");
    ignored(workload) || namespace.is_some_and(ignored)
}

/// Takes one annotation in; an error says what would be right.
fn take(said: &mut OwnerAnnotations, key: &str, value: &str) -> Result<(), Cow<'static, str>> {
    match (key, value) {
        ("mode", "ignore") => said.mode = said.mode.min(Mode::Ignore),
        ("mode", "report") => said.mode = said.mode.min(Mode::Report),
        // Why something is accepted is for people.
        ("mode", "enforce") | ("paused", "false") | ("accept-reason", _) => {}
        ("mode", _) => return Err(r#"it can be "ignore", "report" or "enforce""#.into()),
        ("paused", "true") => said.paused = true,
        ("paused", _) => return Err(r#"it can be "true" or "false""#.into()),
        ("accept-until", _) => {
            let until = date(value)
                .ok_or(r#"it can be a date such as "2026-12-31", or a time such as "2026-12-31T18:00:00Z""#)?;
            said.accepted_until = said.accepted_until.max(Some(until));
        }
        ("window", _) => said.windows.push(window::windows(value)?),
        _ => {
            return Err(
                "this version knows only sidecar-drift/mode, /paused, /window, /accept-until and /accept-reason".into(),
            );
        }
    }
    Ok(())
}

impl Default for OwnerAnnotations {
    /// Nothing is said, so nothing is restricted.
    fn default() -> Self {
        Self { mode: Mode::Enforce, paused: false, accepted_until: None, windows: Vec::new(), bad: Vec::new() }
    }
}

/// A time, or the end of a day in UTC.
pub fn date(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let day: Date = text.parse().ok()?;
    let next = day.checked_add(1.day()).ok()?;
    Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(key: &str, value: &str) -> BTreeMap<Name, Name> {
        BTreeMap::from([(key.into(), value.into())])
    }

    #[test]
    fn the_more_restrictive_of_workload_and_namespace_holds() {
        let none = BTreeMap::new();
        for (workload, namespace, mode) in [
            (none.clone(), None, Mode::Enforce),
            (map("mode", "enforce"), Some(map("mode", "report")), Mode::Report),
            (map("mode", "ignore"), Some(map("mode", "enforce")), Mode::Ignore),
            (map("mode", "report"), Some(map("mode", "ignore")), Mode::Ignore),
        ] {
            let found = read(&workload, namespace.as_ref());
            assert_eq!((found.mode, found.bad), (mode, vec![]));
        }
        assert!(read(&map("paused", "false"), Some(&map("paused", "true"))).paused);
        assert!(!read(&map("paused", "false"), None).paused);
    }

    #[test]
    fn drift_is_accepted_to_the_end_of_a_day_or_to_a_time() {
        let until = |text: &str| read(&map("accept-until", text), None).accepted_until.map(|t| t.to_string());
        assert_eq!(until("2026-12-31").as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!(until("2026-12-31T18:00:00+01:00").as_deref(), Some("2026-12-31T17:00:00Z"));
        let both = read(&map("accept-until", "2026-01-01"), Some(&map("accept-until", "2026-02-01")));
        assert_eq!(both.accepted_until.map(|t| t.to_string()).as_deref(), Some("2026-02-02T00:00:00Z"));
    }

    #[test]
    fn a_bad_value_is_named_with_its_place_and_what_would_be_right() {
        let bad = |key: &str, value: &str| read(&map(key, value), None).bad.concat();
        assert_eq!(
            bad("mode", "Report"),
            r#"annotation sidecar-drift/mode on the workload is "Report"; it can be "ignore", "report" or "enforce""#
        );
        for (key, value) in
            [("paused", "yes"), ("accept-until", "soon"), ("accept-until", "2026-13-01"), ("mod", "ignore")]
        {
            assert!(bad(key, value).contains("on the workload is"), "{key}: {value}");
        }
        let namespace = read(&BTreeMap::new(), Some(&map("windows", "Sat"))).bad.concat();
        assert!(namespace.contains("on its Namespace") && namespace.contains("this version knows only"), "{namespace}");
    }

    #[test]
    fn windows_of_both_are_kept_apart() {
        let (night, day) = (map("window", "22:00-04:00 UTC; Sat 00:00-24:00 UTC"), map("window", "06:00-07:00 UTC"));
        let found = read(&night, Some(&day));
        assert_eq!(found.windows.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        let bad = read(&map("window", "Sat 22:00-04:00 Mars"), None).bad.concat();
        assert!(bad.contains("on the workload") && bad.contains("`Mars` is no time zone"), "{bad}");
    }
}
