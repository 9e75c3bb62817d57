//! The order of `metadata.resourceVersion`.

/// A `resourceVersion` as a number; `None`: it is none, and nobody can tell what is older.
///
/// Versions of objects of one resource may be compared from Kubernetes 1.35 on by contract; etcd has numbered them so before.
pub fn resource_version(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Whether an object at one version is older than at another, as far as anybody can tell.
pub fn is_older(version: &str, than: &str) -> bool {
    resource_version(version).zip(resource_version(than)).is_some_and(|(version, than)| version < than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_and_what_is_no_number_is_not_older() {
        assert!(is_older("99", "100"));
        assert!(!is_older("100", "99") && !is_older("7", "7"));
        assert!(!is_older("", "7") && !is_older("a", "b") && !is_older("7", "x"));
    }
}
