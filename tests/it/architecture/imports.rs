//! Who imports whom, file by file: no circles, and folders that name each other in one direction only.
//!
//! A path leads to the deepest module that has a file: `crate::cli::exit::Exit` to `cli/exit.rs`, and `crate::cli::Exit`, which
//! is re-exported there, to `cli/mod.rs`. What is compiled for tests only is left out. A `mod` declaration is no import.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;

use super::source::{Reference, Tests, declared_modules, module_of, references};

/// A module as segments below `crate`.
type Module = Vec<String>;

/// The imports between the files below one directory of `src`.
pub(super) struct Imports {
    /// Every file, by its module.
    files: BTreeMap<Module, PathBuf>,
    /// The imports of each module: the module imported, and the first path that leads there.
    arrows: BTreeMap<Module, BTreeMap<Module, Reference>>,
}

impl Imports {
    /// Reads all `sources`: the path below `src`, and the text.
    pub(super) fn read(sources: &[(PathBuf, String)]) -> Result<Self> {
        let of_tests = test_modules(sources)?;
        let counts = |module: &Module| !of_tests.iter().any(|test| module.starts_with(test));
        let modules = sources.iter().map(|(file, text)| (module_of(file), file, text));
        let modules: Vec<_> = modules.filter(|(module, ..)| counts(module)).collect();
        let files: BTreeMap<_, _> = modules.iter().map(|(module, file, _)| (module.clone(), (*file).clone())).collect();
        let mut arrows = BTreeMap::new();
        for (module, _, text) in modules {
            let mut imported = BTreeMap::new();
            for reference in references(&module, text, Tests::LeftOut)? {
                if let Some(target) = target(&module, &reference, &files).filter(|target| *target != module) {
                    imported.entry(target).or_insert(reference);
                }
            }
            arrows.insert(module, imported);
        }
        Ok(Self { files, arrows })
    }

    /// Each circle, with one arrow for each of its files.
    pub(super) fn circles(&self) -> Vec<String> {
        let reach: BTreeMap<_, _> = self.files.keys().map(|module| (module, self.reachable(module))).collect();
        let mut told = BTreeSet::new();
        let mut found = Vec::new();
        for (module, reached) in &reach {
            let circle: BTreeSet<_> = reached.iter().filter(|other| reach[*other].contains(module)).copied().collect();
            if circle.is_empty() || !told.insert(circle.clone()) {
                continue;
            }
            let mut complaint = vec![format!("a circle of {} files:", circle.len())];
            for member in &circle {
                let inside = self.arrows[*member].iter().find(|(target, _)| circle.contains(target));
                if let Some((target, reference)) = inside {
                    complaint.push(format!("  {}", self.arrow(member, target, reference)));
                }
            }
            found.push(complaint.join("\n"));
        }
        found
    }

    /// Where a file below the module `directory` names a folder that `order` lists after its own. A folder is a child of
    /// `directory`; a file there counts as a folder of its own name, `mod.rs` as `mod`.
    pub(super) fn against_order(&self, directory: &str, order: &[&str]) -> Vec<String> {
        let base: Module = directory.split("::").map(str::to_owned).collect();
        let mut found = Vec::new();
        for (module, imported) in &self.arrows {
            let Some(own) = folder(&base, module) else { continue };
            let Some(place) = order.iter().position(|name| *name == own) else {
                found.push(format!("{}: `{own}` has no place in the order", self.files[module].display()));
                continue;
            };
            for (target, reference) in imported {
                let Some(named) = folder(&base, target) else { continue };
                if order.iter().position(|name| *name == named).is_some_and(|other| other > place) {
                    found.push(format!("{}: {own} may not name {named}", self.arrow(module, target, reference)));
                }
            }
        }
        found
    }

    /// The folders below the module `directory` that files of this one name.
    pub(super) fn folders_named_by(&self, directory: &str, own: &str) -> BTreeSet<String> {
        let base: Module = directory.split("::").map(str::to_owned).collect();
        let inside = self.arrows.iter().filter(|(module, _)| folder(&base, module) == Some(own));
        let named = inside.flat_map(|(_, imported)| imported.keys()).filter_map(|target| folder(&base, target));
        named.filter(|name| *name != own).map(str::to_owned).collect()
    }

    /// Everything that imports lead to from `module`, in one step or more.
    fn reachable<'a>(&'a self, module: &'a Module) -> BTreeSet<&'a Module> {
        let mut reached = BTreeSet::new();
        let mut open = vec![module];
        while let Some(module) = open.pop() {
            open.extend(self.arrows[module].keys().filter(|target| reached.insert(*target)));
        }
        reached
    }

    fn arrow(&self, from: &Module, to: &Module, reference: &Reference) -> String {
        let (from, to) = (self.files[from].display(), self.files[to].display());
        format!("{from} → {to} (line {}: `{}`)", reference.line, reference.text())
    }
}

/// The modules that are declared under `#[cfg(test)]`.
fn test_modules(sources: &[(PathBuf, String)]) -> Result<Vec<Module>> {
    let mut found = Vec::new();
    for (file, text) in sources {
        let kept = declared_modules(text, Tests::LeftOut)?;
        for name in declared_modules(text, Tests::Included)?.into_iter().filter(|name| !kept.contains(name)) {
            found.push(child(&module_of(file), name.0));
        }
    }
    Ok(found)
}

/// The module that a path leads to, if it has a file here.
fn target(module: &Module, reference: &Reference, files: &BTreeMap<Module, PathBuf>) -> Option<Module> {
    let (head, rest) = reference.segments.split_first()?;
    let mut path = if head == "crate" {
        rest.to_vec()
    } else {
        // A path may begin with a child of the module where it stands.
        let path = child(module, head.clone());
        files.contains_key(&path).then(|| [path, rest.to_vec()].concat())?
    };
    while !files.contains_key(&path) {
        path.pop()?;
    }
    Some(path)
}

fn child(module: &[String], name: String) -> Module {
    module.iter().cloned().chain([name]).collect()
}

/// The folder below `base` that a module belongs to.
fn folder<'a>(base: &[String], module: &'a [String]) -> Option<&'a str> {
    Some(module.strip_prefix(base)?.first().map_or("mod", String::as_str))
}
