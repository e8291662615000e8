//! Port pairs.
/// Names one request of the relay to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MediaTicket(pub u32);
