//! The adapter itself.

pub mod spelling;
