//! Whether speech has a way to another adapter: nobody shall answer a call that stays silent.
//!
//! Other adapters relay what the channel says where no hole opens between two routers that nobody
//! can reach first, but they relay no speech. A description names the ports that a router has
//! bound itself. Where its NAT shows others, nothing that is sent there gets in, and speech flows
//! only if the other router can be sent to: it learns from where speech comes. So between two such
//! there is none. Between such a one and one whose NAT keeps its ports, there is some if that NAT
//! lets in whatever comes from an address that it has sent to. The channel's datagrams meet the
//! same NATs: where each peer sees another port, they find that out, and leave their detour.
//!
//! So an INVITE tells how its sender's ports are seen, by a parameter of its Contact, and who gets
//! it judges before any phone rings. While a hole may still open, it waits to be sent again, as
//! over any transport that loses datagrams. What is not certain is not refused.

use super::Adapter;
use super::names::Path;
use crate::net::{NodeId, is_detour};
use crate::overlay::Ports;
use crate::sip::transaction::ServerId;
use crate::sip::{Message, Method, Name, NameAddr, Uri};
use crate::time::Instant;

/// What a phone may show, and why (RFC 3261 s20.43: 399 is for people).
const STATUS: (u16, &str) = (480, "No Way For Speech Between NATs");
const WARNING: &str = "399 cosip \"neither router can send speech through the NAT of the other\"";

/// What is known of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It exists, or nothing speaks against it.
    Open,
    /// A hole may still open.
    Sought,
    None,
}

impl Adapter {
    /// What an INVITE to another adapter says of our ports in its Contact.
    pub(super) fn ports_told(&self) -> &'static str {
        match self.overlay.as_ref().map(|overlay| overlay.ports()) {
            Some(Ports::Open) => ";ports=open",
            Some(Ports::Other) => ";ports=other",
            Some(Ports::Own) | None => "",
        }
    }

    /// Whether this is another adapter's INVITE that is to be sent again, because it is not known
    /// yet whether speech has a way.
    pub(super) fn waits_for_hole(&self, now: Instant, from: Path, message: &Message<'_>) -> bool {
        let Path::Peer(node) = from else { return false };
        let begins = message.to().is_none_or(|to| to.tag().is_none());
        let invites = message.method() == Method::Invite && begins;
        invites && self.way_of_speech(now, node, message) == Way::Sought
    }

    /// Whether speech has no way between us and the adapter that sent this INVITE.
    pub(super) fn is_out_of_earshot(
        &self,
        now: Instant,
        node: NodeId,
        invite: &Message<'_>,
    ) -> bool {
        self.way_of_speech(now, node, invite) == Way::None
    }

    /// Refuses an INVITE whose speech has no way.
    pub(super) fn refuse_unheard(&mut self, now: Instant, id: ServerId, node: NodeId) {
        self.counters.invites_out_of_earshot += 1;
        log::info!("call of {node} refused: speech has no way between the two NATs");
        self.refuse_because(now, id, STATUS, WARNING);
    }

    fn way_of_speech(&self, now: Instant, node: NodeId, invite: &Message<'_>) -> Way {
        let (Some(overlay), Some(channel)) = (&self.overlay, &self.channel) else {
            return Way::Open;
        };
        let session = channel.sessions().find(|session| session.peer == node);
        let detour = session.is_some_and(|session| is_detour(&session.address));
        match (overlay.ports(), ports_of(invite)) {
            (Ports::Other, Ports::Other) if node != self.id => Way::None,
            (Ports::Other, Ports::Own) | (Ports::Own, Ports::Other) if detour => {
                if overlay.is_meeting(now, node) { Way::Sought } else { Way::None }
            }
            _ => Way::Open,
        }
    }
}

/// What the sender of an INVITE says of its ports.
fn ports_of(invite: &Message<'_>) -> Ports {
    let contact = invite.values(Name::Contact).next();
    let contact = contact.and_then(|value| NameAddr::parse(value).ok());
    let uri = contact.and_then(|contact| Uri::parse(contact.uri).ok());
    match uri.and_then(|uri| uri.params.get("ports")) {
        Some("open") => Ports::Open,
        Some("other") => Ports::Other,
        _ => Ports::Own,
    }
}
