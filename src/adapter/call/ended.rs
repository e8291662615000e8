//! Calls that are over, remembered for as long as a leg of theirs may still arrive.
//!
//! A server that hung passes on, when it goes on, the INVITEs that waited in its socket. Their
//! call was carried over the overlay and may be over: no phone rings for it again (CALLS §3.8,
//! "equal Call-ID: always").

use super::{Call, LegState};
use crate::adapter::registrar::BindingId;
use crate::channel::CallKey;
use crate::limits::{CALL_LEGS_MAX, ENDED_CALLS_LIFE, ENDED_CALLS_MAX};
use crate::time::Instant;
use std::collections::VecDeque;

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
    key: CallKey,
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
    calls: VecDeque<Ended>,
}

impl EndedCalls {
    /// Remembers a call; the oldest makes way.
    pub(crate) fn remember(&mut self, now: Instant, call: &Call) {
        let refused = call.legs.iter().find_map(|leg| match leg.state {
            LegState::Refused { code, .. } => Some(code),
            _ => None,
        });
        let outcome = match (call.winner, refused) {
            (None, Some(code)) => Outcome::Refused(code),
            _ => Outcome::Settled,
        };
        while self.calls.front().is_some_and(|old| now >= old.at + ENDED_CALLS_LIFE)
            || self.calls.len() == ENDED_CALLS_MAX
        {
            self.calls.pop_front();
        }
        self.calls.push_back(Ended {
            at: now,
            key: CallKey::of(&call.call_id),
            tag: CallKey::of(&call.from_tag),
            cseq: call.upstreams.iter().map(|up| up.cseq).max().unwrap_or(0),
            phones: call.legs.iter().filter_map(|leg| leg.binding).collect(),
            outcome,
        });
    }

    /// Whether a call with this Call-ID ended lately.
    pub(crate) fn knows(&self, now: Instant, call_id: &str) -> bool {
        let key = CallKey::of(call_id);
        self.calls.iter().any(|ended| ended.key == key && now < ended.at + ENDED_CALLS_LIFE)
    }

    /// How the call of an INVITE for these phones ended, where it is one of those remembered.
    /// After a refusal a higher CSeq is a new attempt of the caller, not a late leg; and what the
    /// server forks to another phone is another call.
    pub(crate) fn outcome(
        &self,
        now: Instant,
        (call_id, tag): (&str, &str),
        cseq: u32,
        phones: &Phones,
    ) -> Option<Outcome> {
        let (key, tag) = (CallKey::of(call_id), CallKey::of(tag));
        let rang = |ended: &Ended| ended.phones.iter().any(|phone| phones.contains(phone));
        let ended = self.calls.iter().rev().find(|e| e.key == key && e.tag == tag && rang(e))?;
        let fresh = now < ended.at + ENDED_CALLS_LIFE;
        let late_leg = ended.outcome == Outcome::Settled || cseq <= ended.cseq;
        (fresh && late_leg).then_some(ended.outcome)
    }
}
