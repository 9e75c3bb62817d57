//! Which containers are sidecars (rule C1).

use std::collections::BTreeSet;

use super::image::Image;
use crate::core::{
    canonical::token,
    io::Rendering,
    shape::{ContainerShape, Name, PodShape},
};

/// Which containers are taken for sidecars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SidecarSelection {
    /// Those of these names, whoever put them into the Pod. Empty: every injected container, see [`injected`].
    pub named: BTreeSet<Name>,
}

impl SidecarSelection {
    /// The sidecars of a workload: those that a rendering has, and those that `running` has.
    pub fn sidecars(&self, rendering: &Rendering, running: Option<&PodShape>) -> BTreeSet<Name> {
        let Rendering { template, rendered, .. } = rendering;
        if self.named.is_empty() {
            let running = running.into_iter().flat_map(|running| injected(template, running));
            return injected(template, rendered).into_iter().chain(running).collect();
        }
        let shapes = running.into_iter().chain([&**rendered]);
        let names = shapes.flat_map(|shape| &shape.containers).map(|c| &c.name);
        names.filter(|name| self.named.contains(*name)).cloned().collect()
    }
}

/// The containers of a Pod that its template does not have, or whose image the template leaves to admission.
///
/// An image is left to admission where the template holds a *placeholder*: a blank or one bare word (`auto`), without
/// registry, path, tag or digest, in whose place the Pod has an image whose path does not contain that word. So `auto`, replaced
/// by `docker.io/istio/proxyv2:1.27.0`, is a placeholder; `nginx`, replaced by `nginx@sha256:…` or by
/// `mirror.corp/library/nginx:1.29`, is not: that is a pinned digest or a mirrored registry, and collateral.
pub fn injected(template: &PodShape, pod: &PodShape) -> BTreeSet<Name> {
    let by_admission = |container: &&ContainerShape| match template.container(&container.name) {
        None => true,
        Some(own) => is_placeholder_of(&own.image, &container.image),
    };
    pod.containers.iter().filter(by_admission).map(|c| c.name.clone()).collect()
}

/// The container of that name in `pod`, unless it is a placeholder that admission did not fill there, while it did in
/// `other`: that is not the sidecar yet, or no more.
pub(super) fn filled<'s>(
    template: &PodShape,
    pod: &'s PodShape,
    other: &PodShape,
    name: &str,
) -> Option<&'s ContainerShape> {
    let container = pod.container(name)?;
    let left = template.container(name).is_some_and(|own| {
        own.image == container.image && other.container(name).is_some_and(|o| is_placeholder_of(&own.image, &o.image))
    });
    (!left).then_some(container)
}

fn is_placeholder_of(template: &str, pod: &str) -> bool {
    let word = template.trim();
    let bare = !word.contains(['/', ':', '@']);
    let kept = || token::replace(Image::parse(pod).path, word, "") != Image::parse(pod).path;
    bare && template != pod && (word.is_empty() || !kept())
}

#[cfg(test)]
#[path = "sidecar_tests.rs"]
mod tests;
