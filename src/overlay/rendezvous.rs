//! Rendezvous: flows that members keep open to nodes which nobody can reach first.
//!
//! A client pings two members every 25 s at most, because there are NATs that forget a binding
//! after 30 s (RFC 4787 s4.3 asks for two minutes, and routers differ): 13 B/s with headers, both
//! ways. Such a ping asks the member to keep the flow; its answer says whether it does, and brings
//! the proof of address that introductions and relaying need. A member that has missed three is
//! replaced, so a dead one is no longer in the address record half a minute after its last answer.

use super::Overlay;
use super::event::OverlayEvent;
use super::guard::Bucket;
use super::id::Node;
use super::judge::Judged;
use super::recent::Recent;
use super::request::Purpose;
use super::wire::{Claim, Hello, NO_TOKEN, Token};
use crate::identity::record::{RENDEZVOUS_MAX, RendezvousList};
use crate::limits::{CLIENTS_MAX, OVERLAY_CLIENT_BURST, OVERLAY_CLIENT_PER_S};
use crate::net::NodeId;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

const KEEP_ALIVE: Duration = Duration::from_secs(22);
const KEEP_ALIVE_JITTER_MS: u32 = 3000;
const MISSED_MAX: u8 = 3;
/// A member that does not keep our flow yet is asked again after so long.
const KEEP_AGAIN: Duration = Duration::from_secs(1);
/// A flow that was not refreshed for so long is given up by whoever keeps it.
const KEPT_S: u32 = 90;
/// Members that refused or failed are left alone for so long.
const AVOIDED_S: u16 = 30;
const AVOIDED: usize = 64;
/// Closest members among which rendezvous peers are chosen.
const CHOICE: usize = 16;
/// Introductions to one client: at once, and in the long run.
const INTRODUCTIONS_BURST: u32 = 10;
const INTRODUCTIONS_PER_S: u32 = 2;

/// A flow of ours that a member keeps, or is asked to.
struct Flow {
    node: Node,
    token: Token,
    kept: bool,
    missed: u8,
    at: Instant,
}

/// The flows of this node, where it needs them.
pub(super) struct Rendezvous {
    flows: heapless::Vec<Flow, RENDEZVOUS_MAX>,
    avoided: Recent,
    next: Option<Instant>,
}

impl Rendezvous {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let avoided = Recent::new(rng, AVOIDED, AVOIDED_S);
        Self { flows: heapless::Vec::new(), avoided, next: None }
    }

    /// Where those are that keep our flow.
    pub(super) fn list(&self) -> RendezvousList {
        self.flows.iter().filter(|flow| flow.kept).map(|flow| flow.node.address).collect()
    }

    /// What proves our address to the member at `address` that keeps our flow.
    pub(super) fn token_at(&self, address: &SocketAddr) -> Option<Token> {
        let flow = self.flows.iter().find(|flow| flow.kept && flow.node.address == *address)?;
        Some(flow.token)
    }

    /// The same, by id.
    pub(super) fn token_of(&self, id: &NodeId) -> Option<Token> {
        self.flows.iter().find(|flow| flow.node.id == *id).map(|flow| flow.token)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    fn arm(&mut self) {
        self.next = self.flows.iter().map(|flow| flow.at).min();
    }
}

/// A flow that this node keeps for a client.
struct Kept {
    node: Node,
    heard_s: u32,
    /// Somebody of its id asks from here, while it is being asked where it was.
    elsewhere: Option<SocketAddr>,
    credit: Bucket,
    introductions: Bucket,
}

/// What becomes of the wish to have a flow kept.
enum Keeping {
    Kept,
    /// Somebody of this id is elsewhere, and is to be asked there.
    Rival(Node),
    /// It is being asked.
    Waiting,
    Full,
}

/// The flows that this node keeps for others.
pub(super) struct Keeper(Vec<Kept>);

impl Keeper {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(CLIENTS_MAX))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the flow of `node` is kept, from this address.
    pub(super) fn keeps(&self, node: &Node) -> bool {
        self.0.iter().any(|kept| kept.node == *node)
    }

    /// Where the client called `id` is heard from.
    pub(super) fn address_of(&self, id: &NodeId) -> Option<SocketAddr> {
        self.0.iter().find(|kept| kept.node.id == *id).map(|kept| kept.node.address)
    }

    /// Takes one datagram out of a client's own bucket, its lower half only where it is `proven` to
    /// be the client's; `None` for others.
    pub(super) fn charge(&mut self, now: Instant, node: &Node, proven: bool) -> Option<bool> {
        let kept = self.0.iter_mut().find(|kept| kept.node == *node)?;
        let credit = &mut kept.credit;
        Some(if proven { credit.take(now) } else { credit.take_of_upper_half(now) })
    }

    /// Takes one introduction out of a client's bucket.
    pub(super) fn charge_introduction(&mut self, now: Instant, id: &NodeId) -> bool {
        let kept = self.0.iter_mut().find(|kept| kept.node.id == *id);
        kept.is_some_and(|kept| kept.introductions.take(now))
    }

    /// Keeps a flow. A known client at another address stays where it was until it is silent
    /// there: anybody can say its id.
    fn keep(&mut self, now: Instant, node: &Node, now_s: u32) -> Keeping {
        if let Some(kept) = self.0.iter_mut().find(|kept| kept.node.id == node.id) {
            if kept.node.address == node.address {
                kept.heard_s = now_s;
                return Keeping::Kept;
            }
            let asked = kept.elsewhere.replace(node.address).is_some();
            return if asked { Keeping::Waiting } else { Keeping::Rival(kept.node) };
        }
        if self.0.len() >= CLIENTS_MAX {
            return Keeping::Full;
        }
        self.0.push(Kept {
            node: *node,
            heard_s: now_s,
            elsewhere: None,
            credit: Bucket::new(OVERLAY_CLIENT_BURST, OVERLAY_CLIENT_PER_S, now),
            introductions: Bucket::new(INTRODUCTIONS_BURST, INTRODUCTIONS_PER_S, now),
        });
        Keeping::Kept
    }

    /// Leaves a client where it is.
    fn stay(&mut self, node: &Node) -> Option<&mut Kept> {
        let kept = self.0.iter_mut().find(|kept| kept.node == *node)?;
        kept.elsewhere = None;
        Some(kept)
    }

    /// Gives up the flows that were not refreshed.
    pub(super) fn expire(&mut self, now_s: u32) {
        self.0.retain(|kept| now_s.saturating_sub(kept.heard_s) < KEPT_S);
    }
}

impl Overlay {
    /// The members that keep a flow of ours, for those who may want to reach us.
    pub fn rendezvous(&self) -> RendezvousList {
        self.rendezvous.list()
    }

    /// A node with a proven address asks that its flow be kept.
    pub(super) fn keep_flow(&mut self, now: Instant, node: &Node) {
        let now_s = self.seconds(now);
        if self.judge.judged() == Judged::Client {
            return;
        }
        match self.keeper.keep(now, node, now_s) {
            Keeping::Kept | Keeping::Waiting => self.upkeep.wake(now),
            Keeping::Rival(there) => {
                let claim = self.judge.claim();
                let (to, who) = (there.address, Some(there.id));
                if !self.ping(now, to, who, Purpose::Held, &NO_TOKEN, claim) {
                    self.keeper.stay(&there);
                }
            }
            Keeping::Full => self.counters.clients_full += 1,
        }
    }

    /// A client is still where its flow is kept: whoever else says its id is not heard.
    pub(super) fn kept_answered(&mut self, now: Instant, node: &Node) {
        let now_s = self.seconds(now);
        if let Some(kept) = self.keeper.stay(node) {
            kept.heard_s = now_s;
        }
    }

    /// A client is silent where its flow is kept: it is where it asks from now.
    pub(super) fn kept_missed(&mut self, id: NodeId) {
        if let Some(kept) = self.keeper.0.iter_mut().find(|kept| kept.node.id == id) {
            kept.node.address = kept.elsewhere.take().unwrap_or(kept.node.address);
        }
    }

    /// What we are has changed: flows are wanted, or no longer.
    pub(super) fn rendezvous_wanted(&mut self, now: Instant) {
        if !self.judge.needs_rendezvous() {
            self.rendezvous.flows.clear();
        }
        self.rendezvous_tick(now);
    }

    /// Our own address is another: the members keep flows to where we were, until they are asked
    /// from here.
    pub(super) fn flows_moved(&mut self, now: Instant) {
        for flow in &mut self.rendezvous.flows {
            (flow.kept, flow.missed, flow.at) = (false, 0, now);
        }
        if !self.rendezvous.flows.is_empty() {
            self.rendezvous_changed(now);
            self.rendezvous_tick(now);
        }
    }

    /// Refreshes the flows that are due.
    pub(super) fn rendezvous_timeout(&mut self, now: Instant) {
        if self.rendezvous.next.is_some_and(|at| at <= now) {
            self.rendezvous_tick(now);
        }
    }

    /// Chooses members where flows are missing, and refreshes those that there are.
    pub(super) fn rendezvous_tick(&mut self, now: Instant) {
        if self.judge.needs_rendezvous() {
            self.choose_rendezvous(now);
        }
        for at in 0..self.rendezvous.flows.len() {
            let Some(flow) = self.rendezvous.flows.get_mut(at) else { break };
            if flow.at > now {
                continue;
            }
            let pause = u64::from(self.rng.below(KEEP_ALIVE_JITTER_MS));
            flow.at = now + KEEP_ALIVE + Duration::from_millis(pause);
            let (node, token) = (flow.node, flow.token);
            self.ask_to_keep(now, &node, &token);
        }
        self.rendezvous.arm();
    }

    /// Whether members that keep our flows are to be found.
    pub(super) fn lacks_rendezvous(&self) -> bool {
        self.judge.needs_rendezvous() && !self.rendezvous.flows.is_full()
    }

    fn choose_rendezvous(&mut self, now: Instant) {
        let now_s = self.seconds(now);
        while !self.rendezvous.flows.is_full() {
            let Rendezvous { flows, avoided, .. } = &self.rendezvous;
            let chosen = self.members.closest::<CHOICE>(&self.me.0, |member| {
                let taken = flows.iter().any(|flow| flow.node.id == member.id);
                member.missed == 0 && !taken && !avoided.contains(&member.address(), now_s)
            });
            // Not always the closest: two of them may share a fate, and a load.
            let at = self.rng.below(chosen.len().min(4) as u32) as usize;
            let Some(node) = chosen.get(at).copied() else { return };
            let flow = Flow { node, token: NO_TOKEN, kept: false, missed: 0, at: now };
            if self.rendezvous.flows.push(flow).is_err() {
                return;
            }
        }
    }

    fn ask_to_keep(&mut self, now: Instant, node: &Node, token: &Token) {
        let purpose = Purpose::Keep(*token != NO_TOKEN);
        self.ping(now, node.address, Some(node.id), purpose, token, Claim::Keep);
    }

    /// A member says whether it keeps our flow.
    pub(super) fn keep_answered(&mut self, now: Instant, node: &Node, hello: &Hello, proven: bool) {
        let found = self.rendezvous.flows.iter().position(|flow| flow.node.id == node.id);
        let Some((at, flow)) = found.and_then(|at| Some((at, self.rendezvous.flows.get_mut(at)?)))
        else {
            return;
        };
        let new_token = flow.token != hello.token;
        flow.token = hello.token;
        if hello.kept {
            flow.missed = 0;
            if !core::mem::replace(&mut flow.kept, true) {
                self.rendezvous_changed(now);
            }
        } else if new_token {
            self.ask_to_keep(now, node, &hello.token);
        } else if proven {
            // It may be asking at the address that we had before.
            flow.missed += 1;
            flow.at = now + KEEP_AGAIN;
            if flow.missed > MISSED_MAX {
                self.drop_flow(now, at);
            }
            self.rendezvous.arm();
        }
    }

    /// A member that keeps our flow did not answer in time.
    pub(super) fn keep_missed(&mut self, now: Instant, id: NodeId, over: bool) {
        let found = self.rendezvous.flows.iter().position(|flow| flow.node.id == id);
        let Some(at) = found.filter(|_| !over) else { return };
        let Some(flow) = self.rendezvous.flows.get_mut(at) else { return };
        flow.missed += 1;
        if flow.missed >= MISSED_MAX {
            return self.drop_flow(now, at);
        }
        let (node, token) = (flow.node, flow.token);
        self.ask_to_keep(now, &node, &token);
    }

    /// A member is lost: it keeps no flow either.
    pub(super) fn rendezvous_lost(&mut self, now: Instant, id: &NodeId) {
        if let Some(at) = self.rendezvous.flows.iter().position(|flow| flow.node.id == *id) {
            self.drop_flow(now, at);
        }
    }

    fn drop_flow(&mut self, now: Instant, at: usize) {
        let now_s = self.seconds(now);
        let flow = self.rendezvous.flows.swap_remove(at);
        self.rendezvous.avoided.note(&flow.node.address, now_s);
        if flow.kept {
            self.counters.rendezvous_lost += 1;
            self.rendezvous_changed(now);
        }
        self.rendezvous_tick(now);
    }

    fn rendezvous_changed(&mut self, now: Instant) {
        self.addresses_changed(now);
        self.tell(OverlayEvent::Rendezvous(self.rendezvous.list()));
    }
}
