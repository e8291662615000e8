//! What a member says, signed, about what it keeps: receipts, and answers to who asks for a record.
//!
//! A receipt names the record that somebody has put, and until when it will be kept; an answer
//! names the record that is held, or none. Two of one start that contradict each other convict
//! who has signed both, to everybody who knows whose the key is: nothing else does. A start ends
//! all that was promised under it, so a power cut makes nobody a liar.
//!
//! Layout, in network byte order: the holder's place (16), overlay key (16), owner (16; zeros:
//! any), sequence number (8; 0: nothing held), the holder's public key (32), start count (4),
//! number of this start (4), when it was said and until when it is kept (4 each, seconds of the
//! holder's own uptime), signature (64). What is signed is a label, the network, and the bytes
//! before the signature. An answer carries the last [`STATED_BYTES`] alone: who hears it knows what
//! it has asked, and whom.

use super::chain::{Label, field, with_message};
use super::key::{self, Identity, PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES};
use super::record::Key;
use crate::net::NodeId;
use core::fmt;

/// Bytes of a statement.
pub const STATEMENT_BYTES: usize = ABOUT_BYTES + STATED_BYTES;
/// Bytes of what an answer carries of it: from the public key on.
pub const STATED_BYTES: usize = PUBLIC_KEY_BYTES + 4 * 4 + SIGNATURE_BYTES;
/// Any owner of a record under a key.
pub const ANY_OWNER: NodeId = NodeId([0; 16]);

const ABOUT_BYTES: usize = 16 + 16 + 16 + 8;
const TIMES_AT: usize = ABOUT_BYTES + PUBLIC_KEY_BYTES;
const LABEL: &Label = b"cosip statement1";

/// What an answer carries of a statement.
pub type Stated = [u8; STATED_BYTES];

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The place of who says it.
    pub place: NodeId,
    /// Its public key.
    pub holder: PublicKey,
    /// Where the record is kept.
    pub key: Key,
    /// Whose it is; [`ANY_OWNER`] where nothing is held under the key at all.
    pub owner: NodeId,
    /// Its sequence number; 0 where none is held.
    pub seq: u64,
    /// The holder's count of its starts.
    pub start: u32,
    /// Drawn by chance at this start, and another once a promise could not be kept.
    pub boot: u32,
    /// When, in seconds of the holder's uptime.
    pub said_s: u32,
    /// Until when it will be kept: the same where nothing is promised.
    pub until_s: u32,
}

/// A signed statement, as bytes whose length has been checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Statement([u8; STATEMENT_BYTES]);

impl Statement {
    /// Signs what `identity` says in this network ([`super::NetworkKeys::network`]); its place and
    /// key are those of `said`. One public-key operation.
    pub fn sign(identity: &Identity, network: &[u8; 16], said: &Said) -> Self {
        let mut statement = Self::unsigned(said);
        let signature = statement.with_signed(network, |message| identity.sign(message));
        statement.0[STATEMENT_BYTES - SIGNATURE_BYTES..].copy_from_slice(&signature);
        statement
    }

    /// What the holder at `place` has stated about the record of `owner` under `key`.
    pub fn completed(
        place: NodeId,
        (key, owner, seq): (Key, NodeId, u64),
        stated: &Stated,
    ) -> Self {
        let mut bytes = [0; STATEMENT_BYTES];
        let ids = [place.0, key.0, owner.0];
        bytes[..48].copy_from_slice(ids.as_flattened());
        bytes[48..ABOUT_BYTES].copy_from_slice(&seq.to_be_bytes());
        bytes[ABOUT_BYTES..].copy_from_slice(stated);
        Self(bytes)
    }

    /// Takes the bytes of [`Self::as_bytes`]. `None` for any other number of them.
    pub fn parse(data: &[u8]) -> Option<Self> {
        data.try_into().ok().map(Self)
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8; STATEMENT_BYTES] {
        &self.0
    }

    /// What an answer carries of it.
    pub fn stated(&self) -> Stated {
        field(&self.0, ABOUT_BYTES)
    }

    /// What it says.
    pub fn said(&self) -> Said {
        let number = |at| u32::from_be_bytes(field(&self.0, TIMES_AT + at));
        Said {
            place: NodeId(field(&self.0, 0)),
            key: Key(field(&self.0, 16)),
            owner: NodeId(field(&self.0, 32)),
            seq: u64::from_be_bytes(field(&self.0, 48)),
            holder: field(&self.0, ABOUT_BYTES),
            start: number(0),
            boot: number(4),
            said_s: number(8),
            until_s: number(12),
        }
    }

    /// Whether its holder has signed it in this network. One public-key operation.
    pub fn verify(&self, network: &[u8; 16]) -> bool {
        let signature = field(&self.0, STATEMENT_BYTES - SIGNATURE_BYTES);
        let holder = field(&self.0, ABOUT_BYTES);
        self.with_signed(network, |message| key::verify(&holder, message, &signature))
    }

    /// Whether this promised to keep what `denial`, said later by the same holder in the same
    /// start, says not to hold. Both have to be verified.
    pub fn contradicts(&self, denial: &Self) -> bool {
        let (kept, denied) = (self.said(), denial.said());
        let who = |it: &Said| (it.holder, it.place, it.start, it.boot, it.key);
        let nothing = denied.owner == ANY_OWNER && denied.seq == 0;
        who(&kept) == who(&denied)
            && (denied.owner == kept.owner || nothing)
            && denied.seq < kept.seq
            && kept.said_s < denied.said_s
            && denied.said_s < kept.until_s
    }

    fn unsigned(said: &Said) -> Self {
        let mut stated = [0; STATED_BYTES];
        stated[..PUBLIC_KEY_BYTES].copy_from_slice(&said.holder);
        let numbers = [said.start, said.boot, said.said_s, said.until_s].map(u32::to_be_bytes);
        let times = numbers.as_flattened();
        stated[PUBLIC_KEY_BYTES..][..times.len()].copy_from_slice(times);
        Self::completed(said.place, (said.key, said.owner, said.seq), &stated)
    }

    fn with_signed<R>(&self, network: &[u8; 16], then: impl FnOnce(&[u8]) -> R) -> R {
        with_message(LABEL, network, &self.0[..STATEMENT_BYTES - SIGNATURE_BYTES], then)
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { place, key, owner, seq, start, boot, said_s, until_s, .. } = self.said();
        write!(f, "Statement({place}: {key:?} of {owner} seq {seq:x}, ")?;
        write!(f, "start {start}/{boot:x}, {said_s} to {until_s})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: [u8; 16] = [7; 16];

    fn me() -> Identity {
        Identity::from_seed([9; 32]).unwrap()
    }

    fn promise() -> Said {
        Said {
            place: NodeId([0x5a; 16]),
            holder: me().public(),
            key: Key([0xc1; 16]),
            owner: NodeId([0x0a; 16]),
            seq: 1 << 32 | 2,
            start: 3,
            boot: 0x0102_0304,
            said_s: 100,
            until_s: 10_300,
        }
    }

    fn denial() -> Said {
        Said { seq: 0, said_s: 101, until_s: 101, ..promise() }
    }

    fn signed(said: &Said) -> Statement {
        Statement::sign(&me(), &NETWORK, said)
    }

    #[test]
    fn a_statement_is_read_as_it_was_said_and_an_answer_completes_it() {
        let statement = signed(&promise());
        assert_eq!(statement.said(), promise());
        assert_eq!(Statement::parse(statement.as_bytes()), Some(statement));
        let Said { place, key, owner, seq, .. } = promise();
        let completed = Statement::completed(place, (key, owner, seq), &statement.stated());
        assert_eq!(completed, statement);
        assert_eq!(Statement::parse(&statement.as_bytes()[1..]), None);
        assert_eq!(Statement::parse(&[statement.as_bytes(), &[0][..]].concat()), None);
    }

    #[test]
    fn a_signature_covers_every_byte_and_the_network() {
        let statement = signed(&promise());
        assert!(statement.verify(&NETWORK) && !statement.verify(&[8; 16]));
        for at in 0..STATEMENT_BYTES {
            let mut bytes = *statement.as_bytes();
            bytes[at] ^= 1;
            assert!(!Statement::parse(&bytes).unwrap().verify(&NETWORK), "byte {at}");
        }
    }

    #[test]
    fn who_denies_what_it_promised_contradicts_itself_and_nobody_else_does() {
        let contradicts = |kept: &Said, denied: &Said| signed(kept).contradicts(&signed(denied));
        let (kept, denied) = (promise(), denial());
        assert!(contradicts(&kept, &denied));
        assert!(contradicts(&kept, &Said { seq: kept.seq - 1, ..denied }), "an older one");
        assert!(contradicts(&kept, &Said { owner: ANY_OWNER, ..denied }), "nothing at all");
        assert!(contradicts(&kept, &Said { said_s: 10_299, ..denied }));
        let honest = [
            Said { holder: Identity::from_seed([8; 32]).unwrap().public(), ..denied },
            Said { place: NodeId([0x5b; 16]), ..denied },
            Said { key: Key([0xc2; 16]), ..denied },
            Said { owner: NodeId([0x0b; 16]), ..denied },
            Said { owner: ANY_OWNER, seq: 1, ..denied },
            Said { seq: kept.seq, ..denied },
            Said { start: 4, ..denied },
            Said { boot: 1, ..denied },
            Said { said_s: kept.said_s, ..denied },
            Said { said_s: kept.until_s, ..denied },
        ];
        for denied in &honest {
            assert!(!contradicts(&kept, denied), "{denied:?}");
        }
        assert!(!contradicts(&Said { seq: 0, ..kept }, &denied), "nothing was promised to be kept");
        assert!(!contradicts(&Said { until_s: kept.said_s, ..kept }, &denied));
        assert!(!contradicts(&denied, &kept), "what it denied it may have got since");
    }

    #[test]
    fn statements_never_change_within_version_1() {
        let network = *crate::identity::NetworkKeys::new(&[1; 32], "example").network();
        let said = [promise(), denial()].map(|said| Statement::sign(&me(), &network, &said));
        let hex = |it: &Statement| it.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let made: Vec<String> = said.iter().map(hex).collect();
        let committed = include_str!("../../tests/data/overlay/statements.txt");
        assert_eq!(made.join("\n") + "\n", committed);
    }
}
