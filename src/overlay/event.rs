//! What the overlay tells its user: events, status and counters.
//!
//! All of it is plain data of bounded size. Counters only rise; whoever reads them computes
//! rates.

use crate::identity::Statement;
use crate::identity::record::{AddressList, Contact, Key, RendezvousList};
use crate::net::NodeId;
use core::fmt;
use std::net::SocketAddr;

/// Names one look-up; never used twice within 2^32 look-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u32);

/// Names one publication: an AOR that this adapter keeps in the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub u32);

/// How much an overlay node may keep. Reserved at start, touched as it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory for the table of members, in kB.
    pub table_kb: u32,
    /// Records kept for others.
    pub store_entries: usize,
    /// AORs published by this node.
    pub publish_entries: usize,
    /// Look-ups at the same time, those of the node itself included.
    pub lookup_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { table_kb: 256, store_entries: 512, publish_entries: 96, lookup_entries: 64 }
    }
}

/// No room: nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("overlay: no room for another publication")
    }
}

impl core::error::Error for Full {}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverlayEvent {
    /// A look-up found a verified record. A later one of the same owner is newer.
    Found(Found),
    /// A look-up is over.
    Done {
        /// Which.
        lookup: LookupId,
        /// How many owners have a record, withdrawn ones not counted.
        found: u8,
    },
    /// The node takes part: it has proven another member, for the first time or again.
    Joined,
    /// Enough members agree that this is our IP address; the port may be another for each.
    PublicAddress(SocketAddr),
    /// A peer that was to be met can be heard at this address.
    Reached {
        /// Who.
        peer: NodeId,
        /// Where; see [`crate::net::is_detour`].
        address: SocketAddr,
    },
    /// Others keep our flow: those who may want to reach us are to know who.
    Rendezvous(RendezvousList),
    /// Most of the holders that a record was sent to have acknowledged it, or none is left.
    Published {
        /// Which.
        publish: PublishId,
        /// Holders that acknowledged.
        replicas: u8,
    },
    /// A holder was asked for a record by [`super::Overlay::spot_get`].
    SpotGot {
        /// Under which key.
        key: Key,
        /// Who was asked.
        holder: NodeId,
        /// What it has signed, not verified yet; `None` where it was silent, or signed nothing.
        statement: Option<Statement>,
    },
    /// Another node speaks under our id and key: a cloned image, or our own old address.
    IdInUse(SocketAddr),
    /// A newer list of revocations counts; true where our own side had offered it.
    ListTaken(bool),
    /// The list of this number revokes more, or less, than an issuing key may: not taken.
    ListRefused(u32),
    /// As dense as members are, there are so many; of twice as many hints tell, or of half.
    SizeInDoubt {
        /// By how dense they are around us, and around the keys of our records.
        own: usize,
        /// By hints.
        told: usize,
    },
}

/// A verified, opened record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The look-up that found it.
    pub lookup: LookupId,
    /// The adapter that published it.
    pub owner: NodeId,
    /// The record's sequence number: higher is newer.
    pub seq: u64,
    /// How many members were asked one after another until it came; 0 where it is kept here.
    pub hops: u8,
    /// What the owner published.
    pub contact: Contact,
    /// Where the owner was last, newest signed list first; may be empty.
    pub addresses: AddressList,
    /// Members that introduce others to the owner; may be empty.
    pub rendezvous: RendezvousList,
}

/// Whether other members can reach this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// Not known yet.
    Unknown,
    /// At an address of its own.
    Direct,
    /// Through an address that something between maps to it.
    Mapped,
    /// Not first; introduced by a rendezvous peer, both ends open a hole.
    Punched,
    /// Not first, and a hole opens only towards those who are reachable themselves: for the others
    /// a rendezvous peer relays.
    Relayed,
    /// Not at all.
    No,
}

impl Reachability {
    /// The word for people and their tools.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Direct => "direct",
            Self::Mapped => "mapped",
            Self::Punched => "punched",
            Self::Relayed => "relayed",
            Self::No => "no",
        }
    }
}

/// Under which ports others see what a node sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Under its own, or those that the router in front opened, and anybody gets in there.
    Open,
    /// Under its own, as far as is known.
    Own,
    /// Under others: always the same, or another one for each peer.
    Other,
}

/// Why a node thinks so of its reachability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody has answered.
    Alone,
    /// Nobody has been asked, or nobody knows.
    NotJudged,
    /// Reached at an address of its own, by members that it had not contacted.
    OwnAddress,
    /// Reached at an address that others see, by members that it had not contacted.
    SeenAddress,
    /// The router in front opened its port.
    OpenedPort,
    /// Reached from another port of members that it had contacted: there is nobody else to ask.
    SecondPort,
    /// Not reached; every peer sees the same address.
    Introduced,
    /// Not reached; every peer sees another port.
    EachPeerAnotherPort,
    /// Not reached, and no member keeps a flow.
    NoRendezvous,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "no other adapter has answered yet",
            Self::NotJudged => "no other adapter has tried yet to reach this one",
            Self::OwnAddress => "an adapter that was not contacted reached its own address",
            Self::SeenAddress => {
                "an adapter that was not contacted reached the address that others see"
            }
            Self::OpenedPort => "the router in front opened the port",
            Self::SecondPort => "reached from a second port; no other adapter is there to try",
            Self::Introduced => {
                "a firewall or a router in front lets nobody in unasked; other adapters introduce \
                 callers"
            }
            Self::EachPeerAnotherPort => {
                "the router in front shows each peer another port; where a caller's does so too, \
                 other adapters relay the signalling"
            }
            Self::NoRendezvous => {
                "nobody gets in unasked, and no other adapter keeps a way open for callers"
            }
        })
    }
}

/// The state of the node, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlayStatus {
    /// Our id.
    pub id: NodeId,
    /// Whether another member has been proven and not been lost.
    pub joined: bool,
    /// Members proven.
    pub peers: usize,
    /// Members of whom others have told.
    pub hints: usize,
    /// How many members there are, by how dense they are; `None` among few.
    pub size_estimate: Option<usize>,
    /// Whether hints tell of twice as many, or of half.
    pub size_doubt: bool,
    /// Members that fell silent within 24 h.
    pub suspects: usize,
    /// Records held for others.
    pub stored: usize,
    /// AORs published.
    pub published: usize,
    /// Look-ups under way.
    pub lookups: usize,
    /// How others reach us.
    pub reachable: Reachability,
    /// Why we think so.
    pub reason: Reason,
    /// Members that keep a flow for us.
    pub rendezvous: usize,
    /// Nodes whose flows we keep.
    pub clients: usize,
    /// Our address as members see it.
    pub public_address: Option<SocketAddr>,
}

crate::observe::counters! {
    /// What was done and what was dropped, since start.
    pub struct Counters {
        /// Datagrams taken.
        datagrams_in,
        /// Datagrams sent.
        datagrams_out,
        /// UDP payload bytes taken.
        bytes_in,
        /// UDP payload bytes sent.
        bytes_out,
        /// Of `bytes_in` and `bytes_out`: gets and their answers.
        lookup_bytes,
        /// Dropped: a wire version that this program does not know.
        unknown_version,
        /// Dropped: no tag under a secret of this network.
        unauthentic,
        /// Dropped: shape or content against the format.
        malformed,
        /// Dropped: from ourselves, or under our own id.
        own_id,
        /// Dropped: an answer that nobody waits for, or from elsewhere than asked.
        unexpected_answer,
        /// Dropped: a proven peer beyond its rate.
        peer_over_rate,
        /// Dropped: a stranger, with all strangers together beyond their rate.
        strangers_over_rate,
        /// Refused: a put or touch without proof of its source address.
        token_missing,
        /// Dropped: a record whose owner did not sign it.
        bad_signature,
        /// Refused: a record or a new address for whose owner no trust anchor of ours vouches.
        uncertified,
        /// Refused: the same under a certificate whose time is over, or has not come.
        expired,
        /// Refused: the same under a certificate that was revoked.
        revoked,
        /// Not kept by others: own records whose certificates do not count there.
        puts_refused,
        /// Not listed: who showed credentials of somebody elsewhere, or does not know yet where it
        /// is.
        elsewhere,
        /// Dropped: a record that is not its sender's.
        foreign_record,
        /// Refused: a record older than the one held.
        stale_record,
        /// Refused: no room in the store, or in the set of the key.
        store_full,
        /// Dropped: public-key work beyond its queue or rate.
        work_full,
        /// Members not entered: too many ids at one address.
        address_limit,
        /// Members not entered: the table is full of those who stay.
        table_full,
        /// Not sent: the queue of datagrams was full.
        outbox_full,
        /// Not told: the user of the overlay does not fetch its events.
        events_full,
        /// Not asked: too many requests under way.
        requests_full,
        /// Look-ups refused: too many under way.
        lookups_full,
        /// Requests without an answer in time.
        timeouts,
        /// Signatures verified.
        verified,
        /// Verifications spared by the cache.
        verified_before,
        /// Signatures made.
        signed,
        /// Answers that were signed: what is kept here.
        stated,
        /// Answers that went out unsigned, for there was no time.
        unstated,
        /// Members passed over as holders: silent as such, or denying what they have taken.
        holders_unused,
        /// AORs blinded.
        blinded,
        /// Members that fell silent.
        members_lost,
        /// Silent members forgotten within their day because there are too many.
        suspects_forgotten,
        /// Ways through rendezvous peers that made room for others.
        detours_forgotten,
        /// Members not told our new address: there are too many to tell.
        announcements_dropped,
        /// Members heard from two addresses in turn.
        two_addresses,
        /// Members asked where somebody close to them is.
        neighbours_asked,
        /// Look-ups finished.
        lookups_done,
        /// Look-ups that went on over several paths: something was amiss.
        lookups_parted,
        /// Of those: because more members seemed close to the key than can be.
        lookups_crowded,
        /// Answers that did not count, for who gave them did not show who it is.
        unmasked,
        /// Days on which the network was half as large as hints say, or twice.
        size_doubts,
        /// Nodes not listed: others did not reach them.
        members_refused,
        /// Members struck off: they said that nobody reaches them.
        members_left,
        /// Members struck off: their certificates were revoked.
        members_revoked,
        /// Lists of revocations taken.
        lists_taken,
        /// Pieces of them given to others.
        list_pieces,
        /// Lists that somebody said to have, and did not give, or not as they were signed.
        lists_failed,
        /// Lists that revoke more at once than an issuing key may.
        lists_refused,
        /// Not looked into: a wish to be listed, because too many are.
        dials_full,
        /// Not kept: a client's flow, because too many are.
        clients_full,
        /// Rendezvous peers lost.
        rendezvous_lost,
        /// Introductions passed on.
        introductions,
        /// Dropped or refused: introductions beyond their rates, or from who keeps no flow of ours.
        introductions_refused,
        /// Introductions asked for in vain.
        introductions_failed,
        /// Holes opened.
        punched,
        /// Holes not tried: too many at the same time.
        punches_full,
        /// Proven members that became hints: the table is full of others.
        members_demoted,
        /// Hints taken that were news, to be passed on.
        hints_heard,
        /// Datagrams with hints refused: no room, or too many of one sender.
        hints_refused,
        /// Datagrams with hints not passed on to a part of the network: nobody there took them.
        gossip_failed,
        /// Datagrams with hints that waited for the next round, for its budget was used up.
        gossip_waited,
        /// Datagrams of the channel relayed for others.
        relayed,
        /// Their bytes.
        relayed_bytes,
        /// Dropped: one to relay without a proven pair, or beyond its rate.
        relay_refused,
    }
}
