//! The callee's adapter: a phone here is called, by the server, by another adapter, or by both.
//!
//! Equal Call-ID and From tag are one call (CALLS §3.8): the first leg rings the phone, every
//! further one is held and never seen by it, and the phone's answer serves them all.

use super::claim::{Claim, withholds};
use super::ended::{Outcome, Phones};
use super::{Call, CallId, Callee, Leg, LegState, Role, Upstream, UpstreamState};
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::adapter::notices::Belonging;
use crate::adapter::registrar::BindingId;
use crate::adapter::{Adapter, ClientOwner};
use crate::channel::CallKey;
use crate::limits::{ACK_LIMIT, ACK_PATIENCE, CALL_UPSTREAMS_MAX};
use crate::sip::Message;
use crate::sip::transaction::ServerId;
use crate::time::{Instant, earlier};

impl Upstream {
    /// Whether this transaction's INVITE waits here for its last answer. One that rings as a new
    /// call has moved there.
    pub(crate) fn is_served_by(&self, server: ServerId) -> bool {
        self.server == server && self.state != UpstreamState::Done
    }

    /// When it must be looked at again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            UpstreamState::Held { until } => earlier(until, self.rings_again),
            UpstreamState::Accepted { since, late: false } => Some(since + ACK_PATIENCE),
            UpstreamState::Accepted { since, late: true } => Some(since + ACK_LIMIT),
            UpstreamState::Carrying | UpstreamState::Done => None,
        }
    }
}

impl Adapter {
    /// An INVITE outside dialogs from the server or from another adapter.
    pub(crate) fn call_in(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        let phones = self.phones_called(message, &source);
        let called = phones.first().and_then(|id| self.registrar.get(*id));
        let provider = called.and_then(|binding| binding.provider);
        let claim = self.claim_of(provider, message, &source);
        let tag = message.from().and_then(|from| from.tag()).unwrap_or_default();
        let belongs = self.leg_belongs(now, message, &source, &claim, &phones);
        let known = self.find_call(message.call_id(), |call| {
            call.role == Role::Callee && call.from_tag == tag && call.rings_one_of(&phones)
        });
        let linked = |call: &Call| {
            let told = |node| call.callees.iter().any(|callee| callee.node == node);
            call.rings_one_of(&phones) && belongs.node.is_some_and(told)
        };
        let known = known.or_else(|| self.find_keyed(Role::Callee, belongs.key, linked));
        if let Some(id) = known {
            return self.hold(now, id, server, message, source, belongs.anonymous);
        }
        let cseq = message.cseq().map_or(0, |(number, _)| number);
        let leg = (message.call_id(), tag);
        let ended = self.ended_calls.outcome(now, leg, cseq, &phones, belongs.key);
        match ended {
            Some(Outcome::Refused(code)) if !belongs.anonymous => {
                return self.refuse(now, server, code);
            }
            None if !belongs.cancelled => {}
            _ => return self.hold_late(now, server, message, source, belongs.anonymous),
        }
        if phones.is_empty() {
            return self.refuse(now, server, 404);
        }
        self.reply_trying(now, server, message);
        let Some(mut call) = self.new_call(now, Role::Callee, message, source) else {
            self.counters.calls_refused_full += 1;
            return self.refuse(now, server, 503);
        };
        let mut upstream = self.upstream_of(server, message, source, UpstreamState::Carrying);
        upstream.anonymous = belongs.anonymous;
        let _ = call.upstreams.push(upstream);
        call.provider = provider;
        call.callee = self.spell(provider, message.request_uri()).unwrap_or_default();
        if !withholds(message) {
            let from = message.from().map(|from| from.uri).unwrap_or_default();
            call.caller = self.spell(provider, from).unwrap_or_default();
        }
        call.claim = claim;
        call.key = belongs.key;
        if let Some(node) = belongs.node {
            let opened = matches!(source.path, Path::Peer(_));
            let _ = call.callees.push(Callee::telling(node, opened));
        }
        self.ring_all(now, call, phones, message, source);
    }

    /// The call that an INVITE is a leg of.
    fn leg_belongs(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        source: &Source,
        claim: &Claim,
        phones: &Phones,
    ) -> Belonging {
        let Path::Peer(node) = source.path else {
            return self.belonging(now, message.call_id(), claim, phones);
        };
        let key = CallKey::of(message.call_id());
        let callee = phones.first().and_then(|id| self.registrar.get(*id));
        if let Some(callee) = callee.map(|binding| binding.aor.as_str().to_owned()) {
            self.take_notice(now, (node, key), &callee, (claim, Instant::ZERO));
        }
        let cancelled = self.is_cancelled(node, key);
        Belonging { key, node: Some(node), anonymous: false, cancelled }
    }

    /// Takes a call in and rings its phones.
    pub(super) fn ring_all(
        &mut self,
        now: Instant,
        call: Call,
        phones: Phones,
        message: &Message<'_>,
        source: Source,
    ) {
        let server = call.upstreams.first().map(|up| up.server);
        let Some(id) = self.insert_call(call) else {
            return server.into_iter().for_each(|server| self.refuse(now, server, 503));
        };
        self.trace_begin(now, id, message, source.path);
        self.open_media(now, id);
        for binding in phones {
            self.ring(now, id, binding, message);
        }
        self.give_up_if_all_failed(now, id);
        self.arm(id);
    }

    /// The phones that an INVITE names: one Contact from the server, every phone of the AOR from
    /// the overlay.
    pub(super) fn phones_called(&self, message: &Message<'_>, source: &Source) -> Phones {
        match source.path {
            Path::Server => self.binding_named(message, source.flow.to).into_iter().collect(),
            _ => self.bindings_for_peers(message.request_uri()),
        }
    }

    fn ring(&mut self, now: Instant, id: CallId, binding: BindingId, message: &Message<'_>) {
        let Some(phone) = self.phone_of_binding(binding) else { return };
        let target = phone.contact.clone();
        let Some(at) = self.calls.get(id).map(|call| call.legs.len()) else { return };
        let way = self.way_to_phone(&phone, ClientOwner::Leg(id.slot(), at as u8));
        let (flow, local, state) = way.parts();
        let mut leg = Leg::new(now, Path::Lan, (flow, local), state, target, message.cseq());
        leg.phone = Some(phone);
        leg.binding = Some(binding);
        self.open_leg(now, (id, at), leg, message);
    }

    /// A phone took the call.
    pub(crate) fn phone_accepted(
        &mut self,
        now: Instant,
        id: CallId,
        at: usize,
        first: bool,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if first {
            call.acceptance = message.raw().to_vec();
        }
        let carrier = call.carrier.map(usize::from);
        let accepted: heapless::Vec<usize, CALL_UPSTREAMS_MAX> = call
            .upstreams
            .iter()
            .enumerate()
            .filter(|(at, up)| {
                let open =
                    matches!(up.state, UpstreamState::Carrying | UpstreamState::Accepted { .. });
                open || carrier == Some(*at)
            })
            .map(|(up, _)| up)
            .collect();
        for up in accepted {
            self.accept_upstream(now, id, at, up, message);
        }
        if first {
            self.miss_server_leg(now, id);
        } else {
            self.note_late_acknowledgements(now, id);
            self.acknowledge_phone_again(now, id, at);
        }
        self.settle_held(now, id);
    }

    pub(crate) fn accept_upstream(
        &mut self,
        now: Instant,
        id: CallId,
        at: usize,
        up: usize,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.carrier.is_some() && call.upstreams[up].accepted {
            // The phone has not heard the ACK: its caller shall send it again.
            return self.relay_response(now, id, at, up, message);
        }
        self.expect_name(now, id);
        let Some(call) = self.calls.get_mut(id) else { return };
        call.upstreams[up].accepted = true;
        if !matches!(call.upstreams[up].state, UpstreamState::Accepted { .. }) {
            call.upstreams[up].state = UpstreamState::Accepted { since: now, late: false };
        }
        if let Some(media) = call.media {
            self.media.carry(media, up as u8);
        }
        self.note_dialog(now, (id, at, up), message, true);
        self.relay_response(now, id, at, up, message);
    }

    /// A call that came over the overlay alone, while the server is up, shows that this may not
    /// know the phone any more.
    pub(super) fn miss_server_leg(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id).filter(|call| call.role == Role::Callee) else {
            return;
        };
        if call.upstreams.iter().any(|up| up.path == Path::Server) {
            return;
        }
        let phones: Phones = call.legs.iter().filter_map(|leg| leg.binding).collect();
        for phone in phones {
            self.registration_doubted(now, phone);
        }
    }

    /// The ACK of what the server leg carries came by the direct path.
    pub(crate) fn acknowledged_directly(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        for (up, upstream) in call.upstreams.iter_mut().enumerate() {
            if matches!(upstream.state, UpstreamState::Accepted { .. }) {
                upstream.state = UpstreamState::Done;
                call.carrier.get_or_insert(up as u8);
            }
        }
    }

    /// A phone refused.
    pub(crate) fn phone_refused(
        &mut self,
        now: Instant,
        id: CallId,
        at: usize,
        message: &Message<'_>,
    ) {
        let global = message.status() >= 600;
        if global {
            self.lose_others(now, id, at);
        }
        self.give_up_if_all_failed(now, id);
    }

    /// Nothing came from a phone: CALLS §2.6.
    pub(crate) fn phone_unreachable(&mut self, now: Instant, id: CallId, at: usize) {
        let binding = self.calls.get(id).and_then(|call| call.legs.get(at)).and_then(|l| l.binding);
        if let Some(binding) = binding {
            self.phone_fell_silent(now, binding);
        }
        self.give_up_if_all_failed(now, id);
    }

    /// When no phone can take the call any more, every upstream gets the best refusal.
    fn give_up_if_all_failed(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        if call.winner.is_some() || call.legs.iter().any(|leg| leg.state.is_open()) {
            return;
        }
        let Some((_, at)) = call.best_refusal(false) else {
            return self.end_unanswered(now, id, 480);
        };
        let refusal = call.legs[at].answer.clone();
        let Ok(message) = Message::parse(&refusal) else { return };
        let count = call.upstreams.len();
        for up in 0..count {
            let open = self.calls.get(id).is_some_and(|call| {
                call.upstreams.get(up).is_some_and(|u| u.state != UpstreamState::Done)
            });
            if open {
                self.relay_response(now, id, at, up, &message);
                self.finish_upstream(id, up);
            }
        }
        self.reap(now, id);
    }

    /// What a call at the callee's side does when its time has come.
    pub(crate) fn callee_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let silent: heapless::Vec<usize, { crate::limits::CALL_LEGS_MAX }> = call
            .legs
            .iter()
            .enumerate()
            .filter(|(_, l)| l.state.is_open() && now >= l.deadline(Role::Callee))
            .map(|(at, _)| at)
            .collect();
        for at in silent {
            self.lose_leg(now, id, at);
            if let Some(leg) = self.calls.get_mut(id).and_then(|call| call.legs.get_mut(at)) {
                leg.state = LegState::Failed;
            }
            self.phone_unreachable(now, id, at);
        }
        let Some(call) = self.calls.get(id) else { return };
        let answered = call.winner.is_some();
        self.held_due(now, id);
        if answered {
            self.note_late_acknowledgements(now, id);
            self.settle_held(now, id);
        }
        self.arm(id);
        self.reap(now, id);
    }
}
