//! What the lab does to a node among thousands. It makes it a member as it is after hours in a
//! network that it has got to know: they would join one another for longer than what is to be
//! looked at takes. And it has it give back room: few of them do anything at a time.

use super::Overlay;
use super::bootstrap::Join;
use super::gossip::Gossip;
use super::id::{Named, Node};
use super::judge::Judge;
use super::table::Member;
use crate::limits::OVERLAY_MEMBERS_MAX;
use crate::net::NodeId;
use crate::queue;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// Of those around its own place so many are proven, on either side, and so many anywhere.
const NEAR: usize = 64;
const FAR: usize = 192;

impl Overlay {
    /// Makes this node, whose addresses were set, a member that has got to know `sorted`, all
    /// members by rising id, each with its addresses of IPv4 and of IPv6, as far as its table has
    /// room; `rtt` is how long their answers took.
    pub fn warm(
        &mut self,
        now: Instant,
        sorted: &[(NodeId, [Option<SocketAddr>; 2])],
        rtt: &dyn Fn(&SocketAddr) -> Duration,
    ) {
        // Nobody is known yet, so nobody is told: they knew it before.
        self.sign_addresses(now);
        let now_s = self.seconds(now);
        let here = sorted.partition_point(|(id, _)| *id < self.me);
        // All of a small network prove one another.
        let small = sorted.len() <= OVERLAY_MEMBERS_MAX;
        let step = if small { 1 } else { sorted.len().div_ceil(FAR) };
        let chosen = sorted.iter().enumerate().filter(|(at, (id, _))| {
            let known = at.abs_diff(here) <= NEAR || at % step == here % step;
            known && *id != self.me
        });
        let ours = usize::from(self.hints.six);
        let nodes = chosen.filter_map(|(_, &(id, at))| Some(Node { id, address: at[ours]? }));
        self.members.fill(nodes, now_s, rtt);
        let (me, minute) = (self.me, self.minute(now));
        // They announced themselves within the last day, and so did this node.
        let hints = sorted.iter().filter(|(id, _)| *id != me).flat_map(|&(id, at)| {
            let named = move |address| Named { node: Node { id, address }, age_h: id.0[7] % 20 };
            at.into_iter().flatten().map(named)
        });
        self.hints.fill(hints, sorted.len(), minute);
        self.join = Join::over();
        self.judge = Judge::known_member();
        self.gossip = Gossip::announced(now, self.told_addresses(), &mut self.rng);
    }

    /// Spreads that somebody is where nobody of that id is, as a member that lies can.
    pub fn invent(&mut self, id: NodeId, address: SocketAddr) {
        self.gossip.push(0, &Named { node: Node { id, address }, age_h: 0 });
    }

    /// Gives back the room of queues and lists of which less than a quarter is used; it is reserved
    /// again as they fill.
    pub fn fit(&mut self) {
        self.outbox.fit();
        queue::fit(&mut self.events);
        queue::fit(&mut self.unsigned);
        queue::fit_list(&mut self.gossip.queue);
        queue::fit_list(&mut self.announcing);
        self.work.fit();
        self.requests.fit();
        self.lookups.fit();
        self.lookup_timers.fit();
        self.publications.fit();
        self.publication_timers.fit();
        self.store.fit();
        self.suspects.fit();
        self.dials.fit();
        self.upkeep.fit();
        self.aor_keys.fit();
    }

    /// The members that this node lists, and where each is.
    pub fn listed(&self) -> impl Iterator<Item = (NodeId, SocketAddr)> {
        self.members.iter().map(|member| (member.id, member.address()))
    }

    /// Bytes that hints take, and members.
    pub fn table_bytes(&self) -> [usize; 2] {
        [self.hints.used_bytes(), self.members.len() * size_of::<Member>()]
    }
}
