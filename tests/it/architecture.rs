//! The house: who may name what, how large a file may be, and that what is said in two places is the same.

mod core;
mod imports;
mod rules;
mod rules_can_fail;
mod source;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use self::{
    imports::Imports,
    source::{Tests, declared_modules, files, module_of, root},
};

/// Past this a file has more than one subject; a simulator or a table of tests may be split as well.
const LONGEST_FILE: usize = 500;

/// Names that say nothing about what is inside, so that anything ends up there.
const NAMES_THAT_SAY_NOTHING: &[&str] = &["common", "helper", "helpers", "misc", "shared", "util", "utils"];

/// How a person and CI run all tests.
const TEST_COMMAND: &str = "make test";

#[test]
fn core_is_a_function_of_its_arguments() -> Result<()> {
    let dependencies = direct_dependencies()?;
    assert!(dependencies.iter().any(|name| name == "kube"), "the dependencies were not read: {dependencies:?}");
    complaints("src/core", |file, text| rules::impurities(&module_of(below_src(file)), text, &dependencies))
}

#[test]
fn no_layer_names_one_above_it() -> Result<()> {
    complaints("src", |file, text| rules::upward_references(&module_of(below_src(file)), text))
}

/// So that a port to another system is one directory.
#[test]
fn one_module_names_operating_systems() -> Result<()> {
    complaints("src", |file, text| {
        let module = module_of(below_src(file));
        let elsewhere = module.first().is_none_or(|first| first != "platform");
        let is_test = module.iter().any(|name| name == "tests");
        if elsewhere && !is_test { rules::platform_names(&module, text) } else { Ok(Vec::new()) }
    })
}

#[test]
fn no_two_files_of_the_command_line_import_each_other_in_a_circle() -> Result<()> {
    no_circles("cli")
}

#[test]
fn no_source_file_is_longer_than_500_lines() -> Result<()> {
    let long = |_: &Path, text: &str| {
        let lines = text.lines().count();
        Ok((lines > LONGEST_FILE).then(|| format!("{lines} lines: split it by subject")).into_iter().collect())
    };
    complaints("src", long)?;
    complaints("tests", long)
}

/// A file of tests that nobody declares is compiled by nobody, and fails for no reason.
#[test]
fn every_source_file_is_a_module_that_somebody_declares() -> Result<()> {
    let undeclared = |file: &Path, _: &str| {
        let (directory, name) = match (file.parent(), file.file_stem().and_then(|stem| stem.to_str())) {
            (Some(directory), Some("mod")) => {
                (directory.parent(), directory.file_name().and_then(|name| name.to_str()))
            }
            (Some(_), Some("lib" | "main")) => return Ok(Vec::new()),
            (directory, stem) => (directory, stem),
        };
        let (directory, name) = directory.zip(name).context("a file has a directory and a name")?;
        let parents = ["mod.rs", "lib.rs", "main.rs"].map(|parent| directory.join(parent));
        let mut parents = parents.into_iter().chain([directory.with_extension("rs")]).filter(|parent| parent.exists());
        let declares = |parent: std::path::PathBuf| -> Result<bool> {
            let modules = declared_modules(&fs::read_to_string(parent)?, Tests::Included)?;
            Ok(modules.iter().any(|(declared, _)| declared == name))
        };
        let by_mod = parents.try_fold(false, |found, parent| Result::<bool>::Ok(found || declares(parent)?))?;
        let by_path = || {
            let path = format!("#[path = \"{name}.rs\"]");
            let here = fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path()));
            let mut texts = here.filter(|path| path.is_file()).filter_map(|path| fs::read_to_string(path).ok());
            Result::<bool>::Ok(texts.any(|text| text.contains(&path)))
        };
        Ok(if by_mod || by_path()? { Vec::new() } else { vec!["no `mod` declares it".to_owned()] })
    };
    for directory in ["src", "tests/it", "tests/cluster", "tests/testbed/src"] {
        complaints(directory, undeclared)?;
    }
    Ok(())
}

#[test]
fn every_module_is_named_after_its_subject() -> Result<()> {
    let nameless = |file: &Path, text: &str| {
        let relative = file.strip_prefix(root())?.with_extension("");
        let mut found: Vec<String> = relative
            .iter()
            .filter(|part| NAMES_THAT_SAY_NOTHING.iter().any(|name| part.eq_ignore_ascii_case(name)))
            .map(|part| format!("`{}` says nothing about what is inside", part.display()))
            .collect();
        for (name, line) in declared_modules(text, Tests::Included)? {
            if NAMES_THAT_SAY_NOTHING.contains(&name.as_str()) {
                found.push(format!("line {line}: `mod {name}` says nothing about what is inside"));
            }
        }
        Ok(found)
    };
    complaints("src", nameless)?;
    complaints("tests", nameless)
}

#[test]
fn the_pinned_toolchain_is_the_declared_rust_version() -> Result<()> {
    let channel = quoted(&read("rust-toolchain.toml")?, "channel").context("channel in rust-toolchain.toml")?;
    let declared = quoted(&read("Cargo.toml")?, "rust-version").context("rust-version in Cargo.toml")?;
    let (pinned, _patch) = channel.rsplit_once('.').context("channel is major.minor.patch")?;
    assert!(pinned == declared, "rust-toolchain.toml pins {channel}, Cargo.toml declares {declared}");
    Ok(())
}

/// A patch is built with `json_patch` types and handed to kube as they are, so both must mean the same types.
#[test]
fn json_patch_is_here_once_in_the_version_that_kube_uses() -> Result<()> {
    let lock = read("Cargo.lock")?;
    let named = |name: &'static str| {
        lock.split("[[package]]").filter(move |package| quoted(package, "name").as_deref() == Some(name))
    };
    let versions: Vec<_> = named("json-patch").filter_map(|text| quoted(text, "version")).collect();
    assert!(versions.len() == 1, "json-patch is locked as {versions:?}: take the major version that kube takes");
    for user in ["kube-core", "sidecar-drift"] {
        let uses = named(user).any(|text| text.contains("\"json-patch\""));
        assert!(uses, "{user} does not depend on json-patch any more; is this test still of use?");
    }
    Ok(())
}

#[test]
fn what_is_documented_as_the_test_command_is_what_ci_runs() -> Result<()> {
    let ci = read(".ci/run")?;
    let step = ci.lines().find(|line| line.starts_with("step tests")).context("a tests step in .ci/run")?;
    let words: Vec<&str> = step.split_whitespace().filter(|word| !word.starts_with("--")).collect();
    assert!(words.ends_with(&["make", "test"]), ".ci/run runs `{step}` instead of `{TEST_COMMAND}`");
    for page in ["README.md", "CONTRIBUTING.md"] {
        assert!(read(page)?.contains(TEST_COMMAND), "{page} does not say `{TEST_COMMAND}`");
    }
    Ok(())
}

#[test]
fn each_dependency_has_its_reason_in_decision_0003() -> Result<()> {
    let reasons = read("docs/decisions/0003-crates.md")?.replace('-', "_");
    let without: Vec<_> =
        direct_dependencies()?.into_iter().filter(|name| !reasons.contains(&format!("`{name}`"))).collect();
    assert!(without.is_empty(), "say why in docs/decisions/0003-crates.md: {without:?}");
    Ok(())
}

#[test]
fn documents_link_only_to_files_that_exist() -> Result<()> {
    let broken = |file: &Path, text: &str| {
        let directory = file.parent().context("a file has a directory")?;
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        Ok(targets
            .filter(|target| !target.contains("://") && !target.starts_with(['#', '<']))
            .map(|target| target.split_once('#').map_or(target, |(path, _)| path))
            .filter(|target| !directory.join(target).exists())
            .map(|target| format!("links to {target}, which does not exist"))
            .collect())
    };
    let here = fs::read_dir(root())?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut documents: Vec<_> = here.filter(|path| path.extension().is_some_and(|found| found == "md")).collect();
    documents.extend(files("docs", "md")?);
    assert!(documents.len() > 3, "the documents were not found: {documents:?}");
    report(&documents, broken)
}

/// No two files below `src/{directory}` import each other in a circle.
fn no_circles(directory: &str) -> Result<()> {
    let found = imports_below(directory)?.circles();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    Ok(())
}

/// Who imports whom below `src/{directory}`.
fn imports_below(directory: &str) -> Result<Imports> {
    let mut sources = Vec::new();
    for file in files(&format!("src/{directory}"), "rs")? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        sources.push((below_src(&file).to_owned(), text));
    }
    assert!(!sources.is_empty(), "no source below src/{directory}");
    Imports::read(&sources)
}

/// Applies `check` to every Rust file below `directory`; fails with all complaints at once, each with its file.
fn complaints(directory: &str, check: impl Fn(&Path, &str) -> Result<Vec<String>>) -> Result<()> {
    let found = files(directory, "rs")?;
    assert!(!found.is_empty(), "no source below {directory}");
    report(&found, check)
}

fn report(files: &[impl AsRef<Path>], check: impl Fn(&Path, &str) -> Result<Vec<String>>) -> Result<()> {
    let mut all = Vec::new();
    for file in files {
        let file = file.as_ref();
        let name = file.strip_prefix(root())?.display();
        let text = fs::read_to_string(file).with_context(|| name.to_string())?;
        let found = check(file, &text).with_context(|| name.to_string())?;
        all.extend(found.into_iter().map(|complaint| format!("{name}: {complaint}")));
    }
    assert!(all.is_empty(), "\n{}", all.join("\n"));
    Ok(())
}

fn below_src(file: &Path) -> &Path {
    file.strip_prefix(root().join("src")).unwrap_or(file)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// The value of the first `key = "value"` line.
fn quoted(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?;
        Some(value.trim().trim_matches('"').to_owned())
    })
}

/// What `Cargo.toml` names under `[dependencies]` and `[dev-dependencies]`, as it is written in code.
fn direct_dependencies() -> Result<Vec<String>> {
    let manifest = read("Cargo.toml")?;
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if matches!(section, "[dependencies]" | "[dev-dependencies]")
            && let Some((name, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            found.push(name.trim().replace('-', "_"));
        }
    }
    Ok(found)
}
