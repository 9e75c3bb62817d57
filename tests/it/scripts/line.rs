//! The language of the scripts: one input a line, `10s render shop/web -> proxy=1.27.1`.

use std::{str::FromStr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use sidecar_drift::core::model::Name;

/// One line: when, what, and its words.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// `None`: at the same time as the line before.
    pub(super) at: Option<Duration>,
    pub(super) verb: String,
    /// Words without `=`, in order.
    words: Vec<String>,
    /// `key=value`, in order.
    options: Vec<(String, String)>,
}

impl FromStr for Line {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut tokens = split(text)?;
        let timed = tokens.first().is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()));
        let at = if timed { Some(duration(&tokens.remove(0))?) } else { None };
        ensure!(!tokens.is_empty(), "nothing is said");
        let verb = tokens.remove(0);
        let (mut words, mut options) = (Vec::new(), Vec::new());
        for token in tokens {
            match token.split_once('=') {
                Some((key, value)) if !key.contains(' ') => options.push((key.to_owned(), value.to_owned())),
                _ => words.push(token),
            }
        }
        Ok(Self { at, verb, words, options })
    }
}

impl Line {
    /// The next word, if there is one.
    pub(super) fn word(&mut self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    /// The next word.
    pub(super) fn expect(&mut self, what: &str) -> Result<String> {
        self.word().with_context(|| format!("{}: {what} is missing", self.verb))
    }

    /// Whether this very word is there.
    pub(super) fn flag(&mut self, word: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|w| w != word);
        self.words.len() < before
    }

    /// The value of a key.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let at = self.options.iter().position(|(k, _)| k == key)?;
        Some(self.options.remove(at).1)
    }

    pub(super) fn name(&mut self, key: &str) -> Option<Name> {
        self.text(key).map(Name::from)
    }

    pub(super) fn parsed<T: FromStr>(&mut self, key: &str) -> Result<Option<T>>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.text(key).map(|text| text.parse().with_context(|| format!("{key}={text}"))).transpose()
    }

    pub(super) fn duration(&mut self, key: &str) -> Result<Option<Duration>> {
        self.text(key).map(|text| duration(&text)).transpose()
    }

    /// The options whose keys begin with `prefix`, without it: `@mode=report`.
    pub(super) fn prefixed(&mut self, prefix: &str) -> Vec<(Name, Name)> {
        let (found, rest): (Vec<_>, Vec<_>) = self.options.drain(..).partition(|(k, _)| k.starts_with(prefix));
        self.options = rest;
        found.into_iter().map(|(k, v)| (Name::from(&k[prefix.len()..]), Name::from(v))).collect()
    }

    /// All options that are left.
    pub(super) fn rest(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.options)
    }

    /// Fails if a word was not understood.
    pub(super) fn done(self) -> Result<()> {
        ensure!(self.words.is_empty(), "{}: not understood: {:?}", self.verb, self.words);
        ensure!(self.options.is_empty(), "{}: not understood: {:?}", self.verb, self.options);
        Ok(())
    }
}

/// `90s`, `5m`, `1h30m`
pub(super) fn duration(text: &str) -> Result<Duration> {
    // No time that can be written is longer, and nothing may overflow with it.
    if text == "longest" {
        return Ok(Duration::MAX);
    }
    let span: jiff::SignedDuration = text.parse().with_context(|| format!("{text:?} is no time"))?;
    Ok(Duration::try_from(span)?)
}

/// Words, with `"…"` for one that holds blanks.
fn split(text: &str) -> Result<Vec<String>> {
    let mut tokens = Vec::new();
    let (mut token, mut quoted, mut begun) = (String::new(), false, false);
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            ' ' if !quoted => {
                if begun {
                    tokens.push(std::mem::take(&mut token));
                }
                begun = false;
            }
            other => {
                token.push(other);
                begun = true;
            }
        }
    }
    if quoted {
        bail!("a quotation mark is not closed");
    }
    if begun {
        tokens.push(token);
    }
    Ok(tokens)
}
