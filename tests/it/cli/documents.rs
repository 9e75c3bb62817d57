//! The reference pages in `docs/`: made from the code, or checked against it.
//!
//! `UPDATE_DOCS=1 cargo test --test it documents` writes them anew.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use serde_json::Value;
use sidecar_drift::{
    cli::{self, Exit},
    config::NAMES,
    core::model::{
        owner::{Kind, Restart},
        words::{Difference, Gate, Outcome, UndeterminedReason, Verdict, Word},
    },
    metrics::{TABLE, Type},
};

use super::{Fake, reports, schemas::with_everything};

/// What every page that is made begins with, after its title.
const MADE: &str = "<!-- Made from the code: UPDATE_DOCS=1 cargo test --test it documents -->";

/// The page is as it would be made now; or, if we are asked to, it is made.
pub(super) fn check(page: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever runs this test, no configuration")]
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, made).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let advice = format!("docs/{page} is out of date: UPDATE_DOCS=1 cargo test --test it documents");
    for (line, (written, made)) in written.lines().zip(made.lines()).enumerate() {
        assert_eq!(written, made, "{advice}; line {}", line + 1);
    }
    assert_eq!(written.len(), made.len(), "{advice}");
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_command_line() {
    let fake = Fake::new(reports::empty());
    let help = |line: &str| {
        let ran = fake.command(line, None);
        assert_eq!(ran.exit, Exit::Ok, "{line}");
        ran.out.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n").trim_end().to_owned()
    };
    let mut page = format!(
        "# Command line\n\n{MADE}\n\nEvery setting may also stand in the environment or in a file: see \
         [configuration.md](configuration.md).\n\n## Exit codes\n\n\
         | code | meaning |\n| --- | --- |\n\
         | 0 | done; `run`: stopped as it was asked to |\n\
         | 1 | not done, or not all: something failed, a rollout went wrong, or the result is not complete |\n\
         | 2 | wrong flag, value or file; nothing was contacted |\n\
         | 3 | `scan --exit-code`: a workload differs (drifted, missing, removed, non_convergent) |\n\
         | 4 | `scan --exit-code`: a workload's Pods would be refused (rejected) |\n\
         | 5 | `scan --exit-code`: of a workload nothing can be said (undetermined) |\n\
         | 130 | stopped by Ctrl-C (143: by SIGTERM); `run` ends with 0 when it is asked to stop |\n\n\
         With `--exit-code` the first that applies of 1, 4, 3, 5, 0 is given.\n\n\
         ## sidecar-drift\n\n```\n{}\n```\n",
        help("--help")
    );
    for command in cli::definition().get_subcommands() {
        let name = command.get_name();
        _ = write!(page, "\n## sidecar-drift {name}\n\n```\n{}\n```\n", help(&format!("{name} -h")));
    }
    check("cli.md", &page);
}

#[test]
fn the_configuration() {
    let mut definition = cli::definition();
    definition.build();
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let mut seen = BTreeSet::new();
    let commands = std::iter::once(&definition).chain(definition.get_subcommands());
    for argument in commands.flat_map(clap::Command::get_arguments) {
        let id = argument.get_id().as_str();
        if !NAMES.contains(&id) || !seen.insert(id.to_owned()) {
            continue;
        }
        let takers = definition.get_subcommands().filter(|c| c.get_arguments().any(|a| a.get_id() == id));
        let takers: Vec<_> = takers.map(|c| format!("`{}`", c.get_name())).collect();
        let takers = if argument.is_global_set() { "all".to_owned() } else { takers.join(", ") };
        let help = one_line(&argument.get_help().unwrap().to_string()).replace('|', "\\|");
        let (what, default) = help.trim_end_matches(']').split_once(" [default: ").unwrap();
        let variable = argument.get_env().unwrap().to_string_lossy();
        let row = format!("| `{}` | `{variable}` | {what} | {default} | {takers} |\n", argument.get_long().unwrap());
        let heading = argument.get_help_heading().unwrap_or("Other").to_owned();
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((heading, vec![row])),
        }
    }
    assert_eq!(seen.len(), NAMES.len());
    let mut page = format!(
        "# Configuration\n\n{MADE}\n\n\
         Each setting has one name. `timeout`, say, is the flag `--timeout 5m`, the environment variable\n\
         `SIDECAR_DRIFT_TIMEOUT=5m`, or the line `timeout: 5m` in the YAML file that `--config FILE` (or\n\
         `SIDECAR_DRIFT_CONFIG`) names. Flags beat the environment, and the environment beats the file.\n\n\
         - The file may hold all settings; a command takes those that it has and leaves the others aside.\n\
         - A list is written `a,b` as a flag or in the environment, and `[a, b]` in the file.\n\
         - A switch may be given a value: `--allow-downtime`, `--allow-downtime=true`, `--allow-downtime=false`.\n\
         - A duration needs a unit: `300s`, `10m`, `1h30m`, `1d`.\n\
         - Fields that never make drift are named under `ignore`, only in the file: see [fidelity.md](fidelity.md#what-a-site-knows-better).\n\
         - Kinds of workloads that only you know are described under `owners`, only in the file: see [owners.md](owners.md#kinds-of-your-own).\n"
    );
    for (heading, rows) in groups {
        _ = write!(
            page,
            "\n## {heading}\n\n| setting | variable | what it does | default | commands |\n| --- | --- | --- | --- | --- |\n"
        );
        page.extend(rows);
    }
    check("configuration.md", &page);
}

#[test]
fn the_metrics() {
    let mut page = format!(
        "# Metrics\n\n{MADE}\n\n\
         `sidecar-drift run` serves them at `/metrics`. Labels are words of closed vocabularies, and namespaces; never the \
         name of a workload or a Pod.\n\n| metric | type | labels | what it says, and what to alert on |\n| --- | --- | --- | --- |\n"
    );
    for metric in TABLE {
        let kind = match metric.kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        _ = writeln!(page, "| `{}` | {kind} | {labels} | {} |", metric.name, one_line(metric.help));
    }
    let mut labels: Vec<(&str, Vec<&str>)> = Vec::new();
    for (metric, label) in TABLE.iter().flat_map(|metric| metric.labels.iter().map(move |label| (metric, *label))) {
        if let Some(values) = metric.values(label)
            && labels.iter().all(|(known, _)| *known != label)
        {
            labels.push((label, values));
        }
    }
    page.push_str("\n## Labels with a closed set of values\n\n| label | values |\n| --- | --- |\n");
    for (label, values) in labels {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        _ = writeln!(page, "| `{label}` | {} |", values.join(", "));
    }
    page.push_str("\nWhat the words mean: [output.md](output.md#words).\n");
    check("metrics.md", &page);
}

/// A vocabulary as a table.
fn words<W: Word>(heading: &str, page: &mut String) {
    _ = write!(page, "\n### {heading}\n\n| word | meaning |\n| --- | --- |\n");
    for word in W::ALL {
        let later = if word.arrives_with().is_some() { " (not reached yet)" } else { "" };
        _ = writeln!(page, "| `{}` | {}{later} |", word.as_str(), word.meaning());
    }
}

/// The prose of `output.md` is written by hand, its words are not.
#[test]
fn the_words_in_the_page_about_the_output() {
    const MARK: &str = "<!-- From here on made from the code: UPDATE_DOCS=1 cargo test --test it documents -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/output.md");
    let page = fs::read_to_string(path).unwrap();
    let (prose, _) = page.split_once(MARK).expect("the mark");
    let mut made = prose.to_owned() + MARK;
    words::<Verdict>("Verdict", &mut made);
    words::<UndeterminedReason>("Reason of an `undetermined`", &mut made);
    words::<Difference>("Difference", &mut made);
    words::<Gate>("Gate", &mut made);
    words::<Outcome>("Outcome of a rollout", &mut made);
    check("output.md", &made);
}

/// So is the page about owners; its table is made.
#[test]
fn the_kinds_in_the_page_about_owners() {
    const MARK: &str = "<!-- From here on made from the code: UPDATE_DOCS=1 cargo test --test it documents -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/owners.md");
    let page = fs::read_to_string(path).unwrap();
    let (prose, _) = page.split_once(MARK).expect("the mark");
    let mut made = prose.to_owned() + MARK;
    made.push_str("\n## Kinds\n\n| kind | API | looked at | rolled by | finished | gates of its own |\n");
    made.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for kind in Kind::all() {
        let row = kind.row();
        let looked_at =
            if row.optional { format!("with `--kinds={}`", row.name.to_lowercase()) } else { "yes".to_owned() };
        let evicted = row.gates.contains(&Gate::OnDelete) && kind.is_evictable();
        let rolled = match row.restart {
            Restart::Stamp if kind.is_replicas() => "if `--evict-on-delete`, the stamp, and then evictions",
            Restart::Stamp if evicted => "the stamp; with `OnDelete`, if `--evict-on-delete`, then evictions",
            Restart::Stamp => "the stamp",
            Restart::Field(_) => "`spec.restartAt`",
            Restart::Nothing => "nothing",
        };
        let gates: Vec<_> = row.gates.iter().map(|gate| format!("`{gate}`")).collect();
        let (api, finished) = (kind.api_version(), row.finished);
        _ = writeln!(
            made,
            "| {} | `{api}` {} | {looked_at} | {rolled} | {finished} | {} |",
            row.name,
            row.kind,
            gates.join(", ")
        );
    }
    let common = Gate::ALL.iter().filter(|gate| !Kind::all().any(|kind| kind.row().gates.contains(gate)));
    let common: Vec<_> = common.map(|gate| format!("`{gate}`")).collect();
    _ = write!(made, "\nFor all kinds: {}. What each means: [output.md](output.md#gate).\n", common.join(", "));
    check("owners.md", &made);
}

/// The keys of a document, down to the leaves; those of a map of words are words, not keys.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    const MAPS: [&str; 5] = ["verdicts", "undetermined", "gates", "labels", "annotations"];
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                found.insert(key.clone());
                if !MAPS.contains(&key.as_str()) {
                    keys(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn each_field_of_the_output_is_documented_and_no_other() {
    let mut written = BTreeSet::new();
    let mut read = |fake: &Fake, line: &str| {
        let ran = fake.command(line, None);
        keys(&serde_json::from_str(&ran.out).unwrap(), &mut written);
    };
    read(&Fake::new(with_everything()), "scan -o json");
    read(&Fake::new(reports::rolled()), "rollout --confirm -o json");

    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/output.md")).unwrap();
    let fields = page.split("\n## Words").next().unwrap();
    let rows = fields.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<_> = rows.map(|(key, _)| key.to_owned()).collect();
    assert_eq!(documented, written);
}
