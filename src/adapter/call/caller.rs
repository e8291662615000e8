//! The caller's adapter: a phone here calls (CALLS §3.1 to §3.7).
//!
//! The INVITE goes to the server at once, and the callee is looked up in the overlay meanwhile.
//! Each event ends in [`Adapter::advance`], which asks [`decide`] for the next step.

use super::decide::{self, OverlayLeg, ServerLeg, Step, View};
use super::server_leg::server_view;
use super::{Call, CallId, Leg, LegState, Role, Search, Upstream, UpstreamState};
use crate::adapter::Adapter;
use crate::adapter::inbound::Source;
use crate::adapter::names::{Local, Path, peer_flow};
use crate::adapter::spelling;
use crate::config::{Mode, Prefer};
use crate::sip::Message;
use crate::sip::transaction::ServerId;
use crate::time::{Instant, earlier};

impl Adapter {
    /// An INVITE outside dialogs from a phone.
    pub(crate) fn call_out(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        if self.is_merged(message) {
            return self.refuse(now, server, 482);
        }
        self.reply_trying(now, server, message);
        if let Some(id) = self.call_awaiting_retry(message) {
            return self.call_out_again(now, id, server, message, source);
        }
        let Some(mut call) = self.new_call(now, Role::Caller, message, source) else {
            self.counters.calls_refused_full += 1;
            return self.refuse(now, server, 503);
        };
        let upstream = self.upstream_of(server, message, source, UpstreamState::Carrying);
        let _ = call.upstreams.push(upstream);
        let binding = self.binding_of_sender(message, source.flow);
        call.provider = self.provider_for_phone(binding, message, source.flow);
        call.caller = self.caller_aor(binding, call.provider, message);
        call.aliases = self.aliases_of(binding, call.provider, message);
        call.callee = self.spell(call.provider, message.request_uri()).unwrap_or_default();
        call.phone = Some(self.phone_end(binding, message, source));
        if let Some(emergency) = &mut call.emergency {
            emergency.registered = binding.is_some();
            call.provider = call.provider.or_else(|| self.emergency_provider(message));
        }
        call.accepted_by = self.accepted_by(binding);
        let lookup = self.may_be_looked_up(&call, message);
        let referred =
            self.is_referred(now, source.flow.to.ip(), &call.callee) && call.emergency.is_none();
        let Some(id) = self.insert_call(call) else { return self.refuse(now, server, 503) };
        self.trace_begin(now, id, message, source.path);
        self.open_media(now, id);
        if lookup {
            self.look_up_callee(now, id);
        }
        if self.config.adapter.mode != Mode::Overlay && !referred {
            self.open_server_leg(now, id, message, None);
        }
        if lookup {
            // The notice tells of the session that the leg to the server offers.
            self.tell_kept(now, id);
        }
        self.advance(now, id);
    }

    /// The phone's INVITE with credentials: it joins the call that its first one began.
    fn call_out_again(
        &mut self,
        now: Instant,
        id: CallId,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        let upstream = self.upstream_of(server, message, source, UpstreamState::Carrying);
        let Some(call) = self.calls.get_mut(id) else { return };
        call.retry_until = None;
        call.started = now;
        call.upstreams.clear();
        let _ = call.upstreams.push(upstream);
        let challenged = call.challenged_leg();
        let undecided = call.winner.is_none();
        if call.emergency.is_some() {
            self.retry_emergency(now, id, message);
        } else if undecided {
            self.open_server_leg(now, id, message, challenged);
        }
        self.tell_retry(now, id);
        self.advance(now, id);
    }

    /// Whether the same INVITE came by another way and is still being answered (RFC 3261
    /// s8.2.2.2).
    fn is_merged(&self, message: &Message<'_>) -> bool {
        let tag = message.from().and_then(|from| from.tag()).unwrap_or_default();
        let number = message.cseq().map_or(0, |(number, _)| number);
        let same = |call: &Call| {
            let open = |up: &Upstream| up.cseq == number && up.state == UpstreamState::Carrying;
            call.role == Role::Caller && call.from_tag == tag && call.upstreams.iter().any(open)
        };
        self.find_call(message.call_id(), same).is_some()
    }

    fn call_awaiting_retry(&self, message: &Message<'_>) -> Option<CallId> {
        let tag = message.from()?.tag()?;
        self.find_call(message.call_id(), |call| {
            call.role == Role::Caller && call.retry_until.is_some() && call.from_tag == tag
        })
    }

    /// Opens a leg to every adapter that has the callee and was not tried.
    pub(super) fn open_overlay_legs(&mut self, now: Instant, id: CallId) {
        let local = Local::Overlay(self.id);
        let Some(call) = self.calls.get_mut(id) else { return };
        let invite = call.invite().to_vec();
        let Ok(message) = Message::parse(&invite) else { return };
        let target = spelling::uri(&call.callee);
        let cseq = message.cseq();
        let mut opened = heapless::Vec::<usize, { crate::limits::CALL_LEGS_MAX }>::new();
        let known_alive = call.callees.iter().any(|c| c.acknowledged && !c.opened);
        for callee in &mut call.callees {
            if callee.opened || callee.absent || (known_alive && !callee.acknowledged) {
                continue;
            }
            let (path, flow) = (Path::Peer(callee.node), peer_flow(callee.node));
            let leg = Leg::new(now, path, (flow, local), LegState::Silent, target.clone(), cseq);
            callee.opened = true;
            if call.legs.push(leg).is_ok() {
                let _ = opened.push(call.legs.len() - 1);
            } else {
                // More records than legs: this one is not tried.
                callee.absent = true;
            }
        }
        for at in opened {
            self.send_invite_as(now, id, at, &message);
        }
    }

    /// Takes the next step of a call that is being set up, until one has to wait.
    pub(crate) fn advance(&mut self, now: Instant, id: CallId) {
        self.settle_doubt(now, id);
        loop {
            let Some(call) = self.calls.get(id) else { return };
            let carrying =
                call.upstreams.first().is_some_and(|u| u.state == UpstreamState::Carrying);
            if call.role != Role::Caller || call.winner.is_some() || !carrying {
                return self.arm(id);
            }
            if call.emergency.is_some() {
                return self.advance_emergency(now, id);
            }
            if call.lacks_kept() {
                self.search_callee(now, id);
                continue;
            }
            let next_target = self.next_target_at(now, call);
            if next_target.is_some_and(|at| now >= at) {
                self.open_next_target(now, id);
                continue;
            }
            match self.next_step(now, call) {
                Step::Wait(until) => {
                    if let Some(call) = self.calls.get_mut(id) {
                        call.decide_at = earlier(until, next_target);
                    }
                    return self.arm(id);
                }
                Step::OpenOverlay => {
                    self.note_overlay_reason(now, id);
                    self.open_overlay_legs(now, id);
                }
                Step::AnswerServer => return self.answer_refusal(now, id, true),
                Step::AnswerOverlay => return self.answer_refusal(now, id, false),
                Step::AnswerStatus(code) => return self.end_unanswered(now, id, code),
            }
        }
    }

    fn next_step(&self, now: Instant, call: &Call) -> Step {
        let server = self.providers.get(call.provider);
        let options = self.providers.options(call.provider);
        let (view, registered_there) = server_view(call);
        decide::decide(&View {
            now,
            started: call.started,
            server: view,
            overlay: overlay_view(call),
            server_up: server.is_none_or(|s| s.is_up()),
            hedge: server.map_or(options.hedge, |s| s.state.hedge()),
            hedge_trying: options.hedge_trying,
            fastest: options.prefer == Prefer::Fastest,
            notice_acknowledged: call.callees.iter().any(|c| c.acknowledged),
            registered_there,
            recovering: server.is_some_and(|s| s.state.is_recovering(now)),
            failover_codes: &options.failover_code,
        })
    }

    fn note_overlay_reason(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let server_up = self.providers.get(call.provider).is_none_or(|s| s.is_up());
        let reason = match server_view(call).0 {
            ServerLeg::Absent if self.config.adapter.mode != Mode::Overlay => "transferred over it",
            ServerLeg::Absent => "no server in this mode",
            ServerLeg::Failed => "server unreachable",
            ServerLeg::Refused { .. } => "server refused",
            _ if !server_up => "server known down",
            ServerLeg::Trying(_) => "server stalls",
            _ => "server silent",
        };
        self.trace_note(now, id, reason);
        if let Some(call) = self.calls.get_mut(id) {
            call.reason = reason;
        }
    }

    /// When the call wants to be looked at next.
    pub(crate) fn arm(&mut self, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let mut at = earlier(call.decide_at, call.retry_until);
        at = earlier(at, call.cancel_crosses);
        at = earlier(at, call.name_due.map(|(at, _)| at));
        at = earlier(at, earlier(call.success_due(), call.doubt_due()));
        at = earlier(at, call.moving.due);
        for dialog in &call.dialogs {
            at = earlier(at, dialog.session.and_then(|session| session.due));
            at = earlier(at, earlier(dialog.inquiry_due(), call.unheard_due(dialog)));
        }
        for leg in call.legs.iter().filter(|l| l.state.is_open()) {
            at = earlier(at, Some(leg.deadline(call.role)));
        }
        for upstream in &call.upstreams {
            at = earlier(at, upstream.deadline());
        }
        for callee in &call.callees {
            at = earlier(at, callee.notice.map(|(at, _)| at));
        }
        match at {
            Some(at) => self.call_timers.set(id.slot(), at),
            None => self.call_timers.stop(id.slot()),
        }
    }
}

impl Call {
    /// Whether it is out over the overlay already, and waits for an answer: who else has the callee
    /// is rung, too.
    pub(super) fn is_out(&self) -> bool {
        let carrying = self.upstreams.first().is_some_and(|u| u.state == UpstreamState::Carrying);
        let open = matches!(overlay_view(self), OverlayLeg::Open { .. });
        carrying && open && self.winner.is_none()
    }

    /// Whether nobody whom it was kept to be with has the callee.
    fn lacks_kept(&self) -> bool {
        let view = overlay_view(self);
        let lacks = matches!(view, OverlayLeg::Missing | OverlayLeg::Refused(404));
        lacks && matches!(self.search, Search::Kept)
    }
}

/// How `decide` sees the overlay legs.
fn overlay_view(call: &Call) -> OverlayLeg {
    let legs = || call.legs.iter().filter(|l| matches!(l.path, Path::Peer(_)));
    if legs().any(|l| l.state.is_open()) {
        let ringing = legs().any(|l| l.state == LegState::Ringing);
        return OverlayLeg::Open { ringing };
    }
    let untried = call.callees.iter().any(|c| !c.opened && !c.absent);
    match call.search {
        Search::Barred => OverlayLeg::Barred,
        _ if untried => OverlayLeg::Found,
        Search::Looking(_) => OverlayLeg::Looking,
        Search::Kept | Search::Done => match call.best_refusal(false) {
            Some((code, _)) => OverlayLeg::Refused(code),
            None => OverlayLeg::Missing,
        },
    }
}
