//! The rooms of the core: what stands where, who may name whom, and that the documents say it as it is.

use std::{fmt::Write as _, fs};

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{
    below_src, complaints, imports_below, no_circles, read,
    source::{files, module_of, root},
};

/// The folders from the ground up: each may name only those before it. Then the two files that compose them.
const ORDER: &[&str] = &[
    "model",
    "compare",
    "config",
    "io",
    "inventory",
    "injection",
    "render",
    "verdict",
    "rollout",
    "report",
    "step",
    "mod",
];

/// A newcomer sees the parts in the list of files.
const MOST_ENTRIES: usize = 12;
const MOST_FIELDS: usize = 12;
const LONGEST_STEP: usize = 40;
const LONGEST_FUNCTION: usize = 80;

/// Where the generated table stands in `docs/architecture.md`.
const TABLE: (&str, &str) = ("<!-- rooms: begin -->\n", "<!-- rooms: end -->\n");

#[test]
fn no_two_files_of_the_core_import_each_other_in_a_circle() -> Result<()> {
    no_circles("core")
}

#[test]
fn the_folders_of_the_core_name_each_other_in_one_direction() -> Result<()> {
    let found = imports_below("core")?.against_order("core", ORDER);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    Ok(())
}

#[test]
fn the_core_has_at_most_a_dozen_entries_and_each_has_its_place_in_the_order() -> Result<()> {
    let names = fs::read_dir(root().join("src/core"))?.map(|entry| {
        let name = entry?.file_name().to_string_lossy().into_owned();
        Ok(name.strip_suffix(".rs").map_or(name.clone(), str::to_owned))
    });
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.retain(|name| name != "step" || root().join("src/core/step.rs").exists());
    names.sort();
    names.dedup();
    assert!(names.len() <= MOST_ENTRIES, "{} entries: {names:?}", names.len());
    let homeless: Vec<_> = names.iter().filter(|name| !ORDER.contains(&name.as_str())).collect();
    assert!(homeless.is_empty(), "no place in the order: {homeless:?}");
    Ok(())
}

#[test]
fn each_folder_says_what_it_owns_is_given_gives_and_may_never_do() -> Result<()> {
    for folder in folders() {
        let text = read(&format!("src/core/{folder}/mod.rs"))?;
        let says: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        for begins in ["Owns ", "Is given ", "Gives "] {
            assert!(says.iter().any(|line| line.starts_with(begins)), "core/{folder} does not say what it {begins}");
        }
        assert!(says.iter().any(|line| line.contains("ay never ")), "core/{folder} does not say what it may never do");
    }
    Ok(())
}

#[test]
fn the_core_is_put_together_in_one_file() -> Result<()> {
    complaints("src/core", |file, text| {
        let elsewhere = module_of(below_src(file)) != ["core", "step"] && text.contains("impl Core");
        Ok(elsewhere.then(|| "`impl Core` stands in step.rs alone".to_owned()).into_iter().collect())
    })?;
    let text = read("src/core/step.rs")?;
    let fields = between(&text, "pub struct Core {", "\n}").context("struct Core")?;
    let names = fields.lines().filter(|line| line.contains(": ") && !line.trim_start().starts_with("//")).count();
    assert!((1..=MOST_FIELDS).contains(&names), "{names} fields");
    assert!(!fields.contains("pub"), "a field of Core can be seen from outside");
    let step = functions(&text)?.into_iter().find(|(name, _)| name == "step").context("fn step")?;
    assert!(step.1 <= LONGEST_STEP, "step is {} lines long", step.1);
    Ok(())
}

/// What subsystems own is theirs: a field may be seen in the folder where it stands, and no further.
#[test]
fn no_field_of_a_subsystem_can_be_seen_outside_its_folder() -> Result<()> {
    let subsystems = [
        ("inventory/index.rs", "Index"),
        ("injection/tracker.rs", "InjectionTracker"),
        ("render/renders.rs", "Renders"),
        ("verdict/verdicts.rs", "Verdicts"),
        ("verdict/case.rs", "Case"),
        ("rollout/rollouts.rs", "Rollouts"),
        ("report/reports.rs", "Reports"),
        ("io/outbox.rs", "Outbox"),
    ];
    for (file, name) in subsystems {
        let text = read(&format!("src/core/{file}"))?;
        let fields = between(&text, &format!("pub struct {name} {{"), "\n}").with_context(|| name.to_owned())?;
        let fields = fields.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        for field in fields {
            let open = field.starts_with("pub ") || field.starts_with("pub(crate)") || field.starts_with("pub(in");
            assert!(!open, "{name}: `{field}` can be seen outside of its folder");
        }
    }
    Ok(())
}

#[test]
fn no_function_of_the_core_is_longer_than_80_lines() -> Result<()> {
    complaints("src/core", |_, text| {
        let long = functions(text)?.into_iter().filter(|(_, lines)| *lines > LONGEST_FUNCTION);
        Ok(long.map(|(name, lines)| format!("`{name}` has {lines} lines")).collect())
    })
}

#[test]
fn the_table_of_rooms_in_the_documents_is_fresh() -> Result<()> {
    let imports = imports_below("core")?;
    let mut table = String::from("| folder | owns | may name | names |\n| --- | --- | --- | --- |\n");
    for (place, folder) in ORDER.iter().enumerate().filter(|(_, name)| !["step", "mod"].contains(name)) {
        let text = read(&format!("src/core/{folder}/mod.rs"))?;
        let docs: Vec<_> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let docs = docs.join(" ");
        let owns = between(&docs, "Owns ", " Is given ").context("what it owns")?.trim().trim_end_matches('.');
        let may = if place == 0 { "none".to_owned() } else { format!("those above ({place})") };
        let named = imports.folders_named_by("core", folder);
        let named: Vec<_> =
            ORDER.iter().filter(|name| named.contains(**name)).map(|name| format!("`{name}`")).collect();
        let named = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
        writeln!(table, "| `{folder}/` | {owns} | {may} | {named} |")?;
    }
    fresh("docs/architecture.md", &table)
}

/// The walks through the house name functions as `Type::function` in `` `file` ``: each of them must be there.
#[test]
fn the_walks_in_the_documents_name_functions_that_exist() -> Result<()> {
    let text = read("docs/architecture.md")?;
    let walks = between(&text, "## Two walks through the house", "\n## ").context("the walks")?;
    let steps: Vec<_> = walks.lines().filter(|line| line.starts_with("| ") && line.contains(".rs`")).collect();
    assert!(steps.len() >= 16, "two walks of at least eight steps are wanted, {} were found", steps.len());
    for step in steps {
        let quoted: Vec<&str> = step.split('`').skip(1).step_by(2).collect();
        let is_file = |text: &str| text.strip_suffix(".rs").is_some();
        let file = quoted.iter().find(|text| is_file(text)).context("a file")?;
        let source = read(&format!("src/{file}"))?;
        let called = quoted.iter().find(|text| !is_file(text)).context("a function")?;
        let function = called.rsplit("::").next().unwrap_or(called);
        assert!(functions(&source)?.iter().any(|(name, _)| name == function), "{file} has no function `{function}`");
    }
    Ok(())
}

fn folders() -> impl Iterator<Item = &'static str> {
    ORDER.iter().copied().filter(|name| !["step", "mod"].contains(name))
}

/// Compares what stands between the marks with what is generated, or writes it.
fn fresh(page: &str, generated: &str) -> Result<()> {
    let text = read(page)?;
    let (before, rest) = text.split_once(TABLE.0).context("the mark of its begin")?;
    let (found, after) = rest.split_once(TABLE.1).context("the mark of its end")?;
    if found.trim() == generated.trim() {
        return Ok(());
    }
    #[expect(clippy::disallowed_methods, reason = "the switch that all generated files have")]
    let write = std::env::var_os("SIDECAR_DRIFT_GENERATE").is_some();
    anyhow::ensure!(write, "the table in {page} is not as the code is: run `make generate`\n{generated}");
    fs::write(root().join(page), format!("{before}{}\n{generated}\n{}{after}", TABLE.0, TABLE.1))?;
    Ok(())
}

fn between<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end).map_or(rest, |(found, _)| found))
}

/// Every function with a body: its name, and how many lines it takes, its signature included.
fn functions(source: &str) -> Result<Vec<(String, usize)>> {
    let tokens: TokenStream = source.parse().map_err(|error| anyhow::anyhow!("not Rust: {error}"))?;
    let mut found = Vec::new();
    let mut open = vec![tokens];
    while let Some(tokens) = open.pop() {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => open.push(group.stream()),
                TokenTree::Ident(word) if word == "fn" => {
                    let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else { continue };
                    let body = tokens.iter().skip(at).find_map(|token| match token {
                        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Some(group)),
                        TokenTree::Punct(punct) if punct.as_char() == ';' => Some(None),
                        _ => None,
                    });
                    if let Some(Some(body)) = body {
                        let (begin, end) = (word.span().start().line, body.span_close().end().line);
                        found.push((name.to_string(), end - begin + 1));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

#[test]
fn functions_are_measured_and_a_long_one_is_found() -> Result<()> {
    let long =
        format!("impl A {{ fn long() {{\n{}}}\nfn short(&self);\nfn two() -> u8 {{\n1 }} }}", "x();\n".repeat(90));
    let found = functions(&long)?;
    assert!(found.iter().any(|(name, lines)| name == "long" && *lines > LONGEST_FUNCTION), "{found:?}");
    assert!(found.contains(&("two".to_owned(), 2)) && !found.iter().any(|(name, _)| name == "short"), "{found:?}");
    assert!(!files("src/core", "rs")?.is_empty());
    Ok(())
}
