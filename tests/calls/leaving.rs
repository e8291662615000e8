//! Phones that leave and come back while the server is silent, or just back: what it answers late
//! is about an earlier REGISTER than the phone's last (RFC 3261 s10.3, step 7).

use crate::net::Fate;
use crate::provider::registrar;
use crate::sip::{Msg, answer};
use crate::town::{Phone, Town, server, two};
use cosip::rng::Rng;
use std::cell::RefCell;
use std::rc::Rc;

/// A server that is stopped, and goes through all that it was sent when it goes on.
#[derive(Default)]
struct Stalling {
    stopped: bool,
    held: Vec<Msg>,
}

fn stalling(town: &mut Town) -> Rc<RefCell<Stalling>> {
    let state = Rc::new(RefCell::new(Stalling::default()));
    let acting = state.clone();
    let act = move |message: &Msg| {
        let mut state = acting.borrow_mut();
        if state.stopped {
            state.held.push(message.clone());
            return Some(Vec::new());
        }
        let unknown = || Some(vec![(message.from, answer(message, 480, "srv", &[], ""))]);
        registrar(message).or_else(|| unknown().filter(|_| message.method() == "INVITE"))
    };
    town.world.autos.insert(server(), Box::new(act));
    state
}

fn go_on(town: &mut Town, state: &Rc<RefCell<Stalling>>) {
    let held = core::mem::take(&mut state.borrow_mut().held);
    state.borrow_mut().stopped = false;
    for message in held {
        for (to, bytes) in registrar(&message).unwrap_or_default() {
            town.world.send(server(), to, bytes);
        }
    }
}

/// REGISTER, which is answered 200 from here or there.
fn register(town: &mut Town, phone: &mut Phone, expires_s: u32) {
    town.register(phone, expires_s);
    town.world.expect(phone.at, "200 REGISTER", 2_200);
}

/// The phone starts anew: nothing of its numbers is as before.
fn start_anew(phone: &mut Phone) {
    phone.call_id.push_str("-anew");
    phone.cseq = 0;
}

/// Whether the phone is registered at its router, and another one's call finds it.
fn is_reached(town: &mut Town, phone: &Phone, caller: &Phone, call_id: &str) -> bool {
    let phones = town.status(1)["phones"].clone();
    let is_there = |it: &serde_json::Value| {
        it["aor"] == phone.aor().trim_start_matches("sip:") && it["registered"] == true
    };
    if !phones.as_array().unwrap().iter().any(is_there) {
        return false;
    }
    let invite = caller.invite(&phone.aor(), call_id);
    town.say(caller, invite);
    town.world.run_until(1_000, |world| world.waits(phone.at, "INVITE"));
    let Some(invite) = town.world.take(phone.at, "INVITE") else { return false };
    town.reply(&invite, 486, "b", &[]);
    town.world.run_ms(200);
    true
}

#[test]
fn late_answers_to_a_refresh_and_a_goodbye_do_not_end_the_registration_that_followed() {
    for anew in [false, true] {
        let (mut town, mut alice, mut bob) = two();
        let state = stalling(&mut town);
        town.world.run_ms(1_801_000);
        register(&mut town, &mut alice, 3600);
        state.borrow_mut().stopped = true;
        register(&mut town, &mut bob, 3600);
        register(&mut town, &mut bob, 0);
        town.world.run_ms(5_000);
        if anew {
            start_anew(&mut bob);
        }
        register(&mut town, &mut bob, 3600);
        town.world.run_ms(1_500);
        go_on(&mut town, &state);
        town.world.run_ms(1_500);
        assert!(is_reached(&mut town, &bob, &alice, "c1"), "anew: {anew}");
    }
}

#[test]
fn a_late_answer_to_a_refresh_does_not_bring_a_phone_back_that_has_left() {
    let (mut town, _, mut bob) = two();
    town.world.run_ms(1_801_000);
    town.world.autos.clear();
    town.register(&mut bob, 3600);
    let refresh = town.world.expect(server(), "REGISTER", 100);
    town.world.expect(bob.at, "200 REGISTER", 2_100);
    register(&mut town, &mut bob, 0);
    let contact = refresh.one("Contact").to_owned();
    town.reply(&refresh, 200, "s", &[("Contact", &contact)]);
    town.world.run_ms(1_500);
    assert_eq!(town.finds(0, &bob.aor()), 0);
}

/// Around an outage of 20 s, in which the server stands still or dies and comes back knowing
/// nobody, a phone leaves `at_ms` after 3 s before it and comes back. Whether it is reached then.
fn leaves_and_returns(seed: u8, at_ms: u64, dies: bool, anew: bool) -> bool {
    let mut dice = Rng::new([seed; 32]);
    let (mut town, alice, mut bob) = two();
    let state = stalling(&mut town);
    let refreshes_before_ms = 100 + u64::from(dice.below(6_000));
    let away_ms = 2_500 + u64::from(dice.below(4_000));
    let fails = town.world.now.millis() + 10_000;
    let leaves = fails + at_ms - 3_000;
    let mut steps = [
        (fails, Step::Fails),
        (fails + 20_000, Step::Recovers),
        (leaves - refreshes_before_ms, Step::Refreshes),
        (leaves, Step::Leaves),
        (leaves + away_ms, Step::Returns),
    ];
    steps.sort_unstable_by_key(|(at, _)| *at);
    for (at, step) in steps {
        let now = town.world.now.millis();
        town.world.run_ms(at.saturating_sub(now));
        match step {
            Step::Fails if dies => town.server_is(Fate::Drop),
            Step::Fails => state.borrow_mut().stopped = true,
            Step::Recovers if dies => town.server_is(Fate::Deliver),
            Step::Recovers => go_on(&mut town, &state),
            // Under another Call-ID, so that the server is asked.
            Step::Refreshes => start_anew(&mut bob),
            Step::Returns if anew => start_anew(&mut bob),
            Step::Leaves | Step::Returns => {}
        }
        match step {
            Step::Refreshes | Step::Returns => town.register(&mut bob, 3600),
            Step::Leaves => town.register(&mut bob, 0),
            Step::Fails | Step::Recovers => {}
        }
    }
    town.world.run_ms(2_500);
    (0..8).all(|round| {
        town.world.run_ms(1_500);
        is_reached(&mut town, &bob, &alice, &format!("c{round}"))
    })
}

/// What happens in [`leaves_and_returns`], in an order of its own each time.
#[derive(Clone, Copy)]
enum Step {
    Fails,
    Recovers,
    Refreshes,
    Leaves,
    Returns,
}

#[test]
fn a_phone_is_reached_whenever_it_leaves_and_returns_around_an_outage() {
    let mut lost = Vec::new();
    for (dies, anew) in [(false, false), (false, true), (true, false), (true, true)] {
        for step in 0..86 {
            let at_ms = u64::from(step) * 500;
            if !leaves_and_returns(step, at_ms, dies, anew) {
                lost.push((dies, anew, at_ms));
            }
        }
    }
    assert!(lost.is_empty(), "dies, anew, at: {lost:?}");
}
