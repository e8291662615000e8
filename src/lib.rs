//! CoSIP: phone service that keeps working when the provider's SIP server does not.

pub mod adapter;
pub mod channel;
pub mod config;
pub mod control;
pub mod driver;
pub mod identity;
#[cfg(feature = "lab")]
pub mod lab;
pub mod limits;
pub mod media;
pub mod net;
pub mod observe;
pub mod outbox;
pub mod overlay;
pub mod rng;
pub mod sip;
pub mod table;
pub mod time;
pub mod timer;
