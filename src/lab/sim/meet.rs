//! Meeting a callee that nobody can reach first: a look-up that names its rendezvous peers is
//! only good if a datagram then gets there and back.
//!
//! What the channel does on a router, and nothing of its cryptography: a *knock* on each way that
//! the overlay names, again until an answer comes.

use crate::net::NodeId;
use crate::overlay::{Found, LookupId, Overlay};
use crate::time::Instant;
use std::net::SocketAddr;

/// After these pauses one knocks again, in microseconds: as the channel's handshake does.
pub(super) const KNOCK_EVERY_US: u64 = 250_000;
/// Who has not been met after so many knocks is not met.
const KNOCKS_MAX: u8 = 12;
/// The bytes that overlay and channel have in common, and then whom it is for.
const HEAD: usize = 3;
const NAME: usize = HEAD + 16;
const KNOCK: u8 = 0x40;
const ANSWER: u8 = 0x41;

/// A callee that is to be met.
pub(super) struct Meeting {
    peer: NodeId,
    pub(super) lookup: LookupId,
    /// The look-up's place in the log.
    pub(super) place: u32,
    ways: Vec<SocketAddr>,
    knocks: u8,
}

/// A datagram of the channel that is to be sent.
pub(super) type Said = (SocketAddr, Vec<u8>);

impl Meeting {
    /// Begins to meet whom a look-up found.
    pub(super) fn new(now: Instant, overlay: &mut Overlay, found: &Found, place: u32) -> Self {
        let mut ways: Vec<_> = found.addresses.to_vec();
        ways.extend(overlay.introduce(now, found.owner, &found.rendezvous));
        Self { peer: found.owner, lookup: found.lookup, place, ways, knocks: 0 }
    }

    pub(super) fn is_with(&self, peer: NodeId) -> bool {
        self.peer == peer
    }

    /// It can be heard at this address, too.
    pub(super) fn reached(&mut self, address: SocketAddr) {
        if !self.ways.contains(&address) {
            self.ways.push(address);
        }
    }

    /// Knocks on all ways; false where that was in vain too often.
    pub(super) fn knock(&mut self, said: &mut Vec<Said>) -> bool {
        self.knocks += 1;
        let mut data = vec![1, 0, KNOCK];
        data.extend(self.peer.0);
        data.extend(self.lookup.0.to_be_bytes());
        said.extend(self.ways.iter().map(|way| (*way, data.clone())));
        self.knocks < KNOCKS_MAX
    }
}

/// What to answer to a datagram of the channel for `me`, or the look-up whose callee has been met.
pub(super) fn heard(me: NodeId, data: &[u8]) -> Result<Vec<u8>, Option<LookupId>> {
    let (Some(kind), Some(name)) = (data.get(HEAD - 1), data.get(HEAD..NAME)) else {
        return Err(None);
    };
    match *kind {
        KNOCK if name == me.0 => {
            let mut answer = data.to_vec();
            answer[HEAD - 1] = ANSWER;
            Ok(answer)
        }
        ANSWER => {
            let number = data.get(NAME..).and_then(|it| it.first_chunk());
            Err(number.map(|it| LookupId(u32::from_be_bytes(*it))))
        }
        _ => Err(None),
    }
}
