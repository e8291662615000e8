//! What one look-up has heard of the owners under its key.

use super::lookup::{Lookup, OWNERS_MAX};
use crate::net::NodeId;

/// What is known of one owner's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnerSeen {
    /// Who.
    pub(super) owner: NodeId,
    /// The newest number that was verified; 0 for none.
    pub(super) seq: u64,
    /// The newest number of an address list that came with it.
    pub(super) address_seq: u64,
    /// The newest number that somebody told of.
    pub(super) told: u64,
    /// Whether the newest verified record is a withdrawal.
    pub(super) withdrawn: bool,
}

impl Lookup {
    /// How many owners have a record that is not withdrawn.
    pub(super) fn found(&self) -> u8 {
        self.owners.iter().filter(|seen| seen.seq > 0 && !seen.withdrawn).count() as u8
    }

    /// What is known of `owner`, whose record came, to change it. One that was only told of makes
    /// room; `None` where the key has too many owners.
    pub(super) fn owner(&mut self, owner: NodeId) -> Option<&mut OwnerSeen> {
        if !self.owners.iter().any(|seen| seen.owner == owner) {
            if self.owners.is_full() {
                let hearsay = self.owners.iter().position(|seen| seen.seq == 0)?;
                self.owners.swap_remove(hearsay);
            }
            let new = OwnerSeen { owner, seq: 0, address_seq: 0, told: 0, withdrawn: false };
            self.owners.push(new).ok()?;
        }
        self.owners.iter_mut().find(|seen| seen.owner == owner)
    }

    /// Notes that a record of `owner` with these numbers is verified. False where that is no news.
    pub(super) fn verified(
        &mut self,
        owner: NodeId,
        (seq, address_seq): (u64, u64),
        withdrawn: bool,
    ) -> bool {
        let Some(seen) = self.owner(owner) else { return false };
        let before = seen.seq;
        if (seq, address_seq) <= (before, seen.address_seq) && before > 0 {
            return false;
        }
        *seen = OwnerSeen { owner, seq, address_seq, told: seen.told.max(seq), withdrawn };
        // Another owner's first record changes nothing in what is agreed on.
        if seq > before && !withdrawn && (before > 0 || self.agreeing == 0) {
            self.agreeing = if self.claimed == seq as u32 { self.claims } else { 1 };
        }
        true
    }

    /// Notes that somebody tells of a record of `owner` with number `seq`. True where that is to be
    /// asked for: so many in one look-up as a key has owners, whatever answerers tell.
    pub(super) fn names(&mut self, owner: NodeId, seq: u64) -> bool {
        let known = self.owners.iter().any(|seen| seen.owner == owner);
        if usize::from(self.named) >= OWNERS_MAX || !known && self.owners.is_full() {
            return false;
        }
        let Some(seen) = self.owner(owner) else { return false };
        let newer = seen.told < seq;
        seen.told = seen.told.max(seq);
        self.named += u8::from(newer);
        newer
    }

    pub(super) fn has_found(&self) -> bool {
        self.owners.iter().any(|seen| seen.seq > 0 && !seen.withdrawn)
    }
}
