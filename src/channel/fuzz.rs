//! The body of the fuzz target.

/// Fuzz.
pub fn fuzz(_data: &[u8]) {}
