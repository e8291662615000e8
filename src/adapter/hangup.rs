//! A phone hangs up: whatever else fails, its BYE is answered 200 and sent on (CALLS §4.1).
//!
//! A BYE that may wait for its answer is an exchange like any other request, answered from here
//! after 2 s. Here is what happens to one that finds no room, or no way on. Nor is the BYE of the
//! far end refused for want of room: that would leave the phone in a call with nobody.

use super::exchange::ExchangeId;
use super::inbound::Source;
use super::names::Path;
use super::{Adapter, ClientOwner};
use crate::sip::transaction::{Flow, Room, ServerId};
use crate::sip::{Message, Method};
use crate::time::Instant;

/// Whether a phone hangs up with this request.
pub(super) fn hangs_up(message: &Message<'_>, source: &Source) -> bool {
    source.path == Path::Lan && message.method() == Method::Bye
}

impl Adapter {
    /// Whether a phone hangs up with this request, or the far end of a call here.
    pub(super) fn ends_call_here(&self, message: &Message<'_>, source: &Source) -> bool {
        let bye = message.method() == Method::Bye;
        hangs_up(message, source) || bye && self.dialog_of(message, source.path).is_some()
    }

    /// Refuses a request of a phone, if it is no BYE.
    pub(super) fn refuse_phone(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        code: u16,
    ) {
        let code = if message.method() == Method::Bye { 200 } else { code };
        self.refuse(now, server, code);
    }

    /// There is no room to wait for what a BYE is answered.
    pub(super) fn hang_up_at_once(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: &Source,
    ) {
        self.reply(now, server, 200, None);
        self.pass_bye_on(now, message, source);
    }

    /// There is no room for a transaction of a BYE.
    pub(super) fn hang_up_statelessly(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        source: &Source,
    ) {
        self.refuse_stateless(*source, message, (200, "OK"));
        let at = self.dialog_of(message, source.path);
        let taken = match (at, source.path) {
            (None, _) => true,
            (Some(at), Path::Lan) => self.phone_asks(at, message),
            (Some(at), _) => self.far_end_asks(now, at, message, source),
        };
        if taken {
            self.pass_bye_on(now, message, source);
        }
    }

    /// Sends a BYE on, a phone's on both paths, and asks for no answer.
    fn pass_bye_on(&mut self, now: Instant, message: &Message<'_>, source: &Source) {
        let Some(at) = self.dialog_of(message, source.path) else {
            return self.route_stray(now, message, source);
        };
        let direct = self.direct_path(at).filter(|_| source.path == Path::Lan);
        for node in core::iter::once(None).chain(direct.map(Some)) {
            if let Some((flow, bytes)) = self.compose_in_dialog(now, at, message, source, node) {
                self.send_quiet(now, flow, &bytes);
            }
        }
        self.dialog_ended(now, at.0);
    }

    /// A BYE that was challenged comes again with credentials: its dialog is not over yet.
    pub(super) fn challenged_bye_goes_on(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (path, request) = (exchange.source.path, exchange.request.clone());
        if let Ok(request) = Message::parse(&request)
            && request.method() == Method::Bye
        {
            self.dialog_goes_on(&request, path);
        }
    }

    /// Sends a request whose answer changes nothing; where its transaction finds no room, once.
    pub(super) fn send_quiet(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        self.send_quiet_in(Room::Usual, now, flow, bytes);
    }

    /// As [`Self::send_quiet`], where its transaction may take this room.
    pub(super) fn send_quiet_in(&mut self, room: Room, now: Instant, flow: Flow, bytes: &[u8]) {
        let owner = ClientOwner::Quiet.encode();
        if self.transactions.send_request_in(room, now, flow, bytes, owner).is_err() {
            self.send(flow, bytes);
        }
    }
}
