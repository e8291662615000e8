//! A held leg that rings its phone after all, as a call of its own (CALLS §3.8).
//!
//! Where only the first leg dies, the phone hears of the held one: its offer may be another one, so
//! the phone gets it as a new call, under a Call-ID and a From tag that it has not seen. The leg
//! has heard a 180 of ours: what the phone says reaches it under that tag.

use super::identity::{Rename, with_tag};
use super::{CallId, Callee, Role, UpstreamState};
use crate::adapter::Adapter;
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::sip::Message;
use crate::time::Instant;

impl Adapter {
    /// Held leg `up` of a call becomes a call of its own, and rings.
    pub(crate) fn ring_anew(&mut self, now: Instant, id: CallId, up: usize) {
        let Some(call) = self.calls.get(id) else { return };
        let Some(held) = call.upstreams.get(up) else { return };
        let request = held.request.clone();
        let source = Source { path: held.path, flow: held.flow, local: held.local };
        let (server, to_tag, cseq) = (held.server, held.to_tag.clone(), held.cseq);
        let linked = !held.anonymous;
        let (key, callees, claim) = (call.key, call.callees.clone(), call.claim.clone());
        let Ok(message) = Message::parse(&request) else { return };
        let phones = self.phones_called(&message, &source);
        let fresh = self.new_call(now, Role::Callee, &message, source);
        let Some(mut call) = fresh.filter(|_| !phones.is_empty()) else {
            return self.refuse_upstream(now, id, up, 480);
        };
        let mut upstream = self.upstream_of(server, &message, source, UpstreamState::Carrying);
        (upstream.to_tag, upstream.cseq) = (to_tag, cseq);
        let _ = call.upstreams.push(upstream);
        let owner = phones.first().and_then(|id| self.registrar.get(*id));
        call.provider = owner.and_then(|binding| binding.provider);
        call.callee = self.spell(call.provider, message.request_uri()).unwrap_or_default();
        call.claim = self.claim_of(call.provider, &message, &source);
        if linked {
            (call.key, call.callees, call.claim) = (key, callees, claim);
        }
        if let Path::Peer(node) = source.path {
            call.callees.clear();
            let _ = call.callees.push(Callee::telling(node, true));
        }
        let (first, second, tag) = (self.rng.next_u32(), self.rng.next_u32(), self.rng.next_u32());
        call.rename = Some(Rename {
            call_id: format!("{first:08x}{second:08x}"),
            from: with_tag(
                message.header(crate::sip::Name::From).unwrap_or_default(),
                &format!("{tag:08x}"),
            ),
            to: message.header(crate::sip::Name::To).unwrap_or_default().to_owned(),
        });
        self.trace_note(now, id, "held leg rings as a new call");
        self.finish_upstream(id, up);
        self.ring_all(now, call, phones, &message, source);
    }

    /// The leg that rang the phone is gone, and nobody cancelled it: a held one takes over.
    pub(super) fn first_leg_died(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let held = call
            .upstreams
            .iter()
            .position(|up| matches!(up.state, UpstreamState::Held { until: None }));
        self.lose_others(now, id, usize::MAX);
        if let Some(up) = held {
            self.ring_anew(now, id, up);
        }
    }
}
