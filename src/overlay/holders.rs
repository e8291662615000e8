//! Those who hold own records: what their coming and going means for these.
//!
//! One that has moved is touched there, once: many have booted before they get another address.
//! Where members vanish or start anew, holders will have done so too: one touch is due early for
//! each, and none within five minutes of the last.

use super::Overlay;
use super::id::Node;
use super::publication::{Holder, Publication, State};
use crate::net::NodeId;
use crate::time::{Duration, Instant};

/// Where others vanish, a record is touched early, but so long after the last time.
pub(super) const REFRESH_PAUSE: Duration = Duration::from_secs(300);
/// Owners mend within this time what a healed partition left behind.
const HEAL: Duration = Duration::from_secs(30);

impl Overlay {
    /// The holders of all own records, where they are now.
    pub fn holders(&self) -> impl Iterator<Item = Node> + '_ {
        self.publications
            .iter()
            .flat_map(|(_, publication)| &publication.holders)
            .filter(|holder| holder.state == State::Acknowledged)
            .map(|holder| {
                let known = self.members.get(&holder.node.id);
                known.map_or(holder.node, |member| member.node())
            })
    }

    /// A holder took our newest list of addresses in, for all records that it has of us.
    pub(super) fn holder_told(&mut self, node: &NodeId, address_seq: u64) {
        for (_, publication) in self.publications.iter_mut() {
            if let Some(holder) = publication.holder(node) {
                holder.address_seq = address_seq;
            }
        }
    }

    /// A member is gone: others may take its place.
    pub(super) fn holder_lost(&mut self, node: &NodeId) {
        for (_, publication) in self.publications.iter_mut() {
            publication.holder(node).into_iter().for_each(Holder::fail);
        }
    }

    /// A member was silent and is back: owners look again, within 30 s.
    pub(super) fn holder_returned(&mut self, now: Instant, node: &NodeId) {
        self.holders_again(now, |publication| {
            publication.holder(node).into_iter().for_each(Holder::fail);
            true
        });
    }

    /// A member is no use as a holder: the next closest takes its place, within 30 s.
    pub(super) fn holder_unused(&mut self, now: Instant, node: &NodeId) {
        self.holders_again(now, |publication| publication.holder(node).map(Holder::fail).is_some());
    }

    /// A member says which start of it this is: where it has started since it took a record of
    /// ours, it gets that again.
    pub(super) fn holder_started(&mut self, now: Instant, node: &NodeId, start: u8) {
        self.holders_again(now, |publication| {
            let holder = publication.holder(node);
            let lost = |h: &&mut Holder| h.state == State::Acknowledged && h.start != start;
            holder.filter(lost).map(Holder::fail).is_some()
        });
    }

    /// A member has another address: perhaps it has booted before, and holds nothing.
    pub(super) fn holder_moved(&mut self, now: Instant, node: &Node) {
        self.holders_again(now, |publication| {
            let Some(holder) = publication.holder(&node.id) else { return false };
            holder.node = *node;
            let held = holder.state == State::Acknowledged;
            if held {
                holder.fail();
            }
            held
        });
    }

    /// Has the publications of which `again` says so mended, within 30 s.
    fn holders_again(&mut self, now: Instant, mut again: impl FnMut(&mut Publication) -> bool) {
        for (id, publication) in self.publications.iter_mut() {
            let at = now + HEAL * self.rng.below(1 << 16) / (1 << 16);
            if again(publication)
                && self.publication_timers.get(id.slot()).is_none_or(|then| then > at)
            {
                self.publication_timers.set(id.slot(), at);
            }
        }
    }

    /// Somebody is gone, or has lost what it held: so may holders of ours be, and one publication
    /// is touched early. In calm that is rare; where many vanish, all are touched within minutes,
    /// and again each five while others do: some vanish or lose what they held just after a touch.
    pub(super) fn refresh_early(&mut self, now: Instant) {
        let early = |p: &Publication| (p.refreshed_at + REFRESH_PAUSE).max(now);
        let late = |p: &Publication| p.refresh_at > early(p);
        let count = self.publications.iter().filter(|(_, p)| late(p)).count();
        let chosen = self.rng.below(count as u32) as usize;
        let mut fit = self.publications.iter_mut().filter(|(_, p)| late(p));
        fit.nth(chosen).into_iter().for_each(|(_, p)| p.refresh_at = early(p));
    }
}
