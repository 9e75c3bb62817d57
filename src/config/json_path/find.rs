//! From a document to what a template asks of it.

use std::{borrow::Cow, cmp::Ordering, collections::VecDeque};

use serde_json::Value;

use super::{Node, Operator, Slice, Step, printed};

type Found<'v> = Vec<Cow<'v, Value>>;

/// Writes what the nodes make of the current value; `None`: there is none, as in a range over nothing.
pub(super) fn write(nodes: &[Node], current: Option<&Value>, text: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(more) => text.push_str(more),
            Node::Action(steps) => {
                let found = values(steps, current.into_iter().collect())?;
                let found: Vec<_> = found.iter().map(|value| printed(value)).collect();
                text.push_str(&found.join(" "));
            }
            Node::Range(steps, nodes) => {
                for value in values(steps, current.into_iter().collect())? {
                    write(nodes, Some(&value), text)?;
                }
            }
        }
    }
    Ok(())
}

/// Where the steps lead from these values.
pub(super) fn values<'v>(steps: &[Step], from: Vec<&'v Value>) -> Result<Found<'v>, String> {
    let from = from.into_iter().map(Cow::Borrowed).collect();
    steps.iter().try_fold(from, |current: Found<'v>, step| take(step, current))
}

fn take<'v>(step: &Step, current: Found<'v>) -> Result<Found<'v>, String> {
    match step {
        Step::Key(key) => Ok(current.into_iter().filter_map(|value| member(value, key)).collect()),
        Step::All => Ok(current.into_iter().flat_map(children).collect()),
        Step::Below => Ok(below(current)),
        Step::Slice(slice) => {
            let mut found = Vec::new();
            for value in current {
                found.extend(slice_of(value, *slice)?);
            }
            Ok(found)
        }
        Step::Union(union) => {
            let mut found = Vec::new();
            for steps in union {
                let each = steps.iter().try_fold(current.clone(), |current, step| take(step, current));
                found.extend(each?);
            }
            Ok(found)
        }
        Step::Filter(left, rest) => {
            let mut found = Vec::new();
            for value in current {
                let Value::Array(_) = &*value else {
                    return Err(format!("{} is no list, which a filter needs", shown(&value)));
                };
                for element in children(value) {
                    if passes(&element, left, rest.as_ref())? {
                        found.push(element);
                    }
                }
            }
            Ok(found)
        }
        Step::Literal(value) => Ok(current.iter().map(|_| Cow::Owned(value.clone())).collect()),
    }
}

fn member<'v>(value: Cow<'v, Value>, key: &str) -> Option<Cow<'v, Value>> {
    match value {
        Cow::Borrowed(value) => value.as_object()?.get(key).map(Cow::Borrowed),
        Cow::Owned(value) => value.as_object()?.get(key).cloned().map(Cow::Owned),
    }
}

fn children(value: Cow<'_, Value>) -> Found<'_> {
    match value {
        Cow::Borrowed(Value::Array(all)) => all.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Object(all)) => all.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Array(all)) => all.into_iter().map(Cow::Owned).collect(),
        Cow::Owned(Value::Object(all)) => all.into_iter().map(|(_, value)| Cow::Owned(value)).collect(),
        _ => Vec::new(),
    }
}

/// All that have children, each before its children. Without recursion: a document may be deep.
fn below(current: Found<'_>) -> Found<'_> {
    let mut found = Vec::new();
    let mut waiting = VecDeque::from(current);
    while let Some(value) = waiting.pop_front() {
        let all = children(value.clone());
        if all.is_empty() {
            continue;
        }
        found.push(value);
        for child in all.into_iter().rev() {
            waiting.push_front(child);
        }
    }
    found
}

fn slice_of(value: Cow<'_, Value>, slice: Slice) -> Result<Found<'_>, String> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let Value::Array(all) = &*value else {
        return Err(format!("{} is no list, and has no elements", shown(&value)));
    };
    let length = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let from_end = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let first = from_end(slice.first.unwrap_or(0));
    let last = match slice.last {
        _ if slice.one => first.saturating_add(1),
        Some(last) => from_end(last),
        None => length,
    };
    if first == last {
        return Ok(Vec::new());
    }
    if !(0..length).contains(&first) || !(0..=length).contains(&last) {
        let index = if (0..length).contains(&first) { last - 1 } else { first };
        return Err(format!("there is no element {index}, but {length} elements"));
    }
    if first > last {
        return Err(format!("the slice begins at {first}, which is after its end {last}"));
    }
    let step = slice.step.unwrap_or(1);
    let step = usize::try_from(step).ok().filter(|step| *step > 0).ok_or("the step of a slice is at least 1")?;
    let (first, last) = (usize::try_from(first).unwrap_or(0), usize::try_from(last).unwrap_or(0));
    Ok(children(value).into_iter().take(last).skip(first).step_by(step).collect())
}

fn passes(element: &Value, left: &[Step], rest: Option<&(Operator, Vec<Step>)>) -> Result<bool, String> {
    let Some((operator, right)) = rest else {
        // What cannot be asked for is not there.
        return Ok(values(left, vec![element]).is_ok_and(|found| !found.is_empty()));
    };
    let one = |steps: &[Step]| match values(steps, vec![element])?.as_slice() {
        [] => Ok(None),
        [value] => Ok(Some(value.clone().into_owned())),
        _ => Err("a filter can only compare one value with one".to_owned()),
    };
    let (Some(left), Some(right)) = (one(left)?, one(right)?) else { return Ok(false) };
    let equal = left == right || order(&left, &right) == Some(Ordering::Equal);
    if matches!(operator, Operator::Equal | Operator::NotEqual) {
        let comparable = std::mem::discriminant(&left) == std::mem::discriminant(&right);
        return if comparable { Ok(equal == (*operator == Operator::Equal)) } else { Err(unlike(&left, &right)) };
    }
    let order = order(&left, &right).ok_or_else(|| unlike(&left, &right))?;
    Ok(match operator {
        Operator::Less => order.is_lt(),
        Operator::LessEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterEqual => order.is_ge(),
        Operator::Equal | Operator::NotEqual => false,
    })
}

fn unlike(left: &Value, right: &Value) -> String {
    format!("{} and {} cannot be compared", shown(left), shown(right))
}

/// The order of two numbers or two texts.
pub(super) fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// The beginning of a value, for messages.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 40;
    let text = value.to_string();
    if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST).collect::<String>() + "…" }
}
