//! A REGISTER moves to the server's next target where the one before is silent or fails
//! (CALLS §2.1).

use crate::adapter::Adapter;
use crate::adapter::exchange::{ExchangeId, Patience, Purpose};
use crate::adapter::providers::ProviderId;
use crate::sip::transaction::Flow;
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// Grants the target that the REGISTER went to the silence of a hedge, where there is another
    /// one; else silence lasts until the phone is answered from here.
    pub(crate) fn wait_for_target(&mut self, now: Instant, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let Some(provider) = exchange.provider else { return };
        let shield_at = registration.shield_at.filter(|_| !exchange.answered);
        let asked = (exchange.source.flow, exchange.accepted_by);
        let move_at = self.next_target_due(now, provider, asked, &exchange.tried);
        match (move_at, shield_at) {
            (Some(at), shield) if shield.is_none_or(|shield| at < shield) => {
                self.set_patience(id, at, Patience::NextTarget);
            }
            (_, Some(at)) => self.set_patience(id, at, Patience::Shield),
            _ => {}
        }
    }

    /// When a target that stays silent is left for the next one, where there is one.
    pub(super) fn next_target_due(
        &self,
        now: Instant,
        provider: ProviderId,
        asked: (Flow, Option<SocketAddr>),
        tried: &[SocketAddr],
    ) -> Option<Instant> {
        self.target_for(now, provider, asked, tried)?;
        let state = &self.providers.get(provider)?.state;
        Some(now + state.hedge())
    }

    /// The target that the REGISTER went to is silent.
    pub(crate) fn register_moves(&mut self, now: Instant, id: ExchangeId) {
        if let Some(client) = self.exchanges.get(id).and_then(|exchange| exchange.client) {
            self.transactions.stop_retransmitting(client);
        }
        self.leave_target(now, id);
    }

    /// Sends the REGISTER on to the next target. False where there is none.
    pub(super) fn leave_target(&mut self, now: Instant, id: ExchangeId) -> bool {
        let Some(exchange) = self.exchanges.get(id) else { return false };
        let (provider, last) = (exchange.provider, exchange.tried.last().copied());
        let moved = self.try_next_target(now, id);
        if let Some(last) = last.filter(|_| moved) {
            self.target_silent(now, provider, last);
            self.wait_for_target(now, id);
        }
        moved
    }
}
