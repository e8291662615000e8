//! Two phones and a server in virtual time.

use super::*;
use crate::lab::part::Part;
use crate::lab::server::Server;
use crate::lab::world::World;

const DELAY: Duration = Duration::from_millis(5);

fn settings(user: &str, host: u8, proxy: &str) -> Settings {
    Settings {
        user: user.to_owned(),
        domain: "example.net".to_owned(),
        sip: SocketAddr::from(([127, 0, host, 10], 5060)),
        media: SocketAddr::from(([127, 0, host, 10], 4000)),
        proxy: proxy.parse().unwrap(),
        relay: None,
        password: None,
        ring: Duration::from_millis(300),
        expires: Duration::from_secs(120),
        habits: Habits::default(),
    }
}

/// Alice at place 0 and bob at 1, registered at the server at 2.
fn town() -> World<Part> {
    let server = "127.0.0.10:5060";
    let mut world = World::new(DELAY);
    for (user, host) in [("alice", 1), ("bob", 2)] {
        let phone = Phone::new(settings(user, host, server), [host; 32]);
        world.add(Part::Phone(Box::new(phone)));
    }
    world.add(Part::Server(Box::new(Server::new(server.parse().unwrap(), None, [9; 32]))));
    for place in 0..2 {
        phone(&mut world, place, |phone, now| phone.register(now));
    }
    world.run_for(Duration::from_secs(1));
    assert!((0..2).all(|place| world.core(place).phone().unwrap().registration_status() == 200));
    world
}

fn phone<T>(
    world: &mut World<Part>,
    place: usize,
    order: impl FnOnce(&mut Phone, Instant) -> T,
) -> T {
    world.order(place, |part, now| order(part.phone_mut().unwrap(), now))
}

fn call(world: &mut World<Part>) -> CallId {
    phone(world, 0, |alice, now| alice.call(now, "sip:bob@example.net"))
}

fn report(world: &World<Part>, place: usize) -> Report {
    world.core(place).phone().unwrap().reports().last().unwrap().clone()
}

fn server_log(world: &mut World<Part>) -> Vec<String> {
    world.order(2, |part, _| {
        let server = part.server_mut().unwrap();
        core::iter::from_fn(|| server.poll_log()).collect()
    })
}

#[test]
fn a_call_through_the_server_has_sound_both_ways_and_ends_on_both_sides() {
    let mut world = town();
    let id = call(&mut world);
    world.run_for(Duration::from_secs(2));
    for place in 0..2 {
        phone(&mut world, place, |phone, _| phone.fall_silent());
    }
    world.run_for(Duration::from_millis(50));
    phone(&mut world, 0, |alice, now| alice.hang_up(now, id));
    world.run_for(Duration::from_secs(1));
    let (alice, bob) = (report(&world, 0), report(&world, 1));
    // Four ways of 5 ms and the time that bob let it ring.
    assert_eq!(alice.setup(), Some(Duration::from_millis(320)));
    assert_eq!(alice.alerting(), Some(Duration::from_millis(20)));
    for (ear, mouth) in [(&alice.sound, &bob.sound), (&bob.sound, &alice.sound)] {
        assert!(mouth.sent > 80, "{mouth:?}");
        assert_eq!((ear.received, ear.corrupt, ear.foreign), (mouth.sent, 0, 0));
        assert!(ear.delays_us.iter().all(|delay| *delay == 5_000));
    }
    assert!(alice.ended.is_some() && bob.ended.is_some() && bob.confirmed.is_some());
    assert_eq!(alice.record_routes, ["<sip:127.0.0.10:5060;lr>"]);
    let log = server_log(&mut world);
    for word in ["INVITE", "200", "ACK", "BYE"] {
        let start = format!("{word} {}", alice.call_id);
        assert!(log.iter().any(|line| line.starts_with(&start)), "{word} in {log:?}");
    }
}

#[test]
fn hanging_up_early_cancels_and_the_callee_stops_ringing() {
    let mut world = town();
    let id = call(&mut world);
    world.run_for(Duration::from_millis(100));
    assert!(report(&world, 0).alerted.is_some() && report(&world, 1).ended.is_none());
    phone(&mut world, 0, |alice, now| alice.hang_up(now, id));
    world.run_for(Duration::from_secs(1));
    assert_eq!((report(&world, 0).status, report(&world, 1).status), (487, 487));
    assert_eq!(report(&world, 1).answered, None);
}

#[test]
fn refusals_reach_the_caller() {
    for (manner, status) in [(Manner::Refuse(486), 486), (Manner::Refuse(603), 603)] {
        let mut world = town();
        phone(&mut world, 1, |bob, _| bob.set_manner(manner));
        call(&mut world);
        world.run_for(Duration::from_secs(1));
        assert_eq!(report(&world, 0).status, status);
        assert!(report(&world, 0).ended.is_some());
    }
    let mut world = town();
    phone(&mut world, 0, |alice, now| alice.call(now, "sip:nobody@example.net"));
    world.run_for(Duration::from_secs(1));
    assert_eq!(report(&world, 0).status, 404);
}

#[test]
fn without_a_server_a_call_ends_after_timer_b_and_not_before() {
    let mut world = town();
    world.set_deaf(2, true);
    call(&mut world);
    world.run_for(Duration::from_secs(31));
    assert_eq!(report(&world, 0).ended, None);
    world.run_for(Duration::from_secs(2));
    assert_eq!(report(&world, 0).status, 408);
}

#[test]
fn sound_counts_only_from_the_relay_that_the_phone_trusts() {
    let mut world = town();
    let mut strict = settings("carol", 3, "127.0.0.10:5060");
    strict.relay = Some(IpAddr::from([127, 0, 9, 9]));
    let place = world.add(Part::Phone(Box::new(Phone::new(strict, [3; 32]))));
    phone(&mut world, place, |carol, now| carol.call(now, "sip:bob@example.net"));
    world.run_for(Duration::from_secs(2));
    let sound = report(&world, place).sound;
    assert!(sound.foreign > 50 && sound.received == 0, "{sound:?}");
}

#[test]
fn a_lost_ack_is_sent_again_when_the_200_is() {
    let mut world = town();
    call(&mut world);
    world.run_for(Duration::from_millis(318));
    // The 200 is on its way to alice; her ACK will meet a server that does not listen.
    world.run_for(Duration::from_millis(3));
    world.set_deaf(2, true);
    world.run_for(Duration::from_millis(100));
    assert!(report(&world, 0).answered.is_some() && report(&world, 1).confirmed.is_none());
    world.set_deaf(2, false);
    world.run_for(Duration::from_secs(1));
    assert!(report(&world, 1).confirmed.is_some());
}

#[test]
fn with_the_right_password_a_phone_registers_and_calls_and_with_another_it_does_not() {
    let server = "127.0.0.10:5060";
    for (password, registered, status) in [(Some("right"), 200, 404), (Some("wrong"), 401, 407)] {
        let mut world = World::new(DELAY);
        let settings =
            Settings { password: password.map(str::to_owned), ..settings("alice", 1, server) };
        world.add(Part::Phone(Box::new(Phone::new(settings, [1; 32]))));
        let guarded = Server::new(server.parse().unwrap(), Some("right".to_owned()), [9; 32]);
        world.add(Part::Server(Box::new(guarded)));
        phone(&mut world, 0, |alice, now| alice.register(now));
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.core(0).phone().unwrap().registration_status(), registered);
        phone(&mut world, 0, |alice, now| alice.call(now, "sip:nobody@example.net"));
        world.run_for(Duration::from_secs(1));
        assert_eq!(report(&world, 0).status, status);
    }
}

#[test]
fn a_binding_is_refreshed_before_it_ends() {
    let mut world = town();
    server_log(&mut world);
    world.run_for(Duration::from_secs(200));
    let log = server_log(&mut world);
    assert!(log.iter().filter(|line| *line == "REGISTER bob@example.net").count() >= 3);
}
