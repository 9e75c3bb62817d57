//! Samples: workloads whose renderings would show that a configuration changed.

use std::collections::BTreeSet;

use super::{case::Case, verdicts::Verdicts};
use crate::core::{
    injection::{ALL, Scope, View},
    model::{Name, WorkloadKey},
    render::Renders,
};

/// What makes workloads unlike each other: the sidecars that they are given, and whether their templates have annotations, by
/// which most injectors let themselves be told otherwise.
type Likeness<'a> = (&'a [Name], bool);

/// So many are asked even if all are alike: one of them may be told otherwise in a way that is not seen here.
const ENOUGH: usize = 2;

impl Verdicts {
    /// So many workloads whose renderings would show that this configuration changed: unlike each other where there are such,
    /// and those first that were not asked for the longest time, so that the next look asks others.
    pub fn samples(&self, scope: &Scope, most: usize, view: View<'_>, renders: &Renders) -> Vec<WorkloadKey> {
        let would_tell = |case: &Case| {
            let depends = case.set().is_some_and(|set| set.versions.contains_key(scope));
            depends && !case.is_adding() && case.has_not_failed() && !case.judged.sidecars.is_empty()
        };
        let told = self.cases.iter().filter(|(key, case)| would_tell(case) && !renders.is_pending(key));
        let mut told: Vec<_> = told
            .filter_map(|(key, case)| {
                let likeness: Likeness<'_> =
                    (&case.judged.sidecars, view.index.workload(key)?.template.has_annotations);
                Some((case.set()?.confirmed.elapsed, likeness, key))
            })
            .collect();
        // Those with the most sidecars first, of those that wait equally long: one without those of this injector shows nothing.
        told.sort_by_key(|(confirmed, (sidecars, _), _)| (*confirmed, usize::MAX - sidecars.len()));
        let mut seen = BTreeSet::new();
        let (unlike, alike): (Vec<_>, Vec<_>) = told.into_iter().partition(|(_, likeness, _)| seen.insert(*likeness));
        let enough = if most == ALL { ALL } else { unlike.len().max(ENOUGH).min(most) };
        unlike.into_iter().chain(alike).take(enough).map(|(.., key)| key.clone()).collect()
    }
}
