//! How a call begins, is found, and ends.

use super::claim::Claim;
use super::described::Described;
use super::moving::Moving;
use super::{Call, CallId, LegState, PhoneEnd, Role, Search, Upstream, UpstreamState};
use crate::adapter::emergency::Emergency;
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::adapter::registrar::BindingId;
use crate::adapter::{Adapter, Asker, ClientOwner};
use crate::channel::CallKey;
use crate::limits::{CALL_OTHER_IDS_MAX, CALL_UPSTREAMS_MAX, CALLS_EMERGENCY};
use crate::list::List;
use crate::media::{MediaEvent, Side};
use crate::sip::Message;
use crate::sip::transaction::ServerId;
use crate::time::Instant;

impl Adapter {
    /// A call about to begin. None where `max_calls` run already; emergency calls have room of
    /// their own.
    pub(crate) fn new_call(
        &mut self,
        now: Instant,
        role: Role,
        message: &Message<'_>,
        source: Source,
    ) -> Option<Call> {
        let running = self.running[role as usize];
        let emergency = role == Role::Caller && self.is_emergency(message.request_uri());
        let reserve = if emergency { CALLS_EMERGENCY } else { 0 };
        if running >= usize::from(self.config.adapter.max_calls) + reserve {
            return None;
        }
        let from_tag = message.from().and_then(|from| from.tag()).unwrap_or_default();
        let by_peer = matches!(source.path, Path::Peer(_));
        Some(Call {
            role,
            call_id: message.call_id().to_owned(),
            other_ids: Vec::new(),
            key: CallKey::of(message.call_id()),
            claim: Claim::default(),
            from_tag: from_tag.to_owned(),
            rename: None,
            provider: None,
            caller: String::new(),
            aliases: Vec::new(),
            callee: String::new(),
            redirects: 0,
            started: now,
            upstreams: List::new(),
            legs: List::new(),
            dialogs: List::new(),
            phone: None,
            media: None,
            described: Described::default(),
            moving: Moving::default(),
            search: Search::Barred,
            callees: List::new(),
            accepted_by: None,
            heard: None,
            carrier: None,
            named: None,
            answer_heard: None,
            name_due: None,
            winner: None,
            retry_until: None,
            cancelled: false,
            cancel_crosses: None,
            acceptance: Vec::new(),
            emergency: emergency.then(|| Emergency::new(self.gateways.all())),
            alias_user: format!("c{:08x}", self.rng.next_u32()),
            decide_at: None,
            reason: if by_peer { "called over the overlay" } else { "" },
        })
    }

    /// A call has no room for something: it goes on without that.
    pub(crate) fn no_room_in_call(&mut self, what: &str) {
        self.counters.call_parts_dropped += 1;
        log::debug!("a call has no room for {what}");
    }

    /// Takes a call in.
    pub(crate) fn insert_call(&mut self, call: Call) -> Option<CallId> {
        let call_id = call.call_id.clone();
        let role = call.role;
        let id = self.calls.insert(call).ok()?;
        self.running[role as usize] += 1;
        self.call_index.insert(call_id.as_str(), id.slot());
        Some(id)
    }

    /// The call with this Call-ID that `matches`.
    pub(crate) fn find_call(
        &self,
        call_id: &str,
        matches: impl Fn(&Call) -> bool,
    ) -> Option<CallId> {
        self.call_index.find(call_id).find_map(|slot| {
            let id = self.calls.id_at(slot)?;
            let call = self.calls.get(id)?;
            (call.goes_by(call_id) && matches(call)).then_some(id)
        })
    }

    /// The call that the adapters of both ends know by `key`, at this end of it.
    pub(crate) fn find_keyed(
        &self,
        role: Role,
        key: CallKey,
        matches: impl Fn(&Call) -> bool,
    ) -> Option<CallId> {
        let named = |call: &Call| (call.role, call.key) == (role, key) && matches(call);
        self.calls.iter().find(|(_, call)| named(call)).map(|(id, _)| id)
    }

    /// Lets messages with this Call-ID find the call.
    pub(crate) fn index_call(&mut self, id: CallId, call_id: &str) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.goes_by(call_id) {
            return;
        }
        if call.other_ids.len() == CALL_OTHER_IDS_MAX {
            return self.no_room_in_call("another Call-ID");
        }
        call.other_ids.push(call_id.to_owned());
        self.call_index.insert(call_id, id.slot());
    }

    /// The upstream that an INVITE is.
    pub(crate) fn upstream_of(
        &self,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
        state: UpstreamState,
    ) -> Upstream {
        Upstream {
            server,
            request: message.raw().to_vec(),
            path: source.path,
            flow: source.flow,
            local: source.local,
            contact: self.contact_of(message),
            cseq: message.cseq().map_or(1, |(number, _)| number),
            state,
            accepted: false,
            to_tag: None,
            rings_again: None,
            anonymous: false,
        }
    }

    /// A phone that sends a request, as an end of what follows.
    pub(crate) fn phone_end(
        &self,
        binding: Option<BindingId>,
        message: &Message<'_>,
        source: Source,
    ) -> PhoneEnd {
        let contact = self.contact_of(message);
        let registered = binding.and_then(|id| self.registrar.get(id));
        let user = match registered {
            Some(binding) => binding.wan_user.clone(),
            None => crate::adapter::names::uri_user(&contact).to_owned(),
        };
        let withheld = super::claim::withholds(message);
        PhoneEnd { flow: source.flow, local: source.local, contact, user, withheld }
    }

    /// Ends an answered call whose media have stopped.
    pub(crate) fn handle_media_event(&mut self, now: Instant, event: MediaEvent) {
        match event {
            MediaEvent::Dead { session, .. } => {
                let dead: Option<CallId> =
                    self.calls.iter().find(|(_, c)| c.media == Some(session)).map(|(id, _)| id);
                let answered =
                    |id: &CallId| self.calls.get(*id).is_some_and(|c| c.winner.is_some());
                if let Some(id) = dead.filter(answered) {
                    self.counters.calls_media_dead += 1;
                    self.end_call(now, id, "no media for timeout_s");
                }
            }
        }
    }

    /// Takes relay ports for a call, unless media is off.
    pub(crate) fn open_media(&mut self, now: Instant, id: CallId) {
        if self.config.media.path == crate::config::MediaPath::Off {
            return;
        }
        let emergency = self.calls.get(id).is_some_and(|call| call.emergency.is_some());
        let opened = if emergency { self.media.open_urgent(now) } else { self.media.open(now) };
        match opened {
            Ok(media) => {
                if let Some(call) = self.calls.get_mut(id) {
                    call.media = Some(media);
                    let signalling = match (call.role, &call.phone) {
                        (Role::Caller, Some(phone)) => Some((Side::Phone, phone.flow.to.ip())),
                        _ => None,
                    };
                    if let Some((side, ip)) = signalling {
                        self.media.set_peer(media, side, ip);
                    }
                }
            }
            Err(full) => log::warn!("media passed unchanged: {full}"),
        }
    }

    /// Upstreams that hear what the legs answer.
    pub(crate) fn carrying_upstreams(
        &self,
        id: CallId,
    ) -> heapless::Vec<usize, CALL_UPSTREAMS_MAX> {
        let Some(call) = self.calls.get(id) else { return heapless::Vec::new() };
        let upstreams = call.upstreams.iter().enumerate();
        upstreams.filter(|(_, up)| up.state == UpstreamState::Carrying).map(|(at, _)| at).collect()
    }

    /// Refuses an upstream, under the tag that it knows.
    pub(crate) fn refuse_upstream(&mut self, now: Instant, id: CallId, up: usize, code: u16) {
        let upstream = self.calls.get(id).and_then(|call| call.upstreams.get(up));
        let Some(upstream) = upstream else { return };
        let (server, tag) = (upstream.server, upstream.to_tag.clone());
        self.reply(now, server, code, tag.as_deref());
        self.finish_upstream(id, up);
    }

    /// The upstream has its last answer.
    pub(crate) fn finish_upstream(&mut self, id: CallId, up: usize) {
        if let Some(upstream) = self.calls.get_mut(id).and_then(|c| c.upstreams.get_mut(up)) {
            upstream.state = UpstreamState::Done;
        }
    }

    /// The INVITE's transaction ended badly: nobody waits for the answer any more.
    pub(crate) fn upstream_gone(&mut self, now: Instant, id: CallId, up: usize) {
        self.finish_upstream(id, up);
        let answered = self.calls.get(id).is_some_and(|call| call.winner.is_some());
        let waited_for = !self.carrying_upstreams(id).is_empty();
        if !answered && !waited_for {
            self.first_leg_died(now, id);
        }
        self.reap(now, id);
    }

    /// A leg loses.
    pub(crate) fn lose_leg(&mut self, now: Instant, id: CallId, at: usize) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(leg) = call.legs.get_mut(at).filter(|leg| leg.state.is_open()) else { return };
        leg.state = LegState::Lost;
        if let Some(client) = leg.client {
            self.transactions.cancel(now, client);
        }
    }

    /// What a call does when its time has come.
    pub(crate) fn call_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.decide_at = call.decide_at.filter(|at| *at > now);
        self.media_due(now, id);
        self.refreshes_due(now, id);
        self.unheard_due(now, id);
        self.repeat_successes(now, id);
        self.inquiries_due(now, id);
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.role == Role::Callee {
            return self.callee_due(now, id);
        }
        self.notices_due(now, id);
        self.cross_cancel_due(now, id);
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.retry_until.is_some_and(|at| now >= at) {
            return self.retry_missed(now, id);
        }
        let stale: heapless::Vec<usize, { crate::limits::CALL_LEGS_MAX }> = call
            .legs
            .iter()
            .enumerate()
            .filter(|(_, leg)| leg.state.is_open() && now >= leg.deadline(Role::Caller))
            .map(|(at, _)| at)
            .collect();
        for at in stale {
            let Some(leg) = self.calls.get(id).and_then(|c| c.legs.get(at)) else { continue };
            let rang = leg.state == LegState::Ringing;
            self.lose_leg(now, id, at);
            if let Some(leg) = self.calls.get_mut(id).and_then(|c| c.legs.get_mut(at)) {
                leg.state = LegState::Refused { code: 408, rang };
                // A ringing that nobody has heard is no answer any more.
                leg.answer.clear();
            }
        }
        self.advance(now, id);
        self.reap(now, id);
    }

    /// Ends a running call from here: BYE to both ends.
    pub(crate) fn end_call(&mut self, now: Instant, id: CallId, why: &'static str) {
        self.trace_note(now, id, why);
        let count = self.calls.get(id).map_or(0, |call| call.dialogs.len());
        for at in 0..count {
            self.send_byes(now, (id, at));
        }
        self.drop_dialogs(now, id, |_| true);
        self.reap(now, id);
    }

    /// Forgets a call of which nothing is left.
    pub(crate) fn reap(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if !call.is_setting_up() {
            // Early dialogs whose leg lost or refused: none of them will be confirmed.
            call.dialogs.retain(|dialog| dialog.confirmed);
        }
        if !call.is_over() {
            return;
        }
        if call.winner.is_none() {
            self.miss_server_leg(now, id);
        }
        self.count_outcome(id);
        self.stop_search(id);
        let Some(call) = self.calls.remove(id) else { return };
        self.running[call.role as usize] -= 1;
        self.counters.ended_calls_forgotten += self.ended_calls.remember(now, &call);
        self.call_index.remove(call.call_id.as_str(), id.slot());
        for call_id in &call.other_ids {
            self.call_index.remove(call_id.as_str(), id.slot());
        }
        self.call_timers.stop(id.slot());
        for at in 0..call.legs.len() {
            self.stop_waiting(ClientOwner::Leg(id.slot(), at as u8));
        }
        if let Some(media) = call.media {
            self.media.close(now, media);
        }
        self.trace.end(id.slot());
    }

    fn count_outcome(&mut self, id: CallId) {
        let Some(call) = self.calls.get(id).filter(|call| call.role == Role::Caller) else {
            return;
        };
        let won = call.winner.and_then(|at| call.legs.get(usize::from(at)));
        match won.map(|leg| (leg.path, leg.route)) {
            Some((_, Some(_))) => self.counters.calls_by_emergency_route += 1,
            Some((Path::Server, None)) => self.counters.calls_by_server += 1,
            Some(_) => self.counters.calls_by_overlay += 1,
            None => self.counters.calls_failed += 1,
        }
    }

    /// Notes who asked for a look-up.
    pub(crate) fn note_asker(&mut self, lookup: crate::overlay::LookupId, asker: Asker) {
        self.askers.insert(lookup, asker);
    }
}
