//! Notices: what adapters tell each other about a call before any leg crosses (CALLS §3.2).

use super::Adapter;
use crate::channel::{CallKey, NoticeAnswer, Payload};
use crate::config::{Accept, Mode};
use crate::limits::{NOTICE_LIFE, NOTICES_A_PEER_MAX, NOTICES_MAX};
use crate::net::NodeId;
use crate::time::Instant;

/// A notice whose call may have come, or may come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoticeHeard {
    at: Instant,
    call: CallKey,
    from: NodeId,
}

impl Adapter {
    /// Another adapter tells that a phone here is about to be called.
    pub(super) fn notice_heard(&mut self, now: Instant, peer: NodeId, call: CallKey, callee: &str) {
        let here = self.config.identity.accept != Accept::Nobody
            && self.config.adapter.mode != Mode::Server
            && self
                .registrar
                .by_aor(callee)
                .any(|id| self.registrar.get(id).is_some_and(|binding| !binding.silent));
        if here {
            self.notices.retain(|known| (known.call, known.from) != (call, peer));
            let of_peer = self.notices.iter().filter(|known| known.from == peer).count();
            let oldest = match (of_peer >= NOTICES_A_PEER_MAX, self.notices.len() >= NOTICES_MAX) {
                (true, _) => self.notices.iter().position(|known| known.from == peer),
                (false, full) => full.then_some(0),
            };
            if let Some(oldest) = oldest {
                self.notices.remove(oldest);
                self.counters.notices_dropped += 1;
            }
            self.notices.push_back(NoticeHeard { at: now, call, from: peer });
            self.link_running_call(call, peer);
        }
        let answer = if here { NoticeAnswer::Here } else { NoticeAnswer::NotHere };
        if let Some(channel) = &mut self.channel {
            let _ = channel.send(now, peer, &Payload::NoticeAnswer { call, answer });
        }
    }

    /// The adapter that told of this call.
    pub(crate) fn noticed(&self, call_id: &str) -> Option<NodeId> {
        let key = CallKey::of(call_id);
        self.notices.iter().rev().find(|notice| notice.call == key).map(|notice| notice.from)
    }

    /// The server's leg may have come before its notice.
    fn link_running_call(&mut self, key: CallKey, node: NodeId) {
        for (_, call) in self.calls.iter_mut() {
            let unknown = !call.callees.iter().any(|callee| callee.node == node);
            if call.role == super::call::Role::Callee
                && unknown
                && CallKey::of(&call.call_id) == key
            {
                let _ = call.callees.push(super::call::Callee::telling(node, false));
            }
        }
    }

    /// Forgets notices whose call came long ago, or never.
    pub(super) fn forget_old_notices(&mut self, now: Instant) {
        while self.notices.front().is_some_and(|notice| now >= notice.at + NOTICE_LIFE) {
            self.notices.pop_front();
        }
    }
}
