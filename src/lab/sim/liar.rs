//! Members that belong to the network and betray it: they keep nothing, deny what they keep, tell
//! what was true once, name each other for those who are closest, and take the places around one
//! key to make its owner vanish. Where they cannot have these places, they invent members there,
//! each at an address of its own, and spread that as hints.
//!
//! Each runs the adapter as everybody does, so that others list it, and lies where that answers.

use super::dice::Dice;
use super::packet::{GET, VALUE, kind, request};
use crate::identity::record::{AddressRecord, Key, Record};
use crate::identity::statement::{self, ANY_OWNER, STATED_BYTES, Statement};
use crate::identity::{Certificate, Identity, NetworkKeys, network::TAG_BYTES};
use crate::net::NodeId;
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The kind bytes of a put and of a touch.
const PUT: u8 = 7;
const TOUCH: u8 = 9;
/// Keys that one tries to get close to a victim: a tenth of a second of work.
const TRIES: u32 = 4096;
/// Whoever shares so many bits with a key is one of those that may keep it.
const CLOSE_BITS: u32 = 6;
/// Liars that one names.
const NAMED: usize = 12;
/// The longest hint.
const HINT_BYTES: usize = 1 + 8 + 16 + 2;

/// What shows who says that there is no record: a liar has that as everybody has.
pub(super) type Shown<'a> = (Certificate, &'a AddressRecord);

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Does not answer who looks a record up.
    Drop,
    /// Says that there is none.
    Deny,
    /// Gives the first one that it got.
    Replay,
    /// Says that there is none, and that other liars are closest.
    Misroute,
    /// With all others of this kind denies one key, and is close to it where it can.
    Eclipse,
    /// Takes records with a receipt, gives them to their owners, and denies them to all others,
    /// signed as well.
    Perjure,
    /// Answers nothing that is asked of a holder.
    Mute,
}

impl Lie {
    /// Those that a watch is for.
    pub(super) const WATCHED: [Self; 2] = [Self::Perjure, Self::Mute];
    /// All others.
    pub(super) const ALL: [Self; 5] =
        [Self::Drop, Self::Deny, Self::Replay, Self::Misroute, Self::Eclipse];
}

/// What one knows.
pub(super) struct Liar {
    lie: Lie,
    /// Where liars are that name one another, and which of them this is.
    others: Arc<Vec<SocketAddr>>,
    place: usize,
    /// The key that is eclipsed.
    victim: Key,
    /// The first record of each key that it was to keep, with its owner's addresses.
    first: BTreeMap<[u8; 16], (Vec<u8>, Vec<u8>)>,
    /// What it is asked for: the request, the key, and by whom.
    asked: Option<([u8; 8], Key, NodeId)>,
}

/// What becomes of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It goes as it is.
    Honestly,
    /// Another goes.
    Falsely(Vec<u8>),
    /// None goes.
    Nothing,
}

impl Liar {
    pub(super) fn new(lie: Lie, others: &Arc<Vec<SocketAddr>>, place: usize, victim: Key) -> Self {
        Self { lie, others: others.clone(), place, victim, first: BTreeMap::new(), asked: None }
    }

    pub(super) fn lie(&self) -> Lie {
        self.lie
    }

    /// Whether its adapter does not hear this.
    pub(super) fn ignores(&self, data: &[u8]) -> bool {
        self.lie == Lie::Mute && matches!(kind(data), GET | PUT | TOUCH)
    }

    /// Something came for its adapter.
    pub(super) fn hear(&mut self, data: &[u8]) {
        self.asked = None;
        match kind(data) {
            GET => {
                let key = data.get(5 + 16 + 8 + 8..).and_then(|rest| rest.first_chunk());
                let asker = data.get(5..).and_then(|rest| rest.first_chunk());
                let asked = request(data).zip(key.zip(asker));
                self.asked = asked.map(|(id, (key, asker))| (id, Key(*key), NodeId(*asker)));
            }
            PUT => {
                let blocks = data.get(3 + 16 + 8 + 8..).and_then(block);
                let Some((record, rest)) = blocks else { return };
                let Some((addresses, _)) = block(rest) else { return };
                if let Ok(parsed) = Record::parse(record) {
                    let kept = || (record.to_vec(), addresses.to_vec());
                    self.first.entry(parsed.key().0).or_insert_with(kept);
                }
            }
            _ => {}
        }
    }

    /// Its adapter answers, which would show this of whom it is where it had no record.
    pub(super) fn say(
        &self,
        identity: &Identity,
        shown: Option<&Shown<'_>>,
        data: &[u8],
        keys: &NetworkKeys,
    ) -> Said {
        let id = identity.id();
        let asked = self.asked.filter(|(asked, ..)| request(data) == Some(*asked));
        let asked = asked.filter(|_| kind(data) == VALUE);
        let Some((_, key, asker)) = asked else { return Said::Honestly };
        let no = Told::No(shown);
        let told = match self.lie {
            Lie::Drop => return Said::Nothing,
            Lie::Mute => return Said::Honestly,
            Lie::Perjure => match denied(data, identity, key, asker, keys) {
                Some(denial) => retold(data, no, &[], id, keys, denial.as_slice()),
                None => return Said::Honestly,
            },
            Lie::Eclipse if key != self.victim => return Said::Honestly,
            Lie::Deny => retold(data, no, &[], id, keys, &[]),
            Lie::Misroute | Lie::Eclipse => {
                let close = bits_in_common(&id, &key) >= CLOSE_BITS;
                // Who is not close is asked as the member that another liar has invented.
                let (as_whom, no) =
                    if close { (id, no) } else { (invented(&key, self.place), Told::No(None)) };
                retold(data, no, &self.named(&key), as_whom, keys, &[])
            }
            Lie::Replay => match self.first.get(&key.0) {
                Some((record, addresses)) => {
                    retold(data, Told::Record(record, addresses), &[], id, keys, &[])
                }
                None => return Said::Honestly,
            },
        };
        told.map_or(Said::Nothing, Said::Falsely)
    }

    /// A member that is not there, next to the key that is eclipsed, as which it answers: what it
    /// spreads. Others of its kind would not answer as one.
    pub(super) fn rumour(&self) -> Option<NodeId> {
        let invents = matches!(self.lie, Lie::Misroute | Lie::Eclipse);
        invents.then(|| invented(&self.victim, self.place))
    }

    /// Hints of invented members close to a key, where liars are.
    fn named(&self, key: &Key) -> Vec<(NodeId, SocketAddr)> {
        let all = self.others.iter().enumerate().cycle().skip(self.place);
        all.take(NAMED).map(|(at, address)| (invented(key, at), *address)).collect()
    }
}

/// A place next to a key.
fn invented(key: &Key, number: usize) -> NodeId {
    let mut id = key.0;
    id[6..8].copy_from_slice(&(number as u16).to_be_bytes());
    NodeId(id)
}

fn bits_in_common(id: &NodeId, key: &Key) -> u32 {
    (u128::from_be_bytes(id.0) ^ u128::from_be_bytes(key.0)).leading_zeros()
}

/// The identity of those that one can make whose place is closest to a key.
pub(super) fn grind(key: &Key, dice: &mut Dice, make: impl Fn(&mut Dice) -> Identity) -> Identity {
    let mut best = make(dice);
    for _ in 0..TRIES {
        let next = make(dice);
        if bits_in_common(&next.id(), key) > bits_in_common(&best.id(), key) {
            best = next;
        }
    }
    best
}

/// Takes a record or a list of addresses with its length before it.
fn block(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = data.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// Where what the answer to a get is about begins.
fn behind_hello(data: &[u8]) -> Option<usize> {
    let head = 5 + 16 + 8 + 8 + 2 + 4;
    Some(head + if *data.get(head)? == 4 { 7 } else { 19 })
}

/// What denies the record in the answer to a get of somebody else than its owner: signed where the
/// answer was. `None` where there is nothing to deny.
fn denied(
    data: &[u8],
    identity: &Identity,
    key: Key,
    asker: NodeId,
    keys: &NetworkKeys,
) -> Option<Vec<u8>> {
    let end = 5 + usize::from(u16::from_be_bytes(*data.get(3..)?.first_chunk()?));
    let body = data.get(behind_hello(data)?..end)?;
    let (record, rest) = block(body)?;
    let record = Record::parse(record).ok()?;
    if record.owner_id(true) == asker {
        return None;
    }
    let (_, rest) = block(rest)?;
    let (others, rest) = rest.split_first()?;
    let (hints, mut rest) = rest.get(usize::from(*others) * 24..)?.split_first()?;
    for _ in 0..*hints {
        let six = rest.first()? & 0x80 != 0;
        rest = rest.get(1 + 8 + 2 + if six { 16 } else { 4 }..)?;
    }
    let Some(stated) = rest.first_chunk::<STATED_BYTES>() else { return Some(Vec::new()) };
    let about = (key, ANY_OWNER, 0);
    let kept = Statement::completed(identity.id(), about, stated).said();
    let denial = Statement::sign(
        identity,
        keys.network(),
        &statement::Said { until_s: kept.said_s, ..kept },
    );
    Some(denial.stated().to_vec())
}

/// What is told instead.
enum Told<'a> {
    /// That there is no record, and who says so.
    No(Option<&'a Shown<'a>>),
    /// A record, and its owner's addresses.
    Record(&'a [u8], &'a [u8]),
}

/// The answer to a get with another content, of the same length.
fn retold(
    data: &[u8],
    content: Told<'_>,
    named: &[(NodeId, SocketAddr)],
    as_whom: NodeId,
    keys: &NetworkKeys,
    stated: &[u8],
) -> Option<Vec<u8>> {
    let mut told = data.get(..behind_hello(data)?)?.to_vec();
    told[5..21].copy_from_slice(&as_whom.0);
    let parts: &[&[u8]] = match content {
        Told::No(None) => &[&[], &[]],
        Told::No(Some((certificate, addresses))) => {
            &[&[], addresses.as_bytes(), certificate.as_bytes()]
        }
        Told::Record(record, addresses) => &[record, addresses],
    };
    for part in parts {
        told.extend((part.len() as u16).to_be_bytes());
        told.extend(*part);
    }
    let room = data.len().saturating_sub(told.len() + 2 + stated.len() + TAG_BYTES);
    let named = &named[..named.len().min(room / HINT_BYTES)];
    told.extend([0, named.len() as u8]);
    for (id, address) in named {
        told.push(if address.is_ipv4() { 0 } else { 0x80 });
        told.extend(&id.0[..8]);
        match address.ip() {
            IpAddr::V4(ip) => told.extend(ip.octets()),
            IpAddr::V6(ip) => told.extend(ip.octets()),
        }
        told.extend(address.port().to_be_bytes());
    }
    told.extend(stated);
    let len = (told.len() - 5) as u16;
    told[3..5].copy_from_slice(&len.to_be_bytes());
    told[1] = keys.key_id();
    let tag: [u8; TAG_BYTES] = keys.tag(&told);
    told.extend(tag);
    if told.len() > data.len() {
        return None;
    }
    told.resize(data.len(), 0);
    Some(told)
}
