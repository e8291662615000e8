//! What this node says, signed, of what it keeps: in answers to gets, and in receipts.
//!
//! A signature costs milliseconds on a router. One answer at a time waits for its own, where no
//! other work does and most of the budget for others is left: so an answer is later by that one
//! signature, and everything else goes out unsigned at once, which is as good for a look-up. What
//! is said is what is so when it is signed.
//!
//! A promise ends a while before the record's life here, or with its owner's certificate. What is
//! held under a certificate that counts no longer is neither given out nor denied; and once a
//! record had to make room before its time, what this process has promised counts no longer, for
//! it names itself by another number.

use crate::budget::{Budget, Wanted};
use crate::identity::Statement;
use crate::identity::record::Key;
use crate::identity::statement::{ANY_OWNER, Said, Stated};
use crate::limits::WORK_PIECE;
use crate::net::NodeId;
use crate::overlay::Overlay;
use crate::overlay::answer::Asker;
use crate::overlay::wire::{GET_BYTES, Status};
use crate::time::{Duration, Instant};

/// A promise ends so long before a record's life, or its certificate.
const EARLIER_S: u32 = 600;
/// Where calls take the processor for so long, an answer goes out unsigned.
const PATIENCE: Duration = WORK_PIECE.saturating_mul(4);

/// What an answer is about.
#[derive(Clone, Copy)]
enum About {
    /// A get, of one owner's record or of any.
    Get(Option<NodeId>),
    /// A put of a record of this number, which is kept.
    Put(u64),
}

/// An answer that waits for its signature.
struct Waiting {
    asker: Asker,
    key: Key,
    about: About,
    until: Instant,
}

/// What is said.
pub(super) struct Statements {
    start: u32,
    boot: u32,
    waiting: Option<Waiting>,
}

impl Statements {
    pub(super) fn new(start: u32, boot: u32) -> Self {
        Self { start, boot, waiting: None }
    }
}

impl Overlay {
    /// Answers a get: signed, if there is time for that.
    pub(in crate::overlay) fn answer_get(
        &mut self,
        now: Instant,
        asker: &Asker,
        key: Key,
        owner: Option<NodeId>,
    ) {
        let whole = asker.limit() >= GET_BYTES;
        if !(whole && self.waits_to_state(now, asker, key, About::Get(owner))) {
            self.give(now, asker, key, owner, None);
        }
    }

    /// Tells whose record is kept: with a receipt, if there is time for that.
    pub(in crate::overlay) fn answer_kept(
        &mut self,
        now: Instant,
        asker: &Asker,
        key: Key,
        seq: u64,
    ) {
        if !self.waits_to_state(now, asker, key, About::Put(seq)) {
            self.answer_stored(now, asker, Status::Stored, None);
        }
    }

    /// Has an answer wait for its signature. False where it is not to.
    fn waits_to_state(&mut self, now: Instant, asker: &Asker, key: Key, about: About) -> bool {
        if !self.vouching.is_required() || !self.identity.is_certified() {
            return false;
        }
        let waits = self.watch.stated.waiting.is_none() && !self.has_own_work();
        if waits {
            let waiting = Waiting { asker: *asker, key, about, until: now + PATIENCE };
            self.watch.stated.waiting = Some(waiting);
        } else {
            self.counters.unstated += 1;
        }
        waits
    }

    /// Signs the answer that waits for that, and sends it; unsigned where that is not paid for.
    /// True where there was a signature.
    pub(in crate::overlay) fn state_one(&mut self, now: Instant, budget: &mut Budget) -> bool {
        let Some(waiting) = self.watch.stated.waiting.take() else { return false };
        let paid = budget.pay(now, Wanted::Statement);
        self.finish(now, &waiting, paid);
        paid
    }

    /// Whether an answer waits.
    pub(in crate::overlay) fn has_to_state(&self) -> bool {
        self.watch.stated.waiting.is_some()
    }

    /// When it has waited for long enough.
    pub(in crate::overlay) fn next_stated(&self) -> Option<Instant> {
        self.watch.stated.waiting.as_ref().map(|waiting| waiting.until)
    }

    /// Sends it unsigned then.
    pub(in crate::overlay) fn stated_timeout(&mut self, now: Instant) {
        if let Some(waiting) = self.watch.stated.waiting.take_if(|it| it.until <= now) {
            self.finish(now, &waiting, false);
        }
    }

    fn finish(&mut self, now: Instant, waiting: &Waiting, signs: bool) {
        let Waiting { asker, key, about, .. } = waiting;
        let said = if signs { self.say(now, *key, *about, &asker.node.id) } else { None };
        let stated = said.map(|said| self.sign_statement(&said));
        let counter =
            if stated.is_some() { &mut self.counters.stated } else { &mut self.counters.unstated };
        *counter += 1;
        match about {
            About::Get(owner) => self.give(now, asker, *key, *owner, stated.as_ref()),
            About::Put(_) => {
                self.reply_stored(now, asker, (Status::Stored, None), stated.as_ref());
            }
        }
    }

    fn sign_statement(&mut self, said: &Said) -> Stated {
        Statement::sign(&self.identity, self.keys.network(), said).stated()
    }

    /// What is so; `None` where nothing can be said.
    fn say(&mut self, now: Instant, key: Key, about: About, asker: &NodeId) -> Option<Said> {
        if self.store.take_forgotten() {
            self.watch.stated.boot = self.watch.stated.boot.wrapping_add(1);
        }
        let said_s = self.seconds(now);
        let owner = match about {
            About::Put(_) => Some(*asker),
            About::Get(owner) => owner,
        };
        let (owner, seq) = match about {
            // Others' records under this key that count no longer are not denied.
            About::Get(_) if self.store.set(&key).any(|held| !self.gives(now, &held)) => {
                return None;
            }
            About::Get(_) => match (self.given(now, &key, owner), owner) {
                (Some(first), owner) if owner.is_none_or(|owner| owner == first.0) => first,
                (_, owner) => (owner.unwrap_or(ANY_OWNER), 0),
            },
            // A newer one does as well.
            About::Put(seq) => {
                let held = self.store.get(key, asker)?;
                (*asker, seq.min(held.record.seq()))
            }
        };
        let until_s = self.kept_until_s(now, key, &owner).unwrap_or(said_s).max(said_s);
        let (start, boot) = (self.watch.stated.start, self.watch.stated.boot);
        let holder = self.identity.public();
        Some(Said { place: self.me, holder, key, owner, seq, start, boot, said_s, until_s })
    }

    /// Until when another's record will be given out, surely: while its life lasts, unless its
    /// owner is certified for a shorter time; what a withdrawal leaves makes room for others.
    fn kept_until_s(&self, now: Instant, key: Key, owner: &NodeId) -> Option<u32> {
        let held = self.store.get(key, owner).filter(|held| !held.record.is_withdrawal())?;
        let ends_s = self.seconds(self.store.ends(key, owner)?);
        let counts_s = self.vouching.counts_for_s(now, &held.record);
        let counts_until_s = self.seconds(now).saturating_add(counts_s);
        Some(ends_s.min(counts_until_s).saturating_sub(EARLIER_S))
    }
}
