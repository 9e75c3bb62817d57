//! What a canary's proof is for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::core::model::{WorkloadKey, fingerprint::sha256_hex};

/// Of so many renderings it is written down that a canary goes first for them; one of those left out asks for a canary of its own
/// after a restart.
const MOST: usize = 4096;

/// What the workloads that wait for a canary would get: short hashes of workload and target together, since a sidecar may name
/// its workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Covered(BTreeSet<u32>);

impl Covered {
    /// This workload waits, and would get this.
    pub fn add(&mut self, workload: &WorkloadKey, target: &str) {
        if self.0.len() < MOST {
            self.0.insert(hash(workload, target));
        }
    }

    /// Whether this workload waited, and would have got this.
    pub fn contains(&self, workload: &WorkloadKey, target: &str) -> bool {
        self.0.contains(&hash(workload, target))
    }

    /// How many are on record.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing is on record.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn hash(workload: &WorkloadKey, target: &str) -> u32 {
    let hex = sha256_hex(format!("{workload} {target}").as_bytes());
    hex.get(..8).and_then(|first| u32::from_str_radix(first, 16).ok()).unwrap_or_default()
}

/// `0a1b2c3d 4e5f6071`
impl From<Covered> for String {
    fn from(Covered(hashes): Covered) -> Self {
        let hashes: Vec<_> = hashes.iter().map(|hash| format!("{hash:08x}")).collect();
        hashes.join(" ")
    }
}

impl TryFrom<String> for Covered {
    type Error = String;

    /// What a later version writes otherwise is not guessed: then nothing is rolled out.
    fn try_from(text: String) -> Result<Self, String> {
        let hash = |word: &str| u32::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no hash"));
        text.split_whitespace().map(hash).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{owner::Kind, test_objects::key};

    #[test]
    fn a_proof_is_for_a_workload_and_what_it_would_get() {
        let (a, b) = (key(Kind::DEPLOYMENT, "shop", "a"), key(Kind::DEPLOYMENT, "shop", "b"));
        let mut covered = Covered::default();
        covered.add(&a, "v1:1");
        covered.add(&b, "v1:2");
        let text = serde_json::to_string(&covered).unwrap();
        let read: Covered = serde_json::from_str(&text).unwrap();
        assert_eq!(read, covered);
        assert!(read.contains(&a, "v1:1") && read.contains(&b, "v1:2"), "{text}");
        assert!(!read.contains(&a, "v1:2") && !read.contains(&b, "v1:1"), "{text}");
        assert!(serde_json::from_str::<Covered>("\"none\"").is_err());
    }

    #[test]
    fn the_record_of_a_large_fleet_is_bounded() {
        let a = key(Kind::DEPLOYMENT, "shop", "a");
        let mut covered = Covered::default();
        (0..2 * MOST).for_each(|number| covered.add(&a, &number.to_string()));
        assert_eq!(covered.0.len(), MOST);
        assert!(serde_json::to_string(&covered).unwrap().len() < 40_000);
    }
}
