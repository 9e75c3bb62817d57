//! The parts of an image reference.

/// `registry/path:tag@digest`. Reading never fails: what does not follow the grammar ends up in `path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image<'t> {
    /// `docker.io`; empty if the reference names none.
    pub(super) registry: &'t str,
    /// `istio/proxyv2`
    pub(super) path: &'t str,
    /// `1.27.0`
    pub(super) tag: Option<&'t str>,
    /// `sha256:…`
    pub(super) digest: Option<&'t str>,
}

impl<'t> Image<'t> {
    pub(super) fn parse(reference: &'t str) -> Self {
        let (named, digest) = split_last(reference, '@');
        // A colon before the last slash belongs to a registry's port.
        let (named, tag) = match split_last(named, ':') {
            (named, Some(tag)) if !tag.contains('/') => (named, Some(tag)),
            _ => (named, None),
        };
        let (registry, path) = match named.split_once('/') {
            // As container runtimes decide it: a first part that cannot be a user's name is a registry.
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => ("", named),
        };
        Self { registry, path, tag, digest }
    }
}

fn split_last(text: &str, at: char) -> (&str, Option<&str>) {
    text.rsplit_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_image_are_told_apart_as_runtimes_do() {
        for (reference, registry, path, tag, digest) in [
            ("proxy", "", "proxy", None, None),
            ("proxy:1.2", "", "proxy", Some("1.2"), None),
            ("istio/proxyv2:1.27.0", "", "istio/proxyv2", Some("1.27.0"), None),
            ("docker.io/istio/proxyv2", "docker.io", "istio/proxyv2", None, None),
            ("registry:5000/a/b", "registry:5000", "a/b", None, None),
            ("localhost/proxy:1", "localhost", "proxy", Some("1"), None),
            ("localhost:5000/proxy", "localhost:5000", "proxy", None, None),
            ("ghcr.io/p@sha256:ab", "ghcr.io", "p", None, Some("sha256:ab")),
            ("p:1@sha256:ab", "", "p", Some("1"), Some("sha256:ab")),
        ] {
            assert_eq!(Image::parse(reference), Image { registry, path, tag, digest }, "{reference}");
        }
    }
}
