//! Each oracle finds what it is for: a fault is planted into the evidence of a good call.

use super::evidence::{Evidence, Seen};
use super::oracles;
use super::plan::{ALICE, BOB, CAROL, Caller, Diverts, House, Plan};
use super::scene::play;
use cosip::lab::phone::Manner;
use cosip::lab::server::b2bua::Presentation;
use cosip::time::Duration;

fn b2bua(diverts: Diverts) -> House {
    House::B2bua {
        presentation: Presentation::Own,
        pace: Duration::from_millis(20),
        dialling: Duration::ZERO,
        reliable: false,
        hasty: false,
        diverts,
        patience: Duration::from_secs(3),
    }
}

/// Alice calls Bob by a proxy, and they talk.
fn answered() -> Plan {
    Plan::plain(1, House::Proxy)
}

/// Alice gives up before Bob answers.
fn given_up() -> Plan {
    let mut plan = answered();
    plan.ring = Duration::from_secs(10);
    plan.callers[0].patience = Some(Duration::from_secs(2));
    plan
}

/// Nobody answers at Bob's, but a mailbox does.
fn in_a_mailbox() -> Plan {
    let mut plan = Plan::plain(1, b2bua(Diverts::ToMailbox));
    plan.bob = Manner::Ring;
    plan
}

/// Alice and Carol call Bob at once.
fn two_callers() -> Plan {
    let mut plan = answered();
    let other = Caller { phone: CAROL, at: Duration::ZERO, patience: None, national: true };
    plan.callers.push(other);
    plan
}

/// Bob's phone is busy.
fn refused() -> Plan {
    let mut plan = answered();
    plan.bob = Manner::Refuse(486);
    plan
}

/// The oracle of this name finds nothing in a good call, and something once the fault is there.
fn finds(name: &str, plan: &Plan, plant: impl FnOnce(&mut Evidence)) {
    let (_, oracle) = oracles::ALL.iter().find(|(own, _)| *own == name).expect("an oracle");
    let mut evidence = play(plan);
    let good = oracles::all(&evidence);
    assert!(good.is_empty(), "{name}, before the fault: {good:?}\n{}", evidence.ladder());
    plant(&mut evidence);
    assert!(!oracle(&evidence).is_empty(), "{name} is blind for this fault");
}

/// Adds a copy of the first message that `is`, with something replaced in it.
fn add(evidence: &mut Evidence, is: impl Fn(&Seen) -> bool, from: &str, to: &str) {
    let at = evidence.seen.iter().position(is).expect("a message to copy");
    let mut copy = evidence.seen[at].clone();
    assert!(copy.msg.text.contains(from), "{from} in\n{}", copy.msg.text);
    copy.msg.text = copy.msg.text.replace(from, to);
    evidence.seen.insert(at + 1, copy);
}

fn remove(evidence: &mut Evidence, is: impl Fn(&Seen) -> bool) {
    let before = evidence.seen.len();
    evidence.seen.retain(|seen| !is(seen));
    assert!(evidence.seen.len() < before, "a message to remove");
}

#[test]
fn a_second_ring_is_found() {
    finds("one ring", &answered(), |evidence| {
        let bob = evidence.ends[BOB].ip;
        add(evidence, |s| s.to.ip() == bob && s.is_first_invite(), "Call-ID: ", "Call-ID: again");
    });
}

#[test]
fn a_second_answer_is_found() {
    let name = "one answered leg";
    finds(name, &answered(), |evidence| {
        let alice = evidence.ends[ALICE].ip;
        let tag = evidence.reached(alice).find(|s| s.is_success()).unwrap().msg.tag("To");
        let tag = tag.to_owned();
        add(evidence, |s| s.to.ip() == alice && s.is_success(), &tag, "another");
    });
    finds(name, &answered(), |evidence| {
        let bob = evidence.ends[BOB].ip;
        for ring in [true, false] {
            let is = |s: &Seen| match ring {
                true => s.to.ip() == bob && s.is_first_invite(),
                false => s.from.ip() == bob && s.is_success(),
            };
            add(evidence, is, "Call-ID: ", "Call-ID: again");
        }
    });
    finds(name, &answered(), |evidence| {
        let server = evidence.server;
        let is = |s: &Seen| s.from == server && s.is_success();
        add(evidence, is, "Call-ID: ", "Call-ID: loser");
    });
}

#[test]
fn a_cancel_or_bye_without_answer_is_found() {
    for (plan, what) in [(answered(), "200 BYE"), (given_up(), "200 CANCEL")] {
        finds("CANCEL and BYE answered", &plan, |evidence| {
            let alice = evidence.ends[ALICE].ip;
            remove(evidence, |s| s.to.ip() == alice && s.msg.is(what));
        });
    }
    finds("CANCEL and BYE answered", &answered(), |evidence| {
        for seen in evidence.seen.iter_mut().filter(|seen| seen.msg.is("200 BYE")) {
            seen.lost = true;
        }
    });
}

#[test]
fn an_answer_without_ack_is_found() {
    finds("2xx acknowledged", &answered(), |evidence| {
        let bob = evidence.ends[BOB].ip;
        remove(evidence, |s| s.to.ip() == bob && s.msg.is("ACK"));
    });
    finds("2xx acknowledged", &answered(), |evidence| {
        let server = evidence.server;
        remove(evidence, |s| s.to == server && s.msg.is("ACK"));
    });
    finds("2xx acknowledged", &answered(), |evidence| {
        let alice = evidence.ends[ALICE].ip;
        remove(evidence, |s| s.from.ip() == alice && s.msg.is("ACK"));
    });
}

#[test]
fn a_mailbox_that_answers_while_the_phone_rings_or_talks_is_found() {
    let name = "no mailbox while it rings";
    finds(name, &in_a_mailbox(), |evidence| evidence.mailboxes[0].1 = "refused".into());
    finds(name, &in_a_mailbox(), |evidence| {
        let bob = evidence.ends[BOB].ip;
        remove(evidence, |s| s.from.ip() == bob && s.msg.is("487"));
    });
    finds(name, &in_a_mailbox(), |evidence| {
        evidence.mailboxes[0].1 = "refused".into();
        let bob = evidence.ends[BOB].ip;
        add(evidence, |s| s.from.ip() == bob && s.msg.is("180"), " 180 ", " 200 ");
    });
}

#[test]
fn a_caller_who_is_merged_away_is_found() {
    let name = "no caller merged away";
    finds(name, &two_callers(), |evidence| {
        // Carol hears what Bob answered Alice.
        let ips = [ALICE, CAROL].map(|phone| evidence.ends[phone].ip);
        let session = |ip| evidence.reached(ip).find(|s| s.is_success()).unwrap().session();
        let [to_alice, to_carol] = ips.map(|ip| session(ip).unwrap().to_string());
        let answers = evidence.seen.iter_mut().filter(|s| s.to.ip() == ips[1] && s.is_success());
        for answer in answers {
            answer.msg.text = answer.msg.text.replace(&to_carol, &to_alice);
        }
    });
    finds(name, &refused(), |evidence| {
        let bob = evidence.ends[BOB].ip;
        remove(evidence, |s| s.to.ip() == bob && s.is_first_invite());
    });
}

#[test]
fn a_call_that_is_not_set_up_or_late_is_found() {
    let name = "set up";
    finds(name, &answered(), |evidence| {
        let call = &mut evidence.ends[ALICE].over[0];
        (call.answered, call.status) = (None, 503);
    });
    finds(name, &answered(), |evidence| {
        let call = &mut evidence.ends[ALICE].over[0];
        call.answered = Some(call.invited + Duration::from_secs(9));
    });
    finds(name, &refused(), |evidence| evidence.ends[ALICE].over[0].ended = None);
    finds(name, &refused(), |evidence| evidence.ends[ALICE].over.clear());
}

#[test]
fn ends_that_do_not_agree_are_found() {
    let name = "both ends agree";
    finds(name, &answered(), |evidence| {
        let call = &mut evidence.ends[BOB].talking[0];
        call.ended = call.confirmed;
    });
    for phone in [ALICE, BOB] {
        finds(name, &answered(), |evidence| evidence.ends[phone].over[0].ended = None);
    }
}

#[test]
fn silence_is_found() {
    for phone in [ALICE, BOB] {
        finds("sound both ways", &answered(), |evidence| {
            let end = &mut evidence.ends[phone];
            end.talking[0].sound.received = end.first[0].sound.received;
        });
        finds("sound both ways", &answered(), |evidence| {
            let end = &mut evidence.ends[phone];
            end.talking[0].sound.sent = end.first[0].sound.sent;
        });
    }
}

#[test]
fn what_is_left_behind_is_found() {
    let whats = ["router 0: calls", "router 1: media", "router 0: lookups", "house: calls"];
    for what in whats {
        finds("nothing left behind", &answered(), |evidence| {
            let held = evidence.held.iter_mut().find(|(own, _)| own == what);
            match held {
                Some((_, count)) => *count = 1,
                None => evidence.held.push((what.into(), 1)),
            }
        });
    }
    finds("nothing left behind", &answered(), |evidence| {
        let own = |held: &&mut (String, u64)| held.0.ends_with("transactions");
        evidence.held.iter_mut().find(own).unwrap().1 = 3;
    });
}
