//! A caller that waits no more before an answer (CALLS §3.7, §3.8).
//!
//! One that hangs up hears 200 and 487 at once, and all legs lose. A server that fails just then
//! may leave the callee's phone ringing, and what a B2BUA answers says nothing of its other side:
//! so a second later the callee's adapter is told over the channel, whatever came back. So it is
//! where the caller has heard a refusal that is not the server's: that may bring its leg yet.

use super::{Call, CallId, Leg, LegState, Role, UpstreamState};
use crate::adapter::Adapter;
use crate::adapter::names::Path;
use crate::adapter::server::State;
use crate::channel::{CallKey, Payload};
use crate::limits::{CALL_LEGS_MAX, CALL_RETRY_WAIT, CANCEL_PATIENCE};
use crate::net::NodeId;
use crate::time::Instant;

impl Adapter {
    /// The caller hung up on one of the legs before an answer.
    pub(crate) fn call_cancelled(&mut self, now: Instant, id: CallId, up: usize) {
        let Some(call) = self.calls.get(id) else { return };
        let Some(upstream) = call.upstreams.get(up) else { return };
        if matches!(upstream.state, UpstreamState::Done | UpstreamState::Accepted { .. }) {
            return;
        }
        let carrying = upstream.state == UpstreamState::Carrying;
        let role = call.role;
        self.refuse_upstream(now, id, up, 487);
        self.trace_note(now, id, "cancelled");
        if carrying {
            if let Some(call) = self.calls.get_mut(id) {
                call.cancelled = true;
            }
            self.lose_others(now, id, usize::MAX);
            match role {
                Role::Caller => self.watch_cancel(now, id),
                Role::Callee => self.hold_for_cancel(now, id),
            }
        }
        self.arm(id);
        self.reap(now, id);
    }

    /// The held legs of a call that was cancelled wait for a CANCEL of their own.
    fn hold_for_cancel(&mut self, now: Instant, id: CallId) {
        let count = self.calls.get(id).map_or(0, |call| call.upstreams.len());
        for up in 0..count {
            let held = self
                .calls
                .get(id)
                .is_some_and(|call| matches!(call.upstreams[up].state, UpstreamState::Held { .. }));
            if held {
                self.hold_until(id, up, now + CALL_RETRY_WAIT);
            }
        }
    }

    /// Caller's side: the server has a second to cancel the call at the other end.
    fn watch_cancel(&mut self, now: Instant, id: CallId) {
        let down = self.server_is_down(id);
        let Some(call) = self.calls.get_mut(id) else { return };
        let told = call.callees.iter().any(|callee| callee.acknowledged);
        // Also one that failed since: it may have reached the callee before.
        let asked = call.server_legs().next().is_some();
        if told && asked {
            call.cancel_crosses = Some(if down { now } else { now + CANCEL_PATIENCE });
        }
    }

    /// Caller's side: the call ends with this status, though the server has not said its last word:
    /// what it was asked may reach the callee as late as after a hang-up. Not where the phone may
    /// try again under the same Call-ID.
    pub(super) fn watch_unanswered(&mut self, now: Instant, id: CallId, code: u16) {
        let Some(call) = self.calls.get(id).filter(|call| call.role == Role::Caller) else {
            return;
        };
        let refused = |leg: &Leg| matches!(leg.state, LegState::Refused { .. });
        if !call.server_legs().all(refused) && !is_tried_again(code) {
            self.watch_cancel(now, id);
            self.arm(id);
        }
    }

    /// Whether the provider's server is known down. A suspicion is for new calls and REGISTERs
    /// alone (CALLS §5).
    pub(super) fn server_is_down(&self, id: CallId) -> bool {
        let provider = self.calls.get(id).and_then(|call| call.provider);
        self.providers.state_of(provider) == State::Down
    }

    /// Whether the provider's server is not up, be it by a suspicion alone.
    pub(super) fn server_is_not_up(&self, id: CallId) -> bool {
        let provider = self.calls.get(id).and_then(|call| call.provider);
        self.providers.state_of(provider) != State::Up
    }

    /// Caller's side: tells the callee's adapter that the caller waits no more, where it is time.
    pub(super) fn cross_cancel_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.cancel_crosses.take_if(|at| now >= *at).is_none() {
            return;
        }
        let key = call.key;
        let told: heapless::Vec<NodeId, CALL_LEGS_MAX> =
            call.callees.iter().filter(|c| c.acknowledged).map(|c| c.node).collect();
        self.trace_note(now, id, "its end: told over the channel too");
        for node in told {
            self.tell_peer(now, node, &Payload::CancelCall { call: key });
        }
    }

    /// Callee's side: the caller's adapter says that the caller waits no more. The phone stops
    /// ringing; the server's leg waits for its own CANCEL, should that still come. A phone that has
    /// answered meanwhile is in a call with nobody: that ends.
    pub(crate) fn cancelled_across(&mut self, now: Instant, peer: NodeId, key: CallKey) {
        self.cancel_notice(now, peer, key);
        let told = |call: &Call| call.callees.iter().any(|callee| callee.node == peer);
        let rings = |call: &Call| {
            told(call) && call.winner.is_none() && call.legs.iter().any(|leg| leg.state.is_open())
        };
        while let Some(id) = self.find_keyed(Role::Callee, key, rings) {
            self.stop_ringing(now, id);
        }
        let alone = |call: &Call| {
            told(call) && call.winner.is_some() && call.named.is_none() && !call.dialogs.is_empty()
        };
        while let Some(id) = self.find_keyed(Role::Callee, key, alone) {
            self.end_unheard_answer(now, id, "the caller has hung up");
        }
    }

    /// The other adapter knows that no answer is waited for here any more.
    pub(super) fn stop_ringing(&mut self, now: Instant, id: CallId) {
        self.trace_note(now, id, "cancelled over the channel");
        self.lose_others(now, id, usize::MAX);
        let Some(call) = self.calls.get_mut(id) else { return };
        call.cancelled = true;
        for up in &mut call.upstreams {
            let by_server = up.path == Path::Server && up.state == UpstreamState::Carrying;
            up.anonymous = false;
            if by_server {
                up.state = UpstreamState::Held { until: Some(now + CALL_RETRY_WAIT) };
            }
        }
        self.hold_for_cancel(now, id);
        self.arm(id);
        self.reap(now, id);
    }

    /// The phone's 2xx is acknowledged and its leg ended: no caller is there to do it. The other
    /// adapter knows, and may have its caller in another call.
    pub(super) fn end_unheard_answer(&mut self, now: Instant, id: CallId, why: &'static str) {
        self.trace_note(now, id, why);
        let count = self.calls.get(id).map_or(0, |call| call.dialogs.len());
        for at in 0..count {
            self.acknowledge_phone(id, at);
            self.end_leg(now, (id, at));
        }
        let Some(call) = self.calls.get_mut(id) else { return };
        call.name_due = None;
        call.dialogs.clear();
        for up in &mut call.upstreams {
            if matches!(up.state, UpstreamState::Accepted { .. }) {
                up.state = UpstreamState::Done;
            }
        }
        self.reap(now, id);
    }
}

/// Whether a phone may answer this refusal with another INVITE of the same call (RFC 3261
/// s8.1.3.5, RFC 4028 s7.3).
fn is_tried_again(code: u16) -> bool {
    matches!(code, 401 | 407 | 413 | 415 | 416 | 420 | 422)
}
