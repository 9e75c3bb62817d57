//! What watches bring to each process, and when.

use std::collections::BTreeSet;

use sidecar_drift::core::{io::WatchSource, model::Name};

use super::{
    process::{Feed, backing},
    world::{Call, Event, World},
};

impl World {
    /// A watch lists anew: what it says is how things are when the list is made.
    pub(super) fn relist(&mut self, place: usize, source: &WatchSource) {
        let events = self.cluster.objects.list(source);
        let at = self.at + self.random.millis(50, 1500);
        let Some(feed) = self.process(place).and_then(|p| p.feeds.get_mut(source)) else { return };
        if feed.forbidden {
            return;
        }
        feed.broken = false;
        feed.last = feed.last.max(at);
        let at = feed.last;
        self.later_at(place, at, Call::Watch(source.clone(), events));
    }

    /// What is new reaches those who watch it.
    pub(super) fn spread_news(&mut self) {
        let news = std::mem::take(&mut self.cluster.objects.news);
        for (source, event) in news {
            for place in 0..self.processes.len() {
                let after = self.random.millis(5, 400);
                let at = self.at;
                let Some(process) = self.processes[place].as_mut() else { continue };
                let incarnation = process.incarnation;
                let cut = process.is_partitioned(at);
                let Some(feed) = process.feeds.get_mut(&source) else { continue };
                if cut {
                    feed.broken = true;
                }
                if feed.broken || feed.forbidden {
                    continue;
                }
                feed.last = feed.last.max(at + after + feed.lag);
                let at = feed.last;
                let call = Call::Watch(source.clone(), vec![event.clone()]);
                self.schedule(at, Event::Process(place, incarnation, call));
            }
        }
    }

    pub(super) fn watch_backends(&mut self, place: usize, namespaces: BTreeSet<Name>) {
        let Some(process) = self.process(place) else { return };
        let (before, after) = (backing(&process.backends), backing(&namespaces));
        process.backends = namespaces;
        process.feeds.retain(|source, _| !before.contains(source) || after.contains(source));
        let more: Vec<_> = after.into_iter().filter(|source| !before.contains(source)).collect();
        for source in &more {
            process.feeds.insert(source.clone(), Feed::default());
        }
        for source in more {
            self.relist(place, &source);
        }
    }
}
