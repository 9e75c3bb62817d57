//! Pointers as they may be shown.
//!
//! An element of a list inside a structured value is told apart by one of its own values (`[destination=/etc/tls]`), and
//! any value of the environment may be a secret. Whatever leaves the comparison has a number in its place:
//! `/env/CONFIG/value/template/[destination 2]/contents`.

use std::collections::{BTreeMap, BTreeSet};

/// Numbers for the elements of the lists in one value, in the order of what tells them apart.
pub(super) struct Shown<'p> {
    elements: BTreeMap<&'p str, BTreeSet<&'p str>>,
}

impl<'p> Shown<'p> {
    /// Of all pointers of the values that are compared, so that equal elements are counted, too.
    pub(super) fn of(pointers: impl Iterator<Item = &'p str>) -> Self {
        let mut elements: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for pointer in pointers {
            for (parent, segment) in steps(pointer).filter(|(_, segment)| member(segment).is_some()) {
                elements.entry(parent).or_default().insert(segment);
            }
        }
        Self { elements }
    }

    /// The pointer as it may be shown.
    pub(super) fn pointer(&self, pointer: &str) -> String {
        let mut out = String::with_capacity(pointer.len());
        for (parent, segment) in steps(pointer) {
            let place = || self.elements.get(parent)?.iter().position(|s| *s == segment);
            let shown = member(segment).map(|member| format!("[{member} {}]", place().unwrap_or_default()));
            out.push('/');
            out.push_str(shown.as_deref().unwrap_or(segment));
        }
        out
    }
}

/// The segments of a pointer, each with all that stands before it. Only in a structured value can an element be.
fn steps(pointer: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut from = 0;
    pointer.split('/').skip(1).map(move |segment| {
        let parent = &pointer[..from];
        from += 1 + segment.len();
        (parent, segment)
    })
}

/// The name in `[name=value]`.
fn member(segment: &str) -> Option<&str> {
    Some(segment.strip_prefix('[')?.strip_suffix(']')?.split_once('=')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_shown_by_its_place_among_those_of_its_own_list() {
        let pointers = [
            "/env/X/value/[name=a]/ports/[port=80]/host",
            "/env/X/value/[name=b]/ports/[port=80]/host",
            "/env/X/value/[name=b]/ports/[port=81]/host",
            "/env/Y/value/one/[name=a]",
            "/env/Y/value/two/[name=b]",
            "/args/0",
        ];
        let shown = Shown::of(pointers.into_iter());
        assert_eq!(
            pointers.map(|pointer| shown.pointer(pointer)),
            [
                "/env/X/value/[name 0]/ports/[port 0]/host",
                "/env/X/value/[name 1]/ports/[port 0]/host",
                "/env/X/value/[name 1]/ports/[port 1]/host",
                "/env/Y/value/one/[name 0]",
                "/env/Y/value/two/[name 0]",
                "/args/0",
            ]
        );
    }
}
