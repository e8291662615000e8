//! In which family of addresses this node deals with others.
//!
//! A network has a main family. Who is reached by it is a member; who has the other one alone is a
//! client, which puts and gets at those members that have both. So each node deals in one family,
//! the main one where it has that, and a client of the other family meets those members alone who
//! announce an address of it, too. IPv4 is the main family unless so few have it that they could
//! not keep the records of all: whoever has IPv6 alone then finds all of twelve holders, and so
//! does whoever is behind a carrier's NAT with IPv4 alone.
//!
//! Nodes of both families decide, and count whom they have heard of; who knows nobody yet follows
//! the one that answers it.

use super::Overlay;
use super::id::{Named, Node};
use super::judge::Judged;
use super::lookup::REPLICAS;
use crate::time::Instant;
use heapless::VecView;
use std::net::SocketAddr;

/// Whether IPv6 is the main family where so many are known to have IPv4 and IPv6, and where it was
/// so `until_now`. It is where those who have IPv4 are less than an eighth, and of few where they
/// are less than twelve, or than half.
fn is_main_six([four, six]: [usize; 2], until_now: bool) -> bool {
    let twice_wanted = six.min(2 * REPLICAS).max(six / 4);
    // All count alike but for losses: what was decided stays where a few more or less decide.
    8 * four < if until_now { 5 } else { 4 } * twice_wanted
}

impl Overlay {
    /// Whether that is an address of the family in which we deal with others.
    pub(super) fn is_ours(&self, address: &SocketAddr) -> bool {
        address.is_ipv6() == self.hints.six
    }

    /// Whoever knows nobody deals in the family in which others do who answer.
    pub(super) fn follow_family(&mut self, six: bool) {
        if self.members.is_empty() && self.reach.has(six) {
            self.hints.six = six;
        }
    }

    /// Our own addresses are others, and nobody is known: one family is tried first.
    pub(super) fn first_family(&mut self) {
        if self.members.is_empty() {
            let (has, [four, six]) = (|six| self.reach.has(six), self.reach.own());
            self.hints.six = !has(false) || has(true) && four.is_none() && six.is_some();
        }
    }

    /// Deals in the other family from now on, where that is the main one, or the only one left.
    pub(super) fn choose_family(&mut self, now: Instant) {
        let was = self.hints.six;
        let knows = self.join_next(now).is_none();
        let six = match [false, true].map(|six| self.reach.has(six)) {
            [true, true] if knows => {
                let mut known = self.hints.counts();
                let ours = &mut known[usize::from(was)];
                *ours = self.members.len().max(*ours);
                is_main_six(known, was)
            }
            [true, true] => was,
            [_, six] => six,
        };
        if six != was {
            self.hints.six = six;
            while let Some(id) = self.members.at(0).map(|member| member.id) {
                self.members.remove(&id);
            }
            self.all_lost(now);
            self.rendezvous_wanted(now);
        }
    }

    /// Whom we name to somebody who asked from `from`: those whom it can ask in turn. To others of
    /// our family, who have room for it, both addresses of each are named.
    pub(super) fn name_into(
        &self,
        now: Instant,
        (from, roomy): (&SocketAddr, bool),
        place: &[u8; 16],
        best: &mut VecView<Named>,
    ) {
        let minute = self.minute(now);
        if !self.is_ours(from) {
            self.hints.closest_into(place, minute, from.is_ipv6(), &mut |_| false, best);
            // Where it is to ask if it has both: as the first that it hears of, perhaps.
            let own = self.reach.own()[usize::from(self.hints.six)];
            if let Some(address) = own.filter(|_| self.judge.judged() != Judged::Client) {
                insert(best, 0, Named { node: Node { id: self.me, address }, age_h: 0 });
            }
            return;
        }
        self.closest_known_into(now, place, false, best);
        let mut at = 0;
        while let Some(named) = best.get(at).filter(|_| roomy) {
            at += 1;
            if let Some(other) = self.hints.elsewhere(&named.node.id, minute) {
                insert(best, at, other);
                at += 1;
            }
        }
    }
}

fn insert(best: &mut VecView<Named>, at: usize, named: Named) {
    if best.is_full() {
        best.pop();
    }
    if at <= best.len() {
        let inserted = best.insert(at, named);
        debug_assert!(inserted.is_ok(), "room was made");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_is_the_main_family_unless_few_have_it() {
        let of = |four, six| is_main_six([four, six], false);
        assert!(!of(0, 0) && !of(1, 1) && !of(1, 0) && !of(1000, 1000) && !of(30_000, 10));
        assert!(of(0, 1) && of(0, 30_000));
        // Few: as many as half of them, or as keep a record.
        assert!(of(1, 3) && !of(1, 2) && of(11, 24) && !of(12, 24) && of(11, 90) && !of(12, 90));
        // Many: an eighth.
        assert!(of(999, 8000) && !of(1000, 8000));
        // What was so stays, where it is not clear.
        assert!(is_main_six([1200, 8000], true) && !is_main_six([1260, 8000], true));
    }
}
