//! Volumes whose names are drawn anew for each Pod (rule C4).

use serde_json::Value;

use crate::core::model::canonical::whole_word;
use crate::core::model::shape::lenient;

/// A kind of volume with a volatile name: `<prefix>-<suffix>`.
struct Row {
    prefix: &'static str,
    /// Whether the rest of the name is of the kind that is drawn or hashed.
    suffix: fn(&str) -> bool,
}

/// The kinds. Each holds a projected ServiceAccount token, which tells them from a user's volume of a similar name.
const ROWS: &[Row] = &[
    // The ServiceAccount admission plugin: five random characters.
    Row {
        prefix: "kube-api-access-",
        suffix: |s| s.len() == 5 && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
    },
    // Azure workload identity: a hash of the Pod's name, or of its generateName.
    Row {
        prefix: "azure-identity-token-",
        suffix: |s| s.len() >= 6 && s.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f')),
    },
];

/// The volatile names of one Pod, from its own list of volumes, with the tokens that stand for them.
///
/// Substitution looks for these very names and for nothing else, so unrelated text is safe; and each volume has a token
/// of its own, so two of them in exchanged places are not the same.
#[derive(Debug, Default)]
pub(super) struct TokenVolumes {
    names: Vec<(String, String)>,
}

impl TokenVolumes {
    /// Of a Pod's or template's `spec.volumes`.
    pub(super) fn of(volumes: Option<&Value>) -> Self {
        let mut names = Vec::new();
        for row in ROWS {
            let mut found: Vec<(String, &str)> = lenient::list(volumes)
                .iter()
                .filter_map(|volume| {
                    let name = volume.get("name")?.as_str()?;
                    ((row.suffix)(name.strip_prefix(row.prefix)?) && holds_token(volume))
                        .then(|| (content(volume), name))
                })
                .collect();
            // By content, not by place: the order of volumes may be volatile, too. Stable for equal contents.
            found.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (number, (_, name)) in found.into_iter().enumerate() {
                // Parentheses cannot stand in a volume's name.
                names.push((name.to_owned(), format!("{}({number})", row.prefix)));
            }
        }
        Self { names }
    }

    /// Whether the text has one of the volatile names in it. JSON writes them as they are.
    pub(super) fn stand_in(&self, text: &str) -> bool {
        self.names.iter().any(|(name, _)| text.contains(name.as_str()))
    }

    /// The text with canonical names.
    pub(super) fn canonical(&self, text: &str) -> String {
        let mut out = std::borrow::Cow::Borrowed(text);
        for (name, canonical) in &self.names {
            if let std::borrow::Cow::Owned(replaced) = whole_word::replace(&out, name, canonical) {
                out = replaced.into();
            }
        }
        out.into_owned()
    }

    /// The value with canonical names in all its strings, however deep.
    pub(super) fn canonical_all(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.canonical(&text)),
            Value::Array(elements) => elements.into_iter().map(|v| self.canonical_all(v)).collect(),
            Value::Object(members) => members.into_iter().map(|(k, v)| (k, self.canonical_all(v))).collect(),
            scalar => scalar,
        }
    }
}

fn holds_token(volume: &Value) -> bool {
    let sources = volume.get("projected").and_then(|p| p.get("sources"));
    lenient::list(sources).iter().any(|source| source.get("serviceAccountToken").is_some())
}

fn content(volume: &Value) -> String {
    volume.get("projected").map(Value::to_string).unwrap_or_default()
}
