//! What a client transaction belongs to: whose it is, its provider, its target.

use super::Adapter;
use super::exchange::{Exchange, Purpose};
use super::providers::ProviderId;
use crate::sip::transaction::ClientId;
use std::net::SocketAddr;

/// Whose client transaction it is: the number that the transaction layer keeps for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientOwner {
    /// The leg of the call in this slot.
    Leg(u32, u8),
    /// The exchange in this slot.
    Exchange(u32),
    /// A probe of this provider's server.
    Probe(ProviderId),
    /// The search for this emergency route.
    Gateway(u8),
    /// The search for one server of this provider: the first, or one of its fallbacks.
    Locate(ProviderId, u8),
    /// A REGISTER of our own for the phone in this slot.
    Renewal(u32),
    /// The search for this bootstrap entry of the overlay.
    Bootstrap(u8),
    /// What a phone of the call in this slot was asked by the adapter itself.
    Inquiry(u32),
    /// The challenge of this number.
    #[cfg(feature = "server")]
    Challenge(u32),
    /// Nobody's: its answer changes nothing.
    Quiet,
}

impl ClientOwner {
    pub(super) const SLOT_BITS: u32 = 24;

    pub(super) fn encode(self) -> u32 {
        let (kind, detail, slot) = match self {
            Self::Quiet => (0, 0, 0),
            Self::Renewal(slot) => (0, 1, slot),
            Self::Bootstrap(entry) => (0, 2, u32::from(entry)),
            Self::Inquiry(slot) => (0, 3, slot),
            #[cfg(feature = "server")]
            Self::Challenge(number) => (0, 4, number),
            Self::Leg(slot, leg) => (1, u32::from(leg), slot),
            Self::Exchange(slot) => (2, 0, slot),
            Self::Probe(provider) => (3, 0, u32::from(provider.0)),
            Self::Gateway(route) => (3, 1, u32::from(route)),
            Self::Locate(provider, server) => (3, 2 + u32::from(server), u32::from(provider.0)),
        };
        kind << 30 | detail << Self::SLOT_BITS | slot
    }

    pub(super) fn decode(user: u32) -> Self {
        let slot = user & ((1 << Self::SLOT_BITS) - 1);
        let detail = (user >> Self::SLOT_BITS & 0x3f) as u8;
        match (user >> 30, detail) {
            (0, 1) => Self::Renewal(slot),
            (0, 2) => Self::Bootstrap(slot as u8),
            (0, 3) => Self::Inquiry(slot),
            #[cfg(feature = "server")]
            (0, 4) => Self::Challenge(slot),
            (1, leg) => Self::Leg(slot, leg),
            (2, _) => Self::Exchange(slot),
            (3, 0) => Self::Probe(ProviderId(slot as u8)),
            (3, 1) => Self::Gateway(slot as u8),
            (3, server) => Self::Locate(ProviderId(slot as u8), server - 2),
            _ => Self::Quiet,
        }
    }
}

const _: () = assert!(crate::limits::CALL_LEGS_MAX < 64);

impl Adapter {
    /// Whether a transaction is what its owner waits for. One that lost outlives it, and its slot
    /// may be another's by now, with another server.
    pub(super) fn is_running(&self, owner: ClientOwner, client: ClientId) -> bool {
        match owner {
            ClientOwner::Leg(slot, at) => {
                let call = self.calls.id_at(slot).and_then(|id| self.calls.get(id));
                let leg = call.and_then(|call| call.legs.get(usize::from(at)));
                leg.is_some_and(|leg| leg.client == Some(client))
            }
            ClientOwner::Exchange(slot) => {
                let exchange = self.exchanges.id_at(slot).and_then(|id| self.exchanges.get(id));
                exchange.is_some_and(|exchange| exchange.client == Some(client))
            }
            ClientOwner::Renewal(slot) => self.renewals.is_running(slot, client),
            _ => true,
        }
    }

    /// Whether an answer to this request makes its sender known as a server: a REGISTER's or a
    /// probe's (CALLS §1.5).
    pub(super) fn is_registering(&self, owner: ClientOwner) -> bool {
        match owner {
            ClientOwner::Probe(_) | ClientOwner::Renewal(_) => true,
            ClientOwner::Exchange(slot) => {
                let exchange = self.exchanges.id_at(slot).and_then(|id| self.exchanges.get(id));
                exchange.is_some_and(|e| matches!(e.purpose, Purpose::Register(_)))
            }
            ClientOwner::Leg(..)
            | ClientOwner::Locate(..)
            | ClientOwner::Gateway(_)
            | ClientOwner::Bootstrap(_)
            | ClientOwner::Inquiry(_)
            | ClientOwner::Quiet => false,
            #[cfg(feature = "server")]
            ClientOwner::Challenge(_) => false,
        }
    }

    /// Whether silence to this request is its server's.
    pub(super) fn is_owed_by_server(&self, owner: ClientOwner) -> bool {
        let ClientOwner::Exchange(slot) = owner else { return true };
        let exchange = self.exchanges.id_at(slot).and_then(|id| self.exchanges.get(id));
        exchange.is_some_and(Exchange::is_owed_by_server)
    }

    /// Where the request of this owner went.
    pub(super) fn target_of_owner(&self, owner: ClientOwner) -> Option<SocketAddr> {
        match owner {
            ClientOwner::Probe(at) => self.providers.get(at)?.probed,
            ClientOwner::Leg(slot, at) => {
                let call = self.calls.get(self.calls.id_at(slot)?)?;
                Some(call.legs.get(usize::from(at))?.flow.to)
            }
            ClientOwner::Exchange(slot) => {
                let exchange = self.exchanges.get(self.exchanges.id_at(slot)?)?;
                exchange.sent_to.map(|(_, flow)| flow.to)
            }
            ClientOwner::Renewal(slot) => self.renewals.way(slot).1,
            ClientOwner::Locate(..)
            | ClientOwner::Gateway(_)
            | ClientOwner::Bootstrap(_)
            | ClientOwner::Inquiry(_)
            | ClientOwner::Quiet => None,
            #[cfg(feature = "server")]
            ClientOwner::Challenge(_) => None,
        }
    }

    /// The phone that a connection of this owner is for.
    pub(super) fn phone_of_owner(&self, owner: ClientOwner) -> Option<SocketAddr> {
        match owner {
            ClientOwner::Leg(slot, _) => {
                let call = self.calls.get(self.calls.id_at(slot)?)?;
                call.phone.as_ref().map(|phone| phone.flow.to)
            }
            ClientOwner::Exchange(slot) => {
                Some(self.exchanges.get(self.exchanges.id_at(slot)?)?.source.flow.to)
            }
            _ => None,
        }
    }

    /// The provider whose server it went to.
    pub(super) fn provider_of_owner(&self, owner: ClientOwner) -> Option<ProviderId> {
        match owner {
            ClientOwner::Probe(at) => Some(at),
            ClientOwner::Leg(slot, at) => {
                let call = self.calls.get(self.calls.id_at(slot)?)?;
                let leg = call.legs.get(usize::from(at))?;
                let asked = leg.path == super::names::Path::Server && leg.route.is_none();
                asked.then_some(call.provider)?
            }
            ClientOwner::Exchange(slot) => {
                self.exchanges.get(self.exchanges.id_at(slot)?)?.provider
            }
            ClientOwner::Renewal(slot) => self.renewals.way(slot).0,
            ClientOwner::Locate(..)
            | ClientOwner::Gateway(_)
            | ClientOwner::Bootstrap(_)
            | ClientOwner::Inquiry(_)
            | ClientOwner::Quiet => None,
            #[cfg(feature = "server")]
            ClientOwner::Challenge(_) => None,
        }
    }
}
