//! Judging whether others can reach this node: member, or client of two rendezvous peers.
//!
//! The first member that answers is asked at once to list us, before anybody else is contacted,
//! so that in a small network somebody is left who can dial back. Whoever asks something of us
//! though we had not contacted it proves that we are reachable. Two witnesses that have us
//! refused make us a client; that is tried again every ten minutes, and with every new address.
//! What is decided is said in every ping; members then list us, or strike us off.

use super::Overlay;
use super::event::{Ports, Reachability, Reason};
use super::id::Node;
use super::request::Purpose;
use super::wire::{Claim, Hello, NO_TOKEN, Standing, Token};
use crate::net::NodeId;
use crate::time::{Duration, Instant, earlier};
use std::net::SocketAddr;

const WITNESSES_MAX: usize = 4;
/// So many witnesses refuse, and we are a client.
const REFUSALS: u8 = 2;
/// How long everybody but the first witness is left alone.
const HOLD: Duration = Duration::from_secs(3);
/// The first wait for the witness's word; each further one is longer by this.
const POLL: Duration = Duration::from_millis(150);
const POLLS_MAX: u8 = 8;
/// So many members refuse a node that believes itself reachable, and it looks again.
const DENIALS: u8 = 2;
const NO_WITNESS: Duration = Duration::from_secs(5);
const AGAIN_NEAR: Duration = Duration::from_secs(60);
const AGAIN_CLIENT: Duration = Duration::from_secs(600);
/// The router in front has opened our port, and we were refused by the word of somebody who looked
/// before it: longer than such a word stands (see `dial`).
const AGAIN_UNSEEN: Duration = Duration::from_secs(6);
/// The same by those who looked after it. A router of Linux remembers for 30 s who knocked before
/// the port was opened, and still lets nobody in from there; every knock renews that, so that a
/// shorter wait would be the longer one. Each further wait is six times as long, up to that of
/// other clients.
const AGAIN_MAPPED: Duration = Duration::from_secs(31);
/// Members told at a time what we are, and the pause after them.
const TOLD_AT_ONCE: usize = 4;
const TOLD_PAUSE: Duration = Duration::from_millis(100);

/// What this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Unknown,
    Member,
    /// A member as far as those can tell whom we contacted: it keeps its flows.
    Near,
    Client,
}

/// How far judging has come.
pub(super) struct Judge {
    judged: Judged,
    witness: Option<Node>,
    asked: heapless::Vec<NodeId, WITNESSES_MAX>,
    refusals: u8,
    /// One of them is from before we asked.
    unseen: bool,
    polls: u8,
    at: Option<Instant>,
    hold: Option<Instant>,
    /// How long a client whose port was opened waits next.
    again_mapped: Duration,
    denied: u8,
    /// The position of the next member to tell what we are, and when.
    telling: Option<(usize, Instant)>,
}

impl Judge {
    pub(super) fn new() -> Self {
        Self {
            judged: Judged::Unknown,
            witness: None,
            asked: heapless::Vec::new(),
            refusals: 0,
            unseen: false,
            polls: 0,
            at: None,
            hold: None,
            again_mapped: AGAIN_MAPPED,
            denied: 0,
            telling: None,
        }
    }

    /// Believes what is not so.
    #[cfg(test)]
    pub(super) fn pretend(&mut self, now: Instant, judged: Judged) {
        (self.judged, self.at, self.telling) = (judged, None, Some((0, now)));
    }

    /// What a member is that has told so long ago.
    #[cfg(feature = "lab")]
    pub(super) fn known_member() -> Self {
        Self { judged: Judged::Member, ..Self::new() }
    }

    pub(super) fn judged(&self) -> Judged {
        self.judged
    }

    /// What our pings say of us.
    pub(super) fn claim(&self) -> Claim {
        match self.judged {
            Judged::Unknown => Claim::Unknown,
            Judged::Member | Judged::Near => Claim::Member,
            Judged::Client => Claim::Client,
        }
    }

    /// Whether it needs rendezvous peers.
    pub(super) fn needs_rendezvous(&self) -> bool {
        matches!(self.judged, Judged::Client | Judged::Near)
    }

    /// Whether nobody is to be contacted yet.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.hold.is_some_and(|until| now < until)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        earlier(self.at, self.telling.map(|(_, at)| at))
    }
}

impl Overlay {
    /// The first member is known: it is asked before anybody else is contacted.
    pub(super) fn first_member(&mut self, now: Instant) {
        let judge = &self.judge;
        if judge.judged == Judged::Unknown && judge.at.is_none() && judge.witness.is_none() {
            self.judge.hold = Some(now + HOLD);
            self.judge_again(now);
        }
    }

    /// Somebody asks us something: where we had not contacted it, that proves more than any
    /// witness can say.
    pub(super) fn heard_unasked(&mut self, now: Instant, from: &SocketAddr) {
        let now_s = self.seconds(now);
        let open = matches!(self.judge.judged, Judged::Unknown | Judged::Near);
        if open
            && self.is_ours(from)
            && !self.upkeep.sent.contains(&SocketAddr::new(from.ip(), 0), now_s)
        {
            self.decide(now, Judged::Member);
        }
    }

    /// Everybody is lost, or our link is another.
    pub(super) fn forget_judgement(&mut self) {
        self.judge = Judge::new();
    }

    /// Judges, or judges anew; what was decided holds until then.
    pub(super) fn judge_again(&mut self, now: Instant) {
        let judge = &mut self.judge;
        (judge.witness, judge.refusals, judge.polls) = (None, 0, 0);
        (judge.denied, judge.unseen, judge.at) = (0, false, Some(now));
        judge.asked.clear();
    }

    /// The router in front opened our port or closed it: what we were is in doubt.
    pub(super) fn port_changed(&mut self, now: Instant) {
        self.judge.again_mapped = AGAIN_MAPPED;
        if self.judge.judged == Judged::Unknown {
            // Who has refused us by now looked before.
            self.judge.unseen = true;
        } else {
            self.judge_again(now);
        }
    }

    pub(super) fn judge_timeout(&mut self, now: Instant) {
        if self.judge.at.is_some_and(|at| at <= now) {
            self.judge.at = None;
            match self.judge.witness {
                Some(witness) => self.ask_witness(now, witness, &NO_TOKEN),
                None => self.next_witness(now),
            }
        }
        if let Some((position, _)) = self.judge.telling.filter(|(_, at)| *at <= now) {
            self.tell_some(now, position);
        }
    }

    fn next_witness(&mut self, now: Instant) {
        let place = self.rng.bytes();
        let asked = &self.judge.asked;
        let flows = &self.rendezvous;
        let fit = |id: &NodeId, missed: u8| missed == 0 && !asked.contains(id);
        // Whoever keeps our flow knows least about the filter in front of us.
        let apart = |id: &NodeId| flows.token_of(id).is_none();
        let others = self.members.closest::<1>(&place, |m| fit(&m.id, m.missed) && apart(&m.id));
        let any = self.members.closest::<1>(&place, |m| fit(&m.id, m.missed));
        let witness = others.first().or_else(|| any.first()).filter(|_| !asked.is_full()).copied();
        match witness {
            Some(witness) => {
                let pushed = self.judge.asked.push(witness.id);
                debug_assert!(pushed.is_ok(), "not full");
                (self.judge.witness, self.judge.polls) = (Some(witness), 0);
                self.ask_witness(now, witness, &NO_TOKEN);
            }
            None if self.judge.refusals > 0 => self.decide(now, Judged::Client),
            None => {
                self.judge.asked.clear();
                (self.judge.hold, self.judge.at) = (None, Some(now + NO_WITNESS));
            }
        }
    }

    fn ask_witness(&mut self, now: Instant, witness: Node, token: &Token) {
        let (to, who) = (witness.address, Some(witness.id));
        if !self.ping(now, to, who, Purpose::Judge, token, Claim::Member) {
            self.judge.at = Some(now + NO_WITNESS);
        }
    }

    /// A witness says what we are to it.
    pub(super) fn witness_answered(&mut self, now: Instant, node: &Node, hello: &Hello) {
        let Some(witness) = self.judge.witness.filter(|witness| witness.id == node.id) else {
            return;
        };
        let first = self.judge.polls == 0;
        self.judge.polls = self.judge.polls.saturating_add(1);
        let polls = self.judge.polls;
        match hello.standing {
            // Only with the proof of our address does it look.
            _ if first => self.ask_witness(now, witness, &hello.token),
            Standing::Listed | Standing::Crowded => self.decide(now, Judged::Member),
            // It asked those alone whom we had contacted: no more than we knew.
            Standing::Near if self.judge.judged == Judged::Member => {
                self.decide(now, Judged::Member);
            }
            Standing::Near => self.decide(now, Judged::Near),
            _ if polls < POLLS_MAX && hello.standing != Standing::Unreachable => {
                self.judge.at = Some(now + POLL * u32::from(polls));
            }
            standing => {
                let refused = standing == Standing::Unreachable;
                self.judge.refusals += u8::from(refused);
                // Who looks says first that it does.
                self.judge.unseen |= refused && polls == 2;
                self.witness_over(now);
            }
        }
    }

    /// A witness did not answer.
    pub(super) fn witness_missed(&mut self, now: Instant, node: NodeId, over: bool) {
        if self.judge.witness.is_some_and(|witness| witness.id == node) && over {
            self.witness_over(now);
        }
    }

    fn witness_over(&mut self, now: Instant) {
        self.judge.witness = None;
        if self.judge.refusals >= REFUSALS {
            self.decide(now, Judged::Client);
        } else {
            self.judge.at = Some(now);
        }
    }

    fn decide(&mut self, now: Instant, judged: Judged) {
        let claimed = self.judge.claim();
        let before = core::mem::replace(&mut self.judge.judged, judged);
        (self.judge.witness, self.judge.hold) = (None, None);
        let again = match judged {
            Judged::Client if self.reach.is_mapped() && self.judge.unseen => Some(AGAIN_UNSEEN),
            Judged::Client if self.reach.is_mapped() => {
                let longer = (self.judge.again_mapped * 6).min(AGAIN_CLIENT);
                Some(core::mem::replace(&mut self.judge.again_mapped, longer))
            }
            Judged::Client => Some(self.rng.jitter(AGAIN_CLIENT)),
            Judged::Near => Some(self.rng.jitter(AGAIN_NEAR)),
            Judged::Member | Judged::Unknown => None,
        };
        self.judge.at = again.map(|pause| now + pause);
        self.judge.asked.clear();
        (self.judge.refusals, self.judge.unseen) = (0, false);
        if claimed != self.judge.claim() {
            self.judge.telling = Some((0, now));
        }
        if before != judged {
            self.rendezvous_wanted(now);
            self.addresses_changed(now);
        }
        self.hold_over(now);
        self.upkeep.wake(now);
    }

    /// Tells the next members what we are; those that believe otherwise invite us to prove it.
    fn tell_some(&mut self, now: Instant, position: usize) {
        for at in position..position + TOLD_AT_ONCE {
            if let Some(node) = self.members.at(at).map(|member| member.node()) {
                self.check(now, node);
            }
        }
        let next = position + TOLD_AT_ONCE;
        let more = next < self.members.len();
        self.judge.telling = more.then(|| (next, now + TOLD_PAUSE));
    }

    /// An answer says what we are to `node`: where it is wrong, we say so with the proof of our
    /// address.
    pub(super) fn heard_standing(&mut self, now: Instant, node: &Node, hello: &Hello) {
        match (self.judge.judged, hello.standing) {
            (Judged::Member | Judged::Near, Standing::Stranger)
            | (Judged::Client, Standing::Listed | Standing::Near) => {
                self.introduce_self(now, node, &hello.token);
            }
            (Judged::Member, Standing::Unreachable) => {
                self.judge.denied += 1;
                if self.judge.denied >= DENIALS {
                    self.judge_again(now);
                }
            }
            _ => {}
        }
    }

    /// Under which ports others see what we send.
    pub fn ports(&self) -> Ports {
        match self.judge.judged {
            Judged::Member if self.reach.is_mapped() => Ports::Open,
            _ if self.reach.shows_other_ports() => Ports::Other,
            Judged::Member => Ports::Open,
            Judged::Near | Judged::Client | Judged::Unknown => Ports::Own,
        }
    }

    /// How others reach us, and why we think so.
    pub(super) fn reachability(&self) -> (Reachability, Reason) {
        if !self.join.joined() && self.keeper.len() == 0 {
            return (Reachability::Unknown, Reason::Alone);
        }
        match self.judge.judged {
            Judged::Unknown => (Reachability::Unknown, Reason::NotJudged),
            Judged::Member | Judged::Near => self.reach.reachability(self.judge.judged),
            Judged::Client if self.rendezvous.list().is_empty() => {
                (Reachability::No, Reason::NoRendezvous)
            }
            Judged::Client if self.reach.public().is_none() => {
                (Reachability::Relayed, Reason::EachPeerAnotherPort)
            }
            Judged::Client => (Reachability::Punched, Reason::Introduced),
        }
    }
}
