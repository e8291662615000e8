//! Further legs of a call that rings here already: held, and ended or taken over (CALLS §3.8).

use super::{CallId, Callee, LegState, Role, Upstream, UpstreamState};
use crate::adapter::Adapter;
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::channel::CarryingPath;
use crate::limits::{ACK_LIMIT, ACK_PATIENCE, CALL_RETRY_WAIT, CALL_UPSTREAMS_MAX};
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
    ) {
        let state = UpstreamState::Held { until: None };
        let upstream = self.upstream_of(server, message, source, state);
        let Some(call) = self.calls.get_mut(id) else { return };
        let refused = call
            .legs
            .iter()
            .find_map(|leg| match leg.state {
                LegState::Refused { code, .. } => Some(code),
                _ => None,
            })
            .filter(|_| !call.legs.iter().any(|leg| leg.state.is_open()));
        if call.upstreams.push(upstream).is_err() {
            return self.refuse(now, server, 482);
        }
        let up = call.upstreams.len() - 1;
        if let Path::Peer(node) = source.path
            && !call.callees.iter().any(|c| c.node == node)
        {
            let _ = call.callees.push(Callee::telling(node, true));
        }
        let answered = call.winner.is_some();
        self.trace_note(now, id, "second leg, held");
        self.learn_offer(now, id, up, message);
        if let Some(code) = refused {
            self.refuse(now, server, code);
            self.finish_upstream(id, up);
        } else if answered {
            self.settle_held(now, id);
        } else {
            let reliable =
                message.values(crate::sip::Name::Require).any(|v| v.eq_ignore_ascii_case("100rel"));
            let tag = self.rng.next_u32();
            let code = if reliable { 100 } else { 180 };
            self.reply_tagged(now, server, code, tag);
        }
        self.arm(id);
    }

    /// A leg of a call that is over: it waits for its own CANCEL, and no phone rings for it.
    pub(crate) fn hold_late(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        self.reply_trying(now, server, message);
        let Some(mut call) = self.new_call(now, Role::Callee, message, source) else {
            return self.refuse(now, server, 480);
        };
        let state = UpstreamState::Held { until: Some(now + CALL_RETRY_WAIT) };
        let _ = call.upstreams.push(self.upstream_of(server, message, source, state));
        let Some(id) = self.insert_call(call) else { return self.refuse(now, server, 480) };
        self.trace_begin(now, id, message, source.path);
        self.trace_note(now, id, "this call is over: held");
        self.arm(id);
    }

    /// Where a held leg wants its media, for the case that it will carry.
    pub(crate) fn learn_offer(
        &mut self,
        now: Instant,
        id: CallId,
        up: usize,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get(id) else { return };
        let (media, flow) = (call.media, call.upstreams[up].flow);
        let sides = super::relay::sides(false, up as u8);
        self.relay_body(now, media, sides, flow, message);
    }

    /// After the phone's answer: which of the further legs ends, which takes over.
    pub(crate) fn settle_held(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let server_down = call
            .provider
            .and_then(|at| self.providers.get(usize::from(at)))
            .is_some_and(|provider| !provider.is_up());
        let unacknowledged = call.upstreams.iter().any(|up| {
            up.path == Path::Server
                && matches!(up.state, UpstreamState::Accepted { late, .. } if late || server_down)
        });
        let acknowledged = call
            .dialogs
            .iter()
            .any(|d| d.confirmed && call.upstreams.iter().all(|up| !up.awaits_ack(d.far.path)));
        let winner = call.winner.map(usize::from);
        let held: heapless::Vec<_, CALL_UPSTREAMS_MAX> = call
            .upstreams
            .iter()
            .enumerate()
            .filter_map(|(up, u)| match u.state {
                UpstreamState::Held { until } => Some((up, u.path, u.server, until)),
                _ => None,
            })
            .collect();
        let acceptance = call.acceptance.clone();
        for (up, path, server, until) in held {
            match (path, winner) {
                (Path::Peer(_), Some(at)) if unacknowledged => {
                    if let Ok(message) = Message::parse(&acceptance) {
                        self.trace_note(now, id, "answer over the overlay too");
                        self.accept_upstream(now, id, at, up, &message);
                    }
                }
                (Path::Peer(_), Some(_)) if acknowledged => {
                    self.refuse(now, server, 482);
                    self.finish_upstream(id, up);
                }
                (Path::Peer(_), Some(_)) => {}
                _ => match until {
                    Some(until) if now >= until => {
                        self.refuse(now, server, 480);
                        self.finish_upstream(id, up);
                    }
                    Some(_) => {}
                    None => self.hold_until(id, up, now + CALL_RETRY_WAIT),
                },
            }
        }
        if unacknowledged {
            self.ask_for_leg(now, id);
        }
        self.arm(id);
    }

    pub(crate) fn hold_until(&mut self, id: CallId, up: usize, until: Instant) {
        if let Some(upstream) = self.calls.get_mut(id).and_then(|c| c.upstreams.get_mut(up)) {
            upstream.state = UpstreamState::Held { until: Some(until) };
        }
    }

    /// The far end acknowledged the phone's answer over `path`: that leg carries from now on.
    pub(crate) fn acknowledged(&mut self, now: Instant, id: CallId, path: Path) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let accepted = |peer: bool| {
            call.upstreams.iter().position(|up| {
                matches!(up.path, Path::Peer(_)) == peer
                    && matches!(up.state, UpstreamState::Accepted { .. })
            })
        };
        let came = matches!(path, Path::Peer(_));
        let named = call.named.map(|named| named == CarryingPath::Peer);
        let carrying = named.and_then(accepted).or_else(|| accepted(came));
        match carrying {
            Some(up) => self.carry_by(now, id, up),
            None => self.acknowledged_directly(id, path),
        }
    }

    /// This leg carries, whatever did before.
    pub(super) fn carry_by(&mut self, now: Instant, id: CallId, up: usize) {
        let Some(call) = self.calls.get_mut(id).filter(|call| up < call.upstreams.len()) else {
            return;
        };
        call.carrier = Some(up as u8);
        let upstream = &call.upstreams[up];
        for dialog in &mut call.dialogs {
            dialog.far.path = upstream.path;
            dialog.far.flow = upstream.flow;
            dialog.far.local = upstream.local;
            dialog.far.contact = upstream.contact.clone();
            dialog.far.side = up as u8;
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
    /// Whether the 2xx on this path still waits for its ACK.
    pub(crate) fn awaits_ack(&self, path: Path) -> bool {
        self.path == path && matches!(self.state, UpstreamState::Accepted { .. })
    }
}
