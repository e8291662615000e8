//! A phone's BYE is answered 200 within 2 s, whatever else fails, and sent on.

use crate::acts::by_overlay;
use crate::dialog::by_server;
use crate::net::Fate;
use crate::sip::Dialog;
use crate::town::{Phone, Town, at, server};

/// The phone hangs up, and has its 200 in time.
fn hangs_up(town: &mut Town, phone: &Phone, dialog: &mut Dialog, extra: &[(&str, &str)]) {
    let bye = dialog.request("BYE", extra, "");
    town.say(phone, bye);
    let answer = town.world.expect(phone.at, "200 BYE", 2_100);
    assert_eq!(answer.cseq(), dialog.cseq);
}

#[test]
fn after_a_restart_with_a_dead_server() {
    for dies in [Fate::Drop, Fate::Refuse] {
        let (mut town, alice, bob, mut caller, mut callee) = by_server();
        town.restart(0);
        town.world.run_ms(10_000);
        town.server_is(dies);
        let before = town.packets(server(), "BYE");
        hangs_up(&mut town, &alice, &mut caller, &[]);
        assert!(town.packets(server(), "BYE") > before, "it is sent on");
        hangs_up(&mut town, &bob, &mut callee, &[]);
        town.finish();
    }
}

#[test]
fn after_a_restart_of_a_call_over_the_overlay() {
    let (mut town, alice, bob, mut caller, mut callee) = by_overlay();
    town.restart(1);
    town.world.run_ms(10_000);
    hangs_up(&mut town, &bob, &mut callee, &[]);
    hangs_up(&mut town, &alice, &mut caller, &[]);
    town.finish();
}

#[test]
fn where_the_other_adapter_is_deaf() {
    let (mut town, alice, bob, mut caller, mut callee) = by_overlay();
    town.world.fates.insert(at("203.0.113.2:5070"), Fate::Drop);
    hangs_up(&mut town, &alice, &mut caller, &[]);
    town.world.fates.remove(&at("203.0.113.2:5070"));
    hangs_up(&mut town, &bob, &mut callee, &[]);
    town.finish();
}

/// A phone asks so much of a server that does not answer that its router has no room for more.
fn fill(town: &mut Town, router: usize, phone: &Phone) {
    let full = |town: &mut Town| {
        let counters = town.status(router)["counters"].clone();
        let count = |name: &str| counters[name].as_u64().unwrap();
        count("exchanges_refused_full") + count("transactions_full") > 0
    };
    let mut asked = 0;
    while !full(town) {
        for _ in 0..200 {
            asked += 1;
            let target = ("SUBSCRIBE", "sip:anybody@example.net");
            let text = phone.request(target, &format!("s{asked}"), 1, &[], "");
            town.say(phone, text);
        }
        town.world.run_ms(20);
        assert!(asked < 20_000, "the table is bounded");
    }
}

#[test]
fn where_no_further_request_finds_room() {
    for stray in [false, true] {
        let (mut town, alice, bob, mut caller, mut callee) = by_server();
        if stray {
            town.restart(0);
            town.world.run_ms(10_000);
        }
        town.server_is(Fate::Drop);
        fill(&mut town, 0, &alice);
        let before = town.packets(server(), "BYE");
        hangs_up(&mut town, &alice, &mut caller, &[]);
        assert!(town.packets(server(), "BYE") > before, "it is sent on");
        town.world.clear(alice.at);
        hangs_up(&mut town, &bob, &mut callee, &[]);
        town.world.run_ms(40_000);
        town.world.clear(alice.at);
        town.finish();
    }
}

#[test]
fn one_that_is_too_large_to_be_passed_on_is_passed_on_without_its_ballast() {
    let (mut town, alice, bob, mut caller, _) = by_server();
    let ballast = "x".repeat(15_800);
    hangs_up(&mut town, &alice, &mut caller, &[("X-Ballast", &ballast)]);
    let heard = town.world.expect(bob.at, "BYE", 300);
    assert!(!heard.has("X-Ballast"));
    town.reply(&heard, 200, "", &[]);
    town.world.run_ms(1_000);
    town.finish();
}

#[test]
fn of_the_far_end_where_no_further_request_finds_room() {
    let (mut town, alice, bob, mut caller, _) = by_server();
    town.world.rule = Some(Box::new(|packet| match packet.data.starts_with(b"SUBSCRIBE") {
        true if packet.to == server() => Fate::Drop,
        _ => Fate::Deliver,
    }));
    fill(&mut town, 1, &bob);
    hangs_up(&mut town, &alice, &mut caller, &[]);
    let heard = town.world.expect(bob.at, "BYE", 300);
    town.reply(&heard, 200, "", &[]);
    town.world.run_ms(40_000);
    town.world.clear(bob.at);
    town.finish();
}

#[test]
fn of_the_far_end_to_a_phone_whose_router_was_restarted() {
    let (mut town, alice, bob, mut caller, _) = by_overlay();
    town.restart(1);
    town.world.run_ms(10_000);
    let bye = caller.request("BYE", &[], "");
    town.say(&alice, bye);
    // The channel's session went with the router's memory.
    let heard = town.world.expect(bob.at, "BYE", 2_000);
    assert_eq!((heard.one("Call-ID"), heard.tag("To")), ("c1", "b"));
    town.reply(&heard, 200, "", &[]);
    town.world.expect(alice.at, "200 BYE", 100);
    town.finish();
}
