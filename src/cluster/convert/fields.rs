//! Reading JSON that others wrote: nothing fails, and what has the wrong type is noted.

use std::{cell::RefCell, collections::BTreeMap};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::core::model::Name;

/// At most this many faults of one object are named; the rest would only make the log longer.
pub(super) const FAULTS: usize = 5;

/// What was found to be of the wrong type in one object, as JSON pointers.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<String>>);

impl Faults {
    pub(super) fn into_vec(self) -> Vec<String> {
        self.0.into_inner()
    }

    fn note(&self, path: String) {
        let mut faults = self.0.borrow_mut();
        if faults.len() < FAULTS {
            faults.push(path);
        }
    }
}

/// A place in an object. A place that does not exist, and an explicit null, read as empty.
#[derive(Clone)]
pub(super) struct Field<'a> {
    value: &'a Value,
    path: Path<'a>,
    faults: &'a Faults,
}

/// The way to a field, kept as borrowed steps so that reading without faults allocates nothing.
#[derive(Clone)]
struct Path<'a> {
    steps: [&'a str; DEPTH],
    used: usize,
}

/// `spec.template.spec.securityContext` and the like; deeper places are named by their first steps.
const DEPTH: usize = 8;

impl<'a> Field<'a> {
    /// The object itself.
    pub(super) fn root(value: &'a Value, faults: &'a Faults) -> Self {
        Self { value, path: Path { steps: [""; DEPTH], used: 0 }, faults }
    }

    /// The member of this name.
    pub(super) fn at(&self, key: &'a str) -> Self {
        let mut path = self.path.clone();
        if let Some(step) = path.steps.get_mut(path.used) {
            *step = key;
            path.used += 1;
        }
        let value = self.object().and_then(|object| object.get(key)).unwrap_or(&Value::Null);
        Self { value, path, faults: self.faults }
    }

    /// The member at the end of this way.
    pub(super) fn within(&self, way: impl IntoIterator<Item = &'a str>) -> Self {
        way.into_iter().fold(self.clone(), |field, member| field.at(member))
    }

    /// The value as it is.
    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// Whether there is anything.
    pub(super) fn is_some(&self) -> bool {
        !self.value.is_null()
    }

    /// Note that this place cannot be understood.
    pub(super) fn fault<T>(&self) -> Option<T> {
        self.faults.note(format!("/{}", self.path.steps[..self.path.used].join("/")));
        None
    }

    fn typed<T>(&self, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        if self.value.is_null() {
            return None;
        }
        read(self.value).or_else(|| self.fault())
    }

    /// A JSON object's members.
    pub(super) fn object(&self) -> Option<&'a Map<String, Value>> {
        self.typed(Value::as_object)
    }

    /// A string.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.typed(Value::as_str)
    }

    /// A string to keep; empty if absent.
    pub(super) fn name(&self) -> Name {
        Name::from(self.text().unwrap_or_default())
    }

    /// A number.
    pub(super) fn int(&self) -> Option<i64> {
        self.typed(Value::as_i64)
    }

    /// A count that Kubernetes keeps in a signed number. Absent and negative read as zero.
    pub(super) fn count(&self) -> u32 {
        self.int().and_then(|n| u32::try_from(n.max(0)).ok()).unwrap_or_default()
    }

    /// A bool; false if absent.
    pub(super) fn flag(&self) -> bool {
        self.typed(Value::as_bool).unwrap_or_default()
    }

    /// A time in RFC 3339.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let text = self.text()?;
        text.parse().ok().or_else(|| self.fault())
    }

    /// The items of a list.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let (path, faults) = (self.path.clone(), self.faults);
        let items = self.typed(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().map(move |value| Self { value, path: path.clone(), faults })
    }

    /// A map of strings, such as labels.
    pub(super) fn map(&self) -> BTreeMap<Name, Name> {
        let mut map = BTreeMap::new();
        for (key, _) in self.object().into_iter().flatten() {
            if let Some(text) = self.at(key).text() {
                map.insert(Name::from(key.as_str()), Name::from(text));
            }
        }
        map
    }

    /// Whether this list of strings holds one of these.
    pub(super) fn holds(&self, any_of: &[&str]) -> bool {
        self.items().any(|item| item.text().is_some_and(|text| any_of.contains(&text)))
    }
}
