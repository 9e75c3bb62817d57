//! Shared strings.

use std::sync::Arc;

/// A shared string. The index keeps one copy of each.
pub type Name = Arc<str>;
