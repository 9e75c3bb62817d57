//! Reads Rust sources as tokens, so that comments and strings are never mistaken for code and what stands inside a macro
//! is seen like the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// Whether what is compiled for tests only is read, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tests {
    Included,
    LeftOut,
}

/// The directory of the workspace.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `directory` (relative to the root) with the extension `extension`, in a stable order.
pub(super) fn files(directory: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("{}", directory.display()))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// One path that a source names, made absolute: `crate::…` for our own items, the crate's name for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// `crate::core::model::words::Verdict` as four segments; `*` last for a glob import.
    pub(super) segments: Vec<String>,
    /// The line it starts on, from 1.
    pub(super) line: usize,
    /// Whether it stands in a `use`, so that what lies below it can be named without it.
    pub(super) import: bool,
}

impl Reference {
    /// The path as it would be written.
    pub(super) fn text(&self) -> String {
        self.segments.join("::")
    }
}

/// The module that a source file is, as segments below `crate`: `core`, `plan` for `core/plan.rs` and `core/plan/mod.rs`.
/// `main.rs` counts as a module `main` that may not name itself.
pub(super) fn module_of(file_below_src: &Path) -> Vec<String> {
    let mut segments: Vec<String> =
        file_below_src.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let last = segments.last().map(String::as_str);
    if last == Some("mod") || (last == Some("lib") && segments.len() == 1) {
        segments.pop();
    }
    segments
}

/// Every path of two or more segments, and every import, in `source`, the text of `module`.
pub(super) fn references(module: &[String], source: &str, tests: Tests) -> Result<Vec<Reference>> {
    let mut reader = Reader { module: module.to_vec(), found: Vec::new() };
    reader.walk(&tokens_of(source, tests)?);
    Ok(reader.found)
}

/// Every module that `source` declares, with the line.
pub(super) fn declared_modules(source: &str, tests: Tests) -> Result<Vec<(String, usize)>> {
    let mut found = Vec::new();
    let mut open = vec![tokens_of(source, tests)?];
    while let Some(tokens) = open.pop() {
        for (at, token) in tokens.iter().enumerate() {
            if let TokenTree::Group(group) = token {
                open.push(inside(group));
            }
            if let (Some("mod"), Some(TokenTree::Ident(name))) = (word(Some(token)).as_deref(), tokens.get(at + 1)) {
                found.push((name.to_string(), name.span().start().line));
            }
        }
    }
    Ok(found)
}

/// Every word in the conditions of `cfg` and `cfg_attr`, with the line.
pub(super) fn conditions(source: &str, tests: Tests) -> Result<Vec<(String, usize)>> {
    let mut found = Vec::new();
    let mut open: Vec<_> = vec![(tokens_of(source, tests)?, false)];
    while let Some((tokens, in_condition)) = open.pop() {
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => {
                    // `cfg(...)`, and `cfg!(...)` with a token between.
                    let before = |by| at.checked_sub(by).and_then(|before| word(tokens.get(before)));
                    let is_condition = matches!(before(1).or(before(2)).as_deref(), Some("cfg" | "cfg_attr"));
                    open.push((inside(group), in_condition || is_condition));
                }
                TokenTree::Ident(ident) if in_condition => found.push((plain(ident), ident.span().start().line)),
                _ => {}
            }
        }
    }
    Ok(found)
}

struct Reader {
    /// Where the walk is; inline modules are entered and left.
    module: Vec<String>,
    found: Vec<Reference>,
}

impl Reader {
    fn walk(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            at = match &tokens[at] {
                TokenTree::Group(group) => {
                    self.walk(&inside(group));
                    at + 1
                }
                TokenTree::Ident(ident) if ident == "use" => self.import(tokens, at + 1, &[]),
                TokenTree::Ident(ident)
                    if ident == "extern" && word(tokens.get(at + 1)).as_deref() == Some("crate") =>
                {
                    self.import(tokens, at + 2, &[])
                }
                TokenTree::Ident(ident) if ident == "mod" => self.inline_module(tokens, at + 1),
                TokenTree::Ident(ident) => self.path(tokens, at, Vec::new(), ident),
                // `<Type>::item`: what the item belongs to was met inside the brackets.
                TokenTree::Punct(punct) if punct.as_char() == '>' && separator(tokens, at + 1) => {
                    match tokens.get(at + 3) {
                        Some(TokenTree::Ident(ident)) => self.path(tokens, at + 3, vec!["<_>".to_owned()], ident),
                        _ => at + 3,
                    }
                }
                _ => at + 1,
            };
        }
    }

    /// `name { … }` or `name;` after `mod`.
    fn inline_module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let (Some(name), Some(TokenTree::Group(group))) = (word(tokens.get(at)), tokens.get(at + 1)) else {
            return at;
        };
        self.module.push(name);
        self.walk(&inside(group));
        self.module.pop();
        at + 2
    }

    /// A path in an expression, a type or an attribute; returns where it ends.
    fn path(&mut self, tokens: &[TokenTree], start: usize, mut segments: Vec<String>, first: &Ident) -> usize {
        segments.push(plain(first));
        let mut at = start + 1;
        while separator(tokens, at) {
            match tokens.get(at + 2) {
                Some(TokenTree::Ident(ident)) => segments.push(plain(ident)),
                // `::<T>`: the arguments are paths of their own, and `>::item` may follow them.
                _ => break,
            }
            at += 3;
        }
        if segments.len() > 1 {
            self.record(segments, first, false);
        }
        at
    }

    /// One tree of a `use`; returns where it ends.
    fn import(&mut self, tokens: &[TokenTree], mut at: usize, prefix: &[String]) -> usize {
        let mut segments = prefix.to_vec();
        let mut first: Option<&Ident> = None;
        loop {
            if separator(tokens, at) {
                at += 2;
            }
            match tokens.get(at) {
                Some(TokenTree::Ident(ident)) => {
                    let anchor = *first.get_or_insert(ident);
                    // `a::{self}` imports `a`.
                    if ident != "self" || segments.is_empty() {
                        segments.push(plain(ident));
                    }
                    at += 1;
                    if !separator(tokens, at) {
                        self.record(segments, anchor, true);
                        return at;
                    }
                }
                Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => {
                    segments.push("*".to_owned());
                    self.record_at(segments, punct.span().start().line, true);
                    return at + 1;
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    for tree in inside(group).split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ','))
                    {
                        if !tree.is_empty() {
                            self.import(tree, 0, &segments);
                        }
                    }
                    return at + 1;
                }
                // `use<'a>` of a captured lifetime, or the end.
                _ => return at,
            }
        }
    }

    fn record(&mut self, segments: Vec<String>, at: &Ident, import: bool) {
        self.record_at(segments, at.span().start().line, import);
    }

    fn record_at(&mut self, segments: Vec<String>, line: usize, import: bool) {
        self.found.push(Reference { segments: self.absolute(segments), line, import });
    }

    /// Resolves `self`, `super` and our own crate's name against the module where the path stands.
    fn absolute(&self, segments: Vec<String>) -> Vec<String> {
        let mut rest = segments.as_slice();
        let mut base = match rest.first().map(String::as_str) {
            Some("crate" | "sidecar_drift") => {
                rest = &rest[1..];
                Vec::new()
            }
            Some("self" | "super") => self.module.clone(),
            _ => return segments,
        };
        while let [first, tail @ ..] = rest {
            match first.as_str() {
                "self" => {}
                "super" => drop(base.pop()),
                _ => break,
            }
            rest = tail;
        }
        let mut absolute = vec!["crate".to_owned()];
        absolute.append(&mut base);
        absolute.extend_from_slice(rest);
        absolute
    }
}

fn tokens_of(source: &str, tests: Tests) -> Result<Vec<TokenTree>> {
    let tokens = TokenStream::from_str(source).map_err(|error| anyhow::anyhow!("not Rust: {error}"))?;
    let tokens: Vec<_> = tokens.into_iter().collect();
    Ok(if tests == Tests::LeftOut { without_tests(&tokens) } else { tokens })
}

/// The tokens without the items under `#[cfg(test)]`.
fn without_tests(tokens: &[TokenTree]) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if is_cfg_test(tokens, at) {
            at = end_of_item(tokens, at + 2);
            continue;
        }
        kept.push(match token {
            TokenTree::Group(group) => {
                let mut copy = Group::new(group.delimiter(), without_tests(&inside(group)).into_iter().collect());
                copy.set_span(group.span());
                copy.into()
            }
            other => other.clone(),
        });
        at += 1;
    }
    kept
}

fn is_cfg_test(tokens: &[TokenTree], at: usize) -> bool {
    let hash = matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == '#');
    let cfg = |group: &Group| group.stream().to_string().replace(' ', "") == "cfg(test)";
    hash && matches!(tokens.get(at + 1), Some(TokenTree::Group(group)) if cfg(group))
}

/// Behind the `;` or the body with which the item at `at` ends; the braces of a `use` are no body.
fn end_of_item(tokens: &[TokenTree], mut at: usize) -> usize {
    let mut import = false;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Ident(ident) if ident == "use" => import = true,
            TokenTree::Punct(punct) if punct.as_char() == ';' => break,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && !import => break,
            _ => {}
        }
    }
    at
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// Whether `::` stands at `at`.
fn separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(at) && colon(at + 1)
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(plain(ident)),
        _ => None,
    }
}

/// An identifier without the `r#` of a raw one.
fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}
