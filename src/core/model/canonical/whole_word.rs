//! Whole names inside a text: the Pod's own name (rule R3), names of token volumes (rule C4).

use std::borrow::Cow;

/// The text with every whole occurrence of `name` replaced by `by`.
///
/// An occurrence is whole unless a letter or digit stands right before or after it: `db-1` is found in
/// `db-1.db.svc` and in `data-db-1`, not in `db-10` and not in `mydb-1`.
pub fn replace<'t>(text: &'t str, name: &str, by: &str) -> Cow<'t, str> {
    if name.is_empty() || !text.contains(name) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(name)) {
        let start = from + found;
        let end = start + name.len();
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let whole = !joined(text[..start].chars().next_back()) && !joined(text[end..].chars().next());
        if whole {
            out.push_str(&text[kept..start]);
            out.push_str(by);
            kept = end;
            from = end;
        } else {
            // The next occurrence may overlap this one: go on one character later.
            from = start + text[start..].chars().next().map_or(1, char::len_utf8);
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}
