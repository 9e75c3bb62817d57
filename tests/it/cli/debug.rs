//! `debug bundle`

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use sidecar_drift::cli::Exit;

use super::{Fake, Ran, reports, status::status};
use crate::{
    reading::{
        get, reading,
        secrets::{check, check_for, planted},
    },
    simulator::{injection::SECRET, recordings::recorded},
};

const ANSWERS: [&str; 5] =
    ["/api/v1/status", "/api/v1/plan", "/api/v1/rollouts", "/api/v1/generations", "/api/v1/workloads?limit=500"];

/// A bundle in a new directory below this one; the files' names with their texts.
fn bundle(fake: &Fake, below: &Path, more: &str) -> (Ran, Vec<(String, String)>) {
    let directory = below.join("bundle");
    let ran = fake.command(&format!("debug bundle --directory {} {more}", directory.display()), None);
    let mut files = Vec::new();
    if directory.exists() {
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            files.push((path.file_name().unwrap().display().to_string(), fs::read_to_string(path).unwrap()));
        }
    }
    files.sort();
    (ran, files)
}

fn names(files: &[(String, String)]) -> Vec<&str> {
    files.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn everything_is_there_and_no_secret_in_any_form() {
    let below = tempfile::tempdir().unwrap();
    let router = reading(planted());
    let mut fake = Fake::new(reports::fleet()).with_status(status());
    for path in ANSWERS {
        fake = fake.serving(path, get(&router, path).await.body);
    }
    fake = fake.serving("8080/metrics", "sidecar_drift_leader 1\n".to_owned());
    let settings = below.path().join("settings.yaml");
    fs::write(&settings, "notify-url: https://hooks.test/pl4nted\ncooldown: 12h\n").unwrap();
    let (_kept, recordings) = recorded(3, false).unwrap();
    let more = format!("--config {} --recording {}", settings.display(), recordings[0].display());
    let (ran, files) = bundle(&fake, below.path(), &more);
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Ok, ""));
    assert!(ran.out.trim_end().ends_with("/bundle"), "{}", ran.out);
    assert_eq!(
        names(&files),
        [
            "README.txt",
            "about.json",
            "configuration.json",
            "generations.json",
            "inputs.jsonl",
            "metrics.txt",
            "plan.json",
            "rollouts.json",
            "state.json",
            "status.json",
            "workloads.json",
        ]
    );
    for (name, text) in &files {
        check(name, text);
        check_for(SECRET, name, text);
    }
    let text = |name: &str| &files.iter().find(|(found, _)| found == name).unwrap().1;
    assert!(text("workloads.json").contains("masked "), "the planted values are not even there masked");
    assert!(text("inputs.jsonl").contains("TOKEN"), "nothing of a sidecar is among the inputs");
    assert!(text("configuration.json").contains("43200"), "{}", text("configuration.json"));
    assert!(text("state.json").contains("upgrading"), "{}", text("state.json"));
    assert!(!text("README.txt").contains("is not there"), "{}", text("README.txt"));
}

#[test]
fn what_cannot_be_had_is_said_in_the_bundle() {
    let below = tempfile::tempdir().unwrap();
    let (ran, files) = bundle(&Fake::new(reports::fleet()).with_status(status()), below.path(), "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(names(&files), ["README.txt", "about.json", "state.json"]);
    assert!(
        files[0].1.contains("metrics.txt is not there: nobody serves http://127.0.0.1:8080/metrics"),
        "{}",
        files[0].1
    );
    // And it is never written over.
    let (again, _) = bundle(&Fake::new(reports::fleet()).with_status(status()), below.path(), "");
    assert_eq!(again.exit, Exit::Error);
    assert!(again.err.contains("cannot make the directory"), "{}", again.err);
}

#[test]
fn a_recording_that_keeps_values_and_what_is_none_are_refused_before_anything_is_written() {
    let below = tempfile::tempdir().unwrap();
    let (_kept, plain) = recorded(3, true).unwrap();
    let other = below.path().join("notes.txt");
    fs::write(&other, "buy milk\n").unwrap();
    for (file, why) in [(plain[0].as_path(), "so it may hold secrets"), (&other, "is no recording")] {
        let fake = Fake::new(reports::fleet()).with_status(status());
        let (ran, files) = bundle(&fake, below.path(), &format!("--recording {}", file.display()));
        assert_eq!((ran.exit, files.len()), (Exit::Error, 0));
        assert!(ran.err.contains(why), "{}", ran.err);
    }
}
