//! Further legs of a call that rings here already: held, and ended or taken over (CALLS §3.8).

use super::{Call, CallId, Callee, LegState, Role, Upstream, UpstreamState};
use crate::adapter::Adapter;
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::channel::CarryingPath;
use crate::limits::{
    ACK_LIMIT, ACK_PATIENCE, CALL_RETRY_WAIT, CALL_UPSTREAMS_MAX, CARRIER_ASKED_MAX,
    HELD_RINGING_REPEAT, PEER_LEGS_MAX,
};
use crate::sip::Message;
use crate::sip::transaction::ServerId;
use crate::time::Instant;

impl Adapter {
    /// A further leg of a call that is here already.
    pub(crate) fn hold(
        &mut self,
        now: Instant,
        id: CallId,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
        anonymous: bool,
    ) {
        let Some(call) = self.calls.get(id) else { return };
        let cancelled = call.cancelled && call.winner.is_none();
        let until = cancelled.then_some(now + CALL_RETRY_WAIT);
        let state = UpstreamState::Held { until };
        let mut upstream = self.upstream_of(server, message, source, state);
        upstream.anonymous = anonymous;
        let Some(call) = self.calls.get_mut(id) else { return };
        let refused = call
            .legs
            .iter()
            .find_map(|leg| match leg.state {
                LegState::Refused { code, .. } => Some(code),
                _ => None,
            })
            .filter(|_| !call.legs.iter().any(|leg| leg.state.is_open()));
        let of_peer = call.upstreams.iter().filter(|up| up.path == source.path).count();
        let crowded = source.path != Path::Server && of_peer >= PEER_LEGS_MAX;
        if crowded || call.upstreams.push(upstream).is_err() {
            self.counters.legs_refused_full += 1;
            log::info!("a call has more legs than it may: one is refused");
            return match source.path {
                // Never 482: a B2BUA makes it 486, and a mailbox answers.
                Path::Server => self.hold_late(now, server, message, source, anonymous),
                _ => self.refuse(now, server, 482),
            };
        }
        let up = call.upstreams.len() - 1;
        let answered = call.winner.is_some();
        if let Path::Peer(node) = source.path
            && !call.callees.iter().any(|c| c.node == node)
            && call.callees.push(Callee::telling(node, true)).is_err()
        {
            self.no_room_in_call("another adapter");
        }
        self.expect_name(now, id);
        self.index_call(id, message.call_id());
        self.trace_note(now, id, "second leg, held");
        self.learn_offer(now, id, up, message);
        if let Some(code) = refused {
            self.refuse_upstream(now, id, up, code);
        } else if cancelled {
            self.reply_trying(now, server, message);
        } else if answered {
            // Its CANCEL may come only after a provisional response (RFC 3261 s9.1).
            self.reply_trying(now, server, message);
            self.settle_held(now, id);
        } else {
            let reliable =
                message.values(crate::sip::Name::Require).any(|v| v.eq_ignore_ascii_case("100rel"));
            if reliable {
                self.reply_trying(now, server, message);
            } else {
                self.ring_held(now, id, up);
            }
        }
        self.arm(id);
    }

    /// Tells a held leg that the phone rings, without SDP.
    fn ring_held(&mut self, now: Instant, id: CallId, up: usize) {
        let tag = self.rng.next_u32();
        let upstream = self.calls.get_mut(id).and_then(|call| call.upstreams.get_mut(up));
        let Some(upstream) = upstream else { return };
        let tag = upstream.to_tag.get_or_insert_with(|| format!("{tag:08x}")).clone();
        upstream.rings_again = Some(now + HELD_RINGING_REPEAT);
        let server = upstream.server;
        self.reply(now, server, 180, Some(&tag));
    }

    /// Once a call is answered and linked, the caller's adapter says soon which leg carries; it is
    /// asked else.
    pub(crate) fn expect_name(&mut self, now: Instant, id: CallId) {
        let call = self.calls.get_mut(id);
        let Some(call) = call.filter(|call| call.winner.is_some() && !call.is_named()) else {
            return;
        };
        call.name_due.get_or_insert((now + ACK_PATIENCE, 0));
        self.arm(id);
    }

    /// A leg of a call that is over: it waits for its own CANCEL, and no phone rings for it.
    pub(crate) fn hold_late(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
        anonymous: bool,
    ) {
        self.reply_trying(now, server, message);
        let Some(mut call) = self.new_call(now, Role::Callee, message, source) else {
            self.no_room_in_call("a late leg");
            return self.refuse(now, server, 480);
        };
        let state = UpstreamState::Held { until: Some(now + CALL_RETRY_WAIT) };
        let mut upstream = self.upstream_of(server, message, source, state);
        upstream.anonymous = anonymous;
        let _ = call.upstreams.push(upstream);
        // The session that it offers may prove yet that it is another call.
        call.claim = self.claim_of(None, message, &source);
        let Some(id) = self.insert_call(call) else { return self.refuse(now, server, 480) };
        self.trace_begin(now, id, message, source.path);
        self.trace_note(now, id, "this call is over: held");
        self.arm(id);
    }

    /// Where a held leg wants its media, for the case that it will carry.
    fn learn_offer(&mut self, now: Instant, id: CallId, up: usize, message: &Message<'_>) {
        let Some(call) = self.calls.get(id) else { return };
        let (media, flow) = (call.media, call.upstreams[up].flow);
        let sides = super::relay::sides(false, up as u8);
        self.relay_body(now, media, sides, flow, message);
    }

    /// After the phone's answer: which of the further legs ends, which takes over.
    pub(crate) fn settle_held(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let server_down = self.server_is_down(id);
        let unacknowledged = call.upstreams.iter().any(|up| {
            up.path == Path::Server
                && matches!(up.state, UpstreamState::Accepted { late, .. } if late || server_down)
        }) || call.is_unnamed_at(now);
        if unacknowledged && self.is_answered_elsewhere(call) {
            return self.end_unheard_answer(now, id, "the caller has heard another answer");
        }
        let acknowledged = call.is_named()
            && call.dialogs.iter().any(|d| {
                let waits = |up: &Upstream| up.path == d.far().path && up.awaits_ack();
                d.confirmed && !call.upstreams.iter().any(waits)
            });
        let winner = call.winner.map(usize::from);
        let held: heapless::Vec<_, CALL_UPSTREAMS_MAX> = call
            .upstreams
            .iter()
            .enumerate()
            .filter_map(|(up, u)| match u.state {
                UpstreamState::Held { until } => Some((up, u.path, until)),
                _ => None,
            })
            .collect();
        let acceptance = call.acceptance.clone();
        for (up, path, until) in held {
            match (path, winner) {
                (Path::Peer(_), Some(at)) if unacknowledged => {
                    if let Ok(message) = Message::parse(&acceptance) {
                        self.trace_note(now, id, "answer over the overlay too");
                        self.accept_upstream(now, id, at, up, &message);
                    }
                }
                (Path::Peer(_), Some(_)) if acknowledged => {
                    self.refuse_upstream(now, id, up, 482);
                }
                (Path::Peer(_), Some(_)) => {}
                _ if until.is_none() => self.hold_until(id, up, now + CALL_RETRY_WAIT),
                _ => {}
            }
        }
        if unacknowledged {
            self.repeat_acceptance(now, id);
            self.ask_for_leg(now, id);
        }
        if let Some(call) = self.calls.get_mut(id) {
            call.ask_again_at(now);
        }
        self.arm(id);
    }

    /// What is due for held legs: their 180 again, or their end.
    pub(crate) fn held_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let is_due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        let due: heapless::Vec<_, CALL_UPSTREAMS_MAX> = call
            .upstreams
            .iter()
            .enumerate()
            .filter_map(|(up, u)| match u.state {
                UpstreamState::Held { until } if is_due(until) => Some((up, true, u.anonymous)),
                UpstreamState::Held { .. } if is_due(u.rings_again) => Some((up, false, false)),
                _ => None,
            })
            .collect();
        for (up, ends, anonymous) in due {
            match (ends, anonymous) {
                (true, true) => self.ring_anew(now, id, up),
                (true, false) => self.refuse_upstream(now, id, up, 480),
                _ => self.ring_held(now, id, up),
            }
        }
    }

    pub(crate) fn hold_until(&mut self, id: CallId, up: usize, until: Instant) {
        if let Some(upstream) = self.calls.get_mut(id).and_then(|c| c.upstreams.get_mut(up)) {
            upstream.state = UpstreamState::Held { until: Some(until) };
        }
    }

    /// The far end of upstream `came` acknowledged the phone's answer: that leg carries from now
    /// on, unless the caller's adapter named the other.
    pub(crate) fn acknowledged(&mut self, now: Instant, id: CallId, came: usize) {
        let Some(call) = self.calls.get(id) else { return };
        if !call.upstreams.iter().any(Upstream::awaits_ack) {
            return;
        }
        let came = call.upstreams.get(came).filter(|up| up.awaits_ack()).map(|_| came);
        if let Some(up) = call.named_upstream().or(came) {
            self.carry_by(now, id, up);
        }
    }

    /// This leg carries, whatever did before.
    pub(super) fn carry_by(&mut self, now: Instant, id: CallId, up: usize) {
        let Some(call) = self.calls.get_mut(id).filter(|call| up < call.upstreams.len()) else {
            return;
        };
        call.carrier = Some(up as u8);
        for dialog in &mut call.dialogs {
            if let Some(end) = dialog.end_of_side(up as u8) {
                dialog.carry_by(end);
            }
        }
        for other in &mut call.upstreams {
            if matches!(other.state, UpstreamState::Accepted { .. }) {
                other.state = UpstreamState::Done;
            }
        }
        if let Some(media) = call.media {
            self.media.carry(media, up as u8);
        }
        self.settle_held(now, id);
    }

    /// A 2xx that is not acknowledged in time makes way for another leg; the phone itself ends
    /// a call that nobody acknowledges at all (RFC 3261 s13.3.1.4).
    pub(crate) fn note_late_acknowledgements(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        for upstream in call.upstreams.iter_mut() {
            let UpstreamState::Accepted { since, late } = &mut upstream.state else { continue };
            *late = now >= *since + ACK_PATIENCE;
            if now >= *since + ACK_LIMIT {
                upstream.state = UpstreamState::Done;
            }
        }
    }
}

impl Upstream {
    /// Whether the 2xx on it still waits for its ACK.
    pub(super) fn awaits_ack(&self) -> bool {
        matches!(self.state, UpstreamState::Accepted { .. })
    }
}

impl Call {
    /// The leg that the caller's adapter says carries, where it was told the phone's answer.
    pub(super) fn named_upstream(&self) -> Option<usize> {
        let by_peer = self.named? == CarryingPath::Peer;
        let named = |up: &Upstream| up.accepted && matches!(up.path, Path::Peer(_)) == by_peer;
        self.upstreams.iter().position(named)
    }

    /// Whether the caller's adapter has said which leg carries, where there is one to say it. An
    /// ACK alone proves nothing: a B2BUA may send it on its own, before the caller has the answer.
    fn is_named(&self) -> bool {
        self.callees.is_empty() || self.named.is_some()
    }

    /// Whether it should have said so by now.
    fn is_unnamed_at(&self, now: Instant) -> bool {
        let late = |(at, asked): (Instant, u8)| asked > 0 || now >= at;
        !self.is_named() && self.winner.is_some() && self.name_due.is_some_and(late)
    }

    /// It is asked again after a second.
    fn ask_again_at(&mut self, now: Instant) {
        if let Some((at, asked)) = &mut self.name_due
            && now >= *at
        {
            *asked = asked.saturating_add(1);
            *at = now + ACK_PATIENCE;
        }
        self.name_due = self.name_due.filter(|(_, asked)| *asked < CARRIER_ASKED_MAX);
        if self.is_named() {
            self.name_due = None;
        }
    }
}
