//! Phones at a back-to-back user agent, in virtual time; and its messages by hand.

use super::*;
use crate::lab::part::Part;
use crate::lab::phone::{Habits, Manner, Phone, Report, Settings as PhoneSettings};
use crate::lab::world::World;
use crate::limits::TRANSMIT_BYTES_MAX;

const HOUSE: &str = "127.0.0.10:5060";
const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const HOUSE_PLACE: usize = 3;

fn settings() -> Settings {
    Settings {
        listen: HOUSE.parse().unwrap(),
        password: None,
        presentation: Presentation::Own,
        pace: Duration::ZERO,
        dialling: Duration::ZERO,
        reliable: false,
        hasty: false,
        diversion: Diversion::None,
        patience: Duration::from_secs(5),
        anchor: None,
    }
}

fn mailbox() -> Diversion {
    Diversion::Mailbox("127.0.0.10:20000".parse().unwrap())
}

/// Alice, Bob and Carol, registered at a house.
fn town(settings: Settings, habits: Habits) -> World<Part> {
    let mut world = World::new(Duration::from_millis(5));
    for (user, host) in [("+498920001", 1), ("+498930002", 2), ("+498940003", 3)] {
        let phone = PhoneSettings {
            user: user.to_owned(),
            domain: "example.net".to_owned(),
            sip: SocketAddr::from(([127, 0, host, 10], 5060)),
            media: SocketAddr::from(([127, 0, host, 10], 4000)),
            proxy: HOUSE.parse().unwrap(),
            relay: None,
            password: settings.password.clone(),
            ring: Duration::from_millis(300),
            expires: Duration::from_secs(120),
            habits,
        };
        world.add(Part::Phone(Box::new(Phone::new(phone, [host; 32]))));
    }
    world.add(Part::B2bua(Box::new(B2bua::new(settings, [9; 32]))));
    for place in [ALICE, BOB, CAROL] {
        phone(&mut world, place, |phone, now| phone.register(now));
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.core(BOB).phone().unwrap().registration_status(), 200);
    world
}

fn phone<T>(
    world: &mut World<Part>,
    place: usize,
    order: impl FnOnce(&mut Phone, Instant) -> T,
) -> T {
    world.order(place, |part, now| order(part.phone_mut().unwrap(), now))
}

fn call_bob(world: &mut World<Part>) {
    phone(world, ALICE, |alice, now| alice.call(now, "sip:08930002@example.net"));
}

fn hang_up(world: &mut World<Part>, place: usize) {
    phone(world, place, |phone, now| phone.hang_up_all(now));
    world.run_for(Duration::from_secs(1));
}

fn reports(world: &World<Part>, place: usize) -> Vec<Report> {
    world.core(place).phone().unwrap().reports().cloned().collect()
}

fn log(world: &mut World<Part>) -> Vec<String> {
    world.order(HOUSE_PLACE, |part, _| match part {
        Part::B2bua(house) => core::iter::from_fn(|| house.poll_log()).collect(),
        _ => Vec::new(),
    })
}

fn live(world: &World<Part>) -> usize {
    match world.core(HOUSE_PLACE) {
        Part::B2bua(house) => house.live(),
        _ => 0,
    }
}

#[test]
fn a_call_is_two_and_ends_at_both_ends_whoever_hangs_up() {
    for (who, hasty) in [(ALICE, false), (BOB, true)] {
        let mut world = town(Settings { hasty, ..settings() }, Habits::default());
        call_bob(&mut world);
        world.run_for(Duration::from_secs(2));
        let (alice, bob) = (reports(&world, ALICE).remove(0), reports(&world, BOB).remove(0));
        assert_ne!(alice.call_id, bob.call_id);
        assert!(alice.confirmed.is_some() && bob.confirmed.is_some());
        assert!(alice.sound.received > 70 && bob.sound.received > 70);
        assert!(alice.record_routes.is_empty() && bob.record_routes.is_empty());
        assert_eq!(live(&world), 1);
        hang_up(&mut world, who);
        assert!([ALICE, BOB].iter().all(|end| reports(&world, *end)[0].ended.is_some()));
        assert_eq!(live(&world), 0);
    }
}

#[test]
fn sound_goes_through_the_house_where_that_has_a_machine_for_it() {
    let anchor: SocketAddr = "127.0.0.10:30000".parse().unwrap();
    for who in [ALICE, BOB] {
        let mut world = town(Settings { anchor: Some(anchor), ..settings() }, Habits::default());
        for calls in 0..20 {
            call_bob(&mut world);
            world.run_for(Duration::from_secs(2));
            for end in [ALICE, BOB] {
                let sound = reports(&world, end)[calls].sound.clone();
                assert!(sound.received > 70 && sound.foreign == 0, "{sound:?}");
                let slow = |delay: &u32| *delay >= 10_000;
                assert!(sound.delays_us.iter().all(slow), "two stretches of 5 ms");
            }
            hang_up(&mut world, who);
            world.run_for(Duration::from_secs(40));
        }
    }
}

#[test]
fn its_own_pace_changes_when_and_nothing_else() {
    let slow = Settings {
        pace: Duration::from_millis(300),
        dialling: Duration::from_secs(4),
        ..settings()
    };
    let mut world = town(slow, Habits::default());
    call_bob(&mut world);
    world.run_for(Duration::from_secs(8));
    let alice = reports(&world, ALICE).remove(0);
    assert!(alice.confirmed.is_some() && alice.setup() > Some(Duration::from_millis(500)));
    hang_up(&mut world, ALICE);
    assert!(reports(&world, BOB)[0].ended.is_some());
}

#[test]
fn a_cancel_reaches_the_callee_and_a_refusal_the_caller() {
    let mut world = town(settings(), Habits::default());
    call_bob(&mut world);
    world.run_for(Duration::from_millis(100));
    hang_up(&mut world, ALICE);
    assert_eq!((reports(&world, ALICE)[0].status, reports(&world, BOB)[0].status), (487, 487));
    phone(&mut world, BOB, |bob, _| bob.set_manner(Manner::Refuse(603)));
    call_bob(&mut world);
    world.run_for(Duration::from_secs(1));
    assert_eq!(reports(&world, ALICE)[1].status, 603);
    phone(&mut world, ALICE, |alice, now| alice.call(now, "sip:nobody@example.net"));
    world.run_for(Duration::from_secs(1));
    assert_eq!(reports(&world, ALICE)[2].status, 404);
    assert_eq!(live(&world), 0);
}

#[test]
fn a_mailbox_answers_what_the_callee_does_not_take_and_says_why() {
    for (manner, seconds, why) in
        [(Manner::Refuse(486), 1, "refused"), (Manner::Ring, 6, "no answer")]
    {
        let mut world = town(Settings { diversion: mailbox(), ..settings() }, Habits::default());
        phone(&mut world, BOB, |bob, _| bob.set_manner(manner));
        call_bob(&mut world);
        world.run_for(Duration::from_secs(seconds));
        assert!(reports(&world, ALICE)[0].confirmed.is_some(), "{why}");
        assert!(reports(&world, BOB)[0].ended.is_some(), "{why}");
        let log = log(&mut world);
        assert!(log.len() == 1 && log[0].ends_with(why), "{log:?}");
        hang_up(&mut world, ALICE);
        assert_eq!(live(&world), 0);
    }
}

#[test]
fn a_call_that_is_not_taken_is_forwarded_once() {
    let carol = Diversion::Forward("sip:+498940003@example.net".to_owned());
    for manner in [Manner::Refuse(480), Manner::Ring] {
        let mut world =
            town(Settings { diversion: carol.clone(), ..settings() }, Habits::default());
        phone(&mut world, BOB, |bob, _| bob.set_manner(manner));
        call_bob(&mut world);
        world.run_for(Duration::from_secs(7));
        assert!(reports(&world, CAROL)[0].confirmed.is_some());
        assert!(reports(&world, ALICE)[0].confirmed.is_some());
        hang_up(&mut world, CAROL);
        assert!(reports(&world, ALICE)[0].ended.is_some());
        phone(&mut world, CAROL, |carol, _| carol.set_manner(Manner::Refuse(486)));
        call_bob(&mut world);
        world.run_for(Duration::from_secs(7));
        assert!(reports(&world, ALICE)[1].ended.is_some());
        assert_eq!(live(&world), 0);
    }
}

#[test]
fn with_a_password_it_challenges_and_with_100rel_it_acknowledges_ringing_on_both_sides() {
    let house = Settings { password: Some("right".into()), reliable: true, ..settings() };
    for early in [false, true] {
        let habits = Habits { early, reliable: true, ..Habits::default() };
        let mut world = town(house.clone(), habits);
        call_bob(&mut world);
        world.run_for(Duration::from_secs(2));
        for place in [ALICE, BOB] {
            let report = reports(&world, place).remove(0);
            assert!(report.confirmed.is_some() && report.sound.received > 50, "{report:?}");
        }
        hang_up(&mut world, BOB);
        assert_eq!(live(&world), 0);
    }
}

/// What the house sends to Bob when Alice calls him.
fn invite_at_bob(presentation: Presentation) -> String {
    let mut house = B2bua::new(Settings { presentation, ..settings() }, [9; 32]);
    let now = Instant::from_micros(1_000_000);
    let bound = Answer::Bound(SocketId(0), HOUSE.parse().unwrap());
    house.handle_input(now, Input::Answer(BIND_TICKET, Ok(bound))).unwrap();
    let text = |method: &str, uri: &str, to: &str, contact: &str| {
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.1.10:5060;branch=z9hG4bK{method}\r\n\
             Max-Forwards: 70\r\nFrom: \"A\" <sip:+498920001@example.net>;tag=a\r\nTo: <{to}>\r\n\
             Call-ID: {method}\r\nCSeq: 7 {method}\r\nContact: <{contact}>\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    let bob = "sip:+498930002@example.net";
    let register = text("REGISTER", "sip:example.net", bob, "sip:bob@127.0.2.10");
    let invite = text("INVITE", bob, bob, "sip:alice@127.0.1.10");
    let mut sent = Vec::new();
    let mut buffer = [0; TRANSMIT_BYTES_MAX];
    for data in [register.as_bytes(), invite.as_bytes()] {
        let from = "127.0.1.10:5060".parse().unwrap();
        let to = house.settings.listen;
        let input = Input::Datagram { socket: SocketId(0), from, to, tos: 0, data };
        house.handle_input(now, input).unwrap();
        house.handle_input(now, Input::Timeout).unwrap();
        while let Some(transmit) = house.poll_transmit(now, &mut buffer) {
            sent.push(String::from_utf8(buffer[..transmit.len].to_vec()).unwrap());
        }
    }
    sent.into_iter().find(|text| text.starts_with("INVITE")).expect("an INVITE")
}

#[test]
fn the_callee_sees_the_caller_as_the_house_likes_and_nothing_of_the_call_s_first_half() {
    let shown = [
        (Presentation::Own, "From: <sip:+498920001@example.net>;tag=", None),
        (Presentation::National, "From: <sip:08920001@example.net>;tag=", None),
        (Presentation::Withheld, "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>", None),
        (
            Presentation::Asserted,
            "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>",
            Some("P-Asserted-Identity: <sip:+498920001@example.net>"),
        ),
    ];
    for (presentation, from, asserted) in shown {
        let invite = invite_at_bob(presentation);
        assert!(invite.starts_with("INVITE sip:bob@127.0.2.10 SIP/2.0\r\n"), "{invite}");
        assert!(invite.contains(from), "{presentation:?}:\n{invite}");
        assert_eq!(invite.contains("P-Asserted"), asserted.is_some());
        assert!(asserted.is_none_or(|header| invite.contains(header)));
        for own in ["Call-ID: INVITE", "tag=a\r", "CSeq: 7 ", "127.0.1.10", "Record-Route"] {
            assert!(!invite.contains(own), "{own} in\n{invite}");
        }
    }
}

#[test]
fn a_house_that_has_just_opened_knows_nobody() {
    let mut world = town(settings(), Habits::default());
    world.order(HOUSE_PLACE, |part, _| {
        if let Part::B2bua(house) = part {
            let socket = house.socket;
            **house = B2bua::new(settings(), [8; 32]);
            house.socket = socket;
        }
    });
    call_bob(&mut world);
    world.run_for(Duration::from_secs(1));
    assert_eq!(reports(&world, ALICE)[0].status, 404);
}
