//! What answers say of whoever has asked.

/// What the asker is to whoever answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::overlay) enum Standing {
    /// Nobody known: a ping with the token may change that.
    Stranger = 0,
    /// Others are being asked whether they can reach it.
    Asking = 1,
    /// They cannot.
    Unreachable = 2,
    /// A member, as far as the answerer alone can tell: it was reached from a second port only.
    Near = 3,
    /// A member.
    Listed = 4,
    /// Nobody known, and nobody who needs to be: there are members enough.
    Unwanted = 5,
    /// They can, and it is not listed: as many as may share its address are.
    Crowded = 6,
}

impl Standing {
    pub(in crate::overlay) fn parse(byte: u8) -> Option<Self> {
        use Standing::{Asking, Crowded, Listed, Near, Stranger, Unreachable, Unwanted};
        [Stranger, Asking, Unreachable, Near, Listed, Unwanted, Crowded]
            .into_iter()
            .find(|standing| *standing as u8 == byte)
    }
}
