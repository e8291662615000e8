//! Who an adapter is: its key pair, the network that it belongs to, and what it signs.

#[cfg(any(feature = "server", feature = "lab", test))]
pub mod authority;
pub mod certificate;
pub mod chain;
pub mod enrolment;
mod extension;
pub mod fuzz;
pub mod key;
pub mod network;
pub mod record;
pub mod revocation;
pub mod rolling;
#[cfg(feature = "lab")]
mod stand_in;
pub mod statement;
pub mod trust;

pub use certificate::Certificate;
pub use chain::TrustAnchors;
pub use key::{Identity, PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, Signature};
pub use network::NetworkKeys;
pub use statement::Statement;

#[cfg(test)]
mod tests;
