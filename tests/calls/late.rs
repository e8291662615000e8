//! Legs that a server brings when their call is over: it may have asked for its callee as late as
//! its caller was waited for, and repeats itself as long again (CALLS §3.7, §3.8).

use crate::b2bua::{Shows, two_renamed};
use crate::net::Fate;
use crate::town::{server, two_and_proxy};
use cosip::time::Duration;

#[test]
fn a_leg_that_comes_long_after_the_phone_was_silent_rings_no_more_once_the_caller_has_left() {
    let (mut town, alice, bob) = two_renamed(Shows::From);
    let door = town.routers[1].outside();
    town.world.rule = Some(Box::new(move |packet| {
        match packet.to == door && packet.data.starts_with(b"INVITE") {
            true => Fate::Delay(Duration::from_secs(40)),
            false => Fate::Deliver,
        }
    }));
    town.dial(&alice, &bob.aor(), "c1");
    // Over the overlay, when the server has stalled for hedge_trying_ms; Bob's phone says nothing.
    town.world.expect(bob.at, "INVITE", 4_300);
    town.world.run_ms(8_000);
    town.gives_up(&alice, &bob.aor(), "c1");
    town.world.run_ms(40_000);
    assert_eq!(town.invites(bob.at), 1);
    town.finish();
}

#[test]
fn a_leg_that_comes_long_after_the_phone_has_refused_rings_no_more_once_the_caller_was_told() {
    let (mut town, alice, bob) = two_renamed(Shows::From);
    let (door, caller) = (town.routers[1].outside(), town.routers[0].outside());
    let mut passed = None;
    town.world.rule = Some(Box::new(move |packet| {
        let invite = packet.to == door && packet.data.starts_with(b"INVITE");
        match passed {
            _ if packet.from == server() && packet.to == caller => Fate::Drop,
            None if invite => {
                passed = Some(());
                Fate::Delay(Duration::from_secs(35))
            }
            Some(()) if invite => Fate::Drop,
            _ => Fate::Deliver,
        }
    }));
    town.dial(&alice, &bob.aor(), "c1");
    let at_bob = town.world.expect(bob.at, "INVITE", 700);
    town.reply(&at_bob, 488, "b", &[]);
    town.world.expect(bob.at, "ACK", 100);
    town.refused(&alice, "503", &bob.aor(), 8_000);
    town.world.run_ms(40_000);
    assert_eq!(town.invites(bob.at), 1);
    town.finish();
}

/// The B2BUA has the INVITE of a caller whom the overlay has told that Bob is busy, and reaches
/// Bob's router with a repeat of its own only.
#[test]
fn a_leg_that_reaches_the_callee_by_its_last_repeat_rings_no_more() {
    for shows in [Shows::From, Shows::Asserted("00493012345678")] {
        for seconds in [31, 45, 60] {
            let (mut town, alice, bob) = two_renamed(shows);
            let (door, caller) = (town.routers[1].outside(), town.routers[0].outside());
            town.world.rule = Some(Box::new(move |packet| {
                let invite = packet.to == door && packet.data.starts_with(b"INVITE");
                match invite {
                    _ if packet.from == server() && packet.to == caller => Fate::Drop,
                    true => Fate::Delay(Duration::from_secs(seconds)),
                    false => Fate::Deliver,
                }
            }));
            town.dial(&alice, &bob.aor(), "c1");
            let at_bob = town.world.expect(bob.at, "INVITE", 700);
            town.reply(&at_bob, 486, "b", &[]);
            town.world.expect(bob.at, "ACK", 100);
            town.refused(&alice, "486", &bob.aor(), 100);
            town.world.run_ms(70_000);
            assert_eq!(town.invites(bob.at), 1, "{seconds}");
            town.finish();
        }
    }
}

#[test]
fn a_call_after_one_that_was_over_before_its_notice_came_rings_at_once() {
    let (mut town, alice, bob) = two_and_proxy();
    town.world.rule = Some(Box::new(|packet| match packet.to.port() {
        5070 => Fate::Delay(Duration::from_millis(300)),
        _ => Fate::Deliver,
    }));
    for call in ["c1", "c2", "c3"] {
        town.dial(&alice, &bob.aor(), call);
        let invite = town.world.expect(bob.at, "INVITE", 100);
        town.accept(&invite, "b", &bob.contact());
        let mut caller = town.confirm(&alice, 100);
        town.bye(&mut caller, bob.at);
        town.world.run_ms(2_500);
    }
    town.finish();
}
