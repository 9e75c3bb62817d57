//! What changes, in a few words: workloads with the same title are shown, counted and rolled as one group.

use std::collections::BTreeSet;

use super::{
    difference::{FieldChange, IMAGE, SidecarDifference, Text},
    image::Image,
};
use crate::core::model::{quoted, quoted::quoted, words::Difference};

/// The short text for a Pod's differences: `istio-proxy image 1.27.0 → 1.27.1`.
///
/// Sidecars that change in the same way are named together, others are joined: `istio-init + istio-proxy image 1.27.0 →
/// 1.27.1 + vault-agent missing`. Of the values only images are ever shown; any other may be a secret. Empty if nothing
/// differs.
pub fn title(differences: &[SidecarDifference]) -> String {
    let mut groups: Vec<(String, BTreeSet<&str>)> = Vec::new();
    for difference in differences {
        let change = change(difference);
        match groups.iter_mut().find(|(known, _)| *known == change) {
            Some((_, sidecars)) => drop(sidecars.insert(&difference.sidecar)),
            None => groups.push((change, BTreeSet::from([&*difference.sidecar]))),
        }
    }
    groups.sort_by(|(_, a), (_, b)| a.cmp(b));
    let groups: Vec<String> = groups
        .into_iter()
        .map(|(change, sidecars)| {
            let names: Vec<_> = sidecars.into_iter().map(quoted).collect();
            format!("{} {change}", names.join(" + "))
        })
        .collect();
    quoted::cut(groups.join(" + "), LONGEST)
}

/// Bytes of a heading: it names every sidecar that changes, and a Pod may have thousands.
const LONGEST: usize = 512;

fn change(difference: &SidecarDifference) -> String {
    match difference.difference {
        Difference::Missing => "missing".to_owned(),
        Difference::Removed => "removed".to_owned(),
        Difference::Changed => fields(&difference.fields),
        Difference::MutatedLive => format!("{} (patched live)", fields(&difference.fields)),
        Difference::Placement => {
            let to = difference.fields.first().and_then(|f| f.rendered.as_deref());
            format!("→ {}", to.unwrap_or("another list"))
        }
    }
}

/// `image 1.27.0 → 1.27.1, args, env (3)`
fn fields(changes: &[FieldChange]) -> String {
    let image = changes.iter().find(|c| c.pointer == IMAGE).map(image);
    // In the order of a container's manifest; `env` before `envFrom` for the eye.
    let others = NAMED.iter().skip(1).filter_map(|field| {
        let names: BTreeSet<&str> = changes.iter().filter_map(|c| below(&c.pointer, field)).collect();
        match (*field, names.len()) {
            (_, 0) => None,
            ("env", 1) if names.contains("") => Some("env".to_owned()),
            ("env", 1) => {
                names.first().map(|name| format!("env {}", quoted(&name.replace("~1", "/").replace("~0", "~"))))
            }
            ("env", several) => Some(format!("env ({several})")),
            (field, _) => Some(field.to_owned()),
        }
    });
    // What is compared only with `--fields` makes a difference, too: a heading always says of what it speaks.
    let rest: BTreeSet<&str> = changes.iter().map(top).filter(|field| !NAMED.contains(field)).collect();
    image.into_iter().chain(others).chain(rest.into_iter().map(str::to_owned)).collect::<Vec<_>>().join(", ")
}

/// The fields that have a place of their own in a heading.
const NAMED: [&str; 5] = ["image", "command", "args", "env", "envFrom"];

/// The field of the container that a change is in.
fn top(change: &FieldChange) -> &str {
    change.pointer.split('/').nth(1).unwrap_or_default()
}

/// The segment below a field, empty for the field itself.
fn below<'p>(pointer: &'p str, field: &str) -> Option<&'p str> {
    let rest = pointer.strip_prefix('/')?.strip_prefix(field)?;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix('/')? };
    rest.split('/').next()
}

fn image(change: &FieldChange) -> String {
    let safe = |image: &Option<Text>| quoted(image.as_deref().unwrap_or("none")).into_owned();
    let (from, to) = (&*safe(&change.running), &*safe(&change.rendered));
    let (a, b) = (Image::parse(from), Image::parse(to));
    let same_repository = (a.registry, a.path) == (b.registry, b.path);
    match ((a.tag, b.tag), (a.digest, b.digest)) {
        ((Some(a), Some(b)), _) if same_repository && a != b => format!("image {a} → {b}"),
        ((a, b), (Some(from), Some(to))) if same_repository && a == b => {
            format!("image {} → {}", short(from), short(to))
        }
        _ => format!("image {from} → {to}"),
    }
}

/// Enough of a digest to tell two apart.
fn short(digest: &str) -> &str {
    let hex = digest.find(':').map_or(0, |colon| colon + 1);
    digest.get(..hex + 12).unwrap_or(digest)
}

#[cfg(test)]
#[path = "title_tests.rs"]
mod tests;
