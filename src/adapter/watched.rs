//! What a CoSIP server is told of others: receipts that holders of our records have signed, and
//! what holders of others' records say to us; see [`crate::identity::statement`].
//!
//! Only an adapter is answered that is certified as a CoSIP server, and no more than once a second.
//! What is told was signed by others: it convicts those who contradict themselves, and nobody on
//! our word. It says which keys there are records under, and never whose: keys are blinded.

use super::Adapter;
use crate::channel::{Payload, Statements, WatchAsk};
use crate::identity::enrolment::SERVER_AOR;
use crate::identity::record::Key;
use crate::identity::statement::{STATEMENT_BYTES, Statement};
use crate::limits::{WATCH_GET_LIFE, WATCH_GETS_MAX, WATCH_PAUSE, WATCH_STATEMENTS_MAX};
use crate::list::List;
use crate::net::NodeId;
use crate::overlay::Node;
use crate::time::Instant;

/// A holder that is being asked for a CoSIP server.
struct Asked {
    key: Key,
    holder: NodeId,
    server: NodeId,
    number: u32,
    since: Instant,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Watched {
    /// Nobody is answered before this.
    rests_until: Instant,
    asked: List<Asked, WATCH_GETS_MAX>,
}

impl Adapter {
    /// Whether a CoSIP server may ask at all: where nobody is certified there is none.
    pub(super) fn may_be_watched(&self) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.trust().is_required())
    }

    /// An adapter asks as CoSIP servers do. Whether it is one is known by now.
    pub(super) fn watch_asked(&mut self, now: Instant, peer: NodeId, number: u32, ask: &WatchAsk) {
        let is_server = self.may_be_watched() && self.is_certified(now, peer, SERVER_AOR);
        if !is_server || now < self.enrolment.watched.rests_until {
            self.counters.watch_refused += 1;
            return;
        }
        self.enrolment.watched.rests_until = now + WATCH_PAUSE;
        let Some(overlay) = &mut self.overlay else { return };
        let mut told = heapless::Vec::<Statement, WATCH_STATEMENTS_MAX>::new();
        match *ask {
            WatchAsk::Receipts => {
                // Another part of them each time.
                let count = overlay.receipts().count();
                let skipped = self.rng.below(count as u32) as usize;
                let all = overlay.receipts().chain(overlay.receipts());
                told.extend(all.skip(skipped).take(count.min(WATCH_STATEMENTS_MAX)));
            }
            WatchAsk::Get { key, owner, holder, address } => {
                let (key, owner, holder) = (Key(key), NodeId(owner), NodeId(holder));
                let asked = Asked { key, holder, server: peer, number, since: now };
                self.enrolment
                    .watched
                    .asked
                    .retain(|asked| now.since(asked.since) < WATCH_GET_LIFE);
                if !self.enrolment.watched.asked.is_full()
                    && overlay.spot_get(now, key, owner, Node { id: holder, address })
                    && self.enrolment.watched.asked.push(asked).is_ok()
                {
                    return;
                }
            }
        }
        self.tell_watch(now, peer, number, &told);
    }

    /// A holder has answered, or is silent.
    pub(super) fn holder_spoke(
        &mut self,
        now: Instant,
        (key, holder): (Key, NodeId),
        statement: Option<Statement>,
    ) {
        let mut asked = self.enrolment.watched.asked.iter();
        let at = asked.position(|asked| (asked.key, asked.holder) == (key, holder));
        if let Some(at) = at {
            let Asked { server, number, .. } = self.enrolment.watched.asked.remove(at);
            self.tell_watch(now, server, number, statement.as_slice());
        }
    }

    fn tell_watch(&mut self, now: Instant, peer: NodeId, number: u32, told: &[Statement]) {
        let mut bytes = heapless::Vec::<u8, { WATCH_STATEMENTS_MAX * STATEMENT_BYTES }>::new();
        bytes.extend(told.iter().flat_map(|statement| *statement.as_bytes()));
        let Some(statements) = Statements::of(&bytes) else { return };
        self.counters.watch_answers += 1;
        log::debug!("CoSIP server {peer} is told what {} holders said", told.len());
        self.tell_peer(now, peer, &Payload::Watched(number, statements));
    }
}
