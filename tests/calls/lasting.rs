//! Running calls whose session timers a dead server keeps no more, and how they end (CALLS §4.1).

use crate::b2bua::{B2bua, Shows};
use crate::net::{Fate, Packet};
use crate::provider::Proxy;
use crate::sip::{Dialog, Msg, answer, sdp};
use crate::town::{Phone, Town, at, server, two};
use std::net::SocketAddr;

pub(crate) const INTERVAL_S: u64 = 120;

/// What the provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum House {
    Proxy,
    B2bua,
}

/// A call with a session timer by the server.
pub(crate) struct Call {
    pub(crate) town: Town,
    pub(crate) phones: [Phone; 2],
    pub(crate) dialogs: [Dialog; 2],
    /// Where each phone was told to send.
    relays: [SocketAddr; 2],
}

pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;

impl Call {
    /// `linked`: the overlay knows Bob. `allows`: what the phones take. `refresher`: uac or uas,
    /// as the 2xx says at both ends.
    pub(crate) fn new(house: House, linked: bool, allows: &str, refresher: &str) -> Self {
        let mut town = Town::with(1, |config| config.providers[0].overlay = linked);
        match house {
            House::Proxy => {
                let mut proxy = Proxy::default();
                town.world.autos.insert(server(), Box::new(move |message| proxy.act(message)));
            }
            House::B2bua => {
                let mut b2bua = B2bua::new(Shows::From);
                town.world.autos.insert(server(), Box::new(move |message| b2bua.act(message)));
            }
        }
        let alice = town.registered(0, 1, "alice");
        let bob = town.registered(1, 1, "bob");
        let expires = format!("{INTERVAL_S};refresher={refresher}");
        let timer = [("Supported", "timer"), ("Session-Expires", &expires), ("Allow", allows)];
        let offer = sdp(alice.media());
        let invite = alice.request(("INVITE", &bob.aor()), "c1", 1, &timer, &offer);
        town.say(&alice, invite);
        let invite = town.world.expect(bob.at, "INVITE", 300);
        let contact = format!("<{}>", bob.contact());
        let extra =
            [("Contact", contact.as_str()), ("Require", "timer"), timer[1], ("Allow", allows)];
        let yes = answer(&invite, 200, "b", &extra, &sdp(bob.media()));
        town.world.send(bob.at, bob.proxy, yes);
        let callee = Dialog::of_invite(&invite, "b", &bob.contact());
        let success = town.world.expect(alice.at, "200 INVITE", 300);
        let caller = Dialog::of_answer(&success, &alice.contact());
        town.say(&alice, caller.ack(1));
        town.world.expect(bob.at, "ACK", 300);
        let relays = [success.wants(), invite.wants()];
        Self { town, phones: [alice, bob], dialogs: [caller, callee], relays }
    }

    /// The server dies, and both routers know.
    pub(crate) fn dies(&mut self) {
        self.town.server_is(Fate::Drop);
        for (router, user) in [(0, "carol"), (1, "dave")] {
            let phone = self.town.phone(router, 9, user);
            let invite = phone.invite("sip:nobody@example.net", &format!("{user}-asks"));
            self.town.say(&phone, invite);
        }
        self.town.world.run_ms(2_600);
        assert_eq!([self.town.verdict(0), self.town.verdict(1)], ["down", "down"]);
    }

    fn counter(&mut self, router: usize, name: &str) -> u64 {
        self.town.status(router)["counters"][name].as_u64().unwrap()
    }

    /// A refresh comes to this phone and is answered.
    pub(crate) fn refreshed(&mut self, end: usize, method: &str, within_s: u64) -> Msg {
        let phone = self.phones[end].clone();
        let heard = self.town.world.expect(phone.at, method, within_s * 1_000);
        let dialog = &self.dialogs[end];
        assert_eq!((heard.one("To"), heard.one("From")), (&*dialog.local, &*dialog.remote));
        assert_eq!((heard.one("Call-ID"), heard.contact()), (&*dialog.call_id, &*dialog.target));
        let expires = format!("{INTERVAL_S};refresher=uac");
        assert_eq!(heard.one("Session-Expires"), expires, "it goes on refreshing");
        assert_eq!(heard.one("Supported"), "timer");
        let contact = format!("<{}>", phone.contact());
        let extra = [
            ("Contact", contact.as_str()),
            ("Require", "timer"),
            ("Session-Expires", expires.as_str()),
        ];
        let body = if method == "INVITE" { sdp(phone.media()) } else { String::new() };
        let yes = answer(&heard, 200, "", &extra, &body);
        self.town.say(&phone, yes);
        if method == "INVITE" {
            let ack = self.town.world.expect(phone.at, "ACK", 100);
            assert_eq!(ack.cseq(), heard.cseq());
        }
        heard
    }

    /// A phone asks within its dialog; what is answered.
    pub(crate) fn ask(&mut self, end: usize, method: &str, extra: &[(&str, &str)], ms: u64) -> Msg {
        let phone = self.phones[end].clone();
        let body = if method == "INVITE" { sdp(phone.media()) } else { String::new() };
        let request = self.dialogs[end].request(method, extra, &body);
        self.town.say(&phone, request);
        self.town.world.expect(phone.at, &format!("200 {method}"), ms)
    }

    pub(crate) fn end(mut self, what: &str) {
        let alice = self.phones[ALICE].clone();
        let bye = self.dialogs[ALICE].request("BYE", &[], "");
        self.town.say(&alice, bye);
        self.town.world.expect(alice.at, "200 BYE", 2_050);
        self.town.finish_as(what);
    }
}

#[test]
fn a_refresh_that_the_dead_server_owes_comes_from_the_adapter_in_time() {
    let allows = [("INVITE, ACK, BYE, UPDATE", "UPDATE"), ("INVITE, ACK, BYE", "INVITE")];
    for linked in [true, false] {
        for (allow, method) in allows {
            // The caller's far end is the UAS of its INVITE, the callee's the UAC.
            for (refresher, end) in [("uas", ALICE), ("uac", BOB)] {
                let what = format!("linked {linked} {method} {refresher}");
                let mut call = Call::new(House::B2bua, linked, allow, refresher);
                call.dies();
                let half = INTERVAL_S / 2;
                let at = call.phones[end].at;
                call.town.world.nothing(at, method, (half - 5) * 1_000);
                let mut last = 0;
                for _ in 0..3 {
                    let heard = call.refreshed(end, method, half / 8 + 5);
                    assert!(heard.cseq() > last, "{what}");
                    last = heard.cseq();
                    let body = if method == "INVITE" { "o=- 1 1 IN" } else { "" };
                    assert!(heard.body().contains(body), "{what}: {}", heard.text);
                    call.town.world.nothing(at, method, half * 1_000);
                }
                let router = end;
                assert_eq!(call.counter(router, "sessions_refreshed"), 3, "{what}");
                assert_eq!(call.counter(1 - router, "sessions_refreshed"), 0, "{what}");
                let other = call.phones[1 - end].at;
                call.town.world.nothing(other, method, 10);
                call.end(&what);
            }
        }
    }
}

#[test]
fn a_server_that_refreshes_is_not_replaced_and_its_numbers_stay_in_order() {
    let mut call = Call::new(House::B2bua, true, "UPDATE", "uac");
    let expires = format!("{INTERVAL_S};refresher=uac");
    let timer = [("Supported", "timer"), ("Session-Expires", expires.as_str())];
    for _ in 0..2 {
        call.town.world.run_ms(INTERVAL_S * 500);
        let alice = call.phones[ALICE].clone();
        let update = call.dialogs[ALICE].request("UPDATE", &timer, "");
        call.town.say(&alice, update);
        call.refreshed_by_far_end(&timer);
    }
    assert_eq!(call.counter(1, "sessions_refreshed"), 0);
    call.dies();
    let owed = call.refreshed(BOB, "UPDATE", INTERVAL_S);
    call.town.server_is(Fate::Deliver);
    call.town.world.run_ms(60_000);
    let alice = call.phones[ALICE].clone();
    let update = call.dialogs[ALICE].request("UPDATE", &timer, "");
    call.town.say(&alice, update);
    let heard = call.refreshed_by_far_end(&timer);
    assert_eq!(heard.cseq(), owed.cseq() + 1, "the server's later numbers are shifted");
    call.end("a server that refreshes");
}

impl Call {
    fn refreshed_by_far_end(&mut self, timer: &[(&str, &str)]) -> Msg {
        let bob = self.phones[BOB].clone();
        let heard = self.town.world.expect(bob.at, "UPDATE", 300);
        let contact = format!("<{}>", bob.contact());
        let extra = [("Contact", contact.as_str()), ("Require", "timer"), timer[1]];
        let yes = answer(&heard, 200, "", &extra, "");
        self.town.say(&bob, yes);
        let alice = self.phones[ALICE].at;
        self.town.world.expect(alice, "200 UPDATE", 300);
        heard
    }
}

#[test]
fn a_phone_that_wants_another_interval_or_no_update_is_asked_again() {
    let mut call = Call::new(House::B2bua, true, "UPDATE", "uac");
    call.dies();
    let bob = call.phones[BOB].clone();
    let heard = call.town.world.expect(bob.at, "UPDATE", INTERVAL_S * 1_000);
    call.town.reply(&heard, 422, "", &[("Min-SE", "600")]);
    let heard = call.town.world.expect(bob.at, "UPDATE", 2_000);
    assert_eq!(heard.one("Session-Expires"), "600;refresher=uac");
    call.town.reply(&heard, 501, "", &[]);
    let heard = call.town.world.expect(bob.at, "INVITE", 2_000);
    assert_eq!(heard.one("Session-Expires"), "600;refresher=uac");
    let contact = format!("<{}>", bob.contact());
    let yes = answer(&heard, 200, "", &[("Contact", &contact)], &sdp(bob.media()));
    call.town.say(&bob, yes);
    call.town.world.expect(bob.at, "ACK", 100);
    call.end("another interval");
}

#[test]
fn a_phone_that_knows_the_call_no_more_ends_it() {
    let mut call = Call::new(House::B2bua, true, "UPDATE", "uac");
    call.dies();
    let (alice, bob) = (call.phones[ALICE].clone(), call.phones[BOB].clone());
    let heard = call.town.world.expect(bob.at, "UPDATE", INTERVAL_S * 1_000);
    call.town.reply(&heard, 481, "", &[]);
    for phone in [&bob, &alice] {
        let bye = call.town.world.expect(phone.at, "BYE", 100);
        call.town.reply(&bye, 200, "", &[]);
    }
    call.town.finish();
}

#[test]
fn a_phone_s_own_refresh_is_answered_by_the_other_phone_or_from_what_was_agreed_on() {
    for house in [House::Proxy, House::B2bua] {
        for known in [true, false] {
            for method in ["UPDATE", "INVITE"] {
                let what = format!("{house:?} {known} {method}");
                // Unlinked: Alice's adapter must answer.
                let mut call = Call::new(house, false, "UPDATE", "uac");
                match known {
                    true => call.dies(),
                    false => call.town.server_is(Fate::Drop),
                }
                let expires = format!("{INTERVAL_S};refresher=uac");
                let timer = [("Supported", "timer"), ("Session-Expires", expires.as_str())];
                let (end, limit) = (ALICE, if known { 50 } else { 2_050 });
                let yes = call.ask(end, method, &timer, limit);
                assert_eq!(yes.one("Session-Expires"), expires, "{what}");
                assert_eq!(yes.one("Require"), "timer", "{what}");
                assert_eq!(yes.contact(), call.dialogs[end].target, "{what}");
                let described = method == "INVITE";
                assert_eq!(yes.body().contains("m=audio"), described, "{what}: {}", yes.text);
                if described {
                    let ack = call.dialogs[end].ack(yes.cseq());
                    let phone = call.phones[end].clone();
                    call.town.say(&phone, ack);
                }
                assert_eq!(call.counter(0, "sessions_refreshed"), 1, "{what}");
                let bob = call.phones[BOB].at;
                call.town.world.nothing(bob, method, 5_000);
                call.end(&what);
            }
        }
    }
}

#[test]
fn a_phone_that_wants_something_else_of_a_dead_server_is_not_deceived() {
    let mut call = Call::new(House::Proxy, false, "UPDATE", "uac");
    call.dies();
    let alice = call.phones[ALICE].clone();
    let hold = sdp(alice.media()) + "a=sendonly\r\n";
    let invite = call.dialogs[ALICE].request("INVITE", &[], &hold);
    call.town.say(&alice, invite);
    call.town.world.nothing(alice.at, "200 INVITE", 30_000);
    let refusal = call.town.world.expect(alice.at, "503 INVITE", 5_000);
    let ack = alice.ack_of_refusal(&refusal, &call.dialogs[ALICE].target);
    call.town.say(&alice, ack);
    assert_eq!(call.counter(0, "sessions_refreshed"), 0);
    call.end("something else");
}

impl Call {
    /// Both phones speak, once a second, until the condition holds.
    fn speak(&mut self, seconds: u64, until: impl Fn(&Town) -> bool) {
        for _ in 0..seconds {
            for end in [ALICE, BOB] {
                let from = self.phones[end].media();
                self.town.world.send(from, self.relays[end], "speech");
            }
            self.town.world.run_ms(1_000);
            if until(&self.town) {
                return;
            }
        }
    }
}

#[test]
fn the_adapter_s_own_bye_takes_both_paths() {
    for (house, dead) in [(House::Proxy, true), (House::B2bua, true), (House::B2bua, false)] {
        let what = format!("{house:?}, dead {dead}");
        let mut call = Call::new(house, true, "UPDATE", "uac");
        let (alice, bob) = (call.phones[ALICE].clone(), call.phones[BOB].clone());
        // Bob's speech gets lost between the routers: Alice's alone knows.
        let (wan, other) = (call.town.routers[0].wan, call.town.routers[1].wan);
        call.town.world.rule = Some(Box::new(move |packet: &Packet| {
            let lost = packet.to.ip() == wan && packet.data == b"speech";
            let server = dead && [packet.from, packet.to].contains(&server());
            if lost && packet.from.ip() == other || server { Fate::Drop } else { Fate::Deliver }
        }));
        let at = alice.at;
        call.speak(310, move |town| town.world.waits(at, "BYE"));
        for phone in [&alice, &bob] {
            let bye = call.town.world.expect(phone.at, "BYE", 100);
            let dialog = &call.dialogs[usize::from(phone.at == bob.at)];
            assert_eq!((bye.one("Call-ID"), bye.tag("To")), (&*dialog.call_id, tag(&dialog.local)));
            call.town.reply(&bye, 200, "", &[]);
        }
        call.town.world.nothing(bob.at, "BYE", 5_000);
        call.town.finish_as(&what);
    }
}

fn tag(value: &str) -> &str {
    value.split_once(";tag=").map_or("", |(_, tag)| tag)
}

#[test]
fn the_adapter_s_own_bye_follows_the_route_set() {
    let (mut town, alice, bob) = two();
    let invite = alice.invite(&bob.aor(), "c1");
    town.say(&alice, invite);
    let at_server = town.world.expect(server(), "INVITE", 100);
    let routes = [("Record-Route", "<sip:198.51.100.1:5060;lr;a=1>, <sip:198.51.100.9;lr;b=2>")];
    let contact = ("Contact", "<sip:gateway@198.51.100.77:5080>");
    let extra = [routes[0], contact];
    let yes = answer(&at_server, 200, "s", &extra, &sdp("198.51.100.7:9000".parse().unwrap()));
    town.world.send(server(), at_server.from, yes);
    let caller = town.confirm(&alice, 300);
    let next = at("198.51.100.9:5060");
    town.world.expect(next, "ACK", 100);
    let bye = town.world.expect(next, "BYE", 301_000);
    assert_eq!(bye.uri(), "sip:gateway@198.51.100.77:5080");
    let route: Vec<&str> = bye.all("Route");
    assert_eq!(route, ["<sip:198.51.100.9;lr;b=2>", "<sip:198.51.100.1:5060;lr;a=1>"]);
    assert_eq!(bye.tag("To"), tag(&caller.remote));
    town.reply(&bye, 200, "", &[]);
    let bye = town.world.expect(alice.at, "BYE", 100);
    town.reply(&bye, 200, "", &[]);
    town.finish();
}
