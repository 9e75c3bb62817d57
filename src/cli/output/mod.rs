//! From a report to what people and programs read. Pure, but for [`Console`], which prints.

mod console;
pub mod diff;
pub mod document;
pub mod explain;
pub mod follow_up;
pub mod listing;
pub mod looked_at;
pub mod rollout;
pub mod scan;
pub mod table;
pub mod text;

pub use self::console::Console;
pub use crate::document::{redaction, summary};
