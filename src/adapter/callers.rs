//! Who calls from the overlay, where only the certified may: what is shown of a caller, and what
//! legs by the server are matched by, are addresses that the certificate of its adapter lists.
//!
//! It lists them blinded, and to blind one takes milliseconds on a router. So what names an address
//! that is not known yet waits here, and a turn blinds one, within what work for others may cost.
//! Only addresses that a certificate was found to list are kept: nobody pushes them out with
//! invented ones, and each time it is the certificate of now that decides.

mod allowance;
mod block;
pub(super) mod shown;
mod turned_away;

use super::Adapter;
use super::inbound::Source;
use super::names::{Local, Path, peer_flow};
use crate::budget::Wanted;
use crate::channel::{CallKey, Notice, NoticeAnswer, Payload, SessionKey, WatchAsk};
use crate::identity::enrolment::SERVER_AOR;
use crate::identity::record::Key;
use crate::limits::{
    CALLER_PATIENCE, CALLERS_A_PEER_MAX, CALLERS_KNOWN_MAX, CALLERS_WAITING_MAX,
    NETWORK_SECRETS_MAX,
};
use crate::net::NodeId;
use crate::sip::{Message, Method};
use crate::time::Instant;
use std::collections::VecDeque;
use turned_away::{Door, Why, nobody};

/// Who calls where that is withheld.
const NOBODY: &str = "sip:anonymous@anonymous.invalid";

/// See the module's text.
#[derive(Default)]
pub(super) struct Callers {
    /// Addresses that a certificate lists, as it lists them; the oldest makes room.
    known: VecDeque<(String, heapless::Vec<Key, NETWORK_SECRETS_MAX>)>,
    /// In the order of their arrival.
    waiting: VecDeque<Waiting>,
    pub(super) door: Door,
}

/// What names callers that are not known yet.
struct Waiting {
    since: Instant,
    peer: NodeId,
    told: Told,
    /// Those that are not known.
    names: Vec<String>,
}

/// What another adapter said.
enum Told {
    /// A request that begins something.
    Sip(Vec<u8>),
    /// A notice: its call, its callee, the caller's addresses, the session and the age.
    Notice(CallKey, String, Vec<String>, Option<SessionKey>, u32),
    /// A question about others, and its number: the address is that of CoSIP servers.
    Watch(u32, WatchAsk),
}

impl Callers {
    fn knows(&self, name: &str) -> bool {
        self.known.iter().any(|(known, _)| known == name)
    }

    /// Forgets all: they are blinded under secrets that are no longer those of the network.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Whether something waits.
    pub(super) fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is room for something of this adapter.
    fn has_room_for(&self, peer: NodeId) -> bool {
        let of_peer = self.waiting.iter().filter(|waiting| waiting.peer == peer).count();
        self.waiting.len() < CALLERS_WAITING_MAX && of_peer < CALLERS_A_PEER_MAX
    }

    fn keep(&mut self, name: String, keys: heapless::Vec<Key, NETWORK_SECRETS_MAX>) {
        if self.known.len() >= CALLERS_KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back((name, keys));
    }
}

impl Adapter {
    /// Whether callers of another adapter have to be certified.
    pub(super) fn asks_who_calls(&self, peer: NodeId) -> bool {
        let asks = self.channel.as_ref().is_some_and(|channel| channel.asks_for_certificates());
        asks && peer != self.id
    }

    /// Takes what names callers, or lets it wait until they are known.
    pub(super) fn hear_caller(&mut self, now: Instant, peer: NodeId, payload: &Payload<'_>) {
        let (names, told) = match payload {
            &Payload::Watch(number, ask) if self.may_be_watched() => {
                (vec![SERVER_AOR.to_owned()], Some(Told::Watch(number, ask)))
            }
            _ if !self.asks_who_calls(peer) => (Vec::new(), None),
            Payload::Sip(bytes) => {
                let message = Message::parse(bytes).ok();
                let name = message.and_then(|message| self.caller_in(&message));
                let name = name.filter(|name| name != nobody());
                let told = name.is_some().then(|| Told::Sip(bytes.to_vec()));
                (name.into_iter().collect(), told)
            }
            Payload::Notice(notice) if self.takes_calls_for(notice.callee) => {
                let names: Vec<String> = notice.aliases.iter().map(|&it| it.to_owned()).collect();
                let &Notice { call, callee, session, age_ms, .. } = notice;
                let told = Told::Notice(call, callee.to_owned(), names.clone(), session, age_ms);
                (names, Some(told))
            }
            _ => (Vec::new(), None),
        };
        if !names.is_empty() && self.session_with(peer).is_none() {
            // It is asked who it is: until then this is lost, as on the way, and comes again.
            self.counters.callers_postponed += 1;
            return;
        }
        let new = |name: &String| !name.is_empty() && !self.callers.knows(name);
        let names: Vec<String> = names.into_iter().filter(new).collect();
        let Some(told) = told.filter(|_| !names.is_empty()) else {
            return self.take_from_caller(now, peer, payload);
        };
        if self.callers.has_room_for(peer) {
            self.callers.waiting.push_back(Waiting { since: now, peer, told, names });
        } else {
            self.counters.callers_postponed += 1;
        }
    }

    /// Blinds one address of those that wait, and takes what names no other. False where nothing
    /// was done: nothing waits, or the budget does not pay for it yet.
    pub(super) fn judge_caller(&mut self, now: Instant) -> bool {
        let Callers { known, waiting, .. } = &mut self.callers;
        let before = waiting.len();
        waiting.retain(|it| now < it.since + CALLER_PATIENCE);
        self.counters.callers_postponed += (before - waiting.len()) as u64;
        let Some(first) = waiting.front_mut() else { return false };
        first.names.retain(|name| !known.iter().any(|(known, _)| known == name));
        if let Some(name) = first.names.last() {
            if !self.waiting.budget.pay(now, Wanted::Caller) {
                return false;
            }
            let (name, peer) = (name.clone(), first.peer);
            first.names.pop();
            self.blind_caller(now, peer, name);
        }
        if self.callers.waiting.front().is_some_and(|first| first.names.is_empty())
            && let Some(first) = self.callers.waiting.pop_front()
        {
            self.take_waiting(now, &first);
        }
        true
    }

    fn blind_caller(&mut self, now: Instant, peer: NodeId, name: String) {
        let Some(channel) = &self.channel else { return };
        let keys = channel.network().aor_keys(&name).take(NETWORK_SECRETS_MAX);
        let keys: heapless::Vec<Key, NETWORK_SECRETS_MAX> = keys.map(|key| Key::of(&key)).collect();
        let listed = keys.iter().any(|key| channel.vouches(now, peer, key));
        self.counters.callers_blinded += 1;
        if listed {
            self.callers.keep(name, keys);
        }
    }

    fn take_waiting(&mut self, now: Instant, waiting: &Waiting) {
        let payload = match &waiting.told {
            Told::Sip(bytes) => Payload::Sip(bytes),
            Told::Watch(number, ask) => Payload::Watch(*number, *ask),
            Told::Notice(call, callee, aliases, session, age_ms) => Payload::Notice(Notice {
                call: *call,
                callee,
                aliases: aliases.iter().map(String::as_str).collect(),
                withheld: false,
                session: *session,
                age_ms: age_ms.saturating_add(now.since(waiting.since).as_millis() as u32),
            }),
        };
        self.take_from_caller(now, waiting.peer, &payload);
    }

    /// Takes what names callers that are known, or not certified.
    fn take_from_caller(&mut self, now: Instant, peer: NodeId, payload: &Payload<'_>) {
        match payload {
            Payload::Sip(bytes) => {
                let (flow, local) = (peer_flow(peer), Local::Overlay(self.id));
                let _ = self.handle_sip(now, Source { path: Path::Peer(peer), flow, local }, bytes);
            }
            Payload::Notice(notice) if self.asks_who_calls(peer) => {
                self.take_certified(now, peer, notice);
            }
            Payload::Notice(notice) => self.notice_heard(now, peer, notice),
            Payload::Watch(number, ask) => self.watch_asked(now, peer, *number, ask),
            _ => {}
        }
    }

    /// Takes a notice without the addresses that no certificate lists.
    fn take_certified(&mut self, now: Instant, peer: NodeId, notice: &Notice<'_>) {
        if !self.takes_calls_for(notice.callee) {
            return self.notice_heard(now, peer, notice);
        }
        let mut certified = notice.clone();
        certified.aliases.retain(|alias| self.is_certified(now, peer, alias));
        let left_out = notice.aliases.len() - certified.aliases.len();
        self.counters.aliases_refused += left_out as u64;
        if left_out == 0 || !certified.aliases.is_empty() {
            return self.notice_heard(now, peer, &certified);
        }
        // With no name left it would stand for a caller that is withheld.
        let named = notice.aliases.first().copied().unwrap_or_default();
        self.note_turned_away(now, peer, named, Why::Uncertified);
        let answer = NoticeAnswer::NotHere;
        self.tell_peer(now, peer, &Payload::NoticeAnswer { call: notice.call, answer });
    }

    /// Whether a certificate of this adapter lists an address.
    pub(super) fn is_certified(&self, now: Instant, peer: NodeId, name: &str) -> bool {
        let Some(channel) = &self.channel else { return false };
        let known = self.callers.known.iter().find(|(known, _)| known == name);
        known.is_some_and(|(_, keys)| keys.iter().any(|key| channel.vouches(now, peer, key)))
    }

    /// The caller that a request names which begins a call or is a text, for a phone here; empty
    /// where it is no address.
    fn caller_in(&self, message: &Message<'_>) -> Option<String> {
        let begins = message.is_request() && message.to().is_none_or(|to| to.tag().is_none());
        if !begins || !matches!(message.method(), Method::Invite | Method::Message) {
            return None;
        }
        let phone = *self.bindings_for_peers(message.request_uri()).first()?;
        let provider = self.registrar.get(phone)?.provider;
        let from = message.from().map(|from| from.uri).unwrap_or_default();
        match from.eq_ignore_ascii_case(NOBODY) {
            true => Some(nobody().to_owned()),
            false => Some(self.spell(provider, from).unwrap_or_default()),
        }
    }
}
