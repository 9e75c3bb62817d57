//! What follows from who a Pod is (rule R3).
//!
//! A controller gives each Pod what no other has: an ordinal, which is in its name, its hostname, its labels and its claims, or a
//! Node. Injectors copy that into containers. Two renderings for two Pods prove what follows: a number that moves as the ordinal
//! does, and the Node's name. What is the same in both is the same for every Pod, whatever it looks like; what differs in another
//! way (a hash of the name) follows in a way that nobody knows, and is volatile.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::rendering::Rendering;
use crate::core::model::{
    Name,
    canonical::whole_word,
    digit_runs,
    shape::{ContainerShape, PodShape},
};

/// A running Pod's own part of what its controller gave it.
#[derive(Clone, Copy, Debug)]
pub struct PodIdentity<'a> {
    /// Its name.
    pub name: &'a str,
    /// The Node that it was made for, if its controller makes one for each.
    pub node: Option<&'a str>,
}

/// Two names of one Pod (rule R3): a StatefulSet's rendering carries the name of an ordinal that does not exist.
#[derive(Clone, Copy, Debug)]
pub struct NameMap<'a> {
    /// The rendering's.
    pub rendered: &'a str,
    /// The running Pod's.
    pub running: &'a str,
    /// Two names of its namespace: a rendering as if in another one.
    pub namespaces: Option<(&'a str, &'a str)>,
}

impl NameMap<'_> {
    /// The running Pod's name, if the rendering has another one.
    pub(super) fn pod(&self) -> Option<&str> {
        Some(self.running).filter(|_| !self.rendered.is_empty())
    }

    pub(super) fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let named = whole_word::replace(text, self.rendered, self.running);
        let Some((rendered, running)) = self.namespaces else { return named };
        match named {
            Cow::Borrowed(text) => whole_word::replace(text, rendered, running),
            Cow::Owned(text) => Cow::Owned(whole_word::replace(&text, rendered, running).into_owned()),
        }
    }

    /// All texts of a value, keys, too.
    pub(super) fn apply_to(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.apply(text).into(),
            Value::Array(elements) => elements.iter().map(|element| self.apply_to(element)).collect(),
            Value::Object(members) => {
                members.iter().map(|(k, v)| (self.apply(k).into_owned(), self.apply_to(v))).collect()
            }
            scalar => scalar.clone(),
        }
    }
}

/// Whom a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Who<'a> {
    ordinal: Option<i64>,
    /// The ordinal of the Pod whose claims it has.
    claims: Option<i64>,
    node: Option<&'a str>,
}

impl<'a> Who<'a> {
    fn of(rendering: &'a Rendering) -> Self {
        Self {
            ordinal: rendering.pod_name.as_deref().and_then(ordinal),
            claims: rendering.claims.map(i64::from),
            node: rendering.node.as_deref(),
        }
    }

    fn running(pod: PodIdentity<'a>) -> Self {
        let ordinal = ordinal(pod.name);
        Self { ordinal, claims: ordinal, node: pod.node }
    }
}

/// The number that a StatefulSet's Pod is called by.
fn ordinal(pod: &str) -> Option<i64> {
    pod.rsplit_once('-')?.1.parse().ok()
}

/// A rendering beside one for another Pod of the same template, and whom it is to be translated for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follows<'a> {
    own: Who<'a>,
    other: Who<'a>,
    partner: &'a PodShape,
    /// `None`: for any Pod, as what they have in common.
    to: Option<Who<'a>>,
    /// What the set is called, if its Pods have ordinals.
    set: Option<&'a str>,
    /// For what follows in a way that nobody knows.
    names: Option<NameMap<'a>>,
}

/// In the place of an ordinal, where it is any Pod's.
const ANY_ORDINAL: &str = "(ordinal)";
/// In the place of a Node, where it is any Pod's.
const ANY_NODE: &str = "(node)";
/// In the place of a Pod's name, where it is any Pod's.
pub(super) const ANY_POD: &str = "(pod)";

impl<'a> Follows<'a> {
    /// For a running Pod, or for any; `None` where no rendering of these is for another Pod.
    pub(super) fn of(
        rendering: &'a Rendering,
        renderings: &'a [Rendering],
        to: Option<PodIdentity<'a>>,
        names: Option<NameMap<'a>>,
    ) -> Option<Self> {
        let own = Who::of(rendering);
        let partner = renderings.iter().rev().find(|other| Who::of(other) != own)?;
        let set = rendering.pod_name.as_deref().and_then(|name| Some(name.rsplit_once('-')?.0));
        Some(Self { own, other: Who::of(partner), partner: &partner.rendered, to: to.map(Who::running), set, names })
    }

    /// What `rendering` would be if it were for the Pod that `other` is for.
    pub(super) fn between(rendering: &'a Rendering, other: &'a Rendering, names: Option<NameMap<'a>>) -> Option<Self> {
        let follows = Self::of(rendering, std::slice::from_ref(other), None, names)?;
        Some(Self { to: Some(follows.other), ..follows })
    }

    /// The same container in the other rendering, if it is not the same there.
    pub(super) fn partner(&self, rendered: &ContainerShape) -> Option<&'a ContainerShape> {
        let partner = self.partner.container(&rendered.name)?;
        (partner.fingerprint != rendered.fingerprint || partner.collateral != rendered.collateral).then_some(partner)
    }

    /// A value of the rendering as it would be for the Pod in question.
    pub(super) fn translate(&self, own: &Value, other: &Value) -> Value {
        match (own, other) {
            _ if own == other => own.clone(),
            (Value::Object(a), Value::Object(b)) => self.members(a, b),
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b).map(|(own, other)| self.translate(own, other)).collect()
            }
            (Value::String(a), Value::String(b)) => self.text(a, b).map_or_else(|| self.named(own), Value::from),
            (Value::Number(a), Value::Number(b)) => {
                let text = self.text(&a.to_string(), &b.to_string());
                let read = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
                text.map_or_else(|| own.clone(), read)
            }
            _ => self.named(own),
        }
    }

    /// A member whose key follows has another one in the other rendering.
    fn members(&self, own: &Map<String, Value>, other: &Map<String, Value>) -> Value {
        let renamed = |key: &str| {
            let mut only_there = other.iter().filter(|(there, _)| !own.contains_key(*there));
            only_there.find_map(|(there, value)| Some((self.text(key, there)?, value)))
        };
        let translated = own.iter().map(|(key, value)| match other.get(key) {
            Some(same) => (key.clone(), self.translate(value, same)),
            None => match renamed(key) {
                Some((key, there)) => (key, self.translate(value, there)),
                None => (self.names.map_or_else(|| key.clone(), |n| n.apply(key).into_owned()), self.named(value)),
            },
        });
        translated.collect()
    }

    /// Nothing is proven here: the Pod's name alone is taken for what it looks like.
    fn named(&self, value: &Value) -> Value {
        self.names.as_ref().map_or_else(|| value.clone(), |names| names.apply_to(value))
    }

    /// A text of the rendering as it would be for the Pod in question; `None`: that does not follow.
    fn text(&self, own: &str, other: &str) -> Option<String> {
        if let (Some(here), Some(there)) = (self.own.node, self.other.node)
            && here != there
            && whole_word::replace(own, here, there) == other
        {
            let node = self.to.map_or(Some(ANY_NODE), |to| to.node)?;
            return Some(whole_word::replace(own, here, node).into_owned());
        }
        let (own, other) = (digit_runs(own), digit_runs(other));
        if own.len() != other.len() {
            return None;
        }
        let mut out = String::new();
        for (own, other) in own.into_iter().zip(other) {
            if own == other {
                out.push_str(own);
            } else {
                out.push_str(&self.number(own, other)?);
            }
        }
        match (self.to, self.set) {
            (None, Some(set)) => Some(whole_word::replace(&out, &format!("{set}-{ANY_ORDINAL}"), ANY_POD).into_owned()),
            _ => Some(out),
        }
    }

    /// A number that is as far from the ordinal in both renderings.
    fn number(&self, own: &str, other: &str) -> Option<String> {
        let padded = |text: &str| if text.starts_with('0') { text.len() } else { 0 };
        let width = padded(own).max(padded(other));
        let write = |number: i64| (number >= 0).then(|| format!("{number:0width$}"));
        let (here, there): (i64, i64) = (own.parse().ok()?, other.parse().ok()?);
        if write(here).as_deref() != Some(own) || write(there).as_deref() != Some(other) {
            return None;
        }
        let pairs = [(self.own.ordinal, self.other.ordinal, true), (self.own.claims, self.other.claims, false)];
        let offsets = pairs.into_iter().filter_map(|(a, b, named)| {
            let (a, b) = a.zip(b).filter(|(a, b)| a != b)?;
            let offset = here.checked_sub(a)?;
            // Less than the ordinal would be nothing for the first Pod.
            (offset >= 0 && there.checked_sub(b)? == offset).then_some((offset, named))
        });
        let (offset, named) = offsets.min()?;
        let Some(to) = self.to else {
            let apart = if offset == 0 { String::new() } else { format!("{offset:+}") };
            let width = if width == 0 { String::new() } else { format!(":{width}") };
            return Some(if apart.is_empty() && width.is_empty() {
                ANY_ORDINAL.to_owned()
            } else {
                format!("(ordinal{apart}{width})")
            });
        };
        let whose = if named { to.ordinal } else { to.claims };
        write(whose?.checked_add(offset)?)
    }
}

/// Whether what one Pod is compared with may be another than what the next one is: its name plays a part, or renderings for two
/// Pods are not the same.
pub fn depends_on_pod(renderings: &[Rendering]) -> bool {
    let named = renderings.iter().any(|r| r.pod_name.is_some());
    named
        || renderings
            .iter()
            .any(|r| renderings.iter().any(|other| r.node != other.node && r.rendered != other.rendered))
}

/// Who was asked for: what the next rendering should not be for again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderedFor {
    /// The ordinal of a StatefulSet's Pod.
    pub ordinal: Option<u32>,
    /// The Node of a DaemonSet's Pod.
    pub node: Option<Name>,
}

impl RenderedFor {
    /// Whom a rendering is for.
    pub fn of(rendering: &Rendering) -> Self {
        let ordinal = rendering.pod_name.as_deref().and_then(ordinal).and_then(|ordinal| u32::try_from(ordinal).ok());
        Self { ordinal, node: rendering.node.clone() }
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
