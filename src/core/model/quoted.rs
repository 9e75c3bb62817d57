//! What somebody else wrote, made fit to be part of a sentence of ours.
//!
//! Images, annotations and messages come from whoever may write an object. A sentence with one of them in it goes to tables,
//! logs, Events, pages and chats, so it is made harmless where it is made.

use std::{borrow::Cow, fmt::Write as _};

use super::fingerprint::sha256_hex;

/// Characters that are kept of one text.
pub const LONGEST: usize = 256;

/// The text on one line, with everything that a terminal, a page or an eye would obey made visible, and not longer than
/// [`LONGEST`] characters.
pub fn quoted(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST && !text.contains(|c: char| is_blank(c) && c != ' ' || obeyed(c)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len().min(4 * LONGEST));
    let (mut blank, mut length) = (false, 0);
    for c in text.trim_matches(is_blank).chars() {
        if is_blank(c) {
            blank = true;
            continue;
        }
        length += 1 + usize::from(blank);
        if length > LONGEST {
            safe.push('…');
            break;
        }
        if std::mem::take(&mut blank) {
            safe.push(' ');
        }
        if obeyed(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// A sentence that holds many such texts, not longer than `bytes`. What is cut off has a tag in its place, so that two that
/// begin alike are told apart.
pub fn cut(mut text: String, bytes: usize) -> String {
    const MARK: usize = "… #".len() + 6;
    if text.len() > bytes {
        let hash = sha256_hex(text.as_bytes());
        text.truncate(text.floor_char_boundary(bytes.saturating_sub(MARK)));
        _ = write!(text, "… #{}", hash.get(..6).unwrap_or_default());
    }
    text
}

/// Whether it only keeps words apart. Line feeds do, and the separators of Unicode.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
}

/// Whether it is no letter but a command: controls (C0, C1), and the characters without a width that turn the direction of
/// a line, join, or hide.
pub fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_one_line_cut_and_harmless() {
        for (text, expected) in [
            ("mesh:v1", "mesh:v1"),
            ("two words", "two words"),
            ("mesh:v0\nThe breaker opened: call 555", "mesh:v0 The breaker opened: call 555"),
            ("a\r\n\t b\u{2028}c\u{85}d", "a b c d"),
            ("\u{202e}1.0:hsem\u{2066}", "\\u{202e}1.0:hsem\\u{2066}"),
            ("\u{1b}[2J\u{9b}1m\u{7}\u{0}", "\\u{1b}[2J\\u{9b}1m\\u{7}\\u{0}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("é ß 界 🙂", "é ß 界 🙂"),
            ("", ""),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn no_text_is_longer_than_it_may_be_whatever_it_is() {
        for text in ["x".repeat(1_000_000), "é".repeat(257), "a b ".repeat(1000), "\u{202e}".repeat(1000)] {
            let safe = quoted(&text);
            assert!(safe.len() <= 8 * LONGEST + 3 && safe.ends_with('…'), "{}", safe.len());
            assert!(!safe.contains(obeyed));
        }
        assert_eq!(quoted(&"é".repeat(256)).chars().count(), 256);
    }

    #[test]
    fn a_sentence_that_is_cut_is_told_from_another_that_begins_alike() {
        let of = |end: &str| cut(format!("{}{end}", "é".repeat(1000)), 1024);
        assert!(of("a").len() <= 1024 && of("a") != of("b"));
        assert_eq!(cut("short".to_owned(), 5), "short");
    }
}
