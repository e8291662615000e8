//! The basic call flows of RFC 3665, with an adapter before each phone: phones and proxies see
//! what the RFC's figures show. The numbers are those of its sections.

use crate::net::Fate;
use crate::provider::registrar;
use crate::sip::{Dialog, Msg, answer, sdp, uri_of, write};
use crate::town::{DOMAIN, Phone, Town, at, server, two, two_and_proxy};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

type Contacts = Rc<RefCell<BTreeMap<String, String>>>;

/// The proxy before the callee.
fn second() -> SocketAddr {
    at("198.51.100.2:5060")
}

/// One of two proxies in a row, both in the way of every request.
struct Hop {
    own: SocketAddr,
    /// The proxy behind it; none: it knows the phones itself.
    next: Option<SocketAddr>,
    /// It challenges INVITE for this realm.
    realm: Option<&'static str>,
    contacts: Contacts,
}

impl Hop {
    fn act(&mut self, message: &Msg) -> Option<Vec<(SocketAddr, Vec<u8>)>> {
        if !message.is_request() {
            return Some(self.pass_back(message).into_iter().collect());
        }
        if message.method() == "REGISTER" {
            let user = uri_of(message.one("To")).to_owned();
            self.contacts.borrow_mut().insert(user, message.contact().to_owned());
        }
        registrar(message).or_else(|| Some(self.pass(message)))
    }

    fn pass(&self, message: &Msg) -> Vec<(SocketAddr, Vec<u8>)> {
        let first = message.method() == "INVITE" && message.tag("To").is_empty();
        let mut sent = Vec::new();
        if let Some(realm) = self.realm {
            let known = message.all("Proxy-Authorization").iter().any(|v| v.contains(realm));
            if first && !known {
                let offer = format!("Digest realm=\"{realm}\", nonce=\"n\"");
                let bytes = answer(message, 407, realm, &[("Proxy-Authenticate", &offer)], "");
                return vec![(message.from, bytes)];
            }
            if message.method() == "ACK" && message.tag("To") == realm {
                return sent;
            }
        }
        if message.method() == "INVITE" {
            sent.push((message.from, answer(message, 100, "", &[], "")));
        }
        let routes: Vec<&str> = message.all("Route");
        let left: Vec<&&str> = routes.iter().filter(|r| !r.contains(&self.name())).collect();
        let contacts = self.contacts.borrow();
        let (to, uri) = match (left.first(), self.next, contacts.get(message.uri())) {
            (Some(route), ..) => (host(uri_of(route)), message.uri()),
            (None, Some(next), _) if message.uri().ends_with(DOMAIN) => (next, message.uri()),
            (None, _, Some(contact)) => (host(contact), contact.as_str()),
            (None, ..) => (host(message.uri()), message.uri()),
        };
        let branch = message.all("Via")[0].split_once("branch=").unwrap().1;
        let via = format!("SIP/2.0/UDP {};branch={}x", self.own, branch.split(';').next().unwrap());
        let recorded = format!("<sip:{};lr>", self.own);
        let mut headers = vec![("Via", via.as_str())];
        headers.extend(first.then_some(("Record-Route", recorded.as_str())));
        let others = message.headers().into_iter().filter(|(name, value)| {
            *name != "Content-Length" && !(*name == "Route" && value.contains(&self.name()))
        });
        headers.extend(others);
        let line = format!("{} {uri} SIP/2.0", message.method());
        sent.push((to, write(&line, &headers, message.body())));
        sent
    }

    fn pass_back(&self, message: &Msg) -> Option<(SocketAddr, Vec<u8>)> {
        let next = message.all("Via").get(1)?.split(' ').nth(1)?.split(';').next()?.parse().ok()?;
        let mut headers = message.headers();
        headers.remove(headers.iter().position(|(name, _)| *name == "Via")?);
        headers.retain(|(name, _)| *name != "Content-Length");
        (message.status() != 100).then(|| (next, write(message.line(), &headers, message.body())))
    }

    fn name(&self) -> String {
        format!("sip:{};lr", self.own)
    }
}

fn host(uri: &str) -> SocketAddr {
    let host = uri.trim_start_matches("sip:");
    let host = host.split_once('@').map_or(host, |(_, host)| host);
    at(host.split(';').next().unwrap())
}

/// Alice, Bob and two proxies between them, which challenge for these realms.
fn through_two(realms: [Option<&'static str>; 2]) -> (Town, Phone, Phone) {
    let mut town = Town::with(1, |config| {
        config.providers[0].server_net = vec!["198.51.100.0/24".parse().unwrap()];
    });
    let contacts = Contacts::default();
    let nexts = [Some(second()), None];
    for ((own, next), realm) in [server(), second()].into_iter().zip(nexts).zip(realms) {
        let mut hop = Hop { own, next, realm, contacts: Rc::clone(&contacts) };
        town.world.autos.insert(own, Box::new(move |message| hop.act(message)));
    }
    let alice = town.registered(0, 1, "alice");
    let bob = town.registered(1, 1, "bob");
    (town, alice, bob)
}

/// Bob rings, answers, and hears the ACK. Both ends of the dialog.
fn established(town: &mut Town, alice: &Phone, bob: &Phone) -> (Dialog, Dialog) {
    let invite = town.world.expect(bob.at, "INVITE", 300);
    town.reply(&invite, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
    town.world.expect(alice.at, "180", 100);
    let callee = town.accept(&invite, "b", &bob.contact());
    let caller = town.confirm(alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    (caller, callee)
}

#[test]
fn s2_a_phone_registers_adds_a_contact_asks_for_the_list_and_goes() {
    let mut town = Town::new();
    town.world.autos.remove(&server());
    let mut bob = town.phone(0, 1, "bob");
    // 2.1: with credentials after a challenge.
    town.register(&mut bob, 7200);
    let asked = town.world.expect(server(), "REGISTER", 100);
    town.reply(&asked, 401, "r", &[("WWW-Authenticate", "Digest realm=\"x\", nonce=\"1\"")]);
    town.world.expect(bob.at, "401", 100);
    let credentials = ("Authorization", "Digest username=\"bob\", realm=\"x\", response=\"0\"");
    let text = Town::register_text(&mut bob, 7200, &[credentials]);
    town.say(&bob, text);
    let asked = town.world.expect(server(), "REGISTER", 100);
    assert_eq!(asked.one(credentials.0), credentials.1);
    let ours = format!("<{}>;expires=7200", asked.contact());
    town.reply(&asked, 200, "r", &[("Contact", &ours)]);
    let granted = town.world.expect(bob.at, "200 REGISTER", 100);
    assert_eq!(uri_of(granted.one("Contact")), bob.contact());
    // 2.2: a further Contact, of another kind, passes unchanged.
    let text = Town::register_text(&mut bob, 7200, &[credentials]);
    let text = String::from_utf8(text).unwrap();
    let mail = "Contact: <mailto:bob@example.net>\r\nContent-Length";
    town.say(&bob, text.replace("Content-Length", mail).into_bytes());
    let asked = town.world.expect(server(), "REGISTER", 100);
    assert_eq!(asked.all("Contact")[1], "<mailto:bob@example.net>");
    let list = [("Contact", ours.as_str()), ("Contact", "<mailto:bob@example.net>;expires=4294")];
    town.reply(&asked, 200, "r", &list);
    let granted = town.world.expect(bob.at, "200 REGISTER", 100);
    assert_eq!(granted.all("Contact")[1], list[1].1);
    // 2.3: the current list.
    let text = Town::register_text(&mut bob, 7200, &[credentials]);
    let text = String::from_utf8(text).unwrap();
    let lines = text.split("\r\n").filter(|line| !line.starts_with("Contact"));
    town.say(&bob, lines.collect::<Vec<_>>().join("\r\n").into_bytes());
    let asked = town.world.expect(server(), "REGISTER", 100);
    assert!(!asked.has("Contact"));
    town.reply(&asked, 200, "r", &list);
    let told = town.world.expect(bob.at, "200 REGISTER", 100);
    assert_eq!(uri_of(told.all("Contact")[0]), bob.contact());
    // 2.4: gone.
    let text = Town::register_text(&mut bob, 0, &[credentials, ("Expires", "0")]);
    let text = String::from_utf8(text).unwrap();
    let own = text.split("\r\n").find(|line| line.starts_with("Contact")).unwrap().to_owned();
    town.say(&bob, text.replace(&own, "Contact: *").into_bytes());
    let asked = town.world.expect(server(), "REGISTER", 100);
    assert_eq!(asked.one("Contact"), "*");
    town.reply(&asked, 200, "r", &[]);
    assert!(!town.world.expect(bob.at, "200 REGISTER", 100).has("Contact"));
    // 2.5: wrong credentials are refused, as often as they are sent.
    for number in 0..2 {
        let text = Town::register_text(&mut bob, 7200, &[credentials]);
        town.say(&bob, text);
        let asked = town.world.expect(server(), "REGISTER", 100);
        let offer = format!("Digest realm=\"x\", nonce=\"{number}\"");
        town.reply(&asked, 401, "r", &[("WWW-Authenticate", &offer)]);
        assert_eq!(town.world.expect(bob.at, "401", 100).one("WWW-Authenticate"), offer);
    }
    town.finish();
}

#[test]
fn s3_2_a_call_through_two_proxies_that_stay_in_its_way() {
    let (mut town, alice, bob) = through_two([None, None]);
    town.dial(&alice, &bob.aor(), "c1");
    let (mut caller, mut callee) = established(&mut town, &alice, &bob);
    let proxies = ["<sip:198.51.100.1:5060;lr>", "<sip:198.51.100.2:5060;lr>"];
    assert_eq!(caller.routes[1..], proxies, "after our own, which is first");
    assert_eq!(callee.routes[1..], [proxies[1], proxies[0]]);
    let passed = |town: &Town, method: &str| {
        let sent = |hop: SocketAddr| {
            let mut log = town.world.log.iter().filter(move |packet| packet.to == hop);
            log.any(|packet| packet.data.starts_with(method.as_bytes()))
        };
        sent(server()) && sent(second())
    };
    assert!(passed(&town, "ACK"));
    town.ask(&mut caller, &bob, "INFO", 100);
    town.bye(&mut callee, alice.at);
    assert!(passed(&town, "INFO") && passed(&town, "BYE"));
    town.finish();
}

#[test]
fn s3_3_both_proxies_want_credentials_one_after_the_other() {
    let (mut town, alice, bob) = through_two([Some("p1"), Some("p2")]);
    let mut credentials = Vec::new();
    for cseq in 1..=2 {
        let target = ("INVITE", bob.aor());
        let body = sdp(alice.media());
        let invite = alice.request((target.0, &target.1), "c1", cseq, &credentials, &body);
        town.say(&alice, invite);
        let refusal = town.refused(&alice, "407", &bob.aor(), 100);
        let realm = if cseq == 1 { "p1" } else { "p2" };
        assert!(refusal.one("Proxy-Authenticate").contains(realm));
        let own = ["Digest realm=\"p1\"", "Digest realm=\"p2\""][cseq as usize - 1];
        credentials.push(("Proxy-Authorization", own));
    }
    let body = sdp(alice.media());
    let invite = alice.request(("INVITE", &bob.aor()), "c1", 3, &credentials, &body);
    town.say(&alice, invite);
    let (mut caller, _) = established(&mut town, &alice, &bob);
    assert_eq!(caller.cseq, 3);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn s3_4_a_proxy_that_fails_is_gone_around() {
    let (mut town, alice, bob) = two();
    town.dial(&alice, &bob.aor(), "c1");
    let asked = town.world.expect(server(), "INVITE", 100);
    town.reply(&asked, 503, "p", &[("Retry-After", "120")]);
    town.world.expect(server(), "ACK", 100);
    let (mut caller, _) = established(&mut town, &alice, &bob);
    town.world.nothing(alice.at, "503", 100);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn s3_6_a_redirection_is_the_phone_s_to_follow() {
    let (mut town, alice, bob) = two();
    town.dial(&alice, &bob.aor(), "c1");
    let asked = town.world.expect(server(), "INVITE", 100);
    let elsewhere = format!("sip:bob2@{DOMAIN}");
    town.reply(&asked, 302, "p", &[("Contact", &format!("<{elsewhere}>"))]);
    let moved = town.world.expect(alice.at, "302", 100);
    assert_eq!(moved.contact(), elsewhere);
    let ack = alice.ack_of_refusal(&moved, &bob.aor());
    town.say(&alice, ack);
    let again = alice.request(("INVITE", &elsewhere), "c1", 2, &[], &sdp(alice.media()));
    town.say(&alice, again);
    let asked = town.world.expect(server(), "INVITE", 100);
    assert_eq!((asked.uri(), asked.cseq()), (elsewhere.as_str(), 2));
    town.reply(&asked, 486, "p", &[]);
    town.refused(&alice, "486", &elsewhere, 100);
    town.world.nothing(bob.at, "INVITE", 1_000);
    town.finish();
}

#[test]
fn s3_7_a_phone_that_moves_says_so_by_another_invite() {
    let (mut town, alice, bob) = two_and_proxy();
    town.dial(&alice, &bob.aor(), "c1");
    let (caller, mut callee) = established(&mut town, &alice, &bob);
    let moved = at("192.168.2.99:4000");
    let contact = "<sip:bob@192.168.2.99:5060>";
    callee.contact = uri_of(contact).into();
    let again = callee.request("INVITE", &[], &sdp(moved));
    town.say(&bob, again);
    let heard = town.world.expect(alice.at, "INVITE", 100);
    assert!(heard.body().contains("c=IN IP4 192.168.1.1\r\n"), "our relay, as before");
    let answer = answer(
        &heard,
        200,
        "",
        &[("Contact", &format!("<{}>", alice.contact()))],
        &sdp(alice.media()),
    );
    town.world.send(alice.at, heard.from, answer);
    let success = town.world.expect(bob.at, "200 INVITE", 100);
    let ack = callee.ack(success.cseq());
    town.say(&bob, ack);
    town.world.expect(alice.at, "ACK", 100);
    let mut caller = Dialog { target: heard.contact().into(), ..caller };
    let heard = town.bye(&mut caller, bob.at);
    assert_eq!(heard.uri(), uri_of(contact), "the phone's new Contact");
    town.finish();
}

#[test]
fn s3_8_a_caller_who_gives_up_while_it_rings() {
    let (mut town, alice, bob) = through_two([None, None]);
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 300);
    town.reply(&invite, 180, "b", &[]);
    town.world.expect(alice.at, "180", 100);
    town.gives_up(&alice, &bob.aor(), "c1");
    let cancel = town.world.expect(bob.at, "CANCEL", 100);
    assert_eq!(cancel.one("Via"), invite.one("Via"));
    town.reply(&cancel, 200, "b", &[]);
    town.reply(&invite, 487, "b", &[]);
    town.world.expect(bob.at, "ACK", 100);
    town.finish();
}

#[test]
fn s3_9_and_s3_11_a_phone_that_is_busy_or_unavailable() {
    for code in [486, 480] {
        let (mut town, alice, bob) = through_two([None, None]);
        town.dial(&alice, &bob.aor(), "c1");
        let invite = town.world.expect(bob.at, "INVITE", 300);
        town.reply(&invite, code, "b", &[]);
        town.world.expect(bob.at, "ACK", 100);
        let refusal = town.world.expect(alice.at, &code.to_string(), 300);
        let ack = alice.ack_of_refusal(&refusal, &bob.aor());
        town.say(&alice, ack);
        town.world.nothing(bob.at, "INVITE", 6_000);
        town.finish();
    }
}

#[test]
fn s3_10_a_phone_that_does_not_answer_at_all() {
    let (mut town, alice, bob) = through_two([None, None]);
    town.world.fates.insert(bob.at, Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    town.refused(&alice, "480", &bob.aor(), 7_000);
    town.finish();
}
