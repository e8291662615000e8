//! Answers that the server does not carry, because it fails between the phone's 200 and its ACK.
//!
//! The callee's adapter sees that the 2xx on the server leg is not acknowledged, and where no
//! overlay leg is open it says so over the channel (CALLS §3.8). The caller's adapter then opens
//! that leg at once; where its own phone has the answer already, only the ACK was lost, and that
//! goes the direct way. Asked again with each 2xx that the phone repeats: the channel may lose it.

use super::claim::session_of_answer;
use super::dialog::DialogAt;
use super::dialogs::shifted;
use super::{Call, CallId, Role, Upstream, UpstreamState};
use crate::adapter::Adapter;
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::channel::{CallKey, CarryingPath, Payload, SessionKey};
use crate::limits::{CALL_LEGS_MAX, CALL_UPSTREAMS_MAX};
use crate::net::NodeId;
use crate::sip::Message;
use crate::time::{Duration, Instant};

/// A server may answer the caller itself, with an announcement, and only then ring the phone here.
/// News of such an answer waits for the look-up and the notice, and comes before this.
const ANSWERED_FIRST_MAX: Duration = Duration::from_secs(4);

impl Adapter {
    /// Callee's side: a phone whose answer one leg has acknowledged repeats it no more, so what
    /// another leg still waits for is repeated from here (RFC 3261 s13.3.1.4).
    pub(super) fn repeat_acceptance(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id).filter(|call| call.carrier.is_some()) else { return };
        let Some(winner) = call.winner.map(usize::from) else { return };
        let late = |up: &(usize, &Upstream)| {
            matches!(up.1.path, Path::Peer(_))
                && matches!(up.1.state, UpstreamState::Accepted { late: true, .. })
        };
        let late = call.upstreams.iter().enumerate().filter(late).map(|(up, _)| up);
        let late: heapless::Vec<usize, CALL_UPSTREAMS_MAX> = late.collect();
        let acceptance = call.acceptance.clone();
        let Ok(message) = Message::parse(&acceptance) else { return };
        for up in late {
            self.relay_response(now, id, winner, up, &message);
        }
    }

    /// Callee's side: the 2xx on the server leg is not acknowledged in time.
    pub(super) fn ask_for_leg(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let open = call
            .upstreams
            .iter()
            .any(|up| matches!(up.path, Path::Peer(_)) && !matches!(up.state, UpstreamState::Done));
        if open {
            return;
        }
        let key = call.key;
        let nodes: heapless::Vec<NodeId, CALL_LEGS_MAX> =
            call.callees.iter().filter(|c| c.acknowledged).map(|c| c.node).collect();
        for node in nodes {
            self.trace_note(now, id, "not acknowledged: asks for other leg");
            self.tell_peer(now, node, &Payload::OpenLeg { call: key });
        }
    }

    /// Caller's side: the phone that is called has answered, and `peer` cannot tell by the
    /// server.
    pub(crate) fn leg_wanted(&mut self, now: Instant, peer: NodeId, key: CallKey) {
        let asked = |call: &Call| call.callees.iter().any(|c| c.node == peer);
        let Some(id) = self.find_keyed(Role::Caller, key, asked) else {
            return self.tell_that_it_ended(now, peer, key);
        };
        let Some(call) = self.calls.get_mut(id) else { return };
        let carrying = call.upstreams.first().is_some_and(|u| u.state == UpstreamState::Carrying);
        let winner = call.winner.and_then(|at| call.legs.get(usize::from(at))).map(|leg| leg.path);
        match winner {
            None if carrying => {
                for callee in call.callees.iter_mut().filter(|c| c.node == peer) {
                    (callee.acknowledged, callee.absent) = (true, false);
                }
                self.trace_note(now, id, "answered there, not by the server");
                self.open_overlay_legs(now, id);
                self.arm(id);
            }
            Some(path) => {
                self.name_carrier(now, id);
                if path == Path::Server {
                    self.acknowledge_again(now, id, peer);
                }
            }
            None => {}
        }
    }

    /// Caller's side: the call that is asked for got no answer before its caller was gone. Of a
    /// call that a restart made unknown nothing is said: the server may carry it.
    fn tell_that_it_ended(&mut self, now: Instant, peer: NodeId, key: CallKey) {
        if self.ended_calls.was_given_up(now, key) {
            self.tell_peer(now, peer, &Payload::CancelCall { call: key });
        }
    }

    /// Caller's side: tells the callee's adapter which leg carries, before any ACK does; a 2xx
    /// may have come by both.
    pub(super) fn name_carrier(&mut self, now: Instant, id: CallId) {
        let call = self.calls.get(id).filter(|call| call.role == Role::Caller);
        let Some(call) = call else { return };
        let winner = call.winner.and_then(|at| call.legs.get(usize::from(at))).map(|leg| leg.path);
        let path = match winner {
            Some(Path::Peer(_)) => CarryingPath::Peer,
            Some(_) => CarryingPath::Server,
            None => return,
        };
        let key = call.key;
        let answer = call.described.agreed().and_then(|pair| session_of_answer(&pair.shown));
        let told: heapless::Vec<NodeId, CALL_LEGS_MAX> =
            call.callees.iter().filter(|c| c.acknowledged || c.opened).map(|c| c.node).collect();
        for node in told {
            self.tell_peer(now, node, &Payload::Carrying { call: key, path, answer });
        }
    }

    /// Callee's side: `peer` says which leg carries, and whose answer its phone has heard. Where
    /// another leg was acknowledged already, its word counts.
    pub(crate) fn carrier_named(
        &mut self,
        now: Instant,
        peer: NodeId,
        key: CallKey,
        (path, answer): (CarryingPath, Option<SessionKey>),
    ) {
        let tells = |call: &Call| {
            peer == self.id
                || call.callees.iter().any(|c| c.node == peer)
                || call.upstreams.iter().any(|up| up.path == Path::Peer(peer))
        };
        let Some(id) = self.find_keyed(Role::Callee, key, tells) else { return };
        let Some(call) = self.calls.get_mut(id) else { return };
        (call.named, call.answer_heard) = (Some(path), answer);
        let guessed = call.upstreams.iter().any(|up| up.anonymous);
        let rang = now >= call.started + ANSWERED_FIRST_MAX;
        if call.winner.is_none() && !guessed && rang {
            // Somebody else has answered, and a server that fails just then cancels nothing.
            return self.stop_ringing(now, id);
        }
        let named = call.named_upstream();
        let other = call.carrier.is_some_and(|carrier| Some(usize::from(carrier)) != named);
        // An answer by another leg, given for want of this word, had taken the call there.
        let waits = call.carrier.is_some() && call.upstreams.iter().any(Upstream::awaits_ack);
        if let Some(up) = named.filter(|_| other || waits) {
            self.carry_by(now, id, up);
        }
    }

    /// Callee's side: nobody has acknowledged the answer of the phone here, and the one that the
    /// caller has heard by the server is of another session. A mailbox, or somebody to whom the
    /// call was forwarded, was faster, and the server died before it could say so. This is known
    /// only of a server that leaves sessions alone: its leg offers the very one that the caller's
    /// adapter told of.
    pub(super) fn is_answered_elsewhere(&self, call: &Call) -> bool {
        // What a call says of its caller, and offers, is what its first leg said.
        let by_server = call.upstreams.first().is_some_and(|up| up.path == Path::Server);
        let said = call.described.agreed().and_then(|pair| session_of_answer(&pair.said));
        let differs = said.zip(call.answer_heard).is_some_and(|(said, heard)| said != heard);
        let named = call.named == Some(CarryingPath::Server);
        named && by_server && differs && self.offers_what_was_told(call)
    }

    /// The phone's ACK is lost with the server: it takes the direct path. A phone that has not
    /// acknowledged is answered again.
    fn acknowledge_again(&mut self, now: Instant, id: CallId, peer: NodeId) {
        let count = self.calls.get(id).map_or(0, |call| call.dialogs.len());
        for at in 0..count {
            let Some(call) = self.calls.get_mut(id) else { return };
            let Some(dialog) = call.dialogs.get_mut(at) else { return };
            match dialog.ack.clone() {
                Some((source, ack)) => {
                    self.send_ack(now, (id, at), &source, &ack, Some(peer));
                    self.trace_sent(now, id, Path::Peer(peer), "ACK");
                }
                None if dialog.success.is_some() => {
                    dialog.ack_over = Some(peer);
                    self.repeat_success(now, (id, at));
                }
                None => {}
            }
        }
    }

    /// A phone here repeats the 2xx to leg `leg` though the caller has acknowledged it: the ACK
    /// was lost on its last stretch.
    pub(super) fn acknowledge_phone_again(&mut self, now: Instant, id: CallId, leg: usize) {
        let Some(call) = self.calls.get(id) else { return };
        let number = call.legs.get(leg).map_or(0, |leg| leg.cseq);
        let count = call.dialogs.len();
        for at in 0..count {
            let ack = self.calls.get(id).and_then(|call| call.dialogs.get(at)?.ack.clone());
            let Some((source, ack)) = ack.filter(|(source, _)| source.path != Path::Lan) else {
                continue;
            };
            if self.number_at_phone((id, at), &source, &ack) == Some(number) {
                self.send_ack(now, (id, at), &source, &ack, None);
            }
        }
    }

    /// The number that a far end's ACK has at the phone.
    fn number_at_phone(&mut self, at: DialogAt, source: &Source, ack: &[u8]) -> Option<u32> {
        let message = Message::parse(ack).ok()?;
        let (own, _) = message.cseq()?;
        let end = self.sending_end(at, &message, source)?;
        let dialog = self.calls.get(at.0)?.dialogs.get(at.1)?;
        Some(shifted(own, dialog.ack_shift(end, own)))
    }

    fn send_ack(
        &mut self,
        now: Instant,
        at: DialogAt,
        source: &Source,
        ack: &[u8],
        direct: Option<NodeId>,
    ) {
        let Ok(message) = Message::parse(ack) else { return };
        if let Some((flow, bytes)) = self.compose_in_dialog(now, at, &message, source, direct) {
            self.send(flow, &bytes);
        }
    }
}
