//! The adapter itself.

pub mod server;
pub mod spelling;
