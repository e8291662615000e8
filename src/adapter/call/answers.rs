//! What legs answer before the call is answered, and which of it the other side is told.
//!
//! A phone hears one early dialog at a time (CALLS §3.4): that of the first leg whose ringing
//! reached it. What another leg says meanwhile is kept, and told when the one that is heard has
//! failed, or when the phone's next INVITE comes after a challenge (§3.5): under the leg's own
//! tag, with its own description behind the same relay port.

use super::{Call, CallId, LegState, Role};
use crate::adapter::Adapter;
use crate::adapter::names::Path;
use crate::limits::{CALL_RETRY_WAIT, REDIRECTS_MAX};
use crate::sip::proxy::rank;
use crate::sip::{Message, Name};
use crate::time::Instant;

impl Call {
    /// Whether the leg that is heard may still answer.
    fn hears_an_open_leg(&self) -> bool {
        let heard = self.heard.and_then(|at| self.legs.get(usize::from(at)));
        heard.is_some_and(|leg| leg.state.is_open())
    }

    /// The refusal that says most, of the server's leg or of all others: its status and its leg.
    /// Over the overlay a leg that failed counts as 480, and what only says that the offer does
    /// not fit as nothing (CALLS §3.6).
    pub(super) fn best_refusal(&self, of_server: bool) -> Option<(u16, usize)> {
        let side = |path: Path| (path == Path::Server) == of_server;
        let code = |state: LegState, path: Path| match (state, path) {
            (LegState::Refused { code: 415 | 488 | 606, .. }, Path::Peer(_)) => None,
            (LegState::Refused { code, .. }, _) => Some(code),
            (LegState::Failed, Path::Peer(_)) => Some(480),
            _ => None,
        };
        let legs = self.legs.iter().enumerate().filter(|(_, leg)| side(leg.path));
        legs.filter_map(|(at, leg)| Some((code(leg.state, leg.path)?, at)))
            .min_by_key(|(code, _)| rank(*code))
    }
}

impl Adapter {
    /// A leg rings.
    pub(super) fn leg_rings(&mut self, now: Instant, id: CallId, at: usize, message: &Message<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let other_is_heard = call.hears_an_open_leg() && call.heard != Some(at as u8);
        let leg = &mut call.legs[at];
        // A phone's own ringing has a Contact (RFC 3261 s12.1.1).
        leg.held = matches!(leg.path, Path::Peer(_)) && message.header(Name::Contact).is_none();
        leg.answer = message.raw().to_vec();
        if !other_is_heard {
            self.hear(now, id, at);
        }
    }

    /// The other side hears this leg's ringing from now on, as soon as it can hear anything.
    fn hear(&mut self, now: Instant, id: CallId, at: usize) {
        let upstreams = self.carrying_upstreams(id);
        let Some(call) = self.calls.get_mut(id).filter(|_| !upstreams.is_empty()) else { return };
        call.heard = Some(at as u8);
        let answer = core::mem::take(&mut call.legs[at].answer);
        if let (Role::Caller, Some(media)) = (call.role, call.media) {
            self.media.carry(media, at as u8);
        }
        let Ok(message) = Message::parse(&answer) else { return };
        for up in upstreams {
            self.note_dialog(now, (id, at, up), &message, false);
            self.relay_response(now, id, at, up, &message);
        }
    }

    /// Where nobody is heard any more, the next leg that rings is.
    pub(super) fn hear_next(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        if call.winner.is_some() || call.hears_an_open_leg() {
            return;
        }
        let untold = |leg: &super::Leg| leg.state == LegState::Ringing && !leg.answer.is_empty();
        if let Some(at) = call.legs.iter().position(untold) {
            self.hear(now, id, at);
        }
    }

    /// A refusal at the caller's adapter: challenges go to the phone at once (CALLS §3.5).
    pub(super) fn leg_refused(&mut self, now: Instant, id: CallId, at: usize, m: &Message<'_>) {
        self.doubt_own_place(now, id, at, m.status());
        let Some(call) = self.calls.get_mut(id) else { return };
        let from_server = call.legs[at].path == Path::Server;
        let unheard = call.heard.is_none();
        let challenged = from_server && unheard && matches!(m.status(), 401 | 407);
        let emergency = call.emergency.as_mut().filter(|_| challenged);
        if !from_server {
            return self.follow_redirection(now, id);
        }
        if challenged && emergency.is_none_or(|e| e.passes_challenge(at, m)) {
            call.retry_until = Some(now + CALL_RETRY_WAIT);
            self.relay_response(now, id, at, 0, m);
            self.finish_upstream(id, 0);
        }
    }

    /// The target that has accepted the caller's REGISTER forbids it to call: as one that has lost
    /// its table does.
    fn doubt_own_place(&mut self, now: Instant, id: CallId, at: usize, status: u16) {
        let Some(call) = self.calls.get(id) else { return };
        let leg = &call.legs[at];
        let there = leg.path == Path::Server && call.accepted_by == Some(leg.flow.to);
        let phone = call.phone.as_ref().filter(|_| there && status == 403);
        let caller = call.caller.as_str();
        let binding = phone.and_then(|phone| self.registrar.find(phone.flow, Some(caller)));
        if let Some(binding) = binding {
            self.registration_doubted(now, binding);
        }
    }

    /// Follows a redirection over the overlay, once no leg there is open: to whom the overlay
    /// resolves, and nobody else (CALLS §1.4). The phone hears of none.
    fn follow_redirection(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let mut peers = call.legs.iter().filter(|leg| matches!(leg.path, Path::Peer(_)));
        let Some((300..=399, at)) = call.best_refusal(false) else { return };
        if call.redirects == REDIRECTS_MAX || peers.any(|leg| leg.state.is_open()) {
            return;
        }
        let answer = call.legs[at].answer.clone();
        let Ok(message) = Message::parse(&answer) else { return };
        let mut contacts = message.contacts();
        let callee = contacts.find_map(|contact| {
            let callee = self.spell(call.provider, contact.uri)?;
            let both = (call.caller.as_str(), callee.as_str());
            let new = callee != call.callee;
            (new && self.is_looked_up(call.provider, both, contact.uri)).then_some(callee)
        });
        let Some((callee, call)) = callee.zip(self.calls.get_mut(id)) else { return };
        (call.legs[at].state, call.legs[at].answer) = (LegState::Failed, Vec::new());
        call.callees.clear();
        call.callee = callee;
        call.redirects += 1;
        self.trace_note(now, id, "redirected");
        self.look_up_callee(now, id);
        self.tell_kept(now, id);
    }

    /// What came while the phone's next INVITE was waited for is told to that.
    pub(super) fn tell_retry(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(at) = call.winner.map(usize::from) else { return self.hear_next(now, id) };
        let answer = core::mem::take(&mut call.legs[at].answer);
        if let Ok(message) = Message::parse(&answer) {
            self.tell_acceptance(now, id, at, &message);
        }
    }

    /// A leg was accepted, and its phone can be told.
    pub(super) fn tell_acceptance(
        &mut self,
        now: Instant,
        id: CallId,
        at: usize,
        message: &Message<'_>,
    ) {
        self.note_dialog(now, (id, at, 0), message, true);
        self.keep_success(now, id, message);
        self.relay_response(now, id, at, 0, message);
        self.finish_upstream(id, 0);
    }

    /// The phone's next INVITE did not come in time. Whoever answered meanwhile is told so.
    pub(super) fn retry_missed(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.retry_until = None;
        if let Some(at) = call.winner.take().map(usize::from) {
            call.legs[at].state = LegState::Lost;
            let answer = core::mem::take(&mut call.legs[at].answer);
            if let (Some(client), Ok(message)) = (call.legs[at].client, Message::parse(&answer)) {
                self.loser_answered(now, client, &message);
            }
        }
        self.lose_others(now, id, usize::MAX);
        self.reap(now, id);
    }

    /// Passes the server's refusal, or the best of the overlay's, and ends the set-up.
    pub(super) fn answer_refusal(&mut self, now: Instant, id: CallId, of_server: bool) {
        let Some(call) = self.calls.get(id) else { return };
        let best = call.best_refusal(of_server).filter(|(code, _)| of_server || *code >= 400);
        let refusal = best.map(|(_, at)| (at, call.legs[at].answer.clone()));
        let parsed =
            refusal.as_ref().and_then(|(at, text)| Some((*at, Message::parse(text).ok()?)));
        let Some((at, message)) = parsed else {
            return self.end_unanswered(now, id, best.map_or(480, |(code, _)| code));
        };
        self.relay_response(now, id, at, 0, &message);
        self.finish_upstream(id, 0);
        self.lose_others(now, id, usize::MAX);
        self.watch_unanswered(now, id, message.status());
        self.reap(now, id);
    }
}
