//! Media of running calls that lose the provider's machine: codecs, versions, and what stays.

use crate::b2bua::{B2bua, anchor};
use crate::net::Fate;
use crate::sip::{Dialog, Msg, answer};
use crate::town::{Phone, Town, server};
use std::net::SocketAddr;

/// One codec, and digits under two numbers.
pub(crate) const DIGITS_101: &str = "0 101|rtpmap:101 telephone-event/8000|fmtp:101 0-15";
pub(crate) const DIGITS_97: &str = "0 97|rtpmap:97 telephone-event/8000|fmtp:97 0-15";
pub(crate) const OTHER_CODEC: &str = "8 101|rtpmap:101 telephone-event/8000|fmtp:101 0-15";

/// What a phone says: these formats, in this version of its session, with further lines.
pub(crate) fn described(phone: &Phone, formats: &str, version: u32, lines: &str) -> String {
    let (ip, port) = (phone.media().ip(), phone.media().port());
    let (formats, attributes) = formats.split_once('|').unwrap();
    let attributes: String = attributes.split('|').map(|a| format!("a={a}\r\n")).collect();
    format!(
        "v=0\r\no=- 5 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}\r\n{attributes}{lines}"
    )
}

/// Session and version of a description, and its formats.
pub(crate) fn read(message: &Msg) -> (String, u32, String) {
    let line = |start: &str| {
        let found = message.body().lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in:\n{}", message.text)).to_owned()
    };
    let origin = line("o=");
    let words: Vec<&str> = origin.split(' ').collect();
    let media = line("m=audio");
    let formats = media.split_once(" RTP/AVP ").unwrap().1;
    let session = format!("{} {}", words[0], words[1]);
    (session, words[2].parse().unwrap(), formats.to_owned())
}

/// Alice and Bob talk through a provider's machine.
pub(crate) struct Talk {
    pub(crate) town: Town,
    pub(crate) phones: [Phone; 2],
    pub(crate) dialogs: [Dialog; 2],
    /// Where each phone was told to send.
    relays: [SocketAddr; 2],
    /// The session that Bob knows, and its version.
    session: (String, u32),
}

pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;

impl Talk {
    /// `formats`: of Alice, what Bob is told of her; of Bob, what Alice is told of him.
    pub(crate) fn new(formats: [&'static str; 4]) -> Self {
        Self::linked(true, formats)
    }

    /// `linked`: the overlay knows Bob.
    fn linked(linked: bool, formats: [&'static str; 4]) -> Self {
        let mut town = Town::with(1, |config| config.providers[0].overlay = linked);
        let mut house = B2bua::anchored(formats[1], formats[3]);
        town.world.autos.insert(server(), Box::new(move |message| house.act(message)));
        for caller in [false, true] {
            // It answers whoever speaks, as if the other end did.
            let echo = |_, data: &[u8]| Some(data.to_vec());
            town.world.others.insert(anchor(caller), Box::new(echo));
        }
        let alice = town.registered(0, 1, "alice");
        let bob = town.registered(1, 1, "bob");
        let offer = described(&alice, formats[0], 1, "");
        let invite = alice.request(("INVITE", &bob.aor()), "c1", 1, &[], &offer);
        town.say(&alice, invite);
        let invite = town.world.expect(bob.at, "INVITE", 300);
        let reply = described(&bob, formats[2], 1, "");
        let contact = format!("<{}>", bob.contact());
        let yes = answer(&invite, 200, "b", &[("Contact", &contact)], &reply);
        town.world.send(bob.at, bob.proxy, yes);
        let callee = Dialog::of_invite(&invite, "b", &bob.contact());
        let success = town.world.expect(alice.at, "200 INVITE", 300);
        let caller = Dialog::of_answer(&success, &alice.contact());
        town.say(&alice, caller.ack(1));
        town.world.expect(bob.at, "ACK", 300);
        let (session, version, _) = read(&invite);
        let mut talk = Self {
            town,
            phones: [alice, bob],
            dialogs: [caller, callee],
            relays: [success.wants(), invite.wants()],
            session: (session, version),
        };
        talk.speak(3_000);
        talk
    }

    /// Both phones speak for so long.
    pub(crate) fn speak(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            for end in [ALICE, BOB] {
                let text = ["from Alice", "from Bob"][end];
                let from = self.phones[end].media();
                self.town.world.send(from, self.relays[end], text);
            }
            self.town.world.run_ms(100);
        }
    }

    /// How much of what the other says has reached each phone so far.
    fn heard(&self) -> [usize; 2] {
        [ALICE, BOB].map(|end| {
            let text = ["from Bob", "from Alice"][end].as_bytes();
            let to = self.phones[end].media();
            let log = self.town.world.log.iter();
            log.filter(|packet| packet.to == to && packet.data == text).count()
        })
    }

    /// Whether both hear each other now.
    pub(crate) fn talks(&mut self) -> bool {
        let before = self.heard();
        self.speak(1_000);
        let after = self.heard();
        (0..2).all(|end| after[end] >= before[end] + 8)
    }

    /// Server and machine die, and both routers know.
    pub(crate) fn dies(&mut self) {
        self.server_is(Fate::Drop);
        for (router, user) in [(0, "carol"), (1, "dave")] {
            let phone = self.town.phone(router, 9, user);
            let invite = phone.invite("sip:nobody@example.net", &format!("{user}-asks"));
            self.town.say(&phone, invite);
        }
        self.speak(2_600);
        assert_eq!([self.town.verdict(0), self.town.verdict(1)], ["down", "down"]);
    }

    pub(crate) fn server_is(&mut self, fate: Fate) {
        for at in [server(), anchor(true), anchor(false)] {
            self.town.world.fates.insert(at, fate);
        }
    }

    pub(crate) fn counter(&mut self, router: usize, name: &str) -> u64 {
        self.town.status(router)["counters"][name].as_u64().unwrap()
    }

    pub(crate) fn moved(&mut self) -> [u64; 2] {
        [0, 1].map(|router| self.counter(router, "media_moved"))
    }

    /// A phone is asked anew: what it reads, after its answer with these formats.
    pub(crate) fn asked(&mut self, end: usize, formats: &str) -> (String, u32, String) {
        let phone = self.phones[end].clone();
        let heard = self.town.world.expect(phone.at, "INVITE", 1_500);
        let (mine, theirs) = (&self.dialogs[end].local, &self.dialogs[end].remote);
        assert_eq!((heard.one("To"), heard.one("From")), (mine.as_str(), theirs.as_str()));
        assert_eq!(heard.one("Call-ID"), self.dialogs[end].call_id);
        assert_eq!(heard.contact(), self.dialogs[end].target, "its far end's Contact stays");
        let reply = described(&phone, formats, 2, "");
        let contact = format!("<{}>", phone.contact());
        let yes = answer(&heard, 200, "", &[("Contact", &contact)], &reply);
        self.town.say(&phone, yes);
        let ack = self.town.world.expect(phone.at, "ACK", 100);
        assert_eq!(ack.cseq(), heard.cseq());
        read(&heard)
    }

    /// Bob's phone is asked to speak as Alice's does, in its session's next version; then they
    /// talk.
    fn bob_is_asked(&mut self) {
        let (session, version) = self.session.clone();
        let (told, next, formats) = self.asked(BOB, DIGITS_101);
        assert_eq!((told, next, formats.as_str()), (session, version + 1, "0 101"));
        self.speak(500);
        assert!(self.talks());
    }

    pub(crate) fn end(mut self, what: &str) {
        let bye = self.dialogs[BOB].request("BYE", &[], "");
        let (alice, bob) = (self.phones[ALICE].clone(), self.phones[BOB].clone());
        self.town.say(&bob, bye);
        let heard = self.town.world.expect(alice.at, "BYE", 2_100);
        self.town.reply(&heard, 200, "", &[]);
        self.town.world.expect(bob.at, "200 BYE", 2_100);
        self.town.finish_as(what);
    }
}

#[test]
fn equal_codecs_are_aimed_anew_and_no_phone_is_asked() {
    let mut talk = Talk::new([DIGITS_101, DIGITS_101, DIGITS_101, DIGITS_101]);
    assert_eq!(talk.heard(), [0, 0], "the machine is between them");
    talk.dies();
    talk.speak(1_000);
    assert!(talk.talks());
    assert_eq!(talk.moved(), [1, 1], "one moves, one follows");
    for end in [ALICE, BOB] {
        let at = talk.phones[end].at;
        talk.town.world.nothing(at, "INVITE", 100);
    }
    talk.end("equal codecs");
}

#[test]
fn a_phone_that_would_be_misunderstood_is_asked_with_the_other_s_description() {
    let mut talk = Talk::new([DIGITS_101, DIGITS_97, DIGITS_97, DIGITS_101]);
    talk.dies();
    talk.bob_is_asked();
    assert_eq!(talk.moved(), [1, 1]);
    talk.end("other payload types");
}

#[test]
fn where_the_machine_spoke_two_codecs_both_phones_come_to_one() {
    let mut talk = Talk::new([DIGITS_101, OTHER_CODEC, OTHER_CODEC, DIGITS_101]);
    talk.dies();
    talk.bob_is_asked();
    talk.end("two codecs");
}

#[test]
fn a_phone_sees_one_session_also_after_the_way_back() {
    let mut talk = Talk::new([DIGITS_101, DIGITS_97, DIGITS_97, DIGITS_101]);
    talk.dies();
    talk.asked(BOB, DIGITS_101);
    talk.speak(500);
    talk.server_is(Fate::Deliver);
    talk.speak(20_000);
    let (alice, (session, version)) = (talk.phones[ALICE].clone(), talk.session.clone());
    for (number, hold) in [(2, "a=sendonly\r\n"), (3, "")] {
        let offer = described(&alice, DIGITS_101, number, hold);
        let invite = talk.dialogs[ALICE].request("INVITE", &[], &offer);
        talk.town.say(&alice, invite);
        let bob = talk.phones[BOB].clone();
        let heard = talk.town.world.expect(bob.at, "INVITE", 300);
        let (told, next, formats) = read(&heard);
        assert_eq!((told, next), (session.clone(), version + number), "{}", heard.text);
        assert_eq!(formats, "0 97", "by the server again");
        let contact = format!("<{}>", bob.contact());
        let reply = described(&bob, DIGITS_97, 2 + number, "");
        let yes = answer(&heard, 200, "", &[("Contact", &contact)], &reply);
        talk.town.say(&bob, yes);
        let yes = talk.town.world.expect(alice.at, "200 INVITE", 300);
        let ack = talk.dialogs[ALICE].ack(yes.cseq());
        talk.town.say(&alice, ack);
        talk.town.world.expect(bob.at, "ACK", 300);
    }
    let before = talk.heard();
    talk.speak(1_000);
    assert_eq!(talk.heard(), before, "the machine is between them again");
    talk.end("the way back");
}

#[test]
fn a_phone_that_refuses_leaves_the_call_to_the_rule_of_dead_media() {
    let mut talk = Talk::new([DIGITS_101, DIGITS_97, DIGITS_97, DIGITS_101]);
    talk.dies();
    let bob = talk.phones[BOB].clone();
    let heard = talk.town.world.expect(bob.at, "INVITE", 1_500);
    talk.town.reply(&heard, 488, "", &[]);
    talk.town.world.expect(bob.at, "ACK", 100);
    talk.town.world.nothing(bob.at, "INVITE", 20_000);
    assert!(talk.counter(1, "media_moves_refused") >= 1);
    assert_eq!(talk.moved(), [0, 0]);
    let machine = |talk: &Talk| talk.town.packets(anchor(false), "from Bob");
    let before = machine(&talk);
    talk.speak(500);
    assert!(machine(&talk) >= before + 4, "what was refused aims nothing");
    for end in [ALICE, BOB] {
        let phone = talk.phones[end].clone();
        let bye = talk.town.world.expect(phone.at, "BYE", 301_000);
        talk.town.reply(&bye, 200, "", &[]);
    }
    talk.town.finish_as("refused");
}

#[test]
fn an_unlinked_call_whose_machine_dies_ends_after_timeout_s() {
    let mut talk = Talk::linked(false, [DIGITS_101; 4]);
    talk.dies();
    talk.speak(290_000);
    for end in [ALICE, BOB] {
        let at = talk.phones[end].at;
        talk.town.world.nothing(at, "BYE", 0);
    }
    talk.speak(10_000);
    for end in [ALICE, BOB] {
        let phone = talk.phones[end].clone();
        let bye = talk.town.world.expect(phone.at, "BYE", 0);
        talk.town.reply(&bye, 200, "", &[]);
        assert_eq!(talk.counter(end, "calls_media_dead"), 1);
    }
    assert_eq!(talk.moved(), [0, 0]);
    talk.town.finish();
}

#[test]
fn what_is_held_is_never_moved() {
    for hold in ["a=sendonly\r\n", "a=inactive\r\n", "c=IN IP4 0.0.0.0\r\n"] {
        let same = [DIGITS_101; 4];
        let mut talk = Talk::new(same);
        let (alice, bob) = (talk.phones[ALICE].clone(), talk.phones[BOB].clone());
        let offer = described(&alice, DIGITS_101, 2, hold);
        let invite = talk.dialogs[ALICE].request("INVITE", &[], &offer);
        talk.town.say(&alice, invite);
        let heard = talk.town.world.expect(bob.at, "INVITE", 300);
        let reply = described(&bob, DIGITS_101, 2, "");
        let contact = format!("<{}>", bob.contact());
        let yes = answer(&heard, 200, "", &[("Contact", &contact)], &reply);
        talk.town.say(&bob, yes);
        talk.town.world.expect(alice.at, "200 INVITE", 300);
        let ack = talk.dialogs[ALICE].ack(2);
        talk.town.say(&alice, ack);
        talk.town.world.expect(bob.at, "ACK", 300);
        talk.dies();
        talk.town.world.run_ms(20_000);
        let asked = [0, 1].map(|router| talk.counter(router, "media_moves_refused"));
        assert_eq!((talk.moved()[0], asked[1]), (0, 0), "{hold}: Alice's end never asks");
        talk.end(hold);
    }
}

#[test]
fn a_refresh_that_is_answered_in_the_server_s_place_is_answered_until_the_phone_has_it() {
    let mut talk = Talk::linked(false, [DIGITS_101; 4]);
    talk.dies();
    let alice = talk.phones[ALICE].clone();
    let offer = described(&alice, DIGITS_101, 1, "");
    let invite = talk.dialogs[ALICE].request("INVITE", &[], &offer);
    talk.town.say(&alice, invite);
    let first = talk.town.world.expect(alice.at, "200 INVITE", 2_100);
    let answers = |talk: &Talk| talk.town.packets(alice.at, "SIP/2.0 200");
    let before = answers(&talk);
    for (wait_ms, repeats) in [(600, 1), (1_000, 2), (2_000, 3)] {
        talk.town.world.run_ms(wait_ms);
        assert_eq!(answers(&talk), before + repeats);
    }
    let ack = talk.dialogs[ALICE].ack(first.cseq());
    talk.town.say(&alice, ack);
    talk.town.world.run_ms(10_000);
    assert_eq!(answers(&talk), before + 3, "it has it");
    for end in [ALICE, BOB] {
        let phone = talk.phones[end].clone();
        let bye = talk.dialogs[end].request("BYE", &[], "");
        talk.town.say(&phone, bye);
        talk.town.world.expect(phone.at, "200 BYE", 2_100);
    }
    talk.town.finish_as("refreshed");
}
