//! A network with a trust anchor: who is kept and read in it, and who is not.

mod lasting;
mod lists;
mod places;
mod repeated;
mod watch;

use super::super::id::Node;
use super::super::wire_out::{Content, Encoder};
use super::super::*;
use super::net::{Net, address, aor, contact, identity};
use crate::identity::authority::{Authority, Subject};
use crate::identity::chain::Validity;
use crate::identity::record::{Contact, Key, Record};
use crate::identity::revocation::{Revocations, Revoked};
use crate::identity::trust::{Clock, Trust};
use crate::identity::{Certificate, PublicKey};

const DAY_S: u32 = 86_400;
/// When a test begins, in seconds of Unix time.
const BEGIN_S: u32 = 20_000 * DAY_S;
const PLACES: [u8; 32] = [5; 32];
/// The AOR that every router here is certified for, beside its own.
pub(super) const SHARED: usize = 900;

/// A provider's issuing keys, and what routers are told of them.
pub(in crate::overlay::tests) struct Provider {
    /// Its anchors' seeds, and which of them issues.
    anchors: Vec<u8>,
    issuing: u8,
    validity: Validity,
}

impl Provider {
    pub(super) fn new(seed: u8) -> Self {
        let validity = Validity { from_s: BEGIN_S - DAY_S, until_s: BEGIN_S + 13 * DAY_S };
        Self { anchors: vec![seed], issuing: seed, validity }
    }

    fn anchor(seed: u8) -> Identity {
        Identity::from_seed([seed; 32]).unwrap()
    }

    /// An issuing key of the anchor with this seed.
    fn authority(seed: u8, network: &[u8; 16]) -> Authority {
        let issuing = Identity::from_seed([seed + 100; 32]).unwrap();
        let validity = Validity { from_s: BEGIN_S - 30 * DAY_S, until_s: BEGIN_S + 60 * DAY_S };
        let delegation =
            Authority::anchor(Self::anchor(seed), network).delegate(1, &issuing.public(), validity);
        Authority::issuing(issuing, network, delegation)
    }

    pub(super) fn place(n: usize) -> NodeId {
        Authority::place(&PLACES, &identity(n).public())
    }

    fn certify(&self, n: usize, keys: &[Key], network: &[u8; 16]) -> Certificate {
        let (key, place) = (identity(n).public(), Self::place(n));
        let (validity, serial) = (self.validity, n as u64 + 1000);
        let subject = Subject { serial, key, place, validity, keys };
        Self::authority(self.issuing, network).certify(&subject)
    }

    /// What it has issued to a router: for an AOR of its own and the one that all have.
    pub(super) fn certificate(&self, n: usize, keys: &NetworkKeys) -> Certificate {
        let aors = [key(keys, n), key(keys, SHARED)];
        self.certify(n, &aors, keys.network())
    }

    pub(in crate::overlay::tests) fn identity(&self, n: usize, keys: &NetworkKeys) -> Identity {
        identity(n).certified(&[self.certificate(n, keys)])
    }

    fn trust(&self) -> Trust {
        let anchors: Vec<PublicKey> =
            self.anchors.iter().map(|seed| Self::anchor(*seed).public()).collect();
        Trust { anchors: anchors.into_iter().collect(), revocations: Revocations::default() }
    }

    /// The same, with one certificate revoked.
    fn revoking(&self, n: usize, keys: &NetworkKeys) -> Trust {
        let ends_day = (self.validity.until_s / DAY_S) as u16;
        let entries = [Revoked { serial: n as u64 + 1000, ends_day, number: 1 }];
        let head = Self::authority(self.issuing, keys.network()).revoke(1, BEGIN_S, &entries);
        let revocations = Revocations::default().updated(&head, &entries, 100).unwrap();
        Trust { revocations, ..self.trust() }
    }

    pub(in crate::overlay::tests) fn instruct(&self, node: &mut Overlay, now: Instant) {
        node.set_trust(now, &self.trust());
        node.set_clock(now, clock(now, 0));
    }
}

/// What the time is after so many more days.
fn clock(now: Instant, days: u32) -> Clock {
    let unix_s = u64::from(BEGIN_S + days * DAY_S) + now.millis() / 1000;
    Clock { unix_s: Some(unix_s), floor_s: 0 }
}

fn aor_key(keys: &NetworkKeys, n: usize) -> [u8; 32] {
    keys.aor_key(&aor(n))
}

fn key(keys: &NetworkKeys, n: usize) -> Key {
    Key::of(&aor_key(keys, n))
}

/// A network of certified routers.
pub(super) fn certified(seed: u8, n: usize) -> Net {
    let mut net = Net::new(seed, 20);
    net.provider = Some(Provider::new(1));
    net.join(n)
}

fn sum(net: &Net, of: impl Fn(&Counters) -> u64) -> u64 {
    net.peers.iter().map(|peer| of(peer.node.counters())).sum()
}

fn refused(net: &Net) -> [u64; 5] {
    let of =
        |c: &Counters| [c.uncertified, c.expired, c.revoked, c.bad_signature, c.foreign_record];
    core::array::from_fn(|at| sum(net, |counters| of(counters)[at]))
}

/// Has somebody put a record at a member, with a good proof of its address.
fn put(net: &mut Net, at: usize, from: usize, record: &Record) -> Result<(), Rejected> {
    let keys = net.keys.clone();
    let sender = net.peers[from].node.id();
    let token = net.peers[at].node.guard.token(&address(from));
    let mut put = Encoder::put_record(sender, 7, &token, record.as_bytes(), None);
    let (now, put) = (net.now, put.finish(&keys, 0).to_vec());
    let taken = net.with(at, |node| node.handle_datagram(now, address(from), &put));
    net.run_ms(100);
    taken
}

fn held(net: &Net, at: usize, of: usize) -> usize {
    let key = key(&net.keys, of);
    net.peers[at].node.store.set(&key).count()
}

#[test]
fn certified_routers_find_each_other_at_their_places_and_verify_what_they_share_once() {
    let mut net = certified(80, 16);
    for i in 0..16 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(4000);
    for i in 0..16 {
        assert!(net.peers[i].node.is_published(&aor(i)).unwrap() >= 12, "node {i}");
        let (found, _) = net.resolve((i + 5) % 16, &aor(i));
        assert_eq!((found[0].owner, &found[0].contact), (Provider::place(i), &contact(i)));
        assert_eq!(found[0].addresses[..], [address(i)]);
    }
    assert_eq!(refused(&net), [0; 5]);
    for peer in &net.peers {
        // Of each other: certificate, record and addresses; and the delegation, once.
        let verified = peer.node.counters().verified;
        assert!(verified <= 15 * 3 + 1, "{verified}");
    }
}

#[test]
fn who_has_no_certificate_is_neither_kept_nor_read() {
    let mut net = certified(81, 14);
    net.publish(3, &aor(SHARED), &contact(3));
    net.run_ms(2000);
    net.provider = None;
    // A router of before: it knows of no anchor.
    let old = net.add(40, &[address(0)]);
    net.run_ms(5000);
    net.publish(old, &aor(SHARED), &contact(40));
    net.publish(old, &aor(40), &contact(40));
    net.run_ms(5000);
    assert_eq!(net.peers[old].node.is_published(&aor(40)), Some(0));
    let [uncertified, others @ ..] = refused(&net);
    assert!(uncertified >= 24, "{uncertified}");
    assert_eq!(others[..3], [0; 3]);
    assert!(net.peers[old].node.counters().puts_refused >= 24);
    let (found, _) = net.resolve(7, &aor(SHARED));
    let users: Vec<_> = found.iter().map(|found| found.contact.clone()).collect();
    assert_eq!(users, [contact(3)]);
    assert_eq!(net.resolve(7, &aor(40)).0, []);
    // Who holds it in spite of that gives it out in vain.
    let before = net.peers[7].node.counters().uncertified;
    let keys = net.keys.clone();
    let aor_key = aor_key(&keys, 40);
    let record = Record::sign(&identity(40), keys.network(), &aor_key, 1, Some(&contact(40)));
    answer(&mut net, 7, 40, record.as_bytes());
    assert!(net.peers[7].node.counters().uncertified > before);
    assert!(net.peers[7].found.iter().all(|(_, found)| found.contact != contact(40)));
}

/// Has the first member that is asked for an AOR answer with a record.
fn answer(net: &mut Net, reader: usize, of: usize, record: &[u8]) {
    let keys = net.keys.clone();
    net.record = true;
    net.peers[reader].keep.clear();
    net.lookup(reader, &aor(of));
    net.record = false;
    let kept = core::mem::take(&mut net.peers[reader].keep);
    let asked = kept.iter().find_map(|(to, data)| {
        let frame = Frame::parse(data, &keys).ok()?;
        matches!(frame.body, Body::Get(..)).then_some((*to, frame.request))
    });
    let (to, request) = asked.unwrap();
    let holder = net.peers.iter().position(|peer| peer.address == to).unwrap();
    let (now, me) = (net.now, net.peers[holder].node.id());
    let hello = net.peers[holder].node.hello(now, &Node { id: me, address: address(reader) });
    let mut value =
        Encoder::value(me, request, &hello, &Content::Record(record, None), &[], &[], 1100);
    let value = value.finish(&keys, 1100).to_vec();
    let _ = net.with(reader, |node| node.handle_datagram(now, to, &value));
    net.run_ms(1600);
}

#[test]
fn an_aor_that_its_certificate_does_not_list_is_published_by_nobody() {
    let mut net = certified(82, 14);
    net.publish(5, &aor(6), &contact(5));
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(5000);
    assert_eq!(net.peers[5].node.is_published(&aor(6)), Some(0), "it does not even try");
    assert!(net.peers[5].node.is_published(&aor(5)).unwrap() >= 12);
    assert_eq!(refused(&net), [0; 5]);
    assert_eq!(net.resolve(9, &aor(6)).0, []);
    // At home it rings all the same.
    let (found, _) = net.resolve(5, &aor(6));
    assert_eq!((found[0].owner, &found[0].contact), (Provider::place(5), &contact(5)));
    let keys = net.keys.clone();
    let own = net.provider.as_ref().unwrap().identity(5, &keys);
    let foreign = Record::sign(&own, keys.network(), &aor_key(&keys, 6), 9, Some(&contact(5)));
    assert_eq!(put(&mut net, 2, 5, &foreign), Err(Rejected::Unauthorized));
    assert_eq!((refused(&net), held(&net, 2, 6)), ([1, 0, 0, 0, 0], 0));
    answer(&mut net, 9, 6, foreign.as_bytes());
    assert_eq!(refused(&net), [2, 0, 0, 0, 0]);
    assert!(net.peers[9].found.is_empty());
}

#[test]
fn another_key_under_a_certificate_and_one_of_another_network_are_refused() {
    let mut net = certified(83, 14);
    let keys = net.keys.clone();
    let provider = net.provider.as_ref().unwrap();
    let contact = contact(5);
    let sign = |identity: &Identity, network: &[u8; 16]| {
        Record::sign(identity, network, &aor_key(&keys, 5), 9, Some(&contact))
    };
    let victim = provider.certificate(5, &keys);
    let thief = identity(6).claiming(&identity(5), true).certified(&[victim]);
    let stolen = sign(&thief, keys.network());
    // The same anchor and the same key, issued for another network.
    let elsewhere = NetworkKeys::new(&[9; 32], "elsewhere");
    let pasted = provider.certify(5, &[key(&keys, 5)], elsewhere.network());
    let pasted = sign(&identity(5).certified(&[pasted]), keys.network());
    let whole = sign(&provider.identity(5, &keys), elsewhere.network());
    // Whom no anchor has delegated anything to.
    let forger = Provider { issuing: 2, ..Provider::new(2) };
    let forged = sign(&forger.identity(5, &keys), keys.network());
    for (n, (record, is_stranger)) in
        [(&stolen, false), (&pasted, false), (&whole, false), (&forged, true)]
            .into_iter()
            .enumerate()
    {
        let before = refused(&net);
        let taken = put(&mut net, 2, 5, record);
        assert_eq!(taken.is_err(), is_stranger, "{n}");
        answer(&mut net, 9, 5, record.as_bytes());
        let after = refused(&net);
        let kind = if is_stranger { 0 } else { 3 };
        for at in 0..5 {
            assert_eq!(after[at] - before[at], if at == kind { 2 } else { 0 }, "{n} {at}");
        }
        assert_eq!(held(&net, 2, 5), 0, "{n}");
        assert!(net.peers[9].found.is_empty(), "{n}");
    }
    let good = sign(&net.provider.as_ref().unwrap().identity(5, &keys), keys.network());
    assert_eq!(put(&mut net, 2, 5, &good), Ok(()));
    assert_eq!(held(&net, 2, 5), 1);
}

#[test]
fn the_longest_record_with_its_addresses_leaves_others_out_that_do_not_fit() {
    use crate::identity::record::{ADDRESS_RECORD_BYTES_MAX, RECORD_BYTES_MAX};
    use crate::identity::statement::STATED_BYTES;
    let keys = NetworkKeys::new(&[1; 32], "test");
    let observed = "[2001:db8::1]:5070".parse().unwrap();
    let hello = wire::Hello {
        token: [1; 8],
        young: false,
        standing: wire::Standing::Listed,
        kept: false,
        six: true,
        start: 0,
        list: 7,
        observed,
    };
    let others: Vec<(NodeId, u64)> = (0..7).map(|n| (NodeId([n; 16]), 5)).collect();
    let node = Node { id: NodeId([9; 16]), address: observed };
    let named = [id::Named { node, age_h: 0 }; 16];
    for (record, list, fit) in [(RECORD_BYTES_MAX, ADDRESS_RECORD_BYTES_MAX, 0), (480, 190, 7)] {
        let (record, list) = (vec![7; record], vec![8; list]);
        let found = Content::Record(&record, Some(&list));
        let me = NodeId([3; 16]);
        let room = wire::GET_BYTES - STATED_BYTES;
        let value = Encoder::value(me, 1, &hello, &found, &others, &named, room);
        let mut value = value.with(Some(&[9; STATED_BYTES]));
        let data = value.finish(&keys, wire::GET_BYTES);
        assert_eq!(data.len(), wire::GET_BYTES);
        let Body::Value(_, value) = Frame::parse(data, &keys).unwrap().body else { panic!() };
        assert_eq!((value.record, value.addresses), (Some(&record[..]), Some(&list[..])));
        assert_eq!(value.stated, Some([9; STATED_BYTES]));
        assert!(value.others.iter().eq(others.iter().take(fit).copied()), "{fit}");
    }
}
