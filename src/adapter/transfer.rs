//! Transfers: REFER and what follows from it (RFC 3515, RFC 3891, CALLS §1.4).
//!
//! A REFER makes a phone dial. By the server it passes as it is; from another adapter it reaches a
//! phone only where the overlay resolves whom it names, and with that address alone: without
//! parameters, and with no header but Replaces. The call that the phone makes then goes over the
//! overlay alone. So no peer makes a phone dial what costs, whatever it published.

use super::Asker;
use super::call::dialog::DialogAt;
use super::call::{Call, CallId, Role};
use super::callers::shown::is_alone;
use super::inbound::Source;
use super::names::{self, Path};
use super::{Adapter, rewrite};
use crate::limits::{TRANSFER_LIFE, TRANSFERS_A_CALL_MAX, TRANSFERS_MAX};
use crate::net::NodeId;
use crate::overlay::LookupId;
use crate::sip::transaction::ServerId;
use crate::sip::{Message, Name, NameAddr};
use crate::time::Instant;
use std::net::IpAddr;

/// A REFER of another adapter, until the overlay has said whether it knows whom it names.
struct Asked {
    lookup: LookupId,
    call: CallId,
    server: ServerId,
    source: Source,
    request: Vec<u8>,
    callee: String,
}

/// A phone was told to call somebody, and may still: while the call lives that it was told in, and
/// for [`TRANSFER_LIFE`] after. A phone may ask its user first.
struct Referral {
    call: CallId,
    until: Option<Instant>,
    phone: IpAddr,
    callee: String,
}

/// Transfers under way.
#[derive(Default)]
pub(super) struct Transfers {
    asked: Vec<Asked>,
    referrals: Vec<Referral>,
}

impl Adapter {
    /// A REFER in a dialog that is known.
    pub(super) fn refer(
        &mut self,
        now: Instant,
        server: ServerId,
        at: DialogAt,
        message: &Message<'_>,
        source: Source,
    ) {
        match source.path {
            Path::Peer(node) if node != self.id => {
                self.transfer_asked(now, server, at, message, source);
            }
            Path::Lan => {
                let named = self.far_end_named(message, source).and_then(|uri| {
                    let to = format!("<{uri}>");
                    rewrite::with_headers(message, &[(Name::ReferTo, Some(&to))])
                });
                match named.as_deref().map(Message::parse) {
                    Some(Ok(message)) => self.in_dialog(now, server, at, &message, source),
                    _ => self.in_dialog(now, server, at, message, source),
                }
            }
            _ => self.in_dialog(now, server, at, message, source),
        }
    }

    /// Whom a phone names by a Contact of ours that stands for the far end of another call of
    /// that phone: nobody else could resolve it.
    fn far_end_named(&self, message: &Message<'_>, source: Source) -> Option<String> {
        let uri = refer_to(message)?;
        let (bare, headers) = uri.split_once('?').unwrap_or((uri, ""));
        let ip = names::uri_address(bare)?;
        if !self.own_addresses().iter().any(|own| own.ip() == ip) {
            return None;
        }
        let user = names::uri_user(bare);
        let of_phone = |call: &Call| {
            let mut phones = call.dialogs.iter().map(|dialog| dialog.phone.flow.to.ip());
            call.alias_user == user && phones.any(|phone| phone == source.flow.to.ip())
        };
        let call = self.calls.iter().map(|(_, call)| call).find(|call| of_phone(call))?;
        let far = if call.role == Role::Caller { &call.callee } else { &call.caller };
        let mark = if headers.is_empty() { "" } else { "?" };
        (!far.is_empty()).then(|| format!("sip:{far}{mark}{headers}"))
    }

    /// Another adapter wants a phone here to call somebody.
    fn transfer_asked(
        &mut self,
        now: Instant,
        server: ServerId,
        at: DialogAt,
        message: &Message<'_>,
        source: Source,
    ) {
        let Some(callee) = self.transfer_target(at, message) else {
            return self.refuse_transfer(now, server, message, source);
        };
        self.forget_old_referrals(now);
        let room = self.has_room_for_transfer(at.0, &callee);
        let Some(overlay) = self.overlay.as_mut().filter(|_| room) else {
            // None gives way: what a phone may still dial stays a transfer.
            self.counters.transfers_refused_full += 1;
            return self.refuse(now, server, 503);
        };
        let lookup = overlay.lookup(now, &callee);
        let request = message.raw().to_vec();
        let call = at.0;
        self.transfers.asked.push(Asked { lookup, call, server, source, request, callee });
        self.note_asker(lookup, Asker::Transfer);
    }

    /// Whom a REFER names, as spelled, where such a callee is looked up at all.
    fn transfer_target(&self, at: DialogAt, message: &Message<'_>) -> Option<String> {
        let call = self.calls.get(at.0)?;
        let own = if call.role == Role::Caller { &call.caller } else { &call.callee };
        let uri = refer_to(message)?;
        let uri = uri.split_once('?').map_or(uri, |(bare, _)| bare);
        let callee = self.spell(call.provider, uri)?;
        self.is_looked_up(call.provider, (own, &callee), uri).then_some(callee)
    }

    fn refuse_transfer(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        self.counters.peer_requests_refused += 1;
        self.trace_wrong(now, source.path, message, &"not in the overlay");
        self.refuse(now, server, 403);
    }

    /// The overlay resolves whom a REFER names.
    pub(super) fn transfer_found(&mut self, now: Instant, lookup: LookupId) {
        self.askers.remove(&lookup);
        if let Some(overlay) = &mut self.overlay {
            overlay.cancel_lookup(lookup);
        }
        let Some(asked) = self.take_asked(lookup) else { return };
        let Asked { call, server, source, request, callee, .. } = asked;
        let Ok(message) = Message::parse(&request) else { return };
        let at = self.dialog_of(&message, source.path);
        let Some((at, phone)) = at.and_then(|at| Some((at, self.phone_of_dialog(at)?))) else {
            return self.refuse(now, server, 481);
        };
        let phone = phone.flow.to.ip();
        let uri = format!("<sip:{callee}{}>", replaces_of(refer_to(&message).unwrap_or_default()));
        self.transfers.referrals.push(Referral { call, until: None, phone, callee });
        // Who transfers is who calls here, whatever name the transfer gives.
        let dialog = self.calls.get(at.0).and_then(|call| call.dialogs.get(at.1));
        let is_far = |by: &&str| dialog.is_some_and(|dialog| is_alone(by, &dialog.id.far));
        let by = message.header(Name::ReferredBy).filter(is_far);
        let changes = [(Name::ReferTo, Some(uri.as_str())), (Name::ReferredBy, by)];
        let named = rewrite::with_headers(&message, &changes);
        match named.as_deref().map(Message::parse) {
            Some(Ok(message)) => self.in_dialog(now, server, at, &message, source),
            _ => self.refuse(now, server, 513),
        }
    }

    /// A look-up for a REFER has ended; where it had found somebody nothing waits for it.
    pub(super) fn transfer_lookup_done(&mut self, now: Instant, lookup: LookupId) {
        let Some(asked) = self.take_asked(lookup) else { return };
        if let Ok(message) = Message::parse(&asked.request) {
            self.refuse_transfer(now, asked.server, &message, asked.source);
        }
    }

    fn take_asked(&mut self, lookup: LookupId) -> Option<Asked> {
        let at = self.transfers.asked.iter().position(|asked| asked.lookup == lookup)?;
        Some(self.transfers.asked.remove(at))
    }

    /// Whether another adapter made this phone call `callee`.
    pub(super) fn is_referred(&self, now: Instant, phone: IpAddr, callee: &str) -> bool {
        let mut referrals = self.transfers.referrals.iter();
        referrals.any(|referral| {
            let lasts = referral.until.is_none_or(|until| now < until);
            lasts && referral.phone == phone && referral.callee == callee
        })
    }

    /// Whether another transfer in this call may be told to a phone.
    fn has_room_for_transfer(&self, call: CallId, callee: &str) -> bool {
        let Transfers { asked, referrals } = &self.transfers;
        let told = referrals.iter().filter(|referral| referral.call == call);
        let pending = asked.iter().any(|asked| asked.call == call);
        let known = told.clone().any(|referral| referral.callee == callee);
        let room = asked.len() + referrals.len() < TRANSFERS_MAX;
        !pending && (known || room && told.count() < TRANSFERS_A_CALL_MAX)
    }

    /// Starts the time of referrals whose call is over, and forgets those whose time is up.
    pub(super) fn forget_old_referrals(&mut self, now: Instant) {
        let calls = &self.calls;
        self.transfers.referrals.retain_mut(|referral| {
            if calls.get(referral.call).is_none() {
                referral.until.get_or_insert(now + TRANSFER_LIFE);
            }
            referral.until.is_none_or(|until| now < until)
        });
    }

    /// An INVITE as it crosses between here and `node`, where that must be without its Replaces:
    /// it names no dialog between these two.
    pub(super) fn without_foreign_replaces(
        &self,
        message: &Message<'_>,
        node: NodeId,
    ) -> Option<Vec<u8>> {
        let value = message.header(Name::Replaces)?;
        let call_id = value.split(';').next().unwrap_or_default().trim();
        let tag = |name: &str| {
            let mut parameters = value.split(';').filter_map(|part| part.split_once('='));
            parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, tag)| tag)
        };
        let (Some(to), Some(from)) = (tag("to-tag"), tag("from-tag")) else {
            return rewrite::with_headers(message, &[(Name::Replaces, None)]);
        };
        let between = |call: &Call| {
            call.dialogs.iter().any(|dialog| {
                let named = dialog.id.is(call_id, to, from) || dialog.id.is(call_id, from, to);
                named && dialog.far().path == Path::Peer(node)
            })
        };
        match self.find_call(call_id, between) {
            Some(_) => None,
            None => rewrite::with_headers(message, &[(Name::Replaces, None)]),
        }
    }
}

/// The URI that a REFER names.
fn refer_to<'m>(message: &Message<'m>) -> Option<&'m str> {
    Some(NameAddr::parse(message.header(Name::ReferTo)?).ok()?.uri)
}

/// The Replaces among the headers of a URI, with the question mark before it.
fn replaces_of(uri: &str) -> String {
    let headers = uri.split_once('?').map_or("", |(_, headers)| headers);
    let is = |header: &&str| header.get(..9).is_some_and(|n| n.eq_ignore_ascii_case("replaces="));
    headers.split('&').find(is).map_or_else(String::new, |replaces| format!("?{replaces}"))
}
