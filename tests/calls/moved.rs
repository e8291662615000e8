//! Media on their way to the direct path: phones that are asked for it, and servers that return.

use crate::b2bua::anchor;
use crate::moving::{ALICE, BOB, DIGITS_97, DIGITS_101, OTHER_CODEC, Talk, described, read};
use crate::net::Fate;
use crate::sip::answer;
use crate::town::server;
use std::net::SocketAddr;

/// What each phone was told of the other under payload types that the machine changes.
const RENUMBERED: [&str; 4] = [DIGITS_101, DIGITS_97, DIGITS_97, DIGITS_101];

#[test]
fn a_phone_that_answers_a_move_only_with_100_is_asked_no_more_after_a_while() {
    let mut talk = Talk::new(RENUMBERED);
    talk.dies();
    let bob = talk.phones[BOB].clone();
    let heard = talk.town.world.expect(bob.at, "INVITE", 1_500);
    talk.town.reply(&heard, 180, "", &[]);
    talk.town.world.nothing(bob.at, "CANCEL", 31_000);
    let cancel = talk.town.world.expect(bob.at, "CANCEL", 2_000);
    assert_eq!(cancel.cseq(), heard.cseq());
    talk.town.reply(&cancel, 200, "", &[]);
    talk.town.reply(&heard, 487, "", &[]);
    talk.town.world.expect(bob.at, "ACK", 100);
    assert_eq!(talk.moved(), [0, 0], "no media were aimed before the phone agreed");
    assert!(talk.counter(1, "media_moves_refused") >= 1);
    talk.end("a phone that only rings");
}

#[test]
fn a_call_that_ends_takes_back_what_its_phone_was_asked() {
    let mut talk = Talk::new(RENUMBERED);
    talk.dies();
    let (alice, bob) = (talk.phones[ALICE].clone(), talk.phones[BOB].clone());
    let heard = talk.town.world.expect(bob.at, "INVITE", 1_500);
    talk.town.reply(&heard, 180, "", &[]);
    let bye = talk.dialogs[ALICE].request("BYE", &[], "");
    talk.town.say(&alice, bye);
    let bye = talk.town.world.expect(bob.at, "BYE", 2_100);
    talk.town.reply(&bye, 200, "", &[]);
    talk.town.world.expect(alice.at, "200 BYE", 2_100);
    let cancel = talk.town.world.expect(bob.at, "CANCEL", 2_100);
    talk.town.reply(&cancel, 200, "", &[]);
    talk.town.reply(&heard, 487, "", &[]);
    talk.town.world.expect(bob.at, "ACK", 100);
    talk.town.finish();
}

#[test]
fn a_phone_that_moves_its_port_as_it_agrees_is_still_heard() {
    for asked_by in [RENUMBERED, [DIGITS_101, OTHER_CODEC, OTHER_CODEC, DIGITS_101]] {
        let mut talk = Talk::new(asked_by);
        talk.dies();
        let bob = talk.phones[BOB].clone();
        let heard = talk.town.world.expect(bob.at, "INVITE", 1_500);
        let reply = described(&bob, DIGITS_101, 2, "");
        let (old, new) = (bob.media(), SocketAddr::new(bob.media().ip(), bob.media().port() + 40));
        let reply =
            reply.replace(&format!("audio {} ", old.port()), &format!("audio {} ", new.port()));
        let contact = format!("<sip:bob-moved@{}>", bob.at);
        let yes = answer(&heard, 200, "", &[("Contact", &contact)], &reply);
        talk.town.say(&bob, yes.clone());
        let ack = talk.town.world.expect(bob.at, "ACK", 100);
        assert_eq!(ack.uri(), format!("sip:bob-moved@{}", bob.at), "to the new Contact");
        talk.town.say(&bob, yes);
        talk.town.world.expect(bob.at, "ACK", 100);
        talk.speak(500);
        let to_new = |talk: &Talk| {
            let log = talk.town.world.log.iter();
            log.filter(|packet| packet.to == new && packet.data == b"from Alice").count()
        };
        let before = to_new(&talk);
        talk.speak(1_000);
        assert!(to_new(&talk) >= before + 8, "Alice is heard at the new port");
        let bye = talk.dialogs[ALICE].request("BYE", &[], "");
        let alice = talk.phones[ALICE].clone();
        talk.town.say(&alice, bye);
        let bye = talk.town.world.expect(bob.at, "BYE", 2_100);
        assert_eq!(bye.uri(), format!("sip:bob-moved@{}", bob.at));
        talk.town.reply(&bye, 200, "", &[]);
        talk.town.world.expect(alice.at, "200 BYE", 2_100);
        talk.town.finish();
    }
}

#[test]
fn a_server_that_returns_and_refreshes_one_end_alone_does_not_part_the_phones() {
    for formats in [[DIGITS_101; 4], RENUMBERED] {
        let mut talk = Talk::new(formats);
        talk.dies();
        if formats == RENUMBERED {
            talk.asked(BOB, DIGITS_101);
        }
        talk.speak(2_000);
        assert!(talk.talks());
        talk.server_is(Fate::Deliver);
        talk.speak(20_000);
        assert!(talk.talks());
        let bob = talk.phones[BOB].clone();
        // What the machine told Bob at first, once more, within his dialog with the server.
        let request = talk.town.world.log.iter().rev().find_map(|packet| {
            let text = core::str::from_utf8(&packet.data).ok()?;
            let at_router = packet.to == talk.town.routers[1].outside();
            (packet.from == server() && at_router && text.starts_with("INVITE"))
                .then(|| text.to_owned())
        });
        let refresh = request.expect("the INVITE").replace("branch=z9hG4bK", "branch=z9hG4bKr");
        let tag = talk.dialogs[BOB].local.split_once(";tag=").unwrap().1.to_owned();
        let refresh: String = refresh
            .split_inclusive("\r\n")
            .map(|line| match line.split_once(": ") {
                Some(("To", value)) => format!("To: {};tag={tag}\r\n", value.trim_end()),
                Some(("CSeq", _)) => "CSeq: 5000 INVITE\r\n".to_owned(),
                _ => line.to_owned(),
            })
            .collect();
        let router = talk.town.routers[1].outside();
        talk.town.world.send(server(), router, refresh.into_bytes());
        let heard = talk.town.world.expect(bob.at, "INVITE", 300);
        let formats_told = read(&heard).2;
        assert_eq!(formats_told, "0 101", "what Bob speaks with Alice now");
        let contact = format!("<{}>", bob.contact());
        let yes =
            answer(&heard, 200, "", &[("Contact", &contact)], &described(&bob, DIGITS_101, 2, ""));
        talk.town.say(&bob, yes);
        talk.speak(1_000);
        assert!(talk.talks(), "they hear each other as before");
        talk.speak(33_000);
        assert!(talk.talks());
        talk.end("refreshed at one end");
    }
}

#[test]
fn nobody_takes_the_speech_of_a_call_that_a_healthy_server_carries() {
    let mut talk = Talk::new([DIGITS_101; 4]);
    // Alice's router loses the server, and Bob hears nothing for a while; his server lives.
    let (alice, anchors) = (talk.town.routers[0].wan, [anchor(true), anchor(false)]);
    talk.town.world.rule = Some(Box::new(move |packet| {
        let gone = [packet.from.ip(), packet.to.ip()].contains(&alice)
            && [packet.from, packet.to].contains(&server());
        match gone || anchors.contains(&packet.from) {
            true => Fate::Drop,
            false => Fate::Deliver,
        }
    }));
    let phone = talk.town.phone(0, 9, "carol");
    let invite = phone.invite("sip:nobody@example.net", "carol-asks");
    talk.town.say(&phone, invite);
    talk.speak(15_000);
    assert_eq!([talk.town.verdict(0), talk.town.verdict(1)], ["down", "up"]);
    assert_eq!(talk.moved(), [0, 0]);
    assert!(talk.counter(1, "media_moves_refused") >= 1, "refused, and counted");
    talk.town.world.rule = None;
    let (a, b) = (talk.phones[ALICE].clone(), talk.phones[BOB].clone());
    let bye = talk.dialogs[BOB].request("BYE", &[], "");
    talk.town.say(&b, bye);
    let heard = talk.town.world.expect(a.at, "BYE", 2_100);
    talk.town.reply(&heard, 200, "", &[]);
    talk.town.world.expect(b.at, "200 BYE", 2_100);
    talk.town.finish();
}
