//! What a rendering takes away: containers and fields that run, and that it does not have (rule R7).
//!
//! A mutator that is down and fails open takes away what it would have given, and nothing else. So what is only lost is told
//! apart from what is changed: a value in the place of another one, an argument in the place of another one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    comparison::compare,
    difference::{FieldChange, IMAGE, ORDER, PLACEMENT, SidecarDifference, Text},
    field::leaves,
    mask::Mask,
    redacted_pointer,
    rendering::Rendering,
    sidecar::{SidecarSelection, injected},
};
use crate::core::model::{Name, shape::ContainerShape, words::Difference};

/// Something of a container that is there or not: `/env/ROLE`; of a list its member, `/args` and `--role`.
type Entry = (String, String);

/// Something of a running container that a rendering does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    container: Name,
    /// The container is the template's own, and may be called otherwise in other Pods.
    own: bool,
    /// What of it; `None`: all.
    entry: Option<Entry>,
}

/// `agent env/ROLE`, or the container alone. Of a list only its name: an argument may be a secret.
impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.entry {
            None => f.write_str(&self.container),
            Some((entry, _)) => {
                let entry = entry.trim_start_matches('/').replace("~1", "/").replace("~0", "~");
                write!(f, "{entry} of {}", self.container)
            }
        }
    }
}

impl Loss {
    /// Whether it is a whole container.
    pub fn is_whole(&self) -> bool {
        self.entry.is_none()
    }
}

/// A difference, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// What is more than a loss.
    pub rest: Vec<SidecarDifference>,
    /// What is lost, of sidecars and of the template's own containers.
    pub losses: BTreeSet<Loss>,
    /// The template's own containers differ in more than a loss.
    pub beside: bool,
}

/// Takes apart what was found of a Pod.
pub fn split(differences: &[SidecarDifference], collateral: &[FieldChange]) -> Split {
    let mut split = Split::default();
    for difference in differences {
        match difference.difference {
            Difference::Removed => {
                let container = difference.sidecar.clone();
                split.losses.insert(Loss { container, own: false, entry: None });
            }
            Difference::Changed => {
                let Parted { rest, lost } = part(difference.fields.iter().map(|f| (&*f.pointer, f)));
                let loss = |entry| Loss { container: difference.sidecar.clone(), own: false, entry: Some(entry) };
                split.losses.extend(lost.into_iter().map(loss));
                if !rest.is_empty() {
                    let fields = rest.into_iter().cloned().collect();
                    split.rest.push(SidecarDifference { fields, ..difference.clone() });
                }
            }
            Difference::Missing | Difference::Placement | Difference::MutatedLive => {
                split.rest.push(difference.clone());
            }
        }
    }
    let mut of_apps: BTreeMap<&str, Vec<(&str, &FieldChange)>> = BTreeMap::new();
    for field in collateral {
        let path = field.pointer.strip_prefix('/').unwrap_or(&field.pointer);
        let (app, pointer) = path.find('/').map_or((path, ""), |at| path.split_at(at));
        of_apps.entry(app).or_default().push((pointer, field));
    }
    for (app, fields) in of_apps {
        let container = Name::from(app.replace("~1", "/").replace("~0", "~"));
        let gone = fields.iter().any(|(pointer, field)| pointer.is_empty() && field.rendered.is_none());
        let Parted { rest, lost } = part(fields.into_iter());
        split.beside |= !rest.is_empty() && !gone;
        let entry = |entry| Loss { container: container.clone(), own: true, entry: Some(entry) };
        split.losses.extend(lost.into_iter().map(entry));
        split.losses.extend(gone.then(|| Loss { container: container.clone(), own: true, entry: None }));
    }
    split
}

/// Whether the newer of two renderings has nothing that the older one lacks, but lacks something that the older one has: what
/// made it is down, rather than that it moved.
pub fn only_loses(older: &Rendering, newer: &Rendering) -> bool {
    let found = compare(&older.rendered, newer, &SidecarSelection::default(), &Mask::default(), None, &[]);
    let Split { rest, losses, beside } = split(&found.differences, &found.collateral);
    rest.is_empty() && !beside && !losses.is_empty()
}

/// The fields of one container, taken apart.
#[derive(Default)]
struct Parted<'f> {
    rest: Vec<&'f FieldChange>,
    lost: Vec<Entry>,
}

fn part<'f>(fields: impl Iterator<Item = (&'f str, &'f FieldChange)>) -> Parted<'f> {
    let mut entries: BTreeMap<&str, Vec<(&str, &FieldChange)>> = BTreeMap::new();
    for (pointer, field) in fields {
        entries.entry(entry(pointer)).or_default().push((pointer, field));
    }
    let mut parted = Parted::default();
    for (entry, fields) in entries {
        let whole = fields.iter().all(|(_, field)| is_lost(field));
        if is_list(entry) {
            let members = Members::of(entry, &fields);
            let lost = members.lost();
            if lost.is_empty() || members.gained() {
                parted.rest.extend(fields.iter().map(|(_, field)| *field));
            }
            parted.lost.extend(lost.into_iter().map(|key| (entry.to_owned(), key)));
        } else if whole && ![IMAGE, PLACEMENT, ORDER, ""].contains(&entry) {
            parted.lost.push((entry.to_owned(), String::new()));
        } else {
            parted.rest.extend(fields.iter().map(|(_, field)| *field));
        }
    }
    parted
}

/// What ran, and is absent or empty now.
fn is_lost(field: &FieldChange) -> bool {
    let holds = |text: &Option<Text>| text.as_deref().is_some_and(|text| !is_empty(text));
    holds(&field.running) && !holds(&field.rendered)
}

/// What of a pointer names what is there or not: a variable, a mount, a limit; of a list the list.
fn entry(pointer: &str) -> &str {
    let depth = match pointer.split('/').nth(1).unwrap_or_default() {
        "env" | "volumeMounts" | "volumeDevices" => 2,
        "resources" => 3,
        _ => 1,
    };
    let ends = pointer.match_indices('/').map(|(at, _)| at).nth(depth);
    ends.and_then(|end| pointer.get(..end)).unwrap_or(pointer)
}

/// Lists whose members have no name of their own.
fn is_list(entry: &str) -> bool {
    entry.strip_prefix('/').is_some_and(|list| redacted_pointer::LISTS.contains(&list))
}

/// The pointers of these fields, as a lock keeps them: what is in a list whose elements have no name is told by the argument's
/// own, of which a tag is shown (`/args/[#3f2]`), and not by its place, which shifts; a word that is no flag, by none.
pub fn lasting_pointers(fields: &[FieldChange]) -> BTreeSet<String> {
    let mut lists: BTreeMap<&str, Vec<(&str, &FieldChange)>> = BTreeMap::new();
    let mut pointers = BTreeSet::new();
    for field in fields {
        match entry(&field.pointer) {
            list if is_list(list) => lists.entry(list).or_default().push((&field.pointer, field)),
            _ => drop(pointers.insert(field.pointer.clone())),
        }
    }
    for (list, fields) in lists {
        let Members { gone, come, .. } = Members::of(list, &fields);
        let member = |key: &String| {
            if key.starts_with('-') {
                format!("{list}/[{}]", redacted_pointer::tag(key, None))
            } else {
                format!("{list}/[]")
            }
        };
        pointers.extend(gone.keys().chain(come.keys()).map(member));
    }
    pointers
}

/// The members of a list that changed, each by what names it, with how many there are.
struct Members {
    gone: BTreeMap<String, usize>,
    come: BTreeMap<String, usize>,
    shrunk: bool,
}

impl Members {
    fn of(list: &str, fields: &[(&str, &FieldChange)]) -> Self {
        let mut running: Vec<(String, &str)> = Vec::new();
        let mut rendered: Vec<(String, &str)> = Vec::new();
        for (pointer, field) in fields {
            let path = below(list, pointer);
            running.extend(field.running.as_deref().map(|text| (path.to_owned(), text)));
            rendered.extend(field.rendered.as_deref().map(|text| (path.to_owned(), text)));
        }
        let shrunk = running.len() > rendered.len();
        // What only has another place now is neither gone nor come.
        running.retain(|member| match rendered.iter().position(|other| other == member) {
            Some(at) => {
                rendered.swap_remove(at);
                false
            }
            None => true,
        });
        let count = |members: Vec<(String, &str)>| {
            let mut counts = BTreeMap::new();
            for (path, text) in members {
                *counts.entry(key(list, &path, text)).or_default() += 1;
            }
            counts
        };
        Self { gone: count(running), come: count(rendered), shrunk }
    }

    /// Those that no other one of that name came for.
    fn lost(&self) -> BTreeSet<String> {
        let lost = |(key, gone): (&String, &usize)| {
            let come = self.come.get(key).copied().unwrap_or_default();
            // A word in the place of another one is a change.
            let named = key.starts_with('-') || self.shrunk;
            (*gone > come && named).then(|| key.clone())
        };
        self.gone.iter().filter_map(lost).collect()
    }

    /// Some are there that were not.
    fn gained(&self) -> bool {
        !self.come.is_empty()
    }
}

/// What names a member of a list: of `--role=x` it is `--role`, of another word the word, of a source its name.
fn key(list: &str, path: &str, text: &str) -> String {
    match list {
        "/args" | "/command" if text.starts_with('-') => text.split('=').next().unwrap_or(text).to_owned(),
        "/args" | "/command" => text.to_owned(),
        _ => format!("{path} {text}"),
    }
}

/// What admission gave in one rendering.
#[derive(Debug, Default)]
pub struct Given {
    containers: BTreeSet<Name>,
    /// Of each injected container, and of the template's own together.
    entries: BTreeSet<(Option<Name>, Entry)>,
}

impl Given {
    /// All of it: what the template has by itself is not given.
    pub fn of(rendering: &Rendering) -> Self {
        let Rendering { template, rendered, .. } = rendering;
        let containers = injected(template, rendered);
        let given = |c: &ContainerShape| {
            let name = containers.get(&c.name).cloned();
            let own = template.container(&c.name).map(entries).unwrap_or_default();
            let given = entries(c).into_iter().filter(|entry| !own.contains(entry));
            given.map(|entry| (name.clone(), entry)).collect::<Vec<_>>()
        };
        let entries = rendered.containers.iter().flat_map(|c| given(c)).collect();
        Self { containers, entries }
    }

    /// Whether it holds what was lost elsewhere: a container of that name, or that entry of it; of the template's own containers
    /// whichever has it.
    pub fn holds(&self, loss: &Loss) -> bool {
        let Loss { container, own, entry } = loss;
        match entry {
            None => self.containers.contains(container),
            Some(entry) => self.entries.contains(&((!own).then(|| container.clone()), entry.clone())),
        }
    }

    /// Whether some container is.
    pub fn has_containers(&self) -> bool {
        !self.containers.is_empty()
    }
}

/// What a container has, named as losses are.
fn entries(container: &ContainerShape) -> BTreeSet<Entry> {
    let mut fields = container.projection.value();
    if let (Some(members), Value::Object(beside)) = (fields.as_object_mut(), container.collateral.value()) {
        members.extend(beside);
    }
    let named = leaves(&fields).into_iter().filter(|(_, text)| !is_empty(text)).map(|(pointer, text)| {
        let list = entry(&pointer);
        if is_list(list) {
            return (list.to_owned(), key(list, below(list, &pointer), &text));
        }
        let shown = redacted_pointer::shown(&pointer, None);
        (entry(&shown).to_owned(), String::new())
    });
    named.collect()
}

/// A pointer into a list, below the place in it.
fn below<'p>(list: &str, pointer: &'p str) -> &'p str {
    let path = pointer.strip_prefix(list).unwrap_or(pointer).trim_start_matches('/');
    path.split_once('/').map_or("", |(_, path)| path)
}

fn is_empty(text: &str) -> bool {
    ["", "{}", "[]", "null"].contains(&text)
}

#[cfg(test)]
#[path = "loss_tests.rs"]
mod tests;
