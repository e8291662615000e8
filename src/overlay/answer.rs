//! Answering others: pings, finds, gets, puts and touches.
//!
//! Nothing larger than the request goes to an address that is not proven, and nothing is kept
//! for it but a place in the queue of addresses to probe.

use super::id::same_line;
use super::judge::Judged;
use super::lookup::OWNERS_MAX;
use super::store::Held;
use super::wire::{Body, Frame, GET_BYTES, OTHERS_MAX, Status, Token, Touch};
use super::wire_out::{Content, Encoder};
use super::work::{Job, Reason, Subject};
use super::{Node, Overlay, guard, reject};
use crate::identity::record::{AddressRecord, KeptAddresses, Key, Record};
use crate::identity::statement::Stated;
use crate::limits::OVERLAY_DATAGRAM_BYTES_MAX;
use crate::net::{NodeId, Rejected};
use crate::order::order;
use crate::time::Instant;
use std::net::SocketAddr;

/// Members named in an answer, as far as its size allows.
const NODES_MAX: usize = 72;
/// Members named beside a record.
const NODES_BESIDE_MAX: usize = 16;

/// Who asked, and how much it may be sent.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) node: Node,
    pub(super) request: u64,
    pub(super) proven: bool,
    pub(super) len: usize,
}

impl Asker {
    pub(super) fn limit(&self) -> usize {
        if self.proven { OVERLAY_DATAGRAM_BYTES_MAX } else { self.len }
    }
}

impl Overlay {
    /// Answers a request of `len` bytes that carried `token`.
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        from: SocketAddr,
        frame: &Frame<'_>,
        token: Token,
        len: usize,
    ) -> Result<(), Rejected> {
        let node = Node { id: frame.sender, address: from };
        let proven = self.guard.proves(&token, &from);
        self.charge(now, &node, proven)?;
        let said = match frame.body {
            Body::Ping(_, start, claim) => Some((start, claim)),
            _ => None,
        };
        self.heard_asking(now, &node, proven, said);
        let asker = Asker { node, request: frame.request, proven, len };
        let hello = self.hello(now, &node);
        match frame.body {
            Body::Ping(..) => {
                let pong = Encoder::pong(self.me, frame.request, &hello);
                self.reply(from, asker.limit(), 0, pong);
            }
            Body::Find(_, target) => {
                let mut nodes = heapless::Vec::<_, NODES_MAX>::new();
                let who = (&from, len >= GET_BYTES);
                self.name_into(now, who, &target, nodes.as_mut_view());
                let limit = asker.limit();
                let answer = Encoder::nodes(self.me, frame.request, &hello, &nodes, limit);
                self.reply(from, limit, 0, answer);
            }
            Body::Get(_, key, owner) => self.answer_get(now, &asker, key, owner),
            Body::Put(_, record, addresses) => {
                return self.answer_put(now, &asker, record, addresses);
            }
            Body::Touch(_, touch) => return self.answer_touch(now, &asker, &touch),
            Body::Dial(_, node) => self.answer_dial(now, &asker, &node),
            Body::Introduce(_, wanted) => self.answer_introduce(now, &asker, &wanted),
            Body::Hints(_, level, hints) => return self.answer_hints(now, &asker, level, hints),
            Body::Who(_) => self.answer_who(now, &asker),
            Body::List(_, number, from) => self.answer_list(now, &asker, number, from),
            Body::Relay(_, to, data) => return self.relay(now, &node, proven, &to, data),
            _ => {}
        }
        Ok(())
    }

    /// Charges who asked: a member and a client by their own buckets, all others together. Without
    /// proof of its address anybody may be meant by a name: it takes no more than half of that
    /// bucket, and then what strangers share.
    fn charge(&mut self, now: Instant, node: &Node, proven: bool) -> Result<(), Rejected> {
        let now_s = self.seconds(now);
        let known = self.members.get_mut(&node.id).filter(|m| m.address() == node.address);
        let own = match known {
            Some(member) => Some(guard::charge_member(member, now_s, proven)),
            None => self.keeper.charge(now, node, proven),
        };
        let shares = own.is_none() || !proven;
        if own == Some(true) || shares && self.guard.charge_stranger(now) {
            return Ok(());
        }
        let of_its_own = own.is_some();
        let counters = &mut self.counters;
        let counter = if of_its_own {
            &mut counters.peer_over_rate
        } else {
            &mut counters.strangers_over_rate
        };
        Err(reject(counter, Rejected::Full))
    }

    /// What is given out under a key, whose record is `owner`'s first.
    fn chosen<'a>(
        &'a self,
        now: Instant,
        key: &'a Key,
        owner: Option<NodeId>,
    ) -> heapless::Vec<Held<'a>, OWNERS_MAX> {
        let mut set: heapless::Vec<Held<'_>, OWNERS_MAX> =
            self.store.set(key).filter(|held| self.gives(now, held)).take(OWNERS_MAX).collect();
        order(&mut set, |held| {
            let named = owner == Some(held.owner);
            (!named, held.record.is_withdrawal(), held.owner)
        });
        set
    }

    /// Whether a record that is held counts.
    pub(super) fn gives(&self, now: Instant, held: &Held<'_>) -> bool {
        self.vouching.counts(now, &held.record)
    }

    /// Of what is given out, the record itself: its owner and its number.
    pub(super) fn given(
        &self,
        now: Instant,
        key: &Key,
        owner: Option<NodeId>,
    ) -> Option<(NodeId, u64)> {
        self.chosen(now, key, owner).first().map(|held| (held.owner, held.record.seq()))
    }

    /// Answers a get.
    pub(super) fn give(
        &mut self,
        now: Instant,
        asker: &Asker,
        key: Key,
        owner: Option<NodeId>,
        stated: Option<&Stated>,
    ) {
        let mut nodes = heapless::Vec::<_, NODES_BESIDE_MAX>::new();
        if self.vouching.is_required() && self.is_ours(&asker.node.address) {
            // Of others we know no more than that liars may have told of them.
            self.members.closest_into(&key.0, &|m| m.missed == 0, nodes.as_mut_view());
        } else {
            self.name_into(now, (&asker.node.address, false), &key.0, nodes.as_mut_view());
        }
        let set = self.chosen(now, &key, owner);
        let shown = self.shown().filter(|_| set.is_empty());
        let content = match (set.first(), &shown) {
            (Some(held), _) => {
                let addresses = held.addresses.as_ref().map(KeptAddresses::as_bytes);
                Content::Record(held.record.as_bytes(), addresses)
            }
            (None, Some((certificate, addresses))) => {
                Content::Denial(certificate.as_bytes(), addresses.as_bytes())
            }
            (None, None) => Content::Nothing,
        };
        let others: heapless::Vec<(NodeId, u64), OTHERS_MAX> = set
            .iter()
            .skip(1)
            .take(OTHERS_MAX)
            .map(|held| (held.owner, held.record.seq()))
            .collect();
        let hello = self.hello(now, &asker.node);
        let limit = asker.limit().min(GET_BYTES);
        let (me, request) = (self.me, asker.request);
        let room = limit - stated.map_or(0, |stated| stated.len());
        let answer = Encoder::value(me, request, &hello, &content, &others, &nodes, room);
        let answer = answer.with(stated);
        drop(set);
        self.counters.lookup_bytes += limit.min(asker.len) as u64;
        self.reply(asker.node.address, limit, asker.len, answer);
    }

    fn answer_put(
        &mut self,
        now: Instant,
        asker: &Asker,
        record: &[u8],
        addresses: Option<&[u8]>,
    ) -> Result<(), Rejected> {
        if !asker.proven {
            self.counters.token_missing += 1;
            self.answer_stored(now, asker, Status::NoToken, None);
            return Ok(());
        }
        if self.judge.judged() == Judged::Client {
            // Nobody else would find it here.
            self.answer_stored(now, asker, Status::Full, None);
            return Ok(());
        }
        let record = Record::parse(record).map_err(|_| self.malformed())?;
        let addresses = self.own_addresses_of(&asker.node.id, addresses);
        let may_put = self.may_put(now, &asker.node.id, &record, addresses.as_ref());
        let addresses = match may_put.and(addresses) {
            Ok(addresses) => addresses,
            Err(why) => {
                // Silence would look as if nobody were here.
                self.answer_stored(now, asker, Status::Refused, None);
                return Err(why);
            }
        };
        if !self.is_at_home(asker, addresses.as_ref()) {
            self.counters.elsewhere += 1;
            self.answer_stored(now, asker, Status::Full, None);
            return Ok(());
        }
        if self.vouching.is_required() {
            self.store.drop_under(&record.key(), |held| self.vouching.counts(now, held));
        }
        let held = self.store.get(record.key(), &asker.node.id).map(|held| held.record);
        if let Some(newer) = held.filter(|held| held.seq() > record.seq()) {
            let newer = newer.copied();
            self.counters.stale_record += 1;
            self.answer_stored(now, asker, Status::Newer, Some(&newer));
            return Ok(());
        }
        let subject = Subject::Record(record);
        self.submit(now, Job { reason: reason(asker, None), subject, addresses })
    }

    /// Whether somebody may put a record here: one of its own, for which somebody vouches where
    /// that is asked for, with addresses that the same key has signed. One key has a place, and
    /// what is held from there is of the same.
    fn may_put(
        &mut self,
        now: Instant,
        sender: &NodeId,
        record: &Record,
        addresses: Result<&Option<AddressRecord>, &Rejected>,
    ) -> Result<(), Rejected> {
        self.vouched_for(now, record.certificate().as_ref())?;
        let certified = self.vouching.is_required();
        let known = if certified { self.key_of(now, sender) } else { None };
        let keys = [known, addresses.ok().and_then(|it| it.as_ref()).map(AddressRecord::owner)];
        let same = keys.into_iter().flatten().all(|key| key == record.owner());
        if !same || record.owner_id(certified) != *sender {
            return Err(reject(&mut self.counters.foreign_record, Rejected::Unauthorized));
        }
        Ok(())
    }

    /// Whether who puts or touches is where the newest list of its addresses says, as far as we
    /// know: whoever has got what another has signed could repeat it, and bring back what was
    /// withdrawn. Nobody knows from where those are heard who need rendezvous peers. `told` is a
    /// list that comes along.
    fn is_at_home(&self, asker: &Asker, told: Option<&AddressRecord>) -> bool {
        if self.address_of(asker.node.id) == Some(asker.node.address) {
            return true;
        }
        let held = self.store.addresses_of(&asker.node.id);
        let held = held.filter(|held| told.is_none_or(|told| held.seq() > told.seq()));
        let told = told.map(|told| (told.addresses(), told.rendezvous()));
        let newest = held.map(|held| (held.addresses(), held.rendezvous())).or(told);
        let Some((own, met)) = newest else { return !self.vouching.is_required() };
        let at_home = own.iter().any(|own| same_line(own, &asker.node.address));
        at_home || own.is_empty() || !met.is_empty()
    }

    fn answer_touch(
        &mut self,
        now: Instant,
        asker: &Asker,
        touch: &Touch<'_>,
    ) -> Result<(), Rejected> {
        if !asker.proven {
            self.counters.token_missing += 1;
            self.answer_stored(now, asker, Status::NoToken, None);
            return Ok(());
        }
        let id = asker.node.id;
        let touched = (touch.record.0, touch.record.1, touch.address_seq);
        let concerns_us = self.members.get(&id).is_some() || self.store.addresses_of(&id).is_some();
        if let (Some(_), true) = (touch.addresses, concerns_us) {
            // Who is not believed where it is gets its answer all the same.
            if let Ok(Some(list)) = self.own_addresses_of(&id, touch.addresses)
                && let Ok(subject) = self.proof_of_place(now, &id, &list, touch.certificate)
            {
                let (reason, addresses) = (reason(asker, Some(touched)), Some(list));
                return self.submit(now, Job { reason, subject, addresses });
            }
        }
        self.finish_touch(now, asker, touched);
        Ok(())
    }

    fn finish_touch(&mut self, now: Instant, asker: &Asker, touched: (Key, u64, u64)) {
        let (key, seq, address_seq) = touched;
        let id = asker.node.id;
        if seq == 0 {
            return self.answer_stored(now, asker, Status::Stored, None);
        }
        let status = match self.store.get(key, &id) {
            Some(_) if !self.is_at_home(asker, None) => Status::AddressUnknown,
            Some(held) if !self.vouching.counts(now, &held.record) => Status::Unknown,
            _ => self.store.touch(now, key, &id, seq, address_seq),
        };
        let held = self.store.get(key, &id).filter(|_| status == Status::Newer);
        let newer = held.map(|held| held.record.copied());
        self.answer_stored(now, asker, status, newer.as_ref());
    }

    pub(super) fn answer_stored(
        &mut self,
        now: Instant,
        asker: &Asker,
        status: Status,
        newer: Option<&Record>,
    ) {
        self.reply_stored(now, asker, (status, newer), None);
    }

    /// The same, with a receipt.
    pub(super) fn reply_stored(
        &mut self,
        now: Instant,
        asker: &Asker,
        (status, newer): (Status, Option<&Record>),
        receipt: Option<&Stated>,
    ) {
        let hello = self.hello(now, &asker.node);
        let newer = newer.map(Record::as_bytes);
        let answer = Encoder::stored(self.me, asker.request, &hello, status, newer);
        self.reply(asker.node.address, asker.limit(), 0, answer.with(receipt));
    }

    fn own_addresses_of(
        &mut self,
        sender: &NodeId,
        addresses: Option<&[u8]>,
    ) -> Result<Option<AddressRecord>, Rejected> {
        let Some(data) = addresses else { return Ok(None) };
        let addresses = AddressRecord::parse(data).map_err(|_| self.malformed())?;
        if addresses.owner_id(self.vouching.is_required()) != *sender {
            return Err(reject(&mut self.counters.foreign_record, Rejected::Unauthorized));
        }
        Ok(Some(addresses))
    }

    pub(super) fn malformed(&mut self) -> Rejected {
        reject(&mut self.counters.malformed, Rejected::Malformed)
    }

    /// What a member put or touched is verified: it is kept, and the member is told.
    pub(super) fn store_verified(
        &mut self,
        now: Instant,
        asker: &Asker,
        job: &Job,
        touched: Option<(Key, u64, u64)>,
    ) {
        if let Some(addresses) = &job.addresses {
            // An older list may be repeated by whoever has got one of its addresses since.
            let known = self.store.addresses_of(&asker.node.id).map_or(0, |list| list.seq());
            self.store.set_addresses(&asker.node.id, addresses);
            // Whoever needs rendezvous peers there has to be dialled back first.
            let open = addresses.rendezvous().is_empty() && addresses.seq() >= known;
            if open && addresses.addresses().contains(&asker.node.address) {
                self.moved_surely(now, &asker.node);
            }
        }
        if let Some(touched) = touched {
            return self.finish_touch(now, asker, touched);
        }
        let Some(record) = job.record() else { return };
        let status = self.store.put(now, record, job.addresses.as_ref(), false);
        match status {
            Status::Stored => return self.answer_kept(now, asker, record.key(), record.seq()),
            Status::Full => self.counters.store_full += 1,
            _ => {}
        }
        self.answer_stored(now, asker, status, None);
    }
}

fn reason(asker: &Asker, touched: Option<(Key, u64, u64)>) -> Reason {
    Reason::Store {
        from: asker.node.address,
        sender: asker.node.id,
        request: asker.request,
        len: asker.len as u16,
        touched,
    }
}
