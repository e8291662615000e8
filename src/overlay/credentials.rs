//! Proof that a member is who it says: asked for before it is listed, where members are certified.
//!
//! Anybody can say an id. What a member shows costs it no signature: the certificate that binds its
//! key to its place, and its list of addresses, signed with that key. Whoever repeats what another
//! has shown is found out, for it is not at the other's address. A wish to see that is as long as
//! what is shown, so it needs no proof of address either.

use super::answer::Asker;
use super::id::Node;
use super::request::Purpose;
use super::wire::{NO_TOKEN, WHO_BYTES};
use super::wire_out::Encoder;
use super::work::{Job, Reason, Subject};
use super::{Overlay, reject};
use crate::identity::Certificate;
use crate::identity::record::AddressRecord;
use crate::net::Rejected;
use crate::time::Instant;

/// Nodes that are asked at the same time, or were just now.
const ASKED_MAX: usize = 64;
/// Who has not proven itself is not asked again for so long.
const AGAIN_S: u32 = 5;

/// A node that is to prove itself, to be listed.
struct Asked {
    node: Node,
    near: bool,
    since_s: u32,
}

/// All of those.
pub(super) struct Credentials(Vec<Asked>);

impl Credentials {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(ASKED_MAX))
    }

    /// Whether a node is being asked.
    pub(super) fn awaits(&self, node: &Node) -> bool {
        self.0.iter().any(|asked| asked.node == *node)
    }

    /// Forgets who was asked and did not prove itself: it may be asked again.
    pub(super) fn expire(&mut self, now_s: u32) {
        self.0.retain(|asked| now_s.saturating_sub(asked.since_s) < AGAIN_S);
    }

    /// Notes that a node is asked. False where it was just now, or there is no room.
    fn note(&mut self, node: &Node, near: bool, now_s: u32) -> bool {
        self.expire(now_s);
        let asks = !self.awaits(node) && self.0.len() < ASKED_MAX;
        if asks {
            self.0.push(Asked { node: *node, near, since_s: now_s });
        }
        asks
    }
}

impl Overlay {
    /// Whether a node has to prove who it is before it is listed where it is now: once so, it stays
    /// listed there.
    pub(super) fn is_unproven(&self, node: &Node) -> bool {
        self.vouching.is_required() && self.address_of(node.id) != Some(node.address)
    }

    /// Asks a node for its credentials; it is listed once they are verified.
    pub(super) fn ask_who(&mut self, now: Instant, node: &Node, near: bool) {
        let now_s = self.seconds(now);
        if self.credentials.note(node, near, now_s) {
            // A member that may only be said to have moved here misses nothing by it.
            self.ask(now, node.address, None, Purpose::Who, WHO_BYTES, |me, request| {
                Encoder::who(me, request, &NO_TOKEN)
            });
        }
    }

    /// Shows who we are, if somebody vouches for us and we know where we are.
    pub(super) fn answer_who(&mut self, now: Instant, asker: &Asker) {
        let (Some(certificate), Some(addresses)) = (self.own_certificate(), &self.addresses) else {
            return;
        };
        let hello = self.hello(now, &asker.node);
        let (me, request) = (self.me, asker.request);
        let (certificate, addresses) = (certificate.as_bytes(), addresses.as_bytes());
        let answer = Encoder::credentials(me, request, &hello, certificate, addresses);
        self.reply(asker.node.address, asker.limit(), 0, answer);
    }

    /// A node shows who it is.
    pub(super) fn hear_who(
        &mut self,
        now: Instant,
        node: &Node,
        certificate: &[u8],
        addresses: &[u8],
    ) -> Result<(), Rejected> {
        let asked = self.credentials.0.iter().find(|asked| asked.node == *node);
        let Some(Asked { near, .. }) = asked else { return Ok(()) };
        let near = *near;
        let certificate = Certificate::parse(certificate).map_err(|_| self.malformed())?;
        let addresses = AddressRecord::parse(addresses).map_err(|_| self.malformed())?;
        self.vouched_for(now, Some(&certificate))?;
        let key = addresses.owner();
        let bound = certificate.place() == node.id && certificate.key() == key;
        let known = self.key_of(now, &node.id).is_none_or(|known| known == key);
        if !bound || !known {
            return Err(reject(&mut self.counters.foreign_record, Rejected::Unauthorized));
        }
        if !addresses.addresses().contains(&node.address) {
            return Err(reject(&mut self.counters.elsewhere, Rejected::Unauthorized));
        }
        let (reason, subject) = (Reason::Who(*node, near), Subject::Certificate(certificate));
        self.submit(now, Job { reason, subject, addresses: Some(addresses) })
    }

    /// A node has proven who it is, and where.
    pub(super) fn proven(&mut self, now: Instant, node: &Node, near: bool) {
        self.credentials.0.retain(|asked| asked.node != *node);
        if self.members.get(&node.id).is_some() {
            self.moved_surely(now, node);
        } else {
            self.list_surely(now, node, near);
        }
    }
}
