//! A mailbox behind the provider: who is refused reaches it, and nobody whose call rings, was
//! answered or given up, though the server's leg comes last to a phone that rings already.

use crate::router::Settings;
use crate::script::Step::*;
use crate::script::{RING_UNTIL_CANCEL, Step, answer};
use crate::sipp::Sipp;
use crate::town::{FIRST, Socket, Town};
use crate::wait;
use crate::world::inside;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const ALICE: &str = "+4989123456001";
const BOB: &str = "+4989123456002";
/// Longer than a notice is open: an anonymous leg is one of two calls else, and rings.
const OPEN: Duration = Duration::from_millis(10_500);
/// Longer than a leg is held for its own CANCEL.
const HELD: Duration = Duration::from_millis(4500);

/// Alice calls Bob through a server that stalls as soon as it has challenged her, and goes on
/// while his phone rings or talks: its leg is the second one.
fn call_by_both_ways(
    town: &Town,
    (alice, then): (&mut Sipp, &[Step<'_>]),
    (bob, answers): (&mut Sipp, &[Step<'_>]),
) {
    let mut called = bob.follow(answers);
    let begin = [Invite, Challenged, Pause(300), Again, Allow("100")];
    let mut calling = alice.call(BOB, &[&begin[..], then].concat());
    calling.await_received("SIP/2.0 407");
    town.provider.stall();
    called.await_received("INVITE ");
    wait::pause(Duration::from_millis(400));
    town.provider.go_on();
    calling.succeed();
    assert_eq!(called.succeed().rings(), 1);
}

fn only_the_refused_reach_the_mailbox(folder: &Path, kind: &'static [&'static str]) {
    let settings = Settings { server: kind, ..Settings::default() };
    let town = Town::build(folder, &settings);
    let mut alice = Sipp::start(&town, &town.socket(1, FIRST), ALICE);
    let mut bob = Sipp::start(&town, &town.socket(2, FIRST), BOB);
    town.await_record(1, BOB);
    town.await_record(2, ALICE);
    let asked = || town.provider.log().matches("to the mailbox").count();

    let withheld = kind.contains(&"ANONYMOUS");
    let let_the_notice_close = || wait::pause(if withheld { OPEN } else { Duration::ZERO });
    let talk = [Allow("180"), Expect("200"), AckAnswer, Pause(500), HangUp, Expect("200")];
    call_by_both_ways(&town, (&mut alice, &talk), (&mut bob, &answer(1500)));
    let_the_notice_close();
    let give_up = [Expect("180"), Pause(1500), Cancel, Expect("200"), Expect("487"), AckRefusal];
    call_by_both_ways(&town, (&mut alice, &give_up), (&mut bob, &RING_UNTIL_CANCEL));
    wait::pause(HELD);
    let_the_notice_close();
    assert_eq!(asked(), 0);

    // Who is refused is connected to it, as without an adapter.
    let place = Socket { host: town.provider.host.clone(), address: "203.0.113.10" };
    let mut mailbox = Sipp::plug_in(&town, &place, "mailbox").on_port(5090);
    let listening = mailbox.follow(&answer(0));
    let refusing = [Await("INVITE"), Reply("180 Ringing"), Pause(1200), Reply("486 Busy Here")];
    let refusing = [&refusing[..], &[Await("ACK")]].concat();
    call_by_both_ways(&town, (&mut alice, &talk), (&mut bob, &refusing));
    listening.succeed();
    assert_eq!(asked(), 1);

    // Answered before the second leg comes, which stays waited for: the last call here.
    let_the_notice_close();
    call_by_both_ways(&town, (&mut alice, &talk), (&mut bob, &answer(0)));
    wait::pause(HELD);
    assert_eq!(asked(), 1);
}

#[test]
fn behind_a_proxy_only_the_refused_reach_the_mailbox() {
    inside(LIMIT, |folder| only_the_refused_reach_the_mailbox(folder, &["MAILBOX"]));
}

#[test]
fn behind_a_b2bua_that_names_callers_nationally_only_the_refused_reach_the_mailbox() {
    inside(LIMIT, |folder| {
        only_the_refused_reach_the_mailbox(folder, &["MASKED", "NATIONAL", "MAILBOX"]);
    });
}

#[test]
fn behind_a_b2bua_that_withholds_callers_only_the_refused_reach_the_mailbox() {
    inside(LIMIT, |folder| {
        only_the_refused_reach_the_mailbox(folder, &["MASKED", "ANONYMOUS", "MAILBOX"]);
    });
}
