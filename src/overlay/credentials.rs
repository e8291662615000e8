//! Proof that a member is who it says: asked for before it is listed, or is to hold a record of
//! ours, where members are certified; and shown by whoever says that there is no record.
//!
//! Anybody can say an id. What a member shows costs it no signature: the certificate that binds its
//! key to its place, and its list of addresses, signed with that key. Whoever repeats what another
//! has shown is found out, for it is not at the other's address. A wish to see that is as long as
//! what is shown, so it needs no proof of address either.

use super::answer::Asker;
use super::id::Node;
use super::lookup::Lookup;
use super::request::Purpose;
use super::wire::{NO_TOKEN, Value, WHO_BYTES};
use super::wire_out::Encoder;
use super::work::{Job, Reason, Subject};
use super::{Overlay, reject};
use crate::identity::Certificate;
use crate::identity::record::AddressRecord;
use crate::net::Rejected;
use crate::table::Id;
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
    /// Whether it is to hold records of ours.
    holds: bool,
}

/// All of those.
pub(super) struct Credentials {
    asked: Vec<Asked>,
    /// Who shows them in the answer that is being taken in: it need not be asked.
    pub(super) came: Option<Node>,
}

impl Credentials {
    pub(super) fn new() -> Self {
        Self { asked: Vec::with_capacity(ASKED_MAX), came: None }
    }

    /// Whether a node is being asked.
    pub(super) fn awaits(&self, node: &Node) -> bool {
        self.asked.iter().any(|asked| asked.node == *node)
    }

    /// Whether somebody is that is to hold records of ours.
    pub(super) fn awaits_holders(&self) -> bool {
        self.asked.iter().any(|asked| asked.holds)
    }

    /// Forgets who was asked and did not prove itself: it may be asked again.
    pub(super) fn expire(&mut self, now_s: u32) {
        self.asked.retain(|asked| now_s.saturating_sub(asked.since_s) < AGAIN_S);
    }

    /// Notes that a node is asked. False where it was just now, or there is no room.
    fn note(&mut self, node: &Node, near: bool, now_s: u32) -> bool {
        self.expire(now_s);
        let asks = !self.awaits(node) && self.asked.len() < ASKED_MAX;
        if asks {
            self.asked.push(Asked { node: *node, near, since_s: now_s, holds: false });
        }
        asks && self.came != Some(*node)
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

    /// A node that is to hold records of ours has to prove who it is before.
    pub(super) fn ask_holder(&mut self, now: Instant, node: &Node) {
        self.ask_who(now, node, false);
        let asked = self.credentials.asked.iter_mut().find(|asked| asked.node == *node);
        asked.into_iter().for_each(|asked| asked.holds = true);
    }

    /// What shows who we are, if somebody vouches for us and we know where we are.
    pub(crate) fn shown(&self) -> Option<(Certificate, &AddressRecord)> {
        let wanted = self.vouching.is_required();
        self.addresses
            .as_ref()
            .filter(|_| wanted)
            .and_then(|it| Some((self.own_certificate()?, it)))
    }

    /// Shows who we are, if somebody vouches for us and we know where we are.
    pub(super) fn answer_who(&mut self, now: Instant, asker: &Asker) {
        let Some((certificate, addresses)) = self.shown() else { return };
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
        let asked = self.credentials.asked.iter().find(|asked| asked.node == *node);
        let Some(Asked { near, .. }) = asked else { return Ok(()) };
        let reason = Reason::Who(*node, *near);
        let job = self.read_credentials(now, node, (certificate, addresses), reason)?;
        self.submit(now, job)
    }

    /// What has to be verified of credentials.
    fn read_credentials(
        &mut self,
        now: Instant,
        node: &Node,
        (certificate, addresses): (&[u8], &[u8]),
        reason: Reason,
    ) -> Result<Job, Rejected> {
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
        Ok(Job { reason, subject: Subject::Certificate(certificate), addresses: Some(addresses) })
    }

    /// A node says that there is nothing: that counts where it is proven, or shows who it is.
    pub(super) fn hear_no(&mut self, now: Instant, id: Id<Lookup>, node: &Node, value: &Value<'_>) {
        if !self.is_unproven(node) {
            self.lookups.get_mut(id).into_iter().for_each(|lookup| lookup.prove(&node.id));
            return;
        }
        let (Some(certificate), Some(addresses)) = (value.certificate, value.addresses) else {
            return self.unmask(id, node);
        };
        let reason = Reason::Denial(id, *node);
        match self.read_credentials(now, node, (certificate, addresses), reason) {
            Ok(job) => {
                let Some(lookup) = self.lookups.get_mut(id).filter(|it| it.knows(&node.id)) else {
                    return;
                };
                lookup.prove(&node.id);
                lookup.proving += 1;
                // Where there is no room for it, it is taken back.
                let _ = self.submit(now, job);
            }
            Err(_) => self.unmask(id, node),
        }
    }

    /// A denial is proven, or it is not.
    pub(super) fn denial_verified(
        &mut self,
        now: Instant,
        (id, node): (Id<Lookup>, &Node),
        proven: bool,
    ) {
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.proving = lookup.proving.saturating_sub(1);
        }
        let asked = self.credentials.asked.iter().find(|asked| asked.node == *node);
        match (proven, asked.map(|asked| asked.near)) {
            (false, _) => self.unmask(id, node),
            (true, Some(near)) => self.proven(now, node, near),
            (true, None) => {}
        }
        self.drive(now, id);
    }

    /// Somebody answers who does not show who it is: others may have been told so of it.
    fn unmask(&mut self, id: Id<Lookup>, node: &Node) {
        self.counters.unmasked += 1;
        self.hints.forget(node);
        self.lookups.get_mut(id).into_iter().for_each(|lookup| lookup.unmask(&node.id));
    }

    /// A node has proven who it is, and where.
    pub(super) fn proven(&mut self, now: Instant, node: &Node, near: bool) {
        let holds = self.credentials.asked.iter().any(|it| it.node == *node && it.holds);
        self.credentials.asked.retain(|asked| asked.node != *node);
        if self.members.get(&node.id).is_some() {
            self.moved_surely(now, node);
        } else {
            self.list_surely(now, node, near);
        }
        self.lookups_prove(now, &node.id);
        if holds {
            self.holder_proven(now, node);
        }
    }
}
