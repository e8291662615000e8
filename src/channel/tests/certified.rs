//! Who talks to whom where certificates are asked for, and for what they vouch.

use super::net::{Net, Seen, identity, network, notice};
use super::{DownReason, seconds};
use crate::channel::{Channel, Counters, wire};
use crate::identity::authority::{Authority, Subject};
use crate::identity::chain::Validity;
use crate::identity::record::Key;
use crate::identity::revocation::{Revocations, Revoked};
use crate::identity::trust::{Clock, Trust};
use crate::identity::{Certificate, Identity, NetworkKeys};
use crate::limits::CHANNEL_SESSIONS_MAX;
use crate::rng::Rng;
use crate::time::Duration;
use std::sync::Arc;

const DAY_S: u32 = 86_400;
const TODAY: u32 = 100;

fn key_of(seed: u8) -> Identity {
    Identity::from_seed([seed; 32]).unwrap()
}

/// What a provider issues.
#[derive(Clone)]
struct Issue {
    anchor: u8,
    network: [u8; 16],
    /// Days.
    delegated_until: u32,
    from: u32,
    keys: usize,
}

impl Issue {
    fn ours() -> Self {
        let network = *network().network();
        Self { anchor: 200, network, delegated_until: 365, from: TODAY - 1, keys: 1 }
    }

    /// For a node's key, valid for 14 days. Its first overlay key is made of its number.
    fn to(&self, node: usize) -> Certificate {
        let Self { anchor, network, delegated_until, from, keys } = self;
        let delegated = Validity { from_s: 0, until_s: delegated_until * DAY_S };
        let anchor = Authority::anchor(key_of(*anchor), network);
        let delegation = anchor.delegate(1, &key_of(201).public(), delegated);
        let key = identity(node).public();
        let keys: Vec<Key> = (0..*keys).map(|n| Key([(node + 16 * n) as u8; 16])).collect();
        Authority::issuing(key_of(201), network, delegation).certify(&Subject {
            serial: 10 + node as u64,
            key,
            place: Authority::place(&[5; 32], &key),
            validity: Validity { from_s: from * DAY_S, until_s: (from + 14) * DAY_S },
            keys: &keys,
        })
    }
}

fn own(node: usize) -> Identity {
    identity(node).certified(&[Issue::ours().to(node)])
}

/// A certificate with a bit turned in the byte so many from the end.
fn bent(certificate: &Certificate, from_end: usize) -> Certificate {
    let mut bytes = certificate.as_bytes().to_vec();
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    Certificate::parse(&bytes).unwrap()
}

fn trust(revoked: &[u64]) -> Arc<Trust> {
    let entry = |serial: &u64| Revoked { serial: *serial, ends_day: 200, number: 1 };
    let entries: Vec<Revoked> = revoked.iter().map(entry).collect();
    let anchor = Authority::anchor(key_of(200), network().network());
    let head = anchor.revoke(1, TODAY * DAY_S, &entries);
    let revocations = Revocations::default().updated(&head, &entries, 10).unwrap();
    Arc::new(Trust { anchors: [key_of(200).public()].into_iter().collect(), revocations })
}

fn on(day: u32) -> Clock {
    Clock { unix_s: Some(u64::from(day * DAY_S)), floor_s: 0 }
}

/// Nodes that ask for certificates.
fn town(identities: &[Identity]) -> Net {
    let mut net = Net::new(identities.len(), 1);
    for (node, identity) in identities.iter().enumerate() {
        start(&mut net, node, identity, trust(&[]), on(TODAY));
    }
    net
}

/// A node begins with nothing in memory.
fn start(net: &mut Net, node: usize, identity: &Identity, trust: Arc<Trust>, clock: Clock) {
    let mut rng = Rng::new([node as u8 + 1; 32]);
    let mut channel = Channel::new(identity, &network(), &mut rng, CHANNEL_SESSIONS_MAX);
    channel.set_trust(net.now, trust, clock);
    net.nodes[node].channel = channel;
    net.nodes[node].seen.clear();
}

/// Two that ask for certificates, and have some.
pub(super) fn town_of_two() -> Net {
    town(&[own(0), own(1)])
}

fn vouches(net: &Net, here: usize, there: usize, key: u8) -> bool {
    net.nodes[here].channel.vouches(net.now, net.id(there), &Key([key; 16]))
}

/// What speaks against proofs.
fn refusals(counters: Counters) -> [u64; 5] {
    let Counters { uncertified, foreign_certificates, expired, revoked, forged, .. } = counters;
    [uncertified, foreign_certificates, expired, revoked, forged]
}

#[test]
fn the_certified_talk_and_vouch_for_what_their_certificates_list() {
    let mut net = town(&[own(0), own(1), own(2)]);
    net.open(0, 1);
    net.send(0, 1, &notice("call-1"));
    net.run(seconds(1));
    assert_eq!(net.nodes[0].seen, [Seen::Up(net.id(1))]);
    assert_eq!(net.nodes[1].seen.len(), 2);
    for (here, there) in [(0, 1), (1, 0)] {
        assert!(vouches(&net, here, there, there as u8));
        assert!(!vouches(&net, here, there, 9), "a foreign number");
        assert!(!vouches(&net, here, 2, 2), "no session");
    }
    // Two signatures vouch for a peer, and the provider's delegation is verified once.
    assert_eq!(net.counters(0).public_key_operations, 4 + 2);
    net.open(0, 2);
    net.run(seconds(1));
    assert_eq!(net.counters(0).public_key_operations, 6 + 4 + 1);
    assert_eq!(refusals(net.counters(0)), [0; 5]);
}

#[test]
fn whoever_shows_nothing_that_counts_is_refused_at_either_end() {
    let ours = Issue::ours();
    let certificate = ours.to(1);
    let elsewhere = NetworkKeys::new(&[9; 32], "another");
    let show = |issue: Issue| identity(1).showing(&issue.to(1));
    let at_place_of_2 = own(1).claiming(&own(2), false);
    // What node 1 shows, the trust and the clock of node 0, and what that counts.
    let cases = [
        ("no certificate", identity(1), trust(&[]), TODAY, 0),
        ("another provider", show(Issue { anchor: 210, ..ours.clone() }), trust(&[]), TODAY, 0),
        ("the key of another", identity(2).showing(&certificate), trust(&[]), TODAY, 1),
        ("another place", at_place_of_2, trust(&[]), TODAY, 1),
        ("expired", own(1), trust(&[]), TODAY + 14, 2),
        ("not valid yet", own(1), trust(&[]), TODAY - 2, 2),
        (
            "delegation over",
            show(Issue { delegated_until: 99, ..ours.clone() }),
            trust(&[]),
            TODAY,
            2,
        ),
        ("revoked", own(1), trust(&[11]), TODAY, 3),
        ("delegation revoked", own(1), trust(&[1]), TODAY, 3),
        (
            "another network",
            show(Issue { network: *elsewhere.network(), ..ours.clone() }),
            trust(&[]),
            TODAY,
            4,
        ),
        ("forged", identity(1).showing(&bent(&certificate, 1)), trust(&[]), TODAY, 4),
        // The signature under the delegation ends where what it lets sign begins.
        (
            "delegation forged",
            identity(1).showing(&bent(&certificate, 4 + 8 + 32 + 16 + 8 + 1 + 16 + 64 + 1)),
            trust(&[]),
            TODAY,
            4,
        ),
    ];
    for (what, shown, trust, today, counted) in cases {
        for opener in [0, 1] {
            let mut net = town(&[own(0), shown.clone()]);
            start(&mut net, 0, &own(0), trust.clone(), on(today));
            let peer = net.id(1);
            net.open(opener, 1 - opener);
            net.send(opener, 1 - opener, &notice("call-1"));
            net.run(seconds(8));
            let refusals = refusals(net.counters(0));
            assert!(refusals[counted] > 0, "{what}: {refusals:?}");
            assert_eq!(refusals.iter().sum::<u64>(), refusals[counted], "{what}: {refusals:?}");
            assert!(net.nodes[0].channel.sessions().next().is_none(), "{what}");
            let expected = [Seen::Down(peer, DownReason::Untrusted)];
            assert_eq!(net.nodes[0].seen, expected[opener..], "{what}");
        }
    }
}

#[test]
fn a_certificate_shown_with_its_key_needs_the_secret_half_too() {
    for opener in [0, 1] {
        let certificate = Issue::ours().to(1);
        let thief = identity(2).claiming(&identity(1), true).showing(&certificate);
        let mut net = town(&[own(0), thief]);
        net.open(opener, 1 - opener);
        net.send(opener, 1 - opener, &notice("call-1"));
        net.run(seconds(8));
        assert!(net.nodes[0].channel.sessions().next().is_none());
        assert!(net.counters(0).handshakes_failed > 0);
        assert!(!net.nodes[0].seen.iter().any(|seen| matches!(seen, Seen::Notice(..))));
    }
}

#[test]
fn a_session_ends_with_its_certificate_and_a_renewed_one_is_asked_for_in_time() {
    for renewed in [true, false] {
        let mut net = town(&[own(0), own(1)]);
        net.connect(0, 1);
        let peer = net.id(1);
        let again = Issue { from: TODAY + 6, ..Issue::ours() };
        for node in if renewed { 0..2 } else { 0..1 } {
            let renewed = identity(node).certified(&[again.to(node)]);
            net.nodes[node].channel.set_identity(&renewed);
        }
        // Clocks run on between two looks at them.
        net.run(Duration::from_secs(u64::from(12 * DAY_S)));
        net.nodes[0].channel.review(net.now);
        assert!(vouches(&net, 0, 1, 1));
        assert_eq!(net.counters(0).asked_anew, 0);
        net.run(Duration::from_secs(u64::from(DAY_S) + 5));
        assert!(!vouches(&net, 0, 1, 1), "it has ended");
        net.nodes[0].channel.review(net.now);
        assert_eq!(net.counters(0).asked_anew, 1);
        net.send(0, 1, &notice("call-2"));
        net.run(seconds(8));
        let news = if renewed { Seen::Up(peer) } else { Seen::Down(peer, DownReason::Untrusted) };
        assert_eq!(net.nodes[0].seen, [news]);
        assert_eq!(vouches(&net, 0, 1, 1), renewed);
        let heard = |seen: &Seen| matches!(seen, Seen::Notice(..));
        assert_eq!(net.nodes[1].seen.iter().any(heard), renewed, "and what waited arrives");
        net.run(seconds(10));
        assert_eq!(net.nodes[0].channel.sessions.len(), usize::from(renewed));
        assert_eq!(net.counters(0).expired > 0, !renewed);
    }
}

#[test]
fn sessions_end_where_their_peers_are_revoked_or_never_were_certified() {
    let mut net = town(&[own(0), own(1)]);
    net.connect(0, 1);
    let peer = net.id(1);
    net.nodes[0].channel.set_trust(net.now, trust(&[11]), on(TODAY));
    assert!(!vouches(&net, 0, 1, 1));
    // However much it says, nothing lasts.
    for _ in 0..40 {
        let to = net.id(0);
        let _down = net.nodes[1].channel.send(net.now, to, &notice("call-3"));
        net.drain(1);
        net.run(Duration::from_millis(500));
    }
    assert!(net.nodes[0].seen.contains(&Seen::Down(peer, DownReason::Untrusted)));
    assert_eq!(net.nodes[0].channel.sessions.len(), 0);
    assert!(net.counters(0).revoked > 0);
    // Trust anchors that come later.
    let mut net = Net::new(2, 1);
    net.connect(0, 1);
    net.nodes[0].channel.set_trust(net.now, trust(&[]), on(TODAY));
    net.run(seconds(8));
    assert_eq!(net.nodes[0].seen, [Seen::Down(net.id(1), DownReason::Untrusted)]);
    assert!(net.counters(0).uncertified > 0);
}

#[test]
fn a_clock_that_is_not_set_goes_by_what_was_signed() {
    let mut net = town(&[own(0), own(1), own(2)]);
    let clock = Clock { unix_s: None, floor_s: u64::from((TODAY - 50) * DAY_S) };
    start(&mut net, 0, &own(0), trust(&[]), clock);
    net.connect(0, 1);
    let old = Issue { from: TODAY - 20, ..Issue::ours() };
    start(&mut net, 2, &identity(2).showing(&old.to(2)), trust(&[]), on(TODAY));
    net.open(0, 2);
    net.run(seconds(8));
    let refused = net.counters(0).expired;
    assert!(refused > 0, "the first one was signed after this has ended");
    // A floor does not sink.
    net.nodes[0].channel.set_trust(net.now, trust(&[]), clock);
    net.open(0, 2);
    net.run(seconds(8));
    assert!(net.counters(0).expired > refused);
}

#[test]
fn without_anchors_nobody_is_asked_for_a_certificate_and_everything_is_vouched_for() {
    // What the other end shows is of another network, expired, of another key and place.
    let stranger = Issue { network: [1; 16], from: 1, ..Issue::ours() };
    let shows = identity(1).showing(&stranger.to(2)).claiming(&identity(1), false);
    for opener in [0, 1] {
        let mut net = town(&[identity(0), shows.clone()]);
        for node in [0, 1] {
            net.nodes[node].channel.set_trust(net.now, Arc::default(), on(TODAY));
        }
        net.open(opener, 1 - opener);
        net.send(opener, 1 - opener, &notice("call-1"));
        net.run(seconds(1));
        assert!(net.nodes[0].channel.is_up(net.id(1)) && net.nodes[1].channel.is_up(net.id(0)));
        assert!(vouches(&net, 0, 1, 9));
        net.nodes[0].channel.review(net.now);
        let counters = net.counters(0);
        assert_eq!((refusals(counters), counters.asked_anew), ([0; 5], 0));
        assert_eq!(counters.public_key_operations, 4);
    }
    // A certified place proves nothing there: an id follows from the key.
    let mut net = town(&[identity(0), own(1)]);
    net.nodes[0].channel.set_trust(net.now, Arc::default(), on(TODAY));
    net.nodes[1].channel.set_trust(net.now, Arc::default(), on(TODAY));
    net.open(0, 1);
    net.run(seconds(8));
    assert_eq!(net.nodes[0].seen, [Seen::Down(net.id(1), DownReason::WrongIdentity)]);
}

#[test]
fn of_several_certificates_those_count_that_may_and_each_vouches_for_its_own() {
    // A second provider, which has the place that the first one has certified.
    let ours = Issue::ours();
    let second = Issue { anchor: 210, keys: 2, ..ours.clone() };
    let old = Issue { from: TODAY - 20, keys: 2, ..ours.clone() };
    let [first, second, old] = [ours, second, old].map(|issue| issue.to(1));
    let mut both = Trust::clone(&trust(&[]));
    both.anchors.push(key_of(210).public()).unwrap();
    let both = Arc::new(both);
    // The second overlay key is in the second certificate only.
    let cases = [
        (&second, trust(&[]), false, "of a stranger"),
        (&second, both.clone(), true, "of another anchor of ours"),
        (&old, both.clone(), false, "it has ended"),
    ];
    for (other, trust, vouched, what) in cases {
        for opener in [0, 1] {
            let several = identity(1).certified(&[other.clone(), first.clone()]);
            let mut net = town(&[own(0), several]);
            start(&mut net, 0, &own(0), trust.clone(), on(TODAY));
            net.open(opener, 1 - opener);
            net.run(seconds(1));
            assert!(net.nodes[0].channel.is_up(net.id(1)), "{what}");
            assert!(vouches(&net, 0, 1, 1), "{what}");
            assert_eq!(vouches(&net, 0, 1, 17), vouched, "{what}");
        }
    }
    // One that is forged spoils all.
    let liar = identity(1).certified(&[first, bent(&second, 1)]);
    for opener in [0, 1] {
        let mut net = town(&[own(0), liar.clone()]);
        start(&mut net, 0, &own(0), both.clone(), on(TODAY));
        net.open(opener, 1 - opener);
        net.run(seconds(8));
        assert!(net.counters(0).forged > 0);
        assert!(net.nodes[0].channel.sessions().next().is_none());
    }
}

#[test]
fn the_longest_certificates_leave_room_and_no_answer_exceeds_its_question() {
    let full = Issue { keys: 8, ..Issue::ours() };
    let more = Issue { from: TODAY - 2, ..full.clone() };
    let identities = [0, 1].map(|node| identity(node).certified(&[full.to(node), more.to(node)]));
    let mut net = town(&identities);
    net.loss_percent = 10;
    net.open(0, 1);
    net.send(0, 1, &notice("call"));
    net.run_without_amplification(3000);
    assert!(net.nodes[0].channel.is_up(net.id(1)));
    let longest = |kind: u8| {
        let of_kind = net.sent.iter().filter(|datagram| datagram.bytes[2] == kind);
        of_kind.map(|datagram| datagram.bytes.len()).max().unwrap()
    };
    assert!(longest(wire::REPLY) <= longest(wire::HELLO));
    let notices = net.nodes[1].seen.iter().filter(|seen| matches!(seen, Seen::Notice(..)));
    assert_eq!(notices.count(), 1, "it came in the Finish of {} bytes", longest(wire::FINISH));
    assert!(vouches(&net, 0, 1, 1 + 16 * 7));
}
