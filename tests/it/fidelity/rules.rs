//! Each rule of `docs/fidelity.md` has a test, and each test that it names is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// All Rust files of a directory, however deep.
fn sources(directory: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, out);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            out.push(entry);
        }
    }
}

/// The names of all functions that are tests by what stands before them.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "tests"] {
        sources(&root.join(directory), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).expect("a source");
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line.contains("#[test]") || line.contains("#[tokio::test") {
                marked = true;
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
                names.insert(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
                marked = false;
            } else if !line.starts_with("#[") && !line.is_empty() {
                marked = false;
            }
        }
    }
    names
}

/// A row's rule and the tests that it names.
fn rows(page: &str) -> Vec<(String, Vec<String>)> {
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("| **")?.split(" | ").collect();
        let rule = cells.first()?.split("**").next()?.to_owned();
        let named = cells.last()?.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some((rule, named))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn each_rule_is_held_by_a_test_that_is_there_and_bears_its_name() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fidelity.md")).expect("the page");
    let (tests, rows) = (tests(), rows(&page));
    let wanted = (1..=12).map(|n| format!("R{n}")).chain((1..=14).map(|n| format!("C{n}")));
    assert_eq!(rows.iter().map(|(rule, _)| rule.clone()).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    for (rule, named) in rows {
        assert!(!named.is_empty(), "{rule} has no test");
        for name in named {
            assert!(tests.contains(&name), "{rule}: there is no test {name}");
            let parts: Vec<_> = name.split('_').take_while(|part| part.len() < 4).collect();
            assert!(parts.contains(&&*rule.to_lowercase()), "{name} does not begin with {rule}");
        }
    }
}

#[test]
fn a_row_without_a_test_or_with_one_that_is_not_there_would_be_found() {
    let rows = rows("| rule | x |\n| **R1** some | a | b | `r1_a`, `r1_b` |\n| **C2** none | a | b | nothing |\n");
    assert_eq!(rows[0], ("R1".to_owned(), vec!["r1_a".to_owned(), "r1_b".to_owned()]));
    assert_eq!(rows[1], ("C2".to_owned(), Vec::new()));
    assert!(tests().contains("a_row_without_a_test_or_with_one_that_is_not_there_would_be_found"));
    assert!(!tests().contains("rows"));
}
