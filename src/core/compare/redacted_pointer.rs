//! Pointers as they may be shown, and as people write them.
//!
//! What a value of the environment is made of is a value, too: a member can be called by a key (`{"sk-live-1":"admin"}`), and an
//! element of a list is told apart by one of its own values (`[password=hunter2]`). Whatever leaves the comparison has
//! a tag in the place of each: `/env/CONFIG/value/#5cd/#3f2`. Only what the Kubernetes API itself defines stays, and names of
//! variables. The tag follows from the segment alone, so that it names the same member after others came or went; and it
//! is too short to try values against: one in 4096 has it.

use std::borrow::Cow;

use crate::core::model::{canonical::whole_word, fingerprint::sha256_hex};

/// Hex digits of a tag.
const TAG: usize = 3;
/// Lists whose elements have no member that names them.
pub(super) const LISTS: [&str; 4] = ["args", "command", "envFrom", "ports"];
/// In the place of the name of the Pod, which no tag depends on (rule R3).
const ANY_POD: &str = "(pod)";
/// What stands in the place of a segment that a recording hides begins with this, and with its tag.
const HIDDEN: &str = "<#";

/// A segment of a pointer (RFC 6901).
pub(super) fn escaped(segment: &str) -> Cow<'_, str> {
    if segment.contains(['~', '/']) { segment.replace('~', "~0").replace('/', "~1").into() } else { segment.into() }
}

/// The pointer as it may be shown, of a field of a container. `pod`: the name of the running Pod, where it may be part of a
/// pointer.
pub(super) fn shown(pointer: &str, pod: Option<&str>) -> String {
    let mut out = String::with_capacity(pointer.len());
    let all: Vec<&str> = pointer.split('/').skip(1).collect();
    for (at, segment) in all.iter().enumerate() {
        out.push('/');
        if is_value(&all, at) {
            out.push_str(&tag(segment, pod));
        } else {
            out.push_str(segment);
        }
    }
    out
}

/// The pointer with the Pod's name left out, for who may see values; `None`: it is as it is shown.
pub(super) fn plain(pointer: &str, shown: &str, pod: Option<&str>) -> Option<String> {
    let plain = || pod.map_or(Cow::Borrowed(pointer), |pod| whole_word::replace(pointer, pod, ANY_POD)).into_owned();
    (pointer != shown).then(plain)
}

/// Whether a segment was written by whoever wrote the value, and not by the Kubernetes API.
fn is_value(segments: &[&str], at: usize) -> bool {
    match segments {
        ["env", _, "value", ..] => at > 2,
        // These are told apart by their paths.
        ["volumeMounts" | "volumeDevices", ..] => at == 1,
        _ => false,
    }
}

/// What stands for a segment: `#3f2`.
pub(super) fn tag(segment: &str, pod: Option<&str>) -> String {
    if let Some((tag, _)) = segment.strip_prefix(HIDDEN).and_then(|rest| rest.split_at_checked(TAG)) {
        return format!("#{tag}");
    }
    let value = pod.map_or(Cow::Borrowed(segment), |pod| whole_word::replace(segment, pod, ANY_POD));
    format!("#{}", sha256_hex(value.as_bytes()).get(..TAG).unwrap_or_default())
}

/// What stands for a member in a recording that hides it: `hash` tells it apart, and its tag is the same.
pub fn hidden_member(member: &str, pod: Option<&str>, hash: &str) -> String {
    format!("<{}>{hash}", tag(&escaped(member), pod))
}

/// The pointer with no word on which element is meant: `/env/PEERS/value/[name ]/port`.
pub(super) fn of_any_element(pointer: &str) -> Option<String> {
    let any = |segment| element(segment).map_or_else(|| segment.to_owned(), |(member, _)| format!("[{member} ]"));
    pointer.contains('[').then(|| pointer.split('/').map(any).collect::<Vec<_>>().join("/"))
}

/// Whether a pointer that was written down speaks of this one, too. A record of an earlier version names members by what
/// they are called, or by a place that may have become another's: it speaks of the whole value.
pub fn speaks_of(written: &str, shown: &str) -> bool {
    let of_value = || {
        let (written, below) = written.split_once("/value/")?;
        let (shown, _) = shown.split_once("/value/")?;
        Some(written == shown && !below.split('/').all(is_tag))
    };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let of_argument = || {
        let ((written, place), (shown, named)) = (written.rsplit_once('/')?, shown.rsplit_once('/')?);
        Some(written == shown && number(place) && inner(named).is_some())
    };
    written == shown || of_value().unwrap_or(false) || of_argument().unwrap_or(false)
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

/// The first part of a pattern that names an element by its place among others, or by a tag, and not by what it is.
pub(super) fn by_place(pattern: &str) -> Option<&str> {
    let mut segments = pattern.split('/');
    let of_list = segments.next().is_some_and(|first| LISTS.contains(&first));
    let number = |segment: &&str| !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit() || b == b'?');
    let in_list = segments.next().filter(|_| of_list).filter(number);
    let by_place = |segment: &&str| {
        let inner = inner(segment).and_then(|inner| inner.rsplit_once(' ')).map(|(_, last)| last);
        is_tag(segment) || inner.is_some_and(|last| number(&last) || is_tag(last))
    };
    in_list.or_else(|| pattern.split('/').find(by_place))
}

fn is_tag(segment: &str) -> bool {
    segment.strip_prefix('#').is_some_and(|tag| tag.len() == TAG && tag.bytes().all(|b| b.is_ascii_hexdigit()))
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
    fn what_a_value_is_made_of_is_a_tag_and_what_the_api_defines_is_not() {
        for (pointer, expected) in [
            ("/env/X/value/[name=a]/port", "/env/X/value/#596/#f8d"),
            ("/env/X/value/[name=b]/port", "/env/X/value/#113/#f8d"),
            ("/env/X/value/[name=a]/ports/[port=80]/host", "/env/X/value/#596/#87a/#7dd/#474"),
            ("/env/value/value", "/env/value/value"),
            ("/env/X/valueFrom/secretKeyRef/name", "/env/X/valueFrom/secretKeyRef/name"),
            ("/env/X/references/A", "/env/X/references/A"),
            ("/args/0", "/args/0"),
            ("/resources/limits/cpu", "/resources/limits/cpu"),
            ("/livenessProbe/exec/command/0", "/livenessProbe/exec/command/0"),
            ("", ""),
        ] {
            assert_eq!(shown(pointer, None), expected);
        }
        assert!(!shown("/volumeMounts/~1etc~1hunter2/name", None).contains("hunter2"));
        assert_eq!(plain("/env/X/value", "/env/X/value", Some("db-0")), None);
        assert_eq!(plain("/env/X/value/db-0", "/env/X/value/#16c", Some("db-0")).unwrap(), "/env/X/value/(pod)");
    }

    #[test]
    fn a_member_that_is_called_like_its_pod_has_the_same_tag_in_every_pod() {
        let of = |running| shown(&format!("/env/X/value/[name={running}]/port"), Some(running));
        assert_eq!(of("db-0"), of("db-1"));
        assert_ne!(of("db-0"), shown("/env/X/value/[name=db-0]/port", None));
    }

    #[test]
    fn what_a_recording_hides_has_the_tag_that_it_had() {
        for member in ["sk-live-1", "[name=a]", "a/b~c", "db-0", ""] {
            let pointer = |member: &str| format!("/env/X/value/{}/port", escaped(member));
            let hidden = hidden_member(member, Some("db-0"), "<0123>");
            assert_eq!(shown(&pointer(&hidden), Some("db-0")), shown(&pointer(member), Some("db-0")), "{member}");
        }
    }

    #[test]
    fn what_an_earlier_version_wrote_down_speaks_of_the_whole_value() {
        let found = "proxy/env/X/value/#113/#f8d";
        for (written, speaks) in [
            (found, true),
            ("proxy/env/X/value/[name 0]/port", true),
            ("proxy/env/X/value/port", true),
            ("proxy/env/X/value/#596/#f8d", false),
            ("proxy/env/X/value/#113", false),
            ("proxy/env/Y/value/[name 0]/port", false),
            ("agent/env/X/value/[name 0]/port", false),
            ("proxy/env/X/value", false),
        ] {
            assert_eq!(speaks_of(written, found), speaks, "{written}");
        }
        assert!(!speaks_of("proxy/args/0", "proxy/args/1"));
        assert!(speaks_of("proxy/args/0", "proxy/args/[#596]"), "of an earlier version");
        assert!(!speaks_of("proxy/args/[#113]", "proxy/args/[#596]"));
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
        assert_eq!(by_place("env/X/value/#3e2/at"), Some("#3e2"));
        assert_eq!(by_place("args/1"), Some("1"));
        assert_eq!(by_place("ports/?/containerPort"), Some("?"));
        for fine in ["env/X/value/[name=1]/at", "env/X/value/[name *]/at", "args", "args/*", "env/X/value/0/at", "*"] {
            assert_eq!(by_place(fine), None, "{fine}");
        }
    }
}
