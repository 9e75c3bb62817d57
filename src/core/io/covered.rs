//! What a canary's proof is for.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::core::model::{WorkloadKey, fingerprint::sha256_hex};

/// Of so many workloads it is written down what a canary goes first for; one of those left out asks for a canary of its own after a
/// restart.
const MOST: usize = 4096;

/// What the workloads that wait for a canary would get: for each target fingerprint the workloads, both as short hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Covered(BTreeMap<u32, BTreeSet<u32>>);

impl Covered {
    /// These workloads wait, and would get this.
    pub fn add<'a>(&mut self, waiting: impl IntoIterator<Item = (&'a WorkloadKey, &'a str)>) {
        let mut room = MOST.saturating_sub(self.len());
        let mut waiting = waiting.into_iter();
        while room > 0
            && let Some((workload, target)) = waiting.next()
        {
            let new = self.0.entry(hash(target)).or_default().insert(hash(&workload.to_string()));
            room -= usize::from(new);
        }
    }

    /// Whether this workload waited, and would have got this.
    pub fn contains(&self, workload: &WorkloadKey, target: &str) -> bool {
        self.0.get(&hash(target)).is_some_and(|workloads| workloads.contains(&hash(&workload.to_string())))
    }

    /// What is called so here is called otherwise there.
    pub fn translate(&mut self, there: impl Iterator<Item = (impl AsRef<str>, impl AsRef<str>)>) {
        let there: BTreeMap<_, _> = there.map(|(from, to)| (hash(from.as_ref()), hash(to.as_ref()))).collect();
        for (target, workloads) in std::mem::take(&mut self.0) {
            self.0.entry(there.get(&target).copied().unwrap_or(target)).or_default().extend(workloads);
        }
    }

    /// How many are on record.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Nothing is on record.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn hash(text: &str) -> u32 {
    let hex = sha256_hex(text.as_bytes());
    hex.get(..8).and_then(|first| u32::from_str_radix(first, 16).ok()).unwrap_or_default()
}

/// `0a1b2c3d=4e5f6071,8293a4b5 c6d7e8f9=0a1b2c3d`: targets and their workloads.
impl From<Covered> for String {
    fn from(Covered(all): Covered) -> Self {
        let one = |(target, workloads): (&u32, &BTreeSet<u32>)| {
            let workloads: Vec<_> = workloads.iter().map(|workload| format!("{workload:08x}")).collect();
            format!("{target:08x}={}", workloads.join(","))
        };
        all.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

impl FromStr for Covered {
    type Err = String;

    /// What a later version writes otherwise is not guessed: then nothing is rolled out.
    fn from_str(text: &str) -> Result<Self, String> {
        let hash = |word: &str| u32::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no hash"));
        let one = |word: &str| {
            let (target, workloads) = word.split_once('=').ok_or_else(|| format!("{word:?} names no workload"))?;
            Ok((hash(target)?, workloads.split(',').map(hash).collect::<Result<_, _>>()?))
        };
        text.split_whitespace().map(one).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for Covered {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
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
        covered.add([(&a, "v1:1"), (&b, "v1:2")]);
        let text = serde_json::to_string(&covered).unwrap();
        let read: Covered = serde_json::from_str(&text).unwrap();
        assert_eq!(read, covered);
        assert!(read.contains(&a, "v1:1") && read.contains(&b, "v1:2"), "{text}");
        assert!(!read.contains(&a, "v1:2") && !read.contains(&b, "v1:1"), "{text}");
        assert!(serde_json::from_str::<Covered>("\"none\"").is_err());
        let mut elsewhere = read;
        elsewhere.translate([("v1:1", "v1:3"), ("v1:3", "v1:1")].into_iter());
        assert!(elsewhere.contains(&a, "v1:3") && elsewhere.contains(&b, "v1:2") && !elsewhere.contains(&a, "v1:1"));
    }

    #[test]
    fn the_record_of_a_large_fleet_is_bounded() {
        let a = key(Kind::DEPLOYMENT, "shop", "a");
        let mut covered = Covered::default();
        let targets: Vec<_> = (0..2 * MOST).map(|number| number.to_string()).collect();
        covered.add(targets.iter().map(|target| (&a, target.as_str())));
        assert_eq!(covered.len(), MOST);
        assert!(serde_json::to_string(&covered).unwrap().len() < 80_000);
    }
}
