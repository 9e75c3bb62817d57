//! Pods that are old enough to be judged (rule C8), by class: what holds for one Pod of a class holds for all of it, so that
//! an event of a Pod costs what there are classes, and not what there are replicas.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::core::{
    inventory::{Made, Pod, PodClass},
    model::time::Now,
};

/// The Pods of some classes that are old enough.
#[derive(Clone, Debug, Default)]
pub(super) struct RipePods<'a> {
    classes: Vec<RipeClass<'a>>,
    next: Option<Duration>,
}

/// Those of one class. Never empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct RipeClass<'a> {
    class: PodClass<'a>,
    /// So many of the youngest are too young.
    young: usize,
}

impl<'a> RipePods<'a> {
    /// Those that are as old as this, or older. A Pod that seems to come from the future is too young.
    pub(super) fn of(classes: &[PodClass<'a>], age: Duration, now: Now) -> Self {
        let age_then = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        let latest = now.wall.checked_sub(age_then).unwrap_or(Timestamp::MIN);
        let mut ripe = Self::default();
        for class in classes {
            let young = class.created_after(latest);
            let left = young.clone().map(|pod| age.saturating_sub(now.since(pod.created))).min();
            ripe.next = [ripe.next, left].into_iter().flatten().min();
            let young = young.count();
            if young < class.count() {
                ripe.classes.push(RipeClass { class: *class, young });
            }
        }
        ripe
    }

    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.classes.iter().map(RipeClass::count).sum()
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = RipeClass<'a>> {
        self.classes.iter().copied()
    }

    /// In how long the next one will be old enough.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }
}

impl<'a> RipeClass<'a> {
    pub(super) fn made(&self) -> &'a Arc<Made> {
        self.class.made
    }

    pub(super) fn count(&self) -> usize {
        self.class.count() - self.young
    }

    /// The oldest first. Costs what there are Pods.
    pub(super) fn pods(&self) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.class.pods().take(self.count())
    }

    /// The youngest first, down to those that were created then.
    pub(super) fn created_since(&self, time: Timestamp) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.class.pods().rev().skip(self.young).take_while(move |pod| pod.created >= time)
    }
}
