//! Calls that are over, remembered for as long as a leg of theirs may still arrive.
//!
//! A server that hung passes on, when it goes on, the INVITEs that waited in its socket. Their
//! call was carried over the overlay and may be over: no phone rings for it again (CALLS §3.8,
//! "equal Call-ID: always").

use super::claim::Claim;
use super::identity::read_direct;
use super::{Call, LegState, Role};
use crate::adapter::registrar::BindingId;
use crate::channel::CallKey;
use crate::limits::{
    CALL_LEGS_MAX, ENDED_CALLS_LIFE, ENDED_CALLS_MAX, LATE_LEG_LIMIT, NOTICE_DELAY, NOTICE_WINDOW,
};
use crate::list::List;
use crate::time::Instant;

/// How a call ended that a phone here was called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered, or the caller hung up: a late leg is held for its own CANCEL.
    Settled,
    /// The phone refused with this status: a late leg gets the same.
    Refused(u16),
}

#[derive(Clone, Debug)]
struct Ended {
    at: Instant,
    started: Instant,
    /// Its Call-IDs.
    ids: Vec<CallKey>,
    /// What both adapters call it.
    key: CallKey,
    /// Another adapter told of it.
    linked: bool,
    /// Nobody answered it, at the caller's adapter.
    given_up: bool,
    claim: Claim,
    tag: CallKey,
    cseq: u32,
    phones: Phones,
    outcome: Outcome,
}

/// The phones that a call rang.
pub(crate) type Phones = heapless::Vec<BindingId, CALL_LEGS_MAX>;

/// The calls that ended last.
#[derive(Default)]
pub(crate) struct EndedCalls {
    calls: List<Ended, ENDED_CALLS_MAX>,
}

impl EndedCalls {
    /// Remembers a call. One whose first leg died is none to remember: what comes of it later
    /// shall ring. Returns how many made way before their time.
    pub(crate) fn remember(&mut self, now: Instant, call: &Call) -> u64 {
        let refused = call.legs.iter().find_map(|leg| match leg.state {
            LegState::Refused { code, .. } => Some(code),
            _ => None,
        });
        let silent = call.legs.iter().all(|leg| leg.state == LegState::Failed);
        let outcome = match (call.winner, refused) {
            (Some(_), _) => Outcome::Settled,
            (None, Some(code)) => Outcome::Refused(code),
            (None, None) if call.cancelled => Outcome::Settled,
            (None, None) if silent && !call.legs.is_empty() => Outcome::Refused(480),
            (None, None) => return 0,
        };
        while self.calls.first().is_some_and(|old| now >= old.at + ENDED_CALLS_LIFE) {
            self.calls.remove(0);
        }
        let full = self.calls.is_full();
        if full {
            self.calls.remove(0);
        }
        let _ = self.calls.push(Ended {
            at: now,
            started: call.started,
            ids: call.call_ids().map(CallKey::of).collect(),
            key: call.key,
            linked: !call.callees.is_empty(),
            given_up: call.role == Role::Caller && call.winner.is_none(),
            claim: call.claim.clone(),
            tag: CallKey::of(&call.from_tag),
            cseq: call.upstreams.iter().map(|up| up.cseq).max().unwrap_or(0),
            phones: call.legs.iter().filter_map(|leg| leg.binding).collect(),
            outcome,
        });
        u64::from(full)
    }

    /// Whether a call with this Call-ID ended lately; on the direct path, with this name.
    pub(crate) fn knows(&self, now: Instant, call_id: &str) -> bool {
        let direct = read_direct(call_id).map(|(_, key)| key);
        let id = CallKey::of(call_id);
        let is = |ended: &Ended| match direct {
            Some(key) => ended.key == key,
            None => ended.ids.contains(&id),
        };
        self.calls.iter().any(|ended| is(ended) && now < ended.at + ENDED_CALLS_LIFE)
    }

    /// A notice tells of a call that a leg by the server has brought, and that is over already.
    /// It `began` at its caller then. Names the phones that it rang: no further leg is awaited.
    pub(crate) fn link(
        &mut self,
        (now, began): (Instant, Instant),
        key: CallKey,
        phones: &Phones,
        told: &Claim,
    ) -> Phones {
        let found = self.calls.iter_mut().rev().find(|ended| {
            let recent =
                now < ended.started + NOTICE_WINDOW && began <= ended.started + NOTICE_DELAY;
            // A withheld caller may be another one: better a second ring than none.
            let sure = told.is_same_caller(&ended.claim) || told.is_same_session(&ended.claim);
            recent && !ended.linked && ended.rang(phones) && sure
        });
        let Some(ended) = found else { return Phones::new() };
        (ended.key, ended.linked) = (key, true);
        ended.phones.clone()
    }

    /// How the call of an INVITE for these phones ended, where it is one of those remembered.
    /// After a refusal a higher CSeq is a new attempt of the caller, not a late leg; and what the
    /// server forks to another phone is another call. `key`: the call that the leg belongs to by
    /// its notice, whose legs come soon after each other.
    pub(crate) fn outcome(
        &self,
        now: Instant,
        (call_id, tag): (&str, &str),
        cseq: u32,
        phones: &Phones,
        key: CallKey,
    ) -> Option<Outcome> {
        let (id, tag) = (CallKey::of(call_id), CallKey::of(tag));
        let calls = || self.calls.iter().rev().filter(|ended| ended.rang(phones));
        if let Some(ended) = calls().find(|e| e.ids.contains(&id) && e.tag == tag) {
            let fresh = now < ended.at + ENDED_CALLS_LIFE;
            let late_leg = ended.outcome == Outcome::Settled || cseq <= ended.cseq;
            return (fresh && late_leg).then_some(ended.outcome);
        }
        calls().find(|e| e.is_awaited(now, key)).map(|ended| ended.outcome)
    }

    /// Whether a call that ended was given up by its caller here, without an answer.
    pub(crate) fn was_given_up(&self, now: Instant, key: CallKey) -> bool {
        self.calls.iter().any(|e| e.given_up && e.key == key && now < e.at + ENDED_CALLS_LIFE)
    }

    /// The caller of a linked call that ended here has hung up only now: until then a leg of it
    /// lived, and what comes of that may come for as long again.
    pub(crate) fn lived_until(&mut self, now: Instant, key: CallKey) {
        for ended in self.calls.iter_mut().filter(|ended| ended.linked && ended.key == key) {
            ended.at = now;
        }
    }

    /// Whether a leg of a linked call that ended may still come.
    pub(crate) fn awaits(&self, now: Instant, key: CallKey) -> bool {
        self.calls.iter().any(|ended| ended.is_awaited(now, key))
    }
}

impl Ended {
    /// Whether what comes of its caller's leg to the server may still arrive.
    fn is_awaited(&self, now: Instant, key: CallKey) -> bool {
        self.linked && self.key == key && now < self.at + LATE_LEG_LIMIT
    }

    fn rang(&self, phones: &Phones) -> bool {
        self.phones.iter().any(|phone| phones.contains(phone))
    }
}
