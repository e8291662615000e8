//! SIP (RFC 3261): the message layer, transactions, digest and server location.
//!
//! Everything here is pure: bytes in, borrowed views or bytes out. [`Message`] is a checked view
//! of received bytes without allocation; [`Writer`] builds messages in the caller's buffer;
//! [`Framer`] cuts streams into messages; [`proxy`] holds the rules of RFC 3261 section 16.

mod check;
pub mod digest;
pub mod fuzz;
mod header;
mod lex;
pub mod locate;
mod message;
mod name;
pub mod proxy;
mod route_set;
pub mod stream;
pub mod transaction;
mod uri;
mod write;

pub use check::Invalid;
pub use header::{Header, NameAddr, Params, Via};
pub(crate) use lex::Split;
pub use message::{Message, ParseError, Values, delta_seconds};
pub use name::{Method, Name};
pub use route_set::RouteSet;
pub use stream::{Frame, FrameError, Framer};
pub use uri::{Scheme, Uri, host_ip};
pub use write::{TooLong, Writer, reason_phrase};

#[cfg(test)]
mod tests;
