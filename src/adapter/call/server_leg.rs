//! The caller's legs to the provider's server: to the phone's own target first, and to the next
//! one where that gives no sign (CALLS §2.1).

use super::decide::ServerLeg;
use super::{Call, CallId, Leg, LegState};
use crate::adapter::names::Path;
use crate::adapter::providers::ProviderId;
use crate::adapter::targets::Target;
use crate::adapter::ways::Hop;
use crate::adapter::{Adapter, ClientOwner};
use crate::limits::CALL_SERVER_LEGS_MAX;
use crate::sip::Message;
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// Sends `message`, the call's INVITE, to the server as soon as there is a way: to the target
    /// of leg `again`, or to the next one.
    pub(crate) fn open_server_leg(
        &mut self,
        now: Instant,
        id: CallId,
        message: &Message<'_>,
        again: Option<usize>,
    ) {
        let Some(call) = self.calls.get(id) else { return };
        let phone = call.phone.as_ref().map(|phone| phone.flow);
        let at = again.unwrap_or(call.legs.len());
        let owner = ClientOwner::Leg(id.slot(), at as u8);
        let hop = match (call.provider, again.and_then(|at| call.legs.get(at))) {
            (None, _) => Hop::Named,
            (Some(at), None) => Hop::Target(self.untried_target(now, call, at)),
            (Some(at), Some(leg)) => {
                let to = Some(leg.flow.to);
                let chosen = phone.and_then(|phone| self.chosen_target(at, phone));
                let chosen = chosen.filter(|target| Some(target.addr) == to);
                Hop::Target(chosen.or_else(|| self.next_target(now, at, to, &[])))
            }
        };
        let way = self.way_to_server(now, owner, hop, phone, message);
        let (flow, local, state) = way.parts();
        let target = message.request_uri().to_owned();
        let leg = Leg::new(now, Path::Server, (flow, local), state, target, message.cseq());
        self.open_leg(now, (id, at), leg, message);
        self.pump_locator(now);
    }

    /// The server's next target that this call has no leg to.
    fn untried_target(&self, now: Instant, call: &Call, provider: ProviderId) -> Option<Target> {
        let tried: heapless::Vec<SocketAddr, { crate::limits::CALL_LEGS_MAX }> =
            call.server_legs().map(|leg| leg.flow.to).collect();
        match &call.phone {
            Some(phone) => self.target_for(now, provider, (phone.flow, call.accepted_by), &tried),
            None => self.next_target(now, provider, call.accepted_by, &tried),
        }
    }

    /// When the server's next target is tried beside the one that gave no sign, where there is one
    /// (CALLS §2.1).
    pub(crate) fn next_target_at(&self, now: Instant, call: &Call) -> Option<Instant> {
        let provider = call.provider?;
        let last = call.server_legs().last()?;
        let state = &self.providers.get(provider)?.state;
        let at = match last.state {
            LegState::Failed => now,
            LegState::Silent | LegState::Dialing => last.sent + state.hedge(),
            _ => return None,
        };
        self.has_next_target(now, call).then_some(at)
    }

    /// Whether a call that asked the server may ask another of its targets.
    fn has_next_target(&self, now: Instant, call: &Call) -> bool {
        let asked = call.server_legs().count();
        let room = (1..CALL_SERVER_LEGS_MAX).contains(&asked) && !call.legs.is_full();
        let another = |provider| self.untried_target(now, call, provider).is_some();
        room && call.provider.is_some_and(another)
    }

    /// The target of the last server leg gave no sign, or cannot be reached.
    pub(crate) fn open_next_target(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let silent = call.server_legs().last().map(|leg| leg.flow.to);
        let (provider, invite) = (call.provider, call.invite().to_vec());
        if let Ok(message) = Message::parse(&invite) {
            self.open_server_leg(now, id, &message, None);
        }
        if let Some(silent) = silent {
            self.target_silent(now, provider, silent);
        }
    }
}

/// How `decide` sees the server leg, and whether its target has accepted the phone's REGISTER. Of
/// legs to several targets the one that is farthest counts: one that rings, then an answer of the
/// phone's own target, then silence, then what a strange target says.
pub(super) fn server_view(call: &Call) -> (ServerLeg, bool) {
    let farthest = call.server_legs().map(|leg| {
        let there = call.accepted_by == Some(leg.flow.to);
        match leg.state {
            LegState::Ringing | LegState::Doubted { .. } | LegState::Won => {
                (5, ServerLeg::Ringing, there)
            }
            LegState::Trying(since) => (4, ServerLeg::Trying(since), there),
            LegState::Refused { code, rang } => {
                (if there { 3 } else { 1 }, ServerLeg::Refused { code, rang }, there)
            }
            LegState::Dialing | LegState::Silent => (2, ServerLeg::Silent, there),
            LegState::Failed | LegState::Lost => (0, ServerLeg::Failed, there),
        }
    });
    farthest
        .max_by_key(|(rank, ..)| *rank)
        .map_or((ServerLeg::Absent, false), |(_, view, there)| (view, there))
}
