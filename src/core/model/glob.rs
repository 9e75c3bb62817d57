//! Patterns for names.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::Name;

/// A pattern for a whole text: `*` is any text, `?` any one character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Glob(Name);

impl Glob {
    /// A pattern.
    pub fn new(pattern: &str) -> Self {
        Self(Name::from(pattern))
    }

    /// Whether the whole text is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text): (Vec<char>, Vec<char>) = (self.0.chars().collect(), text.chars().collect());
        let (mut p, mut t) = (0, 0);
        // Where the last star stands, and how much of the text it has taken so far.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&c) = text.get(t) {
            match pattern.get(p) {
                Some('*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(&wanted) if wanted == '?' || wanted == c => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((at, taken)) = star else { return false };
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
            }
        }
        pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
