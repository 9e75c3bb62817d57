//! Pointers as they may be shown, and as people write them.
//!
//! An element of a list inside a structured value is told apart by one of its own values (`[destination=/etc/tls]`), and
//! any value of the environment may be a secret. Whatever leaves the comparison has a tag in its place:
//! `/env/CONFIG/value/template/[destination #3f2]/contents`. The tag follows from the value alone, so that it names the
//! same element after others came or went; and it is too short to try values against: one value in 4096 has it.

use std::borrow::Cow;

use crate::core::model::{canonical::whole_word, fingerprint::sha256_hex};

/// Hex digits of a tag.
const TAG: usize = 3;
/// Lists whose elements have no member that names them.
pub(super) const LISTS: [&str; 4] = ["args", "command", "envFrom", "ports"];
/// In the place of the name of the Pod, which no tag depends on (rule R3).
const ANY_POD: &str = "(pod)";

/// A segment of a pointer (RFC 6901).
pub(super) fn escaped(segment: &str) -> Cow<'_, str> {
    if segment.contains(['~', '/']) { segment.replace('~', "~0").replace('/', "~1").into() } else { segment.into() }
}

/// The pointer as it may be shown. `pod`: the name of the running Pod, where it may be part of a pointer.
pub(super) fn shown(pointer: &str, pod: Option<&str>) -> String {
    let mut out = String::with_capacity(pointer.len());
    for segment in pointer.split('/').skip(1) {
        out.push('/');
        match element(segment) {
            Some((member, value)) => {
                let value = pod.map_or(Cow::Borrowed(value), |pod| whole_word::replace(value, pod, ANY_POD));
                let hash = sha256_hex(value.as_bytes());
                let tag = hash.get(..TAG).unwrap_or_default();
                out.extend(["[", member, " #", tag, "]"]);
            }
            None => out.push_str(segment),
        }
    }
    out
}

/// The pointer with no word on which element is meant: `/env/PEERS/value/[name ]/port`.
pub(super) fn of_any_element(pointer: &str) -> Option<String> {
    let any = |segment| element(segment).map_or_else(|| segment.to_owned(), |(member, _)| format!("[{member} ]"));
    pointer.contains('[').then(|| pointer.split('/').map(any).collect::<Vec<_>>().join("/"))
}

/// Whether a pointer that was written down speaks of this one, too. A record of an earlier version names an element by its
/// place (`[name 1]`), which may have become another's: it speaks of every element of that list.
pub fn speaks_of(written: &str, shown: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let same = |(written, shown): (&str, &str)| {
        written == shown
            || (number(written) && inner(shown).is_some_and(|member| !member.contains(" #")))
            || place(written).zip(tagged(shown)).is_some_and(|((member, _), of)| member == of && !member.is_empty())
    };
    written == shown
        || (written.split('/').count() == shown.split('/').count()
            && written.split('/').zip(shown.split('/')).all(same))
}

/// A pattern for pointers, as a person writes it, with the value of an element as pointers have it: `[path=/etc/tls]` holds no
/// separator.
pub(super) fn pattern(written: &str) -> String {
    let mut out = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, inside)) = rest.split_once('[') {
        out.push_str(before);
        out.push('[');
        rest = inside;
        let ends = |at: &usize| inside.get(at + 1..).is_some_and(|behind| behind.is_empty() || behind.starts_with('/'));
        let end = inside.match_indices(']').map(|(at, _)| at).find(ends);
        let at_start = before.is_empty() || before.ends_with('/');
        let Some((inner, behind)) = end.filter(|_| at_start).and_then(|end| inside.split_at_checked(end)) else {
            continue;
        };
        match inner.split_once('=') {
            Some((member, value)) => {
                let plain = value.replace("~1", "/").replace("~0", "~");
                out.extend([member, "=", &escaped(&plain)]);
            }
            None => out.push_str(inner),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// The first part of a pattern that names an element by its place among others, or by its tag, and not by what it is.
pub(super) fn by_place(pattern: &str) -> Option<&str> {
    let by_place = |segment: &&str| place(segment).is_some() || tagged(segment).is_some();
    let mut segments = pattern.split('/');
    let of_list = segments.next().is_some_and(|first| LISTS.contains(&first));
    let number = |segment: &&str| !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit() || b == b'?');
    let in_list = segments.next().filter(|_| of_list).filter(number);
    in_list.or_else(|| pattern.split('/').find(by_place))
}

/// The member and the place in `[name 1]`.
fn place(segment: &str) -> Option<(&str, &str)> {
    let (member, place) = inner(segment)?.rsplit_once(' ')?;
    let digits = !place.is_empty() && place.bytes().all(|b| b.is_ascii_digit() || b == b'?');
    digits.then_some((member, place))
}

/// The member in `[name #3f2]`.
fn tagged(segment: &str) -> Option<&str> {
    let (member, tag) = inner(segment)?.rsplit_once(" #")?;
    (tag.len() == TAG && tag.bytes().all(|b| b.is_ascii_hexdigit())).then_some(member)
}

/// The name and the value in `[name=value]`.
fn element(segment: &str) -> Option<(&str, &str)> {
    inner(segment)?.split_once('=')
}

fn inner(segment: &str) -> Option<&str> {
    segment.strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_has_the_same_tag_whatever_stands_beside_it() {
        let (a, b) = (shown("/env/X/value/[name=a]/port", None), shown("/env/X/value/[name=b]/port", None));
        assert_eq!(a, "/env/X/value/[name #ca9]/port");
        assert_eq!(b, "/env/X/value/[name #3e2]/port");
        assert_eq!(shown("/args/0", None), "/args/0");
        assert_eq!(
            shown("/env/X/value/[name=a]/ports/[port=80]/host", None),
            "/env/X/value/[name #ca9]/ports/[port #484]/host"
        );
    }

    #[test]
    fn an_element_that_is_called_like_its_pod_has_the_same_tag_in_every_pod() {
        let of = |running| shown(&format!("/env/X/value/[name={running}]/port"), Some(running));
        assert_eq!(of("db-0"), of("db-1"));
        assert_ne!(of("db-0"), shown("/env/X/value/[name=db-0]/port", None));
    }

    #[test]
    fn what_an_earlier_version_wrote_down_speaks_of_every_element_of_its_list() {
        let found = "proxy/env/X/value/[name #3e2]/port";
        for (written, speaks) in [
            (found, true),
            ("proxy/env/X/value/[name 0]/port", true),
            ("proxy/env/X/value/[name 17]/port", true),
            ("proxy/env/X/value/[name #ca9]/port", false),
            ("proxy/env/X/value/[port 0]/port", false),
            ("proxy/env/X/value/[name 0]/host", false),
            ("proxy/env/Y/value/[name 0]/port", false),
            ("proxy/env/X/value/[name 0]", false),
            ("proxy/env/X/value", false),
        ] {
            assert_eq!(speaks_of(written, found), speaks, "{written}");
        }
        assert!(!speaks_of("proxy/args/0", "proxy/args/1"));
        assert!(speaks_of("proxy/args/0", "proxy/args/[--nonce]"), "of an earlier version");
        assert!(!speaks_of("proxy/args/[--level]", "proxy/args/[--nonce]"));
    }

    #[test]
    fn a_pattern_may_hold_the_value_as_it_is_or_escaped() {
        assert_eq!(pattern("env/X/value/[path=/etc/tls]/at"), "env/X/value/[path=~1etc~1tls]/at");
        assert_eq!(pattern("env/X/value/[path=~1etc~1tls]/at"), "env/X/value/[path=~1etc~1tls]/at");
        assert_eq!(pattern("env/X/value/[path=*]"), "env/X/value/[path=*]");
        assert_eq!(pattern("env/X/value/[name=a]b]/at"), "env/X/value/[name=a]b]/at");
        for same in ["args/3", "*", "env/A[0]/value", "env/X/[", "env/X/value/[name *]/at"] {
            assert_eq!(pattern(same), same);
        }
    }

    #[test]
    fn a_pattern_by_place_is_told_from_one_by_value() {
        assert_eq!(by_place("env/X/value/[name 1]/at"), Some("[name 1]"));
        assert_eq!(by_place("env/X/value/[name ?]/at"), Some("[name ?]"));
        assert_eq!(by_place("env/X/value/[name #3e2]/at"), Some("[name #3e2]"));
        assert_eq!(by_place("args/1"), Some("1"));
        assert_eq!(by_place("ports/?/containerPort"), Some("?"));
        for fine in ["env/X/value/[name=1]/at", "env/X/value/[name *]/at", "args", "args/*", "env/X/value/0/at", "*"] {
            assert_eq!(by_place(fine), None, "{fine}");
        }
    }
}
