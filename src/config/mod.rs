//! Settings.
/// The settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {}
