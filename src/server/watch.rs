//! The watch: which members deny what they have promised to keep.
//!
//! Every few seconds one member, an owner of records, is asked for receipts: what holders of its
//! records have signed. Another one, the witness, then asks these holders for those records as
//! whoever looks one up does, so none can tell that it is watched; what they answer is signed, too.
//! Two statements of one key that contradict each other convict it (`judge`), and nothing else
//! does. Neither owner nor witness is believed in anything: what they make up is signed by nobody,
//! and what they keep back or repeat contradicts nothing. Silence is counted alone. It may be a
//! power cut, and members leave alone who is silent to themselves.
//!
//! A state machine: time, randomness and whom the overlay knows are arguments; what it wants done
//! waits in [`Watch::poll_wish`].

mod judge;
#[cfg(test)]
mod tests;

use crate::channel::WatchAsk;
use crate::identity::{PublicKey, Statement};
use crate::limits::WATCH_PAUSE;
use crate::net::NodeId;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
pub use judge::Verdict;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Seconds from one owner to the next, where nothing else is said.
pub const WATCH_INTERVAL_S: u32 = 3;
/// And the most that may be said.
pub const WATCH_INTERVAL_S_MAX: u32 = 3_600;

/// Owners that are asked, or checked, at the same time.
const PAIRS_MAX: usize = 8;
/// How often another member is drawn where one has to do with a pair already.
const DRAWS_MAX: usize = 8;
/// For how long an answer is waited for: a session is opened before, and the holder may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two questions to a witness: it answers no more often than [`WATCH_PAUSE`].
const WITNESS_PAUSE: Duration = WATCH_PAUSE.saturating_add(Duration::from_millis(200));
/// A key is judged once in this time: what keeps it from being revoked may be over then.
const JUDGED_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Keys that were judged; the oldest makes room.
const JUDGED_MAX: usize = 256;

crate::observe::counters! {
    /// What happened of the watch since its start.
    pub struct Counters {
        /// Owners asked for receipts, each with a witness.
        pairs,
        /// Receipts that came, and are signed.
        receipts,
        /// Holders asked by a witness.
        holders,
        /// What they said to it, signed.
        statements,
        /// Holders that were silent to a witness, or did not sign what they said.
        silent,
        /// Owners and witnesses that did not answer in time.
        unanswered,
        /// Statements that nobody has signed, or that are not of what was asked.
        faulty,
        /// Answers to no question.
        strays,
        /// Holders not asked: nobody here knows where they are.
        unknown,
        /// Statements that name less than was promised, and contradict nothing: said after another
        /// start, or of another owner's record.
        excused,
        /// Statements that contradict each other under one key.
        contradictions,
        /// Keys revoked for that.
        revoked,
        /// Keys not revoked for that: the issuing key may revoke no more, the anchor has to.
        held_back,
        /// Keys not revoked for that: they are not certified here, or somebody may have dropped
        /// the record for a good reason.
        doubtful,
    }
}

/// A member of the overlay, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: NodeId,
    /// Where.
    pub address: SocketAddr,
}

/// Whom the overlay knows.
pub trait Members {
    /// Any member, by chance.
    fn any(&mut self) -> Option<Member>;
    /// Where a member is.
    fn find(&self, id: NodeId) -> Option<SocketAddr>;
}

/// Two statements of one key of which one has to be a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// What was promised.
    pub receipt: Statement,
    /// What was said of it later.
    pub denial: Statement,
}

impl Contradiction {
    /// Whose they are.
    pub fn key(&self) -> PublicKey {
        self.receipt.said().holder
    }

    fn owner(&self) -> NodeId {
        self.receipt.said().owner
    }
}

/// What the watch wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A question of this number goes to a member; [`Watch::heard`] may follow.
    Ask(Member, u32, WatchAsk),
    /// Somebody is to be judged; [`Watch::judged`] follows, where that was done.
    Judge(Box<Contradiction>),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The owner's receipts.
    Receipts,
    /// The time to ask about the next receipt.
    Pause,
    /// What the holder of this receipt has said to the witness.
    Statement(Statement),
}

struct Pair {
    owner: Member,
    witness: Member,
    number: u32,
    stage: Stage,
    until: Instant,
    /// What is to be checked yet.
    receipts: Vec<Statement>,
}

/// See the module.
pub struct Watch {
    own: PublicKey,
    network: [u8; 16],
    interval: Duration,
    /// None where nobody is watched.
    next_at: Option<Instant>,
    last_number: u32,
    pairs: Vec<Pair>,
    /// Keys that were judged, where that led to nothing by the record of this owner, and when.
    judged: VecDeque<(PublicKey, Option<NodeId>, Instant)>,
    wishes: VecDeque<Wish>,
    counters: Counters,
}

impl Watch {
    /// The watch of the server with this key over a network, every so many seconds; of nobody
    /// where these are 0.
    pub fn new(
        now: Instant,
        own: PublicKey,
        network: &[u8; 16],
        interval_s: u32,
        rng: &mut Rng,
    ) -> Self {
        let interval = Duration::from_secs(interval_s.into());
        Self {
            own,
            network: *network,
            interval,
            next_at: (interval_s > 0).then(|| now + rng.jitter(interval)),
            last_number: rng.next_u32(),
            pairs: Vec::new(),
            judged: VecDeque::new(),
            wishes: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Owners whose receipts are being asked for, or checked.
    pub fn open(&self) -> usize {
        self.pairs.len()
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.next_at, self.pairs.iter().map(|pair| pair.until).min())
    }

    /// The next thing that is wanted.
    pub fn poll_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, members: &mut dyn Members) {
        while let Some(at) = self.pairs.iter().position(|pair| pair.until <= now) {
            let pair = self.pairs.swap_remove(at);
            match pair.stage {
                Stage::Pause => self.ask_next(now, pair, members),
                Stage::Receipts | Stage::Statement(_) => self.counters.unanswered += 1,
            }
        }
        if self.next_at.is_some_and(|at| at <= now) {
            self.next_at = Some(now + self.interval);
            self.begin(now, members);
        }
    }

    /// A member has answered the question of this number.
    pub fn heard(
        &mut self,
        now: Instant,
        (peer, number): (NodeId, u32),
        statements: &[Statement],
        members: &mut dyn Members,
    ) {
        let asked = |pair: &Pair| match pair.stage {
            Stage::Receipts => pair.owner.id == peer,
            Stage::Statement(_) => pair.witness.id == peer,
            Stage::Pause => false,
        };
        let at = self.pairs.iter().position(|pair| pair.number == number && asked(pair));
        let Some(at) = at else {
            self.counters.strays += 1;
            return;
        };
        let mut pair = self.pairs.swap_remove(at);
        if let Stage::Statement(receipt) = pair.stage {
            self.compare(now, receipt, statements.first());
            (pair.stage, pair.until) = (Stage::Pause, now + WITNESS_PAUSE);
            self.pairs.push(pair);
        } else {
            pair.receipts = statements.iter().copied().filter(|it| self.takes(it, &pair)).collect();
            self.ask_next(now, pair, members);
        }
    }

    /// A key was judged.
    pub fn judged(&mut self, now: Instant, contradiction: &Contradiction, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Revoked(_) => &mut self.counters.revoked,
            Verdict::HeldBack(_) => &mut self.counters.held_back,
            Verdict::Doubtful => &mut self.counters.doubtful,
        };
        *counter += 1;
        if self.judged.len() >= JUDGED_MAX {
            self.judged.pop_front();
        }
        // Another owner may leave no doubt.
        let owner = (*verdict == Verdict::Doubtful).then(|| contradiction.owner());
        self.judged.push_back((contradiction.key(), owner, now));
    }

    /// Draws an owner and a witness.
    fn begin(&mut self, now: Instant, members: &mut dyn Members) {
        if self.pairs.len() >= PAIRS_MAX {
            return;
        }
        let Some(owner) = self.draw(None, members) else { return };
        let Some(witness) = self.draw(Some(owner.id), members) else { return };
        self.counters.pairs += 1;
        let number = self.ask(owner, WatchAsk::Receipts);
        let (stage, until) = (Stage::Receipts, now + PATIENCE);
        self.pairs.push(Pair { owner, witness, number, stage, until, receipts: Vec::new() });
    }

    /// Any member that has to do with no pair.
    fn draw(&self, beside: Option<NodeId>, members: &mut dyn Members) -> Option<Member> {
        let busy = |id| self.pairs.iter().any(|pair| pair.owner.id == id || pair.witness.id == id);
        let free = |it: &Member| Some(it.id) != beside && !busy(it.id);
        (0..DRAWS_MAX).filter_map(|_| members.any()).find(free)
    }

    fn ask(&mut self, member: Member, ask: WatchAsk) -> u32 {
        self.last_number = self.last_number.wrapping_add(1);
        self.wishes.push_back(Wish::Ask(member, self.last_number, ask));
        self.last_number
    }

    /// Whether what an owner has shown is a receipt that a witness can check.
    fn takes(&mut self, receipt: &Statement, pair: &Pair) -> bool {
        let said = receipt.said();
        let signed = said.owner == pair.owner.id && receipt.verify(&self.network);
        let counter = if signed { &mut self.counters.receipts } else { &mut self.counters.faulty };
        *counter += 1;
        let is_promise = said.seq > 0 && said.said_s < said.until_s;
        signed && is_promise && said.holder != self.own && said.place != pair.witness.id
    }

    /// Has the witness ask about the next receipt; where there is none, the pair has ended.
    fn ask_next(&mut self, now: Instant, mut pair: Pair, members: &dyn Members) {
        while let Some(receipt) = pair.receipts.pop() {
            let said = receipt.said();
            let Some(address) = members.find(said.place) else {
                self.counters.unknown += 1;
                continue;
            };
            let (key, owner, holder) = (said.key.0, said.owner.0, said.place.0);
            self.counters.holders += 1;
            pair.number = self.ask(pair.witness, WatchAsk::Get { key, owner, holder, address });
            (pair.stage, pair.until) = (Stage::Statement(receipt), now + PATIENCE);
            return self.pairs.push(pair);
        }
    }

    /// Looks whether what a holder has said goes with what it has promised.
    fn compare(&mut self, now: Instant, receipt: Statement, said: Option<&Statement>) {
        let Some(denial) = said else {
            self.counters.silent += 1;
            return;
        };
        let of = |it: &Statement| (it.said().holder, it.said().place, it.said().key);
        if of(&receipt) != of(denial) || !denial.verify(&self.network) {
            self.counters.faulty += 1;
            return;
        }
        self.counters.statements += 1;
        if !receipt.contradicts(denial) {
            self.counters.excused += u64::from(denial.said().seq < receipt.said().seq);
            return;
        }
        self.counters.contradictions += 1;
        let contradiction = Contradiction { receipt, denial: *denial };
        self.judged.retain(|(.., at)| now.since(*at) < JUDGED_AGAIN);
        let (key, owner) = (contradiction.key(), contradiction.owner());
        let is_new = |(of, by, _): &(PublicKey, Option<NodeId>, Instant)| {
            *of != key || by.is_some_and(|by| by != owner)
        };
        if self.judged.iter().all(is_new) {
            self.wishes.push_back(Wish::Judge(Box::new(contradiction)));
        }
    }
}
