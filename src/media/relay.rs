//! Sessions.
use crate::time::Instant;
/// The media of one call.
pub struct Session {}
/// What one direction of a session has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Datagrams.
    pub packets: u64,
    /// Their payload.
    pub bytes: u64,
    /// When the last came.
    pub last: Option<Instant>,
}
/// What a session has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// From the phone to the leg that hears it.
    pub to_far: Flow,
    /// From the leg that is heard to the phone.
    pub to_phone: Flow,
    /// Datagrams that the pinning dropped.
    pub foreign: u64,
    /// The leg that is heard.
    pub carried: Option<u8>,
}
