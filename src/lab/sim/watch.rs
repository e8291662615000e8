//! The CoSIP server's watch over virtual time: it collects receipts from owners, has other members
//! ask the same holders as any look-up does, and revokes who has signed both that it keeps a record
//! and that it does not.
//!
//! What passes between it and the routers through the channel arrives at once here, and what it
//! revokes is known everywhere at once. What is compared is what a real one compares.

use super::address::POOL;
use super::dice::Dice;
use super::liar::Lie;
use super::network::Network;
use super::shard::Shard;
use crate::identity::Statement;
use crate::net::NodeId;
use crate::overlay::Node;
use std::collections::BTreeMap;

/// A pair of an owner and another member so often.
pub(super) const PACE_US: u64 = 3_000_000;
/// Receipts that an owner shows at a time.
const RECEIPTS: usize = 8;
/// An answer to a get is there or will not come.
const ANSWERED_US: u64 = 2 * PACE_US;

/// What a watch has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Pairs of an owner and another member that were looked at.
    pub pairs: u64,
    /// Gets, those that were answered by a statement, and those of which nothing came.
    pub gets: u64,
    /// See [`Self::gets`].
    pub statements: u64,
    /// Members that promise and then deny, and those of them whose certificates were revoked.
    pub deniers: u64,
    /// See [`Self::deniers`].
    pub revoked: u64,
    /// Members that are silent to what is asked of a holder, and those that no honest owner counts
    /// as a holder.
    pub droppers: u64,
    /// See [`Self::droppers`].
    pub unused: u64,
    /// Honest members that lost power meanwhile.
    pub power_cuts: u64,
    /// Honest members that were revoked.
    pub falsely: u64,
    /// Honest members that honest owners pass over, once for each owner.
    pub passed_over: u64,
}

/// A get whose answer is awaited.
struct Asked {
    at: u64,
    receipt: Statement,
    member: u32,
}

/// The watch.
pub(super) struct Watch {
    dice: Dice,
    numbers: BTreeMap<NodeId, u32>,
    asked: Vec<Asked>,
    seen: Watched,
}

impl Watch {
    pub(super) fn new(network: &Network) -> Self {
        let place = |number| (network.router(number).id(), number);
        let numbers = (0..network.routers).map(place).collect();
        let dice = Dice::new(network.world.common.seed, "watch", 0);
        Self { dice, numbers, asked: Vec::new(), seen: Watched::default() }
    }

    /// Takes in what came, and looks at the next pair.
    pub(super) fn step(&mut self, network: &mut Network) {
        for number in 0..network.routers {
            for denial in core::mem::take(&mut network.router_mut(number).spotted) {
                self.seen.statements += 1;
                self.compare(network, number, &denial);
            }
        }
        let now = network.now;
        self.asked.retain(|asked| now - asked.at < ANSWERED_US);
        let draw = |dice: &mut Dice| dice.below(u64::from(network.routers)) as u32;
        let (owner, member) = (draw(&mut self.dice), draw(&mut self.dice));
        let overlay = network.router(owner).overlay.as_ref().filter(|_| owner != member);
        let Some(overlay) = overlay else { return };
        let receipts: Vec<Statement> = overlay.receipts().take(RECEIPTS).collect();
        self.seen.pairs += 1;
        for receipt in receipts {
            let said = receipt.said();
            let Some(holder) = self.numbers.get(&said.place).copied() else { continue };
            let Some(address) = network.router(holder).home.addresses().next() else { continue };
            let node = Node { id: said.place, address };
            let asks = holder != member && !network.router(holder).revoked;
            if asks && network.spot_get(member, &receipt, node) {
                self.seen.gets += 1;
                self.asked.push(Asked { at: now, receipt, member });
            }
        }
    }

    /// Somebody brings what a holder has said: where that contradicts a receipt, it is revoked.
    fn compare(&mut self, network: &mut Network, member: u32, denial: &Statement) {
        let promised = |asked: &&Asked| asked.member == member && asked.receipt.contradicts(denial);
        let Some(asked) = self.asked.iter().find(promised) else { return };
        let said = denial.said();
        let Some(number) = self.numbers.get(&said.place).copied() else { return };
        let certified = network.router(number).key() == said.holder;
        let keys = network.world.common.keys.network();
        if certified && asked.receipt.verify(keys) && denial.verify(keys) {
            network.revoke(number);
        }
    }

    /// What came of it. Liars have still to be known as such.
    pub(super) fn figures(mut self, network: &Network) -> Watched {
        let routers = || (0..network.routers).map(|number| network.router(number));
        let mut used = BTreeMap::<NodeId, u64>::new();
        for router in routers().filter(|router| router.liar.is_none()) {
            let Some(overlay) = &router.overlay else { continue };
            overlay.holders().for_each(|holder| *used.entry(holder.id).or_default() += 1);
            let honest = |id: &NodeId| {
                let number = self.numbers.get(id);
                number.is_some_and(|number| network.router(*number).liar.is_none())
            };
            self.seen.passed_over += overlay.passed_over().filter(honest).count() as u64;
        }
        for router in routers() {
            let seen = &mut self.seen;
            match router.liar.as_ref().map(|liar| liar.lie()) {
                Some(Lie::Perjure) => {
                    seen.deniers += 1;
                    seen.revoked += u64::from(router.revoked);
                }
                Some(_) => {
                    seen.droppers += 1;
                    seen.unused += u64::from(!used.contains_key(&router.id()));
                }
                None => {
                    seen.power_cuts += u64::from(router.cut);
                    seen.falsely += u64::from(router.revoked);
                }
            }
        }
        self.seen
    }
}

impl Network {
    /// Has a router ask a holder for what it has promised to keep.
    fn spot_get(&mut self, member: u32, receipt: &Statement, holder: Node) -> bool {
        let (world, now) = (&self.world, self.now);
        let shard: &mut Shard = &mut self.shards[(member / POOL % world.shards) as usize];
        let index = shard.index(world, member);
        let router = &mut shard.routers[index];
        let (time, said) = (router.time(now), receipt.said());
        let Some(overlay) = &mut router.overlay else { return false };
        let asked = overlay.spot_get(time, said.key, said.owner, holder);
        shard.settle(world, now, index);
        asked
    }

    /// Revokes a router's certificate, and tells everybody.
    fn revoke(&mut self, number: u32) {
        if core::mem::replace(&mut self.router_mut(number).revoked, true) {
            return;
        }
        let now = self.now;
        let Some(provider) = &mut self.world.common.provider else { return };
        provider.revoke(number, now);
        for router in self.shards.iter_mut().flat_map(|shard| &mut shard.routers) {
            let time = router.time(now);
            if let Some(overlay) = &mut router.overlay {
                overlay.set_trust(time, provider.trust());
            }
        }
    }
}
