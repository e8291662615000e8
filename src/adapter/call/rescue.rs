//! Answers that the server does not carry, because it fails between the phone's 200 and its ACK.
//!
//! The callee's adapter sees that the 2xx on the server leg is not acknowledged, and where no
//! overlay leg is open it says so over the channel (CALLS §3.8). The caller's adapter then opens
//! that leg at once; where its own phone has the answer already, only the ACK was lost, and that
//! goes the direct way. Asked again with each 2xx that the phone repeats: the channel may lose it.

use super::{CallId, Role, UpstreamState};
use crate::adapter::Adapter;
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::channel::{CallKey, Payload};
use crate::limits::CALL_LEGS_MAX;
use crate::net::NodeId;
use crate::sip::Message;
use crate::time::Instant;

impl Adapter {
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
        let (key, tag) = (CallKey::of(&call.call_id), call.from_tag.as_str());
        let mut nodes: heapless::Vec<NodeId, CALL_LEGS_MAX> =
            call.callees.iter().filter(|c| c.acknowledged).map(|c| c.node).collect();
        let home = |other: &super::Call| other.role == Role::Caller && other.from_tag == tag;
        if self.find_call(&call.call_id, home).is_some() {
            let _ = nodes.push(self.id);
        }
        for node in nodes {
            self.trace_note(now, id, "answer not acknowledged: asks for the other leg");
            if node == self.id {
                self.leg_wanted(now, node, key);
            } else if let Some(channel) = &mut self.channel {
                let _ = channel.send(now, node, &Payload::OpenLeg { call: key });
            }
        }
    }

    /// Caller's side: the phone that is called has answered, and `peer` cannot tell by the
    /// server.
    pub(crate) fn leg_wanted(&mut self, now: Instant, peer: NodeId, key: CallKey) {
        let found = self.calls.iter().find(|(_, call)| {
            call.role == Role::Caller
                && call.callees.iter().any(|c| c.node == peer)
                && CallKey::of(&call.call_id) == key
        });
        let Some(id) = found.map(|(id, _)| id) else { return };
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
            Some(Path::Server) => self.acknowledge_again(now, id, peer),
            _ => {}
        }
    }

    /// The phone's ACK is lost with the server: it takes the direct path.
    fn acknowledge_again(&mut self, now: Instant, id: CallId, peer: NodeId) {
        let count = self.calls.get(id).map_or(0, |call| call.dialogs.len());
        for at in 0..count {
            let Some(dialog) = self.calls.get(id).and_then(|call| call.dialogs.get(at)) else {
                return;
            };
            let (flow, local) = (dialog.phone.flow, dialog.phone.local);
            let (ack, source) = (dialog.ack.clone(), Source { path: Path::Lan, flow, local });
            let Ok(message) = Message::parse(&ack) else { continue };
            let composed = self.compose_in_dialog(now, (id, at), &message, &source, Some(peer));
            if let Some((flow, bytes)) = composed {
                self.send(flow, &bytes);
                self.trace_sent(now, id, Path::Peer(peer), "ACK");
            }
        }
    }
}
