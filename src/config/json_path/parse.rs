//! From the text of a template to its nodes.

use serde_json::Value;

use super::{Node, Operator, Slice, Step};

/// A template nests ranges no deeper than this.
const DEEPEST: usize = 16;

/// So long is no template that a person writes; filters may nest, and each takes its room.
const LONGEST: usize = 8 << 10;

/// An action between braces: where it leads, or where a range begins or ends.
enum Action {
    Steps(Vec<Step>),
    Range(Vec<Step>),
    End,
}

pub(super) fn template(text: &str) -> Result<Vec<Node>, String> {
    if text.len() > LONGEST {
        return Err(format!("a template of more than {LONGEST} bytes is not supported"));
    }
    // What stands around each range that is open.
    let mut open: Vec<(Vec<Node>, Vec<Step>)> = Vec::new();
    let mut nodes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((before, after)) = rest.split_once('{') else {
            nodes.push(Node::Text(rest.to_owned()));
            break;
        };
        if !before.is_empty() {
            nodes.push(Node::Text(before.to_owned()));
        }
        let mut parser = Parser { rest: after };
        match parser.action()? {
            Action::Steps(steps) => nodes.push(Node::Action(steps)),
            Action::Range(_) if open.len() == DEEPEST => {
                return Err(format!("more than {DEEPEST} ranges, one in the other, are not supported"));
            }
            Action::Range(steps) => open.push((std::mem::take(&mut nodes), steps)),
            Action::End => {
                let (around, steps) = open.pop().ok_or("`{end}` ends nothing: there is no `{range}` before it")?;
                let within = std::mem::replace(&mut nodes, around);
                nodes.push(Node::Range(steps, within));
            }
        }
        rest = parser.rest;
    }
    if open.is_empty() { Ok(nodes) } else { Err("`{range}` has no `{end}`".to_owned()) }
}

/// `.name`, `{.name}`, `name`, `{name}`.
pub(super) fn path(text: &str) -> Result<Vec<Step>, String> {
    if text.len() > LONGEST {
        return Err(format!("a path of more than {LONGEST} bytes is not supported"));
    }
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    if inner.is_empty() || inner.contains(['{', '}']) {
        return Err("a path is written like `.name` or `{.name}`".to_owned());
    }
    let dot = if inner.starts_with(['.', '[', '$', '@']) { "" } else { "." };
    steps(&format!("{dot}{inner}"))
}

fn steps(text: &str) -> Result<Vec<Step>, String> {
    let text = format!("{text}}}");
    let mut parser = Parser { rest: &text };
    match parser.action()? {
        Action::Steps(steps) if parser.rest.is_empty() => Ok(steps),
        _ => Err(format!("`{}` is no path", text.trim_end_matches('}'))),
    }
}

/// What is not read yet.
struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    /// What follows an opening brace, with the closing one.
    fn action(&mut self) -> Result<Action, String> {
        let mut steps = Vec::new();
        let mut range = false;
        loop {
            let Some(next) = self.rest.chars().next() else { return Err("a `{` is not closed".to_owned()) };
            match next {
                '}' => {
                    self.skip(1);
                    return Ok(if range { Action::Range(steps) } else { Action::Steps(steps) });
                }
                // As for kubectl, both are what is current.
                ' ' | '@' | '$' => self.skip(1),
                '\n' | '\r' => return Err("a `{` is not closed on its line".to_owned()),
                '"' | '\'' => steps.push(Step::Literal(Value::String(self.quoted(next)?))),
                '.' if self.rest.starts_with("..") => {
                    if steps.last() == Some(&Step::Below) {
                        return Err("`..` after `..` leads nowhere else".to_owned());
                    }
                    self.skip(2);
                    steps.push(Step::Below);
                    if self.rest.starts_with(|next: char| next.is_alphanumeric() || next == '_') {
                        steps.push(Self::key(self.word()));
                    }
                }
                '.' => {
                    self.skip(1);
                    let word = self.word();
                    steps.push(Self::key(word));
                }
                '[' if self.rest.starts_with("[?(") => steps.push(self.filter()?),
                '[' => self.array(&mut steps)?,
                next if next.is_ascii_digit() || next == '-' || next == '+' => {
                    let word = self.while_in(|next| next.is_ascii_digit() || ['-', '+', '.'].contains(&next));
                    let number = word.trim_start_matches('+').parse::<serde_json::Number>();
                    let number = number.map_err(|_| format!("`{word}` is no number"))?;
                    steps.push(Step::Literal(Value::Number(number)));
                }
                next if next.is_alphanumeric() || next == '_' => match self.word() {
                    "range" if steps.is_empty() && !range => range = true,
                    "end" if steps.is_empty() && !range && self.rest.trim_start().starts_with('}') => {
                        self.rest = &self.rest.trim_start()[1..];
                        return Ok(Action::End);
                    }
                    word @ ("true" | "false") => steps.push(Step::Literal(Value::Bool(word == "true"))),
                    word => return Err(format!("`{word}` means nothing here; a path begins with a dot: `.{word}`")),
                },
                other => return Err(format!("`{other}` means nothing here")),
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn while_in(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let (word, rest) = self.rest.split_at(self.rest.find(|next| !wanted(next)).unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    /// Up to what cannot be in a key, unless it is escaped.
    fn word(&mut self) -> &'t str {
        let mut escaped = false;
        let end = self.rest.find(|next: char| {
            let ends = !escaped && " \t\r\n.,[]$@{}".contains(next);
            escaped = !escaped && next == '\\';
            ends
        });
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn key(word: &str) -> Step {
        if word == "*" { Step::All } else { Step::Key(word.replace('\\', "")) }
    }

    /// A text in quotes, with the escapes that people use.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        self.skip(1);
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                letter if letter == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\n' => break,
                '\\' => match letters.next().map(|(_, letter)| letter) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(same @ ('\\' | '"' | '\'')) => text.push(same),
                    Some(other) => return Err(format!("`\\{other}` is not supported in a quoted text")),
                    None => break,
                },
                letter => text.push(letter),
            }
        }
        Err("a quoted text is not closed".to_owned())
    }

    /// `[0]`, `[1:3]`, `[*]`, `['key']`, and several of these.
    fn array(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        let (text, rest) = self.rest[1..].split_once(']').ok_or("a `[` is not closed")?;
        self.rest = rest;
        let several: Vec<_> = text.split(',').map(str::trim).collect();
        if let [one] = several.as_slice() {
            steps.extend(element(one)?);
            return Ok(());
        }
        let union = several.into_iter().map(element).collect::<Result<_, _>>()?;
        steps.push(Step::Union(union));
        Ok(())
    }

    fn filter(&mut self) -> Result<Step, String> {
        let text = &self.rest["[?(".len()..];
        let mut quote = None;
        let mut before = ' ';
        let end = text.char_indices().find(|(at, letter)| {
            match (quote, letter) {
                (None, '"' | '\'') => quote = Some(*letter),
                (Some(open), letter) if open == *letter && before != '\\' => quote = None,
                (None, ')') if text[at + 1..].starts_with(']') => return true,
                _ => {}
            }
            before = *letter;
            false
        });
        let (end, _) = end.ok_or("a filter is not closed by `)]`")?;
        self.rest = &text[end + 2..];
        let text = &text[..end];
        let Some(at) = text.find(['!', '<', '>', '=']) else { return Ok(Step::Filter(self::steps(text)?, None)) };
        let (left, rest) = text.split_at(at);
        let right = rest.trim_start_matches(['!', '<', '>', '=']);
        let operator = match &rest[..rest.len() - right.len()] {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterEqual,
            other => return Err(format!("`{other}` compares nothing; ==, !=, <, <=, > and >= do")),
        };
        if left.trim().is_empty() || right.trim().is_empty() {
            return Err("a filter has nothing to compare on one side".to_owned());
        }
        Ok(Step::Filter(self::steps(left)?, Some((operator, self::steps(right)?))))
    }
}

/// What stands in brackets.
fn element(text: &str) -> Result<Vec<Step>, String> {
    if let Some(key) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        // As for kubectl, `['a.b']` is `.a.b`; a dot in a key is escaped in either form.
        return steps(&format!(".{key}"));
    }
    let all = Slice { first: None, last: None, one: false, step: None };
    if text == "*" {
        return Ok(vec![Step::Slice(all)]);
    }
    let number = |text: &str| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("`{text}` is no index; a key is written `['{text}']`")),
    };
    let parts: Vec<_> = text.split(':').collect();
    Ok(vec![Step::Slice(match parts[..] {
        ["", ..] if parts.len() == 1 => return Err("nothing stands between `[` and `]`".to_owned()),
        [one] => Slice { first: number(one)?, one: true, ..all },
        [first, last] => Slice { first: number(first)?, last: number(last)?, ..all },
        [first, last, step] => Slice { first: number(first)?, last: number(last)?, step: number(step)?, one: false },
        _ => return Err(format!("`{text}` is no slice; it has the form `first:last:step`")),
    })])
}
