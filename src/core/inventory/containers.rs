//! Containers, each kept once, and most of them as what tells them from another.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{compact::Named, intern_table::InternTable};
use crate::core::model::{Name, shape::ContainerShape};

/// Containers of shapes.
///
/// What a container says is mostly what others say, too: the sidecars of one injector differ by their workload's name, and the
/// containers of one team by a few variables. So its text is kept by what it has in common with the first that was called
/// the same, or whose image comes from the same place.
#[derive(Debug, Default)]
pub(super) struct Containers {
    all: InternTable<ContainerShape>,
    /// The first of each name.
    named: HashSet<Named>,
    /// The first from each place.
    from: HashMap<Box<str>, Arc<ContainerShape>>,
}

impl Containers {
    /// Replace a container by the shared copy, and its words by those in `names`.
    pub(super) fn share(&mut self, container: &mut Arc<ContainerShape>, names: &mut HashSet<Name>) {
        if let Some(known) = self.all.get(container) {
            *container = known.clone();
            return;
        }
        let new = Arc::make_mut(container);
        for word in [&mut new.name, &mut new.image] {
            share(names, word);
        }
        new.collateral.share(names);
        let of_its_name = self.named.get(&new.name).map(|Named(first)| first);
        let from_there = self.from.get(place(&new.image));
        new.projection.squeeze(of_its_name.into_iter().chain(from_there).map(|first| &first.projection));
        self.all.insert(container.clone());
        if of_its_name.is_none() {
            self.named.insert(Named(container.clone()));
        }
        if from_there.is_none() {
            self.from.insert(place(&container.image).into(), container.clone());
        }
    }

    /// Drop what nobody has any more. What others were told by stays with them, but the next ones are told by each other.
    pub(super) fn forget_unused(&mut self) {
        self.named.clear();
        self.from.clear();
        self.all.forget_unused();
    }
}

/// Replace a name by the one copy of it.
pub(super) fn share(names: &mut HashSet<Name>, name: &mut Name) {
    if let Some(known) = names.get(name) {
        *name = known.clone();
    } else {
        names.insert(name.clone());
    }
}

/// Where an image comes from: `registry.example.com/shop`.
fn place(image: &str) -> &str {
    image.rsplit_once('/').map_or("", |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::model::shape::PodShape;

    fn container(name: &str, image: &str, workload: &str) -> Arc<ContainerShape> {
        let env: Vec<Value> =
            (0..20).map(|n| json!({ "name": format!("VAR_{n}"), "value": format!("{workload}-{}", n * n) })).collect();
        let pod = json!({ "spec": { "containers": [{ "name": name, "image": image, "env": env }] } });
        PodShape::from_pod(&pod).containers[0].clone()
    }

    #[derive(Default)]
    struct Table {
        containers: Containers,
        names: HashSet<Name>,
    }

    impl Table {
        fn share(&mut self, mut container: Arc<ContainerShape>) -> Arc<ContainerShape> {
            self.containers.share(&mut container, &mut self.names);
            container
        }
    }

    #[test]
    fn a_container_is_kept_once_and_says_what_it_said() {
        let mut table = Table::default();
        let first = table.share(container("proxy", "mesh/proxy:1", "web"));
        assert!(Arc::ptr_eq(&first, &table.share(container("proxy", "mesh/proxy:1", "web"))));
        for (name, image, workload) in [
            ("proxy", "mesh/proxy:1", "api"),
            ("proxy", "mesh/proxy:2", "web"),
            ("api", "shop/api:1", ""),
            ("db", "db", ""),
        ] {
            let plain = container(name, image, workload);
            let kept = table.share(plain.clone());
            assert_eq!(kept, plain);
            assert_eq!((kept.projection.text(), &kept.projection), (plain.projection.text(), &plain.projection));
            assert_ne!(kept, first);
        }
        assert_eq!(table.containers.all.len(), 5);
        let mut places: Vec<_> = table.containers.from.keys().map(|place| &**place).collect();
        places.sort_unstable();
        assert_eq!(places, ["", "mesh", "shop"]);
    }

    #[test]
    fn what_nobody_has_is_dropped_and_what_was_told_by_it_is_still_what_it_was() {
        let mut table = Table::default();
        drop(table.share(container("proxy", "mesh/proxy:1", "web")));
        let other = table.share(container("proxy", "mesh/proxy:1", "api"));
        table.containers.forget_unused();
        assert_eq!(table.containers.all.len(), 1);
        assert_eq!(other.projection, container("proxy", "mesh/proxy:1", "api").projection);
    }
}
