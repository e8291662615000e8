//! Who calls over the overlay where only the certified may: what a phone is shown of a caller is
//! what the certificate of the caller's adapter lists.

use crate::liar::Liar;
use crate::net::Fate;
use crate::node::Node;
use crate::sip::{Msg, sdp, uri_of, write};
use crate::town::{DOMAIN, Phone, Town, at, server, two};
use crate::vouched::holds;
use cosip::channel::{CallKey, Channel, Notice, Payload};
use cosip::config::{Accept, Anchor};
use cosip::identity::authority::{Authority, Subject};
use cosip::identity::certificate::text;
use cosip::identity::chain::Validity;
use cosip::identity::record::Key;
use cosip::identity::trust::{Clock, Trust};
use cosip::identity::{Certificate, Identity};
use cosip::limits::CHANNEL_SESSIONS_MAX;
use cosip::net::NodeId;
use cosip::rng::Rng;
use std::net::SocketAddr;
use std::sync::Arc;

const DAY_S: u32 = 86_400;
/// The Contact of Bob that the server knows.
const BOB: &str = "sip:bob@203.0.113.2:5062";

fn anchor() -> Identity {
    Identity::from_seed([77; 32]).unwrap()
}

fn trust() -> Arc<Trust> {
    let anchors = [anchor().public()].into_iter().collect();
    Arc::new(Trust { anchors, ..Trust::default() })
}

/// What the provider issues for a key that stays where it is, and for these users.
fn certificate(town: &Town, identity: &Identity, users: &[&str]) -> Certificate {
    let now_s = town.epoch_s as u32;
    let key_of = |user: &&str| Key::of(&town.keys.aor_key(&format!("{user}@{DOMAIN}")));
    let keys: Vec<Key> = users.iter().map(key_of).collect();
    Authority::anchor(anchor(), town.keys.network()).certify(&Subject {
        serial: 1,
        key: identity.public(),
        place: identity.id(),
        validity: Validity { from_s: now_s - DAY_S, until_s: now_s + 13 * DAY_S },
        keys: &keys,
    })
}

fn clock(town: &Town) -> Clock {
    let unix_s = town.epoch_s + town.world.now.millis() / 1000;
    Clock { unix_s: Some(unix_s), floor_s: town.epoch_s }
}

pub(crate) fn certify(town: &mut Town, router: usize, users: &[&str]) {
    let certificate = certificate(town, &town.routers[router].identity, users);
    let identity = &mut town.routers[router].config.identity;
    (identity.trust_anchor, identity.accept) = (vec![Anchor(anchor().public())], Accept::Verified);
    holds(town, router, &text::write(&[certificate]));
}

/// Alice and Bob behind routers that are certified for these users, and a server that is dead.
fn certified(users: [&[&str]; 2]) -> (Town, Phone, Phone) {
    let (mut town, alice, bob) = two();
    for (router, users) in users.into_iter().enumerate() {
        certify(&mut town, router, users);
    }
    town.server_is(Fate::Refuse);
    (town, alice, bob)
}

pub(crate) fn counted(town: &mut Town, router: usize, counter: &str) -> u64 {
    town.status(router)["counters"][counter].as_u64().unwrap_or_else(|| panic!("{counter}"))
}

/// A member that is certified for Mallory, and speaks to Bob's router.
pub(crate) struct Mallory {
    pub(crate) place: usize,
    pub(crate) host: String,
    bob: (NodeId, SocketAddr),
}

impl Mallory {
    pub(crate) fn new(town: &mut Town) -> Self {
        let identity = Identity::from_seed([66; 32]).unwrap();
        let identity =
            identity.clone().certified(&[certificate(town, &identity, &["mallory", "second"])]);
        let (now, mut rng) = (town.world.now, Rng::new([66; 32]));
        let mut channel = Channel::new(&identity, &town.keys, &mut rng, CHANNEL_SESSIONS_MAX);
        channel.set_trust(now, trust(), clock(town));
        let liar = Liar::new(channel, at("203.0.113.66:5070"), now);
        let place = town.world.add(Node::Liar(Box::new(liar)));
        let host = format!("{}.cosip.invalid", identity.id());
        let bob = (town.routers[1].identity.id(), at("203.0.113.2:5070"));
        Self { place, host, bob }
    }

    fn say(&self, town: &mut Town, payload: &Payload<'_>) {
        town.world.order(self.place, |node, now| node.liar().say(now, self.bob, payload));
    }

    /// A request to Bob in the name of this user.
    pub(crate) fn request(
        &self,
        method: &str,
        user: &str,
        call_id: &str,
        extra: &[(&str, &str)],
    ) -> Vec<u8> {
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bK{call_id}{method}", self.host);
        let from = format!("<sip:{user}@{DOMAIN}>;tag=m");
        let (to, cseq) = (format!("<sip:bob@{DOMAIN}>"), format!("1 {method}"));
        let contact = format!("<sip:m@{}>", self.host);
        let mut headers = vec![
            ("Via", via.as_str()),
            ("Max-Forwards", "70"),
            ("From", &from),
            ("Call-ID", call_id),
            ("CSeq", &cseq),
            ("Contact", &contact),
        ];
        if !extra.iter().any(|(name, _)| *name == "To") {
            headers.push(("To", &to));
        }
        headers.extend_from_slice(extra);
        let body = if method == "INVITE" { sdp(at("203.0.113.66:4000")) } else { "hello".into() };
        let line = format!("{method} sip:bob@{DOMAIN} SIP/2.0");
        if method == "MESSAGE" {
            headers.push(("Content-Type", "text/plain"));
        }
        write(&line, &headers, &body)
    }

    pub(crate) fn sends(&self, town: &mut Town, request: &[u8]) {
        self.say(town, &Payload::Sip(request));
    }

    /// Tells of a call to Bob by callers of these names.
    pub(crate) fn tells(&self, town: &mut Town, call_id: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| format!("{name}@{DOMAIN}")).collect();
        let callee = format!("bob@{DOMAIN}");
        let notice = Notice {
            call: CallKey::of(call_id),
            callee: &callee,
            aliases: names.iter().map(String::as_str).collect(),
            withheld: false,
            session: None,
            age_ms: 1,
        };
        self.say(town, &Payload::Notice(notice));
    }

    pub(crate) fn heard(&self, town: &mut Town, start: &str) -> usize {
        town.world.order(self.place, |node, _| node.liar().heard(start))
    }

    pub(crate) fn answers(&self, town: &mut Town) -> Vec<bool> {
        town.world.order(self.place, |node, _| node.liar().answers.clone())
    }
}

/// Bob and Mallory in a town whose router of Bob asks for certificates.
pub(crate) fn with_mallory() -> (Town, Phone, Phone, Mallory) {
    let (mut town, alice, bob) = two();
    certify(&mut town, 1, &["bob"]);
    let mallory = Mallory::new(&mut town);
    (town, alice, bob, mallory)
}

/// The server passes an INVITE of this caller on to Bob's router.
pub(crate) fn by_server(town: &mut Town, user: &str, call_id: &str) {
    let from = format!("<sip:{user}@{DOMAIN}>;tag=s");
    let via = format!("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK{call_id}");
    let headers = [
        ("Via", via.as_str()),
        ("Max-Forwards", "70"),
        ("From", &from),
        ("To", "<sip:bob@example.net>"),
        ("Call-ID", call_id),
        ("CSeq", "1 INVITE"),
        ("Contact", "<sip:gw@198.51.100.1>"),
    ];
    let invite = write(&format!("INVITE {BOB} SIP/2.0"), &headers, &sdp(at("198.51.100.1:4000")));
    let to = town.routers[1].outside();
    town.world.send(server(), to, invite);
}

/// Bob's phone is busy where it is called, and takes a text.
pub(crate) fn takes_no_call(town: &mut Town, heard: &Msg) {
    match heard.is("INVITE") {
        true => is_busy(town, heard),
        false => town.reply(heard, 200, "b", &[]),
    }
}

/// Bob's phone is busy.
pub(crate) fn is_busy(town: &mut Town, invite: &Msg) {
    town.reply(invite, 486, "b", &[]);
    town.world.expect(invite.at, "ACK", 100);
}

#[test]
fn a_certified_caller_rings_as_fast_as_any_and_is_shown() {
    let mut waited = Vec::new();
    for is_certified in [false, true] {
        let (mut town, alice, bob) = two();
        if is_certified {
            certify(&mut town, 0, &["alice"]);
            certify(&mut town, 1, &["bob"]);
        }
        // Certified records take the others' places.
        town.world.run_ms(2_000);
        town.server_is(Fate::Refuse);
        let began = town.world.now;
        town.dial(&alice, &bob.aor(), "c1");
        let invite = town.world.expect(bob.at, "INVITE", 1_000);
        waited.push(town.world.now.since(began).as_millis());
        assert_eq!(uri_of(invite.one("From")), alice.aor());
        town.accept(&invite, "b", &bob.contact());
        let mut caller = town.confirm(&alice, 100);
        town.world.expect(bob.at, "ACK", 100);
        town.bye(&mut caller, bob.at);
        let text = alice.request(("MESSAGE", &bob.aor()), "m1", 1, &[], "hello");
        town.say(&alice, text);
        let text = town.world.expect(bob.at, "MESSAGE", 500);
        town.reply(&text, 200, "b", &[]);
        town.world.expect(alice.at, "200 MESSAGE", 100);
        assert_eq!(counted(&mut town, 1, "callers_refused"), 0);
        assert_eq!(counted(&mut town, 1, "callers_blinded"), u64::from(is_certified));
        town.finish();
    }
    assert_eq!(waited[0], waited[1], "ms to the ring");
}

#[test]
fn a_caller_whom_no_certificate_lists_reaches_no_phone() {
    let (mut town, alice, bob) = certified([&["carol"], &["bob"]]);
    town.dial(&alice, &bob.aor(), "c1");
    town.refused(&alice, "403", &bob.aor(), 9_000);
    town.say(&alice, alice.request(("MESSAGE", &bob.aor()), "m1", 1, &[], "hello"));
    town.world.expect(alice.at, "403 MESSAGE", 9_000);
    town.world.nothing(bob.at, "INVITE", 100);
    town.world.nothing(bob.at, "MESSAGE", 100);
    assert!(counted(&mut town, 1, "callers_refused") >= 3, "notice, call and text");
    town.finish();
}

#[test]
fn a_withheld_caller_needs_to_be_listed_nowhere() {
    let (mut town, alice, bob) = certified([&["carol"], &["bob"]]);
    let body = sdp(alice.media());
    town.say(&alice, alice.request(("INVITE", &bob.aor()), "c1", 1, &[("Privacy", "id")], &body));
    let invite = town.world.expect(bob.at, "INVITE", 2_000);
    assert_eq!(uri_of(invite.one("From")), "sip:anonymous@anonymous.invalid");
    is_busy(&mut town, &invite);
    town.refused(&alice, "486", &bob.aor(), 9_000);
    assert_eq!(counted(&mut town, 1, "callers_refused"), 0);
    town.finish();
}

#[test]
fn an_adapter_without_a_certificate_is_not_talked_to() {
    let (mut town, alice, bob) = two();
    certify(&mut town, 1, &["bob"]);
    town.server_is(Fate::Refuse);
    town.dial(&alice, &bob.aor(), "c1");
    town.refused(&alice, "480", &bob.aor(), 20_000);
    town.world.nothing(bob.at, "INVITE", 100);
    assert!(counted(&mut town, 1, "channel_uncertified") > 0);
    town.finish();
}

#[test]
fn a_forged_from_is_refused_and_the_own_one_rings() {
    let (mut town, _, bob, mallory) = with_mallory();
    for (number, user) in ["alice", "bob", "110"].into_iter().enumerate() {
        let privacy = [("Privacy", "id")];
        let extra = if number == 0 { &privacy[..] } else { &[] };
        for method in ["INVITE", "MESSAGE"] {
            let request = mallory.request(method, user, &format!("f{number}"), extra);
            mallory.sends(&mut town, &request);
            town.world.nothing(bob.at, method, 1_000);
        }
    }
    assert_eq!(mallory.heard(&mut town, "SIP/2.0 403 Caller Not Certified\r\n"), 6);
    let why = "Warning: 399 cosip \"the certificate of the calling adapter does not list From\"";
    let texts = town.world.order(mallory.place, |node, _| node.liar().heard.clone());
    assert!(texts.iter().all(|text| text.contains(why)), "{texts:?}");
    assert_eq!(counted(&mut town, 1, "callers_refused"), 6);
    for user in ["mallory", "second"] {
        let request = mallory.request("INVITE", user, user, &[]);
        mallory.sends(&mut town, &request);
        let invite = town.world.expect(bob.at, "INVITE", 500);
        assert_eq!(uri_of(invite.one("From")), format!("sip:{user}@{DOMAIN}"));
        is_busy(&mut town, &invite);
    }
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn inside_its_call_a_member_cannot_become_somebody_else() {
    let (mut town, _, bob, mallory) = with_mallory();
    mallory.sends(&mut town, &mallory.request("INVITE", "mallory", "c1", &[]));
    let invite = town.world.expect(bob.at, "INVITE", 500);
    town.accept(&invite, "b", &bob.contact());
    town.world.run_ms(500);
    let to = format!("<sip:bob@{DOMAIN}>;tag=b");
    let inside = |method: &str, cseq: &str| {
        let request = mallory.request(method, "alice", "c1", &[("To", &to)]);
        let text = String::from_utf8(request).unwrap();
        text.replace("CSeq: 1 ", cseq).replace("z9hG4bK", "z9hG4bKi").into_bytes()
    };
    mallory.sends(&mut town, &inside("ACK", "CSeq: 1 "));
    town.world.run_ms(100);
    mallory.sends(&mut town, &inside("INVITE", "CSeq: 2 "));
    let again = town.world.expect(bob.at, "INVITE", 500);
    assert_eq!(uri_of(again.one("From")), format!("sip:mallory@{DOMAIN}"));
    is_busy(&mut town, &again);
    mallory.sends(&mut town, &inside("BYE", "CSeq: 3 "));
    let bye = town.world.expect(bob.at, "BYE", 2_500);
    assert_eq!(uri_of(bye.one("From")), format!("sip:mallory@{DOMAIN}"));
    town.reply(&bye, 200, "b", &[]);
    // Under another tag it is in no call.
    let stray = String::from_utf8(inside("INVITE", "CSeq: 1 ")).unwrap();
    let stray = stray.replace(";tag=b", ";tag=x").replace("z9hG4bKi", "z9hG4bKj");
    mallory.sends(&mut town, stray.as_bytes());
    town.world.nothing(bob.at, "INVITE", 1_000);
    assert_eq!(mallory.heard(&mut town, "SIP/2.0 481"), 1);
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn names_that_no_certificate_lists_are_left_out_of_notices() {
    for told in [&["alice", "mallory"][..], &["second"], &["alice"]] {
        let (mut town, _, bob, mallory) = with_mallory();
        mallory.tells(&mut town, "c1", told);
        town.world.run_ms(1_000);
        let heeded = told != ["alice"];
        assert_eq!(mallory.answers(&mut town), [heeded], "{told:?}");
        assert_eq!(counted(&mut town, 1, "callers_refused"), u64::from(!heeded));
        let forged = told.iter().filter(|name| **name == "alice").count() as u64;
        assert_eq!(counted(&mut town, 1, "aliases_refused"), forged);
        // Alice calls by the server: nobody has told of that. Mallory does: that was told of.
        let user = if told == ["second"] { "second" } else { "alice" };
        by_server(&mut town, user, "s1");
        let invite = town.world.expect(bob.at, "INVITE", 500);
        mallory.sends(&mut town, &mallory.request("INVITE", "mallory", "c1", &[]));
        town.world.run_ms(1_000);
        let rings_too = town.world.take(bob.at, "INVITE");
        assert_eq!(rings_too.is_some(), user == "alice", "{told:?}");
        for invite in rings_too.iter().chain([&invite]) {
            is_busy(&mut town, invite);
        }
        town.world.run_ms(40_000);
        town.finish();
    }
}

#[test]
fn who_asserts_another_caller_over_the_overlay_holds_none_of_its_calls() {
    for header in ["P-Asserted-Identity", "Remote-Party-ID"] {
        let (mut town, _, bob, mallory) = with_mallory();
        let asserted = [(header, "<sip:alice@example.net>")];
        mallory.sends(&mut town, &mallory.request("INVITE", "mallory", "c1", &asserted));
        let invite = town.world.expect(bob.at, "INVITE", 500);
        assert!(!invite.has(header));
        by_server(&mut town, "alice", "s1");
        let other = town.world.expect(bob.at, "INVITE", 500);
        assert_eq!(uri_of(other.one("From")), "sip:alice@example.net");
        is_busy(&mut town, &invite);
        is_busy(&mut town, &other);
        town.world.run_ms(40_000);
        town.finish();
    }
}

#[test]
fn whoever_invents_callers_in_a_flood_costs_a_fifth_of_the_time_and_keeps_nobody_away() {
    let (mut town, alice, bob, mallory) = with_mallory();
    certify(&mut town, 0, &["alice"]);
    town.server_is(Fate::Refuse);
    let flood = |town: &mut Town, from: u32, count: u32| {
        for number in from..from + count {
            let (user, call_id) = (format!("x{number}"), format!("x{number}"));
            mallory.sends(town, &mallory.request("MESSAGE", &user, &call_id, &[]));
            town.world.run_ms(10);
        }
    };
    flood(&mut town, 0, 1_000);
    let blinded = counted(&mut town, 1, "callers_blinded");
    // 2 s in a row, and a fifth of the time that has passed, at 10 ms each.
    assert!((100..=200 + 220).contains(&blinded), "{blinded}");
    assert!(counted(&mut town, 1, "callers_postponed") > 0);
    town.dial(&alice, &bob.aor(), "c1");
    flood(&mut town, 1_000, 200);
    let invite = town.world.expect(bob.at, "INVITE", 100);
    assert_eq!(uri_of(invite.one("From")), alice.aor());
    town.world.nothing(bob.at, "MESSAGE", 100);
    is_busy(&mut town, &invite);
    town.refused(&alice, "486", &bob.aor(), 9_000);
    town.world.run_ms(40_000);
    town.finish();
}
