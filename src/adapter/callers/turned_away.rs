//! Whom a phone here does not hear of: the uncertified, those on the list `block`, and callers who
//! have used up what is allowed in an hour. It is against spam over telephony (SPIT, RFC 5039),
//! and about what arrives over the overlay alone: their calls by the server ring as before.
//!
//! The refusals leave the server's leg to go on (CALLS §3.6): 403 to those who are blocked (RFC
//! 5039 s3.2 wants identities for that, which cost something; 607 of RFC 8197 would end the call
//! on every way, and say that a person refused), 480 with Retry-After where an allowance is used
//! up (RFC 3261 s20.33). A notice of any of them is answered as if no phone were here.

use super::allowance::{Allowances, Kind, Who};
use super::{Callers, NOBODY, block};
use crate::adapter::{Adapter, spelling};
use crate::channel::CallKey;
use crate::json::{Value, json};
use crate::limits::{ALLOWANCE_PERIOD, TURNED_AWAY_MAX};
use crate::net::NodeId;
use crate::sip::transaction::ServerId;
use crate::sip::{Message, Method, Name};
use crate::time::{Duration, Instant};

/// What a phone may show, and why (RFC 3261 s20.43: 399 is for people).
const STATUS: (u16, &str) = (403, "Caller Not Certified");
const WARNING: &str = "399 cosip \"the certificate of the calling adapter does not list From\"";
const TOO_OFTEN: &str = "399 cosip \"too many calls or texts of this caller within an hour\"";

/// Why somebody was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapter) enum Why {
    /// No certificate lists the caller.
    Uncertified,
    /// The caller, its domain or its adapter is on the list `block`.
    Blocked,
    /// One more is allowed after this.
    TooOften(Duration),
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Uncertified => "not certified",
            Self::Blocked => "blocked",
            Self::TooOften(_) => "too often",
        }
    }
}

/// One of those who were turned away lately.
struct TurnedAway {
    caller: String,
    adapter: NodeId,
    why: &'static str,
    count: u32,
    at: Instant,
    logged: Instant,
}

crate::observe::counters! {
    /// Who was turned away since the start, beside the uncertified.
    pub(crate) struct Counters {
        /// Calls, texts and notices of other adapters refused: `block` names who calls.
        callers_blocked,
        /// The same: the caller, or the adapter, has used up what is allowed in an hour.
        callers_too_often,
    }
}

/// See the module's text.
#[derive(Default)]
pub(in crate::adapter) struct Door {
    allowances: Allowances,
    /// The latest last.
    turned_away: Vec<TurnedAway>,
    pub(in crate::adapter) counters: Counters,
}

impl Adapter {
    /// Whether a call or text of another adapter that is for a phone here is turned away; else it
    /// counts as one more of its caller.
    pub(in crate::adapter) fn turns_away(
        &mut self,
        now: Instant,
        peer: NodeId,
        message: &Message<'_>,
    ) -> Option<Why> {
        if peer == self.id {
            return None;
        }
        let caller = self.caller_in(message)?;
        let kind = if message.method() == Method::Invite { Kind::Call } else { Kind::Text };
        let named = self.asks_who_calls(peer) && caller != nobody();
        let why = match named && !self.is_certified(now, peer, &caller) {
            true => Some(Why::Uncertified),
            false => self.is_unwelcome(now, peer, (message.request_uri(), kind), &[&caller]),
        };
        match why {
            Some(why) => self.note_turned_away(now, peer, &caller, why),
            None => {
                for (who, per_hour) in self.allowed_to(peer, kind, &[&caller]) {
                    self.callers.door.allowances.take(now, who, kind, per_hour);
                }
            }
        }
        why
    }

    /// Whether a notice that names these callers is answered as if no phone were here.
    pub(in crate::adapter) fn notice_turned_away(
        &mut self,
        now: Instant,
        peer: NodeId,
        callee: &str,
        names: &[&str],
    ) -> bool {
        let nobody = nobody();
        let names = if names.is_empty() { &[nobody][..] } else { names };
        let uri = spelling::uri(callee);
        let why = self.is_unwelcome(now, peer, (&uri, Kind::Call), names);
        if let Some(why) = why {
            self.note_turned_away(now, peer, names.first().copied().unwrap_or_default(), why);
        }
        why.is_some()
    }

    /// Whether `block` names one of these callers or their adapter, or one of them comes too often.
    fn is_unwelcome(
        &self,
        now: Instant,
        peer: NodeId,
        (callee, kind): (&str, Kind),
        names: &[&str],
    ) -> Option<Why> {
        let phone = self.bindings_for_peers(callee).first().and_then(|id| self.registrar.get(*id));
        let provider = self.providers.options(phone?.provider?);
        let is_caller = |entry| names.iter().any(|name| block::is_caller(entry, provider, name));
        let mut entries = self.config.identity.block.iter();
        if entries.any(|entry| block::is_adapter(entry, peer) || is_caller(entry)) {
            return Some(Why::Blocked);
        }
        let wait = |(who, per_hour)| self.callers.door.allowances.wait(now, who, kind, per_hour);
        let longest = self.allowed_to(peer, kind, names).map(wait).max().unwrap_or_default();
        (!longest.is_zero()).then_some(Why::TooOften(longest))
    }

    /// Whose allowances one more of these callers takes from, and how much those are: of names only
    /// where they are certified.
    fn allowed_to<'a>(
        &self,
        peer: NodeId,
        kind: Kind,
        names: &'a [&str],
    ) -> impl Iterator<Item = (Who, u32)> + use<'a> {
        let identity = &self.config.identity;
        let (caller, adapter) = match kind {
            Kind::Call => (identity.caller_calls_per_hour, identity.adapter_calls_per_hour),
            Kind::Text => (identity.caller_texts_per_hour, identity.adapter_texts_per_hour),
        };
        let certified = self.asks_who_calls(peer);
        let names = names.iter().filter(move |name| certified && **name != nobody());
        // Names are hashed as those of calls are.
        let names = names.map(move |name| (CallKey::of(name).0, caller));
        core::iter::once((peer.0, adapter)).chain(names)
    }

    /// Refuses a request of who is turned away.
    pub(in crate::adapter) fn refuse_caller(&mut self, now: Instant, id: ServerId, why: Why) {
        match why {
            Why::Uncertified => self.refuse_because(now, id, STATUS, WARNING),
            Why::Blocked => self.refuse(now, id, 403),
            Why::TooOften(wait) => {
                let seconds = wait.as_secs() + 1;
                let extra = [(Name::RetryAfter, &seconds as _), (Name::Warning, &TOO_OFTEN as _)];
                self.reply_with(now, id, 480, &extra);
            }
        }
    }

    /// Counts who is turned away, keeps it for people to see, and logs each once an hour. What no
    /// certificate lists is whatever somebody invents: of that each adapter has one entry.
    pub(super) fn note_turned_away(&mut self, now: Instant, peer: NodeId, caller: &str, why: Why) {
        let invented = why == Why::Uncertified || !self.asks_who_calls(peer);
        let Callers { door, .. } = &mut self.callers;
        match why {
            Why::Uncertified => self.counters.callers_refused += 1,
            Why::Blocked => door.counters.callers_blocked += 1,
            Why::TooOften(_) => door.counters.callers_too_often += 1,
        }
        let why = why.as_str();
        let all = &mut door.turned_away;
        let same = |it: &TurnedAway| {
            (it.adapter, it.why) == (peer, why) && (invented || it.caller == caller)
        };
        let known = all.iter().position(same).map(|at| all.remove(at));
        if known.is_none() && all.len() >= TURNED_AWAY_MAX {
            all.remove(0);
        }
        let count = known.as_ref().map_or(1, |known| known.count.saturating_add(1));
        let logged = known.map(|known| known.logged).filter(|at| now < *at + ALLOWANCE_PERIOD);
        if logged.is_none() {
            log::info!("calls and texts of {caller} through {peer} refused: {why}");
        }
        let (caller, logged) = (caller.to_owned(), logged.unwrap_or(now));
        all.push(TurnedAway { caller, adapter: peer, why, count, at: now, logged });
    }

    /// Who was turned away lately, the latest first.
    pub(in crate::adapter) fn turned_away_status(&self, now: Instant) -> Value {
        let all = self.callers.door.turned_away.iter().rev();
        all.map(|it| {
            json!({
                "caller": spelling::uri(&it.caller),
                "adapter": it.adapter,
                "why": it.why,
                "count": it.count,
                "ago_s": now.since(it.at).as_secs(),
            })
        })
        .collect()
    }
}

/// The key of a caller that is withheld.
pub(super) fn nobody() -> &'static str {
    NOBODY.split_once(':').map_or(NOBODY, |(_, key)| key)
}
