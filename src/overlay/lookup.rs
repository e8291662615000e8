//! One iterative look-up: whom it knows, whom it asked, what it heard. Sends nothing itself.
//!
//! Three members are asked at a time, closest first (Kademlia s2.3); of the five closest replicas
//! of a record those whose answers take the shortest way, for each has it. Where none of them has
//! answered within the time in which three of four answers come, or one is late, the look-up widens
//! to all replicas that it knows: then half of them may be gone and the answer still comes one
//! round trip later. Who is late keeps no farther one from being asked, for that one may know who
//! is nearer. A look-up of records ends when three of the twelve closest have answered, or as many
//! as there are, and one had it; or when 4 of the 12 closest, or all that there are of those, say
//! that there is nothing: who is farther has no reason to hold it. No more are asked than may have
//! to say so, for each question is a kilobyte. A member that has not been up for a refresh interval
//! may lack what it should hold: its "no" alone does not count, and after three of those all
//! replicas are asked. Where nobody answers, whoever was heard just now is asked, too.
//!
//! In a network with trust anchors liars may be among those whom others name, in answers or by
//! hints: next to any key, twelve and more of them. Whom an answer names takes no place among the
//! twelve until it has shown its certificate. That there is nothing is believed of those alone who
//! have, and only once each of the twelve was asked and has answered or is late: of those who are
//! certified some may lie, and one who has the record is enough. Three have to agree on a record,
//! whatever others say. See [`super::paths`] for what becomes of look-ups that meet liars.

use super::candidate::{ASKS_MAX, Candidate, State, Way};
use super::id::{Node, Packed, Place, closer, distance, same};
use super::owners::OwnerSeen;
use super::publication::{HOLDERS_MAX, Publication};
use super::wire::{NO_TOKEN, Token};
use super::{LookupId, Placement};
use crate::net::NodeId;
use crate::table::Id;
use crate::time::{Duration, Instant};
use core::cmp::Ordering;

/// How many members keep a record.
pub(super) const REPLICAS: usize = 12;
/// Owners of one key.
pub(super) const OWNERS_MAX: usize = 8;
/// A look-up ends at the latest after this time.
const LOOKUP_MAX: Duration = Duration::from_millis(1500);
pub(super) const PARALLEL: usize = 3;
/// Among so many of the closest those are asked whose answers take the shortest way. Behind them
/// may be some that hold what was so before, or nothing: others know others, and who knows but half
/// of a large network takes some that are not among the twelve for such.
const SURE: usize = 5;
pub(super) const CANDIDATES_MAX: usize = 28;
const NO_QUORUM: usize = 4;
/// Where liars may be among the twelve and so many say that there is nothing, all are asked.
const DOUBTED: usize = 2;
/// Candidates that others have named, where they take no place among the twelve: in all, and of
/// each path.
const BESIDE_MAX: [usize; 2] = [8, 3];
/// Who has moved is asked at so many addresses at most, for others may believe in older ones.
const ADDRESSES_MAX: u8 = 8;

/// What a look-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Records of an AOR, for the user: the look-up's number and the blinded AOR.
    Records(LookupId, [u8; 32]),
    /// Holders for a publication.
    Place(Id<Publication>),
    /// Members around a place, to know them.
    Members,
}

/// One look-up.
pub(super) struct Lookup {
    /// What for.
    pub(super) goal: Goal,
    /// The place looked for.
    pub(super) target: Place,
    /// When it is over at the latest.
    pub(super) deadline: Instant,
    /// When all replicas are asked, if there is no answer until then.
    pub(super) hedge: Instant,
    /// Records waiting for their verification.
    pub(super) verifying: u8,
    /// Requests under way beside those to the closest: that name an owner, or to whom is there.
    pub(super) beside: u8,
    /// Owners heard of.
    pub(super) owners: heapless::Vec<OwnerSeen, OWNERS_MAX>,
    /// Records found by a look-up of the same AOR under another secret.
    pub(super) found_before: u8,
    /// How many members were asked one after another until the record came; 0 where it is here.
    pub(super) hops: u8,
    pub(super) candidates: heapless::Vec<Candidate, CANDIDATES_MAX>,
    /// Requests that named an owner, so far.
    pub(super) named: u8,
    /// Whether liars may be among those who name others.
    pub(super) wary: bool,
    /// Whether it goes on over several paths.
    pub(super) parted: bool,
    /// Whether liars may lead it: somebody was found out, or did not answer.
    pub(super) astray: bool,
    /// Who is farther away has no reason to hold it.
    pub(super) reach: u128,
    /// How many have told of the newest record that is verified.
    pub(super) agreeing: u8,
    /// The end of a higher number that is not verified yet, and how many told of it in a row.
    pub(super) claimed: u32,
    pub(super) claims: u8,
    /// Who says that there is nothing, and has shown a certificate that is not verified yet.
    pub(super) proving: u8,
    widened: bool,
    young_noes: u8,
}

/// What an answer says of the record looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It is here, or it was not asked for.
    Yes,
    /// It is not here, though it should be if there were one.
    No,
    /// It is not here yet, if there is one: the answerer is young.
    YoungNo,
}

impl Lookup {
    /// A look-up that knows nobody yet; `wary` where liars may be among those who name others.
    pub(super) fn new(
        goal: Goal,
        target: Place,
        now: Instant,
        (hedge, wary): (Duration, bool),
    ) -> Self {
        Self {
            goal,
            target,
            deadline: now + LOOKUP_MAX,
            hedge: now + hedge,
            verifying: 0,
            beside: 0,
            owners: heapless::Vec::new(),
            found_before: 0,
            hops: 0,
            candidates: heapless::Vec::new(),
            named: 0,
            wary: wary && matches!(goal, Goal::Records(..)),
            parted: false,
            astray: false,
            reach: u128::MAX,
            agreeing: 0,
            claimed: 0,
            claims: 0,
            proving: 0,
            // Whoever places a record needs the proof of address of every holder.
            widened: matches!(goal, Goal::Place(_)),
            young_noes: 0,
        }
    }

    /// Adds somebody to ask, unless too far away. `doubtful` are asked only once the look-up
    /// widens. Who named it was found this `way`. `rtt_us` tells how long its answer will take,
    /// likely.
    pub(super) fn add(&mut self, node: Node, doubtful: bool, way: Way, rtt_us: impl Fn() -> u32) {
        let records = matches!(self.goal, Goal::Records(..));
        let rtt_us = || if records { rtt_us() } else { 0 };
        let (id, packed) = (node.id, Packed::from(node.address));
        if let Some(known) = self.candidate(&id) {
            let elsewhere = known.packed != packed;
            let silent = matches!(known.state, State::Late | State::Gone);
            if elsewhere && silent && (1..ADDRESSES_MAX).contains(&known.asks) {
                (known.packed, known.state) = (packed, State::New);
                known.rtt_us = rtt_us();
            }
            return;
        }
        let way = Way { hops: way.hops.saturating_add(1), ..way };
        if self.wary && way.hops > 1 {
            let beside = |c: &Candidate| c.way.hops > 1 && c.way.path == way.path;
            let farthest = self.candidates.iter().rposition(beside);
            let count = self.candidates.iter().filter(|c| beside(c)).count();
            let most = BESIDE_MAX[usize::from(way.path > 0)];
            if let Some(at) = farthest.filter(|_| count >= most) {
                let known = &self.candidates[at];
                let nearer = closer(&self.target, &id.0, &known.id.0) == Ordering::Less;
                if !nearer || known.state != State::New {
                    return;
                }
                self.candidates.remove(at);
            }
        }
        let target = self.target;
        let before = |known: &Candidate| closer(&target, &known.id.0, &id.0) == Ordering::Less;
        let mut at = self.candidates.partition_point(before);
        if self.candidates.is_full() {
            // Those on other paths keep their places in the list.
            let idle = |c: &Candidate| c.way.path == 0 && (!self.parted || c.state == State::New);
            let Some(last) = self.candidates.iter().rposition(idle) else { return };
            if at > last && way.path == 0 {
                return;
            }
            self.candidates.remove(last);
            at -= usize::from(at > last);
        }
        let state = if doubtful { State::Late } else { State::New };
        let rtt_us = rtt_us();
        let (token, proven) = (NO_TOKEN, false);
        let candidate = Candidate { id, packed, token, state, asks: 0, way, proven, rtt_us };
        let added = self.candidates.insert(at, candidate);
        debug_assert!(added.is_ok(), "room was made");
    }

    /// Whom to ask now, if anybody; marks it as asked.
    pub(super) fn next(&mut self) -> Option<(Node, Token)> {
        let records = matches!(self.goal, Goal::Records(..));
        let asked = self.candidates.iter().filter(|c| c.state == State::Asked).count();
        if records && (self.has_found() || self.verifying > 0) {
            // It reads on until three of the closest have answered: one may have missed the newest,
            // and whoever held it before somebody nearer came has missed all since.
            let silent = |c: &&Candidate| matches!(c.state, State::Late | State::Gone);
            let there = self.candidates.iter().filter(|c| !silent(c)).take(REPLICAS);
            let agree = !self.wary || usize::from(self.agreeing()) + asked >= PARALLEL;
            if agree && there.filter(|c| c.state != State::New).count() >= PARALLEL {
                return None;
            }
        }
        if let Some(at) = self.next_on_path() {
            return self.candidates.get_mut(at).map(Candidate::ask);
        }
        let noes = self.replicas().filter(|c| c.state == State::Answered { no: true });
        let enough = match noes.count() {
            _ if self.widened => REPLICAS,
            // All others have to be heard: that takes one round trip more, as without liars.
            noes if self.wary && noes >= DOUBTED => REPLICAS,
            // As many as have to say so.
            noes if records && noes > 0 => NO_QUORUM.saturating_sub(noes).clamp(1, PARALLEL),
            _ => PARALLEL,
        };
        if asked >= enough {
            return None;
        }
        let waiting = |c: &Candidate| matches!(c.state, State::New | State::Asked);
        let widened = self.widened || !self.candidates.iter().any(waiting);
        let wary = self.wary;
        let (mut places, mut nearest, mut again) = (REPLICAS, None::<&mut Candidate>, None);
        for (at, candidate) in self.candidates.iter_mut().enumerate() {
            match candidate.state {
                State::New => {
                    places -= usize::from(candidate.has_place(wary));
                    let sure = records && places >= REPLICAS - SURE;
                    let nearer = |best: &&mut Candidate| sure && candidate.rtt_us < best.rtt_us;
                    if nearest.as_ref().is_none_or(nearer) {
                        nearest = Some(candidate);
                    }
                }
                State::Asked | State::Answered { .. } => {
                    places -= usize::from(candidate.has_place(wary));
                }
                // Who is late keeps nobody behind from being asked.
                State::Late if widened && candidate.may_hold(at) && again.is_none() => {
                    again = Some(candidate);
                }
                State::Late | State::Gone => {}
            }
            if places == 0 {
                break;
            }
        }
        nearest.or(again).map(Candidate::ask)
    }

    /// Takes an answer in. Returns on which way the answerer was found.
    pub(super) fn answered(&mut self, id: NodeId, token: Token, word: Word) -> Way {
        if word == Word::YoungNo {
            self.young_noes = self.young_noes.saturating_add(1);
            self.widened |= usize::from(self.young_noes) >= PARALLEL;
        }
        let no = word == Word::No;
        let Some(candidate) = self.candidate(&id) else { return Way::default() };
        candidate.id = id;
        candidate.state = State::Answered { no };
        candidate.token = token;
        let way = candidate.way;
        if word == Word::Yes && self.hops == 0 {
            self.hops = way.hops;
        }
        way
    }

    /// Notes that an answer is late: from now on all replicas are asked.
    pub(super) fn late(&mut self, id: &NodeId) {
        self.widened = true;
        // Where enough deny it, all that are there are heard anyway.
        self.astray |= self.wary && !self.denied();
        if let Some(candidate) = self.candidate(id)
            && candidate.state == State::Asked
        {
            candidate.state = State::Late;
        }
    }

    /// The next moment at which something is due.
    pub(super) fn next_at(&self) -> Instant {
        self.hedge.min(self.deadline)
    }

    /// Where nobody has answered for as long as most take, all replicas are asked, and after as
    /// long again those behind them; whether it has come to that.
    pub(super) fn widen(&mut self, now: Instant, usual: Duration) -> bool {
        let answered = |c: &Candidate| matches!(c.state, State::Answered { .. });
        if self.candidates.iter().any(answered) {
            self.hedge = self.deadline;
            return false;
        }
        let again = self.widened;
        if again {
            let asked = self.candidates.iter_mut().filter(|c| c.state == State::Asked);
            asked.for_each(|candidate| candidate.state = State::Late);
        }
        (self.widened, self.hedge) = (true, now + usual);
        again
    }

    /// Notes that it is not there. Returns on which way it was found.
    pub(super) fn drop(&mut self, id: &NodeId) -> Way {
        let Some(candidate) = self.candidate(id) else { return Way::default() };
        candidate.state = State::Gone;
        candidate.way
    }

    /// Notes that no answer will come.
    pub(super) fn gone(&mut self, id: &NodeId) {
        if let Some(candidate) = self.candidate(id)
            && matches!(candidate.state, State::Asked | State::Late)
            && candidate.asks >= ASKS_MAX
        {
            candidate.state = State::Gone;
        }
    }

    /// Whether nothing more is to be expected.
    pub(super) fn is_done(&self) -> bool {
        if self.verifying > 0 || self.beside > 0 {
            return false;
        }
        let beside = |c: &Candidate| c.way.path > 0 || !c.has_place(self.wary);
        let beside = self.candidates.iter().any(|c| c.is_open() && beside(c));
        if matches!(self.goal, Goal::Records(..)) {
            if self.has_found() {
                return !self.candidates.iter().any(|c| c.state == State::Asked);
            }
            // Who was late once has had its chance.
            let unheard = |c: &Candidate| c.is_open() && c.asks <= 1;
            let unheard = self.wary && self.replicas().any(unheard);
            if self.denied() && !beside && !unheard {
                return true;
            }
        }
        if self.proving > 0 || self.parted && beside {
            return false;
        }
        let mut places = REPLICAS;
        self.candidates.iter().enumerate().all(|(at, candidate)| match candidate.state {
            State::Answered { .. } => {
                places -= usize::from(places > 0 && candidate.has_place(self.wary));
                true
            }
            State::Gone => true,
            State::Late => !candidate.may_hold(at),
            State::New | State::Asked => places == 0,
        })
    }

    /// Whether as many of the closest say that there is nothing as have to, or as many as there are
    /// of those. Whether they are there or not: where fewer are left than have to say so, they may
    /// be elsewhere, and all others are heard.
    pub(super) fn denied(&self) -> bool {
        let believed = |c: &&Candidate| {
            let near = || distance(&self.target, &c.id.0) <= self.reach;
            c.state == State::Answered { no: true } && (!self.wary || c.proven && near())
        };
        let noes = self.replicas().filter(believed).count().saturating_sub(self.proving.into());
        noes > 0 && noes >= self.replicas().count().min(NO_QUORUM)
    }

    /// The members that answered, closest first, with what proves our address to them.
    pub(super) fn holders(&self) -> impl Iterator<Item = Placement> + '_ {
        let answered = |c: &&Candidate| matches!(c.state, State::Answered { .. });
        self.candidates
            .iter()
            .filter(answered)
            .take(if self.parted { HOLDERS_MAX } else { REPLICAS })
            .map(|c| Placement { node: c.node(), token: c.token })
    }

    /// Those among whom the twelve are that may hold the record, closest first.
    fn replicas(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|c| c.has_place(self.wary)).take(REPLICAS)
    }

    /// Whether somebody is asked, or will be.
    pub(super) fn knows(&self, id: &NodeId) -> bool {
        self.candidates.iter().any(|candidate| same(&candidate.id, id))
    }

    pub(super) fn candidate(&mut self, id: &NodeId) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|candidate| same(&candidate.id, id))
    }
}
