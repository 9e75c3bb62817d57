//! What operating systems do differently. No other module names one of them.
//!
//! Each part has the same functions on each system; a variant says why it is as it is.

pub mod clock;
pub mod files;
pub mod host;
pub mod process;
pub mod signals;
pub mod sockets;
