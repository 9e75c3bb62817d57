//! `docs/migrating.md`: every command in it is one that we take.

use std::{fs, path::Path};

use sidecar_drift::cli::Exit;

use super::{Fake, reports};

/// The commands in backquotes or in code blocks, as a shell would split them.
fn commands() -> Vec<Vec<String>> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrating.md")).unwrap();
    let quoted = page.split('`').filter(|text| text.starts_with("sidecar-drift "));
    let blocks = page.lines().filter(|line| line.starts_with("sidecar-drift "));
    let mut found: Vec<String> = quoted.chain(blocks).map(|text| text.trim().to_owned()).collect();
    found.sort();
    found.dedup();
    found.iter().map(|line| words(line)).collect()
}

fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in line.chars() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            (' ', None) => words.push(String::new()),
            (c, _) => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn migrating_every_command_of_the_page_is_taken() {
    let commands = commands();
    assert!(commands.len() >= 16, "only {} were found", commands.len());
    for command in commands {
        let ran = Fake::new(reports::empty()).words(&command, None);
        if command.contains(&"--interactive".to_owned()) {
            // It would ask somebody who is not there; `terminal` has one who is.
            assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0), "{command:?}: {}", ran.err);
            assert!(ran.err.contains("`--interactive` needs a terminal"), "{}", ran.err);
            continue;
        }
        assert_eq!((ran.exit, ran.asked.len()), (Exit::Ok, 1), "{command:?}: {}", ran.err);
    }
}
