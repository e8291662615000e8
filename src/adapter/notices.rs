//! Notices: what adapters tell each other about a call before any leg crosses (CALLS §3.2), and
//! which legs by the server they claim (§3.8).
//!
//! A notice claims at most one leg by the server for each phone: the caller's. A further one, of
//! the same number or withheld, is somebody else's call, or a new one, and rings. An INVITE over
//! the channel says all that a notice says, and stands for one that was lost.

use super::Adapter;
use super::call::claim::Claim;
use super::call::ended::Phones;
use super::call::{Call, CallId, Callee, Role, UpstreamState};
use super::names::Path;
use crate::channel::{CallKey, Notice, NoticeAnswer, Payload};
use crate::config::{Accept, Mode};
use crate::limits::{
    CALL_UPSTREAMS_MAX, LATE_LEG_LIMIT, NOTICE_DELAY, NOTICE_LIFE, NOTICE_WINDOW,
    NOTICES_A_PEER_MAX,
};
use crate::net::NodeId;
use crate::time::{Duration, Instant};

/// What another adapter told of a call to a phone here.
#[derive(Clone, Debug)]
pub(crate) struct NoticeHeard {
    at: Instant,
    call: CallKey,
    from: NodeId,
    callee: String,
    /// Who calls.
    claim: Claim,
    /// The phones that a leg by the server has come for.
    claimed: Phones,
    /// When its call began at its caller, as far as that is known.
    began: Instant,
    /// When the caller hung up.
    cancelled: Option<Instant>,
}

impl NoticeHeard {
    /// Whether its caller has hung up, and its leg by the server may come all the same.
    fn is_left(&self, now: Instant) -> bool {
        self.cancelled.is_some_and(|at| now < at + LATE_LEG_LIMIT)
    }
}

/// The call that a leg belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Belonging {
    /// What both adapters call it.
    pub(crate) key: CallKey,
    /// The caller's adapter, where it told of the call.
    pub(crate) node: Option<NodeId>,
    /// Only as the one withheld caller that was waited for.
    pub(crate) anonymous: bool,
    /// The caller has hung up already.
    pub(crate) cancelled: bool,
}

/// What names a session.
#[derive(Clone, Copy)]
enum Proof<'a> {
    /// The notice of this call.
    OfNotice(CallKey, &'a Claim),
    /// A leg by the server.
    OfLeg(&'a Claim),
}

impl Adapter {
    /// Tells another adapter something, or ourselves: phones of one router call each other too.
    pub(super) fn tell_peer(&mut self, now: Instant, peer: NodeId, payload: &Payload<'_>) {
        if peer == self.id {
            self.handle_payload(now, peer, payload);
        } else if let Some(channel) = &mut self.channel {
            // What cannot be sent is lost, as on the way.
            let _ = channel.send(now, peer, payload);
        }
    }

    /// Another adapter tells that a phone here is about to be called.
    pub(super) fn notice_heard(&mut self, now: Instant, peer: NodeId, notice: &Notice<'_>) {
        let call = notice.call;
        let known = self.notices.iter().any(|n| (n.call, n.from) == (call, peer));
        let here = self.takes_calls_for(notice.callee)
            && (known || !self.notice_turned_away(now, peer, notice.callee, &notice.aliases));
        if here {
            let claim = Claim::told(notice.aliases.iter().copied(), notice.session);
            let began = now - Duration::from_millis(notice.age_ms.into());
            self.take_notice(now, (peer, call), notice.callee, (&claim, began));
        }
        let answer = if here { NoticeAnswer::Here } else { NoticeAnswer::NotHere };
        if let Some(channel) = &mut self.channel {
            let _ = channel.send(now, peer, &Payload::NoticeAnswer { call, answer });
        }
    }

    /// Whether a phone here takes calls of other adapters under this address.
    pub(super) fn takes_calls_for(&self, callee: &str) -> bool {
        self.config.identity.accept != Accept::Nobody
            && self.config.adapter.mode != Mode::Server
            && self.registrar.by_aor(callee).any(|id| {
                let binding = self.registrar.get(id);
                self.is_shared(id) && binding.is_some_and(|binding| !binding.silent)
            })
    }

    /// Keeps a notice, or what a leg adds to it, and finds the leg by the server that came before,
    /// though not before the call `began` at its caller, where that is known.
    pub(super) fn take_notice(
        &mut self,
        now: Instant,
        (peer, call): (NodeId, CallKey),
        callee: &str,
        (claim, began): (&Claim, Instant),
    ) {
        let known = self.notices.iter().position(|n| (n.call, n.from) == (call, peer));
        if let Some(at) = known {
            self.notices[at].claim.learn_session(claim);
            let (claim, began) = (self.notices[at].claim.clone(), self.notices[at].began);
            self.prove_guess((peer, call), &claim);
            if self.notices[at].claimed.is_empty() {
                self.notices[at].claimed =
                    self.link_running_call(now, (peer, call), callee, (&claim, began));
            }
            return;
        }
        let of_peer = self.notices.iter().filter(|known| known.from == peer).count();
        let oldest = match (of_peer >= NOTICES_A_PEER_MAX, self.notices.is_full()) {
            (true, _) => self.notices.iter().position(|known| known.from == peer),
            (false, full) => full.then_some(0),
        };
        if let Some(oldest) = oldest {
            self.notices.remove(oldest);
            self.counters.notices_dropped += 1;
        }
        let claimed = self.link_running_call(now, (peer, call), callee, (claim, began));
        let (callee, claim) = (callee.to_owned(), claim.clone());
        let notice = NoticeHeard {
            at: now,
            call,
            from: peer,
            callee,
            claim,
            claimed,
            began,
            cancelled: None,
        };
        let _ = self.notices.push(notice);
    }

    /// The call that a leg for these phones belongs to: by its Call-ID, or by its caller and time.
    pub(super) fn belonging(
        &mut self,
        now: Instant,
        call_id: &str,
        claim: &Claim,
        phones: &Phones,
    ) -> Belonging {
        let key = CallKey::of(call_id);
        self.take_back_guesses(now, Proof::OfLeg(claim));
        let own = self.notices.iter().rposition(|n| n.call == key && self.serves(n, phones));
        let found = own.map(|at| (at, false)).or_else(|| self.claimed_by(now, claim, phones));
        let Some((at, anonymous)) = found else {
            return Belonging { key, node: None, anonymous: false, cancelled: false };
        };
        let notice = &mut self.notices[at];
        for phone in phones {
            if !notice.claimed.contains(phone) {
                let _ = notice.claimed.push(*phone);
            }
        }
        let (key, node, cancelled) = (notice.call, Some(notice.from), notice.cancelled.is_some());
        Belonging { key, node, anonymous, cancelled }
    }

    /// The notice that claims a leg under a foreign Call-ID, and whether only for want of another.
    fn claimed_by(&self, now: Instant, claim: &Claim, phones: &Phones) -> Option<(usize, bool)> {
        let recent = |n: &NoticeHeard| {
            let current = now < n.at + NOTICE_WINDOW || self.lives(n);
            current || self.ended_calls.awaits(now, n.call)
        };
        let unclaimed = |n: &NoticeHeard| !phones.iter().any(|phone| n.claimed.contains(phone));
        let notices = || self.notices.iter().enumerate();
        let served = || notices().filter(|(_, n)| self.serves(n, phones));
        let current = || served().filter(|(_, n)| recent(n) || n.is_left(now));
        let open = || current().filter(|(_, n)| unclaimed(n));
        if claim.is_anonymous() {
            let same = || current().filter(|(_, notice)| claim.is_same_session(&notice.claim));
            let recent = || open().filter(|(_, notice)| recent(notice));
            let guess = || recent().next().filter(|_| recent().count() == 1);
            // A session that several calls have is none.
            let sure = same().next().filter(|_| same().count() == 1).map(|(at, _)| (at, false));
            return sure.or_else(|| guess().map(|(at, _)| (at, true)));
        }
        let named = open().filter(|(_, notice)| claim.is_same_caller(&notice.claim));
        // Calls that are over come last: what arrives now is more likely a living one.
        let over = |notice: &NoticeHeard| {
            let ended = || !self.lives(notice) && self.ended_calls.awaits(now, notice.call);
            notice.cancelled.is_some() || ended()
        };
        named.min_by_key(|(at, notice)| (over(notice), *at)).map(|(at, _)| (at, false))
    }

    /// Whether the call of a notice is here, and not over.
    fn lives(&self, notice: &NoticeHeard) -> bool {
        let told = |call: &Call| is_linked(call, notice.from);
        self.find_keyed(Role::Callee, notice.call, told).is_some()
    }

    /// Whether a notice is for one of these phones.
    fn serves(&self, notice: &NoticeHeard, phones: &Phones) -> bool {
        self.registrar.by_aor(&notice.callee).any(|id| phones.contains(&id))
    }

    /// The server's leg may have come before its notice. Names the phones that it is for.
    fn link_running_call(
        &mut self,
        now: Instant,
        (node, key): (NodeId, CallKey),
        callee: &str,
        (told, began): (&Claim, Instant),
    ) -> Phones {
        let told = &self.telling(key, told);
        self.take_back_guesses(now, Proof::OfNotice(key, told));
        let phones: Phones =
            self.registrar.by_aor(callee).take(crate::limits::CALL_LEGS_MAX).collect();
        let others = self.notices.iter().filter(|n| now < n.at + NOTICE_WINDOW && n.call != key);
        let only = !others.filter(|n| n.claimed.is_empty()).any(|n| self.serves(n, &phones));
        let named = |claim: &Claim| match claim.is_anonymous() {
            true => only || claim.is_same_session(told),
            false => claim.is_same_caller(told),
        };
        let same = |call: &Call| call.role == Role::Callee && call.key == key;
        let unlinked = |call: &Call| {
            call.role == Role::Callee
                && call.callees.is_empty()
                && now < call.started + NOTICE_WINDOW
                && began <= call.started + NOTICE_DELAY
                && call.rings_one_of(&phones)
                && named(&call.claim)
        };
        let equal = self.calls.iter().find(|(_, call)| same(call));
        let claimed = || self.calls.iter().filter(|(_, call)| unlinked(call));
        let likely = |call: &Call| {
            let sure = call.claim.is_same_session(told);
            (sure, !call.claim.is_anonymous(), call.started)
        };
        let found = equal.or_else(|| claimed().max_by_key(|(_, call)| likely(call)));
        let Some(id) = found.map(|(id, _)| id) else {
            return self.ended_calls.link((now, began), key, &phones, told);
        };
        let phones = self.link_call(id, (node, key), told);
        self.expect_name(now, id);
        phones
    }

    /// What is told of a call, without a session that others told of too: that proves nothing.
    fn telling(&self, key: CallKey, told: &Claim) -> Claim {
        let shared = |n: &NoticeHeard| n.call != key && n.claim.is_same_session(told);
        match self.notices.iter().any(shared) {
            true => told.without_session(),
            false => told.clone(),
        }
    }

    /// A leg over the overlay offers the session that a withheld caller's leg by the server offers:
    /// they are one call indeed.
    fn prove_guess(&mut self, (node, key): (NodeId, CallKey), told: &Claim) {
        let told = self.telling(key, told);
        let proven = |call: &Call| is_linked(call, node) && call.claim.is_same_session(&told);
        let found = self.find_keyed(Role::Callee, key, proven);
        if let Some(call) = found.and_then(|id| self.calls.get_mut(id)) {
            call.upstreams.iter_mut().for_each(|up| up.anonymous = false);
        }
    }

    /// Calls that were taken for another one stand alone again: the session that a notice or a leg
    /// names says whose they are, or whose they are not.
    fn take_back_guesses(&mut self, now: Instant, proof: Proof<'_>) {
        let keys: Vec<CallKey> = match proof {
            Proof::OfNotice(key, _) => vec![key],
            Proof::OfLeg(leg) => {
                let same = self.notices.iter().filter(|n| leg.is_same_session(&n.claim));
                same.map(|n| n.call).collect()
            }
        };
        let wrong = |call: &Call| match proof {
            Proof::OfNotice(_, told) => {
                !keys.contains(&call.key) && told.is_same_session(&call.claim)
            }
            Proof::OfLeg(leg) => keys.contains(&call.key) && !leg.is_same_session(&call.claim),
        };
        let guessed = |call: &Call| call.upstreams.first().is_some_and(|up| up.anonymous);
        let mistaken: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| call.role == Role::Callee && guessed(call) && wrong(call))
            .map(|(id, _)| id)
            .collect();
        for id in mistaken {
            self.take_back_guess(now, id);
        }
    }

    /// What other adapters told of is free for its own leg, and rings where that was held here.
    fn take_back_guess(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let key = core::mem::replace(&mut call.key, CallKey::of(&call.call_id));
        call.callees.clear();
        // It was held as a late leg of a call that is over.
        let late = call.legs.is_empty();
        let mut others = heapless::Vec::<usize, CALL_UPSTREAMS_MAX>::new();
        for (at, up) in call.upstreams.iter_mut().enumerate() {
            let by_peer = matches!(up.path, Path::Peer(_));
            up.anonymous = by_peer || late;
            if up.anonymous && matches!(up.state, UpstreamState::Held { .. }) {
                let _ = others.push(at);
            }
        }
        let phones: Phones = call.legs.iter().filter_map(|leg| leg.binding).collect();
        for notice in self.notices.iter_mut().filter(|notice| notice.call == key) {
            notice.claimed.retain(|phone| !phones.contains(phone));
        }
        self.trace_note(now, id, "another call than was told of");
        for up in others {
            self.ring_anew(now, id, up);
        }
        self.reap(now, id);
    }

    /// A call here is one that another adapter told of. Names the phones that it rings.
    fn link_call(&mut self, id: CallId, (node, key): (NodeId, CallKey), told: &Claim) -> Phones {
        let Some(call) = self.calls.get_mut(id) else { return Phones::new() };
        let full =
            !is_linked(call, node) && call.callees.push(Callee::telling(node, false)).is_err();
        let by_name = call.key == key || !call.claim.is_anonymous();
        let guessed = !by_name && !call.claim.is_same_session(told);
        call.key = key;
        for up in &mut call.upstreams {
            up.anonymous |= guessed;
        }
        let by_server = call.upstreams.iter().any(|up| up.path == Path::Server);
        let phones = call.legs.iter().filter_map(|leg| leg.binding).filter(|_| by_server);
        let phones = phones.collect();
        if full {
            self.no_room_in_call("another adapter");
        }
        phones
    }

    /// Whether a call offers its phone the very session that its caller's adapter told of.
    pub(super) fn offers_what_was_told(&self, call: &Call) -> bool {
        let told = |n: &&NoticeHeard| n.call == call.key && is_linked(call, n.from);
        self.notices.iter().filter(told).any(|n| n.claim.is_same_session(&call.claim))
    }

    /// Whether the caller of this call has hung up.
    pub(super) fn is_cancelled(&self, peer: NodeId, call: CallKey) -> bool {
        self.notices.iter().any(|n| (n.from, n.call) == (peer, call) && n.cancelled.is_some())
    }

    /// The caller of this call has hung up: what comes of it from now on rings no phone.
    pub(super) fn cancel_notice(&mut self, now: Instant, peer: NodeId, call: CallKey) {
        let told = |notice: &&mut NoticeHeard| (notice.from, notice.call) == (peer, call);
        for notice in self.notices.iter_mut().filter(told) {
            notice.cancelled.get_or_insert(now);
            self.ended_calls.lived_until(now, call);
        }
    }

    /// Forgets notices whose call came long ago, or never.
    pub(super) fn forget_old_notices(&mut self, now: Instant) {
        let running: Vec<CallKey> = self
            .calls
            .iter()
            .filter(|(_, call)| call.role == Role::Callee && !call.callees.is_empty())
            .map(|(_, call)| call.key)
            .collect();
        let ended = &self.ended_calls;
        let needed = |call| running.contains(&call) || ended.awaits(now, call);
        self.notices.retain(|n| now < n.at + NOTICE_LIFE || n.is_left(now) || needed(n.call));
    }
}

fn is_linked(call: &Call, node: NodeId) -> bool {
    call.callees.iter().any(|callee| callee.node == node)
}
