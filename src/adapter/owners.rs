//! What a client transaction belongs to: whose it is, its provider, its target.

use super::exchange::Purpose;
use super::{Adapter, ClientOwner};
use crate::sip::transaction::ClientId;
use std::net::SocketAddr;

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
            | ClientOwner::Quiet => false,
        }
    }

    /// Where the request of this owner went.
    pub(super) fn target_of_owner(&self, owner: ClientOwner) -> Option<SocketAddr> {
        match owner {
            ClientOwner::Probe(at) => self.providers.get(usize::from(at))?.probed,
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
            | ClientOwner::Quiet => None,
        }
    }

    /// The provider whose server it went to.
    pub(super) fn provider_of_owner(&self, owner: ClientOwner) -> Option<u8> {
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
            | ClientOwner::Quiet => None,
        }
    }
}
