//! The owners' say: annotations on a workload or its Namespace. They can only restrict, never widen.

use std::collections::BTreeMap;

use super::{policy::Mode, shape::Name};

/// What the annotations of a workload and its Namespace say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// The most restrictive mode that either names; `enforce` if neither does.
    pub mode: Mode,
    /// Each bad value: where, what is wrong and what would be right.
    pub bad: Vec<String>,
}

/// Reads the `sidecar-drift/…` annotations (prefix removed) of a workload and of its Namespace.
pub fn says(workload: &BTreeMap<Name, Name>, namespace: Option<&BTreeMap<Name, Name>>) -> Says {
    let mut says = Says { mode: Mode::Enforce, bad: Vec::new() };
    let sources = [("the workload", Some(workload)), ("its Namespace", namespace)];
    for (place, annotations) in sources.into_iter().filter_map(|(place, a)| Some((place, a?))) {
        for (key, value) in annotations {
            // Words that a later version of ours understands are no mistake of the owner's.
            if &**key != "mode" {
                continue;
            }
            match &**value {
                "ignore" => says.mode = says.mode.min(Mode::Ignore),
                "report" => says.mode = says.mode.min(Mode::Report),
                "enforce" => {}
                other => says.bad.push(format!(
                    "annotation sidecar-drift/mode on {place} is {other:?}; it can be \"ignore\", \"report\" or \"enforce\""
                )),
            }
        }
    }
    says
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(mode: &str) -> BTreeMap<Name, Name> {
        BTreeMap::from([("mode".into(), mode.into())])
    }

    #[test]
    fn the_more_restrictive_of_workload_and_namespace_holds() {
        let none = BTreeMap::new();
        for (workload, namespace, mode) in [
            (none.clone(), None, Mode::Enforce),
            (map("enforce"), Some(map("report")), Mode::Report),
            (map("ignore"), Some(map("enforce")), Mode::Ignore),
            (map("report"), Some(map("ignore")), Mode::Ignore),
        ] {
            assert_eq!(says(&workload, namespace.as_ref()), Says { mode, bad: vec![] });
        }
    }

    #[test]
    fn a_bad_value_is_named_with_its_place_and_what_would_be_right() {
        let found = says(&map("Report"), Some(&map("off")));
        assert_eq!(found.bad.len(), 2);
        assert_eq!(
            found.bad[0],
            r#"annotation sidecar-drift/mode on the workload is "Report"; it can be "ignore", "report" or "enforce""#
        );
    }
}
