//! What holders have promised to this node, and gets that look whether they keep it.
//!
//! A receipt comes with the answer to a put, and with that to a get: an owner asks one of its
//! holders with each hourly refresh. It is kept as it came: whether the signature holds is for the
//! CoSIP server to find out, which collects receipts and has other members ask the same holders.
//! Their gets are those of any look-up, so who is asked cannot tell.

use super::super::id::{Node, same};
use super::super::publication::{Publication, State};
use super::super::request::Purpose;
use super::super::wire::{GET_BYTES, Hello, NO_TOKEN, Token, Value};
use super::super::wire_out::Encoder;
use super::super::{Overlay, OverlayEvent};
use crate::identity::Statement;
use crate::identity::record::{Key, Record};
use crate::identity::statement::{ANY_OWNER, Stated};
use crate::net::{NodeId, Rejected};
use crate::table::Id;
use crate::time::Instant;

/// Receipts kept, one for each record and holder: the newest ones.
const RECEIPTS_MAX: usize = 24;
/// Gets under way.
const SPOTS_MAX: usize = 8;

/// A get that looks whether a holder keeps a record.
#[derive(Clone, Copy)]
struct Spot {
    key: Key,
    owner: NodeId,
    holder: Node,
    /// Whether somebody else's record came first, and its own was asked for.
    named: bool,
    why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The user of the overlay is to be told.
    Asked,
    /// The record is our own.
    Own,
    /// The same, and there was no answer before.
    OwnAgain,
}

/// All of those.
pub(super) struct Receipts {
    /// Oldest first.
    kept: Vec<Statement>,
    spots: [Option<Spot>; SPOTS_MAX],
}

impl Receipts {
    pub(super) fn new() -> Self {
        Self { kept: Vec::with_capacity(RECEIPTS_MAX), spots: [None; SPOTS_MAX] }
    }

    fn keep(&mut self, receipt: Statement) {
        let new = receipt.said();
        if new.until_s <= new.said_s {
            return;
        }
        let same = |it: &Statement| (it.said().place, it.said().key) == (new.place, new.key);
        let known = self.kept.iter().position(same);
        let full = self.kept.len() >= RECEIPTS_MAX;
        if let Some(at) = known.or_else(|| full.then_some(0)) {
            self.kept.remove(at);
        }
        self.kept.push(receipt);
    }
}

impl Overlay {
    /// What holders have promised of own records, newest first. Nobody has verified that yet.
    pub fn receipts(&self) -> impl Iterator<Item = Statement> + '_ {
        self.watch.receipts.kept.iter().rev().copied()
    }

    /// Asks one holder for a record, as any look-up does; [`OverlayEvent::SpotGot`] follows. False
    /// where there is no room for that.
    pub fn spot_get(&mut self, now: Instant, key: Key, owner: NodeId, holder: Node) -> bool {
        self.spot(now, Spot { key, owner, holder, named: false, why: Why::Asked })
    }

    /// A member that was proven, drawn by chance. Each call proves one more where others are known
    /// by hints alone.
    pub fn random_member(&mut self, now: Instant) -> Option<Node> {
        let place = self.rng.bytes();
        let nearest = self.closest_known::<1>(now, &place, false);
        if let Some(named) = nearest.first().filter(|named| named.node.is_hint()) {
            self.consider(now, &named.node);
        }
        self.members.closest::<1>(&place, |member| member.missed == 0).first().copied()
    }

    /// A put was answered: keeps the receipt, where there is one.
    pub(in crate::overlay) fn hear_receipt(
        &mut self,
        id: Id<Publication>,
        holder: &Node,
        stated: Option<&Stated>,
    ) {
        let publication = self.publications.get(id).filter(|it| it.record.is_some());
        if let (Some(publication), Some(stated)) = (publication, stated) {
            let about = (publication.key, self.me, publication.seq);
            self.watch.receipts.keep(Statement::completed(holder.id, about, stated));
        }
    }

    /// Looks whether one of the holders of an own record still gives it out.
    pub(in crate::overlay) fn spot_own(&mut self, now: Instant, id: Id<Publication>) {
        let Some(publication) = self.publications.get(id) else { return };
        let key = publication.key;
        let holding = publication.holders.iter().filter(|h| h.state == State::Acknowledged);
        let chosen = self.rng.below(holding.clone().count() as u32) as usize;
        let holder = holding.clone().nth(chosen).map(|holder| holder.node);
        if let Some(holder) = holder.filter(|_| self.vouching.is_required()) {
            let owner = self.me;
            self.spot(now, Spot { key, owner, holder, named: false, why: Why::Own });
        }
    }

    fn spot(&mut self, now: Instant, spot: Spot) -> bool {
        let Some(at) = self.watch.receipts.spots.iter().position(Option::is_none) else {
            return false;
        };
        let asked = self.ask_spot(now, at, &spot, &NO_TOKEN);
        self.watch.receipts.spots[at] = Some(spot).filter(|_| asked);
        asked
    }

    fn ask_spot(&mut self, now: Instant, at: usize, spot: &Spot, token: &Token) -> bool {
        let Spot { key, holder, .. } = spot;
        let owner = spot.named.then_some(spot.owner);
        let purpose = Purpose::Spot(at as u8);
        self.ask(now, holder.address, Some(holder.id), purpose, GET_BYTES, |me, request| {
            Encoder::get(me, request, token, key, owner)
        })
    }

    fn take_spot(&mut self, at: u8) -> Option<Spot> {
        self.watch.receipts.spots.get_mut(usize::from(at)).and_then(Option::take)
    }

    /// A holder has answered such a get.
    pub(in crate::overlay) fn spot_answered(
        &mut self,
        now: Instant,
        at: u8,
        node: &Node,
        hello: &Hello,
        value: &Value<'_>,
    ) -> Result<(), Rejected> {
        let Some(spot) = self.take_spot(at) else { return Ok(()) };
        if !same(&spot.holder.id, &node.id) {
            self.spot_over(&spot, None);
            return Ok(());
        }
        let record = value.record.and_then(|data| Record::parse(data).ok());
        let found = record.map(|record| (self.owner_of(&record), record.seq()));
        let besides = value.others.iter().any(|(owner, _)| owner == spot.owner);
        let another = found.is_some_and(|(owner, _)| owner != spot.owner);
        if another && besides && !spot.named {
            let named = Spot { named: true, ..spot };
            if self.ask_spot(now, usize::from(at), &named, &hello.token) {
                self.watch.receipts.spots[usize::from(at)] = Some(named);
                return Ok(());
            }
        }
        let (owner, seq) = match found {
            Some(found) if !(spot.named && another) => found,
            _ if spot.named => (spot.owner, 0),
            _ => (ANY_OWNER, 0),
        };
        let complete = |it| Statement::completed(node.id, (spot.key, owner, seq), it);
        let statement = value.stated.as_ref().map(complete);
        if spot.why != Why::Asked && !another {
            self.own_spot_answered(now, &spot.key, node, hello, value.record);
        }
        self.spot_over(&spot, statement);
        Ok(())
    }

    /// One of our holders gives out our record, or denies it.
    fn own_spot_answered(
        &mut self,
        now: Instant,
        key: &Key,
        node: &Node,
        hello: &Hello,
        given: Option<&[u8]>,
    ) {
        let Some((_, publication)) = self.publications.iter_mut().find(|(_, p)| p.key == *key)
        else {
            return;
        };
        let own = publication.record.as_ref().map(Record::as_bytes);
        let kept = own.is_none() || own == given;
        let holder = publication.holder(&node.id);
        let denied = holder.is_some_and(|holder| {
            holder.state == State::Acknowledged && holder.start == hello.start
        });
        if denied && !kept {
            self.pass_over(now, &node.id);
        }
    }

    /// There was no answer.
    pub(in crate::overlay) fn spot_missed(&mut self, now: Instant, at: u8) {
        let Some(spot) = self.take_spot(at) else { return };
        if spot.why == Why::Own {
            // One datagram may be lost.
            self.spot(now, Spot { why: Why::OwnAgain, named: false, ..spot });
        }
        self.spot_over(&spot, None);
    }

    fn spot_over(&mut self, spot: &Spot, statement: Option<Statement>) {
        if spot.why == Why::Asked {
            let (key, holder) = (spot.key, spot.holder.id);
            self.tell(OverlayEvent::SpotGot { key, holder, statement });
        } else if let Some(receipt) = statement {
            let said = receipt.said();
            if said.owner == self.me && said.seq > 0 {
                self.watch.receipts.keep(receipt);
            }
        }
    }
}
