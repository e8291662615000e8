//! Session descriptions.
use core::fmt;
/// Why a body could not be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SdpError {
    /// No such session, or no such leg, is open.
    NoSession,
    /// The side has no local address: its network is not up.
    NoAddress,
    /// No port pair is ready.
    NoPort,
    /// The body would outgrow [`crate::limits::SIP_MESSAGE_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSession => "no such media session or leg",
            Self::NoAddress => "no local address for media on this side",
            Self::NoPort => "no media port is free",
            Self::TooLong => "the rewritten body is too long",
        })
    }
}

impl core::error::Error for SdpError {}
