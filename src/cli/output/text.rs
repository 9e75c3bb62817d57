//! Text for people: safe to print, and no wider than their terminal.

use jiff::Timestamp;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::core::model::quoted::obeyed;

/// The text with everything that a terminal would obey made visible. Names, values and messages come from the cluster,
/// and whoever wrote them there may want to move our reader's cursor.
pub fn printable(text: &str) -> String {
    if !text.contains(obeyed) {
        return text.to_owned();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if obeyed(c) && c != '\n' { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// The text on one line.
pub fn one_line(text: &str) -> String {
    printable(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Breaks `text` between words so that no line is longer than `width`, if it can be; further lines begin with `indent`.
/// A word that is longer than a line is left whole: it can then be copied.
pub fn wrap(text: &str, width: Option<u16>, indent: &str) -> String {
    let Some(width) = width.map(usize::from) else { return text.to_owned() };
    let options = Options::new(width)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .break_words(false)
        .subsequent_indent(indent);
    textwrap::fill(text, options)
}

/// How long ago something was, in one or two units: `45s`, `12m`, `3h20m`, `41d`.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..86_400 if minutes % 60 == 0 => format!("{hours}h"),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ if days < 10 && hours % 24 > 0 => format!("{days}d{}h", hours % 24),
        _ => format!("{days}d"),
    }
}
